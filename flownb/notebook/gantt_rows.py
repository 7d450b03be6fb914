"""Where does each span of a timeline stand? One row for each node, loop by loop.

Calls of one node that overlap stand under each other, up to a dozen lines. What finds
no line any more, and what comes after many bars, is counted, not drawn.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from flownb.model.records import lines
from flownb.notebook.gantt_bars import BAR, Bar, draw, frame
from flownb.notebook.ink import Group, Writing, arrow
from flownb.notebook.words import shorten, width

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from flownb.analysis.geometry import Path, Rect
    from flownb.model.records import Hop, Span
    from flownb.model.timeline import Timeline
    from flownb.model.waits import Reasons
    from flownb.notebook.gantt_axis import Scale

HEAD: Final = 24.0  # pixels of a loop's name
NAMES: Final = 150.0  # pixels of a node's name
_SPACE: Final = 8.0
_DEEP: Final = 12  # calls of one node under each other
_HOPS: Final = 300


@dataclass(slots=True)
class Rows:
    """The rows of one timeline as they come to stand, from *bottom* on downwards."""

    scale: Scale
    why: Reasons
    away: frozenset[tuple[str, str]]
    room: float
    bottom: float
    high: float = BAR
    title: str = ""  # stands for the name of the loop, where there is but one
    groups: list[Group] = field(default_factory=list)
    frames: dict[Span, Rect] = field(default_factory=dict)
    tops: dict[str, float] = field(default_factory=dict)
    ends: dict[str, float] = field(default_factory=dict)

    def add(self, timeline: Timeline) -> None:
        """Draw every row of *timeline* and the messages between them."""
        by_row: dict[tuple[str, str], list[Span]] = {row: [] for row in timeline.rows}
        for span in timeline.spans:
            by_row[span.loop, span.node].append(span)
        for (loop, node), spans in by_row.items():
            if loop not in self.tops:
                self._head(loop)
            self._row(loop, node, spans)
            self.ends[loop] = self.bottom - _SPACE
        self.groups += [_arrow(hop, a, b, self.scale) for hop, a, b in self._hops(timeline)]

    def _head(self, loop: str) -> None:
        self.bottom += _SPACE * bool(self.tops)
        style, size = ("pane-name", 14) if self.title else ("lane-title", 12)
        words = shorten(self.title or loop_words(loop), NAMES, size)
        place = Writing(self.scale.left - 10, self.bottom + 14, words, style, "end")
        self.groups.append(Group((place,), tip=self.title or loop))
        self.tops[loop] = self.bottom
        self.bottom += HEAD

    def _row(self, loop: str, node: str, spans: Sequence[Span]) -> None:
        y, taken = self.bottom, lines(spans)
        words, base = shorten(node, NAMES, 12), y + self.high / 2 + 4.3
        name = Writing(self.scale.left - 10, base, words, "row-name", "end")
        self.groups.append(Group((name,), tip=f"{loop}/{node}"))
        for span, line in zip(spans, taken, strict=True):
            if line < _DEEP:
                left, right = self.scale.x(span.start), self.scale.x(span.end)
                box = self.frames[span] = frame(left, right, y + line * (self.high + 2), self.high)
                away = (loop, node) in self.away
                self.groups.append(draw(Bar(span, box, self.why.of(span), away), self.room))
        self.bottom += min(max(taken) + 1, _DEEP) * (self.high + 2) - 2 + _SPACE

    def _hops(self, timeline: Timeline) -> Iterator[tuple[Hop, Rect, Rect]]:
        """Give the messages whose two ends are drawn."""
        readers = {(s.loop, s.node, s.iteration): f for s, f in self.frames.items()}
        for hop in timeline.hops[:_HOPS]:
            to = readers.get((hop.loop, hop.node, hop.iteration))
            if to is not None and hop.push in self.frames:
                yield hop, self.frames[hop.push], to


def _arrow(hop: Hop, a: Rect, b: Rect, scale: Scale) -> Group:
    start, end = scale.x(min(hop.push.end, hop.time)), scale.x(hop.time)
    down = b.y > a.y
    y, to = (a.bottom, b.y) if down else (a.y, b.bottom)
    bend = to + (12 if to < y else -12)
    path: Path = ((start, y), (start, bend, end, y, end, to)) if end - start > 1 else (
        (end, y), (end, to),
    )  # fmt: skip
    pushed = f"{hop.push.node}, iteration {hop.push.iteration}"
    tip = f"message from {pushed} to {hop.node}, iteration {hop.iteration}"
    return Group(arrow(path, "hop", size=7), tip=tip)


def room_for_numbers(timeline: Timeline) -> float:
    """Give the pixels that the widest number needs: all are written alike."""
    return max((width(str(s.iteration), 10) for s in timeline), default=0.0) + 6


def names_width(timelines: Sequence[Timeline]) -> float:
    """Give the pixels that the widest name of a node or loop needs."""
    rows = {row for t in timelines for row in t.rows}
    names = {name for loop, node in rows for name in (loop_words(loop), node)}
    return max((width(shorten(name, NAMES, 12), 12) for name in names), default=0.0)


def loop_words(loop: str) -> str:
    """Call a loop by its name."""
    return f"loop {loop}"
