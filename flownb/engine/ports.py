"""How does the fast lane read from queues and push to them? A turn of rows at once.

Rows take their messages from what was fetched, and leave what they push. Then all of it
goes out in one pipeline; when Redis has it the rows are done, and their messages are acked
together. Where it takes Redis longer than a moment, the rows go on as ordinary items.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from flownb.engine.pushing import Label, Underway

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from flownb.engine.calling import Runner
    from flownb.engine.loop import LoopManager
    from flownb.queues.spec import Message

_SOON: Final = 0.05  # seconds
_MANY: Final = 1 << 40  # rows: the clock ends the turn of a lane without queues


class Ports:
    """The queues at both ends of a fast lane."""

    def __init__(self, loop: LoopManager, row: Sequence[Runner]) -> None:
        self.loop = loop
        self.reader = row[0].node.reader
        self.senders = [r for r in row if r.pushing is not None]
        self.waits = any(r.plan.awaited for r in self.senders)
        self.messages: list[Message] = []
        self.pushes: list[Any] = []
        self._first = 0

    async def open(self) -> bool:
        """Wait for messages; False when there is something else to be looked at first."""
        if self.reader is None:
            return True
        source = self.loop.source
        return await source.due() and await source.fill()

    def begin(self) -> int:
        """Begin a turn; how many rows it may have."""
        self.messages, self.pushes, self._first = [], [], self.loop.made
        most = _MANY
        if self.senders:
            most = 1 if self.waits else self.loop.slots.free
        return most if self.reader is None else min(most, len(self.loop.source.buffer))

    @property
    def ready(self) -> bool:
        """Whether there is room for what is pushed, and the queues are known to be there."""
        if not self.senders:
            return True
        queues = self.loop.queues
        return self.loop.slots.free > 0 and all(
            r.node.queue is not None and queues.is_open(r.node.queue.name) for r in self.senders
        )

    def pull(self) -> Any:
        """Take the next message."""
        message = self.loop.source.buffer.popleft()
        self.messages.append(message)
        return message.payload

    def sender(self, runner: Runner) -> Callable[[Any], Any]:
        """What is called in a row for a queue node."""
        name = runner.node.queue.name if runner.node.queue is not None else ""
        label = Label(self.loop.name, runner.name)

        def send(payload: Any) -> Any:
            row = len(self.pushes) // len(self.senders)
            message = self.messages[row] if self.messages else None
            meta = label.text(self._first + row, message)
            self.pushes.append(self.loop.queues.hold(name, payload, meta=meta))
            return payload

        return send

    async def push(self, rows: int) -> list[Any]:
        """Push what the first rows left: for each push None, its error, or that it is underway."""
        load = Load(self.loop, rows * len(self.senders))
        self.loop.queues.posts.push_all(self.pushes[: load.count], load.heard)
        until = self.loop.now() + _SOON
        self.loop.slots.hold(rows)
        while load.replies is None and self.loop.now() < until and self.loop.error is None:
            await self.loop.nap(until)
        self.loop.slots.give_back(rows)
        return load.outcomes()

    def received(self, row: int, when: float) -> None:
        """Tell that the message of a row of this turn has come."""
        name, message = self.loop.name, self.messages[row]
        self.loop.stream.event((when, "received", name, name, self._first + row, message.origin))


class Load:
    """The pushes of one turn, which may outlast it."""

    def __init__(self, loop: LoopManager, count: int) -> None:
        self.count = count
        self.replies: list[Exception | None] | None = None
        self._loop = loop
        self._late: list[Underway] = []

    def heard(self, replies: list[Exception | None]) -> None:
        """Take what Redis said to each."""
        self.replies = replies
        self._loop.context.run(self._loop.guard, self._tell)
        self._loop.wake()

    def _tell(self) -> None:
        for underway, error in zip(self._late, self.replies or (), strict=False):
            underway.end(error)

    def outcomes(self) -> list[Any]:
        """What is known of each; who is underway hears of it later."""
        if self.replies is not None:
            return list(self.replies)
        self._late = [Underway() for _ in range(self.count)]
        return list(self._late)
