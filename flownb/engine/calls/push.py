"""How does a queue node push? Without a task: a callback is called when Redis has the message.

Only where something else must go on around the push, a retry, a timeout, middleware, or
virtual time, is it awaited as any other async call.
"""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any, Protocol

from flownb.engine.calls.outcome import Pending
from flownb.engine.observe.stream import traceparent
from flownb.errors import FAILS

if TYPE_CHECKING:
    from collections.abc import Callable

    from flownb.engine.calls.call import Call
    from flownb.engine.calls.call_site import CallSite
    from flownb.engine.observe.stream import Trace
    from flownb.queues.spec import Message


class PendingPush(Pending):
    """A push that has been sent for a token that is only made now."""

    __slots__ = ("_done",)

    def __init__(self) -> None:
        self._done: Callable[[Exception | None], None] | None = None

    def follow(self, token: Call) -> None:
        """Let the token end when Redis has it."""
        runner: Any = token.at
        token.task = self
        self._done = functools.partial(runner.pushing.done, token)

    def cancel(self) -> None:
        """Do not call `on_done` any more."""
        self._done = None

    def end(self, error: Exception | None) -> None:
        """Redis has it, or does not take it."""
        if self._done is not None:
            self._done(error)


class Label:
    """Writes as JSON what `CallSite.about` says of a first call, at a tenth of the price."""

    def __init__(self, loop: str, node: str, trace: Trace | None = None) -> None:
        loop, node = (json.dumps(name, ensure_ascii=False) for name in (loop, node))
        self._trace = trace
        self._who = f'{{"loop":{loop},"node":{node},"iteration":'

    def text(self, iteration: int, message: Message | None) -> str:
        """Say where the payload of a row comes from."""
        call = f'{self._who}{iteration},"visit":0,"attempt":1'
        if message is not None:
            call += f',"message_id":"{message.id}","deliveries":{message.deliveries}'
            call += f',"hops":{message.hops + 1}'
        if self._trace is not None:
            came = None if message is None else traceparent(message.meta)
            call += f',"traceparent":"{self._trace.parent(iteration, came)}"'
        return call + "}"


class Pushes(Protocol):
    """Sends what the nodes of a loop push: at once, or with the acks of their items."""

    async def push(self, token: Call, queue: str, data: Any, meta: dict[str, Any]) -> str:
        """Push for a node; the message id, "" if it has none yet."""

    def post(
        self, token: Call, queue: str, meta: dict[str, Any], on_done: Callable[..., None]
    ) -> Any:
        """Push a token's payload without waiting; None if it leaves with the item's ack."""


class Pushing:
    """The pushes of one queue node; *ended* goes on behind one, *pump* starts what is ready."""

    def __init__(
        self, site: CallSite, pushes: Pushes, ended: Callable[..., None], pump: Callable[[], None]
    ) -> None:
        self._site, self._pushes, self._ended, self._pump = site, pushes, ended, pump
        assert site.node.queue is not None  # noqa: S101 - it is a queue node
        self._queue = site.node.queue.name

    async def awaited(self, token: Call) -> Any:
        """Push, and wait until Redis has it."""
        meta = dict(self._site.meta(token))
        await self._pushes.push(token, self._queue, token.payload, meta)
        return token.payload

    def post(self, token: Call) -> None:
        """Push soon; the token ends when Redis has it, or at once if it leaves with an ack."""
        meta = dict(self._site.meta(token))
        try:
            token.task = self._pushes.post(token, self._queue, meta, self._on_done(token))
        except FAILS as error:  # it is not JSON, or its model's own code raised
            self._ended(token, token.payload, error)
        else:
            if token.task is None:
                self._ended(token, token.payload, None)

    def send(self, token: Call, held: Any) -> None:
        """Send what a row has held ready; the token ends when Redis has it."""
        token.task = self._site.runtime.queues.posts.push(held, self._on_done(token))

    def _on_done(self, token: Call) -> Callable[[Exception | None], None]:
        runtime = self._site.runtime
        return functools.partial(runtime.context.run, runtime.guard, self.done, token)

    def done(self, token: Call, error: Exception | None) -> None:
        """Let the token end: Redis has its push, or does not take it."""
        token.task = None
        self._ended(token, token.payload, error)
        self._pump()
