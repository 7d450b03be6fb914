"""When does each node of one item start, if nodes of the item share a `Limit`?

A small rehearsal of one item: nodes become ready as in `course`, and then wait until
their limit lets them in, first come, first served.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from flownb.analysis.course import NEVER, Course, course
from flownb.analysis.durations import MICRO

if TYPE_CHECKING:
    from flownb.analysis.plan import LoopPlan
    from flownb.analysis.verdicts import Choice
    from flownb.model.policies import Limit


def is_gated(plan: LoopPlan) -> bool:
    """Whether two nodes share a limit, in a loop whose joins all wait for all."""
    held = [id(n.node.limit) for n in plan.nodes if n.node.limit is not None]
    plain = all(n.join == "all" and not n.multi for n in plan.nodes)
    return plain and len(set(held)) < len(held)


def gated(plan: LoopPlan, lasts: Sequence[int], choice: Choice) -> Course:
    """Follow one item through its loop, waiting for limits."""
    return _Rehearsal(course(plan, lasts, choice)).run()


class _Gate:
    def __init__(self, limit: Limit) -> None:
        self.room = limit.concurrency or 1 << 30
        self.gap = round(MICRO / limit.per_second) if limit.per_second else 0
        self.next_start = 0
        self.queue: deque[int] = deque()
        self.last = NEVER  # who made room


class _Rehearsal:
    """One item under way; `free` is what it would be without limits."""

    def __init__(self, free: Course) -> None:
        self.plan, self.free = free.plan, free
        size = len(self.plan.nodes)
        self.end, self.because = [NEVER] * size, [NEVER] * size
        self.left = [len(n.sources) for n in self.plan.nodes]
        self.gates = {
            id(n.node.limit): _Gate(n.node.limit) for n in self.plan.nodes if n.node.limit
        }
        self.due: list[tuple[int, int, int]] = []
        self.order = 0

    def run(self) -> Course:
        self.ready(0, 0)
        while self.due:
            now, _, v = heapq.heappop(self.due)
            self.ended(now, v)
        free = self.free
        return Course(free.plan, free.choice, free.lasts, self.end, free.runs, self.because)

    def ready(self, now: int, v: int) -> None:
        gate = self.gates.get(id(self.plan.nodes[v].node.limit))
        if gate is None or not self.free.runs[v]:
            self.start(now, v)
        else:
            gate.queue.append(v)
            self.admit(now, gate)

    def admit(self, now: int, gate: _Gate) -> None:
        while gate.queue and gate.room:
            v, gate.room = gate.queue.popleft(), gate.room - 1
            start = max(now, gate.next_start)
            gate.next_start = start + gate.gap
            if gate.last >= 0:
                self.because[v] = gate.last
            self.start(start, v)

    def start(self, now: int, v: int) -> None:
        self.order += 1
        lasts = self.free.lasts[v] if self.free.runs[v] else 0
        heapq.heappush(self.due, (now + lasts, self.order, v))

    def ended(self, now: int, v: int) -> None:
        if self.free.runs[v]:
            self.end[v] = now
        gate = self.gates.get(id(self.plan.nodes[v].node.limit))
        if gate is not None and self.free.runs[v]:
            gate.room, gate.last = gate.room + 1, v
            self.admit(now, gate)
            gate.last = NEVER
        for edge in self.plan.nodes[v].outs:
            self.left[edge.target] -= 1
            if not self.left[edge.target]:
                self.because[edge.target] = v
                self.ready(now, edge.target)
