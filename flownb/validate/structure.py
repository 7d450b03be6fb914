"""Is the structure of a graph sound? Ends, feeds and cycles, verdicts and joins.

Every edge's ends are known, loops are free of cycles, nodes are fed; every verdict can be acted
on, and every join be reached. A hint names a node that is awaited though it does not look
like it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from flownb.errors import did_you_mean
from flownb.model.edges import END
from flownb.model.policies import OTHERWISE
from flownb.plan.await_sets import RULES, ArmEnds, mark_blocking
from flownb.plan.traversal import path_to, predecessors, reach, topological
from flownb.validate.problems import Problem, error, hint, listed, warning

if TYPE_CHECKING:
    from flownb.model.edges import Edge
    from flownb.model.nodes import Node
    from flownb.validate.problems import Subject

_GUESSES: Final = 20  # looking for a similar name compares it with every other one
_GUESS_AMONG: Final = 2_000
_SHOWN: Final = 12
_HINTS: Final = 20  # for each loop: each takes a walk through it


def unknown_ends(subject: Subject) -> Iterator[Problem]:
    """Find edges that lead to or come from a node that is not there."""
    nodes, guesses = subject.workflow.nodes, 0
    for edge in subject.workflow.edges.values():
        for end in (edge.source, edge.target):
            if end not in nodes:
                guesses += 1
                known = nodes if guesses <= _GUESSES and len(nodes) <= _GUESS_AMONG else ()
                near = did_you_mean(end, known)
                yield error(f"edge {edge}: there is no node {end!r}{near}", (end,), (edge,))


def fed_producers(subject: Subject) -> Iterator[Problem]:
    """Find producers that something flows into."""
    for node in subject.nodes("producer"):
        edges = subject.ins[node.name]
        if edges:
            sources = listed([e.source for e in edges])
            yield error(
                f"producer {node.name!r} has an edge from {sources}: a producer takes no items;"
                " remove the edge, or add it as a node, or read a queue with add_queue_reader()",
                (node.name,),
                edges,
            )


def unfed_nodes(subject: Subject) -> Iterator[Problem]:
    """Find what no producer reaches, in a graph that has producers; each part once."""
    flow = subject.flow
    if not subject.producers:
        return
    fed = reach(flow.succ, [flow.index[p] for p in subject.producers])
    told = bytearray(fed)
    for start, seen in enumerate(fed):
        if seen or told[start]:
            continue
        part = _part(subject, start, told)
        if len(part) == 1 and subject.workflow.nodes[flow.names[start]].queue:
            continue  # an inbox: others push to it
        names = [flow.names[v] for v in part]
        yield error(
            f"{'node' if len(part) == 1 else 'nodes'} {listed(names)}: no producer leads here;"
            f" link {'it' if len(part) == 1 else 'them'} with add_edge(), or remove_node()",
            names,
        )


def _part(subject: Subject, start: int, told: bytearray) -> list[int]:
    """Collect the unreported nodes linked with *start*, in graph order, and mark them."""
    flow, part, told[start] = subject.flow, [start], 1
    for v in part:
        for w in (*flow.succ[v], *flow.pred[v]):
            if not told[w]:
                told[w] = 1
                part.append(w)
    return sorted(part)


def cycles(subject: Subject) -> Iterator[Problem]:
    """Find cycles in a graph with producers: one for each component, as the shortest way round."""
    if not subject.producers:
        return
    names, edges = subject.flow.names, subject.workflow.edges
    for ring in rings(subject.flow.succ):
        way = [names[v] for v in (*ring, ring[0])]
        yield error(
            f"cycle {_shortened(way)}: the items of a loop flow one way; remove one of these"
            " edges, or send the item back through a queue",
            way[:-1],
            [edges[pair] for pair in pairwise(way)],
        )


def _shortened(way: list[str]) -> str:
    if len(way) > _SHOWN:
        way = [*way[: _SHOWN - 2], f"({len(way) - _SHOWN + 1} more)", way[-1]]
    return " -> ".join(way)


def rings(succ: Sequence[Sequence[int]]) -> list[list[int]]:
    """Give one cycle of each strongly connected component; linear.

    >>> rings([[1], [2], [1], [3]])
    [[1, 2], [3]]
    """
    _, stuck = topological(succ)
    if not stuck:
        return []  # the usual case needs no networkx

    import networkx as nx

    graph = nx.DiGraph((v, w) for v in stuck for w in succ[v])
    components = [sorted(component) for component in nx.strongly_connected_components(graph)]
    found = [_ring(succ, component) for component in sorted(components)]
    return [ring for ring in found if ring]


def _ring(succ: Sequence[Sequence[int]], component: list[int]) -> list[int]:
    """Find the shortest way from the first node of the component back to it; [] if none is."""
    start, inside = component[0], set(component)
    came = predecessors({v: [w for w in succ[v] if w in inside] for v in component}, [start])
    last = next((v for v in came if start in succ[v]), None)
    return [] if last is None else path_to(came, last)


def awaited_with_their_arm(subject: Subject) -> Iterator[Problem]:
    """Find nodes that are declared non-blocking, and awaited for a blocking one in their arm."""
    has_blocking = mark_blocking(subject.flow)
    for loop in subject.producers:
        yield from hints_of(
            ArmEnds(subject.workflow, loop, flow=subject.flow, has_blocking=has_blocking)
        )


def hints_of(ends: ArmEnds) -> Iterator[Problem]:
    """Say of one loop which nodes these are, why, and what is the smallest change."""
    loop = ends.loop
    has = "in which a blocking node runs" if RULES[ends.policy].if_ran else "with a blocking node"
    for name in ends.firsts()[:_HINTS]:
        chain, blocking = ends.proof(name)
        where = "in" if blocking in chain else "beside"
        yield hint(
            f"node {name!r}: non-blocking, awaited here: {loop} waits for every arm {has}, whole,"
            f" and {blocking} {where} {_shortened(chain)} is blocking."
            f" If {loop} need not wait for {name}: {_remedy(ends, name)}",
            (name,),
            [ends.workflow.edges[pair] for pair in pairwise(chain)],
        )


def _remedy(ends: ArmEnds, name: str) -> str:
    policy = f"set_loop({ends.loop!r}, await_policy='blocking')"
    policy += " (items may overtake each other there)"
    move = ends.moved_edge(name)
    if move is None:
        return policy
    edges = "".join(f".add_edge({p!r}, {move.node!r})" for p in move.producers)
    moved = f"remove_edge({move.before!r}, {move.node!r}){edges}"
    return f"{moved} ({move.node} then gets {move.gets}), or {policy}"


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
    """Find `join=` that can never fire, or says nothing, and `cancel=` without its join."""
    for node in subject.workflow.nodes.values():
        join = node.join
        if not node.cancel and join != "first":
            yield error(
                f"node {node.name!r}: cancel=False is for join='first'; add that, or leave it out",
                (node.name,),
            )
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
