"""Must every sync node of a run hop to a thread? No: a row of them goes in one hop.

Where plain sync nodes stand in a row, each behind the one before and nothing else, the
thread that called the first calls the next ones too, folding the state between them, and
tells of all of them at its end, or after 5 ms: who looks, or cancels, finds what is done.
Arms still run side by side, the event loop stays free. Of a run that is kept each end is
saved before the next call, by the same thread.
"""

from __future__ import annotations

import contextvars
import time
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final, Protocol

from flownb.engine.capture import HERE, Spot
from flownb.engine.memory import SHORT
from flownb.errors import FAILS
from flownb.model.records import Batch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from flownb.analysis.plan import PlanEdge, PlanNode
    from flownb.engine.memory import Memory
    from flownb.engine.runtime import Runtime
    from flownb.engine.scheduler import RunHooks
    from flownb.engine.state import Step
    from flownb.engine.token import Token
    from flownb.model.nodes import Node

_TURN: Final = 5_000_000  # nanoseconds
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

    def landed(self, token: Token, output: Any, error: BaseException | None) -> None:
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
    other = node.queue or node.reader or node.over is not None or plan.knot >= 0 or plan.multi
    return not called and not other


class Walk:
    """One row being called; `steps` holds what each node but the last one changed."""

    def __init__(self, row: Row, token: Token, hooks: RunHooks | None) -> None:
        self.row, self.token, self.at, self._hooks = row, token, 0, hooks
        self.steps: list[Step] = []
        self.values: dict[str, Any] = {}
        self.outputs: list[Any] = []
        self.times: list[int] = []
        self.error: BaseException | None = None
        self.over = False  # the run has ended meanwhile
        self.payload = token.payload

    def in_thread(self) -> Callable[[], None]:
        """Call the row; give what tells the event loop of it."""
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
        stateful, schema = item.states is not None, item.once.schema
        values = self.values = token.state.values if stateful else {}
        hooks = self._hooks
        times.append(clock())
        try:
            for at, runner in enumerate(self.row):
                self.at, target = at, runner.target
                output = self.payload if target is None else target(self.payload)
                outputs.append(output)
                times.append(now := clock())
                if at == last or now - times[0] > _TURN or type(output) is CoroutineType:
                    return
                seen, said = values, None if target is None else output
                if stateful and said is not None:
                    said, values = schema.stepped(output, values, runner.name)
                if hooks is not None and not hooks.passed(self, said, seen):
                    self.over = True
                    return
                if not stateful:
                    self.payload = output
                    continue
                if said:
                    index, self.values = runner.plan.index, values
                    steps.append(((index, 0, index, 0), runner.name, said))
                self.payload = schema.view(values) if schema.model else {**values}
                if hooks is not None:
                    hooks.look(item, values)
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
        if count:
            names, times = tuple(r.name for r in row[:-1]), self.times[: count + 1]
            origin = int(runtime.origin * 1e9)
            runtime.stream.batch(
                Batch(runtime.name, names, token.iteration, origin, times, self.outputs[:count])
            )
            token.item.walked(token, self)
            last.row = last.row or self.row[count:]
            token.start = times[-1] / 1e9 - runtime.origin
        output = self.outputs[count] if len(self.outputs) > count else None
        row[0].memory.long = self.times[-1] - self.times[0] > _SHORT
        last.landed(token, output, self.error)
