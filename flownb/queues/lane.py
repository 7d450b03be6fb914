"""How do a hundred pushes become one round trip, without waiting for each other?

A lane has at most one batch on its way. What is submitted meanwhile goes with the
next one, up to `limit` at once. So an idle lane sends at once and a busy one
batches as much as the server's own pace allows: no timer, no added latency.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from flownb.errors import QueueError

Work = TypeVar("Work")
Reply = TypeVar("Reply")


class Lane(Generic[Work, Reply]):
    """Sends submitted work in order, in batches, one batch at a time.

    `send` replies for the first of the batch, in order; an exception in place of a
    reply fails that one only. It may leave the end of a batch for the next round.
    """

    def __init__(
        self,
        send: Callable[[Sequence[Work]], Awaitable[Sequence[Reply | Exception]]],
        *,
        limit: int = 100,
    ) -> None:
        self._send = send
        self._limit = limit
        self._waiting: deque[tuple[Work, asyncio.Future[Reply]]] = deque()
        self._sending: deque[tuple[Work, asyncio.Future[Reply]]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._closed = ""

    async def submit(self, work: Work) -> Reply:
        """The reply to `work`. Cancelled before it was sent, it is not sent."""
        if self._closed:
            raise QueueError(self._closed)
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting.append((work, future))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._drain())
        return await future

    async def _drain(self) -> None:
        while self._take_batch():
            replies = await self._replies([work for work, _ in self._sending])
            for reply in replies:
                _settle(self._sending.popleft()[1], reply)
            self._waiting.extendleft(reversed(self._sending))
            self._sending.clear()

    async def _replies(self, batch: list[Work]) -> Sequence[Reply | Exception]:
        try:
            return await self._send(batch)
        except Exception as error:  # noqa: BLE001  whoever submitted it gets to see it
            return [error] * len(batch)

    def _take_batch(self) -> bool:
        while self._waiting and len(self._sending) < self._limit:
            entry = self._waiting.popleft()
            if not entry[1].done():
                self._sending.append(entry)
        return bool(self._sending)

    async def aclose(self, reason: str, *, drain: bool) -> None:
        """Let what is submitted go out (`drain`), or fail it; then take no more."""
        self._closed = reason
        if self._task is not None and not self._task.done():
            if not drain:
                self._task.cancel()
            await asyncio.wait({self._task})
        for _, future in (*self._sending, *self._waiting):
            _settle(future, QueueError(reason))
        self._sending.clear()
        self._waiting.clear()


def _settle(future: asyncio.Future[Reply], reply: Reply | Exception) -> None:
    if future.done():
        return
    if isinstance(reply, Exception):
        future.set_exception(reply)
    else:
        future.set_result(reply)
