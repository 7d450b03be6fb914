"""How do several timelines of one graph compare? Above each other, on one time axis.

A vertical line marks each release, with its second: what differs between await policies
is when the producer goes on, not what the nodes do.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from flownb.notebook.gantt import chart
from flownb.notebook.gantt.rows import HEAD, LOOKS, NAMES, SLIM, Scale, grid, names_width, numbers
from flownb.notebook.picture.shapes import Group, Mark, Picture, Writing
from flownb.notebook.picture.table import table, text_table
from flownb.notebook.picture.text import brief, seconds, shorten, width

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from flownb.notebook.gantt.rows import Rows
    from flownb.records.timeline import Timeline, Timelines

COLUMNS: Final = ("timeline", "loop", "iteration", "released", "first second", "last second")
_NAME: Final = 22.0
_GAP: Final = 10.0
_TABLE_ROWS: Final = 200


def draw(stack: Timelines) -> Picture:
    """Draw the timelines in their order; the spans of all share what a picture can show."""
    filled = {name: t for name, t in stack.items() if t.spans}
    if not filled:
        return chart.empty("nothing to compare: no timeline has a span")
    most = max(1, chart.MOST // len(filled))
    firsts = [chart.shown(t, most) for t in filled.values()]
    scale = _scale(list(filled), firsts)
    single = len({loop for t in firsts for loop, _ in t.rows}) == 1
    groups, y, hidden = list[Group](), 0.0, Counter[str]()
    for name, timeline in filled.items():
        if not single:
            groups.append(_title(name, scale, y))
            y += _NAME
        rows = chart.laid(timeline, scale, y, most=most, high=SLIM, title=name if single else "")
        groups += [*grid(scale, y + HEAD - 4, rows.bottom), *rows.groups]
        groups += _releases(timeline, rows)
        y = rows.bottom + _GAP
        hidden += rows.hidden
    total = sum(map(len, filled.values()))
    words = chart.not_drawn(total - sum(map(len, firsts)), total, hidden)
    released = any(t.releases for t in firsts)
    keys, bottom = chart.legend(firsts, scale, y + 16, words, released=released)
    groups += [*numbers(scale, y - _GAP), *keys]
    return Picture(
        "Timelines compared", _said(stack), scale.right + 16, bottom, tuple(groups), LOOKS
    )


def _scale(names: Sequence[str], timelines: Sequence[Timeline]) -> Scale:
    """Give the one axis, from the first second of all to the last."""
    ends = [t.window or (t.start, t.end) for t in timelines]
    wide = max(width(shorten(name, NAMES, 14), 14.5) for name in names)
    left = max(wide, names_width(timelines)) + 14
    bars = max(map(len, timelines))
    return Scale.over(left, min(a for a, _ in ends), max(b for _, b in ends), bars=bars)


def _title(name: str, scale: Scale, y: float) -> Group:
    words = Writing(scale.left - 10, y + 16, shorten(name, NAMES, 14), "pane-name", "end")
    return Group((words,), tip=name)


def _releases(timeline: Timeline, rows: Rows) -> Iterator[Group]:
    """Mark each release; a time is written where it does not touch the one before."""
    free: dict[str, float] = {}
    for e in timeline.releases:
        if e.loop not in rows.tops or not rows.scale.start <= e.time <= rows.scale.end:
            continue
        x, top = rows.scale.x(e.time), rows.tops[e.loop]
        parts: list[Mark | Writing] = [Mark(((x, top + 17), (x, rows.ends[e.loop])), "release")]
        words = f"{seconds(e.time)} s"
        half = width(words, 11) / 2
        if x - half >= free.get(e.loop, 0.0):
            middle = max(x, rows.scale.left + half)  # beside the name of the pane, not in it
            parts.append(Writing(middle, top + 13, words, "release-time"))
            free[e.loop] = x + half + 6
        tip = f"{brief(e.loop)}, iteration {e.iteration}: released at {words}"
        yield Group(tuple(parts), tip=tip)


def _said(stack: Timelines) -> str:
    parts = []
    for name, timeline in stack.items():
        times = ", ".join(
            f"{brief(e.loop)} {e.iteration} at {seconds(e.time)} s" for e in timeline.releases[:20]
        )
        said = f"released {times}" if times else "nothing is released"
        parts.append(f"{brief(name)}: {said}")
    return ". ".join(parts) + "."


def _rows(stack: Timelines) -> list[list[Any]]:
    return [
        [name, e.loop, e.iteration, e.time, t.start, t.end]
        for name, t in stack.items()
        for e in t.releases
    ][:_TABLE_ROWS]


def twin(stack: Timelines) -> str:
    """Give the releases side by side, as an HTML table."""
    return table(COLUMNS, _rows(stack))


def twin_lines(stack: Timelines) -> str:
    """Give the releases side by side, as lines of text."""
    return text_table(COLUMNS, _rows(stack))
