"""Who waits for whom? The await policies, over the flow edges of a graph.

For an iteration the producer is released when every *awaited* node has ended. This
module says, before anything runs, which nodes may be awaited under each policy and
which are *detached*: from them no node that may be awaited can be reached, so they
never delay the producer. Every function is linear in nodes and edges and iterative:
a chain of 100,000 nodes is an ordinary input.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
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


def _check(policy: str) -> None:
    if policy not in AWAIT_POLICIES:
        msg = f"await_policy={policy!r}: choose one of {', '.join(AWAIT_POLICIES)}"
        raise GraphError(msg)
