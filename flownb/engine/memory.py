"""What does a node keep from item to item, and from generation to generation?

Its `ctx.state`, its random numbers, how often it failed in a row, and whether it is
*short*: 20 measured runs in a row stayed under 0.5 ms. One longer run sends a node
back to a thread for twice as many runs as before. (Not for good, as first designed:
on a shared machine any call is once preempted for a millisecond.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from random import Random

SHORT: Final = 0.0005
PROBATION: Final = 20


class Memory:
    """The memory of one node of one loop."""

    def __init__(self, rng: Random) -> None:
        self.state: dict[str, Any] = {}
        self.rng = rng
        self.streak = 0
        self.worked = False
        self.short = False
        self._seen, self._needed = 0, PROBATION

    def renewed(self) -> None:
        """Forget what was learned of another function under the same name; keep `state`."""
        self.streak, self.worked, self.short = 0, False, False
        self._seen, self._needed = 0, PROBATION

    def timed(self, seconds: float) -> None:
        """Learn from a measured run whether the node is short."""
        if seconds > SHORT:
            self._seen, self._needed, self.short = 0, self._needed * 2, False
        elif not self.short:
            self._seen += 1
            self.short = self._seen >= self._needed
