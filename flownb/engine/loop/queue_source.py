"""How does a loop get its items from a queue? Its `QueueSource` reads ahead, message by message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flownb.engine.calls.signature import EXHAUSTED
from flownb.engine.loop.source import NOTHING_MADE, Made, Making, Source
from flownb.queues.spec import Lease

if TYPE_CHECKING:
    from flownb.model.nodes import Node, ReaderOptions


class QueueSource(Source):
    """A source that reads a queue: each message is an item."""

    def __init__(self, loop: Making, node: Node, reader: ReaderOptions) -> None:
        super().__init__(loop, node)
        self.reader = reader
        self._reading: Any = None
        self._draining: Any = None

    def _follow(self, before: Source) -> None:
        super()._follow(before)
        if isinstance(before, QueueSource) and before.reader.queue == self.reader.queue:
            self._read_on(before)
        before.leave()

    def _read_on(self, before: QueueSource) -> None:
        self.buffer, self._reading = before.buffer, before._reading
        self._draining, before._reading = before._draining, None

    def leave(self) -> None:
        """Read no more."""
        super().leave()
        if self._reading is not None:
            self._reading.cancel()

    @property
    def calls_nobody(self) -> bool:
        """Whether what it gives comes without a call of the user's: messages do."""
        return True

    def enter_call(self) -> None:
        """Do nothing: a message comes without a call."""

    async def due(self) -> bool:
        """Wait for the turn of the next item; False when something else has to be looked at."""
        if await self._is_held_back():
            return False
        if not self.again and self._is_over(self._runtime.now()):
            await self._runtime.wait()
            return False
        return True

    async def rest(self) -> None:
        """Do not rest: what waits for messages has waited."""

    def skip_to_now(self) -> None:
        """Forget nothing: messages wait in their queue."""

    async def _make(self) -> Made:
        if not await self.fill():
            return (EXHAUSTED, None, None) if self.exhausted else NOTHING_MADE
        runtime, message, made = self._runtime, self.buffer.popleft(), self.loop.made
        now, name = runtime.now(), runtime.name
        runtime.world.hopped(runtime, message.hops)
        runtime.stream.span((name, name, made, 0, "work", now, now, 1), message.payload)
        runtime.received(made, message, now)
        return message.payload, self._arms(message.payload), message

    async def fill(self) -> bool:
        """Wait for messages; False when none will come, or something else is to be looked at."""
        control = self.loop.control
        while not self.buffer:
            if control.at_rest or control.next_plan is not None:
                return False
            if self.again:  # offered while we waited
                return False
            if await self._read():
                continue
            if not self._unfed or not self._is_drained():
                await self._runtime.wait()
            elif not await self._read_rest():
                self.exhausted = True
                return False
        return not self._is_over(self._runtime.now())

    @property
    def reading(self) -> bool:
        """Whether it waits for a message, with nothing at hand."""
        return not self.buffer and not self.again

    async def _read(self) -> bool:
        """Take what the read under way has brought; True when that is anything."""
        if self._reading is None:
            self._reading = self._runtime.spawn(self._fetched())
        if not self._reading.done():
            return False
        reading, self._reading = self._reading, None
        self.buffer.extend(reading.result())
        return True

    async def _fetched(self) -> Any:
        reader = self.reader
        try:
            return await self._runtime.queues.read(
                reader.queue, reader=self._runtime.name, count=reader.prefetch, timeout=None,
                lease=Lease(reader.visibility_timeout, reader.max_deliveries, careful=True),
            )  # fmt: skip
        finally:
            self._runtime.wake()  # it comes to look when this task has ended

    def _is_drained(self) -> bool:
        """Whether nobody pushes any more, all was read, and no other loop holds any of it.

        What another loop holds is ours if that loop dies.
        """
        if self._draining is None:
            work = self._runtime.queues.drained(self.reader.queue, reader=self._runtime.name)
            self._draining = self._runtime.spawn(work)
            self._draining.add_done_callback(lambda _: self._runtime.wake())
        if not self._draining.done():
            return False
        draining, self._draining = self._draining, None
        draining.result()
        return True

    async def _read_rest(self) -> bool:
        """Look once more when nobody pushes any more; False when nothing is left.

        Beside the read under way, not in its place: redis-py loses a
        cancellation that comes while it connects.
        """
        rest = await self._runtime.queues.read(
            self.reader.queue, reader=self._runtime.name, count=self.reader.prefetch, timeout=0
        )
        if self._reading.done():
            await self._read()
        self.buffer.extend(rest)
        if not self.buffer:
            self._reading.cancel()
        return bool(self.buffer)
