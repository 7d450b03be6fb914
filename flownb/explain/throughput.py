"""What is the throughput of each loop, alone and together? `LoopRate` and `GraphRate`.

Alone, a loop makes the next item at the release of the one before, or at the next tick of
`every=`. Detached work holds a slot until it is done: with m slots and h seconds in a slot no
more than m / h items a second get through (Little's law). A `Limit` lets through what
it lets through. The slowest of these is the period of the loop.

Together, loops meet in two places: a reader gets no more than is pushed, and a shared `Limit`
serves the item with the lowest number first, so loops that fight for it go equally
fast. A bounded queue that blocks makes its writers as slow as its readers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, inf, prod
from typing import TYPE_CHECKING, Any, Final

from flownb.explain.durations import MICRO

if TYPE_CHECKING:
    from flownb.explain.choices import Option
    from flownb.explain.schedule import Release, Schedule
    from flownb.explain.study import Study
    from flownb.model.nodes import QueueOptions
    from flownb.model.policies import Limit
    from flownb.plan.loop_plan import LoopPlan

_ROUNDS: Final = 60
_NOISE: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Pipe:
    """A queue inside the graph: (loop, node number) of its writers, names of its readers."""

    queue: str
    options: QueueOptions
    writers: tuple[tuple[str, int], ...]
    readers: tuple[str, ...]

    @property
    def presses_back(self) -> bool:
        """Whether it makes its writers wait when it is full."""
        return self.options.maxlen is not None and self.options.when_full == "block"


@dataclass(slots=True)
class GraphRate:
    """Items per second of each loop, and what each queue gets; `held` says what holds a loop."""

    plans: Mapping[str, LoopPlan]
    loop_rates: Mapping[str, Sequence[LoopRate]]
    pipes: tuple[Pipe, ...]
    cap: dict[str, float] = field(default_factory=dict)
    held: dict[str, str] = field(default_factory=dict)
    arrival: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.cap = dict.fromkeys(self.plans, inf)
        self.arrival = {p.queue: 0.0 for p in self.pipes}
        for _ in range(_ROUNDS):
            self._flow()
            if not (self._share_limits() or self._press_back()):
                return

    def alone(self, loop: str) -> float:
        """Items per second of a loop that nobody holds up: its slowest choice."""
        return min((per_second(p.period) for p in self.loop_rates[loop]), default=inf)

    def rate(self, loop: str) -> float:
        """Items per second of a loop."""
        return min(self.alone(loop), self.cap[loop], self._brought(loop))

    def _brought(self, loop: str) -> float:
        """Messages per second that reach this reader; no bound for what is no reader."""
        queue = self.plans[loop].reads
        pipe = next((p for p in self.pipes if p.queue == queue), None)
        if pipe is None:
            return inf
        arrival = self.arrival[pipe.queue]
        if pipe.options.mode == "broadcast" or len(pipe.readers) == 1 or arrival == inf:
            return arrival
        able = {r: min(self.alone(r), self.cap[r]) for r in pipe.readers}
        whole = sum(able.values())
        part = 1 / len(able) if whole == inf else able[loop] / whole
        return arrival * part

    def pushed(self, loop: str, node: int) -> float:
        """Messages per second that a queue node may push, in its worst case."""
        bound = min(self.cap[loop], self._brought(loop))
        found = [
            _times(p.runs[node], min(per_second(p.period), bound)) for p in self.loop_rates[loop]
        ]
        return max(found, default=0.0)

    def _flow(self) -> None:
        """Let messages run through all queues; what goes round settles."""
        for _ in range(_ROUNDS):
            before = dict(self.arrival)
            for pipe in self.pipes:
                self.arrival[pipe.queue] = sum(self.pushed(*w) for w in pipe.writers)
            if before == self.arrival:
                return

    def serviced(self, pipe: Pipe) -> float:
        """Messages per second that the readers of a queue can take."""
        able = [min(self.alone(r), self.cap[r]) for r in pipe.readers]
        together = min(able) if pipe.options.mode == "broadcast" else sum(able)
        if pipe.presses_back and pipe.options.maxlen:  # a message has its place until its ack
            held = max(self._until_ack(r) for r in pipe.readers)
            together = min(together, per_second(held) * pipe.options.maxlen)
        return together

    def _until_ack(self, loop: str) -> float:
        """Give the microseconds from the start of a message's item to its ack."""
        reader = self.plans[loop].nodes[0].node.reader
        ack = reader.ack if reader is not None else "done"
        ends = {"done": "settled", "awaited": "release"}.get(ack)
        return max((getattr(p, ends) for p in self.loop_rates[loop]), default=0.0) if ends else 0.0

    def _press_back(self) -> bool:
        changed = False
        for pipe in self.pipes:
            arrival, able = self.arrival[pipe.queue], self.serviced(pipe)
            if pipe.presses_back and arrival > able * (1 + _NOISE):
                for loop in dict.fromkeys(loop for loop, _ in pipe.writers):
                    part = able / arrival if arrival < inf else 0.0
                    self.cap[loop] = self.rate(loop) * part if part else able
                    self.held[loop] = f"queue {pipe.queue}"
                changed = True
        return changed

    def demand(self, limit: int) -> dict[str, tuple[float, float]]:
        """Give (items per second, busy seconds per item) of each loop that uses a limit."""
        found = {}
        for loop, each in self.loop_rates.items():
            use = max((p.uses.get(limit, 0.0) for p in each), default=0.0) / MICRO
            if use:
                found[loop] = (self.rate(loop), use)
        return found

    def _share_limits(self) -> bool:
        changed = False
        for limit in dict.fromkeys(
            key for each in self.loop_rates.values() for p in each for key in p.uses
        ):
            users = self.demand(limit)
            if len(users) > 1 and sum(_times(u, r) for r, u in users.values()) > 1 + 1e-6:
                equal = _equal_rate(users.values())
                for loop, (rate, _) in users.items():
                    if rate > equal * (1 + _NOISE):
                        self.cap[loop], self.held[loop], changed = equal, f"limit {limit}", True
        return changed


def per_second(us: float) -> float:
    """Turn a period in microseconds into a rate; without a period there is no bound."""
    return MICRO / us if us > 0 else inf


def _times(count: float, rate: float) -> float:
    return count * rate if count else 0.0


def _equal_rate(users: Iterable[tuple[float, float]]) -> float:
    """Give the rate at which those who want more share what the others leave.

    >>> _equal_rate([(10, 0.1), (1, 0.5)])
    5.0
    """
    room, left = 1.0, sorted(users)
    while left:
        equal = room / sum(use for _, use in left)
        rate, use = left[0]
        if rate > equal:
            return equal
        room, left = room - rate * use, left[1:]
    return inf


_BUSY: Final = 0.5  # of the period: below that there is room to get out of the way
Rates = Mapping[str, Any]  # if: the share of yes; or of each verdict, {"high": 0.2, ...}


@dataclass(frozen=True, slots=True)
class LoopRate:
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
    slowest: Schedule
    awaited: Release

    @property
    def settled(self) -> float:
        """Microseconds until the last node of the slowest item has ended."""
        return self.slowest.settled

    @property
    def is_contended(self) -> bool:
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


def loop_rates(study: Study, rates: Rates) -> list[LoopRate]:
    """Give the loop's rate for each choice of the ifs whose shares nobody knows.

    Ifs of which *rates* has the shares count with their mean.
    """
    groups: dict[tuple[Option, ...], list[tuple[float, Schedule]]] = {}
    for it in study.schedules:
        given = [share(rates, option) for option in it.choice.values()]
        known = [x for x in given if x is not None]
        open_ = tuple(o for o, x in zip(it.choice.values(), given, strict=True) if x is None)
        groups.setdefault(open_, []).append((prod(known), it))
    return [_mean(study, each) for each in groups.values() if sum(w for w, _ in each) > 0]


def share(rates: Rates, option: Option) -> float | None:
    """Give how often a node says this, as far as *rates* has it."""
    given = rates.get(option.node)
    if given is None:
        return None
    if isinstance(given, Mapping):
        return float(given.get(option.verdict, 0.0))
    return float(given if option.verdict else 1 - given)


def _mean(study: Study, weighted: Sequence[tuple[float, Schedule]]) -> LoopRate:
    whole = sum(weight for weight, _ in weighted)
    each = [(weight / whole, of_course(study, it)) for weight, it in weighted]
    slowest = max((loop_rate for _, loop_rate in each), key=lambda p: (p.period, p.release))
    if len(each) == 1:
        return slowest
    limits = {key for _, loop_rate in each for key in loop_rate.uses}
    return LoopRate(
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


def of_course(study: Study, it: Schedule) -> LoopRate:
    """Give the loop's rate if every item had this schedule."""
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
    return LoopRate(awaited.us, ticks, slots, hold, dict(_uses(it)), it.runs, it, awaited)


def _slot_taken(it: Schedule, released: int) -> int | None:
    """When the item takes its slot: at its first detached node, or open at its release."""
    nodes = it.plan.nodes
    ready = [it.end[v] - it.lasts[v] for v, n in enumerate(nodes) if n.detached and it.runs[v]]
    if it.settled > released:
        ready.append(released)
    return min(ready, default=None)


def _longest_detached(it: Schedule) -> int:
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


def _uses(it: Schedule) -> Iterator[tuple[int, float]]:
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
