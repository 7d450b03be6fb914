"""Which waiting call may start next, and when? What a `Limit` decides.

At most so many calls at once, and a least time between two starts. The unit of time is the
caller's. Nothing here knows a clock, a thread or an event loop: the engine and `explain` each
bring their own.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

Call = TypeVar("Call")


class Limiter(Generic[Call]):
    """A `Limit` at work: who holds a place in it, and who waits for one.

    Those who wait take turns, first come, first served, and each sends its call of the lowest
    *order*. (A loop waits with the number of its iteration: those of different loops cannot be
    compared, and a loop far ahead would starve behind one that has just begun.)

    >>> limiter = Limiter[str](concurrency=1, gap=0.5)
    >>> limiter.start(now=10), limiter.start(now=10)
    (True, False)
    >>> limiter.wait("second", whose="a loop", order=2)
    >>> limiter.wait("first", whose="a loop", order=1)
    >>> limiter.is_full, limiter.first
    (True, 'first')
    >>> limiter.end()
    >>> limiter.start_next(now=10.2)
    ('first', 10.5)
    """

    __slots__ = ("_gap", "_most", "_next_start", "_number", "_running", "_turns", "_waiting")

    def __init__(self, concurrency: int | None, gap: float | None) -> None:
        self._most, self._gap = concurrency, gap
        self._running = 0
        self._next_start = float("-inf")
        self._number = itertools.count()
        self._turns: deque[Hashable] = deque()
        self._waiting: dict[Hashable, list[tuple[int, int, Call]]] = {}

    def start(self, now: float) -> bool:
        """Start a call at *now*, if it has to wait for nothing and nobody; else give False."""
        if self._turns or self.is_full or now < self._next_start:
            return False
        self._start(now)
        return True

    def wait(self, call: Call, whose: Hashable, order: int) -> None:
        """Let a call wait for its turn among those of *whose*."""
        heapq.heappush(self._waiting.setdefault(whose, []), (order, next(self._number), call))
        self._turns.append(whose)

    @property
    def is_full(self) -> bool:
        """Whether all places are held."""
        return self._most is not None and self._running >= self._most

    @property
    def first(self) -> Call | None:
        """The call whose turn it is when a place is free; None while none waits."""
        return self._waiting[self._turns[0]][0][2] if self._turns else None

    def start_next(self, now: float) -> tuple[Call, float]:
        """Give the first call a place; give it, and when it starts: at *now* or later."""
        whose = self._turns.popleft()
        waiting = self._waiting[whose]
        call = heapq.heappop(waiting)[2]
        self._keep(whose, waiting)
        when = max(now, self._next_start)
        self._start(when)
        return call, when

    def end(self) -> None:
        """Give a place back: a call has ended."""
        self._running -= 1

    def forget(self, call: Call, whose: Hashable) -> None:
        """Let a call wait no more; nothing happens if it does not."""
        waiting = self._waiting.get(whose, [])
        left = [each for each in waiting if each[2] is not call]
        if len(left) < len(waiting):
            heapq.heapify(left)
            self._keep(whose, left)
            self._turns.reverse()  # the last turn is lost
            self._turns.remove(whose)
            self._turns.reverse()

    def _keep(self, whose: Hashable, waiting: list[tuple[int, int, Call]]) -> None:
        if waiting:
            self._waiting[whose] = waiting
        else:
            self._waiting.pop(whose, None)

    def _start(self, when: float) -> None:
        self._running += 1
        if self._gap is not None:
            self._next_start = when + self._gap
