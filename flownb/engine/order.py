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
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flownb.analysis.plan import LoopPlan, PlanNode
    from flownb.engine.item import Token


def order_of(plan: LoopPlan) -> Order | None:
    """Give what holds the nodes of a new item back, if anything does."""
    rule = plan.options.start_rule
    if rule == "dataflow" and plan.max_concurrency is None:
        return None
    return Order(rule, 1 if rule == "sequential" else plan.max_concurrency)


class Order:
    """Holds the tokens of one item back until it is their turn."""

    def __init__(self, rule: str, at_once: int | None = None) -> None:
        self._rule = rule
        self._limit = math.inf if at_once is None else at_once
        self._waiting: list[tuple[tuple[float, ...], int, Token]] = []
        self._count = itertools.count()
        self._at_work: Counter[float] = Counter()  # level: how many

    def offer(self, token: Token) -> None:
        """Keep a token whose inputs are there."""
        heapq.heappush(self._waiting, (self._rank(token.at.plan), next(self._count), token))

    def _rank(self, plan: PlanNode) -> tuple[float, ...]:
        if self._rule == "sequential":
            return 0, plan.index
        urgency = 0.0 if self._limit == math.inf else plan.remaining
        return self._level(plan), -urgency, plan.index

    def _level(self, plan: PlanNode) -> float:
        return plan.level if self._rule == "level" else 0

    def closed(self, token: Token) -> None:
        """Count a token that has ended, if it had had its turn."""
        if token.admitted:
            level = self._level(token.at.plan)
            self._at_work[level] -= 1
            if not self._at_work[level]:
                del self._at_work[level]

    def turn(self) -> list[Token]:
        """Give the tokens that may start now, when all that was offered is known."""
        turn: list[Token] = []
        while self._waiting and self._may_start(self._waiting[0][0][0]):
            token = heapq.heappop(self._waiting)[-1]
            if not token.cancelled:
                token.admitted = True
                self._at_work[self._level(token.at.plan)] += 1
                turn.append(token)
        return turn

    def _may_start(self, level: float) -> bool:
        busy = self._at_work
        return busy.total() < self._limit and level <= min(busy, default=level)
