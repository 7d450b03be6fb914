"""What must a part of a view give? What is drawn, how it stands now, what can be asked.

A part knows nothing of browsers and comms, so its tests need neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

    from flownb.notebook.picture.shapes import Picture

Command = dict[str, Any]


class Part:
    """One thing in a view: subclass it, name it after its JavaScript module.

    All methods are called on the event loop of the view, at most 10 times a second, `state()`
    of each part in a turn of its own.
    """

    name: ClassVar[str]

    def version(self) -> Hashable:
        """Change it to have `scene()` asked for and sent again."""
        return 0

    def scene(self) -> dict[str, Any]:
        """Say what is drawn: JSON, sent at the start and on edits."""
        return {}

    def look(self) -> None:
        """Note how what runs stands; in one turn for all parts, so they tell of one moment."""

    def state(self) -> dict[str, Any]:
        """Say how everything stands now: small JSON values by key; only changed ones are sent."""
        return {}

    def states(self) -> dict[str, Any]:
        """Say how the loops stand, by keys of `state()`, in any thread, at little cost."""
        return {}

    def select(self, value: Any) -> None:
        """Take what the user has chosen in the browser; `state()` is asked right after."""

    def chosen(self) -> dict[str, str]:
        """Name what is chosen, as `selection` tells it: {"node": "check"}, or more."""
        return {}

    def file(self, kind: str) -> tuple[str, str] | None:  # noqa: ARG002 - most parts have none
        """Give the text and the mime type of a file of that kind ("json"), if it has one."""
        return None

    def commands(self) -> Mapping[str, Callable[[Command], Any]]:
        """Name the part's own commands, beside those that every live view has."""
        return {}

    def is_final(self) -> bool:
        """Whether nothing new can come once the run is over; until then `state()` is asked."""
        return True

    def still(self) -> str:
        """Give the present picture or table as HTML, for when nothing is alive any more."""
        return ""

    def data(self) -> dict[str, Any]:
        """Give what else stays in the notebook beside the still, by mime type."""
        return {}


def shapes(picture: Picture) -> dict[str, Any]:
    """Give a picture as JSON: what `drawPicture` in base.js draws, as `svg.svg` writes it.

    A mark is [look, path], a writing [look, x, y, text, anchor].
    """
    from flownb.notebook.picture.shapes import Mark
    from flownb.notebook.picture.svg import path_data
    from flownb.notebook.picture.text import clean, number

    def shape(part: Any) -> list[Any]:
        if isinstance(part, Mark):
            return [part.look, path_data(part.path) + "Z" * part.closed]
        at = float(number(part.x)), float(number(part.y))
        return [part.look, *at, clean(part.text), part.anchor]

    return {
        "title": clean(picture.title),
        "description": clean(picture.description),
        "width": picture.width,
        "height": picture.height,
        "groups": [
            {"id": g.id, "tip": clean(g.tip), "parts": [shape(p) for p in g.parts]}
            for g in picture.groups
        ],
    }
