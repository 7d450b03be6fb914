"""When does each node of one item start, if more than its inputs decides that? It is played.

`play` goes through one item, event by event, as the engine will: for loops in which a
join does not wait for all, nodes share a `Limit`, or a start rule holds nodes back. Ends
come in the order of time; at one instant, first come, first served. `schedule` gives the
same without events where none of this is so.

A node that was open when it lost (at work, or a join at which something waited) has an
end, but no run: until then it was awaited as its run would have been.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from flownb.explain.durations import MICRO
from flownb.explain.schedule import NEVER, Schedule, live_edges
from flownb.flow.start_order import order_of

if TYPE_CHECKING:
    from flownb.explain.choices import Choice
    from flownb.model.policies import Limit
    from flownb.plan.loop_plan import LoopPlan, PlanEdge, PlanNode


def needs_play(plan: LoopPlan) -> bool:
    """Whether more than the inputs of a node decides when it starts."""
    held = Counter(id(n.node.limit) for n in plan.nodes if n.node.limit is not None)
    many = any(n.multi and n.node.limit is not None for n in plan.nodes)
    early = any(n.join not in ("all", "each") for n in plan.nodes)
    ordered = plan.options.start_rule != "dataflow" or plan.max_concurrency is not None
    return early or ordered or many or any(count > 1 for count in held.values())


def play(plan: LoopPlan, lasts: Sequence[int], choice: Choice) -> Schedule:
    """Follow one item through its loop."""
    return _Play(plan, lasts, choice).run()


class _Gate:
    """A `Limit`, for the calls of one item."""

    def __init__(self, limit: Limit) -> None:
        self.room = limit.concurrency or 1 << 30
        self.gap = round(MICRO / limit.per_second) if limit.per_second else 0
        self.next_start = 0
        self.waiting: deque[_Call] = deque()


class _Seat:
    """One node, and what its join has got so far."""

    def __init__(self, plan: PlanNode, gates: dict[int, _Gate]) -> None:
        self.plan = plan
        limit = plan.node.limit
        self.gate = None if limit is None else gates.setdefault(id(limit), _Gate(limit))
        self.counts = len(plan.sources) > 1 and plan.join != "each"
        self.needed = {"all": None, "first": 1}.get(plan.join, plan.join)  # type: ignore[arg-type]
        self.left, self.came = len(plan.sources), 0
        self.decided = self.lost = False
        self.call: _Call | None = None

    def verdict(self) -> bool | None:
        """Whether the join runs (True), is bypassed (False), or still waits (None)."""
        if not isinstance(self.needed, int):
            return None if self.left else self.came > 0
        if self.came >= self.needed:
            return True
        return False if self.came + self.left < self.needed else None


class _Call:
    """One call of a node, to come or under way."""

    __slots__ = ("admitted", "at", "cancelled", "entered")

    def __init__(self, at: _Seat) -> None:
        self.at = at
        self.admitted = self.cancelled = self.entered = False


class _Play:
    """One item under way; `cause` is the node whose end is being followed."""

    def __init__(self, plan: LoopPlan, lasts: Sequence[int], choice: Choice) -> None:
        self.plan, self.lasts, self.choice = plan, lasts, choice
        size, gates = len(plan.nodes), dict[int, _Gate]()
        self.end, self.because, self.runs = [NEVER] * size, [NEVER] * size, [0] * size
        self.late: set[tuple[int, int]] = set()
        self.seats = [_Seat(node, gates) for node in plan.nodes]
        self.order = order_of(plan)
        self.open: dict[_Call, None] = {}
        self.ready: deque[_Call] = deque()
        self.due: list[tuple[int, int, _Call]] = []
        self.now = self.count = 0
        self.cause = NEVER

    def run(self) -> Schedule:
        self._begin(_Call(self.seats[0]))
        while self.ready or self.due:
            if self.ready:
                self._start(self.ready.popleft())
            else:
                self.now, _, call = heapq.heappop(self.due)
                self._ended(call)
        return Schedule(
            self.plan, self.choice, self.lasts, self.end, self.runs, self.because,
            frozenset(self.late), played=True,
        )  # fmt: skip

    # -- one call --------------------------------------------------------------

    def _offer(self, call: _Call) -> None:
        """Its inputs are there: it starts now, or when the start rule lets it."""
        self.open[call] = None
        if self.order is not None and call.at.plan.awaited:
            self.order.offer(call)
        else:
            self.ready.append(call)

    def _start(self, call: _Call) -> None:
        if call.cancelled:
            return
        if call.at.gate is None:
            self._begin(call)
        else:
            call.at.gate.waiting.append(call)
            self._admit(call.at.gate)

    def _admit(self, gate: _Gate) -> None:
        while gate.waiting and gate.room:
            call = gate.waiting.popleft()
            start = max(self.now, gate.next_start)
            gate.room, gate.next_start = gate.room - 1, start + gate.gap
            call.entered = True
            self._begin(call, start - self.now)

    def _begin(self, call: _Call, later: int = 0) -> None:
        v = call.at.plan.index
        self.because[v] = self.cause
        self.count += 1
        if later + self.lasts[v] or call.entered:
            heapq.heappush(self.due, (self.now + later + self.lasts[v], self.count, call))
        else:
            self._ended(call)

    def _ended(self, call: _Call) -> None:
        if call.cancelled:
            return
        v = self.cause = call.at.plan.index
        self.end[v] = self.now
        self.runs[v] += 1
        self._leave(call)
        self._close(call)
        live = {id(e) for e in live_edges(self.plan, self.choice, v)}
        for edge in call.at.plan.outs:
            if id(edge) in live:
                self._deliver(edge)
            elif call.at.plan.join_behind:
                self._kill((edge,))
        self.ready.extend(self.order.turn() if self.order is not None else ())

    def _leave(self, call: _Call) -> None:
        if call.entered and call.at.gate is not None:
            call.entered = False
            call.at.gate.room += 1
            self._admit(call.at.gate)

    def _close(self, call: _Call) -> None:
        self.open.pop(call, None)
        if self.order is not None:
            self.order.closed(call)

    def _give_up(self, call: _Call) -> None:
        """It was open until now, and will not have run."""
        v = call.at.plan.index
        call.cancelled = True
        self.end[v], self.because[v] = self.now, self.cause
        if call.at.gate is not None and call in call.at.gate.waiting:
            call.at.gate.waiting.remove(call)
        self._leave(call)
        self._close(call)

    # -- joins -----------------------------------------------------------------

    def _deliver(self, edge: PlanEdge) -> None:
        at = self.seats[edge.target]
        if at.lost or at.decided:
            self.late.add((edge.source, edge.target))
            at.left -= 1
        elif not at.counts:
            self._offer(_Call(at))
        else:
            at.left, at.came = at.left - 1, at.came + 1
            if at.call is None:
                at.call = _Call(at)
                self.open[at.call] = None
            if self._decided(at) is False:
                self._kill(at.plan.outs)

    def _decided(self, at: _Seat) -> bool | None:
        verdict = None if at.decided else at.verdict()
        at.decided = at.decided or verdict is not None
        if verdict and at.call is not None:
            self._offer(at.call)
            self._lose(at.plan.losers)
        elif verdict is False and at.call is not None:
            self._give_up(at.call)
        return verdict

    def _lose(self, nodes: Collection[int]) -> None:
        for v in nodes:
            self.seats[v].lost = self.seats[v].decided = True
        for call in [c for c in self.open if c.at.lost]:
            self._give_up(call)

    def _kill(self, edges: Sequence[PlanEdge]) -> None:
        """Tell the joins behind dead edges; a node with one dead in-edge is bypassed."""
        stack = [*reversed(edges)]
        while stack:
            at = self.seats[stack.pop().target]
            at.left -= 1
            bypassed = self._decided(at) is False if at.counts else not at.plan.multi
            if bypassed:
                stack.extend(reversed(at.plan.outs))
