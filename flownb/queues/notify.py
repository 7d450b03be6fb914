"""How is a waiting reader or writer notified? By a `Notifier`, as by a `threading.Condition`.

Inside one process nobody polls: who waits listens *before* it looks, and who pushes
notifies, from whatever thread it runs in. So a wake-up cannot be lost, and in virtual time
waiting leaves no timer behind. Where others cannot notify, `Backoff` says when to look again.

`ended` ends a task that talks to a server which may hang.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final


class Notifier:
    """Wakes one waiter in its own event loop, from any thread."""

    __slots__ = ("_loop", "_rung")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._rung = asyncio.Event()

    def notify(self) -> None:
        """Wake the waiter; harmless when its event loop is already closed."""
        if _running_loop() is self._loop:
            self._rung.set()
            return
        # A closed event loop raises: nobody waits there any more.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._rung.set)

    async def wait(self, timeout: float | None) -> None:
        """Until it was rung since the last wait, at most `timeout` seconds."""
        with suppress(TimeoutError):
            # No timer at all without a timeout: virtual time would jump to it.
            async with asyncio.timeout(timeout):
                await self._rung.wait()
        self._rung.clear()


_FIRST_LOOK = 0.001  # seconds


class Backoff:
    """How long to wait for a bell that others, out of hearing, do not ring: ever longer.

    At most `longest` seconds; None where everybody is heard.
    """

    def __init__(self, longest: float | None) -> None:
        self._longest, self._next = longest, _FIRST_LOOK

    async def wait(self, bell: Notifier) -> None:
        """Until the bell is rung, or it is time to look."""
        if self._longest is None:
            await bell.wait(None)
            return
        await bell.wait(min(self._next, self._longest))
        self._next = min(2 * self._next, self._longest)

    def begin_anew(self) -> None:
        """Look soon again: somebody has got on."""
        self._next = _FIRST_LOOK


class Notifiers:
    """All bells of a server, by the name of what their owners wait for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._notifiers: dict[str, list[Notifier]] = {}
        self.departures = 0
        """How often somebody has stopped reading; what he held is there for others then."""

    def depart(self) -> None:
        """Note that somebody reads no more."""
        with self._lock:
            self.departures += 1

    @contextmanager
    def hung(self, *names: str) -> Iterator[Notifier]:
        """A bell for each of `names`, taken down again at the end."""
        bell = Notifier()
        with self._lock:
            for name in names:
                self._notifiers.setdefault(name, []).append(bell)
        try:
            yield bell
        finally:
            with self._lock:
                for name in names:
                    self._take_down(name, bell)

    def _take_down(self, name: str, bell: Notifier) -> None:
        bells = self._notifiers[name]
        bells.remove(bell)
        if not bells:
            del self._notifiers[name]

    def notify(self, name: str) -> None:
        """Wake everyone who waits for `name`: who finds nothing left waits again."""
        with self._lock:
            bells = tuple(self._notifiers.get(name, ()))
        for bell in bells:
            bell.notify()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


_AGAIN: Final = 0.2  # seconds


async def ended(task: asyncio.Task[Any]) -> None:
    """Cancel a task, as often as it takes, and wait for its end.

    redis-py does not hear of a cancellation that comes while it connects, and asks the
    server once more on its way out of a WATCH: then it has to be told again.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=_AGAIN)
