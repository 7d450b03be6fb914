"""What exactly will a loop run? One flat, frozen, picklable `LoopPlan`.

The plan numbers the nodes behind one producer (the producer is 0, the others in
topological order) and decides all that can be decided before the run: who may be
awaited, what is detached, the payload shape at joins, where an if must be asked.

A token carries a *mask*. Along an edge it becomes `(mask if keep else 0) | force`;
at joins masks are united. Under every policy but "path_live" the mask is one bit,
"awaited"; under "path_live" it has one bit for each arm of the producer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from flownb.analysis.joins import merging
from flownb.analysis.knots import back_edges, in_one_piece, knots
from flownb.analysis.paths import Flow, detached, has_blocking, may_be_awaited, reach
from flownb.errors import GraphError
from flownb.model.policies import OTHERWISE

if TYPE_CHECKING:
    from collections.abc import Callable

    from flownb.model.edges import Edge
    from flownb.model.nodes import Node
    from flownb.model.policies import AwaitPolicy, Join, LoopOptions
    from flownb.model.schema import Schema
    from flownb.model.workflow import Workflow


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

    `schema` holds the rules of its state; `knots` the numbers of the nodes of each knot,
    in plan order; `most` is how often a node may run when it does not say so itself, and
    `on_error` what happens then when a node fails. Not
    `on_state`: a dict, too, is a payload that goes from node to node.
    """

    schema: Schema
    knots: tuple[tuple[int, ...], ...] = ()
    most: int = 1000
    on_error: str = "stop"
    on_state: bool = True


@dataclass(frozen=True, slots=True)
class PlanNode:
    """A node by number (`index`), with what the graph decides about it.

    `node` is its definition, `outs` its edges, `sources` the names of the nodes before it.
    `awaited`: the producer may wait for it; `detached`: it never does, nor for what is behind
    it; `has_b`: it is blocking, or something behind it is; `branches`: its edges carry
    conditions; `bool_verdict`: they are for True and False.
    `merges`: the payload of a join comes as it is; `multi`: it may run more than once in
    an iteration (behind a join="each"); `join_behind`: a dead path must be told onwards,
    because a join behind it counts its in-edges; `shares`: its payload may be another
    node's too; `level`: the longest way from the producer, in edges; `remaining`: that to
    an end, in declared seconds; `losers`: who does not start any more once a join="first"
    has run; `knot`: the number of the cycle it is in, -1 if in none; `handler`: the node
    behind it that takes over when it fails, -1 if none does.
    """

    index: int
    node: Node
    outs: tuple[PlanEdge, ...]
    sources: tuple[str, ...]
    merges: bool
    multi: bool
    has_b: bool
    awaited: bool
    detached: bool
    join_behind: bool
    branches: bool
    bool_verdict: bool
    shares: bool
    level: int
    remaining: float
    losers: tuple[int, ...]
    knot: int = -1
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


def compile_plan(
    workflow: Workflow,
    loop: str,
    policy: AwaitPolicy | None = None,
    *,
    may_go_round: bool = False,
) -> LoopPlan:
    """Compile the loop of producer *loop*; *policy* overrides the loop's own.

    Raises GraphError when there is no such producer, or the loop has a cycle and it
    does not run once (*may_go_round*).
    """
    flow = Flow.of(workflow)
    root = flow.number(loop)
    if loop not in workflow.producers:
        msg = f"node {loop!r} is no producer; the loops are: {', '.join(workflow.producers)}"
        raise GraphError(msg)
    return _Compiler(workflow, flow, root, policy, may_go_round=may_go_round).plan()


class _Compiler:
    """Holds what the steps of one compilation share."""

    def __init__(
        self,
        workflow: Workflow,
        flow: Flow,
        root: int,
        policy: AwaitPolicy | None,
        *,
        may_go_round: bool,
    ) -> None:
        self.back = back_edges(flow.succ, root) if may_go_round else frozenset()
        self.knot = knots(flow.succ) if self.back else [-1] * len(flow.names)
        flow = flow.without(self.back) if self.back else flow
        self.workflow, self.flow, self.root = workflow, flow, root
        self.options = workflow.loop_options(flow.names[root])
        self.policy = policy or self.options.await_policy
        self.ins, self.outs = self._edges(reach(flow.succ, [root]))
        self.order = topological(flow, root)
        if self.back:
            self.order = in_one_piece(self.order, flow.succ, self.knot)
        self.has_b = has_blocking(flow)
        self.awaited = may_be_awaited(flow, root, self.policy, has_b=self.has_b)
        self.away = detached(flow, root, self.awaited)
        self.merges = merging(flow, self.order, self.ins)
        self.place = {v: i for i, v in enumerate(self.order)}
        self.multi, self.counted = self._joins()
        self.levels, self.remaining = self._levels(), self._remaining()
        self.arm_number = {id(e): i for i, e in enumerate(self.outs[root])}

    def _edges(self, inside: bytearray) -> tuple[dict[int, list[Edge]], dict[int, list[Edge]]]:
        ins: dict[int, list[Edge]] = {v: [] for v, yes in enumerate(inside) if yes}
        outs: dict[int, list[Edge]] = {v: [] for v in ins}
        for edge in self.workflow.flow_edges():
            a, b = self.flow.index.get(edge.source), self.flow.index.get(edge.target)
            if a in outs and b in ins:
                outs[a].append(edge)
                if (a, b) not in self.back:
                    ins[b].append(edge)
        return ins, outs

    def _joins(self) -> tuple[bytearray, bytearray]:
        nodes = self.workflow.nodes
        joins = [v for v in self.order if len(self.ins[v]) > 1]
        each = [v for v in joins if nodes[self.flow.names[v]].join == "each"]
        multi = reach(self.flow.succ, each)
        told = [v for v in joins if not multi[v]]
        if self.back:  # a knot has to know when nothing of a pass is left
            told += [v for v in self.order if self.knot[v] >= 0]
        return multi, reach(self.flow.pred, told)

    def _levels(self) -> dict[int, int]:
        """Count the longest way from the producer to each node."""
        levels = dict.fromkeys(self.order, 0)
        for v in self.order:
            for w in self.flow.succ[v]:
                levels[w] = max(levels[w], levels[v] + 1)
        return levels

    def _remaining(self) -> dict[int, float]:
        """Add up the longest way from each node to an end, by its declared seconds."""
        longest: dict[int, float] = {}
        for v in reversed(self.order):
            takes = self.workflow.nodes[self.flow.names[v]].takes
            behind = max((longest[w] for w in self.flow.succ[v]), default=0.0)
            longest[v] = behind + (takes if isinstance(takes, int | float) else 0.0)
        return longest

    def _losers(self, join: int) -> tuple[int, ...]:
        """Number the nodes all of whose ways lead into *join*: they lose when it has run."""
        inside = {join}
        for v in reversed(self.order[1 : self.place[join]]):
            if self.flow.succ[v] and all(w in inside for w in self.flow.succ[v]):
                inside.add(v)
        return tuple(sorted(self.place[v] for v in inside - {join}))

    def plan(self) -> LoopPlan:
        nodes = tuple(self._node(v) for v in self.order)
        name = self.flow.names[self.root]
        return LoopPlan(
            self.workflow.name, name, self.policy, self.options, nodes, self.workflow.version
        )

    def _node(self, v: int) -> PlanNode:
        node = self.workflow.nodes[self.flow.names[v]]
        outs = self.outs[v]
        whens = [e.when for e in outs if e.when is not None and e.when is not OTHERWISE]
        return PlanNode(
            index=self.place[v],
            node=node,
            outs=tuple(self._edge(e) for e in outs),
            sources=tuple(e.source for e in self.ins[v]),
            merges=bool(self.merges[v]),
            multi=bool(self.multi[v]),
            has_b=bool(self.has_b[v]),
            awaited=bool(self.awaited[v]),
            detached=bool(self.away[v]),
            join_behind=bool(self.counted[v]),
            branches=node.kind == "if"
            or (node.kind == "queue_reader" and v != self.root)
            or any(e.conditional for e in outs),
            shares=any(
                len(self.outs[self.flow.index[e.source]]) > 1 for e in self.ins[v] if not e.copy
            ),
            level=self.levels[v],
            remaining=self.remaining[v],
            losers=self._losers(v) if node.join == "first" and len(self.ins[v]) > 1 else (),
            knot=self.knot[v],
            handler=self._handler(node, outs),
            bool_verdict=node.router is None
            and all(isinstance(w, bool) for w in whens)
            and (bool(whens) or not any(e.condition for e in outs)),
        )

    def _handler(self, node: Node, outs: list[Edge]) -> int:
        names = {e.target: self.place[self.flow.index[e.target]] for e in outs}
        return names.get(node.on_error, -1) if isinstance(node.on_error, str) else -1

    def _edge(self, edge: Edge) -> PlanEdge:
        source, target = self.flow.index[edge.source], self.flow.index[edge.target]
        keep, force = self._mask(edge, source, target)
        return PlanEdge(
            self.place[source],
            self.place[target],
            edge.when,
            edge.condition,
            edge.copy,
            keep,
            force,
            (source, target) in self.back,
        )

    def _mask(self, edge: Edge, source: int, target: int) -> tuple[bool, int]:
        arm = source == self.root
        match self.policy:
            case "none":
                return False, 0
            case "all":
                return False, 1
            case "blocking":
                return False, self.has_b[target]
            case "path":
                return True, int(arm and self.has_b[target])
            case "node":
                return not self.flow.non_blocking[source], int(arm)
            case "path_live":
                return True, 1 << self.arm_number[id(edge)] if arm else 0


def topological(flow: Flow, root: int) -> list[int]:
    """Order what is reachable from *root*, first come first served; refuse cycles."""
    inside = reach(flow.succ, [root])
    waits = [0] * len(inside)
    for v, yes in enumerate(inside):
        for w in flow.succ[v] if yes else ():
            waits[w] += 1
    order = [] if waits[root] else [root]
    for v in order:
        for w in flow.succ[v]:
            waits[w] -= 1
            if not waits[w]:
                order.append(w)
    stuck = [flow.names[v] for v, yes in enumerate(inside) if yes and waits[v]]
    if stuck:
        through = ", ".join(stuck[:8])
        msg = f"loop {flow.names[root]!r} has a cycle through {through}: a loop must be acyclic"
        raise GraphError(msg)
    return order
