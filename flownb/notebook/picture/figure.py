"""How does a picture become a matplotlib figure, for papers and for pages without SVG?

Made without pyplot: no global state, no backend chosen for the user, nothing to close.
"""

from __future__ import annotations

import warnings
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

from flownb.notebook.picture.shapes import INKS, LOOKS, Look, Mark, Picture, Writing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from flownb.notebook.picture.shapes import Path

_DPI: Final = 96
_POINTS: Final = 72 / _DPI  # a pixel in points, the unit of matplotlib's lines and letters
_MARGIN: Final = 6.0
_ALIGN: Final = {"start": "left", "middle": "center", "end": "right"}


def figure(picture: Picture) -> Figure:
    """Draw a picture as a figure that a notebook shows as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    w, h = picture.width + 2 * _MARGIN, picture.height + 2 * _MARGIN
    made = Figure(figsize=(w / _DPI, h / _DPI), dpi=_DPI, facecolor=_colour("bg"))
    FigureCanvasAgg(made)
    axes = made.add_axes((0, 0, 1, 1), frameon=False, xticks=[], yticks=[])
    axes.set(xlim=(-_MARGIN, w - _MARGIN), ylim=(h - _MARGIN, -_MARGIN))
    looks = {**LOOKS, **picture.looks}
    for group in picture.groups:
        for part in group.parts:
            look = looks[part.look]
            _mark(axes, part, look) if isinstance(part, Mark) else _write(axes, part, look)
    made._repr_png_ = partial(_png, made)  # type: ignore[attr-defined]
    return made


def _png(made: Figure) -> tuple[bytes, dict[str, Any]]:
    """Give twice the pixels and say the size in between: sharp on every screen."""
    width, height = made.get_size_inches() * _DPI
    stream = BytesIO()
    with warnings.catch_warnings():  # a letter that the font lacks is drawn as a box
        warnings.simplefilter("ignore", UserWarning)
        made.savefig(stream, format="png", dpi=2 * _DPI, metadata={"Software": None})
    return stream.getvalue(), {"width": round(width), "height": round(height)}


def _mark(axes: Axes, mark: Mark, look: Look) -> None:
    from matplotlib.patches import PathPatch

    width = look.width * _POINTS
    dash = (0, tuple(d / look.width for d in look.dash)) if look.dash else "solid"
    axes.add_patch(
        PathPatch(
            _path(mark.path, closed=mark.closed),
            facecolor=_colour(look.fill),
            edgecolor=_colour(look.stroke),
            linewidth=width,
            linestyle=dash,
            capstyle="butt",
            joinstyle="round",
        )
    )


def _path(path: Path, *, closed: bool) -> Any:
    from matplotlib.path import Path as Outline

    points, codes = [], []
    for i, step in enumerate(path):
        code = Outline.MOVETO if i == 0 else {2: Outline.LINETO, 6: Outline.CURVE4}[len(step)]
        points += list(zip(step[::2], step[1::2], strict=True))
        codes += [code] * (len(step) // 2)
    if closed:
        points.append(points[0])
        codes.append(Outline.CLOSEPOLY)
    return Outline(points, codes)


def _write(axes: Axes, writing: Writing, look: Look) -> None:
    axes.text(
        writing.x,
        writing.y,
        writing.text,
        fontsize=look.size * _POINTS,
        fontweight="bold" if look.bold else "normal",
        color=_colour(look.fill),
        ha=_ALIGN[writing.anchor],
        va="baseline",
        parse_math=False,
    )


def _colour(name: str) -> str:
    return INKS[name][1] if name in INKS else name
