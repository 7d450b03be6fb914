"""What does `include` put into a graph, and may it?

A part is another graph under new names. A graph remembers its parts by the name of the
graph they come from and their prefix, so that the same part again replaces its own and
anything else that meets its names is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from flownb.errors import GraphError
from flownb.model.edges import END, START
from flownb.model.nodes import OwnLimit
from flownb.model.policies import ON_ERROR
from flownb.model.state_schema import reducers_of
from flownb.model.tools import redefines

if TYPE_CHECKING:
    from flownb.model.edges import Edge
    from flownb.model.nodes import Node
    from flownb.model.topology import Topology

_WORDS: Final = {*ON_ERROR, "continue"}


@dataclass(frozen=True, slots=True)
class Part:
    """A graph as it is included: everything under the names it has then."""

    key: tuple[str, str]
    nodes: dict[str, Node]
    edges: dict[tuple[str, str], Edge]
    options: dict[str, dict[str, Any]]
    entry_points: list[str]
    unlinked: set[str]
    reducers: dict[str, Callable[[Any, Any], Any]]
    state_model: type | None

    @classmethod
    def of(cls, graph: Topology, prefix: str) -> Part:
        """Give all names of *graph* the prefix; START and END are the same everywhere."""
        return cls.renamed(
            graph, lambda name: name if name in {START, END} else prefix + name, prefix
        )

    @classmethod
    def renamed(cls, graph: Topology, named: Callable[[str], str], prefix: str = "") -> Part:
        """Give every name of *graph* the one that *named* says."""
        nodes = [_renamed(node, graph, named) for node in graph.nodes.values()]
        edges = [
            replace(
                edge,
                source=named(edge.source),
                target=named(edge.target),
                owner=named(edge.owner) if edge.owner else None,
            )
            for edge in graph.edges.values()
        ]
        return cls(
            (graph.name, prefix),
            {node.name: node for node in nodes},
            {(edge.source, edge.target): edge for edge in edges},
            {named(loop): dict(options) for loop, options in graph.options.items()},
            [named(name) for name in graph.entry_points],
            {named(name) for name in graph.unlinked},
            dict(graph.reducers),
            graph.state_model,
        )


def _renamed(node: Node, graph: Topology, named: Callable[[str], str]) -> Node:
    says = node.on_error
    if isinstance(says, str) and says in graph.nodes and says not in _WORDS:
        says = named(says)
    return replace(
        node,
        name=named(node.name),
        limit=OwnLimit() if isinstance(node.limit, OwnLimit) else node.limit,
        on_error=says,
        router=None if node.router is None else named(node.router),
    )


def check_part(graph: Topology, part: Part, old: Part | None, parts: Iterable[Part]) -> None:
    """Refuse a part that would change what the graph has already; *old* is its own."""
    where = f"include({part.key[0]!r})"
    problems = []
    for name in part.nodes:
        if name in graph.nodes and name != END and (old is None or name not in old.nodes):
            owner = next((p.key[0] for p in parts if name in p.nodes), graph.name)
            problems.append(
                f"{where}: {owner!r} and {part.key[0]!r} both have a node {name!r}: give prefix="
            )
    mine = reducers_of(graph.state_model, graph.reducers)
    theirs = reducers_of(part.state_model, part.reducers)
    before = {} if old is None else reducers_of(old.state_model, old.reducers)
    problems += [
        f"{where}: both have a reducer for {key!r}, and not the same: keep one of them, or let the"
        " part write another key"
        for key, reducer in theirs.items()
        if key in mine and key not in before and not redefines(reducer, mine[key])
    ]
    own = None if old is not None and old.state_model is not None else graph.state_model
    model = part.state_model
    if model is not None and own is not None and not redefines(model, own):
        problems.append(
            f"{where}: its state_model is {model.__name__}, that of {graph.name!r} is"
            f" {own.__name__}: give both the same"
        )
    if problems:
        raise GraphError(*problems)


def is_other(part: Part, old: Part) -> bool:
    """Whether a part of the same name has functions that are no new versions of the old ones."""
    both = [(part.nodes[name].fn, old.nodes[name].fn) for name in part.nodes if name in old.nodes]
    return any(callable(new) and callable(was) and not redefines(new, was) for new, was in both)
