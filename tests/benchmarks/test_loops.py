"""Do loops cost little beside what their nodes do? Each figure against a bare loop, same run."""

from __future__ import annotations

import asyncio
import statistics
import time

import pytest

from flownb import Graph

pytestmark = [pytest.mark.benchmark, pytest.mark.wallclock, pytest.mark.timeout(300)]

ITEMS, CHAIN, ROUNDS = 200_000, 10, 5
TRIES = 6  # one hop to a thread and back is 1 % here, and a busy neighbour only ever adds to it
CHAIN_LIMIT, SHARE, ARM, MARGIN = 10.0, 0.97, 0.1, 0.05


def trivial(n: int) -> int:
    """Do next to nothing, as a node."""
    return n + 1


def seconds(call) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


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


def test_a_chain_of_ten_trivial_nodes_costs_at_most_ten_bare_loops(record_property):
    def median() -> float:
        return statistics.median(
            seconds(lambda: run(chain())) / seconds(bare_loop) for _ in range(ROUNDS)
        )

    ratio = min(median() for _ in range(TRIES))
    record_property("ratio", ratio)
    print(f"chain of {CHAIN}, {ITEMS:,} items: {ratio:.1f} x a bare loop")
    assert ratio <= CHAIN_LIMIT


def rate_of_a_loop(duration: float) -> tuple[float, int]:
    """Measure iterations/s of one 5 ms blocking and one 20 ms non-blocking branch."""
    graph = Graph("branches").add_producer("days")
    graph.add_node("waits", lambda _: time.sleep(0.005)).add_edge("days", "waits")
    graph.add_node("goes on", lambda _: time.sleep(0.020), kind="non_blocking")
    orch = graph.add_edge("days", "goes on").start()
    asyncio.run(orch.wait(iterations=20, timeout=10))
    before, start = orch.metrics()["days"].released, time.perf_counter()
    time.sleep(duration)
    after, end = orch.metrics()["days"].released, time.perf_counter()
    orch.stop().wait(10)
    return (after - before) / (end - start), orch.metrics()["days"].peak_in_flight


def rate_of_a_bare_loop(duration: float) -> float:
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < duration:
        time.sleep(0.005)
        count += 1
    return count / (time.perf_counter() - start)


def share_of_the_ideal() -> tuple[float, float]:
    shares, peaks = [], []
    for _ in range(ROUNDS):
        ideal = rate_of_a_bare_loop(0.7)
        rate, peak = rate_of_a_loop(0.7)
        shares.append(rate / ideal)
        peaks.append(peak)
    return statistics.median(shares), statistics.median(peaks)


def test_a_background_branch_costs_the_foreground_three_percent_at_most(record_property):
    share, peak = max(share_of_the_ideal() for _ in range(TRIES))
    record_property("share", share)
    print(f"5 ms blocking, 20 ms beside: {share:.1%} of the ideal rate, {peak} in flight")
    assert share >= SHARE
    assert peak <= 5


def test_two_parallel_arms_take_as_long_as_one(record_property):
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
    period = orch.metrics()["days"].elapsed / orch.metrics()["days"].released
    record_property("seconds", took)
    print(f"two arms of {ARM} s: {took:.3f} s, period {period:.3f} s")
    assert ARM <= took <= ARM + MARGIN
    assert period <= ARM + MARGIN
