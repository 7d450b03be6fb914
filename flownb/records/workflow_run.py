"""What does a one-shot run leave behind? A `WorkflowRun`: state, log, visits, times."""

from __future__ import annotations

import copy
import reprlib
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeVar

from flownb.arguments import Named
from flownb.display import Tabled
from flownb.jsonable import short_repr
from flownb.records.events import NOTHING, Batch
from flownb.records.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from flownb.errors import Failure
    from flownb.model.workflow import Workflow
    from flownb.records.events import Event, LogLine, Span, Swimlane
    from flownb.records.metrics import LoopMetrics

RunStatus = Literal["pending", "running", "completed", "failed", "cancelled"]
NodeStatus = Literal[
    "pending", "running", "completed", "failed", "cancelled", "skipped", "bypassed"
]


_LONGEST: Final = 1_000_000  # characters of a repr that are looked at


class _Brief(reprlib.Repr):
    """Short texts of values; a dict keeps its order, and what has no repr shows no address."""

    def repr_instance(self, x: object, level: int) -> str:  # noqa: ARG002
        text = short_repr(x, _LONGEST)
        if len(text) <= self.maxother:
            return text
        half = (self.maxother - 3) // 2
        return f"{text[:half]}...{text[len(text) - (self.maxother - 3 - half) :]}"

    def repr_dict(self, x: dict[Any, Any], level: int) -> str:
        if x and level <= 0:
            return "{...}"
        shown = [
            f"{self.repr1(k, level - 1)}: {self.repr1(v, level - 1)}"
            for k, v in list(x.items())[: self.maxdict]
        ]
        return "{" + ", ".join(shown + ["..."] * (len(x) > self.maxdict)) + "}"


_BRIEF: Final = _Brief()
_BRIEF.maxstring = _BRIEF.maxother = 60
_BRIEF.maxdict = _BRIEF.maxlist = _BRIEF.maxtuple = _BRIEF.maxset = 4
_BRIEF.maxlevel = 3


def summary(value: Any) -> str:
    """Write a value in one short line, however large it is.

    >>> summary({"docs": list(range(100))})
    "{'docs': [0, 1, 2, 3, ...]}"
    """
    return " ".join(_BRIEF.repr(value).split())


class LogEntry(NamedTuple):
    """One attempt of one `node`; `time` and `duration` are seconds, `time` from the run's start.

    `visit` counts from 0 how often the node had run before, `attempt` counts its tries
    from 1; `output` says in brief what it returned, `error` why it failed. Where the result
    was in the node's cache, or a middleware gave one, `status` is "cached" and `attempt` 0:
    it was not called.
    """

    time: float
    node: str
    visit: int
    attempt: int
    duration: float
    status: Literal["completed", "failed", "cached"]
    output: str = ""
    error: str = ""

    def __str__(self) -> str:
        again = f"#{self.visit}" if self.visit else ""
        tried = f" (attempt {self.attempt})" if self.attempt > 1 else ""
        what = f"failed: {self.error}" if self.error else self.output or self.status
        what = f"cached: {what}" if self.status == "cached" else what
        return f"{self.time:9.3f} {self.duration:8.3f} {self.node}{again}{tried}: {what}"


class Trail:
    """What a run recorded, as raw as it came; a subscriber of its stream."""

    def __init__(self, hidden: Iterable[str]) -> None:
        self.hidden = frozenset(hidden)
        self.records: list[tuple[Span, Any] | Batch] = []
        self.events: list[Event] = []
        self.lines: list[LogLine] = []
        self.errors: dict[int, str] = {}  # number of a failed attempt's record: why
        self.failed: dict[str, str] = {}  # node: why it failed for good
        self.skipped: list[str] = []
        self.under_way: Callable[[], list[Batch]] = list  # what rows at work have called by now
        self.cut: list[str] = []  # at work when the run was ended

    def __getstate__(self) -> dict[str, Any]:
        """Give what is recorded, with what rows have called by now."""
        return {**vars(self), "records": [*self.records, *self.under_way()], "under_way": list}

    def on_span(self, span: Span, output: Any) -> None:
        """Keep a call, with what it gave; a run keeps everything."""
        self.records.append((span, output))

    def on_batch(self, batch: Batch) -> None:
        """Keep a row of calls as it is: most are never looked at."""
        self.records.append(batch)

    def calls(self) -> Iterator[tuple[Span, Any, str]]:
        """Give every span, with what the call gave and why it failed."""
        for i, record in enumerate([*self.records, *self.under_way()]):
            if isinstance(record, Batch):
                for span, output in zip(record.spans(), record.outputs, strict=True):
                    yield span, output, ""
            else:
                yield *record, self.errors.get(i, "")

    def replay(self, subscriber: Any) -> None:
        """Tell it all once more to somebody who comes late."""
        for span, output, _ in self.calls():
            subscriber.on_span(span, output)
        for event in list(self.events):
            subscriber.on_event(event)

    def on_event(self, event: Event) -> None:
        """Keep an event; what a node printed, and why an attempt failed, by themselves."""
        if event.kind == "log":
            self.lines.append(event.data)
            return
        self.events.append(event)
        if event.kind == "skipped":
            self.skipped.append(event.node)
        if event.kind in {"failed", "retry"}:
            self._note(event)

    def _note(self, event: Event) -> None:
        if event.kind == "failed":
            self.failed[event.node] = event.data
        for i in range(len(self.records) - 1, -1, -1):
            record = self.records[i]
            if not isinstance(record, Batch) and _is_call(record[0], event.node):
                self.errors.setdefault(i, event.data)
                return

    def entries(self, most: int | None = None) -> list[LogEntry]:
        """Give one entry for each attempt of a node, in the order of their starts."""
        return [_entry(*told) for told in self.worked()[:most]]

    def count(self, *, cached: bool) -> int:
        """How many entries there are of this kind: no entry is made for it."""
        found = 0
        for record in [*self.records, *self.under_way()]:
            if isinstance(record, Batch):
                found += 0 if cached else record.iterations * len(record.nodes)
            elif record[0].kind == "work" and record[0].node not in self.hidden:
                found += (record[0].attempt == 0) is cached
        return found

    def worked(self) -> list[tuple[Span, Any, str]]:
        """Give the calls behind `entries`, as raw as they came."""
        found = [
            told
            for told in self.calls()
            if told[0].kind == "work" and told[0].node not in self.hidden
        ]
        return sorted(found, key=lambda told: told[0].start)


def _is_call(span: Span, node: str) -> bool:
    return span.node == node and span.kind == "work"


def _entry(span: Span, output: Any, error: str) -> LogEntry:
    told = "" if output is NOTHING else summary(output)
    good: Literal["completed", "cached"] = "completed" if span.attempt else "cached"
    status: Literal["completed", "failed", "cached"] = "failed" if error else good
    return LogEntry(
        span.start, span.node, span.visit, span.attempt, span.duration, status, told, error
    )


T = TypeVar("T")


def deep_copied(result: T, memo: dict[int, Any]) -> T:
    """Copy a result, for `copy.deepcopy`; what in it cannot be copied is shared."""
    made = memo[id(result)] = copy.copy(result)
    for name, value in vars(made).items():
        try:
            setattr(made, name, copy.deepcopy(value, memo))
        except Exception:  # noqa: BLE001 - the user's own objects may raise anything
            setattr(made, name, value)
    return made


class _Given:
    """Gives what a run had to say when it was copied."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __call__(self) -> Any:
        return self._value


class WorkflowRun(Tabled):
    """One run of a graph without a producer, while it goes on and afterwards.

    `graph` is the graph's name, `run_id` that of the run, by which `resume` finds it. `status`
    is "pending", "running", "completed", "failed" or "cancelled"; `error` is what ended it, else
    None. It `started` so many seconds after 1970.

    >>> from flownb import Graph
    >>> graph = Graph("sums").add_node("double", lambda s: {"value": s["value"] * 2})
    >>> run = graph.run({"value": 10})
    >>> run, run.state, run.visited
    (WorkflowRun('sums': completed, 1 call, state {'value': 20}), {'value': 20}, ['double'])
    """

    def __init__(
        self, graph: str, run_id: str, names: Callable[[], Sequence[str]], trail: Trail
    ) -> None:
        self.graph, self.run_id = graph, run_id
        self.status: RunStatus = "pending"
        self._state: Any = None
        self.error: BaseException | None = None
        self.started = 0.0  # seconds since 1970
        self._names, self._trail = names, trail
        self._swimlanes: Callable[[], tuple[Swimlane, ...]] = tuple
        self._drawn: Callable[[], Workflow] | None = None
        self._metered: Callable[[], LoopMetrics | None] = lambda: None
        self._behind: Callable[[], dict[str, Any]] = dict
        self._failures: Callable[[], list[Failure]] = list
        self._outlet: Callable[[], Any] = lambda: None
        self._state_now: Callable[[], Any] = lambda: None
        self._cancel: Callable[[], None] = lambda: None
        self._at_work: Callable[[], set[str]] = set

    def __getstate__(self) -> dict[str, Any]:
        """Give what is known of the run by now, without the run itself: a copy begins with it."""
        asked = ["_names", "_swimlanes", "_drawn", "_metered", "_behind", "_failures", "_at_work"]
        asked.append("_state_now")
        known = {name: _Given(ask()) for name in asked if (ask := getattr(self, name)) is not None}
        return {**vars(self), **known, "_outlet": _Given(None), "_cancel": _Given(None)}

    __deepcopy__ = deep_copied

    @property
    def state(self) -> Any:
        """The state so far, at last the final one; without state what the last nodes gave."""
        return self._state_now() if self.status == "running" else self._state

    @state.setter
    def state(self, state: Any) -> None:
        self._state = state

    def cancel(self) -> None:
        """End the run now, from any thread; what it has done stays, and `resume` can go on.

        `run` and `arun` then give this object, with the status "cancelled". An async node is
        cancelled, a sync one is left behind. A run that is over stays as it is.
        """
        self._cancel()

    @property
    def behind(self) -> dict[str, Any]:
        """What each node passed on last: the state behind it, or its payload."""
        return Named(self._behind(), "node")

    @property
    def logs(self) -> list[LogEntry]:
        """One entry for each attempt of a node, in the order in which they started."""
        return self._trail.entries()

    @property
    def calls(self) -> int:
        """How many attempts of nodes there were so far."""
        return self._trail.count(cached=False)

    @property
    def cached(self) -> int:
        """How many nodes were answered by a cache, or a middleware, so far."""
        return self._trail.count(cached=True)

    def _first_logs(self, most: int) -> list[LogEntry]:
        """Give the first *most* entries of `logs`, without making all the others."""
        return self._trail.entries(most)

    @property
    def _called(self) -> set[str]:
        """The names of the nodes that were called, and not only answered by a cache."""
        return {span.node for span, _, _ in self._trail.worked() if span.attempt}

    @property
    def failures(self) -> list[Failure]:
        """The nodes that failed for good: error, traceback, and as `item` the state each saw."""
        return self._failures()

    @property
    def lines(self) -> list[LogLine]:
        """What nodes printed and logged."""
        return list(self._trail.lines)

    @property
    def events(self) -> list[Event]:
        """Everything else that happened: states, retries, timeouts, failures."""
        return list(self._trail.events)

    @property
    def visited(self) -> list[str]:
        """The names of the nodes that ran, once for each visit, in order of start."""
        return [span.node for span, _, _ in self._trail.worked() if span.attempt <= 1]

    @property
    def nodes(self) -> dict[str, NodeStatus]:
        """Where each node stands; "bypassed" is one that no way led to."""
        ran = {span.node for span, _, _ in self._trail.worked()}
        working = self._at_work() if self.status == "running" else set()
        found = {
            name: "running" if name in working else self._status_of(name, ran)
            for name in self._names()
        }
        return Named(found, "node")

    def _status_of(self, name: str, ran: set[str]) -> NodeStatus:
        if name in self._trail.failed:
            return "failed"
        if name in self._trail.cut:
            return "cancelled"
        if name in ran:
            return "completed"
        if name in self._trail.skipped:
            return "skipped"
        return "bypassed" if self.status == "completed" else "pending"

    @property
    def timeline(self) -> Timeline:
        """Every call and wait, ordered by start."""
        kept = (s for s, _, _ in self._trail.calls() if s.node not in self._trail.hidden)
        return Timeline.of_spans(kept, self._trail.events, self._swimlanes())

    @property
    def queues(self) -> Any:
        """The queues its nodes pushed to, by hand: `await run.queues.pop("wet_days")`.

        Without `redis=` they are in this kernel, and last as long as this object. A copy of the
        run has none.
        """
        return self._outlet()

    @property
    def metrics(self) -> LoopMetrics | None:
        """The counters of the run and of each node; durations in seconds."""
        return self._metered()

    @property
    def workflow(self) -> Workflow | None:
        """The graph as it was when it was run, as far as a picture shows it."""
        return None if self._drawn is None else self._drawn()

    @property
    def duration(self) -> float:
        """Seconds from the start of the first call to the end of the last one."""
        return self.timeline.end
