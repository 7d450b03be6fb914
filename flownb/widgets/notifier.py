"""How does a notice reach somebody who looks elsewhere? `notifier()` pops it up in the browser."""

from __future__ import annotations

import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import anywidget
import traitlets

from flownb.notebook.picture.text import brief
from flownb.widgets.bundle import sheet

if TYPE_CHECKING:
    from flownb.engine.orchestrator.notices import Notice

_KEPT: Final = 20
_LONGEST: Final = 500  # characters


class Notifier(anywidget.AnyWidget):
    """A callback for `orch.on`, and the widget that says what it was told; see `notifier`."""

    notices: Any = traitlets.List().tag(sync=True)

    def __init__(self) -> None:
        self._esm = (Path(__file__).parent / "notifier.js").read_text(encoding="utf-8")
        self._css = sheet()
        super().__init__()

    def __call__(self, notice: Notice) -> None:
        """Tell of a notice, from whatever thread."""
        title, text = f"{brief(notice.graph)}: {notice.kind}", brief(notice.text, _LONGEST)
        self.notices = [[time.time(), title, text], *self.notices[: _KEPT - 1]]
        self.send({"title": title, "text": text, "tag": uuid.uuid4().hex})

    def __repr__(self) -> str:
        return f"Notifier({len(self.notices)} told)"

    def _repr_mimebundle_(self, **options: Any) -> Any:
        shown: Any = super()._repr_mimebundle_(**options)
        return {**shown[0], "text/plain": repr(self)}, shown[1]


def notifier() -> Notifier:
    """Make a callback for `orch.on` that notifies you in the browser, whatever tab you look at.

    End a cell with it, and click its button once: browsers ask before a page may notify. Until
    then, and where it is not allowed, the last 20 notices stand under the cell.

    >>> notifier()
    Notifier(0 told)
    """
    return Notifier()
