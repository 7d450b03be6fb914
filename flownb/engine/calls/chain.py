"""How do short sync nodes behind one another run fast? As a chain: one call after the other.

When all nodes of a loop are short sync functions, each behind one node, a `Chain` is the fast
path: a private event loop calls them back to back, item by item, and records each item as the
clock readings between its calls. It returns after 5 ms, when a node was not short after all, and
when anything is asked of the loop. An item that fails goes on as an ordinary item.

A chain may begin with messages of a queue and end in pushes to one (`ChainQueues`). It takes
its messages from what was fetched, and holds back what it pushes until the end of its turn.
Then all of it goes out in one pipeline; when Redis has it the items are done, and their messages
are acked together. Where Redis takes longer than a moment, they go on as ordinary items.

In a one-shot run an `ItemChain` is a row of plain sync nodes, each behind the one before and
nothing else. The thread that called the first calls the next ones too, folds the state between
them, and reports all of them at its end, or after 5 ms: who looks, or cancels, finds what is
done. Arms still run side by side, the event loop stays free. Of a run that is kept each end is
saved before the next call, by the same thread.
"""

from __future__ import annotations

import contextvars
import time
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final, Protocol

from flownb.engine.calls.node_memory import SHORT
from flownb.engine.calls.push import Label, PendingPush
from flownb.engine.calls.signature import EXHAUSTED
from flownb.engine.prints import HERE, Spot
from flownb.errors import FAILS
from flownb.records.events import NOTHING, Batch, Span

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Sequence

    from flownb.engine.calls.call import Call
    from flownb.engine.calls.node_memory import Memory
    from flownb.engine.runtime import Runtime
    from flownb.flow.scheduler import RunHooks
    from flownb.flow.state import Step
    from flownb.model.nodes import Node
    from flownb.plan.loop_plan import LoopPlan, PlanEdge, PlanNode
    from flownb.queues.spec import Message

_SOON: Final = 0.05  # seconds
_MANY: Final = 1 << 40  # rows: the clock ends the turn of a chain without queues


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


class ChainQueues:
    """The queues at both ends of a fast path."""

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
        """Push what the first rows left: for each push None, its error, or that it is pending."""
        load = Load(self._runtime, rows * len(self.senders))
        self._runtime.queues.posts.push_all(self.pushes[: load.count], load.done)
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
        self._late: list[PendingPush] = []

    def done(self, replies: list[Exception | None]) -> None:
        """Take the reply to each."""
        self.replies = replies
        self._runtime.context.run(self._runtime.guard, self._finish)
        self._runtime.wake()

    def _finish(self) -> None:
        for pending, error in zip(self._late, self.replies or (), strict=False):
            pending.end(error)

    def outcomes(self) -> list[Any]:
        """What is known of each; a push that is pending ends later."""
        if self.replies is not None:
            return list(self.replies)
        self._late = [PendingPush() for _ in range(self.count)]
        return list(self._late)


_TURN: Final = 5_000_000
_LONG: Final = int(SHORT * 1e9)


class Rows(Protocol):
    """The loop whose items go in rows."""

    runtime: Runtime
    plan: LoopPlan
    runners: list[Any]
    checkpointer: Any
    """What takes its checkpoints, if it has any."""
    made: int

    def settle(self, queue: str, ids: Sequence[str]) -> None:
        """Ack messages."""

    def begin(
        self, payload: Any, live: Any = None, message: Any = None, memo: Any = None,
        index: int | None = None,
    ) -> Any:  # fmt: skip
        """Let a new item flow as far as it goes without waiting."""

    @property
    def source(self) -> RowSource:
        """Where the rows come from."""

    @property
    def slots(self) -> RowSlots:
        """What they take while they are in flight."""


class Chain:
    """The fast path of one generation of a loop."""

    def __init__(self, loop: Rows) -> None:
        self.loop, self._runtime = loop, loop.runtime
        self._inner = [r for r in loop.runners if r.pushing is None]
        self._row = [*self._inner, *(r for r in loop.runners if r.pushing is not None)]
        self.names = tuple(r.name for r in self._row)
        self._fits = self._fitting()
        self._chain_queues = ChainQueues(loop, self._row)
        at = {r.plan.index: i for i, r in enumerate(self._row)}
        sources = {e.target: at[e.source] for r in loop.runners for e in r.outs}
        self._steps = [(self._step(r), sources[r.plan.index]) for r in self._row[1:]]
        self._width = len(self.names) + 1
        self._released = -1 if self._chain_queues.waits else len(self._inner)
        self._times: list[int] = []
        self._rows: list[list[Any]] = []  # what each row made, where it ends in a push
        self._last: list[Any] = []
        self._pushed = False

    def _fitting(self) -> bool:
        loop, producer = self.loop, self.loop.runners[0]
        return (
            self._runtime.private
            and not self._runtime.inline
            and not self._runtime.stream.watched
            and _crosses_easily(loop)
            and producer.node.every is None
            and len(loop.runners) > 1
            and all(r.inlinable and r.node.keep <= 1 for r in self._inner[1:])
            and (producer.node.reader is not None or producer.inlinable)
            and not producer.plan.branches
            and producer.node.keep <= 1
            and not any(r.outs or r.careful for r in self._row[len(self._inner) :])
            and all(len(r.plan.sources) <= 1 for r in loop.runners)
            and not any(e.copy for r in loop.runners for e in r.outs)
        )

    def _step(self, runner: ChainNode) -> Callable[[Any], Any]:
        if runner.pushing is not None:
            return self._chain_queues.sender(runner)
        return runner.target or _pass

    @property
    def usable(self) -> bool:
        """Whether the next items may take the fast path."""
        return (
            self._fits
            and self.loop.source.rows_allowed
            and all(r.memory.short or r.passes or r.node.reader for r in self._inner)
            and self._chain_queues.ready
        )

    async def run(self) -> bool:
        """Run rows until the event loop needs a turn; False when the source had nothing."""
        if not await self._chain_queues.open():
            return True
        if not self._chain_queues.ready:  # the server came back, or a queue got bounds, meanwhile
            return True
        most, spot = self._chain_queues.begin(), self._runtime.spot
        self._times, self._rows = [], []
        spot.where = self._where
        try:
            values, error = self._run_rows(most)
        finally:
            spot.where = None
            spot.end()
        partial = self._times[len(self._times) // self._width * self._width :]
        del self._times[len(self._times) - len(partial) :]
        await self._settle()
        if error is not None:
            self._broken(values, partial, error)
        elif values and values[0] is EXHAUSTED:
            self.loop.source.exhausted = True
        gave = values[0] is not None if values else error is None
        return gave or self._chain_queues.reader is not None

    @property
    def waited(self) -> bool:
        """Whether the event loop had a turn meanwhile, or has one now."""
        return self._pushed or self.loop.source.reading

    def _where(self) -> tuple[str, int]:
        rows, called = divmod(len(self._times), self._width)
        return self.names[max(0, called - 1)], self.loop.made + rows

    def _run_rows(self, most: int) -> tuple[list[Any], BaseException | None]:
        """Give what the last row made, and why it failed, if it did."""
        clock, steps, times = time.monotonic_ns, self._steps, self._times
        reads, rows, keeps = (
            self._chain_queues.reader is not None,
            self._rows,
            self._chain_queues.senders,
        )
        pull = self._chain_queues.pull if reads else self.loop.runners[0].target
        values: list[Any] = []
        error: BaseException | None = None
        deadline = clock() + _TURN
        for _ in range(most):
            times.append(start := clock())
            values = []
            try:
                values.append(pull())
                times.append(clock())
                if values[0] is EXHAUSTED or (values[0] is None and not reads):
                    break
                for fn, source in steps:
                    values.append(fn(values[source]))
                    times.append(clock())
            except FAILS as failure:  # it becomes the item's failure
                error = failure
                break
            if keeps:
                rows.append(values)
            self._last, end = values, times[-1]
            if end - start > _LONG and self._was_long(times[-self._width :]):
                break
            if end > deadline:
                break
        return values, error

    def _was_long(self, row: list[int]) -> bool:
        """Let each node learn from a row that took long."""
        for runner, start, end in zip(self._inner, row, row[1:], strict=False):
            runner.memory.timed((end - start) / 1e9)
        return not self.usable

    # -- what becomes of the rows ----------------------------------------------

    async def _settle(self) -> None:
        """Push what the rows left, then record them, and ack their messages."""
        rows, ports = len(self._times) // self._width, self._chain_queues
        self._pushed = bool(rows and ports.senders)
        outcomes = await ports.push(rows) if self._pushed else []
        if any(outcomes):
            self._go_on(rows, outcomes)
            return
        if outcomes:
            self._stretch(rows)
        for row in range(min(rows, len(ports.messages))):
            ports.received(row, self._seconds(self._times[row * self._width]))
        self._flush()
        if rows and ports.reader is not None:
            ids = [message.id for message in ports.messages[:rows]]
            self.loop.settle(ports.reader.queue, ids)

    def _stretch(self, rows: int) -> None:
        """The pushes of all rows have ended now."""
        times, now = self._times, time.monotonic_ns()
        for row in range(1, rows + 1):
            at = row * self._width
            times[at - len(self._chain_queues.senders) : at] = [now] * len(
                self._chain_queues.senders
            )

    def _flush(self) -> None:
        """Publish the rows, which are complete."""
        loop, times = self.loop, self._times
        self._times = []
        if times:
            origin, runtime = int(self._runtime.origin * 1e9), self._runtime
            batch = Batch(
                runtime.name, self.names, loop.made, origin, times, self._last, self._released
            )
            runtime.stream.batch(batch)
            loop.made += batch.iterations
            if self._chain_queues.reader is None:
                loop.source.passed(batch.iterations)
            for runner in self._inner:
                runner.memory.ran(batch.iterations)
        times.clear()  # who keeps an error keeps the frame of these rows, but not the rows

    def _go_on(self, rows: int, outcomes: Sequence[Any]) -> None:
        """Let rows go on as items: some of their pushes failed, or are still pending."""
        count, inner = len(self._chain_queues.senders), len(self._inner)
        for row in range(rows):
            at = row * self._width
            ends = dict(zip(self._row[inner:], outcomes[row * count :], strict=False))
            memo = {
                (r.plan.index, 0): self._rows[row][0] if end is None else end
                for r, end in ends.items()
            }
            self._enter(row, self._rows[row][:inner], self._times[at : at + inner + 1], memo)
        self._times = []

    def _broken(self, values: list[Any], times: list[int], error: BaseException) -> None:
        """Let a row that failed go on as an item: what has run is not run again."""
        if not values:
            self.loop.source.tick_failed(error)
            return
        failed = self._row[len(values)]
        if failed.pushing is None:
            values, times = [*values, NOTHING], [*times, time.monotonic_ns()]
        row = max(0, len(self._chain_queues.messages) - 1)
        self._enter(row, values[: len(self._inner)], times, {(failed.plan.index, 0): error})

    def _enter(self, row: int, values: list[Any], times: list[int], memo: dict[Any, Any]) -> None:
        """Make an item of a row; `memo` says how its other nodes ended."""
        loop, ports = self.loop, self._chain_queues
        message = ports.messages[row] if ports.messages else None
        if message is not None:
            ports.received(row, self._seconds(times[0]))
        for runner, value, start, end in zip(self._row, values, times, times[1:], strict=False):
            a, b = self._seconds(start), self._seconds(end)
            span = Span(self._runtime.name, runner.name, loop.made, 0, "work", a, b)
            self._runtime.stream.span(span, value)
        known = {(r.plan.index, 0): v for r, v in zip(self._row[1:], values[1:], strict=False)}
        number = loop.source.count() if ports.reader is None else None
        loop.begin(values[0], message=message, memo={**known, **memo}, index=number)

    def _seconds(self, reading: int) -> float:
        return reading / 1e9 - self._runtime.origin


def _crosses_easily(loop: Rows) -> bool:
    """Whether no queue is crossed, or nothing but an ack of what is done hangs on it."""
    reader = loop.runners[0].node.reader
    if reader is None and not loop.plan.writes:
        return True
    acks = reader is None or (reader.ack == "done" and not loop.plan.options.transactional)
    return acks and loop.checkpointer is None


def _pass(payload: Any) -> Any:
    """Stand for a node without a function."""
    return payload


_ITEM_TURN: Final = 5_000_000  # nanoseconds
_SHORT: Final = int(SHORT * 1e9)
_LONGEST: Final = 1000  # nodes


class RowNode(Protocol):
    """A node that may stand in a row, as its runner knows it."""

    name: str
    plan: PlanNode
    node: Node
    outs: tuple[PlanEdge, ...]
    counts: bool
    """Whether it waits for several inputs."""
    is_async: bool
    careful: bool
    passes: bool
    ctx_name: str | None
    instance: Any
    gate: Any
    memory: Memory
    runtime: Runtime
    target: Any
    row: Row
    """What follows it in one go, when that is known."""

    def landed(self, token: Call, output: Any, error: BaseException | None) -> None:
        """Go on with the outcome of its call."""


Row = tuple[RowNode, ...]


def row_from(first: RowNode, runners: Sequence[RowNode]) -> Row:
    """Give the nodes that one thread may call back to back, beginning with *first*."""
    row, runner = [first], first
    while len(row) < _LONGEST and (following := _following(runner, runners)) is not None:
        row.append(following)
        runner = following
    return tuple(row)


def _following(runner: RowNode, runners: Sequence[RowNode]) -> RowNode | None:
    plan, outs = runner.plan, runner.outs
    if len(outs) != 1 or plan.branches or plan.handler >= 0 or outs[0].copy or outs[0].back:
        return None
    following = runners[outs[0].target]
    return following if not following.counts and fits(following) else None


def fits(runner: RowNode) -> bool:
    """Whether a node is so plain that nothing but its function has to be called."""
    node, plan = runner.node, runner.plan
    called = runner.is_async or runner.careful or runner.ctx_name or runner.instance or runner.gate
    other = node.queue or node.reader or node.over is not None or plan.cycle >= 0 or plan.multi
    return not called and not other


class ItemChain:
    """One row being called; `steps` holds what each node but the last one changed.

    `ended` is read by others meanwhile: how many nodes have ended, the state behind them, and
    in how many steps they made it.
    """

    def __init__(self, row: Row, token: Call, hooks: RunHooks | None) -> None:
        self.row, self.token, self.at, self._hooks = row, token, 0, hooks
        self.ended: tuple[int, dict[str, Any], int] = 0, {}, 0
        self.steps: list[Step] = []
        self.values: dict[str, Any] = {}
        self.outputs: list[Any] = []
        self.times: list[int] = []
        self.error: BaseException | None = None
        self.over = False  # the run has ended meanwhile
        self.payload = token.payload

    def in_thread(self) -> Callable[[], None]:
        """Call the row; give what reports it to the event loop."""
        self.token.walk = self
        context, spot = contextvars.Context(), Spot(self.row[0].runtime.write_line)
        spot.where = self._where
        context.run(HERE.set, spot)
        context.run(self._walk)
        context.run(spot.end)
        return self._landed

    def _where(self) -> tuple[str, int]:
        return self.row[self.at].name, self.token.iteration

    def _walk(self) -> None:
        token, clock, last = self.token, time.monotonic_ns, len(self.row) - 1
        item, steps, times, outputs = token.item, self.steps, self.times, self.outputs
        stateful, schema = item.values.states is not None, item.values.schema
        values = self.values = token.state.values if stateful else {}
        hooks = self._hooks
        times.append(clock())
        try:
            for at, runner in enumerate(self.row):
                self.at, target = at, runner.target
                output = self.payload if target is None else target(self.payload)
                outputs.append(output)
                times.append(now := clock())
                if at == last or now - times[0] > _ITEM_TURN or type(output) is CoroutineType:
                    return
                if token.cancelled:
                    return
                seen, returned = values, None if target is None else output
                if stateful and returned is not None:
                    returned, values = schema.stepped(output, values, runner.name)
                if hooks is not None and not hooks.passed(self, returned, seen):
                    self.over = True
                    return
                if not stateful:
                    self.payload = output
                    self.ended = at + 1, values, 0
                    continue
                if returned:
                    index, self.values = runner.plan.index, values
                    steps.append(((index, 0, index, 0), runner.name, returned))
                self.ended = at + 1, values, len(steps)
                self.payload = schema.view(values) if schema.model else {**values}
                if hooks is not None:
                    hooks.look(item.values, values)
        except FAILS as error:  # it becomes the node's failure
            self.error = error
            del self.outputs[self.at :]
            del self.times[self.at + 1 :]

    def _landed(self) -> None:
        """Enter the row into the books; the node it ended with goes on as any other."""
        token, row, count = self.token, self.row[: self.at + 1], self.at
        if token.cancelled or self.over:
            return
        runtime, last = row[0].runtime, row[-1]
        token.walk = None
        if count:
            self.enter()
            last.row = last.row or self.row[count:]
            token.start = self.times[count] / 1e9 - runtime.origin
        output = self.outputs[count] if len(self.outputs) > count else None
        row[0].memory.long = self.times[-1] - self.times[0] > _SHORT
        last.landed(token, output, self.error)

    def enter(self) -> None:
        """Enter the nodes before `at` into the books."""
        self.row[0].runtime.stream.batch(self.batch())
        self.token.item.walked(self.token, self)

    def batch(self) -> Batch:
        """Give the calls of the nodes before `at`."""
        runtime, names = self.row[0].runtime, tuple(r.name for r in self.row[: self.at])
        origin, times = int(runtime.origin * 1e9), self.times[: self.at + 1]
        iteration, outputs = self.token.iteration, self.outputs[: self.at]
        return Batch(runtime.name, names, iteration, origin, times, outputs)

    def so_far(self) -> ItemChain:
        """Give what has ended of it by now, as a row of its own; from any thread."""
        made = ItemChain(self.row, self.token, self._hooks)
        made.at, made.values, steps = self.ended
        made.steps = self.steps[:steps]
        made.outputs, made.times = self.outputs[: made.at], self.times[: made.at + 1]
        return made

    def leave(self) -> None:
        """Enter what has ended by now into the books: nobody waits for the rest."""
        self.over, self.token.walk = True, None
        part = self.so_far()
        if part.at:
            part.enter()
