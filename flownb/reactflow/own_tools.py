"""Which names do the functions of a graph have, lambdas and local ones too?

A document names functions. The canvas writes down whatever graph a cell has built, in the
process in which its functions live: there each of them can have a name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flownb.model import tools as registries
from flownb.model.conditions import Condition, Placeholder
from flownb.model.document.decode import ERRORS
from flownb.model.nodes import BaseNode
from flownb.model.policies import retries
from flownb.model.tools import ToolRegistry, is_nameless

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from flownb.model.nodes import Node
    from flownb.model.workflow import Workflow

_CALLED: tuple[str, ...] = ("fake", "takes", "fail", "on_error", "over", "cache")


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
