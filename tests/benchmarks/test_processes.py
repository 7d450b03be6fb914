"""What does a process cost a loop, and what does a second one bring? Ratios, in one run."""

from __future__ import annotations

import asyncio
import os
import time

import pytest

from flownb import Graph
from tests.live.support import until

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(300)]


def burn(n):
    return sum(range(200_000)) + n


def loops(names, pool, items):
    graph = Graph("burning")
    for name in names:
        graph.add_producer(name, range(items)).add_node(f"{name} burns", burn)
        graph.add_edge(name, f"{name} burns").set_loop(name, pool=pool)
    return graph


def rate(graph):
    """Items per second of all loops, from when all of them run until the first has ended."""

    async def measured():
        orch = graph.start()
        names = list(orch.tracks)
        await until(lambda: all(orch.metrics()[n].released for n in names), patience=30)
        begin, before = time.perf_counter(), sum(orch.metrics()[n].released for n in names)
        while not any(t.has_ended for t in orch.tracks.values()):
            await asyncio.sleep(0.005)
            end, after = time.perf_counter(), sum(orch.metrics()[n].released for n in names)
        await orch.stop()
        return (after - before) / (end - begin)

    return asyncio.run(measured())


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one processor is one processor")
def test_two_computing_process_loops_do_1_6_times_as_much_as_one():
    rate(loops(["a"], "process", 300))  # the first child starts slowly
    ratios = []
    for _ in range(5):
        one = rate(loops(["a"], "process", 300))
        two = rate(loops(["a", "b"], "process", 300))
        ratios.append(two / one)
    print("two process loops:", ", ".join(f"{r:.2f}" for r in ratios))
    assert max(ratios) >= 1.6


def counting(pool):
    return (
        Graph("counting")
        .add_producer("p")
        .add_node("n", abs)
        .add_edge("p", "n")
        .set_loop("p", pool=pool)
    )


def iterations(pool, seconds=1.0):
    async def measured():
        orch = counting(pool).start()
        await until(lambda: orch.metrics()["p"].released > 1_000, patience=30)
        before, begin = orch.metrics()["p"].released, time.perf_counter()
        await asyncio.sleep(seconds)
        after, end = orch.metrics()["p"].released, time.perf_counter()
        await orch.stop()
        return (after - before) / (end - begin)

    return asyncio.run(measured())


def test_a_process_loop_takes_at_most_1_3_times_as_long_for_an_iteration_as_a_thread_loop():
    pairs = [(iterations("thread"), iterations("process")) for _ in range(5)]
    print("thread and process, per second:", ", ".join(f"{a:,.0f} {b:,.0f}" for a, b in pairs))
    assert min(a / b for a, b in pairs) <= 1.3
