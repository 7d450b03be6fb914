"""What does each await policy mean, and whom may a producer wait for? Over the flow edges.

For an iteration the producer is released when every *awaited* node has ended. `RULES` says for
each policy along which edges the producer starts to wait, and behind which nodes it goes on
to wait: the plan, the engine and `explain` all follow it.

`may_be_awaited` says, before anything runs, which nodes may be awaited, and `detached` from which
nodes none of those can be reached: they never delay the producer. Every function is linear in
nodes and edges and iterative: a chain of 100,000 nodes is an ordinary input.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final

from flownb.errors import GraphError, did_you_mean
from flownb.model.policies import AWAIT_POLICIES
from flownb.plan.traversal import path_to, predecessors, reach

if TYPE_CHECKING:
    from flownb.model.policies import AwaitPolicy
    from flownb.model.workflow import Workflow

_GIVES: Final = {"producer": "makes", "queue_reader": "reads"}


@dataclass(frozen=True, slots=True)
class AwaitRule:
    """What an await policy says of an edge that is live.

    The producer waits for the node behind it if `starts(arm, has_blocking)`, where *arm* is
    whether the edge leaves the producer, and *has_blocking* whether the node, or one behind it,
    is blocking; or if it waits for the node before it, and `goes_on(non_blocking)` holds for that
    one. `if_ran`: what follows an arm counts only once a blocking node has run in that arm, or
    while one still may. `means` says all that in words.
    """

    means: str
    starts: Callable[[bool, bool], bool]
    goes_on: Callable[[bool], bool]
    if_ran: bool = False

    @property
    def table(self) -> tuple[tuple[tuple[bool, bool], ...], tuple[bool, bool]]:
        """What `starts` says of arms, and of other edges, by *has_blocking*; and `goes_on`."""
        starts = [(self.starts(arm, False), self.starts(arm, True)) for arm in (True, False)]
        return tuple(starts), (self.goes_on(False), self.goes_on(True))

    @property
    def whole_arms(self) -> bool:
        """Whether it awaits what is in an arm for the sake of the arm."""
        return self.goes_on(True)


RULES: Final[Mapping[AwaitPolicy, AwaitRule]] = {
    "none": AwaitRule(
        "waits for nothing",
        starts=lambda *_: False,
        goes_on=lambda _: False,
    ),
    "node": AwaitRule(
        "a node decides: behind a non-blocking one nothing is awaited",
        starts=lambda arm, _: arm,
        goes_on=lambda non_blocking: not non_blocking,
    ),
    "blocking": AwaitRule(
        "every blocking node downstream is awaited, and what leads to it",
        starts=lambda _, has_blocking: has_blocking,
        goes_on=lambda _: False,
    ),
    "path_live": AwaitRule(
        "an arm in which a blocking node runs is awaited whole",
        starts=lambda arm, has_blocking: arm and has_blocking,
        goes_on=lambda _: True,
        if_ran=True,
    ),
    "path": AwaitRule(
        "an arm with a blocking node anywhere is awaited whole",
        starts=lambda arm, has_blocking: arm and has_blocking,
        goes_on=lambda _: True,
    ),
    "all": AwaitRule(
        "waits for everything",
        starts=lambda *_: True,
        goes_on=lambda _: False,
    ),
}


@dataclass(frozen=True, slots=True)
class Flow:
    """The flow edges of a workflow by number: node i is `names[i]`."""

    names: tuple[str, ...]
    index: dict[str, int]
    succ: list[list[int]]
    pred: list[list[int]]
    blocking: Sequence[int]
    non_blocking: Sequence[int]

    @classmethod
    def of(cls, workflow: Workflow) -> Flow:
        """Number the nodes and collect the flow edges; queue edges are cut."""
        names = tuple(workflow.nodes)
        index = {name: i for i, name in enumerate(names)}
        succ: list[list[int]] = [[] for _ in names]
        pred: list[list[int]] = [[] for _ in names]
        for edge in workflow.flow_edges():
            a, b = index.get(edge.source), index.get(edge.target)
            if a is not None and b is not None:
                succ[a].append(b)
                pred[b].append(a)
        nodes = workflow.nodes.values()
        blocking = [int(n.is_blocking) for n in nodes]
        return cls(names, index, succ, pred, blocking, [int(n.is_non_blocking) for n in nodes])

    def without(self, edges: Collection[tuple[int, int]]) -> Flow:
        """Give the flow with some edges left out."""
        succ = [[w for w in targets if (v, w) not in edges] for v, targets in enumerate(self.succ)]
        pred = [[v for v in sources if (v, w) not in edges] for w, sources in enumerate(self.pred)]
        return replace(self, succ=succ, pred=pred)

    def number(self, name: str) -> int:
        """Give a node's number, or say which name was meant."""
        if name not in self.index:
            msg = f"there is no node {name!r}{did_you_mean(name, self.names)}"
            raise GraphError(msg)
        return self.index[name]


def mark_blocking(flow: Flow) -> bytearray:
    """Mark each node that is blocking or has a blocking node behind it."""
    return reach(flow.pred, [i for i, b in enumerate(flow.blocking) if b])


def may_be_awaited(
    flow: Flow, root: int, policy: AwaitPolicy, *, has_blocking: bytearray | None = None
) -> bytearray:
    """Mark the nodes behind producer *root* that the policy may make it wait for.

    The exact set depends on the run where an if decides; this is its union over all
    runs. Under "path_live" it is an upper bound of that union: a node that no run has
    together with a blocking one is marked, too (to know better is not linear). The
    producer itself is not marked.
    """
    _check(policy)
    rule, arms = RULES[policy], flow.succ[root]
    (first, later), on = rule.table
    if has_blocking is None:
        asks = first[0] != first[1] or later[0] != later[1]
        has_blocking = mark_blocking(flow) if asks else bytearray(len(flow.names))
    starts = [v for v in arms if first[has_blocking[v]]]
    if any(later):
        inside = reach(flow.succ, arms)
        starts += [v for v, is_inside in enumerate(inside) if is_inside and later[has_blocking[v]]]
    return reach(flow.succ, starts, stop=() if all(on) else [not on[n] for n in flow.non_blocking])


def detached(flow: Flow, root: int, awaited: bytearray) -> bytearray:
    """Mark the nodes of the loop from which no node of *awaited* can be reached."""
    holding = reach(flow.pred, [i for i, a in enumerate(awaited) if a])
    inside = reach(flow.succ, flow.succ[root])
    return bytearray(i and not h for i, h in zip(inside, holding, strict=True))


@dataclass(frozen=True, slots=True)
class MovedEdge:
    """An edge before -> node that is to come from the producers; `gets` is what node gets then."""

    node: str
    before: str
    producers: tuple[str, ...]
    gets: str


class ArmEnds:
    """Where the producer waits although nothing blocks any more: the ends of its awaited arms.

    "path" and "path_live" await an arm with a blocking node whole, so also the nodes in it
    behind which no blocking node comes: these are `names`. Under the other policies there
    are none. Each look costs what the loop is large, not the graph.

    >>> from flownb import Graph
    >>> graph = Graph("g").add_producer("P").add_node("fetch")
    >>> graph = graph.add_node("notify", kind="non_blocking").add_edge("P", "fetch", "notify")
    >>> ends = ArmEnds(graph, "P")
    >>> ends.names, ends.proof("notify")
    (('notify',), (['P', 'fetch', 'notify'], 'fetch'))
    >>> ends.moved_edge("notify")
    MovedEdge(node='notify', before='fetch', producers=('P',), gets='what P makes')
    """

    def __init__(
        self,
        workflow: Workflow,
        loop: str,
        *,
        flow: Flow | None = None,
        has_blocking: bytearray | None = None,
    ) -> None:
        self.workflow, self.loop = workflow, loop
        self.flow = flow = flow or Flow.of(workflow)
        self.policy = workflow.options.get(loop, {}).get("await_policy", "path")
        self._has_blocking = has_blocking = (
            mark_blocking(flow) if has_blocking is None else has_blocking
        )
        arms = flow.succ[flow.number(loop)] if RULES[self.policy].whole_arms else []
        self._arms = [a for a in arms if has_blocking[a]]
        self._from_arm = predecessors(flow.succ, self._arms)
        self.names = tuple(flow.names[v] for v in sorted(self._from_arm) if not has_blocking[v])

    def _is_end(self, v: int) -> bool:
        return v in self._from_arm and not self._has_blocking[v]

    @cached_property
    def _inside(self) -> dict[int, int]:
        return predecessors(self.flow.succ, [self.flow.index[self.loop]])

    @cached_property
    def _blocking(self) -> list[int]:
        root = self.flow.index[self.loop]
        return [v for v in sorted(self._from_arm) if self.flow.blocking[v] and v != root]

    @cached_property
    def _from_blocking(self) -> dict[int, int]:
        return predecessors(self.flow.succ, self._blocking)

    @cached_property
    def _to_blocking(self) -> dict[int, int]:
        return predecessors(self.flow.pred, self._blocking)

    def firsts(self) -> list[str]:
        """Name the first nodes there that somebody has declared non-blocking."""
        flow, nodes = self.flow, self.workflow.nodes
        ends = [flow.index[name] for name in self.names]
        todo = [v for v in ends if any(not self._is_end(u) for u in self._ins(v))]
        seen, found = set(todo), []
        for v in todo:
            if nodes[flow.names[v]].kind == "non_blocking":
                found.append(v)
                continue
            behind = [w for w in flow.succ[v] if w not in seen]
            todo += behind
            seen.update(behind)
        return [flow.names[v] for v in sorted(found)]

    def proof(self, node: str) -> tuple[list[str], str]:
        """Give the chain from the producer to a node of these ends, and who blocks in its arm.

        The blocking node is part of the chain where one comes before the node.
        """
        v, names = self.flow.index[node], self.flow.names
        if v in self._from_blocking:
            after = path_to(self._from_blocking, v)
            chain, last = [*path_to(self._from_arm, after[0])[:-1], *after], after[0]
        else:
            chain = path_to(self._from_arm, v)
            last = path_to(self._to_blocking, chain[0])[0]
        return [self.loop, *(names[u] for u in chain)], names[last]

    def moved_edge(self, node: str) -> MovedEdge | None:
        """Say how to hang the end that holds *node* on the producer, so that nobody waits for it.

        None where that is no remedy: more than one edge leads into that end, or one with
        a condition.
        """
        flow, head = self.flow, self.flow.index[node]
        while len(ins := self._ins(head)) == 1 and self._is_end(ins[0]):
            head = ins[0]
        end = predecessors(flow.succ, [head])
        entering = [u for v in end for u in self._ins(v) if u not in end]
        if entering != ins or len(ins) != 1:
            return None
        before, name = flow.names[ins[0]], flow.names[head]
        if self.workflow.edges[before, name].conditional:
            return None
        firsts = [flow.names[v] for v in sorted(predecessors(flow.pred, ins)) if not flow.pred[v]]
        kinds = {first: self.workflow.nodes[first].kind for first in firsts}
        verbs = {p: _GIVES[kind] for p, kind in kinds.items() if kind in _GIVES}
        gets = f"what {' or '.join(f'{p} {verb}' for p, verb in verbs.items())}"
        return MovedEdge(name, before, tuple(verbs), gets)

    def _ins(self, v: int) -> list[int]:
        return [u for u in self.flow.pred[v] if u in self._inside]


def _check(policy: str) -> None:
    if policy not in AWAIT_POLICIES:
        msg = f"await_policy={policy!r}: choose one of {', '.join(AWAIT_POLICIES)}"
        raise GraphError(msg)
