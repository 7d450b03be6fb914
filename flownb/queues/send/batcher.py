"""How are pushes and acks batched? By a `Batcher`: what is posted meanwhile leaves together.

A batcher has at most one batch on its way. What is posted meanwhile goes with the next
one, up to `limit` at once. So an idle batcher sends at once and a busy one batches as much
as the server's own speed allows: no timer, no added latency, and one task for all.

`Posts` lets a loop push and ack without waiting, and without a task for each message: what is
posted is sent soon, and the callback `on_done` gets the outcome. Acks that come together, as
those of a batch of short items, leave as one command.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from flownb.errors import QueueError
from flownb.queues.notify import ended
from flownb.queues.redis.jobs import Job, data_channel

if TYPE_CHECKING:
    from flownb.queues.connection import Connection
    from flownb.queues.send.transaction import Push
    from flownb.queues.spec import QueueSpec

Work = TypeVar("Work")
Reply = TypeVar("Reply")


class RetryMarker(NamedTuple):
    """In place of a reply: this, what is left of the work, is to be sent once more."""

    work: Any


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


OnDone = Callable[[Exception | None], None]
"""Called once Redis has done it, or with the error."""


class Ways(NamedTuple):
    """What posts need of their manager."""

    batcher: Callable[[QueueSpec], Batcher[Job, Any]]
    common: Batcher[Job, Any]
    next_id: Callable[[], str]
    add: Callable[[Push], None]
    ack_job: Callable[[str, Sequence[str], str], Job]
    let_go: Callable[[str, Sequence[str], str], None]


class Posts:
    """The pushes and acks of one manager that nobody awaits."""

    def __init__(self, to: Connection, ways: Ways) -> None:
        self._to, self._ways = to, ways
        self._acks: dict[tuple[str, str], list[tuple[Sequence[str], OnDone]]] = {}

    def push(self, push: Push, on_done: OnDone) -> Posted[Job, Any]:
        """Push a message that was checked; what is returned can be cancelled until it is sent."""
        self._to.check_open()
        job = push_job(push, self._ways.next_id())
        return self._ways.batcher(push.spec).post(job, partial(self._pushed, push, on_done))

    def _pushed(self, push: Push, on_done: OnDone, reply: Any) -> None:
        if isinstance(reply, Exception):
            on_done(self._to.cleared(reply, f"queue {push.spec.name!r}"))
        else:
            self._ways.add(push)
            on_done(None)

    def push_all(
        self, pushes: Sequence[Push], on_done: Callable[[list[Exception | None]], None]
    ) -> None:
        """Push messages of queues without `maxlen` whose groups are there, in one pipeline."""
        self._to.check_open()
        entry_id = self._ways.next_id()
        commands = tuple(command for push in pushes for command in push.commands(entry_id))
        channels = dict.fromkeys(data_channel(push.key) for push in pushes)
        job = Job(commands, tuple(channels), apart=True)
        self._ways.common.post(job, partial(self._all_pushed, pushes, on_done))

    def _all_pushed(
        self, pushes: Sequence[Push], on_done: Callable[[list[Exception | None]], None], reply: Any
    ) -> None:
        replies = [reply] * len(pushes) if isinstance(reply, Exception) else reply
        on_done([self._refused(push, said) for push, said in zip(pushes, replies, strict=True)])

    def _refused(self, push: Push, reply: Any) -> Exception | None:
        if not isinstance(reply, Exception):
            return None
        return self._to.cleared(reply, f"queue {push.spec.name!r}")

    def ack(self, queue: str, ids: Sequence[str], reader: str, on_done: OnDone) -> None:
        """Settle messages, together with others that are settled now."""
        self._to.check_open()
        if not self._acks:
            asyncio.get_running_loop().call_soon(self.flush)
        self._acks.setdefault((queue, reader), []).append((ids, on_done))

    def flush(self) -> None:
        """Send the acks that have come together."""
        acks, self._acks = self._acks, {}
        for (queue, reader), groups in acks.items():
            ids = [message_id for some, _ in groups for message_id in some]
            job = self._ways.ack_job(queue, ids, reader)
            on_reply = partial(self._acked, queue, reader, ids, [on_done for _, on_done in groups])
            self._ways.common.post(job, on_reply)

    def _acked(
        self, queue: str, reader: str, ids: Sequence[str], waiting: Sequence[OnDone], reply: Any
    ) -> None:
        error = None
        if isinstance(reply, Exception):
            error = self._to.cleared(reply, f"queue {queue!r}")
        else:
            self._ways.let_go(queue, ids, reader)
        for on_done in waiting:
            on_done(error)


def push_job(push: Push, entry_id: str) -> Job:
    """What pushes one message.

    The groups are made in the same MULTI. A round trip of its own before the first push
    would let the pushes behind it overtake it.
    """
    return Job(tuple(push.commands(entry_id)), (data_channel(push.key),))
