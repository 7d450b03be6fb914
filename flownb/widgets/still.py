"""What is left of a view when its kernel is gone? The last picture, as plain HTML.

A live view is two outputs: a still, which every reader of the saved notebook can show,
and the widget, whose script hides the still while it is alive. The still is drawn
again now and then and at the end, so what is saved is the last picture, not the first.
"""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any, Final

from flownb.notebook.words import xml

if TYPE_CHECKING:
    from collections.abc import Callable

_OFTEN: Final = 10.0  # seconds between two stills while it runs
_CSS: Final = (  # a reopened notebook has no model for the widget: its error line says nothing
    ".jp-OutputArea-child:has(.flownb-still)+.jp-OutputArea-child"
    ">.jupyter-widgets:not(:has(*)){display:none}"
)


class Still:
    """The output that stays, and when it is drawn again."""

    def __init__(self, draw: Callable[[], str]) -> None:
        self.id = uuid.uuid4().hex
        self._draw = draw
        self._shown = ""
        self._next = 0.0

    def show(self, widget: Any, text: str) -> None:
        """Put the still and the widget under the cell."""
        data, metadata = widget
        self._publish(text, update=False)
        _publish({**data, "text/plain": text, "text/html": ""}, metadata)

    def refresh(self, text: str = "", *, last: bool) -> None:
        """Draw it again if it was shown, is old, and has changed."""
        if self._shown and (last or time.monotonic() >= self._next):
            self._publish(text, update=True)

    def _publish(self, text: str, *, update: bool) -> None:
        self._next = time.monotonic() + _OFTEN
        drawn = self._draw()
        if drawn == self._shown:
            return
        self._shown = drawn
        html = f'<div class="flownb-still" data-flownb="{xml(self.id)}">'
        _publish(
            {"text/plain": text, "text/html": f"{html}<style>{_CSS}</style>{drawn}</div>"},
            transient={"display_id": self.id},
            update=update,
        )


def _publish(data: dict[str, Any], metadata: dict[str, Any] | None = None, **options: Any) -> None:
    from IPython.display import publish_display_data

    publish_display_data(data, metadata, **options)  # type: ignore[no-untyped-call]
