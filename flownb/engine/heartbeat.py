"""Is the kernel free? A beat each 50 ms on the notebook's event loop tells.

It also puts the stand-ins for stdout up again, and lets an interrupt reach an awaiting
cell at once: a kernel notices a signal only when its event loop has something to do.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from flownb.engine.capture import renew

BEAT: Final = 0.05
_LATE: Final = 0.1


class Heartbeat:
    """Beats on one event loop and adds up how late its beats were."""

    def __init__(self, event_loop: asyncio.AbstractEventLoop) -> None:
        self._event_loop = event_loop
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = False
        self.busy = 0.0

    def start(self) -> None:
        """Begin to beat; may be called from any thread."""
        self._post(self._next)

    def stop(self) -> None:
        """Beat no more; may be called from any thread."""
        self._stopped = True
        self._post(self._cancel)

    def _post(self, callback: object) -> None:
        with contextlib.suppress(RuntimeError):  # the event loop is closed
            self._event_loop.call_soon_threadsafe(callback)  # type: ignore[arg-type]

    def _next(self) -> None:
        if not self._stopped:
            self._timer = self._event_loop.call_later(
                BEAT, self._beat, self._event_loop.time() + BEAT
            )

    def _beat(self, due: float) -> None:
        late = self._event_loop.time() - due
        if late > _LATE:
            self.busy += late
        renew()
        self._next()

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
