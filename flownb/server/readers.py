"""What is new of loops and runs? Read from what they keep anyway, a few times a second.

A loop keeps its last events, lines, failures and spans (`History`). Reading them costs a loop
nothing, whoever listens. What it has overwritten before it was read is told as missed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from flownb.engine.observe.history import newer
from flownb.errors import told
from flownb.records.events import Batch
from flownb.server import serializers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from flownb.engine.observe.history import History
    from flownb.engine.orchestrator.orchestrator import Orchestrator
    from flownb.errors import Failure
    from flownb.records.events import Event, LogLine, Span
    from flownb.records.workflow_run import WorkflowRun

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
        self._metrics: Any = None
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
        found = serializers.metrics(orch)
        before, self._metrics = self._metrics, found
        return [("metrics", found)] if found != before else []


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
        yield "failed", serializers.failure(record)  # type: ignore[arg-type]
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
