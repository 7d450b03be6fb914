"""Where on the sheet does a second lie? The time axis of a Gantt chart."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, log10
from typing import TYPE_CHECKING, Final

from flownb.notebook.ink import Group, Mark, Writing
from flownb.notebook.words import seconds

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDTH: Final = 680.0  # of the time axis


@dataclass(frozen=True, slots=True)
class Scale:
    """Seconds to pixels; what lies outside ends at the border."""

    left: float
    start: float
    step: float
    end: float

    @classmethod
    def over(cls, left: float, start: float, end: float) -> Scale:
        """Choose 5 to 10 ticks at round numbers, from a round start."""
        raw = (end - start or 1.0) / 10
        size = 10.0 ** floor(log10(raw))
        step = next(size * f for f in (1, 2, 5, 10) if size * f >= raw * (1 - 1e-9))
        begin = floor(start / step + 1e-9) * step
        return cls(left, begin, step, end if end > start else start + 1)

    @property
    def right(self) -> float:
        """Where the axis ends."""
        return self.left + WIDTH

    def x(self, time: float) -> float:
        """Give the place of a second."""
        inside = min(max(time, self.start), self.end)
        return self.left + (inside - self.start) / ((self.end - self.start) or 1.0) * WIDTH

    def ticks(self) -> Iterator[float]:
        """Give the seconds that are written on the axis."""
        count = floor((self.end - self.start) / self.step + 1e-9) + 1
        return (self.start + i * self.step for i in range(count))


def axis(scale: Scale, top: float, bottom: float) -> list[Group]:
    """Draw the grid from *top* to *bottom* and write the seconds under it."""
    return [*grid(scale, top, bottom), *numbers(scale, bottom)]


def numbers(scale: Scale, bottom: float) -> list[Group]:
    """Write the seconds."""
    ticks = [Writing(scale.x(t), bottom + 15, seconds(t), "tick") for t in scale.ticks()]
    return [Group(tuple(ticks))]


def grid(scale: Scale, top: float, bottom: float) -> list[Group]:
    """Draw a line for each second that is written, and one below."""
    lines = [Mark(((x, top), (x, bottom)), "grid") for x in map(scale.x, scale.ticks())]
    return [Group((*lines, Mark(((scale.left, bottom), (scale.right, bottom)), "axis")))]
