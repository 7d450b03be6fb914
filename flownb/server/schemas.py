"""What do requests and answers look like? Pydantic models, which OpenAPI shows.

Whatever a run holds is written as JSON for people, and never too much of it (`shown`): unlike in
a store or a queue nobody builds the value again from it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
)

from flownb.errors import told
from flownb.jsonable import Refused, Walk, short_repr
from flownb.model.document.schema import GraphDoc
from flownb.records.events import LoopState
from flownb.records.workflow_run import RunStatus

if TYPE_CHECKING:
    from flownb.errors import Failure
    from flownb.queues.spec import QueueStats
    from flownb.records.metrics import LoopMetrics, Status
    from flownb.stores.base import RunRecord, Step

_MOST: Final = 100_000  # values


def shown(value: Any) -> Any:
    """Give a value as plain JSON types.

    >>> shown({"day": (1, float("nan")), 2: {3}})
    {'day': [1, 'nan'], '2': [3]}
    """
    try:
        return _Shown().plain(value)
    except (Refused, RuntimeError):  # too deep, too many, or changing at this very moment
        return short_repr(value)


def dumps(value: Any) -> str:
    """Write JSON text: ASCII, on one line."""
    return json.dumps(shown(value), separators=(",", ":"))


class _Shown(Walk):
    def __init__(self) -> None:
        self._left = _MOST

    def part(self, value: Any, depth: int) -> Any:
        self._left -= 1
        if self._left < 0:
            raise Refused("too many values")
        return super().part(value, depth)

    def key(self, key: Any) -> str:
        return _text(key) if type(key) is str else short_repr(key, 200)

    def scalar(self, value: Any) -> Any:
        if type(value) is str:
            return _text(value)
        if type(value) is float and not math.isfinite(value):
            return repr(value)
        if type(value) is int and value.bit_length() > self.int_bits:
            return short_repr(value, 200)
        return value

    def other(self, value: Any, depth: int) -> Any:
        if isinstance(value, Mapping):
            return self.part(dict(value), depth)
        if isinstance(value, (tuple, set, frozenset)):
            return self.row(value, depth)
        if isinstance(value, (str, float)) and type(value) not in {str, float}:
            return self.scalar(str(value) if isinstance(value, str) else float(value))
        return _text(short_repr(value, 2_000))


def _text(value: str) -> str:
    return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()


_MOST_LETTERS: Final = 200
_PLAIN: Final = r"[^\x00-\x1f\x7f]"
_NAME: Final = rf"^{_PLAIN}*[^\x00-\x1f\x7f\s]{_PLAIN}*$"  # and not of blanks alone
Name = Annotated[str, StringConstraints(min_length=1, max_length=_MOST_LETTERS, pattern=_NAME)]
RunId = Name


def is_name(text: str) -> bool:
    """Whether a path can say a name: not "." and "..", which a browser takes for a way.

    >>> is_name("wet days"), is_name("a/b"), is_name(".."), is_name(" ")
    (True, True, False, False)
    """
    return (
        text not in {".", ".."} and len(text) <= _MOST_LETTERS and bool(re.fullmatch(_NAME, text))
    )


Words = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
Cursor = Annotated[
    str,
    StringConstraints(
        max_length=300, pattern=r"^0x[01]\.[0-9a-f]{1,13}p[+-][0-9]{1,2}~[^\x00-\x1f\x7f]+$"
    ),
]
Moment = Annotated[float, Field(ge=0, le=1e12, description="seconds since 1970")]
Seconds = Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)]

DOCUMENT: Final[dict[str, Any]] = {
    "flownb": 1,
    "name": "sums",
    "nodes": [{"name": "keep", "kind": "blocking"}],
}


DRAWING: Final[dict[str, Any]] = {
    "name": "drawn",
    "nodes": [{"id": "keep", "type": "blocking"}],
    "edges": [],
}


def _inlined(model: type[BaseModel]) -> dict[str, Any]:
    """Give the JSON schema of a model without references: OpenAPI keeps them elsewhere."""
    whole = model.model_json_schema(by_alias=True)
    parts = whole.pop("$defs", {})

    def inline(part: Any) -> Any:
        if isinstance(part, list):
            return [inline(one) for one in part]
        if not isinstance(part, dict):
            return part
        if "$ref" in part:
            return inline(parts[part["$ref"].rpartition("/")[2]])
        return {key: inline(value) for key, value in part.items()}

    inlined: dict[str, Any] = inline(whole)
    return inlined


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class DrawingIn(_In):
    """A graph to keep: React Flow JSON, whose nodes name registered tools."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"react_flow": DRAWING}]})

    react_flow: dict[str, Any]
    name: Name | None = Field(default=None, description="the graph's name, if it has none itself")


class DocumentIn(_In):
    """A graph to keep: our own document, as `Graph.to_dict` writes it, with registered tools."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"document": DOCUMENT}]})

    document: Annotated[dict[str, Any], WithJsonSchema(_inlined(GraphDoc))]


GraphIn = DocumentIn | DrawingIn


class _Out(BaseModel):
    @classmethod
    def of(cls, found: Any, **more: Any) -> Self:
        """Read the fields that are not given from the attributes of their names."""
        names = [name for name in cls.model_fields if name not in more and hasattr(found, name)]
        read = {name: getattr(found, name) for name in names}
        texts = {name: shown(value) for name, value in read.items() if isinstance(value, str)}
        return cls(**{**read, **texts, **more})


class GraphOut(_Out):
    """A version of a graph; `version` is None for one that was given in Python."""

    name: str
    version: int | None = None
    saved: float | None = Field(default=None, description="seconds since 1970")
    document: dict[str, Any] | None = None
    problems: list[str] = Field(default=[], description="what `validate()` says of it")
    loops: list[str] = []


class GraphList(BaseModel):
    """Graphs by name, or the versions of one, newest first."""

    graphs: list[GraphOut]


class RunOptions(_In):
    """How a run goes on: the options of `Graph.run`."""

    max_concurrency: int | None = Field(default=None, ge=1, le=1_000_000)
    max_iterations: int | None = Field(default=None, ge=1, le=1_000_000_000)
    start_rule: Literal["dataflow", "level", "sequential"] = "dataflow"
    on_error: Literal["stop", "continue"] = "stop"


class RunIn(_In):
    """A run to be carried out; one with the same `key` is carried out once."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"graph": "sums", "state": {"value": 10}}]}
    )

    graph: Name
    version: int | None = Field(default=None, ge=1, le=2**31 - 1, description="default: the newest")
    state: Any = None
    options: RunOptions = RunOptions()
    key: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,80}$")] | None = Field(
        default=None, description="a name of your own for it, so that asking twice begins one run"
    )


class StepOut(_Out):
    """One thing that happened to a node; times are seconds since 1970."""

    seq: int
    node: str
    visit: int
    kind: Literal["started", "done", "failed", "continued"]
    start: float
    end: float
    attempts: int
    output: Any = None
    error: str | None = None

    @classmethod
    def of_step(cls, step: Step) -> Self:
        """Tell what happened to a node of a run."""
        return cls.of(step, output=shown(step.value))


class LineOut(_Out):
    """A line that a node printed or logged; `time` in seconds from the run's start."""

    time: float
    node: str
    level: str
    text: str


class RunHead(_Out):
    """A run, as lists show it; times are seconds since 1970."""

    run_id: str
    graph: str
    status: RunStatus
    created: float
    updated: float
    attempt: Annotated[int, BeforeValidator(lambda made: max(1, made))]
    error: str | None = None


class RunOut(RunHead):
    """A run: its state so far, at last the final one, and where its nodes stand."""

    state: Any = None
    visited: list[str] = Field(default=[], description="the nodes that ran, once for each visit")
    nodes: Mapping[str, str] = Field(
        default={}, description="where each node stands, while it is known"
    )


class RunList(BaseModel):
    """Runs, newest first; `next` is the `cursor` of the next page, None on the last."""

    runs: list[RunHead]
    next: str | None = None


class RunLogs(BaseModel):
    """What happened in a run; `lines` are kept by the server only as long as it lives."""

    run_id: str
    steps: list[StepOut]
    lines: list[LineOut] = []


class Visited(BaseModel):
    """The nodes that ran, once for each visit, in the order of their starts."""

    run_id: str
    visited: list[str]


class LoopOut(_Out):
    """Where a loop stands; the words are those of `LoopStatus`."""

    graph: str
    loop: str
    state: LoopState
    pool: str
    reason: str
    iterations: int
    done: int
    failed: int
    failed_ticks: int
    in_flight: int
    rate: float
    last_error: str
    unread: int


class LoopList(BaseModel):
    """Loops of all running graphs."""

    loops: list[LoopOut]


class RunningGraph(_Out):
    """A graph that runs; the words are those of `Status`."""

    graph: str
    loops: list[LoopOut]
    kernel_busy: float
    unapplied: int
    server: str
    failed: int
    errors: int
    done: bool = Field(default=True, description="whether what was asked is done")

    @classmethod
    def of_status(cls, status: Status, *, done: bool = True) -> Self:
        """Say where all loops of a graph stand."""
        loops = [LoopOut.of(loop, graph=status.graph) for loop in status.loops]
        return cls.of(status, loops=loops, done=done)


class MetricsOut(BaseModel):
    """The counters of the loops of a graph, by loop; the words are those of `LoopMetrics`."""

    graph: str
    loops: dict[str, dict[str, Any]]


class FailureOut(_Out):
    """An item that failed, and why; `time` in seconds on the run's clock."""

    loop: str
    node: str
    iteration: int
    attempts: int
    error: str
    traceback: str
    time: float
    item: Any = None

    @classmethod
    def of_failure(cls, failure: Failure) -> Self:
        """Tell of an item that failed."""
        return cls.of(
            failure, error=shown(told(failure.error)), item=shown(failure.item),
            traceback=shown(failure.traceback[-8_000:]),
        )  # fmt: skip


class Failures(BaseModel):
    """The last items that failed, oldest first."""

    failures: list[FailureOut]


class GroupOut(_Out):
    """What one group of readers still has to do."""

    group: str
    lag: int
    pending: int


class QueueOut(_Out):
    """The figures of a queue; the words are those of `QueueStats`."""

    graph: str
    queue: str
    depth: int
    lag: int
    pending: int
    backlog: int
    pushed: int
    groups: list[GroupOut]

    @classmethod
    def of_stats(cls, graph: str, stats: QueueStats) -> Self:
        """Give the figures of a queue."""
        return cls.of(stats, graph=graph, groups=[GroupOut.of(group) for group in stats.groups])


class QueueList(BaseModel):
    """Queues of all running graphs."""

    queues: list[QueueOut]


class MessageIn(_In):
    """A message to push; `meta` goes with it beside the payload."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"data": {"rain": 3}}]})

    data: Any
    meta: dict[str, Any] | None = None


class MessageOut(BaseModel):
    """A message that was pushed; `id` is "" for one that a full queue dropped."""

    id: str


class PeekedMessage(_Out):
    """A message that is in a queue."""

    id: str
    data: Any
    meta: Any


class MessageList(BaseModel):
    """The oldest messages of a queue."""

    messages: list[PeekedMessage]


class Dropped(BaseModel):
    """How many messages were dropped."""

    dropped: int


class DeadLetterList(BaseModel):
    """The last dead letters of a loop, oldest first."""

    letters: list[dict[str, Any]]


class ReplayIn(_In):
    """Which dead letters are offered again: those of these ids, without it all."""

    model_config = ConfigDict(json_schema_extra={"examples": [{}]})

    ids: list[Annotated[str, StringConstraints(max_length=60)]] | None = Field(
        default=None, max_length=10_000
    )


class Replayed(BaseModel):
    """How many dead letters were offered again."""

    replayed: int


class ToolOut(_Out):
    """A registered function."""

    name: str
    signature: str
    description: str


class ToolList(BaseModel):
    """The functions that documents may name."""

    tools: list[ToolOut]


class Health(BaseModel):
    """Whether the server works."""

    status: Literal["ok"]
    version: str
    graphs: list[str] = Field(description="those that run")
    open_runs: int
    streams: int


class ProblemOut(BaseModel):
    """What went wrong, as RFC 9457 writes it."""

    type: str
    title: str
    status: int
    detail: str
    node: str | None = None
    loop: str | None = None


# -- the paths of older programs -----------------------------------------------


class GraphRunIn(_In):
    """A run to be carried out and waited for; `graph_id` is the graph's name."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"graph_id": "sums", "initial_state": {"value": 10}}]}
    )

    graph_id: Name
    initial_state: dict[str, Any] = Field(default_factory=dict)


class GraphStateOut(BaseModel):
    """Where a run stands: `state` is the state so far, at last the final one."""

    run_id: str
    graph_id: str
    status: RunStatus
    state: Any = None
    visited_nodes: list[str]
    logs: list[StepOut]
    error: str | None = None


class GraphCreated(BaseModel):
    """The graph that was kept."""

    graph_id: str
    version: int
    message: str


def metrics_of(graph: str, metrics: Mapping[str, LoopMetrics]) -> dict[str, Any]:
    """Give the counters of each loop, and of its nodes: what `MetricsOut` holds."""
    return {"graph": graph, "loops": {name: _counters(one) for name, one in metrics.items()}}


def _counters(found: LoopMetrics) -> dict[str, Any]:
    of_loop = {f.name: getattr(found, f.name) for f in fields(found) if f.name != "nodes"}
    nodes = {name: {**asdict(node), "mean": node.mean} for name, node in found.nodes.items()}
    return {**of_loop, "rate": found.rate, "nodes": nodes}


def visited_of(run: RunRecord) -> list[str]:
    """Name the nodes that ran, once for each visit; a call that a crash cut off counts once."""
    return [node for node, _ in dict.fromkeys((step.node, step.visit) for step in run.steps)]
