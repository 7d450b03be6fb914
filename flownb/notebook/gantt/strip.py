"""How does a run look in one cell of a table? A line for each node, no words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from flownb.notebook.gantt.rows import LOOKS

if TYPE_CHECKING:
    from flownb.records.timeline import Timeline

_WIDE: Final = 240
_LINE: Final = 6  # pixels
_NODES: Final = 10
_LEAST: Final = 1.5


def strip(timeline: Timeline, until: float) -> str:
    """Write the calls from second 0 to *until* as the text of a small SVG file, light on white.

    >>> from flownb.records.events import Span
    >>> from flownb.records.timeline import Timeline
    >>> strip(Timeline((Span("g", "a", 0, 0, "work", 0.0, 1.0),)), 2.0).count("h120v5")
    1
    """
    rows = {row: i for i, row in enumerate(timeline.rows[:_NODES])}
    high, scale, failed = _LINE * max(1, len(rows)), _WIDE / (until or 1.0), timeline.failed
    paths: dict[str, list[str]] = {"work": [], "bad": []}
    for span in timeline:
        if (at := rows.get((span.loop, span.node))) is not None:
            x, wide = span.start * scale, max(_LEAST, span.duration * scale)
            line = f"M{x:.1f} {at * _LINE}h{wide:.4g}v{_LINE - 1}h-{wide:.4g}z"
            paths["bad" if span in failed else "work"].append(line)
    drawn = [
        f'<path fill="{LOOKS[look].fill}" stroke="{LOOKS[look].stroke}" stroke-width=".5"'
        f' d="{"".join(found)}"/>'
        for look, found in paths.items()
        if found
    ]
    size = f'viewBox="-1 -1 {_WIDE + 2} {high + 1}" width="{_WIDE + 2}" height="{high + 1}"'
    sheet = f'<path fill="#fff" d="M-1-1h{_WIDE + 2}v{high + 1}H-1z"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{sheet}{"".join(drawn)}</svg>'
