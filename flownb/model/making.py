"""How does a `Node` come from what the user wrote, and is it another one than before?

A cell that is run twice builds its nodes twice. What did not change must compare
equal here, or a running loop would be told of edits that are none.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, Final

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
from flownb.model.policies import Limit, Retry

_PLAIN: Final = (str, int, float, Retry, QueueOptions, ReaderOptions)
_ADDED_BY_NAME: Final = (QueueNode, QueueReader)
_KEEPS_STATE: Final = ("blocking", "non_blocking", "if")


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
    if isinstance(fn, type) and issubclass(fn, BaseNode):
        msg = f"node {known!r}: {fn.__name__} is a class: give an instance, {fn.__name__}(...)"
        raise GraphError(msg)
    _check_cache(known, fn, options.get("cache", False))
    if isinstance(options.get("retry"), list):
        options = {**options, "retry": tuple(options["retry"])}
    if isinstance(fn, BaseNode):
        _check_kind(known, kind, fn)
        options = {**options, **_class_options(fn, options)}
    return Node(known, kind, fn, **options)


def _check_cache(name: str, fn: Any, cache: Any) -> None:
    if not (callable(cache) or (isinstance(cache, int) and cache >= 0)):
        msg = f"node {name!r}: cache={cache!r}: give True, how many results, or a function"
        raise GraphError(msg)
    if cache and fn is None:
        msg = f"node {name!r}: cache= has no meaning where there is no function to call"
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


def same(old: Node | None, new: Node) -> bool:
    """Whether the new definition says nothing that the old one did not say."""
    pairs = [(getattr(old, f.name, None), getattr(new, f.name)) for f in fields(new)]
    return all(_equal(a, b) for a, b in pairs)


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
