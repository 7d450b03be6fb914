"""Who waits for whom? The await policies, over the flow edges of a graph.

For an iteration the producer is released when every *awaited* node has ended. This
module says, before anything runs, which nodes may be awaited under each policy and
which are *detached*: from them no node that may be awaited can be reached, so they
never delay the producer. Every function is linear in nodes and edges and iterative:
a chain of 100,000 nodes is an ordinary input.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from flownb.errors import GraphError
from flownb.model.edges import did_you_mean
from flownb.model.policies import AWAIT_POLICIES

if TYPE_CHECKING:
    from flownb.model.policies import AwaitPolicy
    from flownb.model.workflow import Workflow


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


def reach(
    neighbours: Sequence[Sequence[int]], starts: Iterable[int], *, stop: Sequence[int] = ()
) -> bytearray:
    """Mark what can be reached from *starts* (they included), not passing beyond *stop*.

    >>> list(reach([[1], [2], []], [0], stop=[0, 1, 0]))
    [1, 1, 0]
    """
    seen = bytearray(len(neighbours))
    stack = list(starts)
    for start in stack:
        seen[start] = 1
    while stack:
        node = stack.pop()
        if stop and stop[node]:
            continue
        for other in neighbours[node]:
            if not seen[other]:
                seen[other] = 1
                stack.append(other)
    return seen


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
    """An edge before -> node that is to come from the producers instead."""

    node: str
    before: str
    producers: tuple[str, ...]


@dataclass(slots=True)
class ArmEnds:
    """Where the producer waits although nothing blocks any more: the ends of its awaited arms.

    "path" and "path_live" await an arm with a blocking node whole, so also the nodes in it
    behind which no blocking node comes (`marked`). Under the other policies there are none.

    >>> from flownb import Graph
    >>> graph = Graph("g").add_producer("P").add_node("fetch")
    >>> graph = graph.add_node("notify", kind="non_blocking").add_edge("P", "fetch", "notify")
    >>> ends = ArmEnds(graph, Flow.of(graph), "P")
    >>> ends.names, ends.proof("notify"), ends.moved_edge("notify")
    (['notify'], (['P', 'fetch', 'notify'], 'fetch'), MovedEdge(node='notify', before='fetch',\
 producers=('P',)))
    """

    workflow: Workflow
    flow: Flow
    loop: str
    marked: bytearray = field(init=False)
    _inside: bytearray = field(init=False)
    _arms: list[int] = field(init=False)
    _blocking: list[int] = field(init=False)

    def __post_init__(self) -> None:
        flow, root = self.flow, self.flow.number(self.loop)
        has_b = has_blocking(flow)
        self._inside = reach(flow.succ, [root])
        self._arms = [a for a in flow.succ[root] if has_b[a]]
        behind = reach(flow.succ, self._arms)
        self._blocking = [v for v, b in enumerate(flow.blocking) if b and behind[v] and v != root]
        whole = self.policy in {"path", "path_live"}
        self.marked = bytearray(whole and a and not b for a, b in zip(behind, has_b, strict=True))

    @property
    def policy(self) -> str:
        """The await policy of the loop."""
        return str(self.workflow.options.get(self.loop, {}).get("await_policy", "path"))

    @property
    def names(self) -> list[str]:
        """The nodes in these ends."""
        return [name for name, m in zip(self.flow.names, self.marked, strict=True) if m]

    def firsts(self) -> Iterator[str]:
        """Name the first nodes there that somebody has declared non-blocking."""
        flow, nodes = self.flow, self.workflow.nodes
        said = [int(nodes[name].kind == "non_blocking") for name in flow.names]
        starts = [
            v for v, m in enumerate(self.marked)
            if m and any(self._inside[u] and not self.marked[u] for u in flow.pred[v])
        ]  # fmt: skip
        seen = reach(flow.succ, starts, stop=said)
        return (name for v, name in enumerate(flow.names) if seen[v] and said[v])

    def proof(self, node: str) -> tuple[list[str], str]:
        """Give the chain from the producer to a node of these ends, and who blocks in its arm.

        The blocking node is part of the chain where one comes before the node.
        """
        flow, v = self.flow, self.flow.index[node]
        from_arm, from_b = _came(flow.succ, self._arms), _came(flow.succ, self._blocking)
        if from_b[v] >= 0:
            after = _way(from_b, v)
            chain, last = [*_way(from_arm, after[0])[:-1], *after], after[0]
        else:
            chain = _way(from_arm, v)
            last = _way(_came(flow.pred, self._blocking), chain[0])[0]
        return [self.loop, *(flow.names[u] for u in chain)], flow.names[last]

    def moved_edge(self, node: str) -> MovedEdge | None:
        """Say how to hang the end that holds *node* on the producer, so that nobody waits for it.

        None where that is no remedy: more than one edge leads into that end, or one with
        a condition.
        """
        flow, head = self.flow, self.flow.index[node]
        while len(ins := self._ins(head)) == 1 and self.marked[ins[0]]:
            head = ins[0]
        end = reach(flow.succ, [head])
        entering = [u for v, e in enumerate(end) if e for u in self._ins(v) if not end[u]]
        if entering != ins or len(ins) != 1:
            return None
        before, name = flow.names[ins[0]], flow.names[head]
        if self.workflow.edges[before, name].conditional:
            return None
        producers = self.workflow.producers
        reached = [p for p in producers if reach(flow.succ, [flow.index[p]])[ins[0]]]
        return MovedEdge(name, before, tuple(reached))

    def _ins(self, v: int) -> list[int]:
        return [u for u in self.flow.pred[v] if self._inside[u]]


def _came(neighbours: Sequence[Sequence[int]], starts: Iterable[int]) -> list[int]:
    """Give for each node the one before it on a shortest way from a start, itself for a start."""
    came = [-1] * len(neighbours)
    queue = list(starts)
    for start in queue:
        came[start] = start
    for v in queue:
        for w in neighbours[v]:
            if came[w] < 0:
                came[w] = v
                queue.append(w)
    return came


def _way(came: Sequence[int], v: int) -> list[int]:
    """Give the way that ends with *v*."""
    way = [v]
    while came[v] != v:
        v = came[v]
        way.append(v)
    return way[::-1]


def _check(policy: str) -> None:
    if policy not in AWAIT_POLICIES:
        msg = f"await_policy={policy!r}: choose one of {', '.join(AWAIT_POLICIES)}"
        raise GraphError(msg)
