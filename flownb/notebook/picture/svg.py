"""How does a picture become SVG text, the same bytes every time?

No ids (several pictures share a page), no scripts, no links: arrow heads and hatching
are drawn, not referenced. Every text from outside is cleaned and escaped in one place.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, Literal

from flownb.notebook.picture.shapes import INKS, LOOKS, Group, Look, Mark, Picture, Writing
from flownb.notebook.picture.text import number, xml

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flownb.notebook.picture.shapes import Path

_FONT: Final = (
    "var(--jp-ui-font-family,system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif)"
)
_DARK: Final = "body[data-jp-theme-light=false] .fnb,html[theme=dark] .fnb,body.vscode-dark .fnb"
_MARIMO: Final = "body.dark .fnb"  # only there: what is saved elsewhere stays as it is
# The script of a widget looks at the page: a rule inside a shadow root cannot.
_WIDGET: Final = ".fnb.flownb-dark,.flownb-dark .fnb"
_MARGIN: Final = 4.0
_LEAST: Final = 0.6  # a wide picture shrinks to this, then it scrolls: its words stay legible


Use = Literal["file", "page", "still", "widget"]


def svg(picture: Picture, use: Use = "file") -> str:
    """Write a picture as SVG.

    "file" carries its style and follows the system's theme; "page" is for HTML that has
    the style and follows the notebook's; "still" is light on white, for an `<img>`.
    """
    standalone = use != "page"
    w, h = picture.width + 2 * _MARGIN, picture.height + 2 * _MARGIN
    size = f'width="{number(w)}" height="{number(h)}"'
    box = f"{number(-_MARGIN)} {number(-_MARGIN)} {number(w)} {number(h)}"
    name = ' xmlns="http://www.w3.org/2000/svg"' if standalone else ""
    least = "" if standalone else f' style="min-width:{number(w * _LEAST)}px"'
    head = f'<svg{name} class="fnb fnb-picture" {size} viewBox="{box}"{least} role="img">'
    parts = [
        head,
        f"<title>{xml(picture.title)}</title>",
        f"<desc>{xml(picture.description)}</desc>",
        *([f"<style>{style(use, picture.looks)}</style>"] if standalone else []),
        *([f'<path class="fnb-sheet" d="{_sheet(w, h)}"/>'] if use == "still" else []),
        *map(_group, picture.groups),
        "</svg>",
    ]
    return "\n".join(parts)


def _sheet(w: float, h: float) -> str:
    return f"M{number(-_MARGIN)} {number(-_MARGIN)}h{number(w)}v{number(h)}h{number(-w)}Z"


def _group(group: Group) -> str:
    ident = f' data-id="{group.id}"' if group.id else ""
    tip = f"<title>{xml(group.tip)}</title>" if group.tip else ""
    return f"<g{ident}>{tip}{''.join(map(_part, group.parts))}</g>"


def _part(part: Mark | Writing) -> str:
    if isinstance(part, Mark):
        closed = "Z" if part.closed else ""
        return f'<path class="fnb-{part.look}" d="{path_data(part.path)}{closed}"/>'
    anchor = "" if part.anchor == "middle" else f' style="text-anchor:{part.anchor}"'
    at = f'x="{number(part.x)}" y="{number(part.y)}"'
    return f'<text class="fnb-{part.look}" {at}{anchor}>{xml(part.text)}</text>'


def path_data(path: Path) -> str:
    """Write a path in SVG's letters.

    >>> path_data(((0, 0), (10, 0), (15, 0, 15, 5, 20, 5)))
    'M0 0L10 0C15 0 15 5 20 5'
    """
    letters = {2: "L", 6: "C"}
    steps = (
        ("M" if i == 0 else letters[len(step)]) + " ".join(map(number, step))
        for i, step in enumerate(path)
    )
    return "".join(steps)


def style(use: Use = "page", looks: Mapping[str, Look] | None = None) -> str:
    """Write the style sheet: inks as variables that follow the theme, then the looks.

    *looks* are those of one picture, beside those of all.
    """
    every = {**LOOKS, **(looks or {})}
    light = "".join(f"--fnb-{name}:{_ink(name, dark=False)};" for name in INKS)
    dark = "".join(f"--fnb-{name}:{_ink(name, dark=True)};" for name in INKS)
    darkness = {
        "file": f"@media (prefers-color-scheme:dark){{.fnb{{{dark}}}}}",
        "page": f"{_dark()}{{{dark}}}",
        "widget": f"{_WIDGET}{{{dark}}}",
        "still": ".fnb-sheet{fill:#fff}",
    }
    rules = [
        f".fnb{{{light}}}",
        darkness[use],
        f".fnb-picture{{max-width:100%;height:auto;font-family:{_FONT}}}",
        ".fnb-picture text{text-anchor:middle;stroke:none}",
    ]
    rules += [f".fnb-picture .fnb-{name}{{{_look(look)}}}" for name, look in every.items()]
    return "".join(rules)


def _dark() -> str:
    return f"{_DARK},{_MARIMO}" if "marimo" in sys.modules else _DARK


def _ink(name: str, *, dark: bool) -> str:
    variable, *plain = INKS[name]
    return f"var({variable},{plain[dark]})" if variable else plain[dark]


def _look(look: Look) -> str:
    rules = [f"fill:{_colour(look.fill)}"]
    if look.stroke != "none":
        rules.append(f"stroke:{_colour(look.stroke)};stroke-width:{number(look.width)}px")
    if look.dash:
        rules.append(f"stroke-dasharray:{' '.join(map(number, look.dash))}")
    if look.size:
        weight = "600" if look.bold else "400"
        rules.append(f"font-size:{number(look.size)}px;font-weight:{weight}")
    return ";".join(rules)


def _colour(name: str) -> str:
    return f"var(--fnb-{name})" if name in INKS else name
