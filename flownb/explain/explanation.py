"""Who waits for whom in this graph, and what follows from it? `graph.explain()`: an `Explanation`.

It is a snapshot: it answers from the graph as it was when it was asked, before anything runs. It
names nodes, gives seconds, and says what it does not know.

A graph without a producer runs once, and everything is awaited (`Makespan`). With as many
workers as it likes it takes its critical chain; with one, the sum of all work; in between, and
under the other start rules, it is played through.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from flownb.arguments import NONE, checked, known, word
from flownb.display import Shown
from flownb.errors import GraphError
from flownb.explain.advice import Search
from flownb.explain.capacity import Capacity, figures, sentence, warnings
from flownb.explain.choices import check_verdicts
from flownb.explain.durations import MICRO, Durations
from flownb.explain.reasons import Arm, why
from flownb.explain.study import Answer, Comparison, Reading, Study, answer, measured_shares, read
from flownb.model.policies import AWAIT_POLICIES
from flownb.model.workflow import Workflow
from flownb.plan.await_sets import ArmEnds
from flownb.plan.compiler import compile_once, compile_plan
from flownb.validate.structure import hints_of

if TYPE_CHECKING:
    from flownb.explain.capacity import Figures
    from flownb.explain.choices import Verdicts
    from flownb.explain.throughput import Rates
    from flownb.model.policies import AwaitPolicy, StartRule
    from flownb.plan.loop_plan import LoopPlan
    from flownb.records.metrics import LoopMetrics, NodeMetrics
    from flownb.validate.problems import Problem


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Explanation(Shown):
    """Why each producer waits, under every reading; times are seconds.

    `workflow` is the graph as it was when this was asked, `measured` what was measured of
    each loop.

    >>> from flownb import Graph
    >>> graph = (
    ...     Graph("shop").add_producer("days").add_node("check", kind="non_blocking", takes=0.1)
    ...     .add_node("charge", takes=0.2).add_edge("days", "check", "charge")
    ... )
    >>> why = graph.explain()
    >>> print(why.arms["days"][0])
    days waits for charge: days -> check -> charge, charge is blocking,
    so it waits for this whole arm
    >>> why.release("days"), why.release("days", policy="none"), why.await_set("days")
    (0.3, 0.0, ('check', 'charge'))
    """

    workflow: Workflow
    _studies: Mapping[str, Study]
    _durations: Durations
    measured: Mapping[str, LoopMetrics] = field(default_factory=dict)
    _once: Study | None = None

    @property
    def makespan(self) -> Makespan | None:
        """How long a graph without producers takes, and why; None for loops.

        >>> from flownb import Graph
        >>> graph = Graph("once").add_node("a", takes=1).add_node("b", takes=2)
        >>> span = graph.add_edge("a", "b").explain().makespan
        >>> span.seconds, span.chain
        (3.0, (('a', 1.0), ('b', 2.0)))
        """
        return None if self._once is None else makespan(self._once)

    @property
    def loops(self) -> tuple[str, ...]:
        """The names of the loops."""
        return tuple(self._studies)

    @property
    def arms(self) -> dict[str, tuple[Arm, ...]]:
        """The arms of each loop: whether the producer waits there, and why."""
        found = {}
        for loop, study in self._studies.items():
            reasons = why(study.plan)
            found[loop] = tuple(reasons.arm(v) for v in reasons.chains.arms)
        return found

    @property
    def unknown(self) -> tuple[str, ...]:
        """The nodes whose duration nobody knows; they count 0 seconds."""
        return self._durations.unknown

    @property
    def text(self) -> str:
        """All of it in plain words, as `print(graph.explain())` shows it."""
        return repr(self)

    def policy(self, loop: str) -> AwaitPolicy:
        """The await policy of a loop that is explained."""
        return self._study(loop).plan.policy

    def await_set(self, loop: str) -> tuple[str, ...]:
        """Name the nodes that may make this producer wait; some of them only if an if says so."""
        return self._study(loop).awaited()

    def detached(self, loop: str) -> tuple[str, ...]:
        """Name the nodes that never delay this producer."""
        return self._study(loop).detached

    def why(self, node: str, *, loop: str | None = None) -> str:
        """Say in one sentence why the producer waits for *node*, or why it does not."""
        inside = [s for s in self._studies.values() if loop in {None, s.loop}]
        found = [(s, n.index) for s in inside for n in s.plan.nodes if n.name == node]
        known("node", node, self.workflow.nodes)
        if loop is not None:
            self._study(loop)
        if not found:
            return f"no producer leads to {node}, so nobody waits for it"
        return "; ".join(why(study.plan).node(number) for study, number in found)

    def release(
        self,
        loop: str,
        policy: AwaitPolicy | None = None,
        verdicts: Verdicts | None = None,
    ) -> float:
        """Give the seconds from the start of an item to the release of its producer.

        *verdicts* says what the ifs say, {"wet?": True}, and which conditions hold,
        {("check", "store"): False}; what they leave open counts with its worst case.
        """
        study = self._under(loop, _known(policy))
        if verdicts:
            check_verdicts([study.plan], verdicts)
            study = Study.of(study.plan, self._durations, verdicts)
        return study.worst(policy).us / MICRO

    def _under(self, loop: str, policy: AwaitPolicy | None) -> Study:
        """Study a loop under a policy: a start rule holds back whoever that one awaits."""
        study = self._study(loop)
        if policy in {None, study.plan.policy} or study.plan.options.start_rule == "dataflow":
            return study
        return Study.of(compile_plan(self.workflow, loop, policy), self._durations)

    def compare(self, loop: str | None = None) -> Comparison:
        """Read each loop, or one, under all six policies."""
        chosen = self.loops if loop is None else [loop]
        return Comparison(
            read(self._under(each, policy), policy, self.policy(each))
            for each in chosen
            for policy in AWAIT_POLICIES
        )

    def reading(self, loop: str) -> Reading:
        """Read a loop under its own policy."""
        return read(self._study(loop), self.policy(loop), self.policy(loop))

    def hints(self, loop: str) -> tuple[Problem, ...]:
        """Give what `validate()` hints at in this loop: non-blocking nodes that are awaited."""
        return tuple(hints_of(ArmEnds(self.workflow, self._study(loop).loop)))

    def answers(self, loop: str) -> tuple[Answer, ...]:
        """Go through everything that each node which decides may say."""
        study, found = self._study(loop), []
        for number, each in study.open.items():
            for option in each:
                live = [it for it in study.schedules if it.choice.get(number) == option]
                if study.exact and any(it.runs[number] for it in live):
                    found.append(answer(study.only(live), option))
        return tuple(found)

    def capacity(self, *, rates: Rates | None = None) -> Capacity:
        """Predict how fast the loops go, whether readers keep up, and what would help.

        *rates* says how often ifs say what: {"wet?": 0.4} is the share of yes,
        {"colour": {"red": 0.2, "green": 0.8}} that of each verdict. What is in no
        *rates* is taken from what was measured, else the worst case counts.
        """
        known = {
            **{n: s for x in self._studies.values() for n, s in self._shares(x).items()},
            **(rates or {}),
        }
        seen = _seen(self.measured)

        def reckon(other: Workflow) -> Figures:
            durations = Durations.of(other.nodes.values(), seen)
            return figures(other, _studies(other, durations), known)

        found = figures(self.workflow, self._studies, known)
        return Capacity(
            self.workflow.name,
            found.loops,
            found.queues,
            found.limits,
            {loop: sentence(now, found) for loop, now in found.loops.items()},
            tuple(warnings(found)),
            Search(self.workflow, self._durations, found, reckon, snapshot).advice(),
            self.unknown,
            self.measured,
        )

    def _shares(self, study: Study) -> dict[str, Any]:
        return dict(measured_shares(study, self.measured.get(study.loop)))

    def _study(self, loop: str) -> Study:
        """Give what is known of one loop; raises GraphError if there is none of that name."""
        return self._studies[known("loop", loop, self._studies)]

    def with_measured(self, metrics: Mapping[str, LoopMetrics]) -> Explanation:
        """Put what a run has measured beside what is predicted.

        A node without `takes=` counts from now on with its measured mean.
        """
        return _made(self.workflow, metrics)


def explain(
    workflow: Workflow,
    *,
    policy: AwaitPolicy | None = None,
    measured: Mapping[str, LoopMetrics] | None = None,
) -> Explanation:
    """Explain a workflow as it is now; *policy* overrides every loop's await policy."""
    kept = snapshot(workflow)
    if _known(policy) is not None:
        for loop in kept.producers:
            kept.options.setdefault(loop, {})["await_policy"] = policy
    return _made(kept, measured or {})


def _made(workflow: Workflow, metrics: Mapping[str, LoopMetrics]) -> Explanation:
    durations = Durations.of(workflow.nodes.values(), _seen(metrics))
    once = _once(workflow, durations)
    return Explanation(workflow, _studies(workflow, durations), durations, dict(metrics), once)


def _once(workflow: Workflow, durations: Durations) -> Study | None:
    """Study a graph without producers as the one item it is; None if it goes in circles."""
    if workflow.producers or not workflow.nodes:
        return None
    try:
        plan = compile_once(workflow)
    except GraphError:
        return None
    if any(node.cycle >= 0 for node in plan.nodes):
        return None
    return Study.of(plan, replace(durations, us={**durations.us, plan.loop: 0}))


def _seen(metrics: Mapping[str, LoopMetrics]) -> dict[str, NodeMetrics]:
    return {n.node: n for m in metrics.values() for n in m.nodes.values() if n.calls}


def _studies(workflow: Workflow, durations: Durations) -> dict[str, Study]:
    plans = [compile_plan(workflow, loop) for loop in workflow.producers]
    return {plan.loop: Study.of(plan, durations) for plan in plans}


def snapshot(workflow: Workflow) -> Workflow:
    """Copy a workflow as data: later edits do not reach the copy, nor the other way."""
    kept = Workflow(workflow.name)
    kept.nodes, kept.edges = dict(workflow.nodes), dict(workflow.edges)
    kept.options = {loop: dict(options) for loop, options in workflow.options.items()}
    kept.unlinked, kept.version = set(workflow.unlinked), workflow.version
    return kept


def _known(policy: AwaitPolicy | None) -> AwaitPolicy | None:
    asked: AwaitPolicy | None = checked("explain()", "policy", policy, word(*AWAIT_POLICIES) | NONE)
    return asked


_RULES: Final[tuple[StartRule, ...]] = ("dataflow", "level", "sequential")
_AT_ONCE: Final = (1, 2, 4, 8)
_MOST: Final = 2_000  # nodes: of a larger graph only the critical chain is told


@dataclass(frozen=True, slots=True)
class Makespan:
    """One run of a graph: seconds until its last node has ended, at worst.

    `seconds` is that length, `at_most` says that it is a bound.
    `chain` is what takes so long, `work` the sum of all nodes of that run; `rules` gives
    the seconds under each start rule, `at_once` if so many nodes work at a time.
    """

    seconds: float
    chain: tuple[tuple[str, float], ...]
    work: float
    at_most: bool
    rules: Mapping[StartRule, float]
    at_once: Mapping[int, float]


def makespan(study: Study) -> Makespan:
    """Read the makespan off the study of a graph that runs once."""
    worst = study.worst()
    names = study.names(worst.chain)[1:]  # the root is no node of the user's
    it = study.schedules[study.releases().index(worst)]
    small = len(study.plan.nodes) <= _MOST
    rules = {rule: _played(study, _under(study.plan, rule)) for rule in _RULES if small}
    at_once = {k: _played(study, replace(study.plan, max_concurrency=k)) for k in _AT_ONCE if small}
    return Makespan(
        worst.us / MICRO,
        tuple((name, study.takes(name)) for name in names),
        sum(n * us for n, us in zip(it.runs, it.lasts, strict=True)) / MICRO,
        not study.exact,
        rules,
        {k: seconds for k, seconds in at_once.items() if k == 1 or seconds != worst.us / MICRO},
    )


def _under(plan: LoopPlan, rule: StartRule) -> LoopPlan:
    return replace(plan, options=replace(plan.options, start_rule=rule))


def _played(study: Study, plan: LoopPlan) -> float:
    return Study.of(plan, study.durations).worst().us / MICRO
