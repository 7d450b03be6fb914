"""How has a run gone since somebody looks at it? Series of a few hundred points, however long.

A point is taken each `step` seconds; when there are too many, two neighbours become one and the
step is doubled. Counts keep their last value, levels their highest: no peak is lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flownb.notebook.live.rates import Sample

_MOST: Final = 240  # points


@dataclass(frozen=True, slots=True)
class Point:
    """What was counted up to second *time*, and the highest levels since the point before.

    `loops`: released and failed items, items in flight; `queues`: messages in each.
    """

    time: float
    loops: Mapping[str, tuple[int, int, int]]
    queues: Mapping[str, int]

    def and_(self, later: Point) -> Point:
        """Give one point for two."""
        loops = {
            name: (released, failed, max(flight, self.loops.get(name, (0, 0, 0))[2]))
            for name, (released, failed, flight) in later.loops.items()
        }
        queues = {name: max(n, self.queues.get(name, 0)) for name, n in later.queues.items()}
        return Point(later.time, loops, queues)


class RunSeries:
    """The points of a run.

    >>> from flownb.notebook.live.rates import Sample
    >>> from flownb.records.metrics import LoopMetrics
    >>> series = RunSeries()
    >>> for second in range(4):
    ...     series.add(Sample(second, {"days": LoopMetrics("days", released=20 * second)}))
    >>> series.rates("days"), series.seconds
    ([20.0, 20.0, 20.0], 3)
    """

    def __init__(self) -> None:
        self._points: list[Point] = []
        self._open: Point | None = None  # since the last point, until a step is over
        self.step = 1.0
        """Seconds between two points."""

    def add(self, sample: Sample) -> None:
        """Take the next sample."""
        loops = {n: (m.released, m.failed, m.in_flight) for n, m in sample.loops.items()}
        queues = {name: stats.depth for name, stats in sample.queues.items()}
        now = Point(sample.time, loops, queues)
        self._open = now if self._open is None else self._open.and_(now)
        if self._points and now.time - self._points[-1].time < self.step - 1e-6:
            return
        self._points.append(self._open)
        self._open = None
        if len(self._points) > _MOST:
            first, *others = self._points
            pairs = zip(others[::2], others[1::2], strict=False)
            self._points = [first, *(a.and_(b) for a, b in pairs)]
            self.step *= 2

    @property
    def seconds(self) -> float:
        """How many seconds the points span."""
        return self._points[-1].time - self._points[0].time if self._points else 0.0

    def rates(self, loop: str) -> list[float]:
        """Give the released items per second between each two points."""
        return [
            max(0, b.loops[loop][0] - a.loops[loop][0]) / (b.time - a.time)
            for a, b in pairwise(self._of(loop))
        ]

    def failed(self, loop: str) -> list[int]:
        """Give how many items failed between each two points."""
        of = self._of(loop)
        return [max(0, b.loops[loop][1] - a.loops[loop][1]) for a, b in pairwise(of)]

    def in_flight(self, loop: str) -> list[int]:
        """Give the most items in flight between each two points."""
        return [point.loops[loop][2] for point in self._of(loop)[1:]]

    def depths(self, queue: str) -> list[int]:
        """Give the most messages in a queue between each two points."""
        return [point.queues[queue] for point in self._points[1:] if queue in point.queues]

    def _of(self, loop: str) -> list[Point]:
        return [point for point in self._points if loop in point.loops]
