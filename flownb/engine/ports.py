"""How does the fast lane read from queues and push to them? A turn of rows at once.

Rows take their messages from what was fetched, and leave what they push. Then all of it
goes out in one pipeline; when Redis has it the rows are done, and their messages are acked
together. Where it takes Redis longer than a moment, the rows go on as ordinary items.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from flownb.engine.pushing import Label, Underway

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Sequence

    from flownb.analysis.plan import PlanNode
    from flownb.engine.runtime import Runtime
    from flownb.model.nodes import Node
    from flownb.queues.spec import Message

_SOON: Final = 0.05  # seconds
_MANY: Final = 1 << 40  # rows: the clock ends the turn of a lane without queues


class ChainNode(Protocol):
    """A node of a loop whose items go in rows, as its runner knows it."""

    name: str
    plan: PlanNode
    node: Node
    target: Any
    memory: Any
    pushing: Any
    passes: bool
    careful: bool


class RowSource(Protocol):
    """Where rows come from."""

    buffer: deque[Message]
    """Messages at hand."""
    exhausted: bool

    async def due(self) -> bool:
        """Wait until the next item may be made; False when something else comes first."""

    async def fill(self) -> bool:
        """Wait for messages; False when something else comes first."""

    def passed(self, count: int) -> None:
        """Count items that went in rows."""

    def count(self) -> int:
        """Count an item that was made; give its number."""

    def tick_failed(self, error: BaseException) -> None:
        """Report a failed producer call."""

    @property
    def rows_allowed(self) -> bool:
        """Whether the next items may go in rows."""

    @property
    def reading(self) -> bool:
        """Whether it waits for a message, with nothing at hand."""


class RowSlots(Protocol):
    """The in-flight slots that rows take."""

    def hold(self, count: int = 1) -> None:
        """Take free slots."""

    def give_back(self, count: int = 1) -> None:
        """Give slots back."""

    @property
    def free(self) -> int:
        """How many can be taken now."""


class Crossing(Protocol):
    """The loop whose rows cross queues."""

    runtime: Runtime
    made: int

    @property
    def source(self) -> RowSource:
        """Where the rows come from."""

    @property
    def slots(self) -> RowSlots:
        """What they take while they are in flight."""


class Ports:
    """The queues at both ends of a fast lane."""

    def __init__(self, loop: Crossing, row: Sequence[ChainNode]) -> None:
        self.loop, self._runtime = loop, loop.runtime
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
        queues = self._runtime.queues
        return self.loop.slots.free > 0 and all(
            r.node.queue is not None and queues.is_open(r.node.queue.name) for r in self.senders
        )

    def pull(self) -> Any:
        """Take the next message."""
        message = self.loop.source.buffer.popleft()
        self.messages.append(message)
        return message.payload

    def sender(self, runner: ChainNode) -> Callable[[Any], Any]:
        """What is called in a row for a queue node."""
        name = runner.node.queue.name if runner.node.queue is not None else ""
        label = Label(self._runtime.name, runner.name)

        def send(payload: Any) -> Any:
            row = len(self.pushes) // len(self.senders)
            message = self.messages[row] if self.messages else None
            meta = label.text(self._first + row, message)
            self.pushes.append(self._runtime.queues.hold(name, payload, meta=meta))
            return payload

        return send

    async def push(self, rows: int) -> list[Any]:
        """Push what the first rows left: for each push None, its error, or that it is underway."""
        load = Load(self._runtime, rows * len(self.senders))
        self._runtime.queues.posts.push_all(self.pushes[: load.count], load.heard)
        until = self._runtime.now() + _SOON
        self.loop.slots.hold(rows)
        while load.replies is None and self._runtime.now() < until and self._runtime.error is None:
            await self._runtime.wait(until)
        self.loop.slots.give_back(rows)
        return load.outcomes()

    def received(self, row: int, when: float) -> None:
        """Tell that the message of a row of this turn has come."""
        name, message = self._runtime.name, self.messages[row]
        self._runtime.stream.event(
            (when, "received", name, name, self._first + row, message.origin)
        )


class Load:
    """The pushes of one turn, which may outlast it."""

    def __init__(self, runtime: Runtime, count: int) -> None:
        self.count = count
        self.replies: list[Exception | None] | None = None
        self._runtime = runtime
        self._late: list[Underway] = []

    def heard(self, replies: list[Exception | None]) -> None:
        """Take what Redis said to each."""
        self.replies = replies
        self._runtime.context.run(self._runtime.guard, self._tell)
        self._runtime.wake()

    def _tell(self) -> None:
        for underway, error in zip(self._late, self.replies or (), strict=False):
            underway.end(error)

    def outcomes(self) -> list[Any]:
        """What is known of each; who is underway hears of it later."""
        if self.replies is not None:
            return list(self.replies)
        self._late = [Underway() for _ in range(self.count)]
        return list(self._late)
