"""Does a run cost little beside its nodes? Chains and fans against the same, by hand.

By hand and by flownb take turns, and the quickest rounds of both are compared: a busy
neighbour only ever adds. Rounds go on while the limit is not kept, but not for ever.
"""

from __future__ import annotations

import asyncio
import time

import pytest

from flownb import Graph
from tests.support.machine import most

pytestmark = [pytest.mark.benchmark, pytest.mark.wallclock, pytest.mark.timeout(120)]

CHAIN, WIDTH, ROUNDS = 1_000, 100, 20
NAP = 0.001


def plus_one(state):
    return {"n": state["n"] + 1}


async def nothing(_):
    return None


def nothing_sync(_):
    return None


async def nap(_):
    await asyncio.sleep(NAP)


def chain():
    graph = Graph("chain").add_node("0", plus_one)
    for i in range(1, CHAIN):
        graph.add_node(str(i), plus_one).add_edge(str(i - 1), str(i))
    return graph


def fan(fn):
    """1 -> 100 -> 1."""
    graph = Graph("fan").add_node("first", fn).add_node("last", fn)
    for i in range(WIDTH):
        graph.add_node(str(i), fn).add_edge("first", str(i), "last")
    return graph


async def chain_by_hand():
    state = {"n": 0}
    for _ in range(CHAIN):
        state = {**state, **plus_one(state)}


def fan_by_hand(fn):
    async def gathered():
        await fn({})
        await asyncio.gather(*(fn({}) for _ in range(WIDTH)))
        await fn({})

    return gathered


async def seconds(work):
    started = time.perf_counter()
    await work
    return time.perf_counter() - started


async def compare(graph, by_hand, limit):
    """Times as long as by hand, and seconds."""
    bare, ours = [], []
    await graph.arun({"n": 0})  # compiled once, as by hand
    while len(ours) < ROUNDS or (min(ours) / min(bare) > limit and len(ours) < most(ROUNDS, 200)):
        bare.append(await seconds(by_hand()))
        ours.append(await seconds(graph.arun({"n": 0})))
    return min(ours) / min(bare), min(ours)


@pytest.mark.parametrize(
    ("name", "graph", "by_hand", "limit"),
    [
        # by hand a node costs 0.125 us on the machine whose 2 us a node are the limit
        ("a chain of 1,000 sync nodes", chain(), chain_by_hand, 16.0),
        ("1 -> 100 -> 1 of 1 ms", fan(nap), fan_by_hand(nap), 1.3),
        ("1 -> 100 -> 1 of nothing", fan(nothing), fan_by_hand(nothing), 1.5),
        # those that are not async cross to a thread and back, which gather's do not
        ("1 -> 100 -> 1 of nothing, sync", fan(nothing_sync), fan_by_hand(nothing), 5.0),
    ],
)
def test_a_run_costs_at_most_so_many_times_the_same_by_hand(name, graph, by_hand, limit, figure):
    ratio, took = asyncio.run(compare(graph, by_hand, limit))
    print(f"{took * 1e6 / len(graph.nodes):.1f} us a node")
    figure(f"{name}, times by hand", ratio, most=limit)
