"""How does a timeline become a Gantt chart?

One row for each node, loop by loop: working is solid and carries the number of the
iteration, waiting is hatched and says for whom, what nobody waits for is dashed, and a
message between two loops is an arrow.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from flownb.notebook.gantt.rows import (
    BAR,
    DEEP,
    HEAD,
    LOOKS,
    Rows,
    Scale,
    axis,
    names_width,
    room_for_numbers,
    runs_once,
    waiting,
)
from flownb.notebook.picture.shapes import Group, Mark, Picture, Rect, Writing, arrow, round_box
from flownb.notebook.picture.table import table, text_table
from flownb.notebook.picture.text import brief, seconds, width, wrapped
from flownb.records.timeline import Reasons, room_waits

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from flownb.records.timeline import Timeline

MOST: Final = 1_500  # bars; beyond them a picture shows nothing more
_TABLE_ROWS: Final = 200
_UNIT: Final = "seconds"
_TOLD: Final = 3  # nodes of which calls are not drawn
COLUMNS: Final = ("loop", "node", "iteration", "what", "start", "end")


def draw(timeline: Timeline) -> Picture:
    """Draw a timeline; of a very long one its first spans, and it says so."""
    if not timeline.spans:
        return empty("no spans yet: nothing has run")
    first = shown(timeline)
    start, end = first.window or (first.start, first.end)
    scale = Scale.over(names_width([first]) + 14, start, end, bars=len(first))
    rows = laid(timeline, scale, 0.0)
    groups = [*axis(scale, HEAD - 4, rows.bottom), *rows.groups]
    left = len(timeline) - len(first)
    words = not_drawn(left, len(timeline), rows.hidden)
    keys, bottom = legend([first], scale, rows.bottom + 26, words)
    return Picture(
        "Timeline", described(timeline), scale.right + 16, bottom, (*groups, *keys), LOOKS
    )


def empty(words: str) -> Picture:
    """Draw a sheet with nothing but a sentence on it."""
    line = Group((Writing(0, 16, words, "note", "start"),))
    return Picture("Timeline", words, width(words, 11), 24, (line,))


def shown(timeline: Timeline, most: int = MOST) -> Timeline:
    """Give the first spans, as many as a picture can show."""
    return replace(timeline, spans=timeline.spans[:most])


def laid(
    timeline: Timeline,
    scale: Scale,
    y: float,
    *,
    most: int = MOST,
    high: float = BAR,
    title: str = "",
) -> Rows:
    """Lay out the rows of a timeline under *y*; *title* stands for the name of its loop."""
    first = shown(timeline, most)
    room, failed = room_for_numbers(first), timeline.failed
    rows = Rows(
        scale,
        Reasons(timeline.spans, timeline.lanes, timeline.detached, failed),
        timeline.detached,
        room,
        y,
        high,
        title,
        failed=failed,
        once=runs_once(timeline),
    )
    rows.add(first)
    return rows


def not_drawn(left: int, total: int, hidden: Mapping[str, int]) -> list[str]:
    """Say how much is not there, and which.

    >>> not_drawn(100, 1600, {})
    ['not drawn: the last 100 of 1,600 spans; .of(since=, until=) shows them']
    >>> not_drawn(0, 119, {"rank": 15})
    ['not drawn: where more than 12 calls of a node run at a time, 15 calls of rank']
    """
    found = []
    if left:
        found.append(f"the last {left:,} of {total:,} spans; .of(since=, until=) shows them")
    if hidden:
        named = list(hidden.items())
        calls = [f"{n:,} call{'s' * (n > 1)} of {brief(node)}" for node, n in named[:_TOLD]]
        calls += [f"{len(named) - _TOLD} more nodes"] * (len(named) > _TOLD)
        found.append(f"where more than {DEEP} calls of a node run at a time, {', '.join(calls)}")
    return [f"not drawn: {words}" for words in found]


def legend(
    timelines: Sequence[Timeline],
    scale: Scale,
    y: float,
    words: Sequence[str] = (),
    *,
    released: bool = False,
) -> tuple[list[Group], float]:
    """Explain what occurs, in a row from *y* on, then *words*; give the groups and their end."""
    groups, x = [], scale.left
    for kind, meaning in _keys(timelines, released=released):
        sample = _sample(kind, Rect(x, y, 24, 14))
        groups.append(Group((*sample, Writing(x + 32, y + 11, meaning, "note", "start"))))
        x += 32 + width(meaning, 11) + 18
    if x + width(_UNIT, 11) > scale.right:
        y += 22
    groups.append(Group((Writing(scale.right, y + 11, _UNIT, "note", "end"),)))
    for line in (line for said in words for line in wrapped(said, scale.wide, 11)):
        y += 18
        groups.append(Group((Writing(scale.left, y + 11, line, "note", "start"),)))
    return groups, y + 22


def _keys(timelines: Sequence[Timeline], *, released: bool) -> Iterator[tuple[str, str]]:
    spans = [(s, t) for t in timelines for s in t.spans]
    away = {(s.loop, s.node) in t.detached for s, t in spans if s.kind == "work"}
    if False in away:
        yield "work", "works"
    if True in away:
        yield "away", "works, the producer does not wait"
    if any(t.failed for t in timelines):
        yield "bad", "failed or timed out"
    if any(s.kind != "work" for s, _ in spans):
        yield "wait", "waits"
    if any(t.hops for t in timelines):
        yield "hop", "message"
    if released:
        yield "release", "released"


def _sample(kind: str, box: Rect) -> tuple[Mark | Writing, ...]:
    x, y = box.middle
    if kind == "wait":
        return waiting(box)
    if kind == "hop":
        return arrow(((box.x, y), (box.right, y)), "hop", size=7)
    if kind == "release":
        return (Mark(((x, box.y - 1), (x, box.bottom + 1)), "release"),)
    return (Mark(round_box(box, 3), kind, closed=True),)


def described(timeline: Timeline) -> str:
    """Say what the picture shows, for who cannot see it."""
    lines = [f"{len(timeline)} spans from {seconds(timeline.start)} to {seconds(timeline.end)} s"]
    sums, waits = {row: [0.0, 0.0] for row in timeline.rows}, room_waits(timeline.spans)
    for span in timeline:
        told = waits.get(span, span)
        if told is not None:
            sums[span.loop, span.node][told.kind != "work"] += span.duration
    for (loop, node), (work, wait) in sums.items():
        who = f"{brief(loop)}/{brief(node)}"
        lines.append(f"{who}: works {seconds(work)} s, waits {seconds(wait)} s")
    if hops := len(timeline.hops):
        lines.append(f"{hops} {'message' if hops == 1 else 'messages'} between loops")
    return ". ".join(lines) + "."


def rows_of(timeline: Timeline) -> list[list[Any]]:
    """Give the rows of the table that says what the chart shows."""
    why = Reasons(timeline.spans, timeline.lanes, timeline.detached, timeline.failed)
    first = timeline.spans[:_TABLE_ROWS]
    waits = room_waits(first)
    told = [found for s in first if (found := waits.get(s, s)) is not None]
    return [[s.loop, s.node, s.iteration, why.of(s), s.start, s.end] for s in told]


def more(total: int) -> str:
    """Say how many rows the table leaves out."""
    return f"and {total - _TABLE_ROWS:,} more" if total > _TABLE_ROWS else ""


def twin(timeline: Timeline) -> str:
    """Give the table as HTML; the first spans of a long one."""
    left = more(len(timeline))
    return table(COLUMNS, rows_of(timeline)) + (f"<p>{left}</p>" if left else "")


def twin_lines(timeline: Timeline) -> str:
    """Give the table as lines of text."""
    left = more(len(timeline))
    return text_table(COLUMNS, rows_of(timeline)) + (f"\n{left}" if left else "")
