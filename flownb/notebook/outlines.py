"""Which shape has each kind of node? A kind is told by its outline, not by its colour."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from flownb.analysis.geometry import Path, Rect

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
