"""Do loops cost little beside what their nodes do? Each figure against a bare loop, same run.

Loop and bare loop take turns in short rounds, and the quickest of both are compared: a busy
neighbour only ever adds. Rounds go on while the limit is not kept, but not for ever. What
computes is measured by the processor, what sleeps by the clock.
"""

from __future__ import annotations

import asyncio
import math
import statistics
import time
from itertools import pairwise

import pytest

from flownb import Graph
from tests.support.machine import most

pytestmark = [pytest.mark.benchmark, pytest.mark.wallclock, pytest.mark.timeout(300)]

ITEMS, CHAIN, ROUNDS = 100_000, 10, 6
STEP, SLICE, SLICES = 0.005, 40, 15  # one hop to a thread and back is 1 % of a step
PROCESS_LIMIT = 1.3
CHAIN_LIMIT, SHARE, ARM, MARGIN = 10.0, 0.97, 0.1, 0.05


def trivial(n: int) -> int:
    """Do next to nothing, as a node."""
    return n + 1


def seconds(call) -> float:
    """Seconds of the processor, in all threads of this process."""
    started = time.process_time()
    call()
    return time.process_time() - started


def bare_loop() -> None:
    """Do what a chain of ten trivial nodes does, as anybody would write it."""
    functions = [trivial] * CHAIN
    for value in range(ITEMS):
        for function in functions:
            value = function(value)  # noqa: PLW2901 - the chain


def chain() -> Graph:
    graph = Graph("chain").add_producer("days", range(ITEMS))
    before = "days"
    for i in range(CHAIN):
        graph.add_node(f"n{i}", trivial).add_edge(before, f"n{i}")
        before = f"n{i}"
    return graph


def run(graph: Graph) -> None:
    orch = graph.start()
    status = asyncio.run(orch.wait(timeout=100))
    assert [s.state for s in status.loops] == ["completed"]
    orch.stop().wait(10)


def test_a_chain_of_ten_trivial_nodes_costs_at_most_ten_bare_loops(figure):
    bare, ours, ratio = [], [], CHAIN_LIMIT + 1
    while len(ours) < ROUNDS or (ratio > CHAIN_LIMIT and len(ours) < most(ROUNDS, 48)):
        bare.append(seconds(bare_loop))
        ours.append(seconds(lambda: run(chain())))
        ratio = min(ours) / min(bare)
    figure(f"chain of {CHAIN}, times a bare loop", ratio, most=CHAIN_LIMIT)


def elapsed(pool: str) -> float:
    """Seconds the chain takes there, from the loop's start to its end."""
    orch = chain().set_loop("days", pool=pool).start()
    asyncio.run(orch.wait(timeout=100))
    metrics = orch.metrics()["days"]
    orch.stop().wait(10)
    assert metrics.released == ITEMS
    return metrics.elapsed


@pytest.mark.nightly
def test_a_loop_in_a_process_is_about_as_fast_as_one_in_a_thread(figure):
    thread, process, ratio = [], [], PROCESS_LIMIT + 1
    while len(process) < 3 or (ratio > PROCESS_LIMIT and len(process) < most(3, 24)):
        thread.append(elapsed("thread"))
        process.append(elapsed("process"))
        # one thread that had the machine to itself for once is not what the others had
        ratio = min(pick(process) / pick(thread) for pick in (min, statistics.median))
    figure(f"chain of {CHAIN} in a process, times in a thread", ratio, most=PROCESS_LIMIT)


def branches() -> Graph:
    """One blocking branch of 5 ms and one of 20 ms that nobody waits for."""
    graph = Graph("branches").add_producer("days")
    graph.add_node("waits", lambda _: time.sleep(STEP)).add_edge("days", "waits")
    graph.add_node("goes on", lambda _: time.sleep(4 * STEP), kind="non_blocking")
    return graph.add_edge("days", "goes on")


def period(times) -> float:
    """Seconds from one to the next: the median, so that a wake-up that came late is left out."""
    return statistics.median(b - a for a, b in pairwise(times))


def period_of_a_bare_loop() -> float:
    """Seconds an iteration of the same sleep takes, as anybody would write it."""
    times = [time.perf_counter()]
    for _ in range(SLICE):
        time.sleep(STEP)
        times.append(time.perf_counter())
    return period(times)


def period_by_hand() -> float:
    """Seconds an iteration of both branches takes, as anybody would write it with asyncio."""

    async def both() -> float:
        threads, times = asyncio.get_running_loop(), [time.perf_counter()]
        for _ in range(SLICE):
            waits = threads.run_in_executor(None, time.sleep, STEP)
            threads.run_in_executor(None, time.sleep, 4 * STEP)
            await waits
            times.append(time.perf_counter())
        return period(times)

    return asyncio.run(both())


def period_of_a_loop(orch) -> float:
    """Let a paused loop go on for a slice; seconds from release to release."""
    before = orch.metrics()["days"].released
    orch.resume().wait(10)
    time.sleep(SLICE * STEP)
    orch.pause().wait(10)
    times = [e.time for e in orch.timeline().releases if e.iteration >= before]
    return period(times) if len(times) > SLICE / 2 else math.inf  # else the machine stood still


def in_flight(timeline) -> float:
    """How many items are usually on their way when one is released."""
    away = [s for s in timeline.spans if s.node == "goes on"]
    times = [e.time for e in timeline.releases][-SLICES * SLICE // 2 :]
    return statistics.median(sum(s.start <= at < s.end for s in away) for at in times)


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("reference", "least"), [(period_by_hand, SHARE - 0.01), (period_of_a_bare_loop, SHARE)]
)
def test_a_background_branch_costs_the_foreground_next_to_nothing(figure, reference, least):
    """Slices of both take turns; the quickest of each are compared, or those in the middle.

    Two threads that are woken in each iteration are dear where the machine is: by hand they
    cost 1 to 3 % of the ideal rate, which is that of the bare sleep.
    """
    orch = branches().start()
    asyncio.run(orch.wait(iterations=30, timeout=10))
    orch.pause().wait(10)
    theirs, ours, share = [], [], 0.0
    while len(ours) < SLICES or (share < least and len(ours) < most(SLICES, 75)):
        theirs.append(reference())
        ours.append(period_of_a_loop(orch))
        share = max(pick(theirs) / pick(ours) for pick in (min, statistics.median))
    away = in_flight(orch.timeline())
    orch.stop().wait(10)
    peak = orch.metrics()["days"].peak_in_flight
    print(f"{away:g} in flight, once {peak}")
    figure("5 ms blocking, 20 ms beside, share of the rate", share, least=least)
    figure("items in flight", away, least=3, most=5)


def test_two_parallel_arms_take_as_long_as_one(figure):
    graph = Graph("arms").add_producer("days")
    for name in ("left", "right"):
        graph.add_node(name, lambda _: time.sleep(ARM)).add_edge("days", name)
    orch = graph.start()
    asyncio.run(orch.wait(iterations=12, timeout=30))
    orch.stop().wait(10)
    spans = [s for s in orch.timeline().spans if s.node in {"left", "right"}]
    items: dict[int, list] = {}
    for span in spans:
        items.setdefault(span.iteration, []).append(span)
    took = statistics.median(
        max(s.end for s in arms) - min(s.start for s in arms) for arms in items.values()
    )
    each = period([e.time for e in orch.timeline().releases])
    figure(f"two arms of {ARM} s, seconds", took, least=ARM, most=ARM + MARGIN)
    figure(f"two arms of {ARM} s, seconds an item", each, most=ARM + MARGIN)
