"""How do many clients follow what happens, each at its own speed? By a place in one ring.

An `EventLog` keeps the last records of one source, numbered. A client has only its place in
it, so a slow one costs nothing: when what it has not got is gone from the ring it is told how
many records it missed, and goes on. Nobody but the ring waits for the source, and the source
waits for nobody.

An id is `<log>-<number>`; who reconnects with the last one goes on behind it.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from flownb.server.encoding import dumps

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Sequence

Record = tuple[int, str, str]  # number, kind, JSON text of the data
SIZE: Final = 10_000
BYTES: Final = 8_000_000
_PORTION: Final = 500
_LINGER: Final = 30.0  # seconds for which a source is still read when nobody listens


class EventLog:
    """The last records of a source, numbered from 1; lives on one event loop.

    >>> log = EventLog(size=2)
    >>> log.add([("log", {"text": t}) for t in "abc"])
    >>> log.after(1)
    (0, [(2, 'log', '{"text":"b"}'), (3, 'log', '{"text":"c"}')])
    >>> log.after(0)[0]
    1
    """

    def __init__(self, size: int = SIZE, most_bytes: int = BYTES) -> None:
        self.name = secrets.token_hex(4)
        self.last = 0
        self.is_over = False
        self._ring: deque[Record] = deque()
        self._size, self._most, self._held = size, most_bytes, 0
        self._news: asyncio.Event | None = None

    def add(self, records: Iterable[tuple[str, Any]]) -> None:
        """Take in records of (kind, data), and wake who waits."""
        before = self.last
        for kind, data in records:
            self.last += 1
            text = dumps(data)
            self._ring.append((self.last, kind, text))
            self._held += len(text)
        while self._ring and (len(self._ring) > self._size or self._held > self._most):
            self._held -= len(self._ring.popleft()[2])
        if self.last > before:
            self._wake()

    def end(self) -> None:
        """Say that nothing more comes."""
        self.is_over = True
        self._wake()

    def _wake(self) -> None:
        news, self._news = self._news, None
        if news is not None:
            news.set()

    def after(self, place: int, most: int = _PORTION) -> tuple[int, list[Record]]:
        """Give how many records behind a place are gone, and the next ones that are there."""
        oldest = self.last - len(self._ring) + 1
        missed = max(0, oldest - 1 - place)
        begin = max(0, place + 1 - oldest)
        return missed, list(islice(self._ring, begin, begin + most))

    def place_of(self, last_id: str) -> int | None:
        """Give the place that an id stands for; None if it is of another log."""
        name, _, number = last_id.rpartition("-")
        is_ours = name == self.name and number.isascii() and number.isdigit()
        return min(int(number[:20]), self.last) if is_ours else None

    async def news(self, timeout: float) -> bool:
        """Wait for more; False if nothing has come for so many seconds."""
        if self._news is None:
            self._news = asyncio.Event()
        try:
            await asyncio.wait_for(self._news.wait(), timeout)
        except TimeoutError:
            return False
        return True


class Feed:
    """An event log and what fills it: *read* gives what is new and whether it was the last.

    It is read every *interval* seconds while somebody listens, and a while longer.
    """

    def __init__(
        self, read: Callable[[], tuple[Sequence[tuple[str, Any]], bool]], interval: float
    ) -> None:
        self.log = EventLog()
        self._read, self._interval = read, interval
        self._listeners = 0
        self._task: asyncio.Task[None] | None = None
        self._idle_since: float | None = None

    @property
    def is_idle(self) -> bool:
        """Whether nobody reads it, so that it may be forgotten."""
        return self._task is None or self._task.done()

    async def follow(
        self, last_id: str | None, *, beat: float
    ) -> AsyncGenerator[tuple[int | None, list[Record]], None]:
        """Give how many records were missed (None: nobody knows), and the next ones.

        A new listener gets what comes from now on; one with a *last_id* what came behind it. An
        empty list comes every *beat* seconds without news.
        """
        log = self.log
        self._listeners += 1
        try:
            if self._listeners == 1:
                self._start()
            place = log.last if last_id is None else log.place_of(last_id)
            if place is None:
                place = log.last
                yield None, []
            while True:
                missed, records = log.after(place)
                if records:
                    place = records[-1][0]
                    yield missed, records
                elif log.is_over:
                    return
                elif not await log.news(beat):
                    yield 0, []
        finally:
            self._listeners -= 1

    def _start(self) -> None:
        self._look()
        if self.is_idle and not self.log.is_over:
            self._task = asyncio.get_running_loop().create_task(self._keep_reading())

    def _look(self) -> None:
        found, is_last = self._read()
        self.log.add(found)
        if is_last:
            self.log.end()

    async def _keep_reading(self) -> None:
        idle = 0.0
        while not self.log.is_over and idle < _LINGER:
            await asyncio.sleep(self._interval)
            idle = 0.0 if self._listeners else idle + self._interval
            self._look()

    def close(self) -> None:
        """Read no more, and let everybody who listens go."""
        if self._task is not None:
            self._task.cancel()
        self.log.end()
