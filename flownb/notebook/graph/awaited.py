"""How does the picture of an explanation show who waits for whom?

It is the graph's own picture. A halo lies behind every node that the producer waits
for; the critical chain, what takes as long as it takes, is drawn thick in one more
colour and says at each of its nodes from when to when it runs. A "?" stands where
nobody knows how long a node takes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Final

from flownb.notebook.graph.scene import Scene, scene
from flownb.notebook.graph.scene import draw as draw_scene
from flownb.notebook.picture.shapes import (
    Group,
    Look,
    Mark,
    Path,
    Picture,
    Rect,
    Writing,
    arrow,
    round_box,
)
from flownb.notebook.picture.text import brief, stretch, took, width

if TYPE_CHECKING:
    from flownb.explain.explanation import Explanation
    from flownb.notebook.graph.scene import Box

_MOST: Final = 2000  # nodes: a larger picture shows nothing
_HALO: Final = 7.0
_LOW: Final = 4.5  # below the words in the box
LOOKS: Final = {
    "halo": Look("#56b4e938", "#56b4e9", 1),
    "critical": Look(stroke="#d55e00", width=4),
    "critical-head": Look("#d55e00"),
    "time": Look("#d55e00", "#fff", 1),
    "time-text": Look("#fff", size=10, bold=True),
    "doubt": Look("#fff", "#a34400", 1.25, (2, 2)),
    "doubt-text": Look("#7a3300", size=10, bold=True),
}


def draw(why: Explanation) -> Picture | None:
    """Draw the graph with what is awaited and the critical chain of each loop, or of the run."""
    if len(why.workflow.nodes) > _MOST:
        return None
    shapes = scene(why.workflow)
    base, marks = draw_scene(shapes), _Marks.of(why)
    lanes = sum(bool(lane.title) for lane in shapes.lanes)
    lines = lanes + len(shapes.lines)
    groups = (
        *base.groups[:lanes],
        *(_halo(box) for box in shapes.boxes if box.name in marks.awaited),
        *base.groups[lanes:lines],
        *_chain(shapes, marks),
        *base.groups[lines:],
        *(_time(box, marks.times[box.name]) for box in shapes.boxes if box.name in marks.times),
        *(_doubt(box) for box in shapes.boxes if box.name in marks.unknown),
    )
    legend, wide, high = _legend(base, marks)
    words = f"{base.description} {_said(why)}"
    title = f"Who waits for whom in {brief(why.workflow.name)}"
    return replace(
        base, title=title, description=words, width=wide, height=high,
        groups=(*groups, *legend), looks=LOOKS,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Marks:
    """What is to be marked, by the names of nodes."""

    awaited: frozenset[str]
    links: frozenset[tuple[str, str]]
    times: dict[str, str]
    unknown: frozenset[str]

    @classmethod
    def of(cls, why: Explanation) -> _Marks:
        readings = [why.reading(loop) for loop in why.loops]
        awaited = frozenset(name for r in readings for name in r.waits_for)
        chains = [r.chain for r in readings if r.release]
        if (span := why.makespan) is not None:
            chains.append(span.chain)
        links = frozenset((a, b) for chain in chains for (a, _), (b, _) in pairwise(chain))
        times: dict[str, str] = {}
        for chain in chains:
            times |= _times(chain)
        return cls(awaited, links, times, frozenset(why.unknown))


def _times(chain: tuple[tuple[str, float], ...]) -> dict[str, str]:
    """Say from when to when each node of a chain runs, in seconds of the iteration."""
    ends = list(accumulate(takes for _, takes in chain))
    return {
        name: stretch(end - takes, end)
        for (name, takes), end in zip(chain, ends, strict=True)
        if takes
    }


def _halo(box: Box) -> Group:
    frame = box.frame
    wide = Rect(frame.x - _HALO, frame.y - _HALO, frame.width + 2 * _HALO, frame.height + 2 * _HALO)
    return Group((Mark(round_box(wide, 14), "halo", closed=True),))


def _chain(shapes: Scene, marks: _Marks) -> list[Group]:
    return [
        Group(arrow(line.path, "critical", size=13), tip=f"critical chain: {line.tip}")
        for line in shapes.lines
        if (line.source, line.target) in marks.links
    ]


def _time(box: Box, text: str) -> Group:
    return _chip(box.frame.middle[0], box.frame.bottom + _LOW, text, "time")


def _doubt(box: Box) -> Group:
    return _chip(box.frame.middle[0], box.frame.bottom + _LOW, "? s", "doubt")


def _chip(x: float, y: float, text: str, look: str) -> Group:
    wide = width(text, 10) + 14
    shape = round_box(Rect(x - wide / 2, y - 8, wide, 16), 8)
    return Group((Mark(shape, look, closed=True), Writing(x, y + 3.5, text, f"{look}-text")))


def _legend(base: Picture, marks: _Marks) -> tuple[list[Group], float, float]:
    """Explain the marks that occur, in a row under the legend of the graph."""
    y, x, groups = base.height + 12, 2.0, []
    entries = [("halo", "the producer waits for it", bool(marks.awaited))]
    entries.append(("critical", "critical chain: why it takes that long", bool(marks.links)))
    entries.append(("doubt", "nobody knows how long it takes: counts 0", bool(marks.unknown)))
    for look, words, occurs in entries:
        if occurs:
            note = Writing(x + 42, y + 4, words, "note", "start")
            groups.append(Group((*_sample(look, x, y), note)))
            x += 42 + width(words, 11) + 24
    return groups, max(base.width, x - 24), y + 10 if groups else base.height


def _sample(look: str, x: float, y: float) -> tuple[Mark | Writing, ...]:
    if look == "critical":
        path: Path = ((x, y), (x + 34, y))
        return arrow(path, "critical", size=13)
    shape = Mark(round_box(Rect(x + 2, y - 8, 30, 16), 8), look, closed=True)
    return (shape, Writing(x + 17, y + 3.5, "? s", "doubt-text")) if look == "doubt" else (shape,)


def _said(why: Explanation) -> str:
    parts = []
    for loop in why.loops:
        reading = why.reading(loop)
        names = ", ".join(brief(n) for n in reading.waits_for[:50]) or "nothing"
        parts.append(
            f"{brief(loop)} waits for {names}, and is released after {took(reading.release)}"
        )
    if (span := why.makespan) is not None:
        parts.append(f"It runs once and is done after {took(span.seconds)}")
    return ". ".join(parts) + "."
