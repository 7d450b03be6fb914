"""What may stand in a node's `data`? The React Flow JSON that flownb itself reads and writes.

`data` is flat: what the builder's verbs take as options, and on a producer or reader also what
`set_loop` takes. These models check it, fill the form of the canvas, and are the JSON Schema
that comes with the package. Fields that are not ours may stand beside them and stay.
"""

from __future__ import annotations

import json
from functools import lru_cache
from importlib.resources import files
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from flownb.model.document.schema import (
    AnyOfDoc,
    ClassDoc,
    ConditionDoc,
    LimitDoc,
    LoopDoc,
    OtherwiseDoc,
    RetryDoc,
    ToolRef,
)
from flownb.model.policies import (
    Ack,
    AwaitPolicy,
    Join,
    Pool,
    QueueMode,
    Restart,
    StartRule,
    WhenFull,
)

VERSION: Final = 1
_SCHEMA: Final = f"schema-{VERSION}.json"


Seconds = Annotated[float, Field(ge=0)]


class _Part(BaseModel):
    model_config = ConfigDict(
        extra="allow", strict=True, allow_inf_nan=False, validate_by_name=True
    )


def _of(said: str, default: Any = None, **more: Any) -> Any:
    return Field(default, description=said, **more)


class _Loop(_Part):
    """What `set_loop` takes, on the producer or reader of the loop."""

    pool: Pool = _of("where the loop's event loop lives", "thread")
    await_policy: AwaitPolicy = _of("what the producer waits for", "path")
    start_rule: StartRule = _of("when nodes start", "dataflow")
    max_in_flight: int = _of("items whose detached work is not finished", 64, ge=1)
    when_full: WhenFull = _of("when there are so many", "block")
    on_error: str | ToolRef = _of("what happens to an item that failed", "skip")
    restart: Restart = _of("begin again after a crash", "never")
    transactional: bool = _of("pushes go out together with the ack", default=False)
    checkpoint: JsonValue = _of("a store to go on from after a restart")
    persistence_interval: float = _of("seconds between two checkpoints", 1.0, ge=0)
    resources: dict[str, str] = _of("registered context managers, by name", {})
    thread_sensitive: bool = _of("all sync code in one thread", default=False)


LOOP_OPTIONS: Final = tuple(_Loop.model_fields)


class _Drawn(_Part):
    """What every node may say."""

    label: JsonValue = _of("what the box says; the id, if nothing is said")
    description: str = _of("a word for the picture", "")


class _Class(_Drawn):
    """What every node may say that a class of the user's may be behind."""

    class_: ClassDoc | str | None = _of("a registered node class, and its settings", alias="class")
    settings: dict[str, JsonValue] | None = _of("the settings of the node class")
    takes: Seconds | ToolRef | None = _of("seconds that it lasts in simulations")
    retry: RetryDoc | list[RetryDoc] | int | None = _of("after which errors to try again")
    config: JsonValue = _of("what the function finds as ctx.config")
    keep: int | None = _of("last outputs kept", 1, ge=0)
    limit: LimitDoc | int | None = _of("calls at once, starts a second")
    join: Join = _of("with several edges in, what it waits for", "all")
    cancel: bool = _of("what join=first leaves behind is cancelled", default=True)


class _Called(_Class):
    """What every node that calls a function may say."""

    function: str | None = _of("the name of a registered function or node class")
    placeholder: str | None = _of("the type of a node whose function is missing")
    fake: str | None = _of("a registered function used in simulations")
    timeout: float | None = _of("seconds for one attempt", gt=0)
    cache: bool | int | ToolRef = _of("keep results of equal inputs", default=False)


class ProducerData(_Called, _Loop):
    """A producer, with the options of its loop."""

    kind: Literal["producer"] = "producer"
    every: float | None = _of("seconds between items", gt=0)
    items: list[JsonValue] | None = _of("the items themselves")
    range: list[int] | None = _of("start, stop, step of numbers", min_length=3, max_length=3)


class _Worker(_Called):
    fail: bool | float | str | list[int] | ToolRef | None = _of("how it fails in simulations")
    on_error: str | ToolRef | None = _of("what happens to an item that failed here")
    over: str | ToolRef | None = _of("a key of the state, called for each element")
    into: str | None = _of("the key that the results go to")
    more: str | None = _of("a registered function: further elements, of what a call gave")
    max_iterations: int | None = _of("how often it may run in a cycle", ge=1)


class BlockingData(_Worker):
    """A node that its producer waits for."""

    kind: Literal["blocking"] = "blocking"


class NonBlockingData(_Worker):
    """A node that its producer does not wait for."""

    kind: Literal["non_blocking"] = "non_blocking"


class IfData(_Worker):
    """A branch; `condition` is a registered predicate or a comparison."""

    kind: Literal["if"] = "if"
    condition: ConditionDoc | str | None = _of("a registered predicate, or a comparison")
    cases: list[str] | None = _of("the verdicts there are, beside true and false")
    router: str | None = _of("the node whose conditional edges this is")


class QueueData(_Class):
    """The end of an arm that pushes to a queue."""

    kind: Literal["queue"] = "queue"
    queue: str | None = _of("the queue's name; the node's id, if nothing is said")
    blocking: bool = _of("wait until the push is acknowledged", default=False)
    mode: QueueMode = _of("each message to one reader, or to every loop", "competing")
    maxlen: int | None = _of("messages that it holds", ge=1)
    when_full: WhenFull = _of("when it holds so many", "block")
    model: str | None = _of("a registered pydantic model")
    external: bool = _of("somebody else reads it", default=False)


class QueueReaderData(_Class, _Loop):
    """A reader of a queue, with the options of its loop."""

    kind: Literal["queue_reader"] = "queue_reader"
    queue: str | None = _of("the queue's name; that of the queue an edge comes from")
    prefetch: int = _of("messages fetched at once", 16, ge=1)
    timeout: float | None = _of("seconds that it waits for a message within a loop", gt=0)
    ack: Ack = _of("when a message is settled", "done")
    visibility_timeout: float = _of("seconds until another reader may take it", 30.0, gt=0)
    max_deliveries: int = _of("deliveries until it is a dead letter", 5, ge=1)
    external: bool = _of("somebody else writes to it", default=False)


DATA: Final[dict[str, type[_Drawn]]] = {
    "producer": ProducerData,
    "blocking": BlockingData,
    "non_blocking": NonBlockingData,
    "if": IfData,
    "queue": QueueData,
    "queue_reader": QueueReaderData,
}


class EdgeData(_Part):
    """What an edge's `data` may say; a verdict may also stand as its handle or label."""

    when: bool | int | float | str | OtherwiseDoc | AnyOfDoc | None = _of("the verdict it is for")
    condition: str | ConditionDoc | None = _of("a registered predicate, or a comparison")
    copy_: bool = _of("deep-copy the payload", default=False, alias="copy")
    description: str = _of("a word for the picture", "")
    owner: str | None = _of("the node whose definition made it")


class Section(_Part):
    """What belongs to the whole graph, as `flownb` beside `nodes` and `edges`."""

    version: Literal[1] = VERSION
    name: str | None = None
    loops: dict[str, LoopDoc] = _of("options of loops whose producer is not drawn", {})
    limits: list[LimitDoc] = _of("limits that nodes name by number", [])
    state_model: str | None = None
    reducers: dict[str, str] = {}
    entry_points: list[str] = []
    unlinked: list[str] = []


class _Position(_Part):
    x: float
    y: float


class DrawnNode(_Part):
    """A node: `type`, or `data.kind`, says what it is."""

    id: str = Field(min_length=1)
    type: str | None = None
    position: _Position
    data: ProducerData | BlockingData | NonBlockingData | IfData | QueueData | QueueReaderData


class DrawnEdge(_Part):
    """An edge."""

    id: str
    source: str
    target: str
    sourceHandle: str | None = None  # noqa: N815 - React Flow's words
    targetHandle: str | None = None  # noqa: N815
    label: JsonValue = None
    data: EdgeData | None = None


class Document(_Part):
    """A drawing in flownb's own dialect of React Flow JSON."""

    nodes: list[DrawnNode]
    edges: list[DrawnEdge]
    viewport: JsonValue = None
    flownb: Section | None = None


def make_schema() -> dict[str, Any]:
    """Make the JSON Schema of the dialect out of the models."""
    made = Document.model_json_schema(by_alias=True)
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:flownb:react-flow:{VERSION}",
    }
    return {**head, **made}


def schema() -> dict[str, Any]:
    """Give the JSON Schema that comes with the package.

    >>> schema()["$id"]
    'urn:flownb:react-flow:1'
    """
    text = files("flownb.reactflow").joinpath(_SCHEMA).read_text("utf-8")
    read: dict[str, Any] = json.loads(text)
    return read


@lru_cache(16)
def _form(kind: str) -> str:
    return json.dumps(DATA[kind].model_json_schema(by_alias=True))


def data_schema(kind: str) -> dict[str, Any]:
    """Give the JSON Schema of the `data` of one kind of node: what a form may ask for.

    >>> data_schema("producer")["properties"]["every"]["description"]
    'seconds between items'
    """
    made: dict[str, Any] = json.loads(_form(kind))
    return made
