"""Which shapes is a picture made of, and how does each look? Marks, texts, rectangles, outlines.

A `Picture` is marks (paths) and writings (texts) in groups, each with the name of its
look. One table of looks serves the SVG and the figure. Colours of kinds are Okabe and
Ito's, lightened, under dark text; everything that colour says, shape, dash or a word
says too.

Rectangles and paths are plain numbers. A path is a tuple of steps: it starts with a point, then
two numbers are a straight line to a point, six a cubic curve (two control points and the end).

Each kind of node has an outline of its own: a kind shows by its outline, not by its colour.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import hypot
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Anchor = Literal["start", "middle", "end"]


@dataclass(frozen=True, slots=True)
class Mark:
    """A path in the look of that name, closed or not."""

    path: Path
    look: str
    closed: bool = False


@dataclass(frozen=True, slots=True)
class Writing:
    """A line of text whose base line is at *y*."""

    x: float
    y: float
    text: str
    look: str
    anchor: Anchor = "middle"


@dataclass(frozen=True, slots=True)
class Group:
    """What belongs together: one id, one tooltip."""

    parts: tuple[Mark | Writing, ...]
    id: str = ""
    tip: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """Groups on a sheet of that size, with the words that stand for it.

    `looks` are looks that only this picture has.
    """

    title: str
    description: str
    width: float
    height: float
    groups: tuple[Group, ...]
    looks: Mapping[str, Look] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Look:
    """A fill, a stroke, both the name of an ink or a colour; `size` is that of text."""

    fill: str = "none"
    stroke: str = "none"
    width: float = 0.0
    dash: tuple[float, ...] = ()
    size: float = 0.0
    bold: bool = False


# The name of an ink: what JupyterLab calls it, and what it is where nobody says.
INKS: Final[dict[str, tuple[str, str, str]]] = {
    "fg": ("--jp-content-font-color0", "#111", "#f2f2f2"),
    "dim": ("--jp-content-font-color2", "#616161", "#b3b3b3"),
    "bg": ("--jp-layout-color0", "#fff", "#111"),
    "frame": ("--jp-border-color2", "#e0e0e0", "#505050"),
    "queue": ("", "#a34d80", "#d58db5"),
    "grid": ("", "#80808038", "#80808060"),
    "band": ("", "#8080800f", "#80808024"),
}
_DARK_TEXT: Final = "#111"
LOOKS: Final[dict[str, Look]] = {
    "lane": Look("band", "frame", 1),
    "lane-title": Look("dim", size=12),
    "producer": Look("#8fd3bf", "#00664a", 1.75),
    "blocking": Look("#f4cf85", "#7d5600", 2.5),
    "non_blocking": Look("#b5dcf5", "#1d628c", 1.75, (5, 3)),
    "if": Look("#f7f0a0", "#757000", 1.75),
    "queue": Look("#e8c1d6", "#8a3f6b", 1.75),
    "queue_reader": Look("#e8c1d6", "#8a3f6b", 1.75),
    "unknown": Look("#f6c9ad", "#a34400", 1.75, (2, 3)),
    "name": Look(_DARK_TEXT, size=13, bold=True),
    "word": Look("#333", size=11),
    "badge": Look("bg", "fg", 1.5),
    "badge-text": Look("fg", size=10, bold=True),
    "chip": Look("bg", "frame", 1),
    "chip-text": Look("fg", size=11),
    "awaited": Look(stroke="fg", width=2.5),
    "detached": Look(stroke="dim", width=1.75, dash=(6, 4)),
    "idle": Look(stroke="dim", width=1.5),
    "next": Look(stroke="fg", width=2.0),
    "queued": Look(stroke="queue", width=2.5, dash=(2, 4)),
    "awaited-head": Look("fg"),
    "detached-head": Look("dim"),
    "idle-head": Look("dim"),
    "next-head": Look("fg"),
    "queued-head": Look("queue"),
    "note": Look("dim", size=11),
    "waiting": Look("none", "dim", 1),
    "hatch": Look("none", "dim", 0.75),
    "bar-number": Look(_DARK_TEXT, size=10),
    "row-name": Look("fg", size=12),
    "grid": Look("none", "grid", 1),
    "axis": Look("none", "dim", 1),
    "tick": Look("dim", size=11),
}


def arrow(path: Path, look: str, *, size: float = 10.0) -> tuple[Mark, ...]:
    """Draw a line that ends in a filled head; the line stops inside the head."""
    tip, back = path[-1][-2:], _before_end(path)
    length = hypot(tip[0] - back[0], tip[1] - back[1]) or 1.0
    ux, uy = (tip[0] - back[0]) / length, (tip[1] - back[1]) / length
    base = (tip[0] - ux * size, tip[1] - uy * size)
    half = size * 0.42
    head: Path = (
        (tip[0], tip[1]),
        (base[0] - uy * half, base[1] + ux * half),
        (base[0] + uy * half, base[1] - ux * half),
    )
    inside = (tip[0] - ux * size * 0.7, tip[1] - uy * size * 0.7)
    return (
        Mark((*path[:-1], (*path[-1][:-2], *inside)), look),
        Mark(head, f"{look}-head", closed=True),
    )


def _before_end(path: Path) -> Point:
    last = path[-1]
    for i in range(len(last) - 4, -1, -2):
        if last[i : i + 2] != last[-2:]:
            return last[i], last[i + 1]
    return path[-2][-2], path[-2][-1]


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


_ARC = 0.5523  # how far the control points of a quarter circle stand out
_CAP = 9.0  # how deep the round ends of a cylinder are
_POINT = 14.0  # how far the tips of an if stand out


def outline(kind: str, box: Rect) -> Path:
    """Give the closed outline of a node of this kind."""
    return _SHAPES.get(kind, _card)(box)


def rim(kind: str, box: Rect) -> Path:
    """Give the line inside the outline: the rim that makes a queue a cylinder."""
    return _right_cap(box, inwards=True) if kind == "queue" else ()


def round_box(box: Rect, radius: float) -> Path:
    """Give a rectangle with round corners."""
    r = min(radius, box.width / 2, box.height / 2)
    k = r * (1 - _ARC)
    x, y, right, bottom = box.x, box.y, box.right, box.bottom
    return (
        (x + r, y),
        (right - r, y),
        (right - k, y, right, y + k, right, y + r),
        (right, bottom - r),
        (right, bottom - k, right - k, bottom, right - r, bottom),
        (x + r, bottom),
        (x + k, bottom, x, bottom - k, x, bottom - r),
        (x, y + r),
        (x, y + k, x + k, y, x + r, y),
    )


def _card(box: Rect) -> Path:
    return round_box(box, 3)


def _soft_card(box: Rect) -> Path:
    return round_box(box, 12)


def _pill(box: Rect) -> Path:
    return round_box(box, box.height / 2)


def _hexagon(box: Rect) -> Path:
    middle, x, right = box.middle[1], box.x + _POINT, box.right - _POINT
    return (
        (box.x, middle),
        (x, box.y),
        (right, box.y),
        (box.right, middle),
        (right, box.bottom),
        (x, box.bottom),
    )


def _cylinder(box: Rect) -> Path:
    """A lying cylinder: what goes in on the left comes out on the right."""
    left, top, bottom = box.x + _CAP, box.y, box.bottom
    k = (1 - _ARC) * box.height / 2
    out = left - _CAP
    return (
        (left, top),
        *_right_cap(box, inwards=False),
        (left, bottom),
        (left - _CAP * _ARC, bottom, out, bottom - k, out, box.middle[1]),
        (out, top + k, left - _CAP * _ARC, top, left, top),
    )


def _right_cap(box: Rect, *, inwards: bool) -> Path:
    right, top, bottom = box.right - _CAP, box.y, box.bottom
    depth = -_CAP if inwards else _CAP
    k = (1 - _ARC) * box.height / 2
    tip = right + depth
    return (
        (right, top),
        (right + depth * _ARC, top, tip, top + k, tip, box.middle[1]),
        (tip, bottom - k, right + depth * _ARC, bottom, right, bottom),
    )


def _socket(box: Rect) -> Path:
    """A pill with a hollow left end, into which the cylinder of its queue would fit."""
    x, top, bottom, middle = box.x, box.y, box.bottom, box.middle[1]
    r = box.height / 2
    k, right = r * (1 - _ARC), box.right
    return (
        (x, top),
        (right - r, top),
        (right - k, top, right, top + k, right, middle),
        (right, bottom - k, right - k, bottom, right - r, bottom),
        (x, bottom),
        (x + _CAP * _ARC, bottom, x + _CAP, bottom - k, x + _CAP, middle),
        (x + _CAP, top + k, x + _CAP * _ARC, top, x, top),
    )


_SHAPES: dict[str, Callable[[Rect], Path]] = {
    "producer": _pill,
    "blocking": _card,
    "non_blocking": _soft_card,
    "if": _hexagon,
    "queue": _cylinder,
    "queue_reader": _socket,
}
