"""Who may run now? A `Limit` that loops share; each loop has a handle to it."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from flownb.model.nodes import OwnLimit

if TYPE_CHECKING:
    from collections.abc import Callable

    from flownb.model.policies import Limit


class SharedLimit:
    """A `Limit` at work: thread-safe; loops take turns, each sends its lowest iteration.

    Iterations of different loops cannot be compared: a loop far ahead would starve
    behind one that has just begun. So each waiting call earns its *loop* a turn, first
    come, first served, and within a loop calls go in item order.
    """

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.running = 0
        self.next_start = float("-inf")
        self._lock = threading.Lock()
        self._order = itertools.count()
        self._turns: deque[str] = deque()
        self._waiting: dict[str, list[tuple[int, int, Any, Callable[[], None]]]] = {}

    def enter(
        self, loop: str, iteration: int, event_loop: Any, granted: Callable[[], None]
    ) -> bool:
        """Start now (True), or have *granted* called on *event_loop* when it is our turn."""
        with self._lock:
            if not self._turns and self._free(event_loop.time()):
                self._start(event_loop.time())
                return True
            waiting = self._waiting.setdefault(loop, [])
            heapq.heappush(waiting, (iteration, next(self._order), event_loop, granted))
            self._turns.append(loop)
            self._arrange()
            return False

    def leave(self) -> None:
        """End a call; the loop whose turn it is goes next."""
        with self._lock:
            self.running -= 1
            self._arrange()

    def forget(self, loop: str, granted: Callable[[], None]) -> bool:
        """Drop a waiting call, as of a cancelled item; say whether it was waiting."""
        with self._lock:
            waiting = self._waiting.get(loop, [])
            left = [w for w in waiting if w[3] != granted]
            found = len(left) < len(waiting)
            if found:
                heapq.heapify(left)
                self._waiting[loop] = left
                self._turns.reverse()  # the loop loses its last turn
                self._turns.remove(loop)
                self._turns.reverse()
            return found

    def _free(self, now: float) -> bool:
        full = self.limit.concurrency is not None and self.running >= self.limit.concurrency
        return not full and now >= self.next_start

    def _start(self, now: float) -> None:
        self.running += 1
        if self.limit.per_second is not None:
            self.next_start = max(now, self.next_start) + 1 / self.limit.per_second

    def _arrange(self) -> None:
        while self._turns:
            waiting = self._waiting[self._turns[0]]
            event_loop = waiting[0][2]
            full = self.limit.concurrency is not None and self.running >= self.limit.concurrency
            if full and not event_loop.is_closed():
                return
            self._turns.popleft()
            granted = heapq.heappop(waiting)[3]
            if not event_loop.is_closed():
                due = max(event_loop.time(), self.next_start)
                self._start(due)
                _post(event_loop, due, granted)


def _post(loop: Any, when: float, granted: Callable[[], None]) -> None:
    """Call *granted* on its own event loop at second *when*, from whatever thread this is."""
    loop.call_soon_threadsafe(
        lambda: loop.call_at(when, granted) if when > loop.time() else granted()
    )


class LimitHandle:
    """A gate, seen from one loop."""

    __slots__ = ("gate", "loop")

    def __init__(self, gate: SharedLimit, loop: str) -> None:
        self.gate, self.loop = gate, loop

    def enter(self, iteration: int, event_loop: Any, granted: Callable[[], None]) -> bool:
        """Start now (True), or have *granted* called on *event_loop* when it is our turn."""
        return self.gate.enter(self.loop, iteration, event_loop, granted)

    def leave(self) -> None:
        """End a call."""
        self.gate.leave()

    def forget(self, granted: Callable[[], None]) -> bool:
        """Drop a waiting call; say whether it was waiting."""
        return self.gate.forget(self.loop, granted)


class Limits:
    """The gates of one run: one for each `Limit` object, shared by all its loops.

    Only the limit that a class node has by itself is each loop's own, as the node's
    instance and state are.
    """

    def __init__(self) -> None:
        self._gates: dict[tuple[int, str], SharedLimit] = {}
        self._lock = threading.Lock()

    def gate(self, limit: Limit | None, loop: str) -> LimitHandle | None:
        """Give a loop's door to the gate of a limit, the same gate each time."""
        if limit is None:
            return None
        key = (id(limit), loop if isinstance(limit, OwnLimit) else "")
        with self._lock:
            return LimitHandle(self._gates.setdefault(key, SharedLimit(limit)), loop)
