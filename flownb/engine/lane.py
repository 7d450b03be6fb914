"""Can a loop go faster? Yes, when every node is short: the fast lane.

When all nodes of a loop are short sync functions, each behind one node, a private
event loop calls them back to back, row by row, and records each row as the clock
readings between them. It returns after 5 ms, when a node was not short after all, and
when anything is asked of the loop. A row that fails goes on as an ordinary item. Rows may
begin with messages of a queue and end in pushes to one: see `ports`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, Protocol

from flownb.engine.memory import SHORT
from flownb.engine.ports import Ports
from flownb.engine.signature import EXHAUSTED
from flownb.errors import FAILS
from flownb.model.records import NOTHING, Batch, Span

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from flownb.analysis.plan import LoopPlan
    from flownb.engine.ports import ChainNode, RowSlots, RowSource
    from flownb.engine.runtime import Runtime

_TURN: Final = 5_000_000
_LONG: Final = int(SHORT * 1e9)


class Rows(Protocol):
    """The loop whose items go in rows."""

    runtime: Runtime
    plan: LoopPlan
    runners: list[Any]
    keeping: Any
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


class Lane:
    """The fast lane of one generation of a loop."""

    def __init__(self, loop: Rows) -> None:
        self.loop, self._runtime = loop, loop.runtime
        self._inner = [r for r in loop.runners if r.pushing is None]
        self._row = [*self._inner, *(r for r in loop.runners if r.pushing is not None)]
        self.names = tuple(r.name for r in self._row)
        self._fits = self._fitting()
        self._ports = Ports(loop, self._row)
        at = {r.plan.index: i for i, r in enumerate(self._row)}
        sources = {e.target: at[e.source] for r in loop.runners for e in r.outs}
        self._steps = [(self._step(r), sources[r.plan.index]) for r in self._row[1:]]
        self._width = len(self.names) + 1
        self._released = -1 if self._ports.waits else len(self._inner)
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
            return self._ports.sender(runner)
        return runner.target or _pass

    @property
    def usable(self) -> bool:
        """Whether the next items may take the fast lane."""
        return (
            self._fits
            and self.loop.source.rows_allowed
            and all(r.memory.short or r.passes or r.node.reader for r in self._inner)
            and self._ports.ready
        )

    async def run(self) -> bool:
        """Run rows until the event loop needs a turn; False when the source had nothing."""
        if not await self._ports.open():
            return True
        if not self._ports.ready:  # the server came back, or a queue got bounds, meanwhile
            return True
        most, spot = self._ports.begin(), self._runtime.spot
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
        return gave or self._ports.reader is not None

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
        reads, rows, keeps = self._ports.reader is not None, self._rows, self._ports.senders
        pull = self._ports.pull if reads else self.loop.runners[0].target
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
        rows, ports = len(self._times) // self._width, self._ports
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
            times[at - len(self._ports.senders) : at] = [now] * len(self._ports.senders)

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
            if self._ports.reader is None:
                loop.source.passed(batch.iterations)
            for runner in self._inner:
                runner.memory.ran(batch.iterations)
        times.clear()  # who keeps an error keeps the frame of these rows, but not the rows

    def _go_on(self, rows: int, outcomes: Sequence[Any]) -> None:
        """Let rows go on as items: some of their pushes failed, or are still underway."""
        count, inner = len(self._ports.senders), len(self._inner)
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
        row = max(0, len(self._ports.messages) - 1)
        self._enter(row, values[: len(self._inner)], times, {(failed.plan.index, 0): error})

    def _enter(self, row: int, values: list[Any], times: list[int], memo: dict[Any, Any]) -> None:
        """Make an item of a row; `memo` says how its other nodes ended."""
        loop, ports = self.loop, self._ports
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
    return acks and loop.keeping is None


def _pass(payload: Any) -> Any:
    """Stand for a node without a function."""
    return payload
