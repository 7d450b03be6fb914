"""How does a graph become a plan? `compile_plan` makes the `LoopPlan` of one of its loops.

It numbers the nodes in topological order, marks what may be awaited and what is detached, and
decides the payload shape at each join. In-edges that cannot be live together, the arms of one
if, merge: the payload comes as it is. Otherwise the node always gets `{source: output}` of its
live inputs, even when only one is live: the shape is decided by the graph, never by the run.

It also finds the cycles of a one-shot run. A *cycle* is a strongly connected component: its
nodes can all reach each other. A *back edge* is one that a depth-first search from the root, in
the order of the edges, finds leading to a node it is still inside. Without its back edges a
graph is acyclic; a token on one starts the next pass of its cycle.

A graph without a producer runs once, as a loop of a single item: `compile_once` puts a root before
its entry points that offers the item, and everything is awaited. It is the same plan, so the same
engine runs it; only here may a graph have cycles.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, get_args

from flownb.arguments import NONE, Rule, whole, word
from flownb.errors import GraphError
from flownb.model.edges import Edge
from flownb.model.policies import OTHERWISE, StartRule
from flownb.model.state_schema import Schema
from flownb.model.topology import entries, only_named, reached
from flownb.model.workflow import Workflow
from flownb.plan.await_sets import RULES, Flow, detached, mark_blocking, may_be_awaited
from flownb.plan.loop_plan import LoopPlan, Once, PlanEdge, PlanNode
from flownb.plan.traversal import reach, topological

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flownb.model.nodes import Node
    from flownb.model.policies import AwaitPolicy, RunOnError


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
        self.cycle = cycles_of(flow.succ) if self.back else [-1] * len(flow.names)
        flow = flow.without(self.back) if self.back else flow
        self.workflow, self.flow, self.root = workflow, flow, root
        self.options = workflow.loop_options(flow.names[root])
        self.policy = policy or self.options.await_policy
        self.ins, self.outs = self._edges(reach(flow.succ, [root]))
        self.order = ordered(flow, root)
        if self.back:
            self.order = in_one_piece(self.order, flow.succ, self.cycle)
        self.has_blocking = mark_blocking(flow)
        self.awaited = may_be_awaited(flow, root, self.policy, has_blocking=self.has_blocking)
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
        if self.back:  # a cycle has to know when nothing of a pass is left
            told += [v for v in self.order if self.cycle[v] >= 0]
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

    def _cancels(self, v: int) -> bool:
        """Whether a node goes on without the others, and they are cancelled."""
        node = self.workflow.nodes[self.flow.names[v]]
        return node.join == "first" and node.cancel and len(self.ins[v]) > 1

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
            has_blocking=bool(self.has_blocking[v]),
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
            losers=self._losers(v) if self._cancels(v) else (),
            cycle=self.cycle[v],
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
        rule, non_blocking = RULES[self.policy], bool(self.flow.non_blocking[source])
        force = rule.starts(source == self.root, bool(self.has_blocking[target]))
        bit = self.arm_number[id(edge)] if force and rule.if_ran else 0
        return rule.goes_on(non_blocking), force << bit


def ordered(flow: Flow, root: int) -> list[int]:
    """Order what is reachable from *root*, first come first served; refuse cycles."""
    order, stuck = topological(flow.succ, reach(flow.succ, [root]))
    if stuck:
        through = ", ".join(flow.names[v] for v in stuck[:8])
        msg = f"loop {flow.names[root]!r} has a cycle through {through}: a loop must be acyclic"
        raise GraphError(msg)
    return order


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


Edges = frozenset[tuple[int, int]]


def back_edges(succ: Sequence[Sequence[int]], root: int) -> Edges:
    """Find the back edges of what is reachable from *root*; linear and iterative.

    >>> sorted(back_edges([[1], [2], [1, 3], []], 0))
    [(2, 1)]
    """
    found, state = [], bytearray(len(succ))  # 1: inside it, 2: behind us
    state[root] = 1
    stack = [(root, iter(succ[root]))]
    while stack:
        v, ways = stack[-1]
        for w in ways:
            if state[w] == 1:
                found.append((v, w))
            elif not state[w]:
                state[w] = 1
                stack.append((w, iter(succ[w])))
                break
        else:
            state[v] = 2
            stack.pop()
    return frozenset(found)


def cycles_of(succ: Sequence[Sequence[int]]) -> list[int]:
    """Number the cycle of each node, -1 for a node that no cycle goes through.

    >>> cycles_of([[1], [2], [1, 3], []])
    [-1, 0, 0, -1]
    >>> cycles_of([[0, 1], [0], [2]])  # an edge to itself makes no cycle of its own inside one
    [0, 0, 1]
    """
    import networkx as nx

    graph = nx.DiGraph((v, w) for v, targets in enumerate(succ) for w in targets)
    found = [sorted(k) for k in nx.strongly_connected_components(graph) if len(k) > 1]
    inside = {v for cycle in found for v in cycle}
    found += [[v] for v, targets in enumerate(succ) if v in targets and v not in inside]
    number = [-1] * len(succ)
    for i, cycle in enumerate(sorted(found)):
        for v in cycle:
            number[v] = i
    return number


def in_one_piece(
    order: Sequence[int], succ: Sequence[Sequence[int]], cycle: list[int]
) -> list[int]:
    """Sort *order* so that each cycle stands together; what leads to a cycle stands before it.

    *order* is topological without the back edges, *succ* has them left out.
    """
    # one place for each cycle, and one for each node that is in none
    place = {v: (v if cycle[v] < 0 else ~cycle[v]) for v in order}
    inside: dict[int, list[int]] = {}
    for v in order:
        inside.setdefault(place[v], []).append(v)
    number = {p: i for i, p in enumerate(inside)}
    behind = [
        [number[place[w]] for v in nodes for w in succ[v] if place[w] != p]
        for p, nodes in inside.items()
    ]
    pieces = [*inside.values()]
    return [v for i in topological(behind)[0] for v in pieces[i]]


MOST: Final = 1000
RUN: Final[Mapping[str, Rule]] = {
    "start_rule": word(*get_args(StartRule)),
    "max_concurrency": whole("nodes at work", least=1) | NONE,
    "max_iterations": whole("runs of a node", least=1) | NONE,
    "on_error": word("stop", "continue"),
}
"""What may be said of a run."""


def root_name(workflow: Workflow) -> str:
    """Name the root: as the graph, unless a node has that name."""
    name = workflow.name
    while name in workflow.nodes:
        name += "'"
    return name


def compile_once(
    workflow: Workflow,
    *,
    start_rule: StartRule = "dataflow",
    max_concurrency: int | None = None,
    max_iterations: int | None = None,
    on_error: RunOnError = "stop",
) -> LoopPlan:
    """Compile a graph without producers; *max_concurrency* nodes work at a time.

    A node runs at most *max_iterations* times, by default what the environment's
    FLOWNB_MAX_ITERATIONS says, or 1000. Raises GraphError when the graph has producers.
    """
    _check(workflow)
    root, first = root_name(workflow), entries(workflow)
    rooted = Workflow(workflow.name).add_producer(root)
    rooted.nodes.update(workflow.nodes)
    rooted.edges.update(workflow.edges)
    rooted.edges.update({(root, name): Edge(root, name) for name in first})
    rooted.set_loop(root, await_policy="all", start_rule=start_rule, on_error="stop")
    plan = compile_plan(rooted, root, may_go_round=True)
    schema, most = Schema(workflow.state_model, workflow.reducers), _most(max_iterations)
    once = Once(schema, _cycles(plan), most, on_error)
    return replace(plan, version=workflow.version, max_concurrency=max_concurrency, once=once)


def without_root(plan: LoopPlan) -> Workflow:
    """Give back the graph that *plan* was made of, as far as it is drawn."""
    names = [n.name for n in plan.nodes]
    drawn = Workflow(plan.graph)
    drawn.nodes = {n.name: n.node for n in plan.nodes[1:]}
    for edge in (e for n in plan.nodes[1:] for e in n.outs):
        pair = (names[edge.source], names[edge.target])
        drawn.edges[pair] = Edge(*pair, when=edge.when, condition=edge.condition)
    return drawn


def unreached(workflow: Workflow) -> list[str]:
    """Name the nodes that no entry point leads to."""
    seen = reached(workflow, entries(workflow)) | only_named(workflow)
    return [name for name in workflow.nodes if name not in seen]


def _check(workflow: Workflow) -> None:
    if workflow.producers:
        loops = ", ".join(map(repr, workflow.producers))
        msg = (
            f"graph {workflow.name!r} has a producer ({loops}), so it is a loop and does not run "
            "once: use start(), or simulate()"
        )
        raise GraphError(msg)


def _most(given: int | None) -> int:
    if given is not None:
        return given
    text = os.environ.get("FLOWNB_MAX_ITERATIONS", str(MOST))
    given = int(text) if text.strip().isdecimal() else 0
    if given < 1:
        msg = f"FLOWNB_MAX_ITERATIONS={text}: give a whole number, at least 1"
        raise GraphError(msg)
    return given


def _cycles(plan: LoopPlan) -> tuple[tuple[int, ...], ...]:
    found: dict[int, list[int]] = {}
    for node in plan.nodes:
        if node.cycle >= 0:
            found.setdefault(node.cycle, []).append(node.index)
    return tuple(tuple(found.get(k, ())) for k in range(max(found, default=-1) + 1))
