"""How fast can one loop go, if nobody else holds it up?

The next item is made at the release of the one before, or at the next tick of `every=`.
Detached work holds a slot until it is done: with m slots and h seconds in a slot no
more than m / h items a second get through (Little's law). A `Limit` lets through what
it lets through. The slowest of these is the period of the loop.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, prod
from typing import TYPE_CHECKING, Any, Final

from flownb.analysis.durations import MICRO

if TYPE_CHECKING:
    from flownb.analysis.course import Course
    from flownb.analysis.releases import Release
    from flownb.analysis.study import Study
    from flownb.analysis.verdicts import Option
    from flownb.model.policies import Limit

_BUSY: Final = 0.5  # of the period: below that there is room to get out of the way

Rates = Mapping[str, Any]  # if: the share of yes; or of each verdict, {"high": 0.2, ...}


@dataclass(frozen=True, slots=True)
class Pace:
    """What bounds the period of a loop, in microseconds, and what its items use.

    `release` is the mean release, `ticks` the same rounded up to the clock of `every=`,
    `slots` the bound by `max_in_flight`, `hold` how long an item keeps its slot; `uses`
    maps each limit to the time it needs for one item, `runs` counts calls by node.
    """

    release: float
    ticks: float
    slots: float
    hold: float
    uses: Mapping[int, float]
    runs: Sequence[float]
    slowest: Course
    awaited: Release

    @property
    def settled(self) -> float:
        """Microseconds until the last node of the slowest item has ended."""
        return self.slowest.settled

    @property
    def crowded(self) -> bool:
        """Whether a busy limit and something else that is busy may get in each other's way.

        Only where items overlap: what one has begun is still going on when the next begins.
        """
        busy = [use for use in self.uses.values() if use > _BUSY * self.period]
        others = [x for x in (self.slots, self.ticks) if x > _BUSY * self.period]
        limits = [n.node.limit for n in self.slowest.plan.nodes if n.node.limit is not None]
        overlap = self.settled > self.release or any(limit.per_second for limit in limits)
        return overlap and bool(busy) and len(busy) + len(others) > 1

    @property
    def period(self) -> float:
        """Microseconds from one release to the next."""
        return max(self.ticks, self.slots, *self.uses.values(), 0.0)


def paces(study: Study, rates: Rates) -> list[Pace]:
    """Give the pace for each choice of the ifs whose shares nobody knows.

    Ifs of which *rates* tells the shares count with their mean.
    """
    groups: dict[tuple[Option, ...], list[tuple[float, Course]]] = {}
    for it in study.courses:
        given = [share(rates, option) for option in it.choice.values()]
        known = [x for x in given if x is not None]
        open_ = tuple(o for o, x in zip(it.choice.values(), given, strict=True) if x is None)
        groups.setdefault(open_, []).append((prod(known), it))
    return [_mean(study, each) for each in groups.values() if sum(w for w, _ in each) > 0]


def share(rates: Rates, option: Option) -> float | None:
    """Give how often a node says this, as far as *rates* tells."""
    given = rates.get(option.node)
    if given is None:
        return None
    if isinstance(given, Mapping):
        return float(given.get(option.verdict, 0.0))
    return float(given if option.verdict else 1 - given)


def _mean(study: Study, weighted: Sequence[tuple[float, Course]]) -> Pace:
    whole = sum(weight for weight, _ in weighted)
    each = [(weight / whole, of_course(study, it)) for weight, it in weighted]
    slowest = max((pace for _, pace in each), key=lambda p: (p.period, p.release))
    if len(each) == 1:
        return slowest
    limits = {key for _, pace in each for key in pace.uses}
    return Pace(
        sum(w * p.release for w, p in each),
        sum(w * p.ticks for w, p in each),
        sum(w * p.slots for w, p in each),
        sum(w * p.hold for w, p in each),
        {key: sum(w * p.uses.get(key, 0.0) for w, p in each) for key in sorted(limits)},
        [sum(w * n for w, n in zip((w for w, _ in each), runs, strict=True))
         for runs in zip(*(p.runs for _, p in each), strict=True)],
        slowest.slowest,
        slowest.awaited,
    )  # fmt: skip


def of_course(study: Study, it: Course) -> Pace:
    """Give the pace if every item took this course."""
    plan = study.plan
    awaited = study.release_of(it)
    every, slots = plan.nodes[0].node.every, 0.0
    ticks = float(awaited.us)
    if every is not None:
        ticks = max(1, ceil(awaited.us / (every * MICRO) - 1e-9)) * (every * MICRO)
    taken = _slot_taken(it, awaited.us)
    if taken is not None and plan.options.when_full == "block":
        m = plan.options.max_in_flight
        slots = max(_longest_detached(it) / m, it.settled / (m + 1))
    hold = 0.0 if taken is None else it.settled - taken
    return Pace(awaited.us, ticks, slots, hold, dict(_uses(it)), it.runs, it, awaited)


def _slot_taken(it: Course, released: int) -> int | None:
    """When the item takes its slot: at its first detached node, or open at its release."""
    nodes = it.plan.nodes
    ready = [it.end[v] - it.lasts[v] for v, n in enumerate(nodes) if n.detached and it.runs[v]]
    if it.settled > released:
        ready.append(released)
    return min(ready, default=None)


def _longest_detached(it: Course) -> int:
    """Give the longest chain of detached work: what a throttled item still has before it."""
    nodes, ends = it.plan.nodes, [0] * len(it.end)
    longest = 0
    for v, node in enumerate(nodes):
        if node.detached and it.runs[v]:
            ends[v] += it.lasts[v]
            longest = max(longest, ends[v])
            for edge in it.live(v):
                ends[edge.target] = max(ends[edge.target], ends[v])
    return longest


def _uses(it: Course) -> Iterator[tuple[int, float]]:
    """Give for each limit how long it is busy for one item."""
    spent: dict[int, float] = {}
    for v, node in enumerate(it.plan.nodes):
        limit = node.node.limit
        if limit is not None and it.runs[v]:
            spent[id(limit)] = spent.get(id(limit), 0.0) + it.runs[v] * busy(limit, it.lasts[v])
    yield from spent.items()


def busy(limit: Limit, us: float) -> float:
    """Give the microseconds by which one call of that length fills a limit."""
    gap = MICRO / limit.per_second if limit.per_second else 0.0
    return max(gap, us / limit.concurrency if limit.concurrency else 0.0)
