"""When does each node of an item start and end, and its producer get released? A `Schedule`.

An item starts at 0 with its producer. A node starts when all its in-edges are settled
and one is live; a join="each" runs once for each live token, and of it the last run
counts. `schedule` follows this, linear in nodes and edges, without recursion.

Where a join does not wait for all, nodes share a `Limit`, or a start rule holds nodes back,
`play` lets an `Item` flow on integer time, as the engine will. Ends come in the order of time; at
one instant, first come, first served. A node that was open when it lost (at work, or a join at
which something waited) has an end, but no run: until then it was awaited as its run would have
been.

The release follows from a schedule by the rule of the await policy (`plan.await_sets`): the
producer is released when the last *awaited* node has ended, or at its own end when none is.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flownb.explain.durations import MICRO
from flownb.flow.item import Item
from flownb.flow.limiter import Limiter
from flownb.flow.scheduler import NodeRunner, Scheduler
from flownb.flow.token import Token, join_runs
from flownb.plan.await_sets import RULES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flownb.explain.choices import Choice
    from flownb.model.policies import AwaitPolicy, Limit
    from flownb.plan.await_sets import AwaitRule
    from flownb.plan.loop_plan import LoopPlan, PlanEdge, PlanNode

NEVER = -1


@dataclass(frozen=True, slots=True)
class Schedule:
    """One item, by node number, in microseconds since its producer started.

    `end` is the end of the last run, -1 for a node that does not run; `runs` counts
    them (0 with an end: it lost while it was open); `because` is the node whose end let
    this one start, or lose, -1 for the producer; `late` are the edges along which
    something came when their join had run already. `played`: a start rule or a limit may
    have kept a run waiting for more than its inputs.
    """

    plan: LoopPlan
    choice: Choice
    lasts: Sequence[int]
    end: list[int]
    runs: list[int]
    because: list[int]
    late: frozenset[tuple[int, int]] = frozenset()
    played: bool = False

    def live(self, v: int) -> Sequence[PlanEdge]:
        """Give the edges out of a node that ran along which something came in time."""
        live = live_edges(self.plan, self.choice, v) if self.runs[v] else ()
        return [e for e in live if (v, e.target) not in self.late] if self.late else live

    @property
    def settled(self) -> int:
        """When the last node ends."""
        return max(self.end)

    def chain(self, v: int) -> list[int]:
        """Give the nodes that ran one because of the other, from the producer to *v*."""
        found, seen = [], set()
        while v >= 0 and v not in seen:  # what ran twice may have let itself start
            seen.add(v)
            if self.runs[v]:
                found.append(v)
            v = self.because[v]
        return found[::-1]


def live_edges(plan: LoopPlan, choice: Choice, v: int) -> Sequence[PlanEdge]:
    """Give the edges out of node *v* that are live under this choice."""
    option = choice.get(v)
    outs = plan.nodes[v].outs
    return outs if option is None else [e for e in outs if e.target in option.targets]


def lasts_of(plan: LoopPlan, us: Mapping[str, int]) -> list[int]:
    """Give the microseconds of each node by number."""
    return [us[n.name] for n in plan.nodes]


def schedule(plan: LoopPlan, lasts: Sequence[int], choice: Choice) -> Schedule:
    """Follow one item through its loop."""
    size = len(plan.nodes)
    start, runs, live_ins = [0] * size, [0] * size, [0] * size
    end, because = [NEVER] * size, [NEVER] * size
    live_ins[0] = 1
    for v, node in enumerate(plan.nodes):
        settled = start[v]
        if live_ins[v]:
            runs[v] = live_ins[v] if node.multi else int(join_runs(None, live_ins[v], 0) is True)
            settled = end[v] = start[v] + lasts[v]
        live = {e.target for e in live_edges(plan, choice, v)} if runs[v] else ()
        for edge in node.outs:
            w = edge.target
            multi, alive = plan.nodes[w].multi, w in live
            if alive:
                live_ins[w] += runs[v]
            if (alive or not multi) and (because[w] < 0 or settled > start[w]):
                start[w], because[w] = settled, v
    return Schedule(plan, choice, lasts, end, runs, because)


@dataclass(frozen=True, slots=True)
class Release:
    """The release of one item: microseconds, the awaited nodes, the chain that took so long.

    `awaited` and `chain` are node numbers; the chain starts with the producer.
    """

    us: int
    awaited: tuple[int, ...]
    chain: tuple[int, ...]


def release(it: Schedule, policy: AwaitPolicy) -> Release:
    """Say when the producer of this item is released under *policy*."""
    ends = _awaited_ends(it, policy)
    ends[0] = NEVER
    last = max(range(len(ends)), key=lambda v: (ends[v], -v))
    if ends[last] <= it.end[0]:
        last = 0
    awaited = tuple(v for v, end in enumerate(ends) if end >= 0)
    return Release(max(it.end[0], ends[last]), awaited, tuple(it.chain(last)))


def _awaited_ends(it: Schedule, policy: AwaitPolicy) -> list[int]:
    """Give the end of the last run of each node that is awaited, -1 where none is."""
    rule, has_blocking = RULES[policy], [n.has_blocking for n in it.plan.nodes]
    if not rule.if_ran:
        return _followed(it, rule, has_blocking)
    while_one_may_run = _followed(it, RULES["blocking"], has_blocking)
    return [*map(max, while_one_may_run, _followed(it, rule, _has_blocking_that_ran(it)))]


def _followed(it: Schedule, rule: AwaitRule, has_blocking: Sequence[bool]) -> list[int]:
    nodes, lasts = it.plan.nodes, it.lasts
    reached, ends = [NEVER] * len(nodes), [NEVER] * len(nodes)
    (here, later), goes_on = rule.table
    begins = any(here)
    for v, node in enumerate(nodes):
        on, end = False, it.end[v]
        if reached[v] >= 0:
            if node.multi and not it.played:
                end = reached[v] + lasts[v]
            ends[v], on = end, goes_on[node.node.is_non_blocking]
        if on or begins:
            for edge in it.live(v):
                w = edge.target
                if end > reached[w] and (on or here[has_blocking[w]]):
                    reached[w] = end
        here, begins = later, any(later) if v == 0 else begins
    return ends


def _has_blocking_that_ran(it: Schedule) -> list[bool]:
    """Mark the nodes that ran with a blocking node that ran, themselves or behind them."""
    nodes = it.plan.nodes
    found = [False] * len(nodes)
    for v in range(len(nodes) - 1, -1, -1):
        if it.runs[v]:
            found[v] = nodes[v].node.is_blocking or any(found[e.target] for e in it.live(v))
    return found


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


def _limiter(limit: Limit) -> Limiter[_Call]:
    """Give what a `Limit` decides, in microseconds."""
    gap = round(MICRO / limit.per_second) if limit.per_second else None
    return Limiter(limit.concurrency, gap)


class _Seat(NodeRunner):
    """One node, as its item knows it."""

    passes = straight = smooth = crewed = False

    def __init__(self, plan: PlanNode, limiters: dict[int, Limiter[_Call]]) -> None:
        self.plan, self.name, self.node, self.outs = plan, plan.name, plan.node, plan.outs
        self.counts = len(plan.sources) > 1 and plan.join != "each"
        limit = plan.node.limit
        self.limiter = None
        if limit is not None:
            self.limiter = limiters.setdefault(id(limit), _limiter(limit))


class _Call(Token):
    """One call of a node, to come or under way; `entered`: it holds a place in its `Limit`."""

    __slots__ = ("entered",)
    at: _Seat

    def __init__(self, item: Any, at: _Seat, payload: Any, mask: int, visit: int = 0) -> None:
        super().__init__(item, at, payload, mask, visit)
        self.entered = False


class _Play(Scheduler):
    """One item under way; `cause` is the node whose end is being followed."""

    hooks = resumed = error = None
    watched = False

    def __init__(self, plan: LoopPlan, lasts: Sequence[int], choice: Choice) -> None:
        self.plan, self.lasts, self.choice = plan, lasts, choice
        size, limiters = len(plan.nodes), dict[int, Limiter[_Call]]()
        self.end, self.because, self.runs = [NEVER] * size, [NEVER] * size, [0] * size
        self.seats = [_Seat(node, limiters) for node in plan.nodes]
        self.ready: deque[_Call] = deque()
        self.waiting = self.ready
        self.due: list[tuple[int, int, _Call]] = []
        self.time = self.count = 0
        self.cause = NEVER
        self.ending: Token | None = None
        self.reached: set[int] = set()
        self.item = Item(self, self.seats, 0, None)

    def run(self) -> Schedule:
        self.time = self.lasts[0]
        self._ran(0)
        self.item.launch(self._live(0))
        while self.ready or self.due:
            if self.ready:
                self._start(self.ready.popleft())
            else:
                self.time, _, call = heapq.heappop(self.due)
                self._ended(call)
        return Schedule(
            self.plan, self.choice, self.lasts, self.end, self.runs, self.because,
            frozenset(self._late()), played=True,
        )  # fmt: skip

    def _ran(self, v: int) -> None:
        self.cause = v
        self.end[v] = self.time
        self.runs[v] += 1

    def _live(self, v: int) -> list[PlanEdge]:
        return list(live_edges(self.plan, self.choice, v))

    def _late(self) -> list[tuple[int, int]]:
        """Give the edges along which something came too late."""
        edges = [e for v, runs in enumerate(self.runs) if runs for e in self._live(v)]
        return [(e.source, e.target) for e in edges if not self._came(e)]

    def _came(self, edge: PlanEdge) -> bool:
        if not self.seats[edge.target].counts:
            return edge.target in self.reached
        join = self.item.joins.get(edge.target)
        return join is not None and self.seats[edge.source].name in join.live

    # -- one call --------------------------------------------------------------

    def _start(self, call: _Call) -> None:
        if call.cancelled:
            return
        if call.at.limiter is None:
            self._begin(call)
        else:
            call.at.limiter.wait(call, None, 0)
            self._admit(call.at.limiter)

    def _admit(self, limiter: Limiter[_Call]) -> None:
        while limiter.first is not None and not limiter.is_full:
            call, start = limiter.start_next(self.time)
            call.entered = True
            self._begin(call, int(start) - self.time)

    def _begin(self, call: _Call, later: int = 0) -> None:
        v = call.at.plan.index
        self.because[v] = self.cause
        self.count += 1
        if later + self.lasts[v] or call.entered:
            heapq.heappush(self.due, (self.time + later + self.lasts[v], self.count, call))
        else:
            self._ended(call)

    def _ended(self, call: _Call) -> None:
        if call.cancelled:
            return
        self.ending = call
        self._ran(call.at.plan.index)
        self._leave(call)
        self.item.ended(call, None, self._live(call.at.plan.index))

    def _leave(self, call: _Call) -> None:
        if call.entered and call.at.limiter is not None:
            call.entered = False
            call.at.limiter.end()
            self._admit(call.at.limiter)

    # -- what the item asks for ------------------------------------------------

    def token(self, item: Any, at: Any, payload: Any, mask: int, visit: int = 0) -> _Call:
        self.reached.add(at.plan.index)
        return _Call(item, at, payload, mask, visit)

    def _nothing(self, *_: Any) -> None:
        """Do nothing: in a play nobody is released, and nothing fails."""

    released = settled = unthrottled = failed = failure = skipped = crash = _nothing

    def now(self) -> float:
        return self.time

    def may_release(self, _: Any) -> bool:
        return True

    def abandon(self, token: _Call) -> None:
        """Give up a call that was open until now, and will not have run."""
        if token is self.ending:
            return
        v = token.at.plan.index
        token.cancelled = True
        self.end[v], self.because[v] = self.time, self.cause
        if token.at.limiter is not None:
            token.at.limiter.forget(token, None)
        self._leave(token)
