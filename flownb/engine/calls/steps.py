"""What does a thread call in a row? `Steps`: a node and those behind it, one after the other.

They are compiled once: what each node gets, from which of the others, and what decides whether
it is called. A turn of a loop's source goes through them again and again (`chain`), a call in
the middle of a loop once (`token_row`).
"""

from __future__ import annotations

import copy
import functools
import time
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final, Protocol

from flownb.engine.calls.attempts import late
from flownb.engine.calls.call import Call, CallNode
from flownb.engine.calls.outcome import (
    EndedCall,
    FailedCall,
    NotCalled,
    StartedCall,
    is_of_call,
)
from flownb.engine.calls.push import Label, RowPush
from flownb.engine.calls.turn import DEAD, Turn, current
from flownb.errors import FAILS, NodeTimeout
from flownb.flow.routing import route

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from flownb.engine.calls.outcome import Pending
    from flownb.engine.calls.turn import Routes, RowState, Step
    from flownb.plan.loop_plan import PlanEdge, PlanNode

PATIENCE: Final = 0.02  # seconds that a row gets


class ChainNode(CallNode, Protocol):
    """A node of a loop whose items go in rows, as its runner knows it."""

    target: Any
    pushing: Any
    attempts: Any
    instance: Any
    ctx_name: str | None
    is_async: bool
    careful: bool

    def invoke(self, token: Call) -> Any:
        """Call the user's function, with what its signature asks for."""


class RowItem:
    """Stands where an item would, for a call in a row."""

    memo = None

    def __init__(self, iteration: int, message: Any, index: int | None) -> None:
        self.iteration, self.message, self.index = iteration, message, index

    def failed_sources(self, plan: PlanNode) -> tuple[str, ...]:  # noqa: ARG002
        """Name nobody: in a row nothing runs behind a node that failed."""
        return ()


class Steps:
    """The calls of a row: its head, the nodes behind it in the order of the plan, those that push.

    `inner` of the nodes are called, the others push.
    """

    def __init__(self, inner: Sequence[ChainNode], senders: Sequence[ChainNode] = ()) -> None:
        self.nodes = (*inner, *senders)
        self.inner = len(inner)
        self.runtime = inner[0].runtime
        self.names = tuple(r.name for r in self.nodes)
        self.width = len(self.nodes) + 1
        self._at = {r.plan.index: i for i, r in enumerate(self.nodes)}
        self._ins: dict[int, list[PlanEdge]] = {}
        for runner in self.nodes:
            for edge in runner.outs:
                self._ins.setdefault(edge.target, []).append(edge)
        self.branches = any(r.plan.branches for r in self.nodes)
        self.patience = min([PATIENCE, *(r.node.timeout for r in self.nodes if r.node.timeout)])
        self._steps = [self._step(r) for r in self.nodes[1:]]

    @functools.cached_property
    def head(self) -> Callable[[Any], Any]:
        """What calls the first node, where that is not a source."""
        return self.call(self.nodes[0])

    def copy(self) -> list[Step]:
        """Give the steps behind the head, for one turn."""
        return self._steps.copy()

    def where(self, turn: Turn) -> tuple[str, int]:
        """Say which node of which item is at work, for what it prints."""
        rows, called = divmod(len(turn.times), self.width)
        return self.names[max(0, called - 1)], turn.first + rows

    # -- how a row goes --------------------------------------------------------

    def _step(self, runner: ChainNode) -> Step:
        edges = self._ins[runner.plan.index]
        return self.call(runner), self._at[edges[0].source], self._gatherer(runner, edges)

    def call(self, runner: ChainNode) -> Callable[[Any], Any]:
        """Give what calls a node for a payload, in the thread of a turn."""
        if runner.pushing is not None:
            return self._sender(runner)
        call = runner.target or _pass
        if runner.ctx_name or runner.instance is not None:

            def call(payload: Any) -> Any:
                turn = current()
                turn.call = _call_in(turn, runner, payload)
                return runner.invoke(turn.call)

        if runner.node.cache:
            call = self._cached(runner)
        elif runner.plan.branches:
            call = self._routing(runner, call)
        elif runner.node.timeout is not None:
            call = self._in_time(runner, call, runner.node.timeout)
        return call if runner.gate is None else self._limited(runner, call)

    def _in_time(
        self, runner: ChainNode, call: Callable[[Any], Any], limit: float
    ) -> Callable[[Any], Any]:
        runtime, clock, longest = self.runtime, time.monotonic_ns, int(limit * 1e9)

        def called(payload: Any) -> Any:
            turn, end = current(), clock() + longest
            try:
                return call(payload)
            finally:
                if clock() > end and not turn.taken:  # else who took it looks at the clock
                    number = turn.first + turn.done
                    runtime.soon(runtime.event, "timeout", runner.name, number, False)
                    raise NodeTimeout(late(limit))

        return called

    def _limited(self, runner: ChainNode, call: Callable[[Any], Any]) -> Callable[[Any], Any]:
        gate, event_loop = runner.gate, self.runtime.event_loop

        def enter(payload: Any) -> Any:
            place = gate.enter_now(event_loop)
            if place is None:  # the row is not held up: its item waits as any other
                raise NotCalled
            try:
                return call(payload)  # if it gives a coroutine, that waits for a place of its own
            finally:
                place.leave()

        return enter

    def _cached(self, runner: ChainNode) -> Callable[[Any], Any]:
        position = self._at[runner.plan.index]

        def ask(payload: Any) -> Any:
            turn = current()
            token = _call_in(turn, runner, payload)
            output = runner.attempts.at_once(token)
            if not token.attempt:
                turn.row[1][position] = output, None
            return output

        return ask

    def _routing(self, runner: ChainNode, call: Callable[[Any], Any]) -> Callable[[Any], Any]:
        plan, position = runner.plan, self._at[runner.plan.index]

        def decide(payload: Any) -> Any:
            verdict = call(payload)
            if type(verdict) is CoroutineType:
                return verdict
            try:
                output, live = route(plan, payload, verdict)
            except FAILS as failure:
                current().row[1][position] = verdict, failure
                raise
            current().row[1][position] = verdict, live
            return output

        return decide

    def _sender(self, runner: ChainNode) -> Callable[[Any], Any]:
        runtime = self.runtime
        name = runner.node.queue.name if runner.node.queue is not None else ""
        label = Label(runtime.name, runner.name, runtime.trace)

        def send(payload: Any) -> Any:
            turn = current()
            row, messages = turn.done, turn.messages
            meta = label.text(turn.first + row, messages[row] if messages else None)
            return RowPush(runtime.queues.hold(name, payload, meta=meta))

        return send

    def _gatherer(
        self, runner: ChainNode, edges: Sequence[PlanEdge]
    ) -> Callable[[list[Any], Routes], Any] | None:
        """Give what puts a node's payload together; None: it is the value of its one source."""
        ways = [self._way(edge) for edge in edges]
        if len(edges) == 1:
            plain = not (edges[0].copy or self._branches(edges[0]))
            return None if plain and not self._maybe_dead(edges[0].source) else ways[0]
        names = [self.nodes[self._at[e.source]].name for e in edges]
        if runner.plan.merges:
            return _merged(ways)
        return _joined(names, ways)

    def _branches(self, edge: PlanEdge) -> bool:
        return bool(self.nodes[self._at[edge.source]].plan.branches)

    def _maybe_dead(self, source: int) -> bool:
        return self.branches and source > 0

    def _way(self, edge: PlanEdge) -> Callable[[list[Any], Routes], Any]:
        position, branches = self._at[edge.source], self._branches(edge)

        def way(values: list[Any], routes: Routes) -> Any:
            value = values[position]
            if value is DEAD or (branches and edge not in routes[position][1]):
                return DEAD
            return value

        def copied(values: list[Any], routes: Routes) -> Any:
            value = way(values, routes)
            try:
                return value if value is DEAD else copy.deepcopy(value)
            except FAILS as error:
                raise NotCalled from error

        return copied if edge.copy else way

    # -- what a row has given ----------------------------------------------------

    def memo(self, row: RowState, times: list[int], calls: int) -> dict[Any, Any]:
        """Say of the first so many calls of a row, but for that of its head, how they ended.

        *times*: the readings of the row.
        """
        known: dict[Any, Any] = {}
        for i in range(1, calls):
            value = row[0][i]
            if value is not DEAD:
                key = self.nodes[i].plan.index, 0
                known[key] = value if isinstance(value, RowPush) else self.ended(row, times, i)
        return known

    def ended(self, row: RowState, times: list[int], position: int) -> EndedCall:
        """Describe a call that has ended, and let its node know how long it took."""
        values, routes = row
        start, end = (t / 1e9 - self.runtime.origin for t in times[position : position + 2])
        self.nodes[position].memory.timed(end - start)
        routed, output = None, values[position]
        if position in routes:
            output, live = routes[position]
            routed = None if live is None else (values[position], live)
        known = self.attempt(row, position) == 0
        return EndedCall(output, routed, start, end, known=known)

    def broken(
        self, row: RowState, times: list[int], calls: int, error: BaseException | None
    ) -> Pending | None:
        """Describe the call with which a row ended early, if it was made.

        It gave a coroutine, or *error* is its own or that of a condition behind it.
        """
        if len(row[0]) > calls:
            return StartedCall(row[0][calls])
        if not is_of_call(error):
            return None
        start, now = times[-1] / 1e9 - self.runtime.origin, self.runtime.now()
        if calls in row[1]:
            verdict, failure = row[1][calls]
            return EndedCall(verdict, failure, start, now)
        return FailedCall(error, start, now)

    def attempt(self, row: RowState, position: int) -> int:
        """Give the number of the attempt that the call at that position was; 0: it was none."""
        return int(row[1].get(position, (None, ()))[1] is not None)

    def output(self, row: RowState, position: int) -> Any:
        """Give what the call at that position is reported to have given."""
        values, routes = row
        if position in routes:
            return routes[position][0]
        if position >= self.inner:
            return values[self._at[self._ins[self.nodes[position].plan.index][0].source]]
        return values[position]


def _call_in(turn: Turn, runner: ChainNode, payload: Any) -> Call:
    """Make what a call in a row is told of its place."""
    token: Call | None = turn.token
    if token is not None:
        return token if token.at is runner else Call(token.item, runner, payload, 0)
    row, messages = turn.done, turn.messages
    message = messages[row] if messages else None
    index = None if messages else turn.index + row
    return Call(RowItem(turn.first + row, message, index), runner, payload, 0)


def _merged(ways: Sequence[Callable[..., Any]]) -> Callable[[list[Any], Routes], Any]:
    def merge(values: list[Any], routes: Routes) -> Any:
        live = [p for p in [way(values, routes) for way in ways] if p is not DEAD]
        if len(live) > 1:
            raise NotCalled
        return live[0] if live else DEAD

    return merge


def _joined(
    names: Sequence[str], ways: Sequence[Callable[..., Any]]
) -> Callable[[list[Any], Routes], Any]:
    def join(values: list[Any], routes: Routes) -> Any:
        found = zip(names, [way(values, routes) for way in ways], strict=True)
        return {name: payload for name, payload in found if payload is not DEAD} or DEAD

    return join


def can_stand_in_row(runner: ChainNode, *, leaves: bool) -> bool:
    """Whether what a node gives decides all that comes of its call.

    *leaves*: the thread may be left to a call that is given up.
    """
    node, plan = runner.node, runner.plan
    other = node.reader or node.over is not None or plan.multi or plan.losers or plan.join != "all"
    if plan.branches and node.cache:  # what is kept is its verdict
        return False
    if runner.runtime.middleware or other or plan.cycle >= 0 or plan.handler >= 0:
        return False
    if node.timeout and (not leaves or node.cache or runner.gate or plan.branches):
        return False
    if runner.pushing is not None:
        alone = runner.careful or runner.gate or runner.outs
        return not alone and len(plan.sources) == 1
    return not runner.is_async


def _pass(payload: Any) -> Any:
    """Stand for a node without a function."""
    return payload
