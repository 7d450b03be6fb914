"""What does a run look like for good, or a view without its kernel? A snapshot, and a still.

A `Snapshot` is text, pictures and tables of one moment. A live view is two outputs: a `Still`,
plain HTML which every reader of the saved notebook can show, and the widget, whose script hides
the still while it is alive. The still is drawn again now and then and at the end, so what is
saved is the last picture, not the first.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from flownb.notebook.picture.text import xml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_PAGE: Final = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>flownb</title></head>'
    "<body>{}</body></html>"
)


def whole_page(html: str) -> str:
    """Give HTML as a page that stands alone."""
    return _PAGE.replace("{}", html)


@dataclass(frozen=True, slots=True, repr=False)
class Snapshot:
    """What a view showed at one moment; it needs no kernel and no network.

    `text` says it in one line, `html` shows it. End a cell with it, or `save()` it.
    """

    text: str
    html: str

    def __repr__(self) -> str:
        return self.text

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """Give text and HTML; neither has a script in it."""
        bundle = {"text/plain": self.text, "text/html": self.html}
        return {
            kind: data
            for kind, data in bundle.items()
            if (not include or kind in include) and kind not in (exclude or ())
        }

    def save(self, path: str | Path) -> Path:
        """Write it as a page of its own, in UTF-8; give the path."""
        Path(path).write_text(whole_page(self.html), encoding="utf-8")
        return Path(path)


_OFTEN: Final = 10.0  # seconds between two stills while it runs
_SOON: Final = 1.0  # seconds from an edit to the next one
_CSS: Final = (  # a reopened notebook has no model for the widget: its error line says nothing
    ".jp-OutputArea-child:has(.flownb-still)+.jp-OutputArea-child"
    ">.jupyter-widgets:not(:has(*)){display:none}"
)


class Still:
    """The output that stays, and when it is drawn again."""

    def __init__(
        self, draw: Callable[[], Iterable[str]], data: Callable[[], dict[str, Any]] = dict
    ) -> None:
        self.id = uuid.uuid4().hex
        self._draw, self._data = draw, data
        self._shown: tuple[str, dict[str, Any]] = ("", {})
        self._next = 0.0

    def show(self, widget: Any, text: str) -> None:
        """Put the still and the widget under the cell."""
        data, metadata = widget
        for _ in self._publish(text, update=False):
            pass
        _publish({**data, "text/plain": text, "text/html": ""}, metadata)

    def refresh(self, text: str = "", *, last: bool) -> Iterator[None]:
        """Draw it again, part by part, if it was shown, is old, and has changed."""
        if self._shown[0] and (last or time.monotonic() >= self._next):
            yield from self._publish(text, update=True)

    def hasten(self) -> None:
        """Let it be drawn again soon: something has been edited."""
        self._next = min(self._next, time.monotonic() + _SOON)

    def _publish(self, text: str, *, update: bool) -> Iterator[None]:
        self._next = time.monotonic() + _OFTEN
        drawn = ""
        for part in self._draw():
            drawn += part
            yield
        data = self._data()
        now = drawn, data
        if now == self._shown:
            return
        self._shown = now
        html = f'<div class="flownb-still" data-flownb="{xml(self.id)}">'
        _publish(
            {"text/plain": text, "text/html": f"{html}<style>{_CSS}</style>{drawn}</div>", **data},
            transient={"display_id": self.id},
            update=update,
        )


def _publish(data: dict[str, Any], metadata: dict[str, Any] | None = None, **options: Any) -> None:
    from IPython.display import publish_display_data

    publish_display_data(data, metadata, **options)  # type: ignore[no-untyped-call]
