"""Can a graph without a producer run once: does it begin, and does every cycle end?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from flownb.errors import did_you_mean
from flownb.model.policies import ON_ERROR
from flownb.plan.compiler import cycles_of, unreached
from flownb.validate.problems import Problem, error, listed
from flownb.validate.structure import rings

if TYPE_CHECKING:
    from flownb.model.edges import Edge
    from flownb.validate.problems import Subject

_ONCE: Final = ("over", "into", "more", "max_iterations")
_BOTH: Final = 2


def one_shot_options(subject: Subject) -> Iterator[Problem]:
    """Find options of one-shot runs in a graph of loops, and handlers that nothing leads to."""
    for node in subject.workflow.nodes.values():
        given = next((o for o in _ONCE if getattr(node, o) is not None), "")
        if node.more is not None and node.over is None:
            yield error(
                f"node {node.name!r}: more= adds to the elements of over=: say that, too",
                (node.name,),
            )
        elif subject.producers and given:
            yield error(
                f"node {node.name!r}: {given}= is for graphs without a producer, which run"
                " once; leave it out",
                (node.name,),
            )
        if isinstance(node.on_error, str):
            yield from _handler(subject, node)


def _handler(subject: Subject, node: Any) -> Iterator[Problem]:
    targets = [e.target for e in subject.outs[node.name]]
    words = list(ON_ERROR) if subject.producers else ["stop", "continue", *targets]
    if node.on_error not in words:
        what = "choose one of " if subject.producers else "choose a node behind it, or one of "
        yield error(
            f"node {node.name!r}: on_error={node.on_error!r}: {what}{', '.join(words)},"
            " or give a function of the failure",
            (node.name,),
        )


def beginnings(subject: Subject) -> Iterator[Problem]:
    """Find a run that cannot begin, and what no entry point leads to."""
    workflow = subject.workflow
    if not workflow.nodes:
        return
    unknown = [n for n in workflow.entry_points if n not in workflow.nodes]
    for name in unknown:
        near = did_you_mean(name, workflow.nodes)
        yield error(f"set_entry_point({name!r}): there is no such node{near}", (name,))
    if subject.producers:
        if workflow.entry_points:
            first = workflow.entry_points[0]
            text = f"set_entry_point({first!r}): a graph with a producer begins at its producer"
            yield error(text, (first,))
    elif not unknown:
        lost = unreached(workflow)
        cut = [n for n in lost if n in workflow.unlinked]
        never = [n for n in lost if n not in workflow.unlinked]
        if cut:
            text = (
                f"{_nodes(cut)}: nothing leads here any more; add an edge, remove_node(), or"
                f" name all nodes to begin with, set_entry_point({cut[0]!r}, ...)"
            )
            yield error(text, cut)
        if never:
            yield error(f"{_nodes(never)}: no entry point leads here; add an edge", never)


def _nodes(names: Sequence[str]) -> str:
    return f"{'node' if len(names) == 1 else 'nodes'} {listed(names)}"


def endless(subject: Subject) -> Iterator[Problem]:
    """Find cycles of a one-shot graph that no run could leave."""
    if subject.producers:
        return
    flow = subject.flow
    free = [
        [flow.index[e.target] for e in subject.outs[name] if not e.conditional]
        for name in flow.names
    ]
    told = False
    for ring in rings(free):
        way = [flow.names[v] for v in (*ring, ring[0])]
        told = True
        yield error(
            f"cycle {' -> '.join(way)} has no exit: put an if in it, or a condition= on an edge",
            way[:-1],
            [subject.workflow.edges[pair] for pair in pairwise(way)],
        )
    if not told and rings(flow.succ):
        yield from _closed(subject)


def _closed(subject: Subject) -> Iterator[Problem]:
    """Find cycles that every verdict stays in, and joins that make no sense in one."""
    flow = subject.flow
    number = cycles_of(flow.succ)
    for cycle in range(max(number) + 1):
        inside = {name for name, k in zip(flow.names, number, strict=True) if k == cycle}
        names = [name for name in flow.names if name in inside]
        if not any(_may_leave(subject.outs[name], inside) for name in names):
            yield error(
                f"cycle of {listed(names)} has no exit: no edge leaves it, and no if in it has a"
                " verdict without an edge",
                names,
            )
        for name in names:
            node = subject.workflow.nodes[name]
            resets = node.join == "first" and not node.cancel
            if node.join != "all" and len(subject.ins[name]) > 1 and not resets:
                yield error(
                    f"node {name!r}: join={node.join!r} has no meaning in a cycle, where a join"
                    " waits for what its pass can bring; use join='all', or join='first' with"
                    " cancel=False",
                    (name,),
                )


def _may_leave(outs: list[Edge], inside: set[str]) -> bool:
    """Whether some edge leaves the cycle, or some outcome of a node has no edge at all."""
    if any(e.target not in inside for e in outs):
        return True
    if not outs or not all(e.conditional for e in outs):
        return False
    whens = [e.when for e in outs]
    return all(isinstance(w, bool) for w in whens) and len(set(whens)) < _BOTH
