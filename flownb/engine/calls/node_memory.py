"""What does a node keep from item to item, and from generation to generation?

Its `ctx.state`, its random numbers, how often it failed in a row, and whether it is
*short*: 20 measured runs in a row stayed under 0.5 ms. One longer run sends a node
back to a thread, for 20 runs if that is rare, else for twice as many as the last time.
(Not for good, as first designed: on a shared machine any call is once preempted.)
"""

from __future__ import annotations

from random import Random
from typing import Any, Final

SHORT: Final = 0.0005
PROBATION: Final = 20
RARE: Final = 50  # one longer run in as many times its probation is bad luck


class Memories:
    """The memories of one loop's nodes, by name; one is made when it is first asked for."""

    def __init__(self, loop: str, seed: int | None) -> None:
        self._loop, self._seed = loop, seed
        self._nodes: dict[str, Memory] = {}

    def of(self, name: str) -> Memory:
        """Give the memory of a node."""
        memory = self._nodes.get(name)
        if memory is None:
            seed = None if self._seed is None else f"{self._seed}/{self._loop}/{name}"
            memory = self._nodes[name] = Memory(seed)
        return memory

    def kept(self) -> dict[str, dict[str, Any]]:
        """Give the `ctx.state` of each node that has put anything there."""
        return {name: memory.kept for name, memory in self._nodes.items() if memory.kept}

    def forgive(self) -> None:
        """Count failures in a row from new, of all nodes."""
        for memory in self._nodes.values():
            memory.streak = 0


class Memory:
    """The memory of one node of one loop."""

    def __init__(self, seed: str | None = None) -> None:
        self._seed = seed
        self._rng: Random | None = None
        self._state: dict[str, Any] | None = None
        self.used = False  # whether anybody has asked for `state` or `rng`
        self.streak = 0
        self.worked = False
        self.short = False
        self.long = False  # its last run was longer than that
        self._seen, self._needed, self._runs = 0, PROBATION, 0

    @property
    def rng(self) -> Random:
        """The node's own random numbers; made when they are first asked for."""
        if self._rng is None:
            self._rng, self.used = (
                Random(self._seed and self._seed.encode("utf-8", "surrogatepass")),
                True,
            )
        return self._rng

    @property
    def state(self) -> dict[str, Any]:
        """The node's own dict, its `ctx.state`."""
        if self._state is None:
            self._state, self.used = {}, True
        return self._state

    @property
    def kept(self) -> dict[str, Any]:
        """What is in `state`; empty, and not made, if nobody has put anything there."""
        return self._state or {}

    def fresh(self) -> None:
        """Forget what one run kept for itself; how long calls take stays known."""
        self._state, self._rng, self.used = None, None, False

    def renewed(self) -> None:
        """Forget what was learned of another function under the same name; keep `state`."""
        self.streak, self.worked, self.short, self.long = 0, False, False, False
        self._seen, self._needed, self._runs = 0, PROBATION, 0

    def timed(self, seconds: float) -> None:
        """Learn from a measured run whether the node is short."""
        self.long = seconds > SHORT
        if self.long:
            self._was_long()
        elif self.short:
            self._runs += 1
        else:
            self._seen += 1
            self.short = self._seen >= self._needed

    def ran(self, times: int) -> None:
        """Count runs in rows, of which only the last is measured."""
        self._runs += times

    def _was_long(self) -> None:
        if self.short:
            rare = self._runs > RARE * self._needed
            self._needed = PROBATION if rare else self._needed * 2
        self._seen, self._runs, self.short = 0, 0, False
