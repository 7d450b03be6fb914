"""What becomes of what a notebook does not fetch in time? It is added up.

A loop elsewhere never waits for its notebook, which may be busy in C code, or suspended.
So what it has to tell is kept up to a bound; beyond that the oldest records are added to a
sum. Counters and histograms merge, so the metrics stay right; the timeline and the events
have a gap, of which `LoopMetrics.missed` tells the length. By then far newer records wait
than a history keeps, so a timeline would have forgotten them, too.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Any, Final

from flownb.engine.metrics import Missed

MOST: Final = 8_000_000  # bytes, about: 20,000 spans
_RECORD: Final = 400  # bytes of a span or event in memory, about
_RARE: Final = 4  # what is rare, as failures and log lines, has this part of the room
_FREQUENT: Final = frozenset({"produced", "released", "settled", "received"})


class Backlog:
    """What a loop has told and nobody has fetched: at most *most* bytes, about."""

    def __init__(self, loop: str, most: int = MOST) -> None:
        self._loop, self._most = loop, most
        self._lock = threading.Lock()
        self._records: deque[tuple[int, tuple[Any, ...]]] = deque()
        self._rare: deque[tuple[int, tuple[Any, ...]]] = deque()
        self._states: list[tuple[Any, ...]] = []
        self._checkpoint: list[tuple[Any, ...]] = []
        self._size = self._rare_size = 0
        self._sum: Missed | None = None

    def add(self, record: tuple[Any, ...], size: int = 0) -> None:
        """Keep a record with a content of *size* bytes; this may cost the oldest its place."""
        size += _RECORD
        with self._lock:
            self._records.append((size, record))
            self._size += size
            while self._size > self._most:
                self._make_room()

    def _make_room(self) -> None:
        size, record = self._records.popleft()
        self._size -= size
        if record[0] == "checkpoint":
            self._checkpoint = [record]  # instead of the one before
        elif record[0] != "event" or record[1][1] in _FREQUENT:
            self._forget(record)
        elif record[1][1] == "state":
            self._states.append(record)
        else:
            self._rare.append((size, record))
            self._rare_size += size
            while self._rare_size > self._most // _RARE:
                size, record = self._rare.popleft()
                self._rare_size -= size
                self._forget(record)

    def _forget(self, record: tuple[Any, ...]) -> None:
        if self._sum is None:
            self._sum = Missed(self._loop)
        self._sum.add(*record)

    def take(self) -> list[tuple[Any, ...]]:
        """Give everything, the oldest first, and keep nothing."""
        with self._lock:
            missed = [] if self._sum is None else [("missed", self._sum)]
            rare = [*self._states, *(record for _, record in self._rare)]
            found = [*missed, *rare, *self._checkpoint, *(record for _, record in self._records)]
            self._states, self._sum, self._size, self._rare_size = [], None, 0, 0
            self._rare.clear()
            self._checkpoint.clear()
            self._records.clear()
        return found
