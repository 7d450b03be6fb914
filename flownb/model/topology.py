"""What is in a workflow, and what leads where?

The half of the builder that is asked: `Workflow` adds the verbs that change it.
Nodes and edges are held by name, in the order in which they were first added.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flownb.errors import GraphError
from flownb.model.edges import did_you_mean
from flownb.model.making import checked_name
from flownb.model.nodes import BaseNode, Node, node_name

if TYPE_CHECKING:
    from flownb.model.edges import Edge

NodeRef = str | Callable[..., Any] | BaseNode | Node


class Topology:
    """Nodes, edges and loop options by name; `version` counts the edits."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.edges: dict[tuple[str, str], Edge] = {}
        self.options: dict[str, dict[str, Any]] = {}
        self.entry_points: list[str] = []
        self.version = 0

    @property
    def producers(self) -> tuple[str, ...]:
        """The names of the loops: producers, and readers that nothing flows into."""
        fed = {e.target for e in self.flow_edges()}
        return tuple(
            n.name
            for n in self.nodes.values()
            if n.kind == "producer" or (n.kind == "queue_reader" and n.name not in fed)
        )

    def flow_edges(self) -> list[Edge]:
        """All edges that items flow along: those from a queue to its reader are cut."""
        return [e for e in self.edges.values() if not self.is_queue_edge(e)]

    def is_queue_edge(self, edge: Edge) -> bool:
        """Whether the edge is an asynchronous boundary: from a queue to a reader."""
        source, target = self.nodes.get(edge.source), self.nodes.get(edge.target)
        return bool(source and target and source.kind == "queue" and target.kind == "queue_reader")

    def queue_links(self) -> list[tuple[str, str]]:
        """All (queue node, reader node) pairs that share a queue, drawn or not."""
        readers: dict[str, list[str]] = {}
        for node in self.nodes.values():
            if node.reader:
                readers.setdefault(node.reader.queue, []).append(node.name)
        writers = [(n.name, n.queue.name) for n in self.nodes.values() if n.queue]
        return [(writer, reader) for writer, queue in writers for reader in readers.get(queue, ())]

    def __contains__(self, name: object) -> bool:
        return name in self.nodes

    def _ref(self, value: NodeRef) -> str:
        """Give the name of the node that a function or class node is in; a name is one."""
        if isinstance(value, (str, Node)):
            return node_name(value)
        held = [n.name for n in self.nodes.values() if n.fn is value]
        if len(held) > 1:
            nodes = ", ".join(held)
            msg = f"{node_name(value)!r} is the function of {nodes}: name the node you mean"
            raise GraphError(msg)
        return held[0] if held else checked_name(value, "an edge end that no node holds")

    def _known(self, name: str, where: str) -> str:
        if name not in self.nodes:
            msg = f"{where}: there is no node {name!r}{did_you_mean(name, self.nodes)}"
            raise GraphError(msg)
        return name
