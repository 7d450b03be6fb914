"""What must a store keep of a run, a graph and a loop? Records, under the methods of `Store`.

A run is a *head* (who, of which graph, in which state) and its *steps*: what happened, in
order, only ever added to. A resumed run goes through the steps again without calling
anybody, and is then exactly where the first one was. A loop never ends, so of a loop only
the last record is kept, replaced again and again. Memory, SQLite, PostgreSQL and Redis are
built in; whatever has these methods is a store, too.

Each save of a loop's record has a number, and is refused unless the one before is there. So of
two processes that go on with one loop the second to save is refused, and the record is never a
mixture.

All stores check and write a record in the same way before they keep it, and raise the same
errors when they cannot.
"""

from __future__ import annotations

import builtins
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias

from flownb.arguments import NONE, TEXT, Rule, all_checked, number, whole, word
from flownb.display import Shown, Tabled
from flownb.errors import LoopTaken, NotKept, RunTaken, StoreError
from flownb.records.events import Event, Span, Swimlane
from flownb.records.timeline import Timeline, Timelines
from flownb.stores.codec import decode, encode

if TYPE_CHECKING:
    from flownb.records.workflow_run import RunStatus

StepKind: TypeAlias = Literal["started", "done", "failed", "continued"]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened to a `node`. Times are seconds since 1970.

    `seq` counts the steps of a run, `visit` how often the node had run before; it began at
    `start`, ended at `end`, after so many `attempts`, with this `error` or None. `kind` is
    "started" (a call began), "done" (it ended well), "failed" (for good) or "continued"
    (it failed, and the run went on with that).
    """

    seq: int
    node: str
    visit: int
    kind: StepKind
    start: float
    end: float = 0.0
    attempts: int = 1
    output: str | None = None
    """What the node returned, as JSON text; of a failed one the state that it saw."""
    live: tuple[str, ...] | None = None
    """Where it went on to; None: along all its edges."""
    error: str | None = None
    part: int = -1
    """For one call of many over a list: which visit of the node they belong to; else -1."""
    changed: str | None = None
    """What the node changed inside lists and dicts that it saw, as JSON text."""

    @property
    def value(self) -> Any:
        """What the node returned."""
        return None if self.output is None else decode(self.output)


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run as it is kept. Times are seconds since 1970; `attempt` counts resumes, from 1.

    Run `run_id` of `graph` was `created` and last `updated` then; `status` and `error` say how
    it stands, `options` under which it runs. `input` is the state it began with, `state` the
    last one, `shape` what the graph was like, `steps` what happened. `list()` leaves these four
    out: they may be large.
    """

    run_id: str
    graph: str
    status: RunStatus
    created: float
    updated: float
    attempt: int = 1
    error: str | None = None
    input: Any = None
    state: Any = None
    shape: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()

    @property
    def timeline(self) -> Timeline:
        """The calls that have ended, in seconds since the first of them began."""
        ended = [step for step in self.steps if step.kind != "started"]
        began = min((step.start for step in ended), default=0.0)
        spans, events = list[Span](), list[Event]()
        for step in ended:
            start, end = step.start - began, step.end - began
            spans.append(
                Span(self.graph, step.node, 0, step.visit, "work", start, end, step.attempts)
            )
            if step.kind != "done":
                events.append(Event(end, "failed", self.graph, step.node, 0))
        nodes = dict.fromkeys(step.node for step in ended)
        return Timeline.of_spans(spans, events, [Swimlane(self.graph, node) for node in nodes])


@dataclass(frozen=True, slots=True, repr=False)
class RunComparison(Tabled):
    """Runs beside each other: `Store.compare()` makes it; `runs` are their records, with steps."""

    runs: tuple[RunRecord, ...]

    @property
    def timelines(self) -> Timelines:
        """The timeline of each run, by its id."""
        return Timeline.compare({run.run_id: run.timeline for run in self.runs})

    @property
    def seconds(self) -> dict[str, list[float | None]]:
        """How long the calls of each node took in each run, in all; None: it was not called."""
        found: dict[str, list[float | None]] = {}
        for i, run in enumerate(self.runs):
            for span in run.timeline:
                took = found.setdefault(span.node, [None] * len(self.runs))
                took[i] = (took[i] or 0.0) + span.duration
        return found


@dataclass(frozen=True, slots=True)
class GraphRecord:
    """One `version` of a graph, as `Graph.to_dict` describes it; versions count from 1.

    `name` is the graph's, `document` that description, `saved` when: seconds since 1970.
    """

    name: str
    version: int
    saved: float
    document: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LoopRecord:
    """Where a `loop` of a `graph` stands, so that a restarted notebook goes on from there.

    `status` says how it ended, or that it runs.

    `list()` leaves *content* and *counts* out: they may be large.
    """

    graph: str
    loop: str
    number: int
    """Of this save, from 1; it counts on through all restarts."""
    owner: str
    """Who goes on with the loop: one start in one process."""
    saved: float
    """Seconds since 1970."""
    status: str
    position: int = 0
    """So many items of the loop's producer are done, from the first one on."""
    content: str = ""
    """What else a restart needs, `ctx.state` for one, as JSON text."""
    counts: str = ""
    """The loop's counters, as JSON text."""


class RunStore(Protocol):
    """Where runs are kept. All methods may be called from any thread; they raise StoreError."""

    quick: bool
    """Whether writing takes microseconds, so that a run need not hand it to a thread."""
    max_bytes: int
    """The largest value kept, in bytes of JSON."""

    def save(self, run: RunRecord) -> None:
        """Keep the head of a run, or replace it; its steps stay as they are."""

    def append(self, run_id: str, steps: Sequence[Step]) -> None:
        """Add steps, all or none. Their `seq` must be new: two processes cannot both go on."""

    def load(self, run_id: str) -> RunRecord:
        """Give a run with its steps; StoreError if there is none of this name."""

    def list(
        self,
        *,
        graph: str | None = None,
        status: RunStatus | None = None,
        since: float | None = None,
        until: float | None = None,
        limit: int = 100,
    ) -> list[RunRecord]:
        """Give the heads of the runs made in this time, newest first."""

    def delete(self, run_id: str) -> bool:
        """Forget a run; say whether there was one."""

    def close(self) -> None:
        """Let go of connections; what is kept stays."""


class GraphStore(Protocol):
    """Where graphs are kept, each in all its versions."""

    def save(self, document: Mapping[str, Any]) -> GraphRecord:
        """Keep what `Graph.to_dict` gave; an unchanged graph keeps its version."""

    def load(self, name: str, version: int | None = None) -> GraphRecord:
        """Give a version of a graph, the newest if none is named."""

    def list(self, *, name: str | None = None) -> builtins.list[GraphRecord]:
        """Give the newest version of each graph, or all versions of one, newest first.

        Documents are left out.
        """

    def delete(self, name: str, version: int | None = None) -> bool:
        """Forget a graph or one of its versions; say whether there was one."""


class LoopStore(Protocol):
    """Where checkpoints of loops are kept, one of each. Any thread; they raise StoreError."""

    max_bytes: int
    """The largest checkpoint kept, in bytes of JSON."""

    def save(self, record: LoopRecord) -> None:
        """Replace the record whose number is one lower, or be the first with number 1.

        LoopTaken if another is there: two processes cannot both go on with a loop.
        """

    def find(self, graph: str, loop: str) -> LoopRecord | None:
        """Give what is kept of a loop, None if nothing is."""

    def list(self, *, graph: str | None = None) -> list[LoopRecord]:
        """Give the records by graph and loop, without what may be large."""

    def delete(self, graph: str, loop: str | None = None) -> bool:
        """Forget a loop, or all loops of a graph; say whether there was one."""

    def close(self) -> None:
        """Let go of connections; what is kept stays."""


@dataclass(frozen=True, slots=True, repr=False)
class Store(Shown):
    """The three stores of one place: `runs`, `graphs`, `loops`; `where` says which place.

    At the end of a cell it lists its newest runs, each with a picture.
    """

    runs: RunStore
    graphs: GraphStore
    loops: LoopStore
    where: str

    def close(self) -> None:
        """Let go of the place; what is kept stays."""
        self.runs.close()

    def compare(self, *run_ids: str) -> RunComparison:
        """Put runs beside each other: when each node ran, how long it took in each.

        Raises StoreError for a run that is not kept here.

        >>> from flownb import Graph
        >>> from flownb.stores import open_store
        >>> store = open_store("memory://")
        >>> graph = Graph("sums").add_node("double", lambda s: {"value": s["value"] * 2})
        >>> for name in ("a", "b"):
        ...     run = graph.run({"value": 1}, store=store, run_id=name)
        >>> store.compare("a", "b")
        RunComparison(a completed, b completed)
        """
        return RunComparison(tuple(self.runs.load(name) for name in run_ids))

    def __repr__(self) -> str:
        return f"Store({self.where!r})"


PARTS: Final = ("input", "state", "shape", "options")


def now() -> float:
    """Seconds since 1970: when something was kept is said in the time of clocks on walls."""
    return time.time()


def check_asked(**asked: Any) -> None:
    """Refuse names that no store can keep, and figures that mean nothing."""
    all_checked("store", _ASKED, asked, StoreError)


_NAME: Final = TEXT | NONE
_ASKED: Final[Mapping[str, Rule]] = {
    "run_id": TEXT,
    "name": TEXT,
    "version": whole("", least=1) | NONE,
    "graph": _NAME,
    "status": word("pending", "running", "completed", "failed", "cancelled") | NONE,
    "since": number("seconds since 1970", infinite=True) | NONE,
    "until": number("seconds since 1970", infinite=True) | NONE,
    "limit": whole("runs"),
}


def written(run: RunRecord, *, max_bytes: int, parts: Sequence[str] = PARTS) -> dict[str, str]:
    """Give the JSON text of the parts of a head that may be large; StoreError names the field."""
    check_asked(run_id=run.run_id)
    where = f"run {run.run_id!r}"
    return {
        part: encode(getattr(run, part), f"{where}, its {part}", max_bytes=max_bytes)
        for part in parts
    }


def written_graph(document: Mapping[str, Any], max_bytes: int) -> str:
    """Give the JSON text of a graph document."""
    return encode(dict(document), f"graph {document.get('name')!r}", max_bytes=max_bytes)


def light(run: RunRecord) -> RunRecord:
    """Give a head without what may be large."""
    return replace(run, input=None, state=None, shape={}, options={}, steps=())


def light_loop(record: LoopRecord) -> LoopRecord:
    """Give a record without what may be large."""
    return replace(record, content="", counts="")


def graph_name(document: Mapping[str, Any]) -> str:
    """Give the name in a graph document."""
    name = document.get("name")
    if not isinstance(name, str) or not name:
        raise StoreError("a graph document has a name: save(graph.to_dict())")
    return name


def unknown_run(run_id: str, where: str) -> NotKept:
    """Say that there is no such run."""
    return NotKept(
        f"there is no run {run_id!r} in {where}: .runs.list() shows those it keeps; "
        "store= says where else to look"
    )


def unknown_graph(name: str, version: int | None, where: str) -> NotKept:
    """Say that there is no such graph."""
    which = "" if version is None else f" in version {version}"
    return NotKept(f"there is no graph {name!r}{which} in {where}")


def taken_over(run_id: str) -> RunTaken:
    """Say that somebody else goes on with this run."""
    return RunTaken(
        f"run {run_id!r} is carried on by somebody else: this one has ended here, "
        "what it did last was not kept"
    )


def loop_taken(record: LoopRecord) -> LoopTaken:
    """Say that somebody else goes on with this loop."""
    return LoopTaken(
        f"loop {record.loop!r} of graph {record.graph!r} is carried on by somebody else with the "
        "same checkpoint: it has ended here, what it did last was not kept"
    )
