"""Do the loops run as fast as predicted, and is the bottleneck where it was said to be?"""

from __future__ import annotations

import pytest

from tests.analysis.capacities import GRAPHS

UNTIL = 240.0


def measured_period(sim, loop):
    """Seconds between releases, once the loop has settled: the last third of them."""
    releases = sim.releases(loop)
    tail = releases[2 * len(releases) // 3 :]
    return (tail[-1] - tail[0]) / (len(tail) - 1)


@pytest.mark.parametrize("story", GRAPHS)
def test_the_period_is_predicted_within_one_per_cent(story):
    graph = GRAPHS[story]()
    capacity, sim = graph.explain().capacity(), graph.simulate(until=UNTIL)
    for loop in graph.producers:
        predicted = capacity.loops[loop].period
        assert predicted == pytest.approx(measured_period(sim, loop), rel=0.01), loop
