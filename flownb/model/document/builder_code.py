"""Which Python makes this workflow? The builder's own calls, as one would write them.

A function is named as a cell would name it: by its own name where that leads back to it
(with the import that it takes), else as the tools know it. What has neither is a
name that the reader has to fill in; the first lines say which.
"""

from __future__ import annotations

import keyword
import re
import sys
from dataclasses import fields
from itertools import count
from math import isfinite
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from flownb.model import tools as registries
from flownb.model.edges import END, START, AnyOf
from flownb.model.nodes import BaseNode, Node, OwnLimit, QueueNode, QueueReader
from flownb.model.policies import OTHERWISE, Limit, Retry
from flownb.model.tools import alike

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flownb.model.edges import Edge
    from flownb.model.tools import ToolRegistry
    from flownb.model.workflow import Workflow

_VERBS: Final = {
    "producer": "add_producer",
    "blocking": "add_node",
    "non_blocking": "add_node",
    "if": "add_if",
    "queue": "add_queue",
    "queue_reader": "add_queue_reader",
}
_ELSEWHERE: Final = {"name", "kind", "fn", "queue", "reader", "router"}  # of a node's fields
_WIDE: Final = 96  # letters of a line
_DEEP: Final = 20


def python_code(workflow: Workflow, *, tools: ToolRegistry | None = None) -> str:
    """Write the builder code that makes an equal workflow, where its functions are in reach.

    A function is in reach by its name in `__main__` or in its module, or in *tools* (default:
    `flownb.tools`).

    >>> from flownb.model.workflow import Workflow
    >>> graph = Workflow("g").add_producer("days", every=0.1).add_node("size", len)
    >>> print(python_code(graph.add_edge("days", "size")))
    from flownb import Graph
    <BLANKLINE>
    graph = (
        Graph("g")
        .add_producer("days", every=0.1)
        .add_node("size", len)
        .add_edge("days", "size")
    )
    """
    return _Code(workflow, registries.tools if tools is None else tools).text()


class _Code:
    """Writes one workflow; remembers what has to be imported, shared or filled in."""

    def __init__(self, workflow: Workflow, tools: ToolRegistry) -> None:
        self.workflow, self.tools = workflow, tools
        self.imports: dict[str, set[str]] = {"flownb": {"Graph"}}
        self.modules: set[str] = set()
        self.missing: dict[str, str] = {}
        self.limits: dict[int, tuple[str, Limit]] = {}
        self.shared = _shared_limits(workflow)

    def text(self) -> str:
        flow = self.workflow
        given = {"state_model": flow.state_model, "reducers": flow.reducers}
        options = {k: self.value(v, k) for k, v in given.items() if v}
        begin = _call("Graph", [self.value(flow.name)], options)
        steps = [*self._nodes(), *self._edges(), *self._loops()]
        if flow.entry_points:
            steps.append(_call(".set_entry_point", [self.value(n) for n in flow.entry_points], {}))
        lines = [begin, *steps]
        body = ["graph = (", *(_indented(line) for line in lines), ")"] if steps else []
        if not steps:
            body = [f"graph = {begin}"]
        if cut := [name for name in flow.nodes if name in flow.unlinked]:
            body.append(f"graph.unlinked |= {{{', '.join(map(self.value, cut))}}}")
        return "\n".join([*self._head(), "", *body])

    def _head(self) -> Iterator[str]:
        for name, what in self.missing.items():
            yield f"# fill in {name}: {what}"
        for module in sorted(self.modules):
            yield f"import {module}"
        for module, names in sorted(self.imports.items()):
            yield f"from {module} import {', '.join(sorted(names))}"
        for name, limit in self.limits.values():
            yield f"{name} = {limit!r}"

    # -- verbs -----------------------------------------------------------------

    def _nodes(self) -> Iterator[str]:
        for node in self.workflow.nodes.values():
            if node.name != END and node.router is None:
                yield self._node(node)

    def _node(self, node: Node) -> str:
        options = self._options(node)
        if node.queue is not None:
            said = {f.name: getattr(node.queue, f.name) for f in _changed(node.queue)}
            if said.pop("name") != node.name:
                options["queue"] = self.value(node.queue.name)
            if said.pop("blocking", False):
                options["kind"] = '"blocking"'
            options |= {k: self.value(v, f"{k} of {node.name}") for k, v in said.items()}
        if node.reader is not None:
            options |= {
                f.name: self.value(getattr(node.reader, f.name)) for f in _changed(node.reader)
            }
        if node.kind == "non_blocking" and not isinstance(node.fn, BaseNode):
            options["kind"] = '"non_blocking"'
        args = [self.value(node.name)]
        if type(node.fn) not in {QueueNode, QueueReader} and node.fn is not None:
            args.append(self.value(node.fn, f"the function of {node.name!r}", node.name))
        return _call(f".{_VERBS[node.kind]}", args, options)

    def _options(self, node: Node) -> dict[str, str]:
        found = {}
        for field in _changed(node):
            value = getattr(node, field.name)
            if field.name in _ELSEWHERE or isinstance(value, OwnLimit):
                continue
            found[field.name] = self.value(value, f"{field.name}= of {node.name!r}", node.name)
        return found

    def _edges(self) -> Iterator[str]:
        """Write every edge in its place; those of a path are one call."""
        path: list[str] = []
        done: set[str] = set()
        begins = [n for n, node in self.workflow.nodes.items() if node.router == START]
        for edge in self.workflow.edges.values():
            router = self._router(edge)
            if router is None and not self._edge_options(edge):
                if path and path[-1] == edge.source:
                    path.append(edge.target)
                    continue
                yield from self._path(path)
                path = [edge.source, edge.target]
                continue
            yield from self._path(path)
            path = []
            if router is None:
                ends = [self._end(edge.source), self._end(edge.target)]
                yield _call(".add_edge", ends, self._edge_options(edge))
            elif router not in done:
                done.add(router)
                yield self._choice(router)
        yield from self._path(path)
        yield from (self._choice(name) for name in begins if name not in done)

    def _path(self, path: list[str]) -> Iterator[str]:
        if path:
            yield _call(".add_edge", [self._end(name) for name in path], {})

    def _end(self, name: str) -> str:
        if name != END:
            return self.value(name)
        self.imports["flownb"].add("END")
        return "END"

    def _edge_options(self, edge: Edge) -> dict[str, str]:
        what = f"of {edge}"
        return {
            f.name: self.value(getattr(edge, f.name), f"{f.name}= {what}", edge.source)
            for f in _changed(edge)
            if f.name not in {"source", "target", "owner"}
        }

    def _router(self, edge: Edge) -> str | None:
        """Name the router that made the edge."""
        node = self.workflow.nodes.get(edge.owner or "")
        return edge.owner if node is not None and node.router is not None else None

    def _choice(self, name: str) -> str:
        router = self.workflow.nodes[name]
        pairs = []
        for edge in self.workflow.edges.values():
            if edge.owner == name and edge.source == name:
                labels = edge.when if type(edge.when) is AnyOf else (edge.when,)
                pairs += [f"{self.value(label)}: {self._end(edge.target)}" for label in labels]
        source = self._end(str(router.router))
        if router.router == START:
            self.imports["flownb"].add("START")
            source = "START"
        called = self.value(router.fn, f"the router {name!r}", name)
        return _call(".add_conditional_edges", [source, called, f"{{{', '.join(pairs)}}}"], {})

    def _loops(self) -> Iterator[str]:
        for loop, options in self.workflow.options.items():
            said = {k: self.value(v, f"{k}= of {loop!r}", loop) for k, v in options.items()}
            if said:
                yield _call(".set_loop", [self.value(loop)], said)

    # -- values ----------------------------------------------------------------

    def value(self, value: Any, what: str = "", owner: str = "", depth: int = 0) -> str:
        """Write a value as Python; what cannot be written is a name to be filled in."""
        made = _plain(value) or (
            self._container(value, what, owner, depth) if depth < _DEEP else ""
        )
        made = made or self._policy(value, what, owner) or self._class_node(value, what, owner)
        return made or self._named(value, what, owner)

    def _policy(self, value: Any, what: str, owner: str) -> str:
        if value is OTHERWISE:
            self.imports["flownb"].add("OTHERWISE")
            return "OTHERWISE"
        if isinstance(value, Limit):
            return self._limit(value)
        if isinstance(value, Retry):
            self.imports["flownb"].add("Retry")
            said = {f.name: getattr(value, f.name) for f in _changed(value)}
            return _call("Retry", [], {k: self.value(v, what, owner) for k, v in said.items()})
        return ""

    def _container(self, value: Any, what: str, owner: str, depth: int) -> str:
        def each(values: Any) -> str:
            return ", ".join(self.value(v, what, owner, depth + 1) for v in values)

        kind, made = type(value), ""
        if kind is AnyOf:
            self.imports.setdefault("flownb.model.edges", set()).add("AnyOf")
            made = f"AnyOf([{each(value)}])"
        elif kind is list:
            made = f"[{each(value)}]"
        elif kind is tuple:
            made = f"({each(value)}{',' * (len(value) == 1)})"
        elif kind in {set, frozenset} and all(type(one) is int for one in value):
            made = f"{{{each(sorted(value))}}}" if value else "set()"
            made = made if kind is set else f"frozenset({made})"
        elif kind is dict:
            pairs = (f"{each([k])}: {each([v])}" for k, v in value.items())
            made = f"{{{', '.join(pairs)}}}"
        return made

    def _limit(self, limit: Limit) -> str:
        self.imports["flownb"].add("Limit")
        if id(limit) not in self.shared:
            return repr(limit)
        number = len(self.limits) + 1
        return self.limits.setdefault(id(limit), (f"limit_{number}", limit))[0]

    def _class_node(self, value: Any, what: str, owner: str) -> str:
        """Write the call that makes a class node, if its class, name and settings make it."""
        if not isinstance(value, BaseNode):
            return ""
        kind = type(value)
        name = self._reach(kind)
        settings = {f: getattr(value.config, f) for f in value.config.model_fields_set}
        queue = {"queue": value.queue} if isinstance(value, (QueueNode, QueueReader)) else {}
        try:
            again = kind(value.name, **queue, **settings)
            same = vars(again) == vars(value)
        except Exception:  # noqa: BLE001 - the user's own constructor
            same = False
        if name is None or not same:
            return self._fill_in(what or f"the node {value.name!r}", owner)
        said = {k: self.value(v, what, owner) for k, v in {**queue, **settings}.items()}
        return _call(name, [_quoted(value.name)], said)

    def _named(self, value: Any, what: str, owner: str) -> str:
        known = self._reach(value)
        if known is not None:
            return known
        tool = self.tools.name_of(value)
        if tool is not None:
            self.imports["flownb"].add("tools")
            return f"tools.get({_quoted(tool)})"
        return self._fill_in(f"{what}, {_said(value)}", owner)

    def _reach(self, value: Any) -> str | None:
        """Give the words that lead to a function or class, with the import that they take."""
        home, path = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
        if isinstance(value, ModuleType) or not isinstance(path, str) or "<" in path:
            return None
        parts = path.split(".")
        if home is None and (owner := getattr(value, "__objclass__", None)) is not None:
            home = owner.__module__  # a method of a built-in type
        module = sys.modules.get(home or "")
        if module is None or not all(_is_name(part) for part in parts):
            return None
        found: Any = module
        for part in parts:
            found = getattr(found, part, None)
        if found is not value and not alike(found, value):
            return None
        if home not in {"__main__", "builtins"}:
            self.imports.setdefault(str(home), set()).add(parts[0])
        return path

    def _fill_in(self, what: str, owner: str) -> str:
        stem = re.sub(r"\W+", "_", owner.lower()).strip("_") or "value"
        stem = f"_{stem}" if stem[:1].isdigit() or keyword.iskeyword(stem) else stem
        names = (f"{stem}_fn{n if n > 1 else ''}" for n in count(1))
        name = next(name for name in names if self.missing.get(name, what) == what)
        self.missing[name] = what
        return name


def _shared_limits(workflow: Workflow) -> set[int]:
    seen: set[int] = set()
    twice: set[int] = set()
    for node in workflow.nodes.values():
        if node.limit is not None:
            (twice if id(node.limit) in seen else seen).add(id(node.limit))
    return twice


def _changed(value: Any) -> Iterator[Any]:
    """Give the fields of a dataclass that have not their default; True is not 1."""
    for field in fields(value):
        now, default = getattr(value, field.name), field.default
        plain = isinstance(now, (bool, int, float, str))
        same = isinstance(now, bool) is isinstance(default, bool) and plain and now == default
        if now is not default and not same:
            yield field


def _plain(value: Any) -> str:
    if type(value) is str:
        return _quoted(value)
    if type(value) is float and not isfinite(value):
        return f'float("{value}")'
    return repr(value) if type(value) in {type(None), bool, int, float, bytes, range} else ""


def _said(value: Any) -> str:
    name = getattr(value, "__name__", "")
    return "a lambda" if name == "<lambda>" else f"{type(value).__name__} {name}".strip()


def _is_name(word: str) -> bool:
    return word.isidentifier() and not keyword.iskeyword(word)


def _quoted(text: str) -> str:
    """Write a text as the formatter would: in double quotes where it can."""
    plain = repr(text)
    inside = plain[1:-1]
    return f'"{inside}"' if plain[0] == "'" and '"' not in inside and "\\'" not in inside else plain


def _call(name: str, args: list[str], options: dict[str, str]) -> str:
    """Write a call, over several lines where one would be too long."""
    said = [*args, *(f"{key}={value}" for key, value in options.items())]
    line = f"{name}({', '.join(said)})"
    if len(line) + 4 <= _WIDE:
        return line
    return "\n".join([f"{name}(", *(_indented(f"{one},") for one in said), ")"])


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.split("\n"))
