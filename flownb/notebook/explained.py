"""How does an explanation read, as text and as tables?

The text and the HTML say the same, line by line. Lists of names are cut where a reader
would stop reading, and say how many they leave out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from flownb.analysis.chains import chain_text, named
from flownb.notebook.table import table, text_table
from flownb.notebook.words import brief, clean, seconds, xml

if TYPE_CHECKING:
    from flownb.analysis.explain import Answer, Explanation, Reading
    from flownb.model.policies import AwaitPolicy

_MEANS: Final[dict[AwaitPolicy, str]] = {
    "none": "waits for nothing",
    "node": "a node decides: behind a non-blocking one nothing is awaited",
    "blocking": "every blocking node downstream is awaited, and what leads to it",
    "path_live": "an arm in which a blocking node runs is awaited whole",
    "path": "an arm with a blocking node anywhere is awaited whole",
    "all": "waits for everything",
}
_ARMS: Final = 20
_NAMES: Final = 12


def whole_text(why: Explanation) -> str:
    """Write everything there is to say, loop by loop."""
    lines = [_title(why)]
    for loop in why.loops:
        lines += ["", f"loop {loop} (await policy {why.policy(loop)}: {_MEANS[why.policy(loop)]})"]
        lines += [f"  {line}" for line in _loop_lines(why, loop)]
    return "\n".join(clean(line).rstrip() for line in lines)


def _title(why: Explanation) -> str:
    loops = "1 loop" if len(why.loops) == 1 else f"{len(why.loops)} loops"
    return f"{brief(why.workflow.name)}: who waits for whom, {loops}{_unknown(why)}"


def _unknown(why: Explanation) -> str:
    if not why.unknown:
        return ""
    inside = f"{len(why.unknown):,} of {len(why.durations.us):,} durations unknown, counted as 0"
    return f"; {inside} ({named(why.unknown, 6)})"


def _loop_lines(why: Explanation, loop: str) -> Iterator[str]:
    for mark, sentence in _arms(why, loop):
        yield f"{mark:10}  {sentence}"
    yield f"waits for   {named(why.await_set(loop), _NAMES)}"
    yield f"detached    {named(why.detached(loop), _NAMES)}"
    yield f"released    {_release(why.reading(loop))}"
    yield ""
    yield from text_table(_COMPARE, _compared(why, loop)).splitlines()
    answers = why.answers(loop)
    if answers:
        yield ""
        yield from text_table(_ANSWERS, map(_answered, answers[:_ARMS])).splitlines()


def _arms(why: Explanation, loop: str) -> Iterator[tuple[str, str]]:
    arms = why.arms[loop]
    for arm in arms[:_ARMS]:
        yield arm.waits, arm.because
    if not arms:
        yield "goes on", f"nothing comes behind {loop}"
    if len(arms) > _ARMS:
        yield "", f"and {len(arms) - _ARMS:,} more arms"


_COMPARE: Final = ("policy", "released", "waits for")
_ANSWERS: Final = ("if", "says", "released", "waits for")


def _compared(why: Explanation, loop: str) -> list[list[Any]]:
    own = why.policy(loop)
    return [
        [f"{r.policy} *" if r.policy == own else r.policy, _after(r), named(r.waits_for, _NAMES)]
        for r in why.compare(loop)
    ]


def _after(reading: Reading | Answer) -> str:
    return f"{'at most ' if reading.at_most else ''}{seconds(reading.release)} s"


def _answered(answer: Answer) -> list[Any]:
    return [answer.node, answer.says, _after(answer), named(answer.waits_for, _NAMES)]


def _release(reading: Reading) -> str:
    return f"after {_after(reading)}: {timed_chain(reading.chain)}"


def timed_chain(chain: Sequence[tuple[str, float]]) -> str:
    """Write a chain with its seconds; of a long one the ends."""
    words = [f"{name} {seconds(takes)}" for name, takes in chain]
    return chain_text(words)


def tables(why: Explanation) -> list[tuple[str, str]]:
    """Give the sentences, open, and the tables, folded."""
    return [("", "".join(_sentences(why, loop) for loop in why.loops))]


def _sentences(why: Explanation, loop: str) -> str:
    rows = [[mark, sentence] for mark, sentence in _arms(why, loop)]
    return f"<p>{xml(loop)}</p>" + table(["arm", "why"], rows)
