"""Where does a loop's event loop live? On the notebook's, or in a thread of its own.

A host starts one `LoopManager`, posts to it from any thread, and tells when it has
ended and everything it opened is closed. Nothing it does depends on the kernel being
free, so a stop button works while a cell runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from flownb.engine.capture import captured
from flownb.engine.threads import Threads

if TYPE_CHECKING:
    from collections.abc import Callable

    from flownb.engine.loop import LoopManager


class Host:
    """What the hosts share; `ended` is done when nothing of the loop is left."""

    pool = ""

    def __init__(self, manager: LoopManager, on_end: Callable[[Host], None]) -> None:
        self.manager, self._on_end = manager, on_end
        self.threads = manager.threads = Threads(manager.name)
        self.ended: Future[None] = Future()
        self.event_loop: asyncio.AbstractEventLoop | None = None

    def start(self, origin: float) -> None:
        """Start the loop; *origin* is the monotonic second at which the run began."""
        raise NotImplementedError

    def post(self, verb: Callable[..., Any], *args: Any) -> None:
        """Have a verb of the manager called on the loop's own event loop, from any thread."""
        if self.event_loop is not None and not self.ended.done():
            with contextlib.suppress(RuntimeError):  # it closed in this very moment
                self.event_loop.call_soon_threadsafe(verb, *args)

    def never(self) -> None:
        """The loop is not to be started any more."""
        self.manager.state = "stopped"
        self._finish()

    async def _run(self, origin: float) -> None:
        try:
            with captured():
                await self.manager.run(origin)
        finally:
            with contextlib.suppress(Exception):  # Redis may be gone by now
                await self.manager.queues.aclose()

    def _finish(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)
        self._on_end(self)


class AsyncioHost(Host):
    """A task on an event loop that runs already; sync nodes go to threads."""

    pool = "asyncio"

    def __init__(
        self,
        manager: LoopManager,
        on_end: Callable[[Host], None],
        event_loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(manager, on_end)
        self.event_loop = event_loop
        self._task: asyncio.Task[None] | None = None

    def start(self, origin: float) -> None:
        """Start as soon as the event loop gets to it."""
        self.post(self._begin, origin)

    def _begin(self, origin: float) -> None:
        self._task = asyncio.get_running_loop().create_task(
            self._run(origin), name=f"flownb {self.manager.name}"
        )
        self._task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            task.exception()
        self.manager.abandoned += self.threads.close(0)
        self._finish()


class ThreadHost(Host):
    """A private event loop in a daemon thread; short sync nodes are called right there."""

    pool = "thread"

    def __init__(self, manager: LoopManager, on_end: Callable[[Host], None]) -> None:
        super().__init__(manager, on_end)
        manager.private = True

    def start(self, origin: float) -> None:
        """Start the thread."""
        self.event_loop = asyncio.new_event_loop()
        name = f"flownb loop {self.manager.name}"
        threading.Thread(target=self._main, args=(origin,), name=name, daemon=True).start()

    def _main(self, origin: float) -> None:
        loop = self.event_loop
        if loop is None:
            return
        try:
            loop.run_until_complete(self._run(origin))
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            self.manager.abandoned += self.threads.close()
            loop.close()
            self._finish()
