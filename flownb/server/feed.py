"""What is new of loops and runs, and how do many clients follow it, each at its own speed?

It is read from what loops and runs keep anyway, a few times a second: a loop keeps its last
events, lines, failures and spans (`History`), and reading them costs it nothing, whoever
listens. What it has overwritten before it was read is told as missed.

An `EventLog` keeps the last records of one source, numbered. A client has only its place in
it, so a slow one costs nothing: when what it has not got is gone from the ring it is told how
many records it missed, and goes on. An id is `<log>-<number>`; who reconnects with the last one
goes on behind it.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from flownb.engine.observe.history import newer
from flownb.errors import told
from flownb.records.events import Batch
from flownb.server.schemas import FailureOut, dumps, metrics_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping, Sequence

    from flownb.engine.observe.history import History
    from flownb.engine.orchestrator.orchestrator import Orchestrator
    from flownb.errors import Failure
    from flownb.records.events import Event, LogLine, Span
    from flownb.records.metrics import LoopMetrics
    from flownb.records.workflow_run import WorkflowRun

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


News = list[tuple[str, Any]]
METRICS_EVERY: Final = 1.0
_RINGS: Final = ("events", "logs", "failures")
_STEADY: Final = frozenset({"produced", "released", "settled"})
_MOST: Final = 2_000  # records of one kind of one loop in one look


class LoopReader:
    """Reads the loops of a graph: states, lines, failures and metrics; with *detail* all events.

    *orch* gives the orchestrator that runs now, None when there is none any more.
    """

    def __init__(
        self, graph: str, orch: Callable[[], Orchestrator | None], *, detail: bool
    ) -> None:
        self._graph, self._orch, self._detail = graph, orch, detail
        self._rings = (*_RINGS, "records") if detail else _RINGS
        self._last: WeakKeyDictionary[History, dict[str, Any]] = WeakKeyDictionary()
        self._metrics_at = 0.0
        self._metrics: Mapping[str, LoopMetrics] = {}
        self._behind: set[str] = set()
        self._begun = False

    def read(self) -> tuple[News, bool]:
        """Give what is new; it is never the last: the graph may start once more."""
        orch = self._orch()
        if orch is None:
            return [], False
        found: list[tuple[float, str, Any]] = []
        for loop_run in list(orch._live.loop_runs.values()):
            found += self._of_loop(loop_run.name, loop_run.history)
        self._begun = True
        news = [(kind, data) for _, kind, data in sorted(found, key=lambda one: one[0])]
        return [*news, *self._of_metrics(orch)], False

    def _of_loop(self, loop: str, history: History) -> Iterator[tuple[float, str, Any]]:
        known = self._last.get(history)
        is_new = known is None
        last = self._last[history] = {} if known is None else known
        for ring in self._rings:
            fresh, whole = newer(getattr(history, ring), last.get(ring))
            if not fresh:
                continue
            last[ring] = fresh[-1]
            if is_new and not self._begun:
                continue  # what was before anybody listened
            if not whole or len(fresh) > _MOST:
                left = len(fresh) - _MOST if whole else None
                yield _time(fresh[0]), "missed", {"graph": self._graph, "loop": loop, "count": left}
            yield from self._told(fresh[-_MOST:])

    def _told(self, fresh: Iterable[Any]) -> Iterator[tuple[float, str, Any]]:
        for record in fresh:
            for spelled in _spelled(record):
                kind, data = spelled
                if self._detail or kind not in _STEADY:
                    yield _time(record), kind, {"graph": self._graph, **data}

    def _of_metrics(self, orch: Orchestrator) -> News:
        now = time.monotonic()
        if now < self._metrics_at:
            return []
        self._metrics_at = now + METRICS_EVERY
        found = orch.metrics()
        before, self._metrics = self._metrics, found
        told = [("metrics", metrics_of(orch.name, found))] if found != before else []
        return [*told, *self._late(before, found)]

    def _late(
        self, before: Mapping[str, LoopMetrics], found: Mapping[str, LoopMetrics]
    ) -> Iterator[tuple[str, Any]]:
        """Tell once of a loop that falls behind."""
        for loop, metrics in found.items():
            ticks = metrics.missed_since(before[loop]) if loop in before else None
            if ticks is not None and loop not in self._behind:
                missed, of = ticks
                yield "behind", {"graph": self._graph, "loop": loop, "missed": missed, "ticks": of}
            (self._behind.discard if ticks is None else self._behind.add)(loop)


def _time(record: Any) -> float:
    if isinstance(record, Batch):
        return (record.times[0] - record.origin) / 1e9 if record.times else 0.0
    start = getattr(record, "end", None)
    return float(record.time if start is None else start)


def _spelled(record: Event | LogLine | Failure | Span | Batch) -> Iterator[tuple[str, Any]]:
    """Give what a client reads of a record."""
    if isinstance(record, Batch):
        for span in record.spans():
            yield "span", {**span._asdict(), "kind": span.kind}
        for event in record.events():
            yield _of_event(event)
    elif hasattr(record, "attempts"):
        yield "failed", FailureOut.of_failure(record).model_dump()  # type: ignore[arg-type]
    elif hasattr(record, "level"):
        yield "log", record._asdict()
    elif hasattr(record, "visit"):
        yield "span", record._asdict()
    elif record.kind != "failed":
        yield _of_event(record)


def _of_event(event: Event) -> tuple[str, dict[str, Any]]:
    at: dict[str, Any] = {"time": event.time, "loop": event.loop}
    if event.node:
        at["node"] = event.node
    if event.iteration >= 0:
        at["iteration"] = event.iteration
    if event.kind == "state":
        state, reason = event.data
        return "state", {**at, "state": state, "reason": reason}
    if event.data is None or event.kind in {"produced", "released", "settled"}:
        return event.kind, at
    said = told(event.data) if isinstance(event.data, BaseException) else event.data
    return event.kind, {**at, "data": said if isinstance(said, (str, int, float)) else str(said)}


class RunReader:
    """Reads a one-shot run that works here; *found* gives it, None while it has not begun."""

    def __init__(
        self,
        run_id: str,
        found: Callable[[], WorkflowRun | None],
        is_open: Callable[[], bool],
        kept: Callable[[], Sequence[tuple[str, Any]]],
    ) -> None:
        self._run_id, self._found, self._is_open, self._kept = run_id, found, is_open, kept
        self._run: WorkflowRun | None = None
        self._lines = self._calls = 0
        self._nodes: Mapping[str, str] = {}
        self._status = ""

    def read(self) -> tuple[News, bool]:
        """Give what is new, and whether the run is over."""
        is_open, run = self._is_open(), self._found()
        if run is not self._run:  # it was taken up again
            self._run, self._lines, self._calls, self._nodes = run, 0, 0, {}
        if run is None:
            return ([], False) if is_open else (list(self._kept()), True)
        return list(self._news(run, is_open=is_open)), not is_open

    def _news(self, run: WorkflowRun, *, is_open: bool) -> Iterator[tuple[str, Any]]:
        at = {"run_id": self._run_id, "graph": run.graph}
        if is_open and run.status != self._status == "":
            self._status = run.status
            yield "status", {**at, "status": run.status}
        nodes = dict(run.nodes)
        for name, status in nodes.items():
            if self._nodes.get(name, "pending") != status:
                yield "node", {**at, "node": name, "status": status}
        self._nodes = nodes
        lines = run.lines
        for line in lines[self._lines :]:
            yield "log", {**at, **line._asdict()}
        self._lines = len(lines)
        if run.calls > self._calls:
            entries = run.logs
            for entry in entries[self._calls :]:
                yield "call", {**at, **entry._asdict()}
            self._calls = len(entries)
        if not is_open:
            error = None if run.error is None else told(run.error)
            yield "status", {**at, "status": run.status, "error": error, "state": run.state}
