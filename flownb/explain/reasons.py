"""Why does a producer wait for a node, or not? One plain sentence, with the chain that proves it.

Each await policy has its own reason: the arm, the blocking node behind, the
non-blocking node before. A sentence names nodes and a chain ("days -> check -> charge") that
one can follow in the picture with a finger.

All searches for chains are breadth first and linear: they give a shortest chain, the first in
graph order among equals.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from flownb.plan.traversal import path_to, predecessors

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

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


class Why:
    """The reasons of one loop under its policy."""

    def __init__(self, plan: LoopPlan) -> None:
        self.plan, self.chains = plan, Chains(plan)
        self.loop = plan.loop
        self._first_n: bytearray = bytearray(n.node.is_non_blocking for n in plan.nodes)

    def arm(self, number: int) -> Arm:
        """Say whether the producer waits for what begins with this node."""
        node = self.plan.nodes[number]
        waits: Waits = "waits" if node.awaited else "goes on"
        if self.plan.policy == "path_live" and node.awaited and self._may_pass_by(number):
            waits = "it depends"
        return Arm(self.loop, node.name, waits, self._of_arm(node))

    def _of_arm(self, node: PlanNode) -> str:
        if self.plan.policy == "none":
            return f"{self.loop} does not wait for {node.name}: await policy none waits for nothing"
        if self.plan.policy == "all":
            return f"{self.loop} waits for {node.name} and all behind it: await policy all does"
        if self.plan.policy == "node":
            return self._up_to_an_n(node)
        if not node.has_b:
            return f"{self.loop} does not wait for {node.name}: {self._no_blocking(node)}"
        return f"{self._for_blocking(node)}{self._whole(node)}"

    def _no_blocking(self, node: PlanNode) -> str:
        if not node.outs:
            return f"{node.name} is not blocking, and nothing comes behind it"
        return f"neither {node.name} nor anything behind it is blocking"

    def _for_blocking(self, node: PlanNode) -> str:
        chain = [0, *self.chains.follow(node.index, self.chains.to_blocking)]
        last = self.chains.names[chain[-1]]
        return f"{self.loop} waits for {last}: {self.chains.text(chain)}, {last} is blocking"

    def _whole(self, node: PlanNode) -> str:
        """Say what follows for the rest of the arm."""
        if not node.outs:
            return ""
        if self.plan.policy == "path":
            return ", so it waits for this whole arm"
        last = self.chains.names[self.chains.follow(node.index, self.chains.to_blocking)[-1]]
        if self.plan.policy == "path_live":
            whole = "it waits for all of this arm that runs"
            return (
                f"; if {last} runs, {whole}" if self._may_pass_by(node.index) else f", so {whole}"
            )
        return ", and for all up to the last blocking node of this arm"

    def _may_pass_by(self, number: int) -> bool:
        """Whether an if on the way to the blocking node may lead elsewhere."""
        chain = [0, *self.chains.follow(number, self.chains.to_blocking)]
        return any(self.plan.nodes[v].branches for v in chain[:-1])

    def _up_to_an_n(self, node: PlanNode) -> str:
        if node.node.is_non_blocking:
            rest = ", but not for what comes behind it" if node.outs else ""
            return f"{self.loop} waits for {node.name}, the first of its arm{rest}"
        chain = [0, *self.chains.follow(node.index, self.chains.to_non_blocking)]
        if len(chain) == 1:
            all_of_it = f"{node.name} and all behind it"
            return f"{self.loop} waits for {all_of_it}: no node there is non-blocking"
        last, more = self.chains.names[chain[-1]], bool(self.plan.nodes[chain[-1]].outs)
        return (
            f"{self.loop} waits for {last}: {self.chains.text(chain)}"
            + f", but not for what comes behind {last}, which is non-blocking" * more
        )

    # -- one node --------------------------------------------------------------

    def node(self, number: int) -> str:
        """Say why the producer waits for one node, or why it does not."""
        node = self.plan.nodes[number]
        if not number:
            return f"{self.loop} is the producer: it waits for others"
        if node.awaited:
            return self._awaited(node)
        if node.detached:
            return f"{self.loop} does not wait for {node.name}: {self._detached(node)}"
        return (
            f"{self.loop} waits for {node.name} only where a join does:"
            f" an awaited node behind {node.name} needs it"
        )

    def _awaited(self, node: PlanNode) -> str:
        policy, names = self.plan.policy, self.chains.names
        if policy == "all":
            return f"{self.loop} waits for {node.name}: await policy all waits for every node"
        if policy == "node":
            chain = self.chains.from_arm(node.index, self.chains.arms, stop=self._first_n)
            none = "" if len(chain) < 3 else ", no non-blocking node stands between"  # noqa: PLR2004
            return f"{self.loop} waits for {node.name}: {self.chains.text(chain)}{none}"
        arms = [a for a in self.chains.arms if self.plan.nodes[a].has_b]
        chain = self.chains.from_arm(node.index, arms)
        proof = f"{self.loop} waits for {node.name}: {self.chains.text(chain)}"
        if node.node.is_blocking:
            return f"{proof}, {node.name} is blocking"
        if node.has_b:
            last = names[self.chains.follow(node.index, self.chains.to_blocking)[-1]]
            return f"{proof}, and {last} behind it is blocking"
        last = names[self.chains.follow(chain[1], self.chains.to_blocking)[-1]]
        where = f"the arm that begins with {names[chain[1]]}"
        if policy == "path_live":
            return f"{proof}, if {last} runs in {where}"
        first = last == names[chain[1]]
        return f"{proof}, {last} " + (
            "is blocking and its arm is awaited whole" if first else f"in {where} is blocking"
        )

    def _detached(self, node: PlanNode) -> str:
        policy = self.plan.policy
        if policy == "none":
            return "await policy none waits for nothing"
        if policy == "blocking":
            return self._no_blocking(node)
        chain = self.chains.from_arm(node.index, self.chains.arms)
        text, names = self.chains.text(chain), self.chains.names
        if policy == "node":
            stop = next(names[v] for v in chain[1:-1] if self._first_n[v])
            return f"{text}, and {stop} before it is non-blocking"
        return f"{text}, and no arm that leads there holds a blocking node"


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
