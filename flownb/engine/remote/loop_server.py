"""How does a loop run in another process? In a `LoopServer`, on an event loop there.

It is the same coroutine. Verbs come down a channel and are posted to the loop by a thread of
its own; what happens goes up through a `Forwarder`. The process host and the Dask host differ
only in the channel.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import threading
from typing import TYPE_CHECKING, Any, Protocol

from flownb.engine.calls.limits import OF_PROCESS, Limits
from flownb.engine.calls.threads import Threads
from flownb.engine.loop.control import VERBS
from flownb.engine.loop.loop_manager import LoopManager, drive
from flownb.engine.observe.stream import Guarded, Observer, Stream
from flownb.engine.prints import HERE
from flownb.engine.remote import pickling
from flownb.engine.remote.forwarder import Forwarder
from flownb.engine.remote.pickling import PickledLoop, Shared, load_plan, pack_error
from flownb.engine.runtime import World
from flownb.queues.manager import QueueManager
from flownb.queues.servers.opening import open_server

if TYPE_CHECKING:
    from collections.abc import Callable

    from flownb.engine.checkpoints.record import Beginning


class Channel(Protocol):
    """The way between a loop and its notebook; sending and receiving block."""

    def send(self, message: bytes) -> Any:
        """Send a message up; OSError when nobody listens any more."""

    def mark(self, records: int) -> None:
        """Leave, for a notebook that outlives this process, how many records there were."""

    def receive(self) -> tuple[Any, ...]:
        """Give the next thing that is asked; EOFError when nobody can ask any more."""


class _Watching(Observer):
    """Stands for the observers in the notebook."""

    def __init__(self, traces: bool) -> None:  # noqa: FBT001 - it has one property
        self.traces = traces


class LoopServer:
    """One attempt of a loop, where it lives."""

    def __init__(
        self,
        pickled: PickledLoop,
        channel: Channel,
        *,
        beginning: Beginning,
        on_orphaned: Callable[[], None],
    ) -> None:
        self._pickled, self._channel, self.on_orphaned = pickled, channel, on_orphaned
        self._shared = Shared()
        self._shared.add_plan(pickled.plan)
        keep = {n.name: n.node.keep for n in pickled.plan.nodes}
        self._forwarder = Forwarder(
            pickled.plan.loop, channel.send, keep, watched=pickled.watched, mark=channel.mark
        )
        self.manager = self._manager()
        self.manager.beginning = beginning
        self._forwarder.loop = self.manager
        self._event_loop = asyncio.new_event_loop()
        self._lock, self._is_over = threading.Lock(), False

    def _manager(self) -> LoopManager:
        pickled, plan = self._pickled, self._pickled.plan
        watching = [Guarded(_Watching(pickled.traced))] if pickled.watched else []
        server = open_server() if pickled.server is None else pickled.server
        manager = LoopManager(
            plan,
            world=World(),
            stream=Stream([self._forwarder, *watching]),
            gates=Limits(OF_PROCESS),
            queues=QueueManager(
                server,
                graph=plan.graph,
                specs=pickled.specs,
                consumer=plan.loop,
                namespace=pickled.namespace,
                patient=True,
            ),
            tools=pickled.tools,
            middleware=pickled.middleware,
        )
        most = 1 if plan.options.thread_sensitive else None
        manager.runtime.threads = Threads(manager.name, self._fault, most)
        return manager

    def _fault(self, error: BaseException) -> None:
        self._post(self.manager.crash, error)

    def run(self, origin: float) -> None:
        """Run the loop to its end and report that; *origin* is monotonic, of this machine."""
        threading.Thread(target=self._obey, name="flownb commands", daemon=True).start()
        HERE.set(self.manager.runtime.spot)
        error = drive(self.manager, self._event_loop, origin)
        if self._may_report():
            self.manager.conclude(error)
            self._report_end()

    def _may_report(self) -> bool:
        """Whether nobody has reported the end yet."""
        with self._lock:
            first, self._is_over = not self._is_over, True
        return first

    def _report_end(self) -> None:
        last = ("ended", self.manager.abandoned, pack_error(self.manager.error))
        self._forwarder.close(last)

    def _leave(self, what: str) -> None:
        """Report the end of a loop whose event loop is held, and leave it behind."""
        if self._may_report():
            self.manager.leave(what)
            self._report_end()
            self.on_orphaned()

    def _obey(self) -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                self._asked(*self._channel.receive())
        self.on_orphaned()

    def halt(self) -> None:
        """Stop at once: nobody is there any more to ask for anything."""
        self._post(self.manager.command, "stop", 0.0)

    def _asked(self, verb: str, *args: Any) -> None:
        if verb == "apply":
            self._post(self._apply, args[0])
            return
        if verb == "stop":
            self.manager.stall.stop_by(args[0], self._leave)
        if verb in VERBS:
            self._post(self.manager.command, verb, *args)

    def _post(self, verb: Callable[..., Any], *args: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has just ended
            self._event_loop.call_soon_threadsafe(verb, *args)

    def _apply(self, content: bytes) -> None:
        try:
            plan, specs = load_plan(content, self._shared)
        except Exception as error:  # noqa: BLE001 - e.g. a module that is not there
            self.manager.crash(error)
            return
        self._forwarder.outputs.grow({n.name: n.node.keep for n in plan.nodes})
        self.manager.command("apply", plan, specs)


def unload(content: bytes) -> PickledLoop:
    """Open what the notebook sent, in the environment it has."""
    pickled: PickledLoop = pickling.loads(content)  # from our own notebook
    os.environ.update(pickled.environ)
    return pickled


def refuse(channel: Channel, error: BaseException) -> None:
    """Tell that the loop could not even be made here."""
    message = pickle.dumps([("ended", [], pack_error(error))])
    with contextlib.suppress(OSError):
        channel.send(message)
