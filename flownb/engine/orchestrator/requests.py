"""What does a verb of a run return? A `Request`: awaitable, and done when what was asked is done.

Asking acts at once. Await the request in a cell, or call `.wait()` where no event loop runs.
Dropping it changes nothing.

The `Heartbeat`, a beat each 50 ms on the notebook's event loop, shows whether the kernel is
free. It also puts the stand-ins for stdout up again, and lets an interrupt reach an awaiting
cell at once: a kernel notices a signal only when its event loop has something to do.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Final

from flownb.arguments import TIMEOUT, checked
from flownb.engine.prints import renew
from flownb.errors import RunError
from flownb.tracebacks import folded, folding

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from flownb.records.metrics import Status


class Request:
    """Something that was asked: await it, `.wait()` for it, or forget it."""

    def __init__(
        self, what: str, future: Future[Status], home: asyncio.AbstractEventLoop | None
    ) -> None:
        self._what, self._future, self._home = what, future, home

    def __await__(self) -> Generator[Any, None, Status]:
        # shielded: an interrupted cell gives up waiting, not what it asked for
        with folding:
            return (yield from asyncio.shield(asyncio.wrap_future(self._future)).__await__())

    @folded
    def wait(self, timeout: float | None = None) -> Status:
        """Wait for at most *timeout* seconds, without an event loop, and give the `Status` then.

        TimeoutError if it has not happened by then.

        Called from the event loop that would have to do the work it raises RunError.
        """
        timeout = checked(f"{self._what}.wait()", "timeout", timeout, TIMEOUT)
        running = running_loop()
        if running is not None and running is self._home:
            if not getattr(running, "_nest_patched", False):
                msg = f"{self._what}.wait() would block the event loop that does it: use `await`"
                raise RunError(msg)
            return running.run_until_complete(
                asyncio.wait_for(asyncio.ensure_future(_of(self)), timeout)
            )
        return self._future.result(timeout)

    def done(self) -> bool:
        """Whether it has happened."""
        return self._future.done()

    def __repr__(self) -> str:
        return f"Request({self._what}: {'done' if self.done() else 'under way'})"


async def _of(request: Request) -> Status:
    return await request


class Requests:
    """The open requests of one run; any thread may look whether one is fulfilled."""

    def __init__(self) -> None:
        self._open: list[tuple[Future[Any], Callable[[], bool], Callable[[], Any]]] = []
        self._lock = threading.RLock()

    def add(self, fulfilled: Callable[[], bool], result: Callable[[], Any]) -> Future[Any]:
        """Keep a request until *fulfilled()*; its future then holds *result()*."""
        future: Future[Any] = Future()
        with self._lock:
            self._open.append((future, fulfilled, result))
        self.look()
        return future

    def look(self) -> None:
        """Something has changed: answer the requests that are fulfilled now."""
        with self._lock:
            done = [r for r in self._open if r[1]()]
            self._open = [r for r in self._open if r not in done]
        for future, _, result in done:
            future.set_result(result())


class EventLoopThread:
    """An event loop in a daemon thread: for scripts, doctests and `control="thread"`."""

    def __init__(self, name: str) -> None:
        self.event_loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self.event_loop.run_forever()
        self.event_loop.run_until_complete(self.event_loop.shutdown_asyncgens())
        self.event_loop.close()

    def stop(self) -> None:
        """End it, from any thread."""
        if not self.event_loop.is_closed():
            self.event_loop.call_soon_threadsafe(self.event_loop.stop)


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Give the event loop that runs here, as in a notebook; None in a script."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


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
