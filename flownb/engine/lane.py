"""Can a loop go faster? Yes, when every node is short: the fast lane.

When all nodes of a loop are short sync functions, each behind one node, a private
event loop calls them back to back, row by row, and records each row as the clock
readings between them. It returns after 5 ms, when a node was not short after all, and
when anything is asked of the loop. A row that fails goes on as an ordinary item.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from flownb.engine.item import Token
from flownb.engine.memory import SHORT
from flownb.engine.produce import Pull
from flownb.engine.signature import EXHAUSTED, FAILS
from flownb.model.records import NOTHING, Batch, Span

if TYPE_CHECKING:
    from flownb.engine.loop import LoopManager

_TURN: Final = 5_000_000
_LONG: Final = int(SHORT * 1e9)


class Lane:
    """The fast lane of one generation of a loop."""

    def __init__(self, loop: LoopManager) -> None:
        self.loop = loop
        self.names = tuple(r.name for r in loop.runners)
        self._fits = self._fitting()
        sources = {e.target: e.source for r in loop.runners for e in r.outs}
        self._steps = [(r.target or _pass, sources[r.plan.index]) for r in loop.runners[1:]]
        self._width = len(self.names) + 1
        self._times: list[int] = []

    def _fitting(self) -> bool:
        loop, producer = self.loop, self.loop.runners[0]
        return (
            loop.private
            and not loop.inline
            and not loop.stream.watched
            and producer.node.reader is None
            and producer.node.every is None
            and len(loop.runners) > 1
            and all(r.inlinable and r.node.keep <= 1 for r in loop.runners)
            and all(len(r.plan.sources) <= 1 for r in loop.runners)
            and not any(e.copy for r in loop.runners for e in r.outs)
        )

    @property
    def usable(self) -> bool:
        """Whether the next items may take the fast lane."""
        return (
            self._fits
            and self.loop.source.rows_allowed
            and all(r.memory.short or r.passes for r in self.loop.runners)
        )

    def run(self) -> bool:
        """Run rows until the event loop needs a turn; False when the source had nothing."""
        spot = self.loop.spot
        spot.where = self._where
        try:
            return self._run_rows()
        finally:
            spot.where = None
            spot.end()

    def _where(self) -> tuple[str, int]:
        rows, called = divmod(len(self._times), self._width)
        return self.names[max(0, called - 1)], self.loop.made + rows

    def _run_rows(self) -> bool:
        clock, steps, pull = time.monotonic_ns, self._steps, self.loop.runners[0].target
        self._times = times = []
        last: list[Any] = []
        deadline = clock() + _TURN
        while True:
            times.append(start := clock())
            values = []
            try:
                values.append(pull())
                times.append(clock())
                if values[0] is None or values[0] is EXHAUSTED:
                    break
                for fn, source in steps:
                    values.append(fn(values[source]))
                    times.append(clock())
            except FAILS as error:  # it becomes the item's failure
                row = [*times[-1 - len(values) :], clock()]
                self._flush(last)
                self._tell(row, values)
                self._broken(values, error)
                return bool(values)
            last, end = values, times[-1]
            if end - start > _LONG and self._was_long(times[-self._width :]):
                break
            if end > deadline:
                break
        self._flush(last)
        if values[0] is EXHAUSTED:
            self.loop.source.exhausted = True
        return values[0] is not None

    def _was_long(self, row: list[int]) -> bool:
        """Let each node learn from a row that took long."""
        for runner, start, end in zip(self.loop.runners, row, row[1:], strict=False):
            runner.memory.timed((end - start) / 1e9)
        return not self.usable

    def _flush(self, last: list[Any]) -> None:
        """Publish the rows that are complete."""
        loop, times = self.loop, self._times
        self._times = []
        del times[len(times) // self._width * self._width :]
        if times:
            origin = int(loop.origin * 1e9)
            batch = Batch(loop.name, self.names, loop.made, origin, times, last)
            loop.stream.batch(batch)
            loop.made += batch.iterations
            loop.source.passed(batch.iterations)
            for runner in loop.runners:
                runner.memory.ran(batch.iterations)
        times.clear()  # who keeps an error keeps the frame of these rows, but not the rows

    def _tell(self, row: list[int], values: list[Any]) -> None:
        """Publish the calls of a row that failed, the last one is that which did."""
        loop = self.loop
        seconds = [reading / 1e9 - loop.origin for reading in row]
        calls = zip(self.names, seconds, seconds[1:], [*values, NOTHING], strict=False)
        for name, start, end, output in calls:
            span = Span(loop.name, name, loop.made, 0, "work", start, end)
            loop.stream.span(span, output)

    def _broken(self, values: list[Any], error: BaseException) -> None:
        """Let a row that failed go on as an item: what has run is not run again."""
        if not values:
            token = Token(Pull(self.loop), self.loop.runners[0], None, 0)
            self.loop.ending.tick_failed(token, error)
            return
        memo = {i: value for i, value in enumerate(values) if i}
        number = self.loop.source.count()
        self.loop.begin(values[0], memo={**memo, len(values): error}, index=number)


def _pass(payload: Any) -> Any:
    """Stand for a node without a function."""
    return payload
