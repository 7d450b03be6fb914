"""How is a click shown while a cell holds the event loop of its view? By a thread of its own.

A front end delivers clicks beside a cell that runs, and loops obey. The view cannot look: its
event loop is held. So for some seconds after a click a thread tells how the loops stand, as
often as the view itself would, and only while that says nothing.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_EVERY: Final = 0.05  # seconds
_NAME: Final = "flownb-echo"
_HELD: Final = 0.25  # seconds without a look, after which the event loop is taken for held


class Echo:
    """Sends what *states* gives and has changed, for *seconds* after each `begin()`.

    *states* is asked in a thread of its own. `looked()` says that the view has sent all itself.
    """

    def __init__(
        self, states: Callable[[], dict[str, Any]], send: Callable[[Any], None], seconds: float
    ) -> None:
        self._states, self._send, self._seconds = states, send, seconds
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._until = self._looked_at = 0.0
        self._sent: dict[str, Any] = {}

    def begin(self) -> None:
        """Follow a click."""
        with self._lock:
            self._until = time.monotonic() + self._seconds
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._follow, name="flownb-echo", daemon=True
                )
                self._thread.start()

    def looked(self) -> bool:
        """Note that the view tells all now; say whether the page knows what the view does not."""
        self._looked_at = time.monotonic()
        sent, self._sent = self._sent, {}
        return bool(sent)

    def _follow(self) -> None:
        while True:
            time.sleep(_EVERY)
            with self._lock:
                if time.monotonic() >= self._until:
                    self._thread = None
                    return
            if time.monotonic() - self._looked_at > _HELD:
                self._tell()

    def _tell(self) -> None:
        try:
            now = self._states()
        except RuntimeError:  # a loop was added while we looked
            return
        changed = {key: value for key, value in now.items() if self._sent.get(key) != value}
        if changed:
            self._sent |= changed
            self._send({"patch": changed})
