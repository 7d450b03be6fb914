"""How do counters become rates? By comparing two moments of a run.

A sample is what a run has counted up to one moment, open calls and waits included.
`RunRates` keep the samples of the last minute and say what one moment was like: how many
items a second, where the producer's time goes, and who holds it back.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Final, overload

from flownb.records.events import ENDED

if TYPE_CHECKING:
    from flownb.plan.loop_plan import LoopPlan
    from flownb.queues.spec import QueueStats
    from flownb.records.events import LoopState
    from flownb.records.metrics import LoopMetrics

MINUTE: Final = 60  # seconds that are looked back
WINDOW: Final = 5.0  # seconds over which a rate is taken, if enough happens in them
_ENOUGH: Final = 5  # items
_SHOWS: Final = 0.1  # a smaller share of the time holds nobody back


@dataclass(frozen=True, slots=True)
class Sample:
    """What has been counted up to second *time*.

    `nodes` and `kinds` are, for each loop, the seconds of calls and of the producer's
    waits that have not ended yet, see `open_seconds`; `plans` are what the loops follow.
    """

    time: float
    loops: Mapping[str, LoopMetrics]
    nodes: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    kinds: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    plans: Mapping[str, LoopPlan] = field(default_factory=dict)
    queues: Mapping[str, QueueStats] = field(default_factory=dict)
    busy: float = 0.0

    def split(self, loop: str) -> tuple[float, float, float]:
        """Give the seconds for which a producer worked, waited, was throttled."""
        m, extra = self.loops[loop], self.kinds.get(loop, {})
        return (
            m.working + extra.get("work", 0.0),
            m.waiting + extra.get("wait", 0.0),
            m.throttled + extra.get("throttled", 0.0),
        )

    def awaited(self, loop: str) -> list[str]:
        """Name the nodes that the producer may wait for."""
        plan = self.plans.get(loop)
        return [] if plan is None else [n.name for n in plan.nodes[1:] if not n.detached]

    def worked(self, loop: str, node: str) -> float:
        """Give the seconds for which a node worked, all its calls together."""
        known = self.loops[loop].nodes.get(node)
        return (known.total if known else 0.0) + self.nodes.get(loop, {}).get(node, 0.0)


class RunRates:
    """The samples of the last minute.

    >>> from flownb.records.metrics import LoopMetrics
    >>> rates = RunRates()
    >>> for second in range(4):
    ...     rates.add(Sample(second, {"days": LoopMetrics("days", released=20 * second)}))
    >>> rates.rate("days"), rates.ring("days")
    (20.0, [20.0, 20.0, 20.0])
    """

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque()
        self._seconds: deque[Sample] = deque(maxlen=MINUTE + 1)  # one for each second
        self._found: dict[tuple[float, str], Sample] = {}  # by `since`, of the last sample

    def add(self, sample: Sample) -> None:
        """Take the next sample."""
        self._found.clear()
        self._samples.append(sample)
        while sample.time - self._samples[0].time > 2 * WINDOW:
            self._samples.popleft()
        if not self._seconds or sample.time - self._seconds[-1].time >= 1 - 1e-6:
            self._seconds.append(sample)

    def copy(self) -> RunRates:
        """Give the same samples, to which none will be added."""
        found = RunRates()
        found._samples, found._seconds = self._samples.copy(), self._seconds.copy()
        return found

    @property
    def last(self) -> Sample:
        """The sample of now."""
        return self._samples[-1]

    def since(self, seconds: float, loop: str = "") -> Sample:
        """Give the sample from which on to count: the last that is *seconds* old, or the oldest.

        With a *loop*: one that knows it, since it was started.
        """
        found = self._found.get((seconds, loop))
        if found is None:
            found = self._found[seconds, loop] = self._look_back(seconds, loop)
        return found

    def _look_back(self, seconds: float, loop: str) -> Sample:
        then = self.last.time - seconds + 1e-6
        young = self._samples[0].time > then
        rings = (self._seconds, self._samples) if young else (self._samples,)
        found = [s for ring in rings if (s := self._first(ring, then, loop)) is not None]
        return min(found, key=_time, default=self.last)

    def _first(self, ring: deque[Sample], then: float, loop: str) -> Sample | None:
        """Give the last sample at second *then*, or the next one that knows the loop."""
        start = max(0, bisect_right(ring, then, key=_time) - 1)
        later = islice(ring, start, None)
        return next((s for s in later if not loop or self._counts(s, loop)), None)

    def _counts(self, sample: Sample, loop: str) -> bool:
        """Whether a sample knows the loop as it runs now: one that starts anew counts from 0."""
        then = sample.loops.get(loop)
        return then is not None and then.produced <= self.last.loops[loop].produced

    # -- what one moment is like -----------------------------------------------

    def rate(self, loop: str, state: LoopState = "running") -> float | None:
        """Released items per second: of the last seconds, of more when few were released.

        None as long as neither five items nor ten seconds say what it is, and for a loop that
        has ended: it has no rate any more, but so many items in so many seconds.
        """
        if state in ENDED or state == "paused":
            return None if state in ENDED else 0.0
        for window in (WINDOW, 3 * WINDOW, float(MINUTE)):
            before, now = self.since(window, loop), self.last
            items, seconds = (
                now.loops[loop].released - before.loops[loop].released,
                now.time - before.time,
            )
            if items >= _ENOUGH:
                break
        if items >= _ENOUGH or seconds >= 2 * WINDOW:
            return _per(items, seconds)
        items, seconds = now.loops[loop].released, now.loops[loop].elapsed
        return _per(items, seconds) if items >= _ENOUGH or seconds >= 2 * WINDOW else None

    def each(self, loop: str, node: str) -> float:
        """Seconds that a call of a node takes, in the last seconds; of those under way, so far."""
        before, now = self.since(WINDOW, loop), self.last
        known = now.loops[loop].nodes.get(node)
        then = before.loops[loop].nodes.get(node)
        calls = (known.calls if known else 0) - (then.calls if then else 0)
        if calls and known is not None:
            return _per(known.total - (then.total if then else 0.0), calls)
        return max(known.mean if known else 0.0, now.nodes.get(loop, {}).get(node, 0.0))

    def failed(self, loop: str, node: str) -> int:
        """How many calls of a node have failed in the last minute."""
        young = self.last.loops[loop].elapsed <= MINUTE  # it may have failed before the first look
        then = None if young else self.since(MINUTE, loop).loops[loop].nodes.get(node)
        return max(0, self.last.loops[loop].nodes[node].failed - (then.failed if then else 0))

    def calls(self, loop: str, node: str) -> float:
        """Calls of a node per second, over the last seconds."""
        before, now = self.since(WINDOW, loop), self.last
        then = before.loops[loop].nodes.get(node)
        calls = now.loops[loop].nodes[node].calls - (then.calls if then else 0)
        return _per(max(0, calls), now.time - before.time)

    def ring(self, loop: str) -> list[float]:
        """Give the rate of each of the last seconds, the newest last."""
        known = [s for s in self._seconds if loop in s.loops and self._counts(s, loop)]
        return [
            _per(b.loops[loop].released - a.loops[loop].released, b.time - a.time)
            for a, b in zip(known, islice(known, 1, None), strict=False)
        ]

    def split(self, loop: str) -> tuple[float, float, float]:
        """Give the shares of the last seconds: working, waiting, throttled; at most 1 in all."""
        before, now = self.since(WINDOW, loop), self.last
        spans = [max(0.0, b - a) for a, b in zip(before.split(loop), now.split(loop), strict=True)]
        whole = max(now.time - before.time, sum(spans)) or 1.0
        working, waiting, throttled = (x / whole for x in spans)
        return working, waiting, throttled

    def held_by(self, loop: str) -> str:
        """Name the awaited node that works most while the producer waits; "" if nobody does."""
        before, now = self.since(WINDOW, loop), self.last
        _, waiting, _ = self.split(loop)
        if waiting < _SHOWS:
            return ""
        works = {
            node: now.worked(loop, node) - before.worked(loop, node) for node in now.awaited(loop)
        }
        return max(works, key=lambda n: works[n]) if any(works.values()) else ""

    def growth(self, queue: str) -> float:
        """Give by how many messages a second the backlog of a queue grows; below 0 it shrinks."""
        now = self.last
        known = [s for s in self._seconds if queue in s.queues]
        if queue not in now.queues or not known:
            return 0.0
        old = [s for s in known if s.time <= now.time - WINDOW + 1e-6] or known[:1]
        more = now.queues[queue].backlog - old[-1].queues[queue].backlog
        return _per(more, now.time - old[-1].time)

    def busy(self) -> float:
        """Give the share of the last seconds for which the kernel was not free."""
        before = self.since(2 * WINDOW)
        return min(1.0, _per(self.last.busy - before.busy, self.last.time - before.time))


def three_digits(value: float) -> float:
    """Round a figure to what is read of it: what does not change is not sent."""
    return float(f"{value:.3g}")


@overload
def two_digits(rate: float) -> float: ...
@overload
def two_digits(rate: None) -> None: ...
@overload
def two_digits(rate: float | None) -> float | None: ...
def two_digits(rate: float | None) -> float | None:
    """Round a rate to what can be known of it: the third digit would only flicker.

    >>> [two_digits(rate) for rate in (0.0, 1.987, 9.96, 264.1, None)]
    [0.0, 2.0, 10.0, 260.0, None]
    """
    return None if rate is None else float(f"{rate:.2g}")


def _time(sample: Sample) -> float:
    return sample.time


def _per(amount: float, seconds: float) -> float:
    return amount / seconds if seconds > 0 else 0.0
