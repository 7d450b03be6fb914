"""What are the rows, bars and time axis of a Gantt chart? One row for each node, loop by loop.

`Rows` places each span: calls of one node that overlap stand under each other, up to a dozen
lines. What finds no line any more, and what comes after many bars, is counted, not drawn.

A `Bar` is one span, solid at work, hatched while it waits. What nobody waits for has a dashed
outline and no fill of its own, so that what the producer waits for stands out. Colour says
nothing alone.

The `Scale` says where on the sheet a second lies; `axis` and `grid` draw it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from math import floor, log10
from typing import TYPE_CHECKING, Final

from flownb.notebook.picture.shapes import Group, Look, Mark, Path, Rect, Writing, arrow, round_box
from flownb.notebook.picture.text import brief, seconds, shorten, took, width
from flownb.records.events import lines
from flownb.records.timeline import room_waits

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from flownb.records.events import Hop, Span
    from flownb.records.timeline import Reasons, Timeline

BAR: Final = 18.0  # pixels high
SLIM: Final = 14.0
_LINE: Final = 2.0  # pixels wide: what takes no time is a line
_THIN: Final = 4.0  # pixels: below, outline and hatching would cover everything
LOOKS: Final = {
    "work": Look("#8fcdf2", "#1d628c", 1),
    "away": Look("#8fcdf233", "#4a90bd", 1.25, (4, 2.5)),
    "bad": Look("#f2b48f", "#b34700", 1.75),
    "away-number": Look("fg", size=10),
    "thin-work": Look("#56a5d8"),
    "thin-away": Look("#a9d6f0"),
    "thin-wait": Look("#9e9e9e"),
    "thin-bad": Look("#d55e00"),
    "chip-line": Look("bg"),
    "chip-reason": Look("fg", size=10),
    "hop": Look(stroke="queue", width=1.25),
    "hop-head": Look("queue"),
    "release": Look(stroke="#d55e00", width=1.5),
    "release-time": Look("#d55e00", size=11, bold=True),
    "pane-name": Look("fg", size=14, bold=True),
}


@dataclass(frozen=True, slots=True)
class Bar:
    """A span in its place, with the words that say what it is; `bad`: it failed."""

    span: Span
    frame: Rect
    said: str
    away: bool
    bad: bool = False
    once: bool = False

    @property
    def tip(self) -> str:
        """What one reads on hovering."""
        s = self.span
        when = f"{seconds(s.start)} to {seconds(s.end)} s"
        long = f" ({took(s.duration)})" if s.duration else ""
        which = "" if self.once else f", iteration {s.iteration}"
        return f"{brief(s.node)}{which}: {brief(self.said, 200)}, {when}{long}"

    @property
    def words(self) -> tuple[str, ...]:
        """What a waiting bar says, in full and in fewer words: whose wait it is, and for what."""
        item, said = str(self.span.iteration), self.said
        least = said.partition(":")[0].removeprefix("waits ")
        return (f"{item} {said}", f"{item} {least}", item)


def frame(left: float, right: float, y: float, high: float) -> Rect:
    """Give the box between two places; what takes no time is a line."""
    return Rect(left, y, right - left or _LINE, high)


def draw(bar: Bar, room: float) -> Group:
    """Draw a bar; its number stands in it if *room* pixels are there."""
    waits = bar.span.kind != "work"
    if bar.frame.width < _THIN and bar.span.duration:
        thin = "wait" if waits else "bad" if bar.bad else "away" if bar.away else "work"
        box = Mark(_outline(bar.frame), f"thin-{thin}", closed=True)
        return Group((box,), tip=bar.tip)
    if waits:
        return Group((*waiting(bar.frame), *_reason(bar)), tip=bar.tip)
    shape = Mark(_outline(bar.frame), "bad" if bar.bad else look(away=bar.away), closed=True)
    words = _number(bar)
    if not words or max(room, width(words, 10) + 4) > bar.frame.width:
        return Group((shape,), tip=bar.tip)
    style = "away-number" if bar.away and not bar.bad else "bar-number"
    number = Writing(bar.frame.middle[0], _base(bar), words, style)
    return Group((shape, number), tip=bar.tip)


def _number(bar: Bar) -> str:
    """Give what stands in a working bar: its item, or its visit where there is but one item."""
    s = bar.span
    number = (str(s.visit) if s.visit else "") if bar.once else str(s.iteration)
    return f"✕ {number}".rstrip() if bar.bad else number


def look(*, away: bool) -> str:
    """Name the look of a working bar."""
    return "away" if away else "work"


def _base(bar: Bar) -> float:
    """Give where the words in a bar stand."""
    return bar.frame.middle[1] + 3.8


def _outline(box: Rect) -> Path:
    return round_box(box, min(3.0, box.width / 3))


def waiting(box: Rect) -> tuple[Mark, Mark]:
    """Draw a hatched box."""
    return Mark(hatch(box), "hatch"), Mark(round_box(box, 0.5), "waiting", closed=True)


def _reason(bar: Bar) -> tuple[Mark | Writing, ...]:
    """Write for whom it waits into the bar, where that fits."""
    room = bar.frame.width - 14
    every = (bar.said,) if bar.once else bar.words
    words = next((w for w in every if width(w, 10) <= room), "")
    if not words:
        return ()
    x, wide = bar.frame.middle[0], width(words, 10) + 6
    box = Rect(x - wide / 2, bar.frame.y + 1.5, wide, bar.frame.height - 3)
    chip = Mark(round_box(box, 2), "chip-line", closed=True)
    return chip, Writing(x, _base(bar), words, "chip-reason")


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


HEAD: Final = 24.0  # pixels of a loop's name
NAMES: Final = 150.0  # pixels of a node's name
_SPACE: Final = 8.0
DEEP: Final = 12  # calls of one node under each other
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
    failed: Mapping[Span, str] = field(default_factory=dict)
    once: frozenset[str] = frozenset()  # the loops that are one run, and have no producer
    frames: dict[Span, Rect] = field(default_factory=dict)
    tops: dict[str, float] = field(default_factory=dict)
    ends: dict[str, float] = field(default_factory=dict)
    hidden: Counter[str] = field(default_factory=Counter)  # calls that find no line, by node

    def add(self, timeline: Timeline) -> None:
        """Draw every row of *timeline* and the messages between them."""
        by_row: dict[tuple[str, str], list[Span]] = {row: [] for row in timeline.rows}
        for span in timeline.spans:
            by_row[span.loop, span.node].append(span)
        told = room_waits(timeline.spans)
        for (loop, node), found in by_row.items():
            spans = [s for s in found if told.get(s, s) is not None]
            if loop not in self.tops:
                self._head(loop)
            self._row(loop, node, spans, told)
            self.ends[loop] = self.bottom - _SPACE
        self.groups += [_arrow(hop, a, b, self.scale) for hop, a, b in self._hops(timeline)]

    def _head(self, loop: str) -> None:
        self.bottom += _SPACE * bool(self.tops)
        style, size = ("pane-name", 14) if self.title else ("lane-title", 12)
        words = shorten(self.title or loop_words(loop, self.once), NAMES, size)
        place = Writing(self.scale.left - 10, self.bottom + 14, words, style, "end")
        self.groups.append(Group((place,), tip=self.title or loop))
        self.tops[loop] = self.bottom
        self.bottom += HEAD

    def _row(
        self, loop: str, node: str, spans: Sequence[Span], told: Mapping[Span, Span | None]
    ) -> None:
        y, taken = self.bottom, lines(spans)
        words, base = shorten(node, NAMES, 12), y + self.high / 2 + 4.3
        name = Writing(self.scale.left - 10, base, words, "row-name", "end")
        self.groups.append(Group((name,), tip=f"{loop}/{node}"))
        for span, line in zip(spans, taken, strict=True):
            if line < DEEP:
                left, right = self.scale.x(span.start), self.scale.x(span.end)
                box = self.frames[span] = frame(left, right, y + line * (self.high + 2), self.high)
                away = (loop, node) in self.away
                bad, once = span in self.failed, loop in self.once
                said = told.get(span) or span
                bar = Bar(said, box, self.why.of(said), away, bad, once)
                self.groups.append(draw(bar, self.room))
            else:
                self.hidden[node] += 1
        self.bottom += min(max(taken) + 1, DEEP) * (self.high + 2) - 2 + _SPACE

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
    once = frozenset[str]().union(*(runs_once(t) for t in timelines))
    names = {name for loop, node in rows for name in (loop_words(loop, once), node)}
    return max((width(shorten(name, NAMES, 12), 12) for name in names), default=0.0)


def loop_words(loop: str, once: Collection[str] = ()) -> str:
    """Call a loop by its name, or a run; those are *once*."""
    return f"run of {loop}" if loop in once else f"loop {loop}"


def runs_once(timeline: Timeline) -> frozenset[str]:
    """Name what has no producer: a run of a graph, whose one item is all there is."""
    known = {(lane.loop, lane.node) for lane in timeline.lanes}
    return frozenset(loop for loop, _ in known if (loop, loop) not in known)


_WIDTH: Final = (680.0, 1040.0)  # of the time axis: of few bars, of many, as wide as a cell
_FEW: Final = 60  # bars


@dataclass(frozen=True, slots=True)
class Scale:
    """Seconds to pixels; what lies outside ends at the border."""

    left: float
    start: float
    step: float
    end: float
    wide: float = _WIDTH[0]

    @classmethod
    def over(cls, left: float, start: float, end: float, *, bars: int = 0) -> Scale:
        """Choose 5 to 10 ticks at round numbers, from a round start, wide enough for the bars."""
        raw = (end - start or 1.0) / 10
        size = 10.0 ** floor(log10(raw))
        step = next(size * f for f in (1, 2, 5, 10) if size * f >= raw * (1 - 1e-9))
        begin = floor(start / step + 1e-9) * step
        return cls(left, begin, step, end if end > start else start + 1, _WIDTH[bars > _FEW])

    @property
    def right(self) -> float:
        """Where the axis ends."""
        return self.left + self.wide

    def x(self, time: float) -> float:
        """Give the place of a second."""
        inside = min(max(time, self.start), self.end)
        return self.left + (inside - self.start) / ((self.end - self.start) or 1.0) * self.wide

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
