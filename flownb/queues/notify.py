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

from flownb.model.policies import Retry


class Notifier:
    """Wakes one waiter in its own event loop, from any thread."""

    __slots__ = ("_loop", "_notified")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._notified = asyncio.Event()

    def notify(self) -> None:
        """Wake the waiter; harmless when its event loop is already closed."""
        if _running_loop() is self._loop:
            self._notified.set()
            return
        # A closed event loop raises: nobody waits there any more.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._notified.set)

    async def wait(self, timeout: float | None) -> None:
        """Until it was notified since the last wait, at most `timeout` seconds."""
        with suppress(TimeoutError):
            # No timer at all without a timeout: virtual time would jump to it.
            async with asyncio.timeout(timeout):
                await self._notified.wait()
        self._notified.clear()


class Backoff:
    """How long to wait where others may be unable to notify us: ever longer.

    At most `longest` seconds; None where everybody can.
    """

    def __init__(self, longest: float | None) -> None:
        self._waits = (
            None if longest is None else Retry(on=Exception, wait_initial=0.001, wait_max=longest)
        )
        self._looks = 0

    async def wait(self, notifier: Notifier) -> None:
        """Until we are notified, or it is time to look."""
        self._looks += 1
        await notifier.wait(None if self._waits is None else self._waits.wait(self._looks))

    def begin_anew(self) -> None:
        """Look soon again: somebody has got on."""
        self._looks = 0


class Notifiers:
    """All notifiers of a server, by the name of the channel that they listen to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._notifiers: dict[str, list[Notifier]] = {}
        self.departures = 0
        """How often somebody has stopped reading; what they held is there for others then."""

    def depart(self) -> None:
        """Note that somebody reads no more."""
        with self._lock:
            self.departures += 1

    @contextmanager
    def listen(self, *names: str) -> Iterator[Notifier]:
        """A notifier that listens to the channels `names` until the end of the block."""
        notifier = Notifier()
        with self._lock:
            for name in names:
                self._notifiers.setdefault(name, []).append(notifier)
        try:
            yield notifier
        finally:
            with self._lock:
                for name in names:
                    self._remove(name, notifier)

    def _remove(self, name: str, notifier: Notifier) -> None:
        notifiers = self._notifiers[name]
        notifiers.remove(notifier)
        if not notifiers:
            del self._notifiers[name]

    def notify(self, name: str) -> None:
        """Wake everyone who listens to `name`: who finds nothing left waits again."""
        with self._lock:
            notifiers = tuple(self._notifiers.get(name, ()))
        for notifier in notifiers:
            notifier.notify()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


_AGAIN: Final = 0.2  # seconds


async def ended(task: asyncio.Task[Any]) -> None:
    """Cancel a task, as often as it takes, and wait for its end.

    redis-py loses a cancellation that comes while it connects, and asks the server
    once more on its way out of a WATCH: then it has to be cancelled again.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=_AGAIN)
