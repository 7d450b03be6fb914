"""Is this still the graph that a run was started on? If not, what is different?

A run can only be taken up where it stopped if its nodes and edges are the same. Functions
may differ: mending the one that failed and going on is what a resume is for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flownb.analysis.plan import LoopPlan, PlanEdge, PlanNode

Shape = dict[str, dict[str, list[Any]]]


def shape_of(plan: LoopPlan) -> Shape:
    """Describe as plain JSON what of a plan decides which node comes after which."""
    names = [n.name for n in plan.nodes]
    nodes = {n.name: _node(n) for n in plan.nodes[1:]}
    edges = {
        f"{n.name if i else ''} -> {names[e.target]}": _edge(e)
        for i, n in enumerate(plan.nodes)
        for e in n.outs
    }
    return {"nodes": nodes, "edges": edges}


def _node(plan: PlanNode) -> list[Any]:
    kind = "if" if plan.node.kind == "if" else "queue" if plan.node.queue else "node"
    return [kind, plan.join if len(plan.sources) > 1 else "all", plan.node.over is not None]


def _edge(edge: PlanEdge) -> list[Any]:
    return [repr(edge.when), edge.condition is not None]


def differences(old: Shape, new: Shape) -> list[str]:
    """Say in sentences what is different, the nodes first.

    >>> differences({"nodes": {"a": [], "b": []}}, {"nodes": {"a": []}, "edges": {"a -> c": []}})
    ["node 'b' is gone", 'edge a -> c is new']
    """
    found = []
    for what, quote in (("nodes", repr), ("edges", str)):
        before, after = old.get(what, {}), new.get(what, {})
        for name in [*before, *(n for n in after if n not in before)]:
            told = _told(before.get(name), after.get(name))
            if told:
                shown = name.removeprefix(" -> ")
                entry = what == "edges" and shown != name
                found.append(
                    f"entry point {shown!r} {told}"
                    if entry
                    else f"{what[:-1]} {quote(name)} {told}"
                )
    return found


def _told(before: list[Any] | None, after: list[Any] | None) -> str:
    if before is None:
        return "is new"
    if after is None:
        return "is gone"
    return "" if before == after else f"was {_words(before)}, is {_words(after)}"


def _words(facts: list[Any]) -> str:
    return "/".join(str(fact) for fact in facts)
