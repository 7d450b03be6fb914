"""How does a run go round a cycle? In passes, one after the other.

A cycle is a strongly connected component of the graph. Its first pass is the graph without its
back edges. A pass is over when each of its nodes has ended or is bypassed; what was sent over
back edges then starts the next one, in which joins wait only for what this pass can still bring.
When a pass sent nothing back, the edges that leave the cycle settle: live with the last payload
sent, else dead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flownb.flow.scheduler import NodeRunner
    from flownb.plan.loop_plan import PlanEdge, PlanNode

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


class Cycles:
    """The cycles of one run: what is sent back or out is held until a pass is over."""

    __slots__ = ("_cycles", "_runners", "over")

    def __init__(self, members: Sequence[Sequence[int]], runners: Sequence[NodeRunner]) -> None:
        self._cycles = [Cycle(each, runners) for each in members]
        self._runners = runners
        self.over: list[Cycle] = []
        """Those whose pass is over, with nothing done about it yet."""

    def of(self, plan: PlanNode) -> Cycle:
        """Give the cycle that a node is in."""
        return self._cycles[plan.cycle]

    def holding(self, edge: PlanEdge) -> Cycle | None:
        """Give the cycle that holds an edge back until its pass is over."""
        number = self._runners[edge.source].plan.cycle
        if number >= 0 and (edge.back or self._runners[edge.target].plan.cycle != number):
            return self._cycles[number]
        return None

    def inputs(self, plan: PlanNode) -> int | None:
        """Count the inputs that a node waits for in this pass; None where the plan says it."""
        if plan.cycle < 0 or not self._cycles[plan.cycle].passes:
            return None
        return self._cycles[plan.cycle].wanted[plan.index]

    def settle(self, plan: PlanNode) -> None:
        """Count a node that ended or is bypassed; the last one ends the pass."""
        if plan.cycle >= 0:
            cycle = self._cycles[plan.cycle]
            cycle.left -= 1
            if cycle.left == 0:
                self.over.append(cycle)
