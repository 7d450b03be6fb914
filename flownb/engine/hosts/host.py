"""What does the host of a loop do? Those in this process: the notebook's event loop, a thread.

A host starts one loop, posts to it from any thread, and reports when it has ended and
everything it opened is closed. Nothing it does depends on the kernel being free, so a
stop button works while a cell runs. Hosts of loops in other processes are in modules of
their own: `process`, `dask`.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from abc import ABC, abstractmethod
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Protocol

from flownb.engine.calls.threads import Threads
from flownb.engine.loop.loop_manager import drive, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from flownb.engine.checkpoints.record import Beginning
    from flownb.engine.loop.control import Lifecycle
    from flownb.engine.loop.loop_manager import LoopManager
    from flownb.engine.loop.slots import Slots
    from flownb.engine.observe.stream import Stream
    from flownb.plan.loop_plan import LoopPlan


class LoopHandle(Protocol):
    """A loop as its host knows it: the loop itself, or its proxy when it lives elsewhere."""

    plan: LoopPlan
    life: Lifecycle
    made: int
    slots: Slots
    abandoned: list[str]
    """What was left behind when it ended."""
    beginning: Beginning

    @property
    def name(self) -> str:
        """Give the name of the loop."""

    @property
    def stream(self) -> Stream:
        """Give what it publishes."""

    @property
    def error(self) -> BaseException | None:
        """Give what has ended it in state error."""

    @property
    def now(self) -> Callable[[], float]:
        """Give the clock of the run, in seconds since it began."""

    def command(self, verb: str, *args: Any) -> None:
        """Carry out one of `VERBS`, where the loop lives."""

    def conclude(self, error: BaseException | None = None) -> None:
        """See to it that the loop is in a final state."""


class Host(ABC):
    """What all hosts share; `ended` is done when nothing of the loop is left."""

    pool = ""

    manager: Any

    def __init__(self, manager: LoopHandle, on_end: Callable[[Host], None]) -> None:
        self.manager, self._on_end = manager, on_end
        self.ended: Future[None] = Future()

    @abstractmethod
    def start(self, origin: float) -> None:
        """Start the loop; *origin* is the monotonic second at which the run began."""

    def refuse(self, error: BaseException) -> None:
        """The loop cannot even be started."""
        self._finish(error)

    def command(self, verb: str, *args: Any) -> None:
        """Have a verb carried out where the loop lives, from any thread."""
        if not self.ended.done():
            self.manager.command(verb, *args)

    def edited(self) -> list[str]:
        """Name modules that the loop has not as they are by now."""
        return []

    def never(self) -> None:
        """The loop is not to be started any more."""
        self._finish()

    def _finish(self, error: BaseException | None = None) -> None:
        if self.ended.done():
            return
        self.manager.conclude(error)
        if not self.manager.life.restarting:
            self.ended.set_result(None)
        self._on_end(self)
        if not self.ended.done():  # now that another host has taken its place
            self.ended.set_result(None)


class _Local(Host):
    """A host in this process."""

    def __init__(self, manager: LoopManager, on_end: Callable[[Host], None]) -> None:
        super().__init__(manager, on_end)
        most = 1 if manager.plan.options.thread_sensitive else None
        manager.runtime.threads = Threads(manager.name, self._fault, most)
        self.event_loop: asyncio.AbstractEventLoop | None = None
        self._early: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []
        self._lock = threading.Lock()

    def command(self, verb: str, *args: Any) -> None:
        """Have a verb carried out on the loop's own event loop, from any thread."""
        self.post(self.manager.command, verb, *args)

    def post(self, step: Callable[..., Any], *args: Any) -> None:
        """Have a step taken on the loop's own event loop, from any thread."""
        with self._lock:
            if self.event_loop is None:
                self._early.append((step, args))
                return
        if not self.ended.done():
            with contextlib.suppress(RuntimeError):  # it closed in this very moment
                self.event_loop.call_soon_threadsafe(step, *args)

    def _fault(self, error: BaseException) -> None:
        self.post(self.manager.crash, error)


class AsyncioHost(_Local):
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
            run(self.manager, origin), name=f"flownb {self.manager.name}"
        )
        self._task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._finish(None if task.cancelled() else task.exception())


class ThreadHost(_Local):
    """A private event loop in a daemon thread."""

    pool = "thread"

    def command(self, verb: str, *args: Any) -> None:
        """Have a verb carried out; a loop whose event loop is held is left behind at a stop."""
        if verb == "stop":
            self.manager.stall.stop_by(args[0], self._leave)
        super().command(verb, *args)

    def _leave(self, what: str) -> None:
        if not self.ended.done():
            self.manager.leave(what)
            self._finish()

    def start(self, origin: float) -> None:
        """Start the thread."""
        loop = asyncio.new_event_loop()
        with self._lock:
            self.event_loop = loop
            for step, args in self._early:
                loop.call_soon(step, *args)
        name = f"flownb loop {self.manager.name}"
        threading.Thread(target=self._main, args=(loop, origin), name=name, daemon=True).start()

    def _main(self, loop: asyncio.AbstractEventLoop, origin: float) -> None:
        self._finish(drive(self.manager, loop, origin))
