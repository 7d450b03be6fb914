"""Which shapes does a layout speak in? Rectangles and paths, as plain numbers.

A path is a tuple of steps: it starts with a point, then two numbers are a straight
line to a point, six a cubic curve (two control points and the end).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import hypot
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

Point = tuple[float, float]
Step = tuple[float, ...]
Path = tuple[Step, ...]
_NOTHING = 1e-6  # pixels: rounding noise


@dataclass(frozen=True, slots=True)
class Rect:
    """A box by its top left corner; y grows downwards, as on every screen."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """The x of the right side."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """The y of the lower side."""
        return self.y + self.height

    @property
    def middle(self) -> Point:
        """The centre."""
        return self.x + self.width / 2, self.y + self.height / 2

    def moved(self, dx: float, dy: float) -> Rect:
        """Give the same box elsewhere."""
        return Rect(self.x + dx, self.y + dy, self.width, self.height)

    def overlaps(self, other: Rect, margin: float = 0.0) -> bool:
        """Whether two boxes come closer than *margin*.

        >>> Rect(0, 0, 10, 10).overlaps(Rect(10, 0, 5, 5))
        False
        """
        return (
            self.x < other.right + margin
            and other.x < self.right + margin
            and self.y < other.bottom + margin
            and other.y < self.bottom + margin
        )


def moved(path: Path, dx: float, dy: float) -> Path:
    """Give the same path elsewhere.

    >>> moved(((0, 0), (1, 2)), 10, 20)
    ((10, 20), (11, 22))
    """
    return tuple(tuple(v + (dy if i % 2 else dx) for i, v in enumerate(step)) for step in path)


def s_curve(a: Point, b: Point) -> Step:
    """Lead from *a* to *b* so that it leaves and arrives level; straight if it can."""
    if abs(a[1] - b[1]) < _NOTHING:
        return b
    half = (a[0] + b[0]) / 2
    return (half, a[1], half, b[1], *b)


def u_turn(a: Point, b: Point, reach: float) -> Step:
    """Lead from *a* back to *b* above or below it, bulging by *reach* (left if negative)."""
    bulge = a[0] + reach * 4 / 3
    return (bulge, a[1], bulge, b[1], *b)


def path(start: Point, steps: Iterable[Step]) -> Path:
    """Join steps to a path; straight pieces that lie on one line become one.

    >>> path((0, 0), [(5, 0), (9, 0), (9, 0)])
    ((0, 0), (9, 0))
    """
    done: list[Step] = [start]
    for step in steps:
        last = done[-1]
        if len(step) == len(start) and _near(step, last):
            continue
        straight = len(step) == len(last) == len(start) and len(done) > 1
        if straight and _on_line(done[-2][-2:], last, step):
            done[-1] = step
        else:
            done.append(step)
    return tuple(done)


def rounded(corners: Iterable[Point], radius: float) -> Path:
    """Join points by lines whose corners are rounded.

    >>> rounded([(0, 0), (10, 0), (10, 10)], 2)
    ((0, 0), (8.0, 0.0), (10, 0, 10, 0, 10.0, 2.0), (10, 10))
    """
    points = path(*_head(corners))
    done: list[Step] = [points[0]]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        a, b = _towards(corner, before, radius), _towards(corner, after, radius)
        done += [a, (*corner, *corner, *b)]
    done.append(points[-1])
    return tuple(done)


def _head(points: Iterable[Point]) -> tuple[Point, list[Point]]:
    first, *rest = points
    return first, rest


def _on_line(a: Step, b: Step, c: Step) -> bool:
    return (a[1] == b[1] == c[1] and (b[0] - a[0]) * (c[0] - b[0]) >= 0) or (
        a[0] == b[0] == c[0] and (b[1] - a[1]) * (c[1] - b[1]) >= 0
    )


def _near(a: Step, b: Step) -> bool:
    return abs(a[-2] - b[-2]) + abs(a[-1] - b[-1]) < _NOTHING


def _towards(corner: Step, other: Step, radius: float) -> Point:
    dx, dy = other[-2] - corner[0], other[-1] - corner[1]
    length = hypot(dx, dy) or 1.0
    part = min(radius, length / 2) / length
    return corner[0] + dx * part, corner[1] + dy * part
