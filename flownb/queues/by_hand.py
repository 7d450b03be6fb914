"""How does a cell use the queues of a run by hand? `await orch.queues.push("q", day)`.

While the run lives, one manager on the orchestrator's event loop does it, whatever
event loop asks; it is closed with the run. Afterwards each call opens one for itself,
so that dead letters can still be read and nothing is left open.
"""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from flownb.arguments import known
from flownb.errors import QueueError
from flownb.queues.send.dead_letters import DeadLetters

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine, Sequence

    from flownb.queues.manager import QueueManager
    from flownb.queues.spec import Message, QueueStats

_T = TypeVar("_T")


class QueuesByHand:
    """The queues of a run: push, pop, ack, look; all methods are awaited."""

    def __init__(
        self,
        graph: str,
        make: Callable[[], QueueManager],
        event_loop: asyncio.AbstractEventLoop,
        offer: Callable[[str, Sequence[dict[str, Any]]], None],
        loops: Callable[[], Collection[str]] | None = None,
    ) -> None:
        self._graph = graph
        self._make, self._event_loop, self._offer = make, event_loop, offer
        self._loops = loops
        self._manager: QueueManager | None = None
        self._closed = False

    def __repr__(self) -> str:
        return f"Queues({self._graph!r}: await push, pop, ack, peek, stats, dead, forget or clear)"

    async def push(self, queue: str, data: Any, *, meta: dict[str, Any] | None = None) -> str:
        """Push one message; its id, once Redis has acknowledged it."""
        return await self._use(lambda m: m.push(queue, data, meta=meta))

    async def pop(self, queue: str, timeout: float | None = None) -> Message | None:
        """One message, or None after *timeout* seconds; it stays pending until acked."""
        return await self._use(lambda m: m.pop(queue, timeout))

    async def ack(self, queue: str, message_ids: Sequence[str]) -> None:
        """Settle messages that were popped by hand."""
        await self._use(lambda m: m.ack(queue, message_ids))

    async def dead(self, loop: str, count: int = 100) -> DeadLetters:
        """The last *count* dead letters of a loop, oldest first; `await letters.replay()`.

        Each is a dict: `id`, `loop`, `node`, `iteration`, `item`, `attempts`, `error`,
        `traceback`, and `queue` and `message_id` if it came through one.
        """
        if self._loops is not None:
            known("loop", loop, self._loops())
        letters = await self._use(lambda m: m.dead(loop, count))
        return DeadLetters(loop, letters, partial(self._replay, loop))

    async def discard(self, loop: str, letter_id: str) -> None:
        """Throw one dead letter of a loop away: its item is not tried again."""
        await self._use(lambda m: m.dead_letters.forget(loop, letter_id))

    async def _replay(self, loop: str, letters: Sequence[dict[str, Any]]) -> int:
        """Push again what came from a queue of one loop; any other item its loop must take."""
        queued, others = await self._use(partial(_sorted, letters))
        there = await self._use(partial(_still_there, loop, others)) if others else []
        if others:
            self._offer(loop, there)
        moved = await self._use(lambda m: m.dead_letters.replay(loop, queued)) if queued else 0
        return len(there) + moved

    async def peek(self, queue: str, count: int = 10) -> list[Message]:
        """The oldest *count* messages of a queue, whoever has them; nothing is taken.

        `deliveries` is 0 of one that was given to nobody yet. What cannot be read is left out.
        """
        return await self._use(lambda m: m.peek(queue, count))

    async def forget(self, queue: str, reader: str) -> int:
        """Remove a reader of a broadcast queue that is gone for good; how many messages go.

        Those are the ones that only it had still to read. Raises QueueError for one that reads.
        """
        return await self._use(lambda m: m.forget(queue, reader))

    async def stats(self, queue: str) -> QueueStats:
        """Depth, lag and pending of a queue, for each group too."""
        return await self._use(lambda m: m.stats(queue))

    async def clear(self, queue: str) -> int:
        """Drop all messages, delivered ones too; how many there were."""
        return await self._use(lambda m: m.clear(queue))

    async def _use(self, call: Callable[[QueueManager], Coroutine[Any, Any, _T]]) -> _T:
        if not self._closed:
            try:
                return await self._there(call)
            except QueueError:
                if not self._closed:
                    raise
                # the run has ended in the middle of it, and took its manager along
        async with self._make() as manager:
            return await call(manager)

    async def _there(self, call: Callable[[QueueManager], Coroutine[Any, Any, _T]]) -> _T:
        """Do it on the orchestrator's event loop."""
        if asyncio.get_running_loop() is self._event_loop:
            return await self._here(call)
        there = asyncio.run_coroutine_threadsafe(self._here(call), self._event_loop)
        return await asyncio.wrap_future(there)

    async def _here(self, call: Callable[[QueueManager], Coroutine[Any, Any, _T]]) -> _T:
        if self._manager is None:
            self._manager = self._make()
        return await call(self._manager)

    def close(self, then: Callable[[], None]) -> None:
        """The run has ended: close the manager and call *then*; from any thread."""
        self._closed = True
        manager = self._manager
        if manager is None or self._event_loop.is_closed():
            then()
            return
        closing = self._closing(manager)
        try:
            done = asyncio.run_coroutine_threadsafe(closing, self._event_loop)
        except RuntimeError:  # it closed in this very moment
            closing.close()
            then()
            return
        done.add_done_callback(lambda _: then())

    async def _closing(self, manager: QueueManager) -> None:
        with contextlib.suppress(Exception):  # Redis may be gone by now
            await manager.aclose()


async def _sorted(
    letters: Sequence[dict[str, Any]], manager: QueueManager
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Those whose items came from a queue of which each message goes to one loop only; others."""
    queued = [letter for letter in letters if manager.is_competing(letter.get("queue"))]
    others = [letter for letter in letters if not manager.is_competing(letter.get("queue"))]
    return queued, others


async def _still_there(
    loop: str, letters: Sequence[dict[str, Any]], manager: QueueManager
) -> list[dict[str, Any]]:
    """Those that still are among the dead letters."""
    there = await manager.dead_letters.still_there(loop, [letter["id"] for letter in letters])
    return [letter for letter in letters if letter["id"] in there]
