"""What does a one-shot run cost beside what asyncio needs for the same work?"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from flownb import Graph

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.benchmark, pytest.mark.wallclock]


async def best(work: Callable[[], Any], times: int = 15) -> float:
    """Give the seconds of the quickest try."""
    found = []
    for _ in range(times):
        start = time.perf_counter()
        await work()
        found.append(time.perf_counter() - start)
    return min(found)


def fan(node: Callable[[Any], Any]) -> Graph:
    graph = Graph("fan").add_node("first", node).add_node("last", node)
    for i in range(100):
        graph.add_node(f"w{i}", node).add_edge("first", f"w{i}", "last")
    return graph


async def ratio(node: Callable[[Any], Any]) -> float:
    async def gathered() -> None:
        await node(0)
        await asyncio.gather(*(node(0) for _ in range(100)))
        await node(0)

    graph = fan(node)
    await graph.arun({})
    return await best(lambda: graph.arun({})) / await best(gathered)


def test_one_to_a_hundred_to_one_sleeps_beside_gather() -> None:
    async def nap(_: Any) -> None:
        await asyncio.sleep(0.001)

    found = min(asyncio.run(ratio(nap)) for _ in range(3))
    print(f"1 -> 100 -> 1, 1 ms sleeps: {found:.2f} times gather")
    assert found < 1.6


def test_one_to_a_hundred_to_one_trivial_nodes_beside_gather() -> None:
    async def nothing(_: Any) -> None:
        return None

    found = min(asyncio.run(ratio(nothing)) for _ in range(3))
    print(f"1 -> 100 -> 1, trivial async nodes: {found:.2f} times gather")
    assert found < 8


def test_a_chain_of_a_thousand_trivial_nodes() -> None:
    graph, names = Graph("chain"), [f"n{i}" for i in range(1000)]
    for name in names:
        graph.add_node(name, lambda s: {"n": s["n"] + 1})
    graph.add_edge(*names)

    async def measured() -> float:
        await graph.arun({"n": 0})
        return await best(lambda: graph.arun({"n": 0}), 20)

    found = min(asyncio.run(measured()) for _ in range(3))
    print(f"chain: {found * 1000:.2f} us per node")
    assert found < 0.004
