"""Does it hold whatever the chances? Simulate with one seed after the other.

What a seed changes: declared lengths drawn from the rng, injected failures, jitter of
retries, and whatever nodes draw from `ctx.rng`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flownb.model.shown import Shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from flownb.engine.simulate import Simulation


@dataclass(frozen=True, slots=True, repr=False)
class Sweep(Shown):
    """How many seeds were tried, and the first that broke the check, if one did.

    `graph` is the graph's name, `tried` that number. Of the one that broke it: `seed`, `error`
    (what the check raised) and `simulation`; else these are None.
    """

    graph: str
    tried: int
    seed: int | None = None
    error: Exception | None = None
    simulation: Simulation | None = None

    @property
    def holds(self) -> bool:
        """Whether no seed broke the check."""
        return self.seed is None


def sweep(
    name: str,
    seeds: Iterable[int],
    simulated: Callable[[int], Simulation],
    check: Callable[[Simulation], object],
) -> Sweep:
    """Try seeds until *check* raises, or returns False."""
    tried = 0
    for tried, seed in enumerate(seeds, 1):
        simulation = simulated(seed)
        try:
            holds = check(simulation) is not False
            error: Exception = AssertionError(f"the check returned False for seed {seed}")
        except Exception as raised:  # noqa: BLE001 - whatever the user's check raises
            holds, error = False, raised
        if not holds:
            return Sweep(name, tried, seed, error, simulation)
    return Sweep(name, tried)
