"""Where do lines and swimlanes run when somebody has put the boxes in their places by hand?

An edge leaves on the right and arrives on the left, as in React Flow: an even curve, and a
wider one where it leads back. A swimlane is the frame around the boxes of its loops.
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

from flownb.notebook.graph.layout.swimlanes import HEAD, PAD, Link, Swimlanes
from flownb.notebook.picture.shapes import Rect

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flownb.notebook.graph.layout.layers import Pair
    from flownb.notebook.picture.shapes import Path, Point


def lay_given(  # noqa: PLR0917 - seven aligned lists
    places: Sequence[Point],
    sizes: Sequence[tuple[float, float]],
    edges: Sequence[Pair],
    labels: Sequence[float],
    groups: Sequence[int],
    heads: Sequence[float],
    links: Sequence[Link],
) -> Swimlanes:
    """Draw everything around boxes at *places*, moved so that the picture begins at 0, 0."""
    boxes = [Rect(*at, *size) for at, size in zip(places, sizes, strict=True)]
    lanes = [
        framed([box for box, group in zip(boxes, groups, strict=True) if group == g], head)
        for g, head in enumerate(heads)
    ]
    every = [*boxes, *(lane for lane, head in zip(lanes, heads, strict=True) if head)]
    left, top = min((b.x for b in every), default=0.0), min((b.y for b in every), default=0.0)
    boxes = [box.moved(-left, -top) for box in boxes]
    lanes = [lane.moved(-left, -top) for lane in lanes]
    routes = tuple(curve(boxes[a], boxes[b]) for a, b in edges)
    spots = tuple(_middle(r) if label else None for r, label in zip(routes, labels, strict=True))
    every = [*boxes, *(lane for lane, head in zip(lanes, heads, strict=True) if head)]
    return Swimlanes(
        tuple(boxes), routes, spots, tuple(curve(boxes[a.source], boxes[a.target]) for a in links),
        tuple(lanes), max((b.right for b in every), default=0.0),
        max((b.bottom for b in every), default=0.0),
    )  # fmt: skip


def framed(boxes: Sequence[Rect], head: float) -> Rect:
    """Give the frame of a swimlane around its boxes; *head* is the width of its title."""
    if not boxes:
        return Rect(0, 0, 0, 0)
    x, y = min(b.x for b in boxes) - PAD, min(b.y for b in boxes) - PAD - HEAD
    wide = max(max(b.right for b in boxes) + PAD - x, head + 2 * PAD)
    return Rect(x, y, wide, max(b.bottom for b in boxes) + PAD - y)


def curve(a: Rect, b: Rect) -> Path:
    """Lead from the right side of *a* to the left side of *b*.

    >>> curve(Rect(0, 0, 80, 40), Rect(120, 0, 80, 40))
    ((80, 20.0), (100.0, 20.0, 100.0, 20.0, 120, 20.0))
    """
    start, end = (a.right, a.middle[1]), (b.x, b.middle[1])
    ahead = end[0] - start[0]
    bend = ahead / 2 if ahead >= 0 else 6.25 * sqrt(-ahead)
    return (start, (start[0] + bend, start[1], end[0] - bend, end[1], *end))


def _middle(route: Path) -> Point:
    (x0, y0), (x1, y1, x2, y2, x3, y3) = route
    return (x0 + 3 * x1 + 3 * x2 + x3) / 8, (y0 + 3 * y1 + 3 * y2 + y3) / 8
