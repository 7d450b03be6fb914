"""How do sync nodes behind one another run? As a chain: one call after the other, in one thread.

A loop whose way is decided by what its nodes give, in a row, at ifs and at joins, has a `Chain`.
It has the source and the nodes behind it called in the source's own thread, row after row, a turn
of up to 5 ms at a time, so that a hop is paid for a turn and not for a node. While a turn is on
its way the event loop is free. A row whose node does not come back for 20 ms is taken out of it:
the rows before it are settled, it becomes an ordinary item, and the thread begins no further
call. So is a row that fails, and one that asks for more than a row can do.

A chain may begin with messages of a queue and end in pushes to one (`ChainQueues`). It takes
its messages from what was fetched, and holds back what it pushes until the end of its turn.
Then all of it goes out in one pipeline; when Redis has it the items are done, and their messages
are acked together. Where Redis takes longer than a moment, they go on as ordinary items.
A push that the producer waits for goes at the end of its row: the thread waits until Redis has
it, or until the row is taken out of its turn.

In a one-shot run an `ItemChain` is a row of plain sync nodes, each behind the one before and
nothing else. The thread that called the first calls the next ones too, folds the state between
them, and reports all of them at its end, or after 5 ms: who looks, or cancels, finds what is
done. Arms still run side by side, the event loop stays free. Of a run that is kept each end is
saved before the next call, by the same thread.
"""

from __future__ import annotations

import functools
import math
import time
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final, Protocol

from flownb.engine.calls.outcome import (
    OpenCall,
)
from flownb.engine.calls.push import RowPush, send_rows
from flownb.engine.calls.steps import PATIENCE, Steps, can_stand_in_row
from flownb.engine.calls.turn import DEAD, Turn
from flownb.engine.prints import HERE, Spot
from flownb.errors import FAILS
from flownb.plan.await_sets import RULES
from flownb.records.events import Batch

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from flownb.engine.calls.call import Call
    from flownb.engine.calls.node_memory import Memory
    from flownb.engine.calls.steps import ChainNode
    from flownb.engine.calls.turn import AtWork, RowState
    from flownb.engine.runtime import Runtime
    from flownb.flow.item import Item
    from flownb.flow.scheduler import RunHooks
    from flownb.flow.state import Step as StateStep
    from flownb.model.nodes import Node
    from flownb.plan.loop_plan import LoopPlan, PlanEdge, PlanNode
    from flownb.queues.spec import Message

_SOON: Final = 0.05  # seconds
_MANY: Final = 1 << 40  # rows: the clock ends the turn of a chain without queues


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

    async def until_released(self, item: Item) -> None:
        """Wait until an item lets the producer go on."""

    async def one_item(self) -> None:
        """Make an item as any other, let it flow, wait for its release."""

    @property
    def source(self) -> Any:
        """Where the rows come from."""

    @property
    def slots(self) -> Any:
        """What they take while they are in flight."""


class ChainQueues:
    """The queues at both ends of a chain."""

    def __init__(self, loop: Rows, senders: Sequence[ChainNode]) -> None:
        self.loop, self._runtime = loop, loop.runtime
        self.reader = loop.runners[0].node.reader
        self.senders = senders
        self.waits = any(r.plan.awaited for r in senders)
        self.messages: list[Message] = []

    async def open(self) -> bool:
        """Wait for messages; False when there is something else to be looked at first."""
        source = self.loop.source
        return await source.due() and (self.reader is None or await source.fill())

    def begin(self) -> int:
        """Begin a turn; how many rows it may have."""
        self.messages = []
        most = self.loop.slots.free if self.senders and not self.waits else _MANY
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

    async def push(self, pushes: list[RowPush], rows: int) -> bool:
        """Push what rows have left; say whether Redis has all of it within a moment."""
        runtime = self._runtime
        send_rows(runtime, pushes, runtime.wake)
        until = runtime.now() + _SOON
        self.loop.slots.hold(rows)
        while not all(push.is_over for push in pushes):
            if runtime.now() >= until or runtime.error is not None:
                break
            await runtime.wait(until)
        self.loop.slots.give_back(rows)
        return all(push.is_over and push.error is None for push in pushes)

    def push_row(self, turn: Turn, values: Sequence[Any]) -> bool:
        """Push what a row has left, and wait in its thread until Redis has it; say whether it has.

        Who takes the row out of its turn ends the wait.
        """
        pushes = [value for value in values if isinstance(value, RowPush)]
        if pushes:
            self._runtime.soon(send_rows, self._runtime, pushes, turn.answer)
            turn.wait()
            count = len(self.senders)
            turn.times[-count:] = [time.monotonic_ns()] * count
        return all(push.is_over and push.error is None for push in pushes)


class Stretch(Steps):
    """The nodes that rows of one loop go through.

    `nodes` are the source, those behind it, then those that push; *open*: the item has others
    too, which it goes on to when its row is done.
    """

    def __init__(
        self, loop: Rows, inner: Sequence[ChainNode], senders: Sequence[ChainNode]
    ) -> None:
        super().__init__(inner, senders)
        self.loop = loop
        self.open = len(self.nodes) < len(loop.runners)
        self.queues = ChainQueues(loop, senders)
        self.varies = self.branches or any(r.node.keep != 1 or r.node.cache for r in self.nodes)
        self.keeps = self.varies or bool(senders)
        self.alone = self._makes_one_row()

    def _makes_one_row(self) -> bool:
        producer = self.nodes[0]
        if producer.node.reader is not None:
            return self.open
        own = producer.ctx_name or producer.instance  # it is told which item it makes
        return bool(self.open or own or producer.node.every is not None)

    def begin(self, most: int) -> Turn:
        """Make the next turn."""
        loop, reads = self.loop, self.queues.reader is not None
        head = self.queues.pull if reads else loop.source.head()
        turn = Turn(
            head, self.copy(), first=loop.made, most=1 if self.alone else most,
            keeps=self.keeps or loop.runtime.stream.watched, pulls=not reads,
            tail=self.queues.push_row if self.queues.waits else None,
        )  # fmt: skip
        turn.messages, turn.index = self.queues.messages, loop.source.pulled
        return turn


class Chain:
    """The rows of one generation of a loop."""

    def __init__(self, loop: Rows) -> None:
        self.loop, self._runtime = loop, loop.runtime
        self._able = self._in_rows() if self._fits() else []
        self._forks = any(len(r.outs) > 1 and not r.plan.branches for r in loop.runners)
        self._sure = self._surely_awaited()
        self._stretches: dict[frozenset[int], Stretch | None] = {}
        self._settled = 0  # rows of the turn that have been settled

    # -- which nodes -------------------------------------------------------------

    def _fits(self) -> bool:
        loop, producer = self.loop, self.loop.runners[0]
        heads = loop.source.can_head_rows
        once = loop.plan.once is not None or loop.plan.options.start_rule != "dataflow"
        stateful = loop.checkpointer is not None and loop.source.may_keep_state
        return not (
            once or self._runtime.inline or producer.plan.branches or stateful or not heads
            or len(loop.runners) < 2  # noqa: PLR2004
        )  # fmt: skip

    def _in_rows(self) -> list[ChainNode]:
        """Give the nodes that a row may call, if each of their sources is one of them.

        A loser of a join may be given up while it works: it never keeps the source's thread.
        """
        runners, leaves = self.loop.runners, self.loop.source.calls_nobody
        losers = {index for runner in runners for index in runner.plan.losers}
        return [
            r for r in runners
            if not r.plan.index
            or (can_stand_in_row(r, leaves=leaves) and r.plan.index not in losers)
        ]  # fmt: skip

    def _surely_awaited(self) -> set[int]:
        """Give the nodes for which the producer waits whenever they are called."""
        if RULES[self.loop.plan.policy].if_ran:
            return set()
        sure: dict[int, bool] = {}
        for runner in self.loop.runners:
            here = sure.get(runner.plan.index, True)
            for edge in runner.outs:
                passed = bool(edge.force) or (bool(runner.plan.index) and here and edge.keep)
                sure[edge.target] = sure.get(edge.target, True) and passed
        return {index for index, is_sure in sure.items() if is_sure}

    @property
    def stretch(self) -> Stretch | None:
        """The nodes that the next rows go through; None: the next item is an ordinary one."""
        if not self._able or not self.loop.source.rows_allowed:
            return None
        long = [r for r in self._able if r.memory.long and r.plan.index]
        out = [r.plan.index for r in long if r.plan.index not in self._sure]
        if self._forks and len(long) - len(out) > 1:  # arms that take their time do so together
            out = [r.plan.index for r in long]
        out += [r.plan.index for r in self._able if r.is_async and r.plan.index]
        key = frozenset(out)
        if key not in self._stretches:
            self._stretches[key] = self._made(key)
        found = self._stretches[key]
        return found if found is not None and found.queues.ready else None

    def _made(self, out: Collection[int]) -> Stretch | None:
        loop = self.loop
        inner: list[ChainNode] = []
        senders: list[ChainNode] = []
        names = {r.name for r in self._able if r.plan.index not in out and r.pushing is None}
        known: set[str] = set()
        for runner in self._able:
            if runner.plan.index and not known.issuperset(runner.plan.sources):
                continue
            if runner.pushing is not None:
                senders.append(runner)
            elif runner.name in names:
                inner.append(runner)
                known.add(runner.name)
        if len(inner) + len(senders) == len(loop.runners) and _crosses_easily(loop):
            return Stretch(loop, inner, senders)
        if loop.runners[0].node.reader is not None or len(inner) < 2:  # noqa: PLR2004
            return None
        if self._forks and any(r.memory.long for r in inner[1:]):
            return None
        return Stretch(loop, inner, [])

    # -- a turn ------------------------------------------------------------------

    async def run(self, stretch: Stretch) -> None:
        """Run rows, then settle them."""
        ports, loop = stretch.queues, self.loop
        if not await ports.open() or not ports.ready or not loop.source.rows_allowed:
            return
        turn, self._settled = stretch.begin(ports.begin()), 0
        loop.source.thread.begin(turn, functools.partial(stretch.where, turn))
        if not await self._watch(stretch, turn):
            return
        loop.source.thread.turn = None
        last = await self._settle(stretch, turn, turn.done)
        at_work = turn.at_work()
        if turn.nothing or (at_work.times and not at_work.values):
            loop.source.thread.turn = turn
            await loop.one_item()
            return
        if at_work.times:
            last = self._broken(stretch, turn, at_work)
        turn.forget()
        if last is not None:
            await loop.until_released(last)

    async def _watch(self, stretch: Stretch, turn: Turn) -> bool:
        """Wait until a turn is over; False if it goes on without its rows."""
        loop, runtime, ports = self.loop, self._runtime, stretch.queues
        look = runtime.now() + stretch.patience
        while not turn.over:
            await runtime.wait(look)
            if turn.has_ended():
                break
            turn.asked = turn.asked or loop.source.interrupted
            at_work, now = turn.at_work(), runtime.now()
            due = stretch.patience + (self._seconds(at_work.times[0]) if at_work.times else now)
            if now >= due:
                if at_work.values:
                    await self._take(stretch, turn)
                    return False
                loop.source.enter_call()
                await self._settle(stretch, turn, at_work.done)
            if turn.asked and not at_work.values and ports.reader is None:
                await self._take(stretch, turn)
                return False
            look = due if due > now else now + stretch.patience
        return True

    async def _take(self, stretch: Stretch, turn: Turn) -> None:
        """Take the row at work out of its turn: it goes on as an item."""
        source = self.loop.source
        turn.take()
        done, times, values, row = turn.at_work()
        last = await self._settle(stretch, turn, done)
        calls = len(values)
        if values:
            memo = stretch.memo(row, times, calls)
            if calls < len(stretch.nodes):
                node = stretch.nodes[calls]
                start, reading = self._seconds(times[-1]), done * stretch.width + calls + 1
                leave = functools.partial(source.thread.leave_to, turn)
                call = turn.call if turn.call and turn.call.at is node else None
                memo[node.plan.index, 0] = OpenCall(
                    turn, row, calls, reading, start, leave=leave, call=call
                )
                source.thread.label(node.name)
                node.memory.timed(PATIENCE)
            last = self._enter(stretch, done, row, times, memo)
        elif times:
            source.enter_call()
        known = (done + bool(values)) * stretch.width
        turn.on_end.append(functools.partial(self._left, stretch, turn, known))
        if turn.over:
            turn.end()
        if last is not None:
            await self.loop.until_released(last)

    def _left(self, stretch: Stretch, turn: Turn, known: int) -> None:
        """A turn whose row was taken is over; it may have begun one more before it saw that.

        *known*: the readings of the rows that are dealt with.
        """
        source, messages = self.loop.source, stretch.queues.messages
        more, reads = len(turn.times) > known, stretch.queues.reader is not None
        if more and reads and len(messages) > known // stretch.width:
            source.buffer.appendleft(messages.pop())
        if reads or not more:
            turn.forget()
            if source.thread.turn is turn:
                source.thread.turn = None

    # -- what becomes of the rows ----------------------------------------------

    async def _settle(self, stretch: Stretch, turn: Turn, upto: int) -> Item | None:
        """Push what rows have left, then record them, and ack their messages."""
        first, self._settled = self._settled, max(upto, self._settled)
        if upto <= first:
            return None
        ports, rows = stretch.queues, turn.rows[first:upto]
        times = turn.times[first * stretch.width : upto * stretch.width]
        if ports.senders and not ports.waits:
            pushes = [v for values, _ in rows for v in values[stretch.inner :] if v is not DEAD]
            if pushes:
                if not await ports.push(pushes, len(rows)):
                    return self._go_on(stretch, first, rows, times)
                _end_pushes(stretch, times, len(rows))
        messages = ports.messages[first:upto]
        for row, message in enumerate(messages):
            when = self._seconds(times[row * stretch.width])
            self._runtime.received(self.loop.made + row, message, when)
        values = rows[-1][0] if rows else turn.last
        self._learn(stretch, times[-stretch.width :], values)
        if stretch.open:
            only = turn.rows[first] if turn.rows else (turn.last, {})
            memo = stretch.memo(only, times, stretch.inner)
            return self._enter(stretch, first, only, times, memo)
        if messages and ports.reader is not None:
            self.loop.settle(ports.reader.queue, [message.id for message in messages])
        self._publish(stretch, turn, rows, times)
        return None

    def _publish(
        self, stretch: Stretch, turn: Turn, rows: Sequence[RowState], times: list[int]
    ) -> None:
        """Report rows that are done whole: together, or one by one."""
        loop, runtime = self.loop, self._runtime
        count = len(times) // stretch.width
        if rows and (stretch.varies or runtime.stream.watched):
            for i, row in enumerate(rows):
                self._publish_row(stretch, row, times[i * stretch.width : (i + 1) * stretch.width])
        else:
            last = turn.last
            if rows:
                last = [stretch.output(rows[-1], i) for i in range(len(stretch.nodes))]
            released = -1 if stretch.queues.waits else stretch.inner
            origin = int(runtime.origin * 1e9)
            batch = Batch(runtime.name, stretch.names, loop.made, origin, times, last, released)
            runtime.stream.batch(batch)
            loop.made += count
        if stretch.queues.reader is None:
            loop.source.passed(count)

    def _publish_row(self, stretch: Stretch, row: RowState, times: list[int]) -> None:
        """Report a row as if each of its calls had been made alone."""
        loop, stream, name = self.loop, self._runtime.stream, self._runtime.name
        number, values = loop.made, row[0]
        loop.made += 1
        made, end = self._seconds(times[1]), self._seconds(times[stretch.inner])
        start = self._seconds(times[0])
        told = stream.started if stream.watched else _tell_nobody
        told((start, "started", name, stretch.names[0], number, 0))
        stream.span((name, stretch.names[0], number, 0, "work", start, made, 1), values[0])
        stream.event((made, "produced", name, name, number, None))
        for i in range(1, len(values)):
            if values[i] is not DEAD:
                a, b = self._seconds(times[i]), self._seconds(times[i + 1])
                told((a, "started", name, stretch.names[i], number, 0))
                attempt = stretch.attempt(row, i)
                fields = (name, stretch.names[i], number, 0, "work", a, b, attempt)
                stream.span(fields, stretch.output(row, i))
        if end > made:
            stream.span((name, name, number, 0, "wait", made, end, 1))
        stream.event((end, "released", name, name, number, None))
        over = self._seconds(times[-1])
        stream.event((over, "settled", name, name, number, None))
        if stream.watched:
            stream.bypassed(name, number, stretch.names, over)

    def _learn(self, stretch: Stretch, times: list[int], values: Sequence[Any]) -> None:
        """Let the nodes know how long they took in the last row."""
        for runner, start, end, value in zip(stretch.nodes, times, times[1:], values, strict=False):
            if value is not DEAD:
                runner.memory.timed((end - start) / 1e9)
                runner.memory.succeeded()

    def _go_on(
        self, stretch: Stretch, first: int, rows: Sequence[RowState], times: list[int]
    ) -> Item:
        """Let rows go on as items: some of their pushes failed, or are still pending."""
        item: Any = None
        for r, row in enumerate(rows):
            its = times[r * stretch.width : (r + 1) * stretch.width]
            memo = stretch.memo(row, its, len(stretch.nodes))
            item = self._enter(stretch, first + r, row, its, memo)
        return item  # type: ignore[no-any-return]

    def _broken(self, stretch: Stretch, turn: Turn, at_work: AtWork) -> Item:
        """Let a row that ended early go on as an item: what has run is not run again."""
        done, times, values, row = at_work
        calls = len(values)
        memo = stretch.memo(row, times, calls)
        if calls == len(stretch.nodes):  # but not all that it pushed is there
            return self._enter(stretch, done, row, times, memo)
        last = stretch.broken(row, times, calls, turn.error)
        if last is not None:
            memo[stretch.nodes[calls].plan.index, 0] = last
        return self._enter(stretch, done, row, times, memo)

    def _enter(
        self, stretch: Stretch, number: int, row: RowState, times: list[int], memo: dict[Any, Any]
    ) -> Item:
        """Make an item of a row; `memo` says how its calls but that of the source ended."""
        loop, ports, runtime = self.loop, stretch.queues, self._runtime
        message = ports.messages[number] if ports.messages else None
        if message is not None:
            runtime.received(loop.made, message, self._seconds(times[0]))
        payload, start, end = row[0][0], *map(self._seconds, times[:2])
        fields = (runtime.name, stretch.names[0], loop.made, 0, "work", start, end, 1)
        runtime.stream.span(fields, payload)
        index = loop.source.count() if ports.reader is None else None
        item: Item = loop.begin(payload, message=message, memo=memo, index=index)
        return item

    def _seconds(self, reading: int) -> float:
        return reading / 1e9 - self._runtime.origin


def _end_pushes(stretch: Stretch, times: list[int], rows: int) -> None:
    """The pushes of all rows have ended now."""
    now, count = time.monotonic_ns(), len(stretch.queues.senders)
    for row in range(1, rows + 1):
        at = row * stretch.width
        times[at - count : at] = [now] * count


def _crosses_easily(loop: Rows) -> bool:
    """Whether no queue is crossed, or nothing but an ack of what is done hangs on it."""
    reader = loop.runners[0].node.reader
    if reader is None and not loop.plan.writes:
        return True
    acks = reader is None or (reader.ack == "done" and not loop.plan.options.transactional)
    return acks and loop.checkpointer is None


_ITEM_TURN: Final = 5_000_000  # nanoseconds
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

    def landed(
        self, token: Call, output: Any, error: BaseException | None, end: float | None
    ) -> None:
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
        self.steps: list[StateStep] = []
        self.values: dict[str, Any] = {}
        self.outputs: list[Any] = []
        self.times: list[int] = []
        self.error: BaseException | None = None
        self.over = False  # the run has ended meanwhile
        self.due = math.inf
        self.payload = token.payload

    def in_thread(self) -> Callable[[], None]:
        """Call the row; give what reports it to the event loop."""
        self.token.walk = self
        runtime = self.row[0].runtime
        context, spot = runtime.context.copy(), Spot(runtime.write_line)
        spot.where = self._where
        context.run(HERE.set, spot)
        context.run(self._walk)
        context.run(spot.end)
        return self._landed

    @property
    def node_at_work(self) -> str:
        """The name of the node that is called just now."""
        return self.row[self.ended[0]].name

    def look(self) -> None:
        """Let it be: who wants to know asks `so_far`."""

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
        last = row[-1]
        token.walk = None
        if count:
            self.enter()
            token.start = self._seconds(self.times[count])
        output = self.outputs[count] if len(self.outputs) > count else None
        end = None
        if len(self.times) > count + 1:
            end = self._seconds(self.times[-1])
            last.memory.timed((self.times[-1] - self.times[-2]) / 1e9)
        last.landed(token, output, self.error, end)

    def enter(self) -> None:
        """Enter the nodes before `at` into the books."""
        token, times = self.token, self.times
        self.row[0].runtime.stream.batch(self.batch())
        for runner, start, end in zip(self.row[: self.at], times, times[1:], strict=False):
            runner.memory.timed((end - start) / 1e9)
            runner.memory.succeeded()
        token.item.walked(token, self)

    def _seconds(self, reading: int) -> float:
        return reading / 1e9 - self.row[0].runtime.origin

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


def _tell_nobody(_: tuple[Any, ...]) -> None:
    """Nobody listens to the starts of calls."""
