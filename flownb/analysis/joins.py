"""What payload does a node with several in-edges get?

In-edges that cannot be live together, the arms of one if, merge: the payload comes
as it is. Otherwise the node always gets `{source: output}` of its live inputs, even
when only one is live: the shape is decided by the graph, never by the run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from flownb.analysis.paths import Flow, reach

if TYPE_CHECKING:
    from flownb.model.edges import Edge

# For each if that must have decided so: the verdicts under which the edge is live.
Implied = dict[int, frozenset[Any]]


def merging(flow: Flow, order: Sequence[int], ins: dict[int, list[Edge]]) -> bytearray:
    """Mark the nodes with several in-edges of which no two can be live together.

    *order* is topological; *ins* holds the in-edges of each node in edge order.
    """
    joins = [v for v in order if len(ins.get(v, ())) > 1]
    out = bytearray(len(flow.names))
    if not joins:
        return out
    matters, labels = reach(flow.pred, joins), _labels(flow, ins)
    implied: dict[int, Implied] = {}
    for v in order:
        if matters[v]:
            edges = [_of_edge(flow, e, implied) for e in ins.get(v, ())]
            implied[v] = _in_all(edges, labels)
            out[v] = len(edges) > 1 and _exclusive(edges)
    return out


def _of_edge(flow: Flow, edge: Edge, implied: dict[int, Implied]) -> Implied:
    source = flow.index[edge.source]
    known = implied.get(source, {})
    if edge.when is None:
        return known
    return {**known, source: frozenset((_label(edge.when),))}


def _label(when: Any) -> Any:
    """Give what is equal where verdicts are equal: 1 and True are one label."""
    try:
        hash(when)
    except TypeError:
        return repr(when)
    return when


def _labels(flow: Flow, ins: dict[int, list[Edge]]) -> Implied:
    """Collect all verdicts that the edges of each if name."""
    found: dict[int, set[Any]] = {}
    for edge in (e for edges in ins.values() for e in edges):
        if edge.when is not None:
            found.setdefault(flow.index[edge.source], set()).add(_label(edge.when))
    return {i: frozenset(labels) for i, labels in found.items()}


def _in_all(edges: Sequence[Implied], labels: Implied) -> Implied:
    """Keep what every edge implies; an if of which any verdict will do says nothing more."""
    if len(edges) < 2:  # noqa: PLR2004 - shared, not copied: long chains stay linear
        return edges[0] if edges else {}
    first, *rest = edges
    united = {
        i: verdicts.union(*(e[i] for e in rest))
        for i, verdicts in first.items()
        if all(i in e for e in rest)
    }
    return {i: verdicts for i, verdicts in united.items() if verdicts != labels[i]}


def _exclusive(edges: Sequence[Implied]) -> bool:
    return all(_never_both(a, b) for i, a in enumerate(edges) for b in _after(edges, i))


def _after(edges: Sequence[Implied], i: int) -> Iterable[Implied]:
    return (edges[j] for j in range(i + 1, len(edges)))


def _never_both(a: Implied, b: Implied) -> bool:
    return any(a[i].isdisjoint(b[i]) for i in a if i in b)
