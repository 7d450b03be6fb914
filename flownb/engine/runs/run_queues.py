"""Where do the nodes of a run push to, when the graph runs only once?

To queues named in its own graph, on the Redis that was given or else in this kernel, where
they stay with the run; or to those of loops that run, if `redis=` is what `start()` gave.
Nothing is opened before a node pushes or pops.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Protocol

from flownb.engine.links import queue_specs
from flownb.errors import RunError
from flownb.plan.compiler import without_root

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from flownb.model.workflow import Workflow
    from flownb.plan.loop_plan import LoopPlan
    from flownb.queues.by_hand import QueuesByHand
    from flownb.queues.manager import QueueManager
    from flownb.queues.servers.link import Server
    from flownb.queues.spec import QueueSpec, Unread


class LiveQueues(Protocol):
    """The queues of loops that run, as their orchestrator has them."""

    name: str
    namespace: str
    specs: Sequence[QueueSpec]
    server: Server
    loop_runs: Mapping[str, Any]


class RunQueue:
    """The place of a run's queues: a server, and under which names they are there."""

    def __init__(self, plan: LoopPlan, redis: Any = None, *, among: Workflow | None = None) -> None:
        self._plan, self._among = plan, among
        # of an orchestrator: its loops shall read what the run pushes
        self._loops: LiveQueues | None = getattr(redis, "_live", None)
        self._server: Server | None = None
        if redis is not None and self._loops is None:
            self._server = self._open(redis)
            self._server.check(f"graph {plan.graph!r}")

    def _open(self, redis: Any = None) -> Server:
        from flownb.queues.servers.opening import open_server

        return open_server(redis)

    def manager(self, consumer: str, *, patient: bool = True) -> QueueManager:
        """Give a manager of the queues, for the event loop that uses it first."""
        from flownb.queues.manager import QueueManager

        own = queue_specs(self._among or without_root(self._plan))
        if self._loops is None:
            self._server = self._server or self._open()
            return QueueManager(
                self._server, graph=self._plan.graph, specs=own, consumer=consumer, patient=patient
            )
        loops = self._loops
        if all(loop_run.has_ended for loop_run in loops.loop_runs.values()):
            msg = f"the loops of {loops.name!r} have ended, nobody reads what is pushed: start them"
            raise RunError(msg)
        names = {spec.name for spec in loops.specs}
        specs: Sequence[Any] = [*loops.specs, *(s for s in own if s.name not in names)]
        return QueueManager(
            loops.server, graph=loops.name, specs=specs, consumer=consumer,
            namespace=loops.namespace, patient=patient,
        )  # fmt: skip

    def by_hand(self) -> QueuesByHand:
        """Give the queues to a cell: each call opens what it needs, and closes it."""
        from flownb.queues.by_hand import QueuesByHand

        over: Any = None  # the run's event loop
        make = functools.partial(self.manager, "notebook", patient=False)
        queues = QueuesByHand(self._plan.graph, make, over, _no_loop)
        queues.close(lambda: None)
        return queues


class RunQueues:
    """What the engine of one run pushes and pops with: a manager, once it is needed."""

    def __init__(self, outlet: RunQueue, consumer: str) -> None:
        self._outlet, self._consumer = outlet, consumer
        self._manager: QueueManager | None = None
        self._on_absence: Callable[[str], None] = lambda _: None
        self._on_unread: Callable[[Unread], None] = lambda _: None
        self._on_lost: Callable[[str], None] = lambda _: None
        self._on_room: Callable[[], None] = lambda: None

    def on_absence(self, callback: Callable[[str], None]) -> None:
        """Have *callback* called with the server's address when it goes, "" when it is back."""
        self._on_absence = callback

    def on_unread(self, callback: Callable[[Unread], None]) -> None:
        """Have *callback* called for each message that goes to the dead letters unread."""
        self._on_unread = callback

    def on_lost(self, callback: Callable[[str], None]) -> None:
        """Have *callback* called with a queue that the server has forgotten."""
        self._on_lost = callback

    def on_room(self, callback: Callable[[], None]) -> None:
        """Have *callback* called when there may be room in a queue that was full."""
        self._on_room = callback

    @property
    def waits_for_room(self) -> str:
        """Name a full queue that a push of ours waits for; "" if none does."""
        return "" if self._manager is None else self._manager.waits_for_room

    def __getattr__(self, verb: str) -> Any:
        if self._manager is None:
            self._manager = self._outlet.manager(self._consumer)
            self._manager.on_absence(self._on_absence)
            self._manager.on_unread(self._on_unread)
            self._manager.on_lost(self._on_lost)
            self._manager.on_room(self._on_room)
        return getattr(self._manager, verb)

    async def aclose(self) -> None:
        """Let go of the connection, if there is one."""
        if self._manager is not None:
            await self._manager.aclose()


def _no_loop(loop: str, _: Any) -> None:
    msg = f"a run has no loop {loop!r} that could take the items of dead letters"
    raise RunError(msg)
