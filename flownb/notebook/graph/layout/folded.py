"""Where do folded loops stand? Beside each other, in rows above the loops that are open."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from flownb.notebook.graph.layout.given_places import curve, framed
from flownb.notebook.graph.layout.swimlanes import HEAD, PAD, Link, Swimlanes, lay_swimlanes
from flownb.notebook.picture.shapes import Rect, moved

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from flownb.notebook.graph.layout.layers import Pair

_BESIDE: Final = 3  # in a row, at least
_BETWEEN: Final = 14.0  # pixels


def lay_folded(  # noqa: PLR0917 - six aligned lists, and what is folded
    sizes: Sequence[tuple[float, float]],
    edges: Sequence[Pair],
    labels: Sequence[float],
    groups: Sequence[int],
    heads: Sequence[float],
    links: Sequence[Link],
    shut: Collection[int],
) -> Swimlanes:
    """Lay out open groups as swimlanes; a group in *shut* is one box, and takes the room of one."""
    open_boxes = [i for i, g in enumerate(groups) if g not in shut]
    at = {i: place for place, i in enumerate(open_boxes)}
    lanes = [g for g in range(len(heads)) if g not in shut]
    inside = {n: link for n, link in enumerate(links) if link.source in at and link.target in at}
    part = lay_swimlanes(
        [sizes[i] for i in open_boxes],
        [(at[a], at[b]) for a, b in edges],
        labels,
        [lanes.index(groups[i]) for i in open_boxes],
        [heads[g] for g in lanes],
        [replace(n, source=at[n.source], target=at[n.target]) for n in inside.values()],
    )
    boxes, down = _rows([i for i, g in enumerate(groups) if g in shut], sizes, heads, part.width)
    down *= bool(open_boxes)
    boxes |= {i: part.boxes[place].moved(0, down) for i, place in at.items()}
    paths = dict(zip(inside, part.links, strict=True))
    frames = {g: part.lanes[n].moved(0, down) for n, g in enumerate(lanes)}
    frames |= {g: framed([boxes[i]], heads[g]) for i, g in enumerate(groups) if g in shut}
    return Swimlanes(
        tuple(boxes[i] for i in range(len(sizes))),
        tuple(moved(route, 0, down) for route in part.routes),
        tuple(spot and (spot[0], spot[1] + down) for spot in part.labels),
        tuple(
            moved(paths[n], 0, down) if n in paths else curve(boxes[a.source], boxes[a.target])
            for n, a in enumerate(links)
        ),
        tuple(frames[g] for g in range(len(heads))),
        max(frame.right for frame in frames.values()),
        max(frame.bottom for frame in frames.values()),
    )


def _rows(
    folded: Sequence[int],
    sizes: Sequence[tuple[float, float]],
    heads: Sequence[float],
    room: float,
) -> tuple[dict[int, Rect], float]:
    """Place folded loops as their titles are wide, in *room* pixels; say where the rows end."""
    wide = max(*heads, *(sizes[i][0] for i in folded)) + 2 * PAD
    high = max(sizes[i][1] for i in folded) + 2 * PAD + HEAD
    many = max(_BESIDE, int((room + _BETWEEN) // (wide + _BETWEEN)))
    boxes = {
        i: Rect(
            n % many * (wide + _BETWEEN) + PAD,
            n // many * (high + _BETWEEN) + PAD + HEAD,
            *sizes[i],
        )
        for n, i in enumerate(folded)
    }
    return boxes, -(-len(folded) // many) * (high + _BETWEEN)
