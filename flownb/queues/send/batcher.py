"""How are pushes and acks batched? By a `Batcher`: what is posted meanwhile leaves together.

A batcher has at most one batch on its way. What is posted meanwhile goes with the next
one, up to `limit` at once. So an idle batcher sends at once and a busy one batches as much
as the server's own speed allows: no timer, no added latency, and one task for all.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from flownb.errors import QueueError
from flownb.queues.notify import ended
from flownb.queues.redis.jobs import RetryMarker

Work = TypeVar("Work")
Reply = TypeVar("Reply")


class Posted(Generic[Work, Reply]):
    """Work that was posted; `done` is called with the reply, or the error in its place."""

    __slots__ = ("done", "waiter", "work")

    def __init__(self, work: Work, done: Callable[[Reply | Exception], None] | None) -> None:
        self.work, self.done = work, done
        self.waiter: asyncio.Future[Reply] | None = None

    @property
    def is_wanted(self) -> bool:
        """Whether anybody still waits for it."""
        return self.done is not None and (self.waiter is None or not self.waiter.done())

    def cancel(self) -> None:
        """Do not send it, if that has not begun; `done` is not called any more."""
        self.done = None

    def end(self, reply: Reply | Exception) -> None:
        """Call `done` with the reply."""
        done, self.done = self.done, None
        if done is not None:
            done(reply)


class Batcher(Generic[Work, Reply]):
    """Sends posted work in order, in batches, one batch at a time.

    `send` replies for the first of the batch, in order; an exception in place of a
    reply fails that one only. It may leave the end of a batch for the next round, and
    have any of it sent `RetryMarker`: what comes behind that goes with it.
    """

    def __init__(
        self,
        send: Callable[[Sequence[Work]], Awaitable[Sequence[Reply | Exception | RetryMarker]]],
        *,
        limit: int = 100,
    ) -> None:
        self._send = send
        self._limit = limit
        self._waiting: deque[Posted[Work, Reply]] = deque()
        self._sending: deque[Posted[Work, Reply]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._repeated = 0
        self._closed = ""

    def __len__(self) -> int:
        """How much was posted and has no reply yet."""
        return len(self._waiting) + len(self._sending)

    def post(self, work: Work, done: Callable[[Reply | Exception], None]) -> Posted[Work, Reply]:
        """Have work sent soon, and `done` called with the reply to it."""
        if self._closed:
            raise QueueError(self._closed)
        posted: Posted[Work, Reply] = Posted(work, done)
        self._waiting.append(posted)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._drain())
        return posted

    async def submit(self, work: Work) -> Reply:
        """The reply to `work`. Cancelled before it was sent, it is not sent."""
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.post(work, lambda reply: _settle(future, reply)).waiter = future
        return await future

    async def _drain(self) -> None:
        while self._take_batch():
            replies = await self._replies([posted.work for posted in self._sending])
            again = []
            for reply in replies:
                posted = self._sending.popleft()
                if isinstance(reply, RetryMarker):
                    posted.work = reply.work
                    again.append(posted)
                else:
                    posted.end(reply)
            self._repeated = len(again)
            self._waiting.extendleft(reversed([*again, *self._sending]))
            self._sending.clear()

    async def _replies(self, batch: list[Work]) -> Sequence[Reply | Exception | RetryMarker]:
        try:
            return await self._send(batch)
        except Exception as error:  # noqa: BLE001  whoever posted it gets to see it
            return [error] * len(batch)

    def _take_batch(self) -> bool:
        # What is sent again keeps no place from others: they may be what it waits for.
        while self._waiting and len(self._sending) < self._limit + self._repeated:
            posted = self._waiting.popleft()
            if posted.is_wanted:
                self._sending.append(posted)
        return bool(self._sending)

    async def aclose(self, reason: str, *, drain: bool) -> None:
        """Let what was posted go out (`drain`), or fail it; then take no more."""
        self._closed = reason
        if self._task is not None and not self._task.done():
            await (asyncio.wait({self._task}) if drain else ended(self._task))
        for posted in (*self._sending, *self._waiting):
            posted.end(QueueError(reason))
        self._sending.clear()
        self._waiting.clear()


def _settle(future: asyncio.Future[Reply], reply: Reply | Exception) -> None:
    if future.done():
        return
    if isinstance(reply, Exception):
        future.set_exception(reply)
    else:
        future.set_result(reply)
