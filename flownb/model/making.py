"""How does a `Node` come from what the user wrote, and is it another one than before?

A cell that is run twice builds its nodes twice. What did not change must compare
equal here, or a running loop would be told of edits that are none.
"""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Collection,
    Generator,
    Iterable,
    Mapping,
)
from dataclasses import fields, replace
from typing import Any, Final, get_args

from flownb.arguments import (
    FLAG,
    FUNCTION,
    NONE,
    SECONDS,
    SECONDS_ABOVE,
    TEXT,
    Rule,
    all_checked,
    number,
    whole,
    word,
)
from flownb.equality import equal
from flownb.errors import GraphError
from flownb.model.nodes import (
    BaseNode,
    Kind,
    Node,
    QueueNode,
    QueueOptions,
    QueueReader,
    ReaderOptions,
    node_name,
)
from flownb.model.policies import Limit, Retry, WhenFull

_PLAIN: Final = (str, int, float, Retry, QueueOptions, ReaderOptions)
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
    "takes": SECONDS | Rule("a function of the random numbers", callable) | NONE,
    "fake": FUNCTION | NONE,
    "fail": _PROBABILITY
    | Rule("a set of item numbers", _is_items)
    | Rule("a function of the random numbers", callable)
    | NONE,
    "retry": Rule("write Retry(on=..., attempts=...), or several", _is_retry) | NONE,
    "timeout": SECONDS_ABOVE | NONE,
    "on_error": TEXT | Rule("a function of the failure", callable) | NONE,
    "join": word("all", "each", "first") | whole("inputs to wait for", least=1),
    "limit": Rule("write Limit(concurrency=...)", lambda value: isinstance(value, Limit)) | NONE,
    "keep": whole("outputs") | Rule("None for all", lambda value: value is None),
    "description": Rule("give a text", lambda value: isinstance(value, str)),
    "over": TEXT | Rule("a function of the state", callable) | NONE,
    "into": TEXT | NONE,
    "max_iterations": whole("runs of the node", least=1) | NONE,
    "cache": FLAG | whole("results to keep") | Rule("a function of the input", callable),
}
QUEUE: Final[Mapping[str, Rule]] = {
    "name": TEXT,
    "mode": word("competing", "broadcast"),
    "maxlen": whole("messages", least=1) | NONE,
    "when_full": word(*get_args(WhenFull)),
    "model": _MODEL | NONE,
    "external": FLAG,
}
READER: Final[Mapping[str, Rule]] = {
    "queue": TEXT,
    "prefetch": whole("messages", least=1),
    "timeout": SECONDS_ABOVE | NONE,
    "ack": word("done", "awaited", "received"),
    "visibility_timeout": SECONDS_ABOVE,
    "max_deliveries": whole("deliveries", least=1),
    "external": FLAG,
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


def read_once(source: object) -> str:
    """Name the kind of a source that can be read once only; "" for any other.

    >>> read_once(n for n in [1]), read_once(map(abs, [1])), read_once([1])
    ('a generator', 'a map', '')
    """
    if isinstance(source, (Generator, AsyncGenerator)):
        return "a generator"
    builtin = type(source).__module__ == "builtins" and hasattr(source, "__next__")
    return f"a {type(source).__name__}" if builtin else ""


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
