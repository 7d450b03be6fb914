"""What does a workflow look like as JSON?

A document names functions, it never contains them: loading imports nothing and
evaluates nothing, it looks names up in a `ToolRegistry`. This is the shape; how a
workflow is written into it stands in `encode`, how it is read back in `decode`.
"""

from __future__ import annotations

import re
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from flownb.errors import GraphError, did_you_mean
from flownb.jsonable import check_plain
from flownb.model.conditions import Operator
from flownb.model.nodes import Kind
from flownb.model.policies import (
    Ack,
    AwaitPolicy,
    Codec,
    Join,
    Pool,
    Prefetch,
    QueueMode,
    Restart,
    StartRule,
    WhenFull,
)

MAX_NODES: Final = 5_000
MAX_EDGES: Final = 20_000
_SHOWN: Final = 20
_CLASS_WORDS: Final = re.compile(r"dictionary or instance of (\w+)")
_AS_JSON: Final = {
    "ToolRef": '{"tool": name}',
    "OtherwiseDoc": '{"otherwise": true}',
    "AnyOfDoc": '{"any": [...]}',
    "ConditionDoc": '{"field": name, "op": comparison, "value": value}',
}


class _Doc(BaseModel):
    model_config = ConfigDict(
        extra="forbid", strict=True, allow_inf_nan=False, validate_by_name=True
    )


class ToolRef(_Doc):
    """A callable where a number or a word may stand, too: `{"tool": "name"}`."""

    tool: str


class AnyOfDoc(_Doc):
    """The `when=` of an edge that several answers of a router lead to: `{"any": [...]}`."""

    any: list[bool | int | float | str | None] = Field(min_length=1)


class OtherwiseDoc(_Doc):
    """`when=OTHERWISE`, as `{"otherwise": true}`."""

    otherwise: Literal[True] = True


class RetryDoc(_Doc):
    """A `Retry`; `on` names one exception or predicate, or several exceptions."""

    on: str | list[str]
    attempts: int = 3
    wait_initial: float = 0.1
    wait_max: float = 5.0
    wait_jitter: float = 0.0
    wait_exp_base: float = 2.0


class LimitDoc(_Doc):
    """A `Limit`; nodes that share one have the same number."""

    concurrency: int | None = None
    per_second: float | None = None


class ClassDoc(_Doc):
    """A class node: the registered name of its class, and its `Config`."""

    name: str
    settings: dict[str, JsonValue] = Field(default_factory=dict)


class QueueDoc(_Doc):
    """What `add_queue` takes; `model` is a registered name."""

    name: str
    blocking: bool = False
    mode: QueueMode = "competing"
    maxlen: int | None = None
    when_full: WhenFull = "block"
    model: str | None = None
    external: bool = False
    key: str | None = None
    codec: Codec = "json"


class ReaderDoc(_Doc):
    """What `add_queue_reader` takes."""

    queue: str
    prefetch: Prefetch = "auto"
    timeout: float | None = None
    ack: Ack = "done"
    visibility_timeout: float = 30.0
    max_deliveries: int = 5
    external: bool = False
    key: str | None = None


class ConditionDoc(_Doc):
    """A `Condition`: a field of the payload, compared with a value."""

    field: str
    op: Operator
    value: JsonValue = None


class NodeDoc(_Doc):
    """A node; at most one of `fn`, `class`, `items`, `range`, `test`, `placeholder` is called."""

    name: str
    kind: Kind
    fn: str | None = None
    class_: ClassDoc | None = Field(None, alias="class")
    items: list[JsonValue] | None = None
    range: list[int] | None = Field(None, min_length=3, max_length=3)
    test: ConditionDoc | None = None
    placeholder: str | None = None
    every: float | None = None
    takes: float | ToolRef | None = None
    fake: str | None = None
    fail: bool | float | str | list[int] | ToolRef | None = None
    retry: RetryDoc | list[RetryDoc] | None = None
    timeout: float | None = None
    on_error: str | ToolRef | None = None
    join: Join = "all"
    cancel: bool = True
    limit: int | None = None
    config: JsonValue = None
    keep: int | None = 1
    description: str = ""
    queue: QueueDoc | None = None
    reader: ReaderDoc | None = None
    over: str | ToolRef | None = None
    into: str | None = None
    more: str | None = None
    max_iterations: int | None = None
    cache: bool | int | ToolRef = False
    router: str | None = None


class EdgeDoc(_Doc):
    """An edge; `when` is a verdict, `{"otherwise": true}` or `{"any": [...]}`."""

    source: str
    target: str
    when: bool | int | float | str | OtherwiseDoc | AnyOfDoc | None = None
    condition: str | ConditionDoc | None = None
    copy_: bool = Field(False, alias="copy")
    description: str = ""
    owner: str | None = None


class LoopDoc(_Doc):
    """What `set_loop` was given; what is absent has its default."""

    pool: Pool = "thread"
    await_policy: AwaitPolicy = "path"
    start_rule: StartRule = "dataflow"
    max_in_flight: int = 64
    when_full: WhenFull = "block"
    on_error: str | ToolRef = "skip"
    restart: Restart = "never"
    transactional: bool = False
    checkpoint: JsonValue = None
    persistence_interval: float = Field(1.0, ge=0)
    resources: dict[str, str] = Field(default_factory=dict)
    thread_sensitive: bool = False


class GraphDoc(_Doc):
    """A whole workflow; `flownb` is the version of this shape."""

    flownb: Literal[1] = 1
    name: str
    nodes: list[NodeDoc] = Field(default_factory=list)
    edges: list[EdgeDoc] = Field(default_factory=list)
    loops: dict[str, LoopDoc] = Field(default_factory=dict)
    limits: list[LimitDoc] = Field(default_factory=list)
    state_model: str | None = None
    reducers: dict[str, str] = Field(default_factory=dict)
    entry_points: list[str] = Field(default_factory=list)
    unlinked: list[str] = Field(default_factory=list)


def parse(data: object, *, max_nodes: int = MAX_NODES, max_edges: int = MAX_EDGES) -> GraphDoc:
    """Check the shape of a document; no name in it is looked up."""
    if type(data) is not dict:
        msg = f"a graph document is a dict, not a {type(data).__name__}"
        raise GraphError(msg)
    for part, most in (("nodes", max_nodes), ("edges", max_edges)):
        held = data.get(part)
        if isinstance(held, list) and len(held) > most:
            msg = f"graph document: {len(held):,} {part}, at most {most:,} (max_{part}=)"
            raise GraphError(msg)
    check_plain(data, "graph document")
    try:
        return GraphDoc.model_validate(data)
    except ValidationError as error:
        raise GraphError(*_sentences(error, data)) from None


def _sentences(error: ValidationError, data: dict[str, Any]) -> list[str]:
    """One sentence for each place; a union reports once for each of its members."""
    said: dict[str, str] = {}
    for problem in error.errors(include_url=False, include_context=False, include_input=False):
        place, owner = _place(problem["loc"], data, keep_last=problem["type"] == "missing")
        text = problem["msg"][:1].lower() + problem["msg"][1:]
        text = _CLASS_WORDS.sub(lambda m: _AS_JSON.get(m[1], "dict"), text)
        if problem["type"] == "extra_forbidden":
            text = f"unknown field{did_you_mean(str(problem['loc'][-1]), _fields(problem['loc']))}"
        said[place] = f"{said[place]}, or {text}" if place in said else f"{owner}{place}: {text}"
    listed = list(said.values())
    more = len(listed) - _SHOWN
    return [*listed[:_SHOWN], *([f"... and {more} more"] if more > 0 else [])]


def _place(loc: tuple[int | str, ...], data: Any, *, keep_last: bool) -> tuple[str, str]:
    """Write the place as a path; what pydantic adds for the members of a union goes."""
    place, owner, value = "", "", data
    for i, step in enumerate(loc):
        inside = isinstance(value, (dict, list)) and _has(value, step)
        if not inside and not (keep_last and i == len(loc) - 1):
            continue
        place += f"[{step}]" if isinstance(step, int) else f".{step}"
        value = value[step] if inside else None
        if isinstance(value, dict) and isinstance(value.get("name"), str) and i == 1:
            owner = f"node {value['name']!r:.80}, "
    return place.removeprefix("."), owner


def _has(value: Any, step: int | str) -> bool:
    if isinstance(value, list):
        return isinstance(step, int) and step < len(value)
    return step in value


def _fields(loc: tuple[int | str, ...]) -> list[str]:
    parts: dict[int | str, type[_Doc]] = {"nodes": NodeDoc, "edges": EdgeDoc, "loops": LoopDoc}
    inner: dict[int | str, type[_Doc]] = {"retry": RetryDoc, "queue": QueueDoc, "reader": ReaderDoc}
    inner |= {"class": ClassDoc}
    doc = parts.get(loc[0], GraphDoc) if len(loc) > 1 else GraphDoc
    doc = next((inner[step] for step in loc[1:-1] if step in inner), doc)
    return [field.alias or name for name, field in doc.model_fields.items()]
