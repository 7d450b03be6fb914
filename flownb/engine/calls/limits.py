"""Who may run now? A `Limit` that loops share; each call has a `Place` in it."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Final, TypeVar
from weakref import WeakKeyDictionary

from flownb.model.nodes import OwnLimit

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

    from flownb.model.policies import Limit

    Whose = tuple[int, str]  # the run, and the loop

Made = TypeVar("Made")


class Place:
    """The place of one call in a `Limit`: waited for, held, left once; from any thread.

    `at_once`: the call may start; else *granted* is called on *event_loop* when it may.
    """

    __slots__ = (
        "_limit",
        "_over",
        "_works",
        "at_once",
        "event_loop",
        "granted",
        "is_held",
        "whose",
    )

    def __init__(
        self, limit: SharedLimit, whose: Whose, event_loop: Any, granted: Callable[[], None]
    ) -> None:
        self._limit, self.whose = limit, whose
        self.event_loop, self.granted = event_loop, granted
        self.at_once = self.is_held = self._works = self._over = False

    def leave(self) -> None:
        """Let the next call in: this one has ended, or waits no more."""
        self._limit.leave(self)

    def kept_by(self, call: Callable[[], Made]) -> Callable[[], Made]:
        """Have the place kept until *call*, which a thread is about to make, has really ended."""
        self._works = True

        def kept() -> Made:
            try:
                return call()
            finally:
                self._works = False
                if self._over:
                    self.leave()

        return kept

    def give_up(self) -> None:
        """Leave, or as soon as the call that a thread still makes has ended."""
        self._over = True
        if not self._works:
            self.leave()


class SharedLimit:
    """A `Limit` at work: thread-safe; loops take turns, each sends its lowest iteration.

    Iterations of different loops cannot be compared: a loop far ahead would starve
    behind one that has just begun. So each waiting call earns its *loop* a turn, first
    come, first served, and within a loop calls go in item order.
    """

    def __init__(self, concurrency: int | None, per_second: float | None) -> None:
        self._most, self._rate = concurrency, per_second
        self.running = 0
        self.next_start = float("-inf")
        self._lock = threading.Lock()
        self._order = itertools.count()
        self._turns: deque[Whose] = deque()
        self._waiting: dict[Whose, list[tuple[int, int, Place]]] = {}

    def enter(
        self, whose: Whose, iteration: int, event_loop: Any, granted: Callable[[], None]
    ) -> Place:
        """Give a place: held at once, or when it is our turn."""
        place = Place(self, whose, event_loop, granted)
        with self._lock:
            if not self._started(place):
                waiting = self._waiting.setdefault(whose, [])
                heapq.heappush(waiting, (iteration, next(self._order), place))
                self._turns.append(whose)
                self._arrange()
        return place

    def enter_now(self, whose: Whose, event_loop: Any) -> Place | None:
        """Give a place that is held; None where it would have to be waited for."""
        place = Place(self, whose, event_loop, _nobody_waits)
        with self._lock:
            return place if self._started(place) else None

    def _started(self, place: Place) -> bool:
        """Let a call start if none waits and there is room for it."""
        now = place.event_loop.time()
        if self._turns or self._is_full or now < self.next_start:
            return False
        self._start(place, now)
        place.at_once = True
        return True

    def leave(self, place: Place) -> None:
        """End a call, or its wait; the loop whose turn it is goes next."""
        with self._lock:
            if place.is_held:
                place.is_held = False
                self.running -= 1
                self._arrange()
            else:
                self._forget(place)

    def _forget(self, place: Place) -> None:
        waiting = self._waiting.get(place.whose, [])
        left = [w for w in waiting if w[2] is not place]
        if len(left) < len(waiting):
            heapq.heapify(left)
            self._keep(place.whose, left)
            self._turns.reverse()  # the loop loses its last turn
            self._turns.remove(place.whose)
            self._turns.reverse()

    def _keep(self, whose: Whose, waiting: list[tuple[int, int, Place]]) -> None:
        if waiting:
            self._waiting[whose] = waiting
        else:
            self._waiting.pop(whose, None)

    @property
    def _is_full(self) -> bool:
        return self._most is not None and self.running >= self._most

    def _start(self, place: Place, when: float) -> None:
        place.is_held = True
        self.running += 1
        if self._rate is not None:
            self.next_start = max(when, self.next_start) + 1 / self._rate

    def _arrange(self) -> None:
        while self._turns:
            waiting = self._waiting[self._turns[0]]
            event_loop = waiting[0][2].event_loop
            if self._is_full and not event_loop.is_closed():
                return
            whose, place = self._turns.popleft(), heapq.heappop(waiting)[2]
            self._keep(whose, waiting)
            if not event_loop.is_closed():
                due = max(event_loop.time(), self.next_start)
                self._start(place, due)
                _post(event_loop, due, place.granted)


def _post(loop: Any, when: float, granted: Callable[[], None]) -> None:
    """Call *granted* on its own event loop at second *when*, from whatever thread this is."""
    loop.call_soon_threadsafe(
        lambda: loop.call_at(when, granted) if when > loop.time() else granted()
    )


def _nobody_waits() -> None:
    """Tell nobody: the place was held from the first moment."""


class LimitHandle:
    """A limit, seen from one loop."""

    __slots__ = ("_limit", "_whose")

    def __init__(self, limit: SharedLimit, whose: Whose) -> None:
        self._limit, self._whose = limit, whose

    def enter(self, iteration: int, event_loop: Any, granted: Callable[[], None]) -> Place:
        """Give a place; *granted* is called on *event_loop* if it is not held at once."""
        return self._limit.enter(self._whose, iteration, event_loop, granted)

    def enter_now(self, event_loop: Any) -> Place | None:
        """Give a place that is held; None where it would have to be waited for."""
        return self._limit.enter_now(self._whose, event_loop)


OF_PROCESS: Final[MutableMapping[Limit, SharedLimit]] = WeakKeyDictionary()
"""The limits at work in real time in this process: one for each `Limit` object."""
_lock = threading.Lock()


class Limits:
    """The limits of one run: one for each `Limit` object, shared by all its loops.

    *shared* are those that others have, too: live runs share all of this process. Only the
    limit that a class node has by itself is each loop's own, as the node's instance and state are.
    """

    def __init__(self, shared: MutableMapping[Limit, SharedLimit] | None = None) -> None:
        self._shared = {} if shared is None else shared
        self._own: dict[tuple[Limit, str], SharedLimit] = {}

    def gate(self, limit: Limit | None, loop: str) -> LimitHandle | None:
        """Give a loop's door to a limit, to the same one each time."""
        if limit is None:
            return None
        with _lock:
            made = SharedLimit(limit.concurrency, limit.per_second)
            if isinstance(limit, OwnLimit):
                made = self._own.setdefault((limit, loop), made)
            else:
                made = self._shared.setdefault(limit, made)
        return LimitHandle(made, (id(self), loop))
