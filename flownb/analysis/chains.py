"""Along which chain of nodes does one lead to the other?

A chain is what proves a sentence: "days -> check -> charge". All searches are breadth
first and linear: they give a shortest chain, the first in graph order among equals.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from flownb.analysis.plan import LoopPlan

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
        self.to_blocking = _towards(self.ins, [n.index for n in plan.nodes if n.node.is_blocking])
        inner = [n.index for n in plan.nodes if n.node.is_non_blocking]
        self.to_non_blocking = _towards(self.ins, inner)

    def follow(self, v: int, towards: Sequence[int]) -> list[int]:
        """Give the chain from *v* to what *towards* leads to; [] if it leads nowhere."""
        if towards[v] < 0:
            return []
        found = [v]
        while towards[v] != v:
            v = towards[v]
            found.append(v)
        return found

    def from_arm(self, v: int, arms: Iterable[int], *, stop: Sequence[int] = ()) -> list[int]:
        """Give the chain from the producer through one of *arms* to *v*; [] if there is none.

        It passes through no node of *stop*, except at its ends.
        """
        good, came = set(arms), {v: v}
        queue = deque([v])
        while queue:
            u = queue.popleft()
            if u in good:
                return [0, *_back(came, u)]
            for w in self.ins[u]:
                if w and w not in came and not (stop and stop[w]):
                    came[w] = u
                    queue.append(w)
        return []

    def text(self, chain: Sequence[int]) -> str:
        """Write a chain; of a long one the two ends."""
        return chain_text([self.names[v] for v in chain])


def chain_text(names: Sequence[str]) -> str:
    """Write names as a chain; of a long one the two ends.

    >>> chain_text(["days", "check", "charge"])
    'days -> check -> charge'
    >>> chain_text([*"abcdefghijkl"])
    'a -> b -> c -> ... 6 more ... -> j -> k -> l'
    """
    if len(names) > _SHOWN:
        more = f"... {len(names) - 2 * _ENDS:,} more ..."
        names = [*names[:_ENDS], more, *names[-_ENDS:]]
    return " -> ".join(names)


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


def _towards(ins: Sequence[Sequence[int]], goals: Iterable[int]) -> list[int]:
    """Give for each node the next one on a shortest way to a goal; a goal leads to itself."""
    following = [-1] * len(ins)
    queue = deque(goals)
    for goal in queue:
        following[goal] = goal
    while queue:
        v = queue.popleft()
        for u in ins[v]:
            if following[u] < 0:
                following[u] = v
                queue.append(u)
    return following


def _back(came: dict[int, int], u: int) -> list[int]:
    found = [u]
    while came[u] != u:
        u = came[u]
        found.append(u)
    return found
