"""In which order may the awaited nodes of one item start? By its loop's `start_rule`.

"dataflow" (the default) needs nothing of this: a node starts when its inputs are there.
"level" holds a node back while an awaited node of a lower level is still at work;
"sequential" lets one awaited node work at a time, in the order of the plan. With
`max_concurrency` (one-shot runs) that many work at a time, those with the longest
remaining way first.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import Counter
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from flownb.plan.loop_plan import LoopPlan, PlanNode


class At(Protocol):
    """Where a call is to be made."""

    @property
    def plan(self) -> PlanNode:
        """The node as it was compiled."""


class Offered(Protocol):
    """A call that may have to wait for its turn."""

    admitted: bool
    cancelled: bool

    @property
    def at(self) -> At:
        """Its node."""


Call = TypeVar("Call", bound=Offered)


def order_of(plan: LoopPlan) -> Order[Any] | None:
    """Give what holds the nodes of a new item back, if anything does."""
    rule = plan.options.start_rule
    if rule == "dataflow" and plan.max_concurrency is None:
        return None
    return Order(rule, 1 if rule == "sequential" else plan.max_concurrency)


class Order(Generic[Call]):
    """Holds the calls of one item back until it is their turn."""

    def __init__(self, rule: str, at_once: int | None = None) -> None:
        self._rule = rule
        self._limit = math.inf if at_once is None else at_once
        self._waiting: list[tuple[tuple[float, ...], int, Call]] = []
        self._count = itertools.count()
        self._at_work: Counter[float] = Counter()  # level: how many

    def offer(self, call: Call) -> None:
        """Keep a call whose inputs are there."""
        heapq.heappush(self._waiting, (self._rank(call.at.plan), next(self._count), call))

    def _rank(self, plan: PlanNode) -> tuple[float, ...]:
        if self._rule == "sequential":
            return 0, plan.index
        urgency = 0.0 if self._limit == math.inf else plan.remaining
        return self._level(plan), -urgency, plan.index

    def _level(self, plan: PlanNode) -> float:
        return plan.level if self._rule == "level" else 0

    def closed(self, call: Call) -> None:
        """Count a call that has ended, if it had had its turn."""
        if call.admitted:
            level = self._level(call.at.plan)
            self._at_work[level] -= 1
            if not self._at_work[level]:
                del self._at_work[level]

    def turn(self) -> list[Call]:
        """Give the calls that may start now, when all that was offered is known."""
        turn: list[Call] = []
        while self._waiting and self._may_start(self._waiting[0][0][0]):
            call = heapq.heappop(self._waiting)[-1]
            if not call.cancelled:
                call.admitted = True
                self._at_work[self._level(call.at.plan)] += 1
                turn.append(call)
        return turn

    def _may_start(self, level: float) -> bool:
        busy = self._at_work
        return busy.total() < self._limit and level <= min(busy, default=level)
