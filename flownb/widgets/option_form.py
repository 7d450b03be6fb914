"""Which fields does the form of a node, an edge or a loop have, and what is typed there?

The fields come from the JSON schema of the graph's own document, those of a class node from its
`Config`, the words about them from React Flow's dialect; what is typed goes through the builder's
rules, so a mistake is said as in code.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final

from flownb.errors import GraphError, did_you_mean
from flownb.jsonable import is_plain
from flownb.model import tools as registries
from flownb.model.document.decode import ERRORS
from flownb.model.document.schema import (
    EdgeDoc,
    LimitDoc,
    LoopDoc,
    NodeDoc,
    QueueDoc,
    ReaderDoc,
    RetryDoc,
)
from flownb.model.edges import AnyOf
from flownb.model.nodes import BaseNode, OwnLimit, QueueNode, QueueReader
from flownb.model.policies import OTHERWISE, Limit, Retry
from flownb.model.workflow import Workflow
from flownb.notebook.picture.text import brief
from flownb.reactflow.dialect import DATA, EdgeData

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import BaseModel

    from flownb.model.nodes import Node

Field = dict[str, Any]
_VERBS: Final[Mapping[str, Callable[..., Any]]] = {
    "producer": Workflow.add_producer,
    "blocking": Workflow.add_node,
    "non_blocking": Workflow.add_node,
    "if": Workflow.add_if,
    "queue": Workflow.add_queue,
    "queue_reader": Workflow.add_queue_reader,
}
_FIRST: Final = ("every", "takes", "timeout", "retry", "join", "limit", "description")
_NOT_HERE: Final = {"self", "name", "fn", "source", "predicate", "kind", "queue"}
_ONLY_CODE: Final = {"fake", "model", "condition", "resources", "checkpoint"}
_PARTS: Final[Mapping[str, type[BaseModel]]] = {"retry": RetryDoc, "limit": LimitDoc}
_WHAT: Final = "the function that is called: a tool, or a function of this notebook"


@cache
def _schema(doc: Any) -> dict[str, Any]:
    schema: dict[str, Any] = doc.model_json_schema(by_alias=True)
    return schema


def editor(schema: Mapping[str, Any], defs: Mapping[str, Any]) -> Field:
    """Say how a value of this JSON schema is edited: its type, and what may be chosen.

    >>> editor({"anyOf": [{"type": "number"}, {"type": "null"}]}, {})
    {'type': 'number', 'may_be_empty': True}
    >>> editor({"enum": ["a", "b"], "type": "string"}, {})
    {'type': 'choice', 'choices': ['a', 'b']}
    """
    options = [_resolved(one, defs) for one in schema.get("anyOf", [schema])]
    empty = {"may_be_empty": True} if any(o.get("type") == "null" for o in options) else {}
    options = [o for o in options if o.get("type") != "null" and o.get("title") != "ToolRef"]
    words = [word for o in options for word in o.get("enum", [o["const"]] if "const" in o else [])]
    if words:
        kind = "choice" if len(options) == 1 else "open"
        return {"type": kind, "choices": words, **empty}
    types = {str(o.get("type", "json")) for o in options}
    types = {"json" if t in {"object", "array"} else t for t in types}
    if "json" in types or not types:
        return {"type": "json", **empty}
    if types == {"boolean"}:
        return {"type": "flag"}
    if types <= {"integer", "number"}:
        return {"type": "number" if "number" in types else "integer", **empty}
    return {"type": "text" if types == {"string"} else "open", **empty}


def _resolved(schema: Mapping[str, Any], defs: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = schema.get("$ref", "")
    return defs.get(reference.rpartition("/")[2], {}) if reference else schema


def _field(name: str, doc: Any, option: str, value: Any, *said: Any) -> Field:
    schema = _schema(doc)
    found = schema["properties"].get(option, {})
    made = {
        "name": name,
        "label": option.replace("_", " "),
        **editor(found, schema.get("$defs", {})),
    }
    made["value"], made["default"] = _shown(value), found.get("default")
    made |= _help(option, *said)
    return made


def _shown(value: Any) -> Any:
    """Give a value as JSON; a function by its name, in brackets: it is set in code."""
    if value is OTHERWISE:
        return "otherwise"
    if isinstance(value, (set, frozenset, range, tuple)) and not isinstance(value, AnyOf):
        value = list(value)
    if is_plain(value):
        return value
    return {"code": brief(getattr(value, "__name__", None) or repr(value), 60)}


# -- nodes ---------------------------------------------------------------------


def node_form(graph: Workflow, node: Node) -> list[Field]:
    """Give the fields of a node, the most used first; *value* is what it has now."""
    found = list(_called(graph, node)) + list(_settings(node))
    names = [n for n in inspect.signature(_VERBS[node.kind]).parameters if n not in _NOT_HERE]
    names = [n for n in names if n not in _ONLY_CODE and not (graph.producers and n in _ONCE)]
    for name in sorted(names, key=lambda n: _FIRST.index(n) if n in _FIRST else len(_FIRST)):
        found += _fields_of(node, name)
    return found


_ONCE: Final = {"over", "into", "max_iterations"}


def _called(graph: Workflow, node: Node) -> Iterator[Field]:
    if node.queue is not None:
        yield _field("queue.name", QueueDoc, "name", node.queue.name) | {"label": "queue"}
    elif node.reader is not None:
        yield _field("reader.queue", ReaderDoc, "queue", node.reader.queue) | {
            "type": "open",
            "choices": sorted({n.queue.name for n in graph.nodes.values() if n.queue}),
        }
    else:
        own = isinstance(node.fn, BaseNode)
        yield {
            "name": "fn", "label": "function", "type": "open", "may_be_empty": True,
            "value": _shown(node.fn) if own or not callable(node.fn) else _name_of(node.fn),
            "default": None, "choices": list(callables()), "help": _WHAT,
        }  # fmt: skip


def _settings(node: Node) -> Iterator[Field]:
    """Give the fields of a class node's own Config."""
    if not isinstance(node.fn, BaseNode):
        return
    config = node.fn.config
    schema = _schema(type(config))
    for name, said in schema.get("properties", {}).items():
        made = {"name": f"settings.{name}", "label": name, "own": True}
        made |= editor(said, schema.get("$defs", {}))
        made |= {"value": _shown(getattr(config, name, None)), "default": said.get("default")}
        yield made | ({"help": said["description"]} if "description" in said else {})


def _fields_of(node: Node, name: str) -> Iterator[Field]:
    if node.queue is not None:
        yield _field(f"queue.{name}", QueueDoc, name, getattr(node.queue, name), DATA["queue"])
    elif node.reader is not None:
        yield _field(
            f"reader.{name}", ReaderDoc, name, getattr(node.reader, name), DATA["queue_reader"]
        )
    elif name in _PARTS:
        yield from _part(name, getattr(node, name))
    else:
        yield _field(name, NodeDoc, name, getattr(node, name), DATA[node.kind])


def _help(option: str, *said: Any) -> Field:
    """Give what the dialect of React Flow's JSON says of an option."""
    words = [f.description for one in said if (f := one.model_fields.get(option)) and f.description]
    return {"help": words[0]} if words else {}


def _part(name: str, value: Any) -> Iterator[Field]:
    """Give the fields of a Retry or a Limit; several retries are set in code."""
    if isinstance(value, tuple):
        yield {"name": name, "label": name, "type": "json", "value": _shown(repr(value))} | {
            "value": {"code": brief(", ".join(map(repr, value)), 60)}, "default": None,
        }  # fmt: skip
        return
    value = None if isinstance(value, OwnLimit) else value
    doc = _PARTS[name]
    for option in doc.model_fields if value is not None or name == "limit" else ["on"]:
        now = getattr(value, option) if value is not None else None
        field = _field(f"{name}.{option}", doc, option, _errors(now) if option == "on" else now)
        label = name if option == "on" else f"{name} {option}".replace("_", " ")
        more = {"type": "open", "choices": _COMMON, "may_be_empty": True} if option == "on" else {}
        empty = {"may_be_empty": True} if value is None or name == "limit" else {}
        yield field | {"label": label, "of": name} | more | empty


_COMMON: Final = ["Exception", "ValueError", "TimeoutError", "ConnectionError", "OSError"]


def _errors(on: Any) -> Any:
    return (
        ", ".join(e.__name__ for e in on) if isinstance(on, tuple) else getattr(on, "__name__", on)
    )


def loop_form(graph: Workflow, loop: str) -> list[Field]:
    """Give the fields of a loop."""
    options = graph.loop_options(loop)
    names = [n for n in LoopDoc.model_fields if n not in _ONLY_CODE]
    return [_field(name, LoopDoc, name, getattr(options, name), DATA["producer"]) for name in names]


def edge_form(graph: Workflow, ends: tuple[str, str]) -> list[Field]:
    """Give the fields of an edge."""
    edge = graph.edges[ends]
    when = _field("when", EdgeDoc, "when", edge.when, EdgeData)
    when |= {"type": "open", "choices": ["true", "false", "otherwise"], "may_be_empty": True}
    plain = [
        _field(name, EdgeDoc, name, getattr(edge, name), EdgeData)
        for name in ("copy", "description")
    ]
    return [when, *plain]


# -- what is typed -------------------------------------------------------------


def typed(graph: Workflow, node: Node, name: str, value: Any) -> dict[str, Any]:
    """Give the builder's options for what was typed into a field of a node.

    GraphError says what cannot be, and what was meant.
    """
    part, _, option = name.partition(".")
    if part in {"queue", "reader"} and option:
        return {part: replace(getattr(node, part), **{option: value})}
    if part == "settings" and isinstance(node.fn, BaseNode):
        return {"fn": _reset(node.fn, option, value)}
    special: dict[str, Callable[[], Any]] = {
        "fn": lambda: None if value in {None, ""} else function(graph, str(value)),
        "retry": lambda: _retry(graph, node, option, value),
        "limit": lambda: _limit(node, option, value),
    }
    if part in special:
        return {part: special[part]()}
    return {name: verdict(value) if name in _OPEN and value is not None else value}


_OPEN: Final = {"join", "cache"}  # a word, or a number


def _reset(fn: BaseNode, option: str, value: Any) -> BaseNode:
    settings = {f: getattr(fn.config, f) for f in fn.config.model_fields_set} | {option: value}
    queue = {"queue": fn.queue} if isinstance(fn, (QueueNode, QueueReader)) else {}
    try:
        return type(fn)(fn.name, **queue, **settings)
    except ValueError as error:
        found: list[Any] = getattr(error, "errors", lambda **_: [])(include_url=False)
        words = found[0]["msg"] if found else str(error)
        raise GraphError(f"node {fn.name!r}, {option}: {words[:1].lower()}{words[1:]}") from None


def _retry(graph: Workflow, node: Node, option: str, value: Any) -> Retry | None:
    now = node.retry if isinstance(node.retry, Retry) else None
    if option == "on":
        if value in {None, ""}:
            return None
        names = [word.strip() for word in str(value).split(",") if word.strip()]
        on: Any = tuple(_error(graph, name) for name in names)
        on = on if len(on) > 1 else on[0]
        return replace(now, on=on) if now else Retry(on=on)
    default = RetryDoc.model_fields[option].default
    return replace(now or Retry(on=Exception), **{option: default if value is None else value})


def _error(graph: Workflow, name: str) -> Any:
    return ERRORS[name] if name in ERRORS else function(graph, name, more=ERRORS)


def _limit(node: Node, option: str, value: Any) -> Limit | None:
    now = node.limit if node.limit and not isinstance(node.limit, OwnLimit) else None
    said = {o: getattr(now, o, None) for o in ("concurrency", "per_second")} | {option: value}
    return Limit(**said) if any(v is not None for v in said.values()) else None


def verdict(value: Any) -> Any:
    """Give the `when=` for what was typed: true, false, otherwise, a number or a text."""
    if value in {None, ""}:
        return None
    if value == "otherwise":
        return OTHERWISE
    try:
        read = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value
    return read if isinstance(read, (bool, int, float, str)) else value


# -- functions -----------------------------------------------------------------


def callables() -> dict[str, Callable[..., Any]]:
    """Give what may be called by name: the tools, and the functions of this notebook."""
    found = {tool.name: tool.fn for tool in registries.tools.listing()}
    for name, value in list(vars(sys.modules["__main__"]).items()):
        own = getattr(value, "__module__", None) == "__main__" and not name.startswith("_")
        if own and name not in found and _is_node(value):
            found[name] = value
    return {name: fn for name, fn in found.items() if not _is_model(fn)}


def _is_node(value: Any) -> bool:
    return isinstance(value, FunctionType) or (
        isinstance(value, type) and issubclass(value, BaseNode)
    )


def _is_model(fn: Any) -> bool:
    return isinstance(fn, type) and not issubclass(fn, BaseNode)


def function(graph: Workflow, name: str, *, more: Mapping[str, Any] | None = None) -> Any:
    """Give the function of this name: a tool, one of this notebook, or one that the graph holds."""
    found: dict[str, Any] = {_name_of(n.fn): n.fn for n in graph.nodes.values() if callable(n.fn)}
    found |= callables()
    if name in found:
        return found[name]
    near = did_you_mean(name, [*found, *(more or ())])
    msg = f"there is no function {name!r}{near}; define it in a cell, or register it in the tools"
    raise GraphError(msg)


def _name_of(fn: Any) -> str:
    known = registries.tools.name_of(fn) if fn is not None else None
    return known or str(getattr(fn, "__name__", "") or "")


def instance(fn: Any, name: str) -> Any:
    """Give what a node calls: a class node is made with its default settings."""
    if not (isinstance(fn, type) and issubclass(fn, BaseNode)):
        return fn
    try:
        return fn(name)
    except Exception as error:
        msg = f"{fn.__name__}(...) needs settings that only code can give: {brief(error, 200)}"
        raise GraphError(msg) from error
