"""Does a sweep find the seed that breaks a promise?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flownb import Graph

if TYPE_CHECKING:
    from flownb import Simulation


def races() -> Graph:
    """Two arms of random length into a first-come join."""
    return (
        Graph("races")
        .add_producer("p", [1])
        .add_node("hare", lambda _: "hare", takes=lambda rng: rng.uniform(1, 2))
        .add_node("tortoise", lambda _: "tortoise", takes=lambda rng: rng.uniform(1.6, 3))
        .add_node("wins", join="first")
        .add_edge("p", "hare", "wins")
        .add_edge("p", "tortoise", "wins")
    )


def test_a_sweep_names_the_first_seed_that_breaks_the_check_and_keeps_its_simulation() -> None:
    def hare_wins(sim: Simulation) -> None:
        assert sim.outputs("wins") == ["hare"]

    found = races().sweep(hare_wins, seeds=1000)
    assert not found.holds
    assert found.seed is not None
    assert found.simulation is not None
    assert found.simulation.outputs("wins") == ["tortoise"]
    assert races().simulate(seed=found.seed).digest == found.simulation.digest
    earlier = races().sweep(hare_wins, seeds=found.seed)
    assert earlier.holds
    assert repr(earlier) == f"Sweep('races': holds for {found.seed} seeds)"


def test_a_check_may_return_false_and_options_reach_the_simulation() -> None:
    found = races().sweep(lambda sim: sim.duration < 0.5, seeds=[7], iterations=1)
    assert (found.seed, found.tried) == (7, 1)
    assert repr(found).startswith("Sweep('races': broken at seed 7 of 1 tried")
