"""How long does a graph without a producer take, and what decides it?

Such a graph runs once, and everything is awaited. With as many workers as it likes it
takes its critical chain; with one, the sum of all work; in between, and under the other
start rules, it is played through.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from flownb.analysis.durations import MICRO
from flownb.analysis.study import Study

if TYPE_CHECKING:
    from flownb.analysis.plan import LoopPlan
    from flownb.model.policies import StartRule

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
    it = study.courses[study.releases().index(worst)]
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
