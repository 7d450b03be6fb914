"""What is remembered of a drawing? All of it, so that it goes out as it came in.

The workflow is what runs; the drawing keeps what is only drawn (places, labels, handles,
colours, notes, frames, fields of other tools) and which of its parts became which of the
workflow. What is still the same there is written out untouched.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from flownb.reactflow.places import Place, written

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flownb.model.edges import Edge
    from flownb.model.nodes import Node

Pair = tuple[str, str]


@dataclass(slots=True)
class Drawing:
    """The React Flow JSON that a graph came from.

    `document` is the whole file, `at` where in it the drawing stands, `ids` the id of each
    node by its name in the graph, `links` for each edge of the drawing the edges of the graph
    that it became (none: it is only drawn), `warnings` what was left out or changed,
    `remarks` what is unusual (parts that nothing links).
    `nodes`, `edges`, `options` and `about` are the graph as it was read.
    """

    place: Place
    ids: dict[str, str] = field(default_factory=dict)
    links: list[tuple[Pair, ...]] = field(default_factory=list)
    warnings: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    nodes: dict[str, Node] = field(default_factory=dict)
    edges: dict[Pair, Edge] = field(default_factory=dict)
    options: dict[str, dict[str, Any]] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def document(self) -> Any:
        """The whole file, as a copy."""
        return copy.deepcopy(self.place.document)

    @property
    def at(self) -> str:
        """Where in the file the drawing stands."""
        return written(self.place.way)

    def node(self, name: str) -> dict[str, Any]:
        """Give the drawn node of a node of the graph, as a copy; KeyError if it was not drawn."""
        wanted = self.ids[name]
        flow = self.place.flow["nodes"]
        return copy.deepcopy(next(node for node in flow if str(node["id"]) == wanted))

    def label(self, name: str) -> str:
        """Give what the box of a node says: its label, name or title, else its id."""
        node = self.node(name)
        data = node.get("data")
        said = (
            [data.get(key) for key in ("label", "name", "title")] if isinstance(data, dict) else []
        )
        return next((one for one in said if isinstance(one, str) and one.strip()), str(node["id"]))

    def facts(self) -> dict[str, int]:
        """Count what is drawn, notes and frames included.

        `edges` counts all, `simple_edges` the pairs of nodes that they link; edges that dangle
        count for nothing else. `depth` is the longest way in edges, a cycle counts as one node;
        `sources` and `sinks` have edges on one side only, `isolated` none; `cyclic` is 1 or 0.

        >>> from flownb import Graph
        >>> drawn = {"nodes": [{"id": "a"}, {"id": "b"}], "edges": [{"source": "a", "target": "b"}]}
        >>> Graph.from_react_flow(drawn, default_type="blocking").drawing.facts()["depth"]
        1
        """
        flow = self.place.flow
        return _facts(
            [str(node["id"]) for node in flow["nodes"]],
            [(str(edge.get("source")), str(edge.get("target"))) for edge in flow["edges"]],
        )

    def renamed(self, old: str, new: str) -> Drawing:
        """Give the drawing in which a node has another name, id and label; all else stays.

        >>> from flownb import Graph
        >>> drawn = {"nodes": [{"id": "a", "style": {"color": "red"}}], "edges": []}
        >>> graph = Graph.from_react_flow(drawn, default_type="blocking").rename_node("a", "check")
        >>> graph.drawing.node("check")
        {'id': 'check', 'style': {'color': 'red'}}
        """
        if old not in self.ids:
            return self
        document = flow = self.document
        for one in self.place.way:
            flow = flow[one]
        before, after = self.ids[old], new
        while any(str(node["id"]) == after for node in flow["nodes"]):
            after += "_"  # a note or a frame has this id
        for node in flow["nodes"]:
            if str(node["id"]) == before and isinstance(data := node.get("data"), dict):
                data |= {"label": new} if isinstance(data.get("label"), str) else {}
            _point(node, ("id", "parentId", "parentNode"), before, after)
        for edge in flow["edges"]:
            _point(edge, ("source", "target"), before, after)

        def name(known: str) -> str:
            return new if known == old else known

        edges = (
            replace(e, source=name(e.source), target=name(e.target)) for e in self.edges.values()
        )
        return replace(
            self,
            place=Place(self.place.way, document, flow),
            ids={name(n): after if n == old else node_id for n, node_id in self.ids.items()},
            links=[tuple((name(a), name(b)) for a, b in pairs) for pairs in self.links],
            nodes={  # the name of a queue that is not said is that of its node
                name(n): replace(node, name=name(n))
                for n, node in self.nodes.items()
                if n != old or node.queue is None
            },
            edges={(edge.source, edge.target): edge for edge in edges},
            options={name(loop): options for loop, options in self.options.items()},
        )

    def __deepcopy__(self, memo: Mapping[int, Any]) -> Drawing:
        """Share what is never changed."""
        return self


def _point(raw: dict[str, Any], keys: tuple[str, ...], before: str, after: str) -> None:
    """Let what names a node by its id name it by another."""
    for key in keys:
        if raw.get(key) is not None and str(raw[key]) == before:
            raw[key] = after


def _facts(ids: list[str], ends: list[Pair]) -> dict[str, int]:
    import networkx as nx

    known = set(ids)
    pairs = [pair for pair in ends if known.issuperset(pair)]
    graph: Any = nx.DiGraph()
    graph.add_nodes_from(ids)
    graph.add_edges_from(pairs)
    whole = nx.condensation(graph)
    ins, outs = dict(graph.in_degree()), dict(graph.out_degree())
    return {
        "nodes": len(ids),
        "edges": len(ends),
        "simple_edges": graph.number_of_edges(),
        "depth": nx.dag_longest_path_length(whole) if len(whole) else 0,
        "sources": sum(not ins[n] and outs[n] > 0 for n in graph),
        "sinks": sum(not outs[n] and ins[n] > 0 for n in graph),
        "isolated": sum(not ins[n] and not outs[n] for n in graph),
        "components": nx.number_weakly_connected_components(graph) if ids else 0,
        "cyclic": int(len(whole) < len(graph) or any(a == b for a, b in pairs)),
    }
