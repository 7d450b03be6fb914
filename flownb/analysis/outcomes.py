"""Can every verdict be acted on, and every join be reached?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from flownb.analysis.problems import Problem, error, warning
from flownb.model.edges import END
from flownb.model.policies import OTHERWISE

if TYPE_CHECKING:
    from flownb.analysis.problems import Subject
    from flownb.model.edges import Edge
    from flownb.model.nodes import Node


def verdicts(subject: Subject) -> Iterator[Problem]:
    """Find ifs that decide nothing, and `when=` where nobody gives a verdict."""
    for node in subject.workflow.nodes.values():
        outs = subject.outs[node.name]
        if subject.is_if(node):
            yield from _of_if(node, outs)
        else:
            yield from _without_if(node, [e for e in outs if e.when is not None])


def _without_if(node: Node, edges: list[Edge]) -> Iterator[Problem]:
    for edge in edges:
        what = "drives a loop" if node.kind == "queue_reader" else f"is a {node.kind} node"
        yield error(
            f"edge {edge}: when= needs an if, and {node.name!r} {what};"
            " add it with add_if(), or use condition=",
            (node.name,),
            (edge,),
        )


def _of_if(node: Node, outs: list[Edge]) -> Iterator[Problem]:
    whens = [e for e in outs if e.when is not None]
    labelled = [e for e in whens if e.when is not OTHERWISE and not isinstance(e.when, bool)]
    others = [e for e in whens if e.when is OTHERWISE]
    if node.kind == "if" and not outs:
        yield error(
            f"if {node.name!r} has no edges: give its verdict a way,"
            f" add_edge({node.name!r}, ..., when=True)",
            (node.name,),
        )
    elif node.kind == "if" and not any(e.conditional for e in outs):
        yield warning(
            f"if {node.name!r}: no edge has when=, so its verdict changes nothing;"
            " say when=True or when=False",
            (node.name,),
            outs,
        )
    yield from _otherwise(node, others)
    yield from _labels(node, labelled, whens if not others else [])


def _otherwise(node: Node, others: list[Edge]) -> Iterator[Problem]:
    if len(others) > 1:
        edges = " and ".join(map(str, others))
        yield error(
            f"if {node.name!r}: {len(others)} edges have when=OTHERWISE ({edges}): keep one",
            (node.name,),
            others,
        )


def _labels(node: Node, labelled: list[Edge], whens: list[Edge]) -> Iterator[Problem]:
    if node.kind == "queue_reader":
        for edge in labelled:
            yield error(
                f"edge {edge}: when={edge.when!r} never comes true, the verdict of reader"
                f" {node.name!r} is True (a message) or False (timeout)",
                (node.name,),
                (edge,),
            )
    elif labelled and whens and node.router is None:
        known = ", ".join(repr(e.when) for e in whens)
        yield warning(
            f"if {node.name!r}: a verdict other than {known} fails the item;"
            " add an edge when=OTHERWISE if it should not",
            (node.name,),
            whens,
        )


def joins(subject: Subject) -> Iterator[Problem]:
    """Find `join=` that can never fire, or says nothing."""
    for node in subject.workflow.nodes.values():
        join = node.join
        if join == "all":
            continue
        edges = subject.ins[node.name]
        if isinstance(join, int) and len(edges) < join and edges:
            yield error(
                f"node {node.name!r}: join={join} can never fire, it has {len(edges)}"
                f" {'edge' if len(edges) == 1 else 'edges'} in; use a smaller number or join='all'",
                (node.name,),
                edges,
            )
        elif len(edges) == 1:
            yield warning(
                f"node {node.name!r}: join={join!r} says nothing with one edge in ({edges[0]});"
                " leave it out, or add the missing edge",
                (node.name,),
                edges,
            )


def nesting(subject: Subject) -> Iterator[Problem]:
    """Find joins behind a join="each" that are not "each" themselves.

    What stands behind an "each" runs once for each token, so nobody could say which
    tokens such a join has to wait for.
    """
    nodes = subject.workflow.nodes
    origin = _behind_each(subject)
    for name, each in origin.items():
        edges, join = subject.ins[name], nodes[name].join
        if len(edges) > 1 and join != "each":
            what = "give both join='each', or both join='all'"
            if name == END:
                what = "leave END out there, a run ends by itself"
            yield error(
                f"node {name!r}: join={join!r} behind {each!r}, which has join='each' and sends"
                f" on one item for each input; {what}",
                (name, each),
                edges,
            )


def _behind_each(subject: Subject) -> dict[str, str]:
    """Map what is reachable from the "each" joins to the first such join, in graph order."""
    nodes = subject.workflow.nodes.values()
    starts = [n.name for n in nodes if n.join == "each" and len(subject.ins[n.name]) > 1]
    origin: dict[str, str] = {}
    stack = [(e.target, name) for name in reversed(starts) for e in subject.outs[name]]
    while stack:
        name, each = stack.pop()
        if name not in origin:
            origin[name] = each
            stack.extend((e.target, each) for e in subject.outs[name])
    return {name: origin[name] for name in subject.workflow.nodes if name in origin}
