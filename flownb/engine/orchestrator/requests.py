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
import functools
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Final, TypeVar

from flownb.arguments import TIMEOUT, checked
from flownb.engine.prints import renew
from flownb.engine.runtime import running_loop
from flownb.errors import RunError
from flownb.tracebacks import folded, folding

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping


_T = TypeVar("_T")


class Request(Coroutine[Any, Any, _T]):
    """Something that was asked: await it, `.wait()` for it, or forget it.

    It gives the `Status` then. Where no event loop runs, `asyncio.run(request)` waits, too.
    """

    def __init__(
        self, what: str, future: Future[_T], home: asyncio.AbstractEventLoop | None
    ) -> None:
        self._what, self.future, self._home = what, future, home
        self._tasks: dict[Any, Generator[Any, None, Any]] = {}  # those that it is the coroutine of

    def __await__(self) -> Generator[Any, None, _T]:
        # shielded: an interrupted cell gives up waiting, not what it asked for
        with folding:
            return (yield from asyncio.shield(asyncio.wrap_future(self.future)).__await__())

    def send(self, value: Any) -> object:
        """Go on as the coroutine of a task: `asyncio.run`, `gather` and `wait_for` take it so."""
        return self._step(lambda steps: steps.send(value))

    def throw(self, *error: Any) -> object:
        """End the wait of a task; what was asked for goes on."""
        return self._step(lambda steps: steps.throw(*error))

    def close(self) -> None:
        """Forget who waits; what was asked for goes on."""
        for steps in list(self._tasks.values()):
            steps.close()
        self._tasks.clear()

    def _step(self, go_on: Callable[[Generator[Any, None, Any]], Any]) -> Any:
        task = asyncio.current_task()
        steps = self._tasks.get(task) or self._tasks.setdefault(task, self.__await__())
        try:
            return go_on(steps)
        except BaseException:
            del self._tasks[task]
            raise

    @folded
    def wait(self, timeout: float | None = None) -> _T:
        """Wait for at most *timeout* seconds, without an event loop, and give the `Status` then.

        TimeoutError if it has not happened by then.

        Called from the event loop that would have to do the work it raises RunError.
        """
        timeout = checked(f"{self._what}.wait()", "timeout", timeout, TIMEOUT)
        running = running_loop()
        if running is not None and running is self._home:
            if not _is_nestable(running):
                msg = f"{self._what}.wait() would block the event loop that does it: use `await`"
                raise RunError(msg)
            return running.run_until_complete(
                asyncio.wait_for(asyncio.ensure_future(_of(self)), timeout)
            )
        return self.future.result(timeout)

    def done(self) -> bool:
        """Whether it has happened."""
        return self.future.done()

    def __repr__(self) -> str:
        return f"Request({self._what}: {'done' if self.done() else 'under way'})"


def _is_nestable(event_loop: asyncio.AbstractEventLoop) -> bool:
    """Whether what it runs may call `run_until_complete`: nest_asyncio makes it so."""
    home = getattr(event_loop.run_until_complete, "__module__", None) or ""
    return home.startswith("nest_asyncio")


async def _of(request: Request[_T]) -> _T:
    return await request


def together(what: str, requests: Mapping[str, Request[_T]]) -> Request[dict[str, _T]]:
    """Make one request of several; it gives what each gave, by its name."""
    future: Future[dict[str, _T]] = Future()
    left, lock = set(requests), threading.Lock()

    def one_is_done(name: str, _: object) -> None:
        with lock:
            left.discard(name)
            if left or future.done():
                return
            future.set_result({name: r.future.result() for name, r in requests.items()})

    for name, request in requests.items():
        request.future.add_done_callback(functools.partial(one_is_done, name))
    if not requests:
        future.set_result({})
    return Request(what, future, running_loop())


class Requests:
    """The open requests of one run; any thread may look whether one is fulfilled."""

    def __init__(self) -> None:
        self._open: list[tuple[Future[Any], Callable[[], bool], Callable[[], Any]]] = []
        self._lock = threading.RLock()
        self.counting = 0  # how many of them ask how many items were released

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
            try:
                future.set_result(result())
            except Exception as error:  # noqa: BLE001 - raised again where it is awaited
                future.set_exception(error)


class EventLoopThread:
    """An event loop in a daemon thread: for scripts, doctests and `control="thread"`."""

    def __init__(self, name: str) -> None:
        self.event_loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self.event_loop.run_forever()
        for task in (left := asyncio.all_tasks(self.event_loop)):
            task.cancel()
        if left:
            self.event_loop.run_until_complete(asyncio.wait(left, timeout=1))
        self.event_loop.run_until_complete(self.event_loop.shutdown_asyncgens())
        self.event_loop.close()

    def stop(self) -> None:
        """End it, from any thread."""
        if not self.event_loop.is_closed():
            self.event_loop.call_soon_threadsafe(self.event_loop.stop)


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
