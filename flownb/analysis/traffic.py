"""How fast do the loops of a graph go together?

Loops meet in two places: a reader gets no more than is pushed, and a shared `Limit`
serves the item with the lowest number first, so loops that fight for it go equally
fast. A bounded queue that blocks makes its writers as slow as its readers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Final

from flownb.analysis.durations import MICRO

if TYPE_CHECKING:
    from flownb.analysis.pace import Pace
    from flownb.analysis.plan import LoopPlan
    from flownb.model.nodes import QueueOptions

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
class Traffic:
    """Items per second of each loop, and what each queue gets; `held` says what holds a loop."""

    plans: Mapping[str, LoopPlan]
    paces: Mapping[str, Sequence[Pace]]
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
        return min((per_second(p.period) for p in self.paces[loop]), default=inf)

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
        found = [_times(p.runs[node], min(per_second(p.period), bound)) for p in self.paces[loop]]
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
        return max((getattr(p, ends) for p in self.paces[loop]), default=0.0) if ends else 0.0

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
        for loop, each in self.paces.items():
            use = max((p.uses.get(limit, 0.0) for p in each), default=0.0) / MICRO
            if use:
                found[loop] = (self.rate(loop), use)
        return found

    def _share_limits(self) -> bool:
        changed = False
        for limit in dict.fromkeys(
            key for each in self.paces.values() for p in each for key in p.uses
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
