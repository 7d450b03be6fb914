"""In which order may the awaited nodes of one item start? By its loop's `start_rule`.

"dataflow" (the default) needs nothing of this: a node starts when its inputs are there.
"level" holds a node back while an awaited node of a lower level is still at work;
"sequential" lets one awaited node work at a time, in the order of the plan.
"""

from __future__ import annotations

import heapq
import itertools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flownb.engine.item import Token
    from flownb.model.policies import StartRule


class Order:
    """Holds the tokens of one item back until it is their turn."""

    def __init__(self, rule: StartRule) -> None:
        self._by_level = rule == "level"
        self._waiting: list[tuple[int, int, int, Token]] = []
        self._count = itertools.count()
        self._at_work = 0
        self._level = 0

    def offer(self, token: Token) -> None:
        """Keep a token whose inputs are there."""
        plan = token.at.plan
        place = plan.level if self._by_level else plan.index
        heapq.heappush(self._waiting, (place, plan.index, next(self._count), token))

    def closed(self, token: Token) -> None:
        """Count a token that has ended, if it had had its turn."""
        self._at_work -= token.admitted

    def turn(self) -> list[Token]:
        """Give the tokens that may start now, when all that was offered is known."""
        turn: list[Token] = []
        if not self._at_work and self._waiting:
            self._level = self._waiting[0][0]
        while self._waiting and self._waiting[0][0] <= self._level and self._has_room(turn):
            token = heapq.heappop(self._waiting)[-1]
            if not token.cancelled:
                token.admitted = True
                turn.append(token)
        self._at_work += len(turn)
        return turn

    def _has_room(self, turn: list[Token]) -> bool:
        return self._by_level or not (turn or self._at_work)
