"""Is virtual time fast enough to be the way one works?"""

from __future__ import annotations

import asyncio
import time

import pytest

from flownb import Graph

pytestmark = [pytest.mark.benchmark, pytest.mark.wallclock]

ITEMS, LIMIT, ROUNDS = 10_000, 25.0, 3


def hour(*takes):
    """A producer every 0.36 s, and three nodes behind it: 10,000 items in an hour."""
    graph = Graph("hour").add_producer("p", every=0.36)
    before = "p"
    for name, seconds in zip("abc", takes, strict=True):
        graph.add_node(name, lambda x: x, takes=seconds).add_edge(before, name)
        before = name
    return graph


def turns():
    """Seconds that asyncio alone needs for as many turns as there are calls."""

    async def bare():
        for _ in range(4 * ITEMS):
            await asyncio.sleep(0)

    started = time.perf_counter()
    asyncio.run(bare())
    return time.perf_counter() - started


def best(graph):
    """Seconds, and times a bare event loop, of the best of three rounds."""
    rounds = []
    for _ in range(ROUNDS):
        reference, started = turns(), time.perf_counter()
        sim = graph.simulate(until=3600, history=1000)
        seconds = time.perf_counter() - started
        rounds.append((seconds / reference, seconds))
        assert sim.metrics["p"].done == ITEMS
    return min(rounds)


@pytest.mark.parametrize(
    ("name", "takes"), [("without durations", (None,) * 3), ("with durations", (0.1, 0.1, 0.1))]
)
def test_an_hour_of_ten_thousand_items_costs_a_few_turns_of_the_event_loop_a_call(
    name, takes, record_property
):
    ratio, seconds = best(hour(*takes))
    rate = 3 * ITEMS / seconds
    record_property("node executions per second", rate)
    print(f"{name}: {ratio:.1f} x a bare event loop, {seconds:.2f} s, {rate:,.0f} executions/s")
    assert ratio < LIMIT
