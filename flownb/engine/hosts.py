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

from flownb.engine.threads import Threads

if TYPE_CHECKING:
    from collections.abc import Callable

    from flownb.engine.loop import LoopManager


class Host:
    """What the hosts share; `ended` is done when nothing of the loop is left."""

    pool = ""

    def __init__(self, manager: LoopManager, on_end: Callable[[Host], None]) -> None:
        self.manager, self._on_end = manager, on_end
        self.threads = manager.threads = Threads(manager.name, self._fault)
        self.ended: Future[None] = Future()
        self.event_loop: asyncio.AbstractEventLoop | None = None
        self._early: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []

    def start(self, origin: float) -> None:
        """Start the loop; *origin* is the monotonic second at which the run began."""
        raise NotImplementedError

    def post(self, verb: Callable[..., Any], *args: Any) -> None:
        """Have a verb of the manager called on the loop's own event loop, from any thread."""
        if self.event_loop is None:
            self._early.append((verb, args))
        elif not self.ended.done():
            with contextlib.suppress(RuntimeError):  # it closed in this very moment
                self.event_loop.call_soon_threadsafe(verb, *args)

    def never(self) -> None:
        """The loop is not to be started any more."""
        self._finish()

    def _fault(self, error: BaseException) -> None:
        self.post(self.manager.crash, error)

    async def _run(self, origin: float) -> None:
        try:
            await self.manager.run(origin)
        finally:
            self.manager.abandoned += await self.threads.aclose()
            with contextlib.suppress(Exception):  # Redis may be gone by now
                await self.manager.queues.aclose()

    def _finish(self, error: BaseException | None = None) -> None:
        if not self.ended.done():
            self.manager.conclude(error)
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
        self._finish(None if task.cancelled() else task.exception())


class ThreadHost(Host):
    """A private event loop in a daemon thread; short sync nodes are called right there."""

    pool = "thread"

    def __init__(self, manager: LoopManager, on_end: Callable[[Host], None]) -> None:
        super().__init__(manager, on_end)
        manager.private = True

    def start(self, origin: float) -> None:
        """Start the thread."""
        self.event_loop = asyncio.new_event_loop()
        for verb, args in self._early:
            self.event_loop.call_soon(verb, *args)
        name = f"flownb loop {self.manager.name}"
        threading.Thread(target=self._main, args=(origin,), name=name, daemon=True).start()

    def _main(self, origin: float) -> None:
        loop, error = self.event_loop, None
        if loop is None:
            return
        loop.set_exception_handler(self._complain)
        try:
            loop.run_until_complete(self._run(origin))
        except BaseException as fault:  # noqa: BLE001 - told by the loop's state
            error = fault
        with contextlib.suppress(Exception):
            loop.run_until_complete(_clean_up())
        loop.close()
        self._finish(error)

    def _complain(self, _: object, context: dict[str, Any]) -> None:
        """Take what asyncio would print into some cell: it goes to the loop's log."""
        text = str(context.get("exception") or context.get("message"))
        self.manager.log(self.manager.name, -1, "error", f"asyncio: {text}")


async def _clean_up() -> None:
    """End what nodes have left on a private event loop: tasks, asynchronous generators."""
    loop = asyncio.get_running_loop()
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left, timeout=0.5)
    for task in left:
        # asyncio would print that it was destroyed while pending; the loop's status says so
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001
    await loop.shutdown_asyncgens()
