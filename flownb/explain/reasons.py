"""Why does a producer wait for a node, or not? One plain sentence, with the chain that proves it.

Each await policy has its own reason, so its own class: the arm, the blocking node behind, the
non-blocking node before. A sentence names nodes and a chain ("days -> check -> charge") that
one can follow in the picture with a finger.

All searches for chains are breadth first and linear: they give a shortest chain, the first in
graph order among equals.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from flownb.plan.traversal import path_to, predecessors

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from flownb.model.policies import AwaitPolicy
    from flownb.plan.loop_plan import LoopPlan, PlanNode

Waits = Literal["waits", "it depends", "goes on"]


@dataclass(frozen=True, slots=True)
class Arm:
    """One edge out of a producer: whether it waits there, and the sentence that says why.

    `loop` is the producer, `node` where the arm begins; `waits` is "waits", "goes on" or
    "it depends", `because` the sentence.
    """

    loop: str
    node: str
    waits: Waits
    because: str

    def __str__(self) -> str:
        return self.because


class Why(ABC):
    """The reasons of one loop; a subclass for each await policy puts them into words."""

    def __init__(self, plan: LoopPlan) -> None:
        self.plan, self.chains = plan, Chains(plan)
        self.loop, self._names = plan.loop, self.chains.names

    def arm(self, number: int) -> Arm:
        """Say whether the producer waits for what begins with this node."""
        node = self.plan.nodes[number]
        waits = self._waits(node) if node.awaited else "goes on"
        return Arm(self.loop, node.name, waits, f"{self.loop} {self._of_arm(node)}")

    def node(self, number: int) -> str:
        """Say why the producer waits for one node, or why it does not."""
        node = self.plan.nodes[number]
        if not number:
            return f"{self.loop} is the producer: it waits for others"
        if node.awaited:
            return f"{self.loop} waits for {node.name}: {self._awaited(node)}"
        if node.detached:
            return f"{self.loop} does not wait for {node.name}: {self._detached(node)}"
        return (
            f"{self.loop} waits for {node.name} only where a join does:"
            f" an awaited node behind {node.name} needs it"
        )

    def _waits(self, node: PlanNode) -> Waits:  # noqa: ARG002 - "path_live" looks at it
        return "waits"

    @abstractmethod
    def _of_arm(self, node: PlanNode) -> str:
        """Say what the producer does about the arm that begins here, and why."""

    def _awaited(self, node: PlanNode) -> str:
        """Say why a node is awaited."""
        raise AssertionError(node)

    def _detached(self, node: PlanNode) -> str:
        """Say why a node is never awaited, and nothing behind it."""
        raise AssertionError(node)


class _None(Why):
    def _of_arm(self, node: PlanNode) -> str:
        return f"does not wait for {node.name}: {self._detached(node)}"

    def _detached(self, _: PlanNode) -> str:
        return "await policy none waits for nothing"


class _All(Why):
    def _of_arm(self, node: PlanNode) -> str:
        return f"waits for {node.name} and all behind it: await policy all does"

    def _awaited(self, _: PlanNode) -> str:
        return "await policy all waits for every node"


class _Node(Why):
    def _of_arm(self, node: PlanNode) -> str:
        if node.node.is_non_blocking:
            rest = ", but not for what comes behind it" if node.outs else ""
            return f"waits for {node.name}, the first of its arm{rest}"
        chain = [0, *self.chains.follow(node.index, self.chains.to_non_blocking)]
        if len(chain) == 1:
            all_of_it = f"{node.name} and all behind it"
            return f"waits for {all_of_it}: no node there is non-blocking"
        last, more = self._names[chain[-1]], bool(self.plan.nodes[chain[-1]].outs)
        return (
            f"waits for {last}: {self.chains.text(chain)}"
            + f", but not for what comes behind {last}, which is non-blocking" * more
        )

    def _awaited(self, node: PlanNode) -> str:
        non_blocking = [n.node.is_non_blocking for n in self.plan.nodes]
        chain = self.chains.from_arm(node.index, self.chains.arms, stop=non_blocking)
        none = "" if len(chain) < 3 else ", no non-blocking node stands between"  # noqa: PLR2004
        return f"{self.chains.text(chain)}{none}"

    def _detached(self, node: PlanNode) -> str:
        chain = self.chains.from_arm(node.index, self.chains.arms)
        stop = next(v for v in chain[1:-1] if self.plan.nodes[v].node.is_non_blocking)
        return f"{self.chains.text(chain)}, and {self._names[stop]} before it is non-blocking"


class _Blocking(Why):
    def _of_arm(self, node: PlanNode) -> str:
        if not node.has_blocking:
            return f"does not wait for {node.name}: {self._no_blocking(node)}"
        chain = self._to_blocking(node.index)
        last = self._names[chain[-1]]
        rest = self._rest_of_arm(node) if node.outs else ""
        return f"waits for {last}: {self.chains.text([0, *chain])}, {last} is blocking{rest}"

    def _no_blocking(self, node: PlanNode) -> str:
        if not node.outs:
            return f"{node.name} is not blocking, and nothing comes behind it"
        return f"neither {node.name} nor anything behind it is blocking"

    def _to_blocking(self, number: int) -> list[int]:
        return self.chains.follow(number, self.chains.to_blocking)

    def _rest_of_arm(self, _: PlanNode) -> str:
        return ", and for all up to the last blocking node of this arm"

    def _awaited(self, node: PlanNode) -> str:
        arms = [a for a in self.chains.arms if self.plan.nodes[a].has_blocking]
        chain = self.chains.from_arm(node.index, arms)
        proof = self.chains.text(chain)
        if node.node.is_blocking:
            return f"{proof}, {node.name} is blocking"
        if node.has_blocking:
            last = self._names[self._to_blocking(node.index)[-1]]
            return f"{proof}, and {last} behind it is blocking"
        last = self._names[self._to_blocking(chain[1])[-1]]
        return f"{proof}, {self._for_arm(self._names[chain[1]], last)}"

    def _for_arm(self, first: str, last: str) -> str:
        """Say that a node is awaited with its arm, which begins with *first*."""
        raise AssertionError(first, last)

    def _detached(self, node: PlanNode) -> str:
        return self._no_blocking(node)


class _Path(_Blocking):
    def _rest_of_arm(self, _: PlanNode) -> str:
        return ", so it waits for this whole arm"

    def _for_arm(self, first: str, last: str) -> str:
        if first == last:
            return f"{last} is blocking and its arm is awaited whole"
        return f"{last} in the arm that begins with {first} is blocking"

    def _detached(self, node: PlanNode) -> str:
        chain = self.chains.from_arm(node.index, self.chains.arms)
        return f"{self.chains.text(chain)}, and no arm that leads there holds a blocking node"


class _PathLive(_Path):
    def _waits(self, node: PlanNode) -> Waits:
        return "it depends" if self._may_pass_by(node) else "waits"

    def _may_pass_by(self, node: PlanNode) -> bool:
        """Whether an if on the way to the blocking node may lead elsewhere."""
        chain = [0, *self._to_blocking(node.index)]
        return any(self.plan.nodes[v].branches for v in chain[:-1])

    def _rest_of_arm(self, node: PlanNode) -> str:
        last = self._names[self._to_blocking(node.index)[-1]]
        link = f"; if {last} runs, " if self._may_pass_by(node) else ", so "
        return f"{link}it waits for all of this arm that runs"

    def _for_arm(self, first: str, last: str) -> str:
        return f"if {last} runs in the arm that begins with {first}"


_WHY: Final[Mapping[AwaitPolicy, type[Why]]] = {
    "none": _None,
    "node": _Node,
    "blocking": _Blocking,
    "path_live": _PathLive,
    "path": _Path,
    "all": _All,
}


def why(plan: LoopPlan) -> Why:
    """Give the reasons of a loop under its await policy."""
    return _WHY[plan.policy](plan)


_SHOWN: Final = 8
_ENDS: Final = 3


class Chains:
    """The chains of one loop, by node number; the producer is 0."""

    def __init__(self, plan: LoopPlan) -> None:
        self.plan = plan
        self.names = [n.name for n in plan.nodes]
        self.outs = [[e.target for e in n.outs] for n in plan.nodes]
        self.ins: list[list[int]] = [[] for _ in plan.nodes]
        for v, targets in enumerate(self.outs):
            for w in targets:
                self.ins[w].append(v)
        self.arms = list(dict.fromkeys(self.outs[0]))
        self.to_blocking = predecessors(
            self.ins, [n.index for n in plan.nodes if n.node.is_blocking]
        )
        inner = [n.index for n in plan.nodes if n.node.is_non_blocking]
        self.to_non_blocking = predecessors(self.ins, inner)

    def follow(self, v: int, towards: Mapping[int, int]) -> list[int]:
        """Give the chain from *v* to what *towards* leads to; [] if it leads nowhere."""
        return path_to(towards, v)[::-1] if v in towards else []

    def from_arm(self, v: int, arms: Iterable[int], *, stop: Sequence[int] = ()) -> list[int]:
        """Give the chain from the producer through one of *arms* to *v*; [] if there is none.

        It passes through no node of *stop*, except at its ends.
        """
        good, came = set(arms), {v: v}
        queue = deque([v])
        while queue:
            u = queue.popleft()
            if u in good:
                return [0, *path_to(came, u)[::-1]]
            for w in self.ins[u]:
                if w and w not in came and not (stop and stop[w]):
                    came[w] = u
                    queue.append(w)
        return []

    def text(self, chain: Sequence[int]) -> str:
        """Write a chain; of a long one the two ends."""
        return chain_text([self.names[v] for v in chain])


def chain_text(names: Sequence[str], sign: str = " -> ") -> str:
    """Write names as a chain; of a long one the two ends.

    >>> chain_text(["days", "check", "charge"])
    'days -> check -> charge'
    >>> chain_text([*"abcdefghijkl"])
    'a -> b -> c -> ... 6 more ... -> j -> k -> l'
    """
    if len(names) > _SHOWN:
        more = f"... {len(names) - 2 * _ENDS:,} more ..."
        names = [*names[:_ENDS], more, *names[-_ENDS:]]
    return sign.join(names)


def named(names: Sequence[str], most: int = 20) -> str:
    """Write names as a list; of a long one the first.

    >>> named(["a", "b"]), named([]), named([*"abcdef"], 3)
    ('a, b', 'nothing', 'a, b, c and 3 more')
    """
    if not names:
        return "nothing"
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def both(names: Sequence[str]) -> str:
    """Write a few names as a sentence does.

    >>> both(["a"]), both(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1] if names else ""]))
