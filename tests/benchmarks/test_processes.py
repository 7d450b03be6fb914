"""What does a process cost a loop, and what does a second one bring? Ratios, in one run."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from statistics import median
from subprocess import PIPE, Popen

import pytest

from flownb import Graph
from tests.support.live import until
from tests.support.machine import most

pytestmark = [pytest.mark.benchmark, pytest.mark.nightly, pytest.mark.timeout(300)]


def burn(n):
    return sum(range(200_000)) + n


LIMIT, PROCESS_LIMIT = 1.6, 1.3
BARE = """
import select, sys
done = 0
while True:
    done += sum(range(200_000)) > 0
    if select.select([sys.stdin], [], [], 0)[0]:
        if not sys.stdin.readline():
            break
        print(done, flush=True)
"""


class Bare:
    """A bare process that computes the same beside the loops: what one process gets here."""

    def __enter__(self):
        self.process = Popen([sys.executable, "-c", BARE], stdin=PIPE, stdout=PIPE, text=True)
        self.done()
        return self

    def done(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def __exit__(self, *_):
        self.process.communicate()


def loops(names, pool, items):
    graph = Graph("burning")
    for name in names:
        graph.add_producer(name, range(items)).add_node(f"{name} burns", burn)
        graph.add_edge(name, f"{name} burns").set_loop(name, pool=pool)
    return graph


def share(names, items=200):
    """Items of all loops for one of a bare process beside them.

    From when all loops run until the first has ended. However many others compute on this
    machine: to as many processes it gives as many shares.
    """

    async def measured(bare):
        orch = loops(names, "process", items).start()
        await until(lambda: all(orch.metrics()[n].released for n in names), patience=30)
        before, beside = sum(orch.metrics()[n].released for n in names), bare.done()
        await until(lambda: any(t.has_ended for t in orch._live.loop_runs.values()), patience=60)
        after, beside = sum(orch.metrics()[n].released for n in names), bare.done() - beside
        await orch.stop()
        return (after - before) / beside

    with Bare() as bare:
        return asyncio.run(measured(bare))


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one processor is one processor")
def test_two_computing_process_loops_do_1_6_times_as_much_as_one(figure):
    share(["a"])  # the first child starts slowly
    pairs, times = [], 0.0
    while len(pairs) < 3 or (times < LIMIT and len(pairs) < most(3, 9)):
        pairs.append((share(["a"]), share(["a", "b"])))
        times = median(two / one for one, two in pairs)  # one round in ten is far off
    print("of a bare process:", ", ".join(f"one {one:.2f}, two {two:.2f}" for one, two in pairs))
    figure("two loops in processes, times as much as one", times, least=LIMIT)


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


def test_a_process_loop_takes_at_most_1_3_times_as_long_for_an_iteration_as_a_thread_loop(
    figure,
):
    pairs, least = [], PROCESS_LIMIT + 1
    while len(pairs) < 2 or (least > PROCESS_LIMIT and len(pairs) < most(2, 10)):
        pairs.append((iterations("thread"), iterations("process")))
        least = min(a / b for a, b in pairs)
    print("thread and process, per second:", ", ".join(f"{a:,.0f} {b:,.0f}" for a, b in pairs))
    figure("an iteration in a process, times one in a thread", least, most=PROCESS_LIMIT)
