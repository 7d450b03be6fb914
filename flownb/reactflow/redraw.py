"""How does an edited drawing change the graph that it came from?

The canvas edits the drawing; the graph stays the object that cells and loops hold. What the
drawing says as before stays the same in it, so that only what was edited counts as an edit.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flownb.model import tools as registries
from flownb.model.conditions import Condition, Placeholder
from flownb.model.document.decode import ERRORS
from flownb.model.document.encode import write
from flownb.model.nodes import BaseNode, OwnLimit
from flownb.model.policies import retries
from flownb.model.tools import ToolRegistry, is_nameless
from flownb.reactflow.importer import read_drawing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from flownb.model.nodes import Node
    from flownb.model.policies import Limit
    from flownb.model.workflow import Workflow

_CALLED: tuple[str, ...] = ("fake", "takes", "fail", "on_error", "over", "more", "cache")


def redraw(
    graph: Workflow, document: object, *, tools: ToolRegistry | None = None, **options: Any
) -> bool:
    """Make the graph what the drawing says now; say whether that changed it.

    *document* is React Flow JSON, as `graph.to_react_flow(tools=own_tools(graph))` gives it;
    with the same *tools* (default: `own_tools(graph)`) no function is lost. FlowFormatError
    tells what is wrong with it; then the graph is as before. *options* are as in
    `Graph.from_react_flow`.

    >>> from flownb import Graph
    >>> graph = Graph("g").add_producer("days", ["dry"]).add_node("size", lambda x: len(x))
    >>> document = graph.to_react_flow(tools=own_tools(graph))
    >>> redraw(graph, document)
    False
    >>> document["edges"].append({"source": "days", "target": "size"})
    >>> redraw(graph, document), [str(edge) for edge in graph.edges.values()]
    (True, ['days -> size'])
    """
    known = own_tools(graph) if tools is None else tools
    new = read_drawing(type(graph), document, tools=known, **options)
    was, now, limits = _documents(graph, known), _documents(new, known), dict[int, "Limit"]()
    nodes = {
        name: _kept(graph.nodes[name], node, limits) if was.get(name) == now[name] else node
        for name, node in new.nodes.items()
    }
    edges = dict(new.edges)
    changed = (
        [*nodes.items()] != [*graph.nodes.items()]
        or [*edges.items()] != [*graph.edges.items()]
        or graph.options != new.options
        or (graph.name, graph.entry_points, graph.unlinked)
        != (new.name, new.entry_points, new.unlinked)
    )
    drawing = new.drawing
    drawing.nodes = dict(nodes)
    graph.drawing = drawing
    if changed:
        graph.nodes, graph.edges, graph.options = nodes, edges, new.options
        graph.name, graph.entry_points, graph.unlinked = new.name, new.entry_points, new.unlinked
        graph.state_model, graph.reducers = new.state_model, new.reducers
        graph.version += 1
    return changed


def _documents(graph: Workflow, tools: ToolRegistry) -> dict[str, Any]:
    """Give what each node says, but for who shares its limit."""
    doc = write(graph, tools).model_dump(mode="json", by_alias=True, exclude_unset=True)
    limits = doc.get("limits", [])
    for node in doc.get("nodes", []):
        if "limit" in node:
            node["limit"] = limits[node["limit"]]
    return {node["name"]: node for node in doc.get("nodes", [])}


def _kept(old: Node, new: Node, limits: dict[int, Limit]) -> Node:
    """Give the old node, with the limit that others share with it now."""
    if old.limit is None or new.limit is None or isinstance(old.limit, OwnLimit):
        return old
    limit = limits.setdefault(id(new.limit), old.limit)
    return old if limit is old.limit else replace(old, limit=limit)


# -- the functions of a graph ----------------------------------------------------


def own_tools(graph: Workflow, tools: ToolRegistry | None = None) -> ToolRegistry:
    """Give a registry that names every function of a graph, lambdas and local ones too.

    It begins with *tools*. With it any graph can be written, and read again in this process.

    >>> from flownb import Graph
    >>> graph = Graph("g").add_node("double", lambda x: 2 * x)
    >>> graph.to_react_flow(tools=own_tools(graph))["nodes"][0]["data"]["function"]
    'double'
    """
    known = ToolRegistry()
    for tool in (registries.tools if tools is None else tools).listing():
        known.register(tool.name, tool.fn, tool.description)
    for name, fn in _callables(graph):
        if callable(fn) and not _is_data(fn) and known.name_of(fn) is None:
            own = getattr(fn, "__name__", "")
            free = own if own and not is_nameless(fn) and own not in known else name
            while free in known:
                free += "'"
            known.register(free, fn)
    return known


def _is_data(fn: Any) -> bool:
    """Whether a document holds it without a name."""
    return isinstance(fn, (Condition, Placeholder)) or (
        isinstance(fn, type) and ERRORS.get(fn.__name__) is fn
    )


def _callables(graph: Workflow) -> Iterator[tuple[str, Any]]:
    """Name all that a document of the graph may have to name."""
    for node in graph.nodes.values():
        yield from _callables_of(node)
    for edge in graph.edges.values():
        yield f"{edge}, condition", edge.condition
    yield from ((f"reducer {key}", fn) for key, fn in graph.reducers.items())
    yield "state_model", graph.state_model
    for loop, options in graph.options.items():
        yield f"{loop}, on_error", options.get("on_error")
        for key, opened in (options.get("resources") or {}).items():
            yield f"{loop}, {key}", opened


def _callables_of(node: Node) -> Iterable[tuple[str, Any]]:
    yield node.name, type(node.fn) if isinstance(node.fn, BaseNode) else node.fn
    for option in _CALLED:
        yield f"{node.name}, {option}", getattr(node, option)
    for retry in retries(node.retry):
        for one in retry.on if isinstance(retry.on, tuple) else (retry.on,):
            yield f"{node.name}, retry", one
    yield f"{node.name}, model", node.queue and node.queue.model
