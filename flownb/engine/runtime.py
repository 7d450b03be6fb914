"""What do all parts of one loop share? Its clock, event loop, stream, world, threads, queues.

The parts of a loop get a `Runtime` and not the whole loop; what a part needs beyond it is
handed in by name. Only the first error is kept here, and the one wait of the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import time
from typing import TYPE_CHECKING, Any

from flownb.arguments import SECONDS, checked
from flownb.engine.observe.stream import Trace, traceparent
from flownb.engine.prints import HERE, Spot
from flownb.engine.single_thread import has_threads
from flownb.model.tools import tools as global_tools
from flownb.records.events import LogLine

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from flownb.engine.observe.stream import Stream
    from flownb.model.nodes import Node
    from flownb.queues.spec import Message


class Clock:
    """The run's own clock: seconds since it began, virtual in a simulation.

    `origin` is when the run began on the event loop's clock, `virtual` whether this is a
    simulation. `time()` gives the seconds since the run began.
    """

    __slots__ = ("_event_loop", "origin", "time", "virtual")

    time: Callable[[], float]

    def __init__(
        self, event_loop: asyncio.AbstractEventLoop, origin: float, *, virtual: bool = False
    ) -> None:
        self._event_loop = event_loop
        self.origin = origin
        self.virtual = virtual
        of_loop = type(event_loop).time is not asyncio.BaseEventLoop.time
        read = event_loop.time if of_loop else time.monotonic  # the same, less one call
        self.time = (lambda: read() - origin) if origin else read

    async def sleep(self, seconds: float) -> None:
        """Wait so many seconds on this clock."""
        await asyncio.sleep(checked("clock.sleep()", "seconds", seconds, SECONDS))


class World:
    """What differs between a live loop and a simulated one; this is the real world.

    Calls take as long as they take, and nothing has to be watched.
    """

    virtual = False
    """Whether time is virtual."""
    cache: Any = None
    """The results of nodes with `cache=`; None: those of this process."""

    def __init__(self) -> None:
        self.inline = not has_threads()
        """Whether calls are made on the event loop: in virtual time, and without threads."""

    def calls(self, node: Node) -> bool:  # noqa: ARG002
        """Whether the function of a node is called."""
        return True

    def extra(
        self,
        runtime: Runtime,  # noqa: ARG002
        node: Node,  # noqa: ARG002
        output: Any,  # noqa: ARG002
        error: BaseException | None = None,  # noqa: ARG002
    ) -> float:
        """Seconds that the call that just gave *output* still has to last."""
        return 0.0

    def may_fail(self, runtime: Runtime, node: Node, iteration: int) -> None:
        """Fail here if the node's `fail=` says so."""

    def called(self, runtime: Runtime, now: float, nodes: int) -> None:
        """Watch the calls of a loop of so many nodes."""

    def progress(self) -> None:
        """A source that will end has made an item."""

    def tick_failed(self, runtime: Runtime, times: int) -> None:
        """Watch a producer that has failed so many times in a row."""

    def hopped(self, runtime: Runtime, hops: int) -> None:
        """Watch a message that has crossed so many queues."""

    def watched(self, runtime: Runtime, node: str, iteration: int, payload: Any) -> Any:
        """Give what to compare a payload with when its node has ended; None: nothing."""

    def check_unchanged(
        self, runtime: Runtime, node: str, iteration: int, payload: Any, before: Any
    ) -> None:
        """Name a node that changed a payload that others get too."""

    def sleep(self, seconds: float) -> None:
        """Let the node that runs now take longer, in its own thread."""
        time.sleep(seconds)


class Runtime:
    """What the parts of one loop share.

    *until*: the second at which a simulation ends. *given*: the context variables that nodes
    see, those of this moment if it is not said.
    """

    event_loop: asyncio.AbstractEventLoop
    clock: Clock
    now: Callable[[], float]
    """Seconds since the run began."""
    skip: Callable[..., bool]
    """See `VirtualLoop.skip`; real time passes by itself."""
    context: contextvars.Context
    """In which prints go to the loop's log."""
    threads: Any
    """The threads of this loop, a `Threads`; its host sets them."""

    def __init__(
        self,
        name: str,
        *,
        world: World,
        stream: Stream,
        queues: Any = None,
        tools: Any = None,
        middleware: Sequence[Any] = (),
        until: float | None = None,
        given: contextvars.Context | None = None,
    ) -> None:
        self._given = contextvars.copy_context() if given is None else given
        self.name, self.world, self.stream = name, world, stream
        self.queues, self.middleware = queues, tuple(middleware)
        self.tools = global_tools if tools is None else tools
        self.inline, self.virtual = world.inline, world.virtual
        self.until = until
        self.threads = None
        life = name if world.virtual else os.urandom(8).hex()
        self.trace = Trace(life) if stream.traced else None
        self.resources: dict[str, Any] = {}
        self.tasks: dict[asyncio.Task[Any], None] = {}
        self.error: BaseException | None = None
        self.origin = 0.0
        self.now = lambda: 0.0
        self.spot = Spot(self.write_line)
        self._waiter: Any = None

    def begin(self, origin: float) -> None:
        """Take the event loop that runs; *origin* is its time at which the run began."""
        self.event_loop, self.origin = asyncio.get_running_loop(), origin
        self.clock = Clock(self.event_loop, origin, virtual=self.virtual)
        self.now = self.clock.time
        self.skip = getattr(self.event_loop, "skip", _never)
        self._new_waiter = getattr(self.event_loop, "new_waiter", self.event_loop.create_future)
        for variable, value in self._given.items():
            variable.set(value)
        HERE.set(self.spot)
        self.context = contextvars.copy_context()
        if self.trace is not None:
            self.stream.tell((self.now(), "began", self.name, "", -1, self.trace.life))

    # -- waiting ---------------------------------------------------------------

    async def wait(self, until: float | None = None) -> None:
        """Wait for `wake()`, or until second *until* of the run."""
        if until is not None and self.skip(until + self.origin):
            return
        timer = None
        if until is not None:
            timer = self.event_loop.call_at(until + self.origin, self.wake)
        try:
            self._waiter = waiter = self._new_waiter()
            await waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()

    def wake(self) -> None:
        """Let the loop look again at what it waits for."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # -- steps and tasks -------------------------------------------------------

    def crash(self, error: BaseException) -> None:
        """End the loop in state error: not an item's failure, or one with on_error="stop"."""
        self.error = self.error or error
        self.wake()

    def guard(self, step: Callable[..., Any], *args: Any) -> None:
        """Take a step of the engine; a fault in it ends the loop instead of hanging it."""
        try:
            step(*args)
        except Exception as error:  # noqa: BLE001 - any fault of ours
            self.crash(error)

    def soon(self, step: Callable[..., Any], *args: Any) -> None:
        """Have a step of the engine taken on the loop's event loop; from any thread."""
        self.event_loop.call_soon_threadsafe(self.guard, step, *args, context=self.context)

    def spawn(
        self, work: Coroutine[Any, Any, Any], context: Any = None, name: str | None = None
    ) -> asyncio.Task[Any]:
        """Run a coroutine as a task of this loop, held until it is done."""
        task = self.event_loop.create_task(work, context=context, name=name)
        self.tasks[task] = None
        task.add_done_callback(self._task_done)
        return task

    def _task_done(self, task: asyncio.Task[Any]) -> None:
        self.tasks.pop(task, None)
        if not task.cancelled():
            task.exception()  # looked at, so that asyncio does not complain

    # -- what is reported ------------------------------------------------------

    def event(self, kind: str, node: str = "", iteration: int = -1, data: Any = None) -> None:
        """Publish an event of this loop, now."""
        self.stream.event((self.now(), kind, self.name, node, iteration, data))

    def received(self, iteration: int, message: Message, when: float) -> None:
        """Publish that a message has become an item, and to whom it matters in which trace."""
        name, stream = self.name, self.stream
        if self.trace is not None and (came := traceparent(message.meta)) is not None:
            stream.tell((when, "traced", name, name, iteration, came))
        stream.event((when, "received", name, name, iteration, message.origin))

    def log(self, node: str, iteration: int, level: str, text: str) -> None:
        """Publish a log line; from any thread."""
        now = self.now()
        line = LogLine(now, self.name, node, iteration, level, text)
        event = (now, "log", self.name, node, iteration, line)
        if self.inline:
            self.stream.event(event)
        else:
            with contextlib.suppress(RuntimeError):  # the loop is over
                self.event_loop.call_soon_threadsafe(self.stream.event, event)

    def write_line(self, node: str, iteration: int, level: str, text: str) -> None:
        """Take a line that a node printed."""
        self.log(node, iteration, level, text)


def _never(_: float | None = None) -> bool:
    return False


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Give the event loop that runs here, as in a notebook; None in a script."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
