"""How do six readings of one loop look side by side?

A row is an await policy, a bar the time until the producer is released. The bar is
made of the critical chain, so one sees what a policy waits for and what it costs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from flownb.explain.reasons import named
from flownb.notebook.picture.shapes import Group, Look, Mark, Picture, Rect, Writing, round_box
from flownb.notebook.picture.table import table, text_table
from flownb.notebook.picture.text import brief, clean, shorten, took, width

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flownb.explain.study import Comparison, Reading

COLUMNS: Final = ("loop", "policy", "released", "waits for", "critical chain")
_LEFT: Final = 100.0
_BARS: Final = 560.0
_ROW: Final = 28.0
_BAR: Final = 20.0
_LOOPS: Final = 20
_PARTS: Final = 60
_LOOKS: Final = {
    "work-even": Look("#8fcdf2", "#1d628c", 1),
    "work-odd": Look("#c7e6f9", "#1d628c", 1),
    "own": Look("#d55e00", size=12, bold=True),
    "own-bar": Look("none", "#d55e00", 2.5),
}


def whole_text(readings: Comparison) -> str:
    """Write the readings as a table."""
    return clean_lines(text_table(COLUMNS, map(_row, readings)))


def clean_lines(text: str) -> str:
    """Clean each line, and keep the lines."""
    return "\n".join(clean(line).rstrip() for line in text.splitlines())


def tables(readings: Comparison) -> list[tuple[str, str]]:
    """Give the same table as HTML."""
    return [("as a table", table(COLUMNS, map(_row, readings)))]


def _row(reading: Reading) -> list[Any]:
    chain = " -> ".join(name for name, _ in reading.chain[:12])
    own = " *" * reading.own
    return [reading.loop, f"{reading.policy}{own}", _after(reading), named(reading.waits_for, 12),
            chain]  # fmt: skip


def _after(reading: Reading) -> str:
    return f"{'at most ' if reading.at_most else ''}{took(reading.release)}"


def draw(readings: Comparison) -> Picture:
    """Draw a bar for each policy of each loop."""
    groups: list[Group] = []
    y = 0.0
    for loop in list(dict.fromkeys(r.loop for r in readings))[:_LOOPS]:
        title = Writing(0, y + 14, shorten(f"loop {loop}", 400, 12), "lane-title", "start")
        groups.append(Group((title,)))
        each, y = [r for r in readings if r.loop == loop], y + 24
        longest = max(r.release for r in each) or 1.0
        for i, reading in enumerate(each):
            groups += _bar(reading, y + i * _ROW, _BARS / longest)
        y += len(each) * _ROW + 10
    room = max((_room(r) for r in readings), default=0.0)
    said = ". ".join(f"{brief(r.loop)} under {r.policy}: {_after(r)}" for r in readings[:60])
    return Picture(
        "Releases under every await policy", f"{said}.", _LEFT + _BARS + room, y, tuple(groups),
        _LOOKS,
    )  # fmt: skip


def _room(reading: Reading) -> float:
    return width(_label(reading), 12) + 24


def _label(reading: Reading) -> str:
    return shorten(f"{_after(reading)}, waits for {named(reading.waits_for, 8)}", 380, 12)


def _bar(reading: Reading, y: float, scale: float) -> Iterator[Group]:
    look = "own" if reading.own else "row-name"
    yield Group((Writing(_LEFT - 10, y + 14, reading.policy, look, "end"),))
    x = _LEFT
    for i, (name, takes) in enumerate(reading.chain[:_PARTS]):
        wide = takes * scale
        if wide >= 1:
            yield _part(name, takes, Rect(x, y, wide, _BAR), "work-odd" if i % 2 else "work-even")
        x += wide
    end = _LEFT + reading.release * scale
    if reading.own and end > _LEFT:
        frame = round_box(Rect(_LEFT, y, end - _LEFT, _BAR), 3)
        yield Group((Mark(frame, "own-bar", closed=True),))
    yield Group((Mark(((_LEFT, y - 2), (_LEFT, y + _BAR + 2)), "axis"),))
    yield Group((Writing(end + 10, y + 14, _label(reading), "row-name", "start"),))


def _part(name: str, takes: float, frame: Rect, look: str) -> Group:
    parts: list[Mark | Writing] = [Mark(round_box(frame, 3), look, closed=True)]
    text = shorten(name, frame.width - 8, 11)
    if len(text) > 1 or text == name:
        parts.append(Writing(frame.middle[0], frame.y + 14, text, "bar-number"))
    return Group(tuple(parts), tip=f"{brief(name)}: {took(takes)}")
