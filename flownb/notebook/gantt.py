"""How does a timeline become a Gantt chart?

One row for each node, loop by loop: working is solid and carries the number of the
iteration, waiting is hatched. Calls of one node that overlap stand under each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, log10
from typing import TYPE_CHECKING, Final

from flownb.analysis.geometry import Path, Rect
from flownb.notebook.ink import Group, Mark, Picture, Writing
from flownb.notebook.outlines import round_box
from flownb.notebook.table import table
from flownb.notebook.words import brief, seconds, shorten, width

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from flownb.model.records import Span
    from flownb.model.timeline import Timeline

_WIDTH: Final = 680.0  # of the time axis
_BAR: Final = 18.0
_SPACE: Final = 8.0
_HEAD: Final = 24.0
_NAMES: Final = 150.0
_MOST: Final = 1_500  # bars; beyond them a picture shows nothing more
_DEEP: Final = 6  # calls of one node shown under each other
_TABLE_ROWS: Final = 200
_WAITS: Final = {
    "wait": "waits for its await set",
    "throttled": "waits for an in-flight slot",
    "limited": "waits for a limit",
    "retry": "waits before the next attempt",
}


@dataclass(frozen=True, slots=True)
class Bar:
    """A span on its row: `depth` counts the overlapping calls of the same node."""

    span: Span
    frame: Rect
    depth: int


@dataclass(frozen=True, slots=True)
class _Scale:
    """Seconds to pixels."""

    left: float
    start: float
    step: float
    end: float

    def x(self, time: float) -> float:
        return self.left + (time - self.start) / ((self.end - self.start) or 1.0) * _WIDTH

    def ticks(self) -> Iterator[float]:
        count = floor((self.end - self.start) / self.step + 1e-9) + 1
        return (self.start + i * self.step for i in range(count))


def draw(timeline: Timeline) -> Picture:
    """Draw a timeline; of a very long one its first spans, and it says so."""
    spans = timeline.spans[:_MOST]
    shown = type(timeline)(spans)
    if not spans:
        return _empty()
    names = max(width(shorten(node, _NAMES, 12), 12) for _, node in shown.rows)
    scale = _scale(names + 14, shown.start, shown.end)
    rows, y = _rows(shown, scale)
    axis = _axis(scale, y)
    groups = [*axis, *rows, *_notes(timeline, scale, y + 26)]
    return Picture("Timeline", _said(timeline), scale.left + _WIDTH + 16, y + 56, tuple(groups))


def _empty() -> Picture:
    words = "no spans yet: nothing has run"
    note = Group((Writing(0, 16, words, "note", "start"),))
    return Picture("Timeline", words, width(words, 11), 24, (note,))


def _scale(left: float, start: float, end: float) -> _Scale:
    """Choose 5 to 10 ticks at round numbers, from a round start."""
    raw = (end - start or 1.0) / 10
    size = 10.0 ** floor(log10(raw))
    step = next(size * f for f in (1, 2, 5, 10) if size * f >= raw * (1 - 1e-9))
    return _Scale(left, floor(start / step + 1e-9) * step, step, end if end > start else start + 1)


def _rows(timeline: Timeline, scale: _Scale) -> tuple[list[Group], float]:
    groups: list[Group] = []
    y, loop = 0.0, None
    room = max(width(str(s.iteration), 10) for s in timeline) + 6  # all numbers, or none
    by_row: dict[tuple[str, str], list[Span]] = {row: [] for row in timeline.rows}
    for span in timeline.spans:
        by_row[span.loop, span.node].append(span)
    for (owner, node), spans in by_row.items():
        if owner != loop:
            y += 8.0 * bool(groups)
            groups.append(_loop_head(owner, scale, y))
            loop, y = owner, y + _HEAD
        bars = _bars(spans, scale, y)
        deep = max(bar.depth for bar in bars) + 1
        label = Writing(scale.left - 10, y + 13, shorten(node, _NAMES, 12), "row-name", "end")
        groups.append(Group((label,), tip=f"{owner}/{node}"))
        groups += [_bar(bar, room) for bar in bars]
        y += deep * (_BAR + 2) - 2 + _SPACE
    return groups, y


def _loop_head(loop: str, scale: _Scale, y: float) -> Group:
    title = Writing(scale.left, y + 14, shorten(f"loop {loop}", 300, 12), "lane-title", "start")
    return Group((title,))


def _bars(spans: Sequence[Span], scale: _Scale, y: float) -> list[Bar]:
    """Put each span into the first line that is free again when it starts."""
    free: list[float] = []
    bars = []
    for span in spans:
        depth = next((i for i, end in enumerate(free) if end <= span.start + 1e-9), len(free))
        if depth == len(free):
            free.append(span.end)
        free[depth] = span.end
        depth %= _DEEP
        x = scale.x(span.start)
        wide = max(scale.x(span.end) - x, 1.0)
        bars.append(Bar(span, Rect(x, y + depth * (_BAR + 2), wide, _BAR), depth))
    return bars


def _bar(bar: Bar, room: float) -> Group:
    span, frame = bar.span, bar.frame
    tip = f"{brief(span.node)}, iteration {span.iteration}: "
    tip += f"{seconds(span.start)} to {seconds(span.end)} s, "
    shape = round_box(frame, min(3.0, frame.width / 3))
    if span.kind != "work":
        parts = (Mark(hatch(frame), "hatch"), Mark(round_box(frame, 0.5), "waiting", closed=True))
        return Group(parts, tip=tip + _WAITS.get(span.kind, span.kind))
    tip += "works" + (f", attempt {span.attempt}" if span.attempt > 1 else "")
    look = "work-odd" if span.iteration % 2 else "work-even"
    if room > frame.width:
        return Group((Mark(shape, look, closed=True),), tip=tip)
    text = Writing(frame.middle[0], frame.y + 13, str(span.iteration), "bar-number")
    return Group((Mark(shape, look, closed=True), text), tip=tip)


def hatch(box: Rect, step: float = 5.0) -> Path:
    """Fill a box with slanting lines, as one zigzag whose turns lie on the border.

    >>> hatch(Rect(0, 0, 4, 4), 4)
    ((0.0, 4), (4, 0.0))
    """
    points: list[tuple[float, float]] = []
    count = int((box.width + box.height) / step + 1e-9)
    for i in range(1, count + 1):
        t = i * step
        low = (box.x + max(0.0, t - box.height), box.y + min(box.height, t))
        high = (box.x + min(box.width, t), box.y + max(0.0, t - box.width))
        if low == high:
            continue
        ends = [low, high] if i % 2 else [high, low]
        points += [*_corner(points, ends[0], box), *ends]
    return tuple(points) or ((box.x, box.bottom), (box.right, box.y))


def _corner(
    points: list[tuple[float, float]], then: tuple[float, float], box: Rect
) -> list[tuple[float, float]]:
    """Turn around a corner of the box, not across it."""
    if not points or then[0] == points[-1][0] or then[1] == points[-1][1]:
        return []
    before = points[-1]
    return [(before[0], then[1]) if before[0] == box.x else (then[0], before[1])]


def _axis(scale: _Scale, y: float) -> list[Group]:
    groups = []
    for tick in scale.ticks():
        x = scale.x(tick)
        line = Mark(((x, _HEAD - 4), (x, y)), "grid")
        groups.append(Group((line, Writing(x, y + 15, seconds(tick), "tick"))))
    groups.append(Group((Mark(((scale.left, y), (scale.left + _WIDTH, y)), "axis"),)))
    return groups


def _notes(timeline: Timeline, scale: _Scale, y: float) -> list[Group]:
    kinds = {span.kind: None for span in timeline.spans[:_MOST]}
    box, wait = Rect(scale.left, y, 22, 14), Rect(scale.left + 96, y, 22, 14)
    parts: list[Mark | Writing] = [
        Mark(round_box(box, 3), "work-even", closed=True),
        Writing(box.right + 8, y + 11, "works", "note", "start"),
    ]
    if any(kind != "work" for kind in kinds):
        parts += [Mark(hatch(wait), "hatch"), Mark(round_box(wait, 0.5), "waiting", closed=True)]
        parts.append(Writing(wait.right + 8, y + 11, "waits", "note", "start"))
    more = len(timeline) - _MOST
    words = f"seconds; the first {_MOST:,} of {len(timeline):,} spans" if more > 0 else "seconds"
    parts.append(Writing(scale.left + _WIDTH, y + 11, words, "note", "end"))
    return [Group(tuple(parts))]


def _said(timeline: Timeline) -> str:
    lines = [f"{len(timeline)} spans from {seconds(timeline.start)} to {seconds(timeline.end)} s"]
    sums = {row: [0.0, 0.0] for row in timeline.rows}
    for span in timeline:
        sums[span.loop, span.node][span.kind != "work"] += span.duration
    for (loop, node), (work, wait) in sums.items():
        who = f"{brief(loop)}/{brief(node)}"
        lines.append(f"{who}: works {seconds(work)} s, waits {seconds(wait)} s")
    return ". ".join(lines) + "."


def twin(timeline: Timeline) -> str:
    """Give the table that says what the chart shows; the first spans of a long one."""
    columns = ["loop", "node", "iteration", "what", "start", "end"]
    rows = [
        [
            s.loop,
            s.node,
            s.iteration,
            "works" if s.kind == "work" else _WAITS.get(s.kind, s.kind),
            s.start,
            s.end,
        ]
        for s in timeline.spans[:_TABLE_ROWS]
    ]
    more = len(timeline) - _TABLE_ROWS
    return table(columns, rows) + (f"<p>and {more:,} more</p>" if more > 0 else "")
