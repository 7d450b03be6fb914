"""How does a reader stop waiting without losing what arrives at that moment? By its `Inbox`.

Redis marks a message as delivered when it replies, whether or not the reply is read. So a *look*
at the stream is never cancelled: it runs as a task of its own, and what it brings
after its reader has gone is kept here for the next one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, suppress
from typing import TYPE_CHECKING

from flownb.errors import QueueError
from flownb.queues.notify import ended
from flownb.queues.spec import Message

if TYPE_CHECKING:
    from flownb.queues.notify import Notifier

_PARTING = 0.2  # seconds that a server has to end our last look
_AGAIN = 0.005  # seconds; a look that was to be cut short may not have come to wait yet

Look = Callable[[int, float], Awaitable[tuple[bool, list[Message]]]]
"""Fetch up to `count` messages, waiting for them at the server at most `patience`
seconds. True if the stream held anything, messages or garbage."""


class Inbox:
    """What was fetched for one reader of one queue and not yet taken.

    `patience` is how long one look may wait at the server (seconds); 0 where the
    waiting is done here, on a notifier of `listen`. `rouse` has the server reply to a
    look at once; it gives False when no look waited there.
    """

    def __init__(
        self,
        look: Look,
        *,
        rouse: Callable[[], Awaitable[bool]],
        listen: Callable[[], AbstractContextManager[Notifier]],
        patience: float,
    ) -> None:
        self._look_once, self._rouse = look, rouse
        self._listen = listen
        self._patience = patience
        self._kept: deque[Message] = deque()
        self._looking: asyncio.Task[bool] | None = None
        self._waiting: list[asyncio.Future[None]] = []
        self._closed = ""

    async def take(self, count: int, timeout: float | None) -> list[Message]:
        """Up to `count` messages, as soon as there is one; none after `timeout` seconds."""
        now = asyncio.get_running_loop().time
        until = None if timeout is None else now() + timeout
        # We listen before the first look: what is pushed in between notifies us.
        with self._listen() as notifier:
            while not self._closed:
                left = None if until is None else max(0.0, until - now())
                found = bool(self._kept) or await self._look(count, left)
                if self._kept:
                    return self._hand_over(count)
                if left == 0.0 and not found:
                    return []
                if not found and not self._patience:
                    await notifier.wait(left)
        raise QueueError(self._closed)

    async def _look(self, count: int, left: float | None) -> bool:
        """One look of our own: another reader's may have left something behind."""
        while self._looking is not None and not self._looking.done():
            if left == 0.0 and self._patience:
                await self._cut_short(self._looking)
            await self._look_ended()
            if self._kept or self._closed:
                return True
            if left == 0.0:
                # That look ended after we asked, so it looked for us too. Waiting in line
                # for one of our own could last for ever: a waiting reader is faster.
                return False
        patience = self._patience if left is None else min(self._patience, left)
        look = self._looking = asyncio.create_task(self._look_and_keep(count, patience))
        look.add_done_callback(self._look_done)
        await self._look_ended()
        # Only closing cancels a look, which then ends one way or another.
        return True if self._closed else look.result()

    async def _cut_short(self, look: asyncio.Task[bool]) -> None:
        """Have the server answer at once a look that waits there."""
        while not look.done() and not await self._rouse():
            await asyncio.wait({look}, timeout=_AGAIN)

    async def _look_ended(self) -> None:
        """Wait for the look that is out."""
        if self._looking is not None and not self._looking.done():
            self._waiting.append(asyncio.get_running_loop().create_future())
            await self._waiting[-1]

    async def _look_and_keep(self, count: int, patience: float) -> bool:
        try:
            found, messages = await self._look_once(count, patience)
            self._kept.extend(messages)
            return found
        finally:
            self._wake()  # by its last step: a callback of the task would come a turn later

    def _look_done(self, look: asyncio.Task[bool]) -> None:
        """Retrieve the error of a look whose reader has gone: the next one meets it itself."""
        if look.cancelled():
            self._wake()  # maybe it had no step at all
        else:
            look.exception()

    def _wake(self) -> None:
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)
        self._waiting.clear()

    def _hand_over(self, count: int) -> list[Message]:
        return [self._kept.popleft() for _ in range(min(count, len(self._kept)))]

    def forget(self) -> None:
        """Drop what was fetched and not taken: the queue was cleared."""
        self._kept.clear()

    async def aclose(self, reason: str) -> bool:
        """End a look that is still out; what it was about to bring stays pending.

        Readers that wait get a QueueError, once they have been notified. True if no look
        was out: then nothing can be delivered to us any more.
        """
        self._closed = reason
        if self._looking is None or self._looking.done():
            return True
        if self._patience:
            with suppress(TimeoutError):
                async with asyncio.timeout(_PARTING):
                    await self._cut_short(self._looking)
                    return True
        await ended(self._looking)
        return False
