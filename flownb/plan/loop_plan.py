"""What exactly will a loop run? One flat, frozen, picklable `LoopPlan`.

The plan numbers the nodes behind one producer (the producer is 0, the others in
topological order) and decides all that can be decided before the run: who may be
awaited, what is detached, the payload shape at joins, where an if must be asked.

A token carries a *mask*. Along an edge it becomes `(mask if keep else 0) | force`;
at joins masks are united. The mask is one bit, "awaited"; under "path_live" it has one bit for
each arm of the producer. `await_sets.RULES` says along which edges it starts and goes on.

`shape_of` is the fingerprint of a plan, and `differences` says how two differ: a run can only be
resumed if its nodes and edges are the same. Functions may differ: mending the one that failed
and going on is what a resume is for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from flownb.model.nodes import Node
    from flownb.model.policies import AwaitPolicy, Join, LoopOptions
    from flownb.model.state_schema import Schema


@dataclass(frozen=True, slots=True)
class PlanEdge:
    """An edge by number; `keep` and `force` say what becomes of a token's mask.

    `source` and `target` are numbers of nodes; `when`, `condition` and `copy` are as in
    `add_edge`; `back`: it leads back in a cycle.
    """

    source: int
    target: int
    when: Any
    condition: Callable[..., Any] | None
    copy: bool
    keep: bool
    force: int
    back: bool = False


@dataclass(frozen=True, slots=True)
class Once:
    """What a plan says of a run that happens once.

    `schema` holds the rules of its state; `cycles` the numbers of the nodes of each cycle,
    in plan order; `most` is how often a node may run when it does not say so itself, and
    `on_error` what happens then when a node fails. Not
    `on_state`: a dict, too, is a payload that goes from node to node.
    """

    schema: Schema
    cycles: tuple[tuple[int, ...], ...] = ()
    most: int = 1000
    on_error: str = "stop"
    on_state: bool = True


@dataclass(frozen=True, slots=True)
class PlanNode:
    """A node by number (`index`), with what the graph decides about it.

    `node` is its definition, `outs` its edges, `sources` the names of the nodes before it.
    `awaited`: the producer may wait for it; `detached`: it never does, nor for what is behind
    it; `has_blocking`: it is blocking, or something behind it is; `branches`: its edges carry
    conditions; `bool_verdict`: they are for True and False.
    `merges`: the payload of a join comes as it is; `multi`: it may run more than once in
    an iteration (behind a join="each"); `join_behind`: a dead path must be passed on,
    because a join behind it counts its in-edges; `shares`: its payload may be another
    node's too; `level`: the longest way from the producer, in edges; `remaining`: that to
    an end, in declared seconds; `losers`: who does not start any more once a join="first"
    that cancels has run; `cycle`: the number of the cycle it is in, -1 if in none; `handler`: the
    node behind it that takes over when it fails, -1 if none does.
    """

    index: int
    node: Node
    outs: tuple[PlanEdge, ...]
    sources: tuple[str, ...]
    merges: bool
    multi: bool
    has_blocking: bool
    awaited: bool
    detached: bool
    join_behind: bool
    branches: bool
    bool_verdict: bool
    shares: bool
    level: int
    remaining: float
    losers: tuple[int, ...]
    cycle: int = -1
    handler: int = -1

    @property
    def name(self) -> str:
        """The name of the node."""
        return self.node.name

    @property
    def join(self) -> Join:
        """How it joins its in-edges; a node with one in-edge is no join."""
        return self.node.join if len(self.sources) > 1 else "all"


@dataclass(frozen=True, slots=True)
class LoopPlan:
    """One loop, compiled: `nodes[0]` is the producer, the rest is in topological order.

    `graph` and `loop` are names, `policy` and `options` what the loop runs under, `version`
    is that of the graph when it was compiled. For a run that happens once `once` has its
    rules, and `max_concurrency` says how many nodes may work at a time.
    """

    graph: str
    loop: str
    policy: AwaitPolicy
    options: LoopOptions
    nodes: tuple[PlanNode, ...]
    version: int = 0
    max_concurrency: int | None = None
    once: Once | None = None

    @property
    def writes(self) -> tuple[str, ...]:
        """The names of the queues this loop pushes to."""
        return tuple(n.node.queue.name for n in self.nodes if n.node.queue)

    @property
    def reads(self) -> str | None:
        """The name of the queue that drives this loop, if one does."""
        reader = self.nodes[0].node.reader
        return reader.queue if reader else None

    def __repr__(self) -> str:
        away = sum(n.detached for n in self.nodes)
        about = f"{len(self.nodes)} nodes, {away} detached, awaits {self.policy!r}"
        return f"LoopPlan({self.loop!r}: {about})"


def without_checkpoint(plan: LoopPlan) -> LoopPlan:
    """Give the plan of a loop that keeps nothing: a simulation begins at nothing, and leaves it."""
    return replace(plan, options=replace(plan.options, checkpoint=None))


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
