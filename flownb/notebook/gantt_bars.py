"""How does one span look? A bar: solid at work, hatched while it waits.

What nobody waits for has a dashed outline and no fill of its own, so that what the
producer waits for stands out. Colour says nothing alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from flownb.analysis.geometry import Path, Rect
from flownb.notebook.ink import Group, Look, Mark, Writing
from flownb.notebook.outlines import round_box
from flownb.notebook.words import brief, seconds, width

if TYPE_CHECKING:
    from flownb.model.records import Span

BAR: Final = 18.0  # pixels high
SLIM: Final = 14.0
_LINE: Final = 2.0  # pixels wide: what takes no time is a line
_THIN: Final = 4.0  # pixels: below, outline and hatching would cover everything
LOOKS: Final = {
    "away-even": Look("#8fcdf24d", "#4a90bd", 1.25, (4, 2.5)),
    "away-odd": Look("#8fcdf21a", "#4a90bd", 1.25, (4, 2.5)),
    "away-number": Look("fg", size=10),
    "thin-work": Look("#56a5d8"),
    "thin-away": Look("#a9d6f0"),
    "thin-wait": Look("#9e9e9e"),
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
    """A span in its place, with the words that say what it is."""

    span: Span
    frame: Rect
    said: str
    away: bool

    @property
    def tip(self) -> str:
        """What one reads on hovering."""
        s = self.span
        when = f"{seconds(s.start)} to {seconds(s.end)} s"
        long = f" ({seconds(s.duration)} s)" if s.duration else ""
        return f"{brief(s.node)}, iteration {s.iteration}: {brief(self.said, 200)}, {when}{long}"

    @property
    def short(self) -> str:
        """Fewer words: "for check", "throttled", "limited", "retry"."""
        if self.span.kind == "wait":
            return self.said.removeprefix("waits ")
        return self.span.kind


def frame(left: float, right: float, y: float, high: float) -> Rect:
    """Give the box between two places; what takes no time is a line."""
    return Rect(left, y, right - left or _LINE, high)


def draw(bar: Bar, room: float) -> Group:
    """Draw a bar; its number stands in it if *room* pixels are there."""
    waits = bar.span.kind != "work"
    if bar.frame.width < _THIN and bar.span.duration:
        thin = "wait" if waits else "away" if bar.away else "work"
        box = Mark(_outline(bar.frame), f"thin-{thin}", closed=True)
        return Group((box,), tip=bar.tip)
    if waits:
        return Group((*waiting(bar.frame), *_reason(bar)), tip=bar.tip)
    shape = Mark(_outline(bar.frame), look(bar.span.iteration, away=bar.away), closed=True)
    if room > bar.frame.width:
        return Group((shape,), tip=bar.tip)
    style = "away-number" if bar.away else "bar-number"
    number = Writing(bar.frame.middle[0], _base(bar), str(bar.span.iteration), style)
    return Group((shape, number), tip=bar.tip)


def look(iteration: int, *, away: bool) -> str:
    """Name the look of a working bar: neighbours in time differ."""
    return f"{'away' if away else 'work'}-{'odd' if iteration % 2 else 'even'}"


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
    words = next((w for w in (bar.said, bar.short) if width(w, 10) <= room), "")
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
