"""What does a node keep from item to item, and from generation to generation?

Its `ctx.state`, its random numbers, how often it failed in a row, and whether its last call took
its time (`long`): then the next one has a thread of its own.
"""

from __future__ import annotations

from random import Random
from typing import Any, Final

SHORT: Final = 0.0005  # seconds


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
        self.long = False  # its last run was longer than `SHORT`

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
        self.streak, self.worked, self.long = 0, False, False

    def timed(self, seconds: float) -> None:
        """Learn from a call how long the next one may take."""
        self.long = seconds > SHORT

    def succeeded(self) -> None:
        """Note that a call ended well."""
        self.streak, self.worked = 0, True
