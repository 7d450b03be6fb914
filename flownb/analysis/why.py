"""Why does a producer wait for a node, or not? One plain sentence, with its proof.

Each await policy has its own reason: the arm, the blocking node behind, the
non-blocking node before. A sentence names nodes and a chain that one can follow in
the picture with a finger.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from flownb.analysis.chains import Chains

if TYPE_CHECKING:
    from flownb.analysis.plan import LoopPlan, PlanNode

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
