"""What is a picture made of, and how does each part of it look?

A `Picture` is marks (paths) and writings (texts) in groups, each with the name of its
look. One table of looks serves the SVG and the figure. Colours of kinds are Okabe and
Ito's, lightened, under dark text; everything that colour says, shape, dash or a word
says too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import hypot
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from flownb.analysis.geometry import Path, Point

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
    "queued": Look(stroke="queue", width=2.5, dash=(2, 4)),
    "awaited-head": Look("fg"),
    "detached-head": Look("dim"),
    "idle-head": Look("dim"),
    "queued-head": Look("queue"),
    "note": Look("dim", size=11),
    "work-even": Look("#8fcdf2", "#1d628c", 1),
    "work-odd": Look("#d9eefb", "#1d628c", 1),
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
