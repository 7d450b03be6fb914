"""What does a node function see of the run? Its `ctx`.

A function that has a parameter named `ctx` (or annotated `Context` or
`SyncContext`) gets one for each attempt. Async functions get a `Context` whose
`sleep`, `push` and `pop` are awaited, sync functions a `SyncContext` whose same
methods block. What an attempt does after it timed out, or was cancelled, is discarded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flownb.arguments import SECONDS, checked
from flownb.errors import NodeTimeout, RunError, SimulationError

if TYPE_CHECKING:
    from random import Random

    from flownb.engine.calls.call import Call
    from flownb.engine.calls.call_site import CallSite
    from flownb.engine.calls.push import Pushes
    from flownb.engine.runtime import Clock
    from flownb.model.tools import ToolRegistry


class BaseContext:
    """What both kinds of context share."""

    def __init__(self, site: CallSite, token: Call, pushes: Pushes) -> None:
        self._site, self._token, self._pushes = site, token, pushes
        self._runtime = site.runtime
        self._alive = True
        self._state: dict[str, Any] = site.memory.state
        self._rng: Random = site.memory.rng
        self._meta: Mapping[str, Any] = site.meta(token)

    @property
    def meta(self) -> Mapping[str, Any]:
        """Where the payload comes from, as a dict.

        Always: `loop`, `node`, `iteration` (of the loop, from 0), `visit` (how often the node
        ran before in this iteration) and `attempt` (from 1). For an item that came through a
        queue also `message_id`, `deliveries` (1 at the first delivery) and `hops` (through how
        many queues it came); for a producer `position`, the number of the item to make.
        """
        return self._meta

    @property
    def state(self) -> dict[str, Any]:
        """A dict of this node in this loop, kept from item to item; change it in place."""
        return self._state

    @property
    def rng(self) -> Random:
        """The random numbers of this node in this loop; in a simulation its seed decides them."""
        return self._rng

    @property
    def config(self) -> Any:
        """What `add_node(config=...)` was given; of a class node its `Config`."""
        return self._site.config

    @property
    def clock(self) -> Clock:
        """The run's clock; `ctx.clock.time()` is in seconds since the run began."""
        return self._runtime.clock

    @property
    def position(self) -> int | None:
        """The number of this item in its source, from 0; of a message None.

        A producer is told the number of the item to make. It goes on with a checkpoint, so
        this is where a producer that can begin anywhere begins after a restart.
        """
        if self._site.plan.index:
            number: int | None = self._token.item.index
            return number
        return self._site.tell_position()

    @property
    def tools(self) -> ToolRegistry:
        """The registry given to the run (`tools=`), else `flownb.tools`."""
        registry: ToolRegistry = self._runtime.tools
        return registry

    @property
    def resources(self) -> Mapping[str, Any]:
        """What `set_loop(resources=...)` opened for this loop, by name."""
        return self._runtime.resources

    @property
    def failed(self) -> tuple[str, ...]:
        """The nodes right before this one that failed while the run went on (`on_error`)."""
        names: tuple[str, ...] = self._token.item.failed_sources(self._site.plan)
        return names

    def log(self, *values: Any, level: str = "info") -> None:
        """Write *values* as a line to the node's log, as `print` would; `orch.logs()` has it.

        *level* is a word of your choice: "info", "warning", ...
        """
        text = " ".join(map(str, values))
        self._runtime.log(self._site.name, self._token.iteration, level, text)

    def _check(self) -> None:
        if not self._alive:
            name = self._site.name
            msg = f"node {name!r}: this attempt was given up, what it does now is discarded"
            raise NodeTimeout(msg)


class Context(BaseContext):
    """The `ctx` of an async node: `sleep`, `push` and `pop` are awaited."""

    async def sleep(self, seconds: float) -> None:
        """Wait so many seconds on the run's clock."""
        await asyncio.sleep(checked("ctx.sleep()", "seconds", seconds, SECONDS))

    async def push(self, queue: str, data: Any) -> str:
        """Push to a queue; returns the message id once Redis has acknowledged it.

        In a loop with `transactional=True` the message leaves when the item has settled,
        together with its ack: until then it has no id, so "" is returned.
        """
        self._check()
        return str(await self._pushes.push(self._token, queue, data, dict(self.meta)))

    async def pop(self, queue: str, timeout: float | None = None) -> Any:
        """Take one message's payload from a queue, or None after *timeout* seconds."""
        self._check()
        message = await self._runtime.queues.pop(queue, timeout, reader=self._runtime.name)
        if message is None:
            return None
        await self._runtime.queues.ack(queue, [message.id], reader=self._runtime.name)
        return message.payload


class SyncContext(BaseContext):
    """The `ctx` of a sync node: `sleep`, `push` and `pop` block the node's own thread."""

    def sleep(self, seconds: float) -> None:
        """Wait so many seconds on the run's clock; a simulated node gets that much longer."""
        self._runtime.world.sleep(checked("ctx.sleep()", "seconds", seconds, SECONDS))

    def push(self, queue: str, data: Any) -> None:
        """Push to a queue; in a simulation, and without threads, it leaves at the node's end."""
        self._check()
        push = Context.push(self, queue, data)  # type: ignore[arg-type]
        if self._runtime.inline:
            self._token.pushes = [*self._token.pushes, push]
        else:
            self._wait(push)

    def pop(self, queue: str, timeout: float | None = None) -> Any:
        """Take one message's payload from a queue, or None after *timeout* seconds."""
        if self._runtime.inline:
            where, fake = (
                ("in a simulation", ", or give fake=")
                if self._runtime.virtual
                else ("where there are no threads", "")
            )
            msg = f"node {self._site.name!r}: a sync node cannot pop {where}: make it async{fake}"
            raise (SimulationError if self._runtime.virtual else RunError)(msg)
        return self._wait(Context.pop(self, queue, timeout))  # type: ignore[arg-type]

    def _wait(self, awaitable: Any) -> Any:
        held = self._held(awaitable)
        try:
            return asyncio.run_coroutine_threadsafe(held, self._runtime.event_loop).result()
        except RuntimeError:
            held.close()
            awaitable.close()
            self._check()
            raise

    async def _held(self, awaitable: Any) -> Any:
        """Await it in a task of the loop, which ends with the loop."""
        return await self._runtime.spawn(awaitable, name=self._site.name)
