"""Who waits for whom? The await policies, over the flow edges of a graph.

For an iteration the producer is released when every *awaited* node has ended. This
module says, before anything runs, which nodes may be awaited under each policy and
which are *detached*: from them no node that may be awaited can be reached, so they
never delay the producer. Every function is linear in nodes and edges and iterative:
a chain of 100,000 nodes is an ordinary input.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
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


def has_blocking(flow: Flow) -> bytearray:
    """hasB: mark each node that is blocking or has a blocking node behind it."""
    return reach(flow.pred, [i for i, b in enumerate(flow.blocking) if b])


def may_be_awaited(
    flow: Flow, root: int, policy: AwaitPolicy, *, has_b: bytearray | None = None
) -> bytearray:
    """Mark the nodes behind producer *root* that the policy may make it wait for.

    The exact set depends on the run where an if decides; this is its union over all
    runs. Under "path_live" it is an upper bound of that union: a node that no run has
    together with a blocking one is marked, too (to know better is not linear). The
    producer itself is not marked.
    """
    _check(policy)
    arms = flow.succ[root]
    if policy == "none" or not arms:
        return bytearray(len(flow.names))
    if policy == "all":
        return reach(flow.succ, arms)
    if policy == "node":
        return reach(flow.succ, arms, stop=flow.non_blocking)
    has_b = has_blocking(flow) if has_b is None else has_b
    behind = reach(flow.succ, [a for a in arms if has_b[a]])
    if policy == "blocking":
        return bytearray(map(int.__and__, behind, has_b))
    return behind


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
        has_b: bytearray | None = None,
    ) -> None:
        self.workflow, self.loop = workflow, loop
        self.flow = flow = flow or Flow.of(workflow)
        self.policy = workflow.options.get(loop, {}).get("await_policy", "path")
        self._has_b = has_b = has_blocking(flow) if has_b is None else has_b
        whole = self.policy in {"path", "path_live"}
        self._arms = [a for a in flow.succ[flow.number(loop)] if has_b[a]] if whole else []
        self._from_arm = predecessors(flow.succ, self._arms)
        self.names = tuple(flow.names[v] for v in sorted(self._from_arm) if not has_b[v])

    def _is_end(self, v: int) -> bool:
        return v in self._from_arm and not self._has_b[v]

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
