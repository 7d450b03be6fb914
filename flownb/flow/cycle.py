"""How does a run go round a cycle? In passes, one after the other.

A cycle is a strongly connected component of the graph. Its first pass is the graph without its
back edges. A pass is over when each of its nodes has ended or is bypassed; what was sent over
back edges then starts the next one, in which joins wait only for what this pass can still bring.
When a pass sent nothing back, the edges that leave the cycle settle: live with the last payload
sent, else dead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flownb.errors import IterationLimit
from flownb.flow.item import Item

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flownb.flow.scheduler import NodeRunner, Scheduler
    from flownb.flow.token import Join, Token
    from flownb.plan.loop_plan import Once, PlanEdge

Arrivals = list[tuple["PlanEdge", Any]]


class Cycle:
    """Where one cycle of a run stands: `wanted` inputs of each node of this pass."""

    __slots__ = (
        "_inner", "_routes", "_sent", "back", "failed", "leaving", "left", "members", "passes",
        "wanted",
    )  # fmt: skip

    def __init__(self, members: Sequence[int], runners: Sequence[NodeRunner]) -> None:
        inside = set(members)
        self.members = members
        self._inner = {
            v: [e.target for e in runners[v].outs if e.target in inside and not e.back]
            for v in members
        }
        self.leaving = [e for v in members for e in runners[v].outs if e.target not in inside]
        self.passes, self.left, self.failed = 0, len(members), False
        self.wanted: dict[int, int] = {}
        self.back: dict[int, Arrivals] = {}
        self._sent: dict[tuple[int, int], Any] = {}
        self._routes: dict[tuple[int, ...], dict[int, int]] = {}

    def sent(self, edge: PlanEdge, payload: Any) -> None:
        """Keep what was sent back, or out, until the pass is over."""
        if edge.back:
            self.back.setdefault(edge.target, []).append((edge, payload))
        else:
            self._sent[edge.source, edge.target] = payload

    def outgoing(self) -> tuple[Arrivals, list[PlanEdge]]:
        """Give what leaves at last, and the edges that nothing was sent over."""
        if self.failed:
            return [], self.leaving
        key = [(e.source, e.target) for e in self.leaving]
        live = [
            (e, self._sent[k]) for e, k in zip(self.leaving, key, strict=True) if k in self._sent
        ]
        return live, [e for e, k in zip(self.leaving, key, strict=True) if k not in self._sent]

    def next_pass(self) -> dict[int, Arrivals]:
        """Begin the next pass: give what starts where; nothing, when it goes round no more."""
        starts = {} if self.failed else {v: self.back[v] for v in self.members if v in self.back}
        self.back = {}
        if starts:
            self.passes += 1
            among = tuple(starts)
            if among not in self._routes:
                self._routes[among] = self._inputs(starts)
            self.wanted = self._routes[among]
            self.left = len(self.wanted)
        return starts

    def _inputs(self, starts: dict[int, Arrivals]) -> dict[int, int]:
        """Count the inputs that each node of a pass from *starts* will get."""
        wanted = dict.fromkeys(starts, 1)
        stack = list(starts)
        while stack:
            for w in self._inner[stack.pop()]:
                if w not in wanted:
                    wanted[w] = 0
                    stack.append(w)
                wanted[w] += 1
        return wanted


class Rounds(Item):
    """An item whose graph may have cycles; everything of it is awaited."""

    __slots__ = ("_over", "cycles", "once")

    def __init__(
        self,
        loop: Scheduler,
        runners: Sequence[NodeRunner],
        iteration: int,
        payload: Any,
        once: Once,
    ) -> None:
        super().__init__(loop, runners, iteration, payload)
        self.once = once
        self.cycles = [Cycle(members, runners) for members in once.cycles]
        self._over: list[Cycle] = []

    def check(self) -> None:
        """Go on with the cycles whose pass is over; then release and settle as ever."""
        if self._over:
            for cycle in self._over:
                self._pass_over(cycle)
            self._over.clear()
        if not self.open or self.order is not None:
            super().check()

    def _release(self) -> None:
        if not self.open:
            self.released = True
            self.loop.released(self)

    def _open(self, token: Token) -> None:
        self.open[token] = None

    def _cycle_of(self, edge: PlanEdge) -> Cycle | None:
        """Give the cycle that holds an edge back until its pass is over."""
        number = self.runners[edge.source].plan.cycle
        if number >= 0 and (edge.back or self.runners[edge.target].plan.cycle != number):
            return self.cycles[number]
        return None

    def _deliver(self, edge: PlanEdge, payload: Any, mask: int) -> None:  # noqa: ARG002
        if edge.target in self.lost:
            return
        cycle = self._cycle_of(edge)
        if cycle is not None:
            cycle.sent(edge, payload)
        else:
            self._reach(edge, payload)

    def _reach(self, edge: PlanEdge, payload: Any) -> None:
        target = self.runners[edge.target]
        if edge.copy:
            payload = self._copied(edge, payload)
        if self._counts(target):
            self._arrive(self._join(target), edge, payload, 1)
        else:
            self._begin(target, payload)

    def _begin(self, target: NodeRunner, payload: Any) -> None:
        """Start a node on what came over its one edge."""
        raise NotImplementedError

    def _counts(self, target: NodeRunner) -> bool:
        """Whether the node waits for several inputs, in this pass of its cycle."""
        if target.plan.cycle < 0 or not self.cycles[target.plan.cycle].passes:
            return target.counts
        return self.cycles[target.plan.cycle].wanted[target.plan.index] > 1

    def _join(self, target: NodeRunner) -> Join:
        join = self.joins.get(target.plan.index)
        if join is None:
            join = super()._join(target)
            if target.plan.cycle >= 0 and self.cycles[target.plan.cycle].passes:
                join.left = self.cycles[target.plan.cycle].wanted[target.plan.index]
        return join

    def _visit(self, target: NodeRunner) -> int:
        if not target.plan.multi and target.plan.cycle < 0:
            return 0
        visit = self.visits.get(target.plan.index, 0)
        self.visits[target.plan.index] = visit + 1
        return visit

    def _may_run(self, token: Token) -> bool:
        """Whether the node may run once more; if not the run is over."""
        most = token.at.node.max_iterations or self.once.most
        if token.visit < most or token.at.plan.cycle < 0:
            return True
        self.loop.crash(IterationLimit(self.loop.plan.graph, token.at.name, most))
        return False

    # -- dead ways -------------------------------------------------------------

    def _kill(self, edges: Sequence[PlanEdge], *, failed: bool) -> None:
        self._kill_all([(e, failed) for e in reversed(edges) if self._cycle_of(e) is None])

    def _kill_all(self, stack: list[tuple[PlanEdge, bool]]) -> None:
        while stack:
            edge, mark = stack.pop()
            target = self.runners[edge.target]
            passed: bool | None = mark
            if self._counts(target):
                passed = self._kill_edge(target, self._join(target), mark=mark)
            elif not target.plan.join_behind or target.plan.multi:
                continue
            else:
                self._settle(target)
            if passed is not None:
                outs = [e for e in reversed(target.outs) if self._cycle_of(e) is None]
                stack.extend((e, passed) for e in outs)

    def _kill_edge(self, target: NodeRunner, join: Join, *, mark: bool) -> bool | None:
        had_token = join.token is not None
        passed = super()._kill_edge(target, join, mark=mark)
        if passed is not None and not had_token:
            self._settle(target)
        return passed

    def close(self, token: Token) -> None:
        """Take a token out of the books, and out of the pass of its cycle.

        One call of many over a list does not settle its node.
        """
        if self.open.pop(token, self) is not self and self.order is not None:
            self.order.closed(token)
        if token.at.plan.cycle >= 0 and token.gathering is None:
            self._settle(token.at)

    def _settle(self, runner: NodeRunner) -> None:
        """Count a node that ended or is bypassed; the last one ends the pass."""
        if runner.plan.cycle >= 0:
            cycle = self.cycles[runner.plan.cycle]
            cycle.left -= 1
            if cycle.left == 0:
                self._over.append(cycle)

    # -- the next pass ---------------------------------------------------------

    def _pass_over(self, cycle: Cycle) -> None:
        starts = cycle.next_pass()
        for index in cycle.wanted if starts else ():
            self.joins.pop(index, None)
        for index, arrivals in starts.items():
            self._enter(cycle, self.runners[index], arrivals)
        if not starts:
            live, dead = cycle.outgoing()
            for edge, payload in live:
                self._reach(edge, payload)
            self._kill_all([(e, cycle.failed) for e in reversed(dead)])

    def _enter(self, cycle: Cycle, target: NodeRunner, arrivals: Arrivals) -> None:
        """Let what came back start a node, or be one input of a join."""
        extra = len(arrivals) - 1
        if cycle.wanted[target.plan.index] + extra == 1:
            self._reach(*arrivals[0])
            return
        join = self._join(target)
        join.left += extra
        for edge, payload in arrivals:
            self._arrive(join, edge, payload, 1)
