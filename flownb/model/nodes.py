"""What is a node? A name, a kind, something to call, and how to call it.

Function nodes are plain functions; class nodes subclass `BlockingNode` and its
siblings. Both end as one frozen `Node`, which is all that the layers above see.

A cell that is run twice builds its nodes twice. What did not change must compare
equal here, or a running loop would get edits that are none.
"""

from __future__ import annotations

import re
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Callable,
    Collection,
    Generator,
    Iterable,
    Mapping,
)
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from numbers import Real
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, Protocol, Self, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from flownb.arguments import (
    FLAG,
    FUNCTION,
    MOST_SECONDS,
    NONE,
    SECONDS,
    SECONDS_ABOVE,
    TEXT,
    Rule,
    all_checked,
    answering,
    checked,
    number,
    shown,
    whole,
    word,
)
from flownb.equality import equal
from flownb.errors import ArgumentError, GraphError, RunError, beside, did_you_mean
from flownb.jsonable import short_repr
from flownb.model.conditions import Condition, Placeholder
from flownb.model.policies import Codec, Limit, Retry, WhenFull

if TYPE_CHECKING:
    from flownb.errors import Failure
    from flownb.model.policies import Ack, Fail, Join, Prefetch, QueueMode, Takes

Kind = Literal["producer", "blocking", "non_blocking", "if", "queue", "queue_reader"]
C_co = TypeVar("C_co", covariant=True)
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)


class NodeConfig(BaseModel):
    """The base of a class node's `Config`: checked once, when the node is made.

    >>> class Threshold(NodeConfig):
    ...     limit: float = 0.5
    >>> Threshold(limit=2).limit
    2.0
    """

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True)
class NodeData:
    """What a class node's `run` gets: the payload, and where it comes from.

    `payload` is the item, as the node before gave it. `meta` says where it comes from: the
    dict that functions find as `ctx.meta`. It holds `loop`, `node`, `iteration`, `visit`,
    `attempt`; for an item that came through a queue `message_id`, `deliveries` (1 at the
    first delivery) and `hops`; for a producer `position`.
    """

    payload: Any = None
    meta: Mapping[str, Any] = field(default_factory=dict)


class _Configured(Protocol[C_co]):
    """What has a `Config`."""

    @property
    def Config(self) -> Callable[..., C_co]: ...  # noqa: N802 - a nested class is its value


class BaseNode:
    """A node with a life: configured once, set up, called for each item, torn down.

    Subclass one of the kinds, say what `run` does, and give an inner `Config` if
    it has settings. Each loop works on its own deep copy. A class node keeps state,
    so it is called for one item at a time, in item order, unless `limit=` says
    otherwise.

    `name` is the node's, `config` holds its settings, of the type of its own `Config` also
    for a type checker; `kind` says which kind of node the class makes.

    >>> class Scale(BlockingNode):
    ...     class Config(NodeConfig):
    ...         factor: float = 2.0
    ...     def run(self, data):
    ...         return data.payload * self.config.factor
    >>> Scale(factor=3)
    Scale('scale', factor=3.0)

    An `__init__` of its own is for what is no setting; `run` gets a `NodeData`, so the item
    itself is `data.payload`, and `data.meta` says where it comes from.

    >>> class Add(BlockingNode):
    ...     def __init__(self, n):
    ...         self.n = n
    ...     def run(self, data):
    ...         return data.payload + self.n
    >>> from flownb import Graph
    >>> graph = Graph("sums").add_producer("days", [1, 2]).add_node("more", Add(5), keep=2)
    >>> graph.add_edge("days", "more").simulate().outputs("more")
    [6, 7]
    """

    kind: ClassVar[Kind] = "blocking"
    Config: ClassVar[type[NodeConfig]] = NodeConfig
    """The class of the settings; give an inner class of this name, made of `NodeConfig`."""

    if TYPE_CHECKING:  # a plain attribute, whose type is the inner `Config` of its class

        @property
        def config(self: _Configured[C_co]) -> C_co:
            """Its settings, as its `Config` has checked them."""

        @config.setter
        def config(self, config: NodeConfig) -> None: ...

    def __new__(cls, *_: Any, **__: Any) -> Self:
        """Give it its name and config also where an `__init__` forgets `super().__init__()`."""
        made = super().__new__(cls)
        object.__setattr__(made, "name", _snake(cls.__name__))  # the class may be frozen
        with suppress(ValidationError):  # it has settings without a default: `super()` gives them
            object.__setattr__(made, "config", cls.Config())
        return made

    def __init__(self, name: str | None = None, /, **settings: Any) -> None:
        if name is not None:
            self.name = checked(f"{type(self).__name__}()", "name", name, TEXT)
        try:
            self.config = self.Config(**settings)
        except ValidationError as error:
            who = f"{type(self).__name__}({self.name!r})"
            raise ArgumentError(*_wrong_settings(who, self.Config, error)) from None

    def setup(self, ctx: Any) -> Any:
        """Open what the node needs, on the loop's own event loop; may be async."""

    def run(self, data: NodeData) -> Any:
        """Do the work for one item and return its output; may be async."""
        return data.payload

    def teardown(self) -> Any:
        """Close what `setup` opened; may be async."""

    def __repr__(self) -> str:
        config = getattr(self, "config", ())
        settings = "".join(f", {k}={v!r}" for k, v in config)
        return f"{type(self).__name__}({self.name!r}{settings})"


def _wrong_settings(who: str, config: type[NodeConfig], error: ValidationError) -> list[str]:
    """Say in a sentence each what is wrong with the settings of a class node."""
    said = []
    for wrong in error.errors(include_url=False, include_context=False, include_input=False):
        place = ".".join(map(str, wrong["loc"]))
        if wrong["type"] == "extra_forbidden":
            said.append(
                f"{who}: there is no setting {place!r}{did_you_mean(place, config.model_fields)}"
            )
        else:
            said.append(f"{who}: {place}: {wrong['msg'][:1].lower()}{wrong['msg'][1:]}")
    return said


class ProducerNode(BaseNode):
    """A node whose `run` makes the items of a loop; `None` means nothing now."""

    kind = "producer"


class BlockingNode(BaseNode):
    """A node its producer waits for."""

    kind = "blocking"


class NonBlockingNode(BaseNode):
    """A node its producer does not wait for, unless a blocking node stands in the same arm."""

    kind = "non_blocking"


class IfNode(BaseNode):
    """A node whose `run` returns the verdict; the payload passes unchanged."""

    kind = "if"


class _QueueEnd(BaseNode):
    def __init__(
        self, name: str | None = None, /, *, queue: str | None = None, **settings: Any
    ) -> None:
        super().__init__(name, **settings)
        self.queue = self.name if queue is None else queue

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, queue={self.queue!r})"


class QueueNode(_QueueEnd):
    """The end of a loop's arm that pushes its payload to a named queue."""

    kind = "queue"


class QueueReader(_QueueEnd):
    """A node that reads a named queue; without in-edges it drives a loop."""

    kind = "queue_reader"


@dataclass(frozen=True, slots=True)
class QueueOptions:
    """What `add_queue` says of the queue that it pushes to.

    `name` is the queue's; `blocking`: the producer waits until Redis has acknowledged a push;
    `mode`, `maxlen`, `when_full`, `model`, `external`, `key` and `codec` are as in `add_queue`.
    """

    name: str
    blocking: bool = False
    mode: QueueMode = "competing"
    maxlen: int | None = None
    when_full: WhenFull = "block"
    model: type | None = None
    external: bool = False
    key: str | None = None
    codec: Codec = "json"


@dataclass(frozen=True, slots=True)
class ReaderOptions:
    """What `add_queue_reader` says of how it reads; times in seconds.

    `queue`, `prefetch`, `timeout`, `ack`, `visibility_timeout`, `max_deliveries`, `external` and
    `key` are as there.
    """

    queue: str
    prefetch: Prefetch = "auto"
    timeout: float | None = None
    ack: Ack = "done"
    visibility_timeout: float = 30.0
    max_deliveries: int = 5
    external: bool = False
    key: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One node of a workflow, as data; made by `Workflow.add_...`, never changed.

    `fn` is what is called: a function, a class node, for a producer also an
    iterable, or None (the payload passes on; a producer counts 0, 1, 2, ...). `router` is
    the node behind which `add_conditional_edges` put this if: it may give several verdicts.
    `name` and `kind` say which node it is; `queue` and `reader` hold what a queue's end was
    given. The rest is as in `add_producer` and `add_node`: `every`, `takes`, `fake`, `fail`,
    `retry`, `timeout`, `on_error`, `join`, `cancel`, `limit`, `config`, `keep`, `description`,
    `over`, `into`, `more`, `max_iterations`, `cache`.
    """

    name: str
    kind: Kind
    fn: Any = None
    every: float | None = None
    takes: Takes | None = None
    fake: Callable[..., Any] | None = None
    fail: Fail | None = None
    retry: Retry | tuple[Retry, ...] | None = None
    timeout: float | None = None
    on_error: str | Callable[[Failure], str] | None = None
    join: Join = "all"
    cancel: bool = True
    limit: Limit | None = None
    config: Any = None
    keep: int = 1
    description: str = ""
    queue: QueueOptions | None = None
    reader: ReaderOptions | None = None
    over: str | Callable[[Any], Any] | None = None
    into: str | None = None
    more: Callable[[Any], Any] | None = None
    max_iterations: int | None = None
    cache: bool | int | Callable[[Any], Any] = False
    router: str | None = None

    @property
    def is_blocking(self) -> bool:
        """Whether a producer waits for it: a blocking node, or a reader in mid-graph."""
        return self.kind in {"blocking", "queue_reader"} or (
            self.queue is not None and self.queue.blocking
        )

    @property
    def is_non_blocking(self) -> bool:
        """Whether it is non-blocking: await policy "node" detaches everything behind it."""
        return self.kind == "non_blocking" or (self.queue is not None and not self.queue.blocking)


def drawn(node: Node, rng: Random, error: BaseException | None = None) -> float:
    """Ask a `takes=` function for the seconds of one call, which may have failed with *error*.

    RunError if it raises, or gives no seconds.

    >>> drawn(Node("a", "blocking", takes=lambda rng: -1), Random(0))
    Traceback (most recent call last):
    flownb.errors.RunError: node 'a': its takes= function gave -1: give seconds, 0 or more
    """
    what, takes = f"node {node.name!r}: its takes= function", node.takes
    try:
        seconds: Any = takes(rng) if callable(takes) else takes
        good = isinstance(seconds, Real) and not isinstance(seconds, bool)
        length = float(seconds) if good else -1.0
    except BaseException as fault:
        raise beside(what, fault, error) from fault
    if not 0 <= length <= MOST_SECONDS:
        msg = f"{what} gave {short_repr(seconds, 80)}: give seconds, 0 or more"
        raise RunError(msg) from error
    return length


def node_name(value: object) -> str:
    """Give the name a function, class node or string stands for.

    >>> node_name(len), node_name("check"), node_name(Node("a", "blocking"))
    ('len', 'check', 'a')
    """
    if isinstance(value, str):
        return value
    if isinstance(value, (BaseNode, Node)):
        return value.name
    name = getattr(value, "__name__", None) or getattr(
        getattr(value, "func", None), "__name__", None
    )
    if not isinstance(name, str):
        give = "pass a name first, then the function" if callable(value) else "give its name, a str"
        raise ArgumentError(f"{shown(value)} has no name: {give}")
    return name


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


_PLAIN: Final = (str, int, float, Retry, QueueOptions, ReaderOptions, Condition, Placeholder)
_ADDED_BY_NAME: Final = (QueueNode, QueueReader)
_LIFE: Final = ("setup", "teardown", "Config")
_KEEPS_STATE: Final = ("blocking", "non_blocking", "if")


def _is_retry(value: object) -> bool:
    several = value if isinstance(value, (list, tuple)) else (value,)
    return len(several) > 0 and all(isinstance(retry, Retry) for retry in several)


def _is_items(value: object) -> bool:
    """Whether it is a set, list or range of numbers of items."""
    if not isinstance(value, Collection) or isinstance(value, (str, bytes, Mapping)):
        return False
    return all(_ITEM.fits(item) for item in value)


_ITEM: Final = whole("items")
_PROBABILITY: Final = number("failures per call", least=0, most=1)
_MODEL: Final = Rule(
    "give a pydantic model, or a type that pydantic can check",
    lambda value: not isinstance(value, (str, bytes, int, float, list, dict, set, tuple)),
)
NODE: Final[Mapping[str, Rule]] = {
    "every": SECONDS_ABOVE | NONE,
    "takes": SECONDS | answering("the random numbers") | NONE,
    "fake": FUNCTION | NONE,
    "fail": _PROBABILITY
    | Rule("a set of item numbers", _is_items)
    | answering("the random numbers")
    | NONE,
    "retry": Rule("write Retry(on=..., attempts=...), or several", _is_retry) | NONE,
    "timeout": SECONDS_ABOVE | NONE,
    "on_error": TEXT | answering("the failure") | NONE,
    "join": word("all", "each", "first") | whole("inputs to wait for", least=1),
    "cancel": FLAG,
    "limit": Rule("write Limit(concurrency=...)", lambda value: isinstance(value, Limit)) | NONE,
    "keep": whole("outputs") | Rule("None for all", lambda value: value is None),
    "description": Rule("give a text", lambda value: isinstance(value, str)),
    "over": TEXT | answering("the state") | NONE,
    "into": TEXT | NONE,
    "more": answering("what a call gave") | NONE,
    "max_iterations": whole("runs of the node", least=1) | NONE,
    "cache": FLAG | whole("results to keep") | answering("the input"),
}
QUEUE: Final[Mapping[str, Rule]] = {
    "name": TEXT,
    "mode": word("competing", "broadcast"),
    "maxlen": whole("messages", least=1) | NONE,
    "when_full": word(*get_args(WhenFull)),
    "model": _MODEL | NONE,
    "external": FLAG,
    "key": TEXT | NONE,
    "codec": word(*get_args(Codec)),
}
READER: Final[Mapping[str, Rule]] = {
    "queue": TEXT,
    "prefetch": whole("messages", least=1) | word("auto"),
    "timeout": SECONDS_ABOVE | NONE,
    "ack": word("done", "awaited", "received"),
    "visibility_timeout": SECONDS_ABOVE,
    "max_deliveries": whole("deliveries", least=1),
    "external": FLAG,
    "key": TEXT | NONE,
}
NODE_KIND: Final = word("blocking", "non_blocking")


class OwnLimit(Limit):
    """The `Limit(concurrency=1)` that a class node has of itself, because it keeps state."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(concurrency=1)


def with_own_limit(node: Node) -> Node:
    """Give the node of a copied graph: the limit that it has of itself is not shared."""
    return replace(node, limit=OwnLimit()) if isinstance(node.limit, OwnLimit) else node


def checked_name(value: object, what: str) -> str:
    """Give the name that *value* stands for, or say why it has none.

    >>> checked_name(len, "the node")
    'len'
    """
    name = node_name(value)
    if not name.strip():
        msg = f"{what} needs a name that is not empty, not {name!r}"
        raise GraphError(msg)
    if name == "<lambda>" and callable(value):
        msg = f"{what}: a lambda has no name of its own: pass a name first, then the lambda"
        raise GraphError(msg)
    return name


def make_node(name: object, kind: Kind, fn: Any, options: dict[str, Any]) -> Node:
    """Make the frozen node; a class node says itself what it needs."""
    known = checked_name(name, f"a {kind} node")
    check_called(known, kind, fn)
    if isinstance(fn, BaseNode):
        options = {**options, **_class_options(fn, options)}
    options = _checked_options(known, options)
    if options.get("cache") and fn is None:
        msg = f"node {known!r}: cache= has no meaning where there is no function to call"
        raise GraphError(msg)
    return Node(known, kind, fn, **options)


def _checked_options(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    where = f"node {name!r}"
    options = all_checked(where, NODE, given)
    for part, rules in (("queue", QUEUE), ("reader", READER)):
        if (said := options.get(part)) is not None:
            values = {field.name: getattr(said, field.name) for field in fields(said)}
            options[part] = replace(said, **all_checked(where, rules, values))
    if isinstance(options.get("retry"), list):
        options["retry"] = tuple(options["retry"])
    return options


def check_called(name: str, kind: Kind, fn: Any) -> None:
    """Refuse what a node of this kind cannot call; `validate` looks at its parameters."""
    if isinstance(fn, type) and issubclass(fn, BaseNode):
        msg = f"node {name!r}: {fn.__name__} is a class: give an instance, {fn.__name__}(...)"
        raise GraphError(msg)
    if isinstance(fn, BaseNode):
        _check_class_node(name, kind, fn)
    elif fn is not None:
        _check_function(name, kind, fn)


def _check_function(name: str, kind: Kind, fn: Any) -> None:
    if kind != "producer":
        if not callable(fn):
            msg = (
                f"node {name!r}: its function is a {type(fn).__name__}, which cannot be called: "
                "give a function"
            )
            raise GraphError(msg)
        return
    what = f"node {name!r}: its source is"
    if isinstance(fn, (str, bytes)):
        msg = f"{what} text, {fn!r:.40}: give a function or a list of items"
    elif hasattr(fn, "columns") and hasattr(fn, "to_dict"):
        given = type(fn).__name__
        msg = f"{what} a {given}, which gives its columns: give .to_dict('records') for rows"
    elif isinstance(fn, (set, frozenset)):
        msg = f"{what} a set, which has no order: give sorted(...) or a list"
    elif not callable(fn) and not isinstance(fn, (Iterable, AsyncIterable)):
        given = type(fn).__name__
        msg = f"{what} a {given}: give a function, a generator function or an iterable"
    else:
        return
    raise GraphError(msg)


def _check_class_node(name: str, kind: Kind, fn: BaseNode) -> None:
    """Refuse a class node that cannot be added so, that has no settings, or nothing to call."""
    _check_kind(name, kind, fn)
    cls = type(fn)
    if not hasattr(fn, "config"):
        msg = (
            f"node {name!r}: {cls.__name__}.Config needs settings and got none: call "
            f"super().__init__(...) with them in {cls.__name__}.__init__"
        )
        raise GraphError(msg)
    if not isinstance(fn, _ADDED_BY_NAME) and (
        not callable(fn.run) or getattr(fn.run, "__func__", None) is BaseNode.run
    ):
        own = [n for n, f in vars(cls).items() if callable(f) and n[0] != "_" and n not in _LIFE]
        other = f", not {own[0]}(...)" if own else ""
        msg = (
            f"node {name!r}: {cls.__name__} has no run(): write "
            f"def run(self, data){other}; the item is data.payload"
        )
        raise GraphError(msg)


def _check_kind(name: str, kind: Kind, fn: BaseNode) -> None:
    if fn.kind != kind:
        msg = (
            f"node {name!r}: {type(fn).__name__} is a {fn.kind} node and cannot be added as {kind}:"
            " use add_node() without kind=, or another base class"
        )
        raise GraphError(msg)


def _class_options(fn: BaseNode, options: dict[str, Any]) -> dict[str, Any]:
    more: dict[str, Any] = {}
    if isinstance(fn, QueueNode) and not options.get("queue"):
        more["queue"] = QueueOptions(fn.queue)
    if isinstance(fn, QueueReader) and not options.get("reader"):
        more["reader"] = ReaderOptions(fn.queue)
    if options.get("limit") is None and fn.kind in _KEEPS_STATE:
        more["limit"] = OwnLimit()
    return more


_BUILT_IN: Final = ("builtins", "itertools", "_io", "_csv")
_ENDLESS: Final = ("count", "cycle", "repeat")


def read_once(source: object) -> str:
    """Name the kind of a source that can be read once only; "" for any other.

    >>> read_once(n for n in [1]), read_once(map(abs, [1])), read_once([1])
    ('a generator', 'a map', '')
    """
    if isinstance(source, (Generator, AsyncGenerator)):
        return "a generator"
    kind = type(source)
    builtin = kind.__module__ in _BUILT_IN and kind.__name__ not in _ENDLESS
    return f"a {kind.__name__}" if builtin and hasattr(source, "__next__") else ""


def same(old: Node | None, new: Node) -> bool:
    """Whether the new definition says nothing that the old one did not say."""
    pairs = [(f.name, getattr(old, f.name, None), getattr(new, f.name)) for f in fields(new)]
    return all(equal(a, b) if name == "config" else _equal(a, b) for name, a, b in pairs)


def _equal(a: Any, b: Any) -> bool:
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    # `add_queue` makes a fresh QueueNode each time; its options are compared beside it.
    return (
        isinstance(a, OwnLimit)
        or type(a) in _ADDED_BY_NAME
        or (isinstance(a, _PLAIN) and bool(a == b))
        or (isinstance(a, tuple) and len(a) == len(b) and all(map(_equal, a, b)))
    )
