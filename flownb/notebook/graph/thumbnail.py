"""How does a large graph look in few bytes? Boxes, lines and names, one path for each look.

A notebook keeps it with every save: a picture with all its words would be ten times as large.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from flownb.notebook.picture.shapes import INKS, LOOKS
from flownb.notebook.picture.text import brief, xml

if TYPE_CHECKING:
    from flownb.notebook.graph.scene import Box, Line, Scene

_MARGIN: Final = 6
_NAME: Final = 16  # letters
_DOTS: Final = {"queued": "2 4", "detached": "6 4"}


def thumbnail(scene: Scene) -> str:
    """Write a scene as the text of a small SVG file, light on white.

    >>> from flownb import Graph
    >>> from flownb.notebook.graph.scene import scene
    >>> thumbnail(scene(Graph("g").add_producer("p")))[:35]
    '<svg xmlns="http://www.w3.org/2000/'
    """
    wide, high = round(scene.width) + 2 * _MARGIN, round(scene.height) + 2 * _MARGIN
    lines: dict[str, list[str]] = {}
    for line in scene.lines:
        lines.setdefault(line.style, []).append(_line(line))
    boxes: dict[str, list[str]] = {}
    for box in scene.boxes:
        boxes.setdefault(box.kind, []).append(_box(box))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-{_MARGIN} -{_MARGIN} {wide} {high}"',
        f' width="{wide}" height="{high}" font-family="sans-serif" font-size="13"',
        ' text-anchor="middle">',
        f'<path fill="#fff" d="M-{_MARGIN}-{_MARGIN}h{wide}v{high}H-{_MARGIN}"/>',
    ]
    for style, paths in lines.items():
        dash = f' stroke-dasharray="{_DOTS[style]}"' if style in _DOTS else ""
        ink = _colour(LOOKS[style].stroke)
        parts.append(f'<path fill="none" stroke="{ink}"{dash} d="{"".join(paths)}"/>')
    for kind, paths in boxes.items():
        look = LOOKS[kind]
        parts.append(f'<path fill="{look.fill}" stroke="{look.stroke}" d="{"".join(paths)}"/>')
    parts += [
        f'<text x="{round(b.frame.middle[0])}" y="{round(b.frame.middle[1]) + 4}">'
        f"{xml(brief(b.name, _NAME))}</text>"
        for b in scene.boxes
    ]
    return "".join([*parts, "</svg>"])


def image(svg: str, words: str) -> str:
    """Write an `<img>` that holds an SVG: it is shown in untrusted notebooks, too."""
    source = quote(svg, safe=" =:/;,'()!*+-._~@$&?")
    return f'<img alt="{xml(words)}" style="max-width:100%" src="data:image/svg+xml,{source}"/>'


def _line(line: Line) -> str:
    start, *steps = line.path
    letters = {2: "L", 6: "C"}
    return f"M{_pair(start)}" + "".join(f"{letters[len(s)]}{_pair(s)}" for s in steps)


def _pair(step: tuple[float, ...]) -> str:
    return " ".join(str(round(v)) for v in step)


def _box(box: Box) -> str:
    f = box.frame
    return f"M{round(f.x)} {round(f.y)}h{round(f.width)}v{round(f.height)}h-{round(f.width)}z"


def _colour(name: str) -> str:
    return INKS[name][1] if name in INKS else name
