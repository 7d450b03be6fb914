"""Who waits? A question about a small random graph, with its answer: `question(seed)`.

The same seed asks the same in each process, so an exam can be made of it. Wrong answers are no
random numbers: each is what somebody gets who reads the graph by another rule.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isclose
from random import Random
from typing import TYPE_CHECKING, Any, Final

from flownb.arguments import checked, number, whole
from flownb.display import Shown
from flownb.explain.explanation import explain
from flownb.model.policies import AWAIT_POLICIES
from flownb.model.workflow import Workflow

if TYPE_CHECKING:
    from flownb.model.policies import AwaitPolicy

LEVELS: Final = 3
_CHOICES: Final = 4
_SEED: Final = whole("", least=None)
_LEVEL: Final = whole("", least=1, most=LEVELS)
_GUESS: Final = number("seconds", least=0)


@dataclass(frozen=True, slots=True, repr=False)
class Question(Shown):
    """When is the producer of `graph` released? `answer` is in seconds, as are the `choices`.

    `ask` is the question in words, `because` says why the answer is right, a sentence each,
    `misread` tells of each wrong choice who would be right with it. `seed` and `level` are as in
    `question`. In a cell it shows the graph, and the answer folded under it.

    >>> q = question(4)
    >>> q.choices, q.check(9), q.check(11)
    ((9.0, 11.0, 16.0, 27.0), 'No: await policy "node" gives that.', 'Yes, 11 s.')
    """

    seed: int
    level: int
    graph: Workflow
    ask: str
    answer: float
    choices: tuple[float, ...]
    because: tuple[str, ...]
    misread: dict[float, str] = field(default_factory=dict)

    def check(self, guess: float) -> str:
        """Say whether that many seconds is right, and if not, by which reading it would be."""
        checked("check()", "guess", guess, _GUESS)
        if isclose(guess, self.answer, abs_tol=1e-6):
            return f"Yes, {self.answer:g} s."
        return f"No: {self.misread.get(float(guess), 'by no reading of this graph')}."


def question(seed: int, level: int = 1) -> Question:
    """Ask who waits, of a small random graph that *seed* decides.

    *level* 1: two or three arms, and the default await policy. 2: any await policy. 3: an if, and
    what it says. Try `flownb.quiz(seed)` for several of them to click through.

    >>> print(question(4).ask)
    When is P released, to make its next item?
    """
    checked("question()", "seed", seed, _SEED)
    checked("question()", "level", level, _LEVEL)
    rng = Random(f"who waits? {seed}/{level}")
    while True:
        found = _asked(rng, seed, level)
        if found is not None:
            return found


def _asked(rng: Random, seed: int, level: int) -> Question | None:
    """Draw a graph; None if too few readings of it differ."""
    graph = Workflow(f"question {seed}")
    policy: AwaitPolicy = "path" if level == 1 else rng.choice(("node", "blocking", "path", "all"))
    verdict = rng.random() < 0.5 if level == LEVELS else None  # noqa: PLR2004 - heads or tails
    graph.add_producer("P", [int(bool(verdict))] * 2)
    names, kinds = iter("abcdefgh"), set()
    for arm in range(rng.choice((2, 2, 3))):
        before = "P"
        if verdict is not None and not arm:
            graph.add_if("i", bool, takes=rng.randint(1, 3)).add_edge("P", "i")
            for when in (True, False):
                kinds.add(_add(graph, rng, next(names)))
                graph.add_edge("i", [*graph.nodes][-1], when=when)
            continue
        for _ in range(rng.choice((1, 2, 2))):
            name = next(names)
            kinds.add(_add(graph, rng, name))
            graph.add_edge(before, name)
            before = name
    graph.set_loop("P", await_policy=policy)
    why = explain(graph)
    said = {} if verdict is None else {"i": verdict}
    by_policy = {p: why.release("P", p, said) for p in AWAIT_POLICIES}
    wrong = {seconds: f'await policy "{p}" gives that' for p, seconds in by_policy.items()}
    wrong[by_policy["path"]] = 'await policy "path" gives that, the default'
    wrong[0.0] = "then it would wait for nothing"
    takes = [float(n.takes) for n in graph.nodes.values() if isinstance(n.takes, (int, float))]
    wrong.setdefault(max(takes), "that is the longest node alone")
    wrong.setdefault(sum(takes), "that is all nodes one after the other")
    answer = by_policy[policy]
    wrong.pop(answer)
    if len(kinds) == 1 or not answer or len(wrong) < _CHOICES - 1:
        return None
    chosen = rng.sample(sorted(wrong), _CHOICES - 1)
    return Question(
        seed, level, graph, _words(policy, verdict, level), answer,
        tuple(sorted([answer, *chosen])), tuple(_because(why, answer, verdict)),
        dict(sorted(wrong.items())),
    )  # fmt: skip


def _add(graph: Workflow, rng: Random, name: str) -> str:
    kind: Any = rng.choice(("blocking", "non_blocking"))
    graph.add_node(name, kind=kind, takes=rng.randint(1, 9))
    return str(kind)


def _words(policy: str, verdict: bool | None, level: int) -> str:  # noqa: FBT001
    given = []
    if level > 1:
        given.append(f'the await policy is "{policy}"')
    if verdict is not None:
        given.append(f"the if says {'yes' if verdict else 'no'}")
    ask = "When is P released, to make its next item?"
    said = " and ".join(given)
    return f"{said[0].upper()}{said[1:]}. {ask}" if given else ask


def _because(why: Any, answer: float, verdict: bool | None) -> list[str]:  # noqa: FBT001
    found = [arm.because for arm in why.arms["P"]]
    reading = why.reading("P")
    if verdict is None:
        steps = [f"{name} {takes:g} s" for name, takes in reading.chain if name != "P"]
        found.append(f"released after {answer:g} s: {' + '.join(steps)}")
    else:
        found.append(f"released after {answer:g} s, as the if says {'yes' if verdict else 'no'}")
    return found
