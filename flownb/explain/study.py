"""What can be computed about one loop before it runs? A `Study`: what `explain` reads from.

It holds the loop's plan, its durations, the schedules that an item can have (one for each choice
of the ifs), and under each policy the release of each.

A `Reading` says what the loop waits for under one await policy, a `Comparison` under all six.
`measured_shares` says how often each if gave each verdict, from the calls that a run has counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from flownb.display import Shown
from flownb.explain.choices import MOST, choices, options
from flownb.explain.durations import MICRO
from flownb.explain.schedule import Release, Schedule, lasts_of, needs_play, play, release, schedule

if TYPE_CHECKING:
    from flownb.explain.choices import Option, Verdicts
    from flownb.explain.durations import Durations
    from flownb.model.policies import AwaitPolicy
    from flownb.plan.loop_plan import LoopPlan
    from flownb.records.metrics import LoopMetrics

_STEPS: Final = 300_000  # nodes times choices: a huge loop gets a bound instead


@dataclass(frozen=True, slots=True)
class Study:
    """One loop, and the schedules that its items can take.

    `exact`: these are all schedules; else there is one, in which everything that is not
    decided is live, and what is read off it is a bound: "at most".
    """

    plan: LoopPlan
    durations: Durations
    open: dict[int, tuple[Option, ...]]
    schedules: tuple[Schedule, ...]
    exact: bool
    _known: dict[AwaitPolicy, tuple[Release, ...]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, plan: LoopPlan, durations: Durations, verdicts: Verdicts | None = None) -> Study:
        """Make every schedule that *verdicts* leave open."""
        left = options(plan, verdicts)
        most = min(MOST, _STEPS // len(plan.nodes))
        picked, exact = choices(left, most)
        lasts = lasts_of(plan, durations.us)
        follow = play if needs_play(plan) else schedule
        schedules = tuple(follow(plan, lasts, each) for each in picked)
        return cls(plan, durations, left, schedules, exact)

    def only(self, schedules: Sequence[Schedule]) -> Study:
        """Give the same study of fewer schedules."""
        return Study(self.plan, self.durations, self.open, tuple(schedules), self.exact)

    @property
    def is_bound(self) -> bool:
        """Whether what is read off it is "at most": too many schedules, or runs that wait."""
        waits = any(n.multi for n in self.plan.nodes) and self.schedules[0].played
        return waits or not self.exact

    @property
    def loop(self) -> str:
        """The name of the loop."""
        return self.plan.loop

    def releases(self, policy: AwaitPolicy | None = None) -> tuple[Release, ...]:
        """Give the release of each schedule; the loop's own policy if none is named."""
        read = policy or self.plan.policy
        if read not in self._known:
            self._known[read] = tuple(release(it, read) for it in self.schedules)
        return self._known[read]

    def release_of(self, it: Schedule) -> Release:
        """Give the release of one of the schedules under the loop's own policy."""
        return self.releases()[next(i for i, each in enumerate(self.schedules) if each is it)]

    def worst(self, policy: AwaitPolicy | None = None) -> Release:
        """Give the latest release there can be."""
        return max(self.releases(policy), key=lambda r: r.us)

    def awaited(self, policy: AwaitPolicy | None = None) -> tuple[str, ...]:
        """Name the nodes that some item makes the producer wait for, in graph order."""
        found = {v for r in self.releases(policy) for v in r.awaited}
        names = {self.plan.nodes[v].name for v in found}
        return tuple(name for name in self.durations.us if name in names)

    @property
    def detached(self) -> tuple[str, ...]:
        """Name the nodes that never delay the producer."""
        names = {n.name for n in self.plan.nodes if n.detached}
        return tuple(name for name in self.durations.us if name in names)

    def names(self, numbers: Sequence[int]) -> tuple[str, ...]:
        """Give the names of nodes by number."""
        return tuple(self.plan.nodes[v].name for v in numbers)

    @property
    def unknown(self) -> tuple[str, ...]:
        """Name the nodes of the loop whose duration nobody knows."""
        missing = set(self.durations.unknown)
        return tuple(n.name for n in self.plan.nodes if n.name in missing)

    def takes(self, name: str) -> float:
        """Give the seconds of a node."""
        return self.durations.us[name] / MICRO


@dataclass(frozen=True, slots=True)
class Reading:
    """One `loop` under one await `policy`: the `release` in seconds, and what it `waits_for`.

    `chain` is what takes so long: (node, seconds), the producer first. `own`: it is the
    policy of the loop. `at_most`: the ifs leave too many schedules to try each, so the
    release is a bound.
    """

    loop: str
    policy: AwaitPolicy
    release: float
    waits_for: tuple[str, ...]
    chain: tuple[tuple[str, float], ...]
    own: bool = False
    at_most: bool = False


class Comparison(Shown, tuple[Reading, ...]):
    """Readings side by side: a tuple that shows itself as bars and as a table."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What one node may say, and what the producer then waits for, until which second.

    If `node` of `loop` `says` this, its producer `waits_for` these nodes, until second
    `release` of the iteration. `at_most`: the release is a bound.
    """

    loop: str
    node: str
    says: str
    waits_for: tuple[str, ...]
    release: float
    at_most: bool = False


def read(study: Study, policy: AwaitPolicy, own: AwaitPolicy) -> Reading:
    """Read a loop under a policy; *own* is that of the loop."""
    worst = study.worst(policy)
    names = study.names(worst.chain)
    chain = tuple((name, study.takes(name)) for name in names)
    seconds, waits_for = worst.us / MICRO, study.awaited(policy)
    return Reading(study.loop, policy, seconds, waits_for, chain, policy == own, study.is_bound)


def answer(study: Study, option: Option) -> Answer:
    """Say what follows if a node says this; *study* holds the schedules in which it does."""
    release = study.worst().us / MICRO
    return Answer(study.loop, option.node, option.says, study.awaited(), release)


def measured_shares(study: Study, metrics: LoopMetrics | None) -> dict[str, dict[Any, float]]:
    """Give for each deciding node the share of each verdict, where the counts give it.

    A verdict is counted by a node that only it leads to; one that has none is the rest.
    """
    found = {}
    for number, each in study.open.items():
        name = study.plan.nodes[number].name
        asked = metrics.nodes.get(name) if metrics else None
        if metrics is not None and asked is not None and asked.calls:
            shares = {o.verdict: _calls(study, metrics, o, each) for o in each}
            told = {v: c / asked.calls for v, c in shares.items() if c is not None}
            if len(told) >= len(each) - 1 and len(shares) == len(each):
                rest = max(0.0, 1 - sum(told.values()))
                found[name] = {v: told.get(v, rest) for v in shares}
    return found


def _calls(
    study: Study, metrics: LoopMetrics, option: Option, others: tuple[Option, ...]
) -> int | None:
    for target in sorted(option.targets):
        node = study.plan.nodes[target]
        only = all(target not in o.targets for o in others if o != option)
        if only and len(node.sources) == 1 and node.name in metrics.nodes:
            return metrics.nodes[node.name].calls
    return None
