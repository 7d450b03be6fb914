"""Does a call that blocks for ever hold up nothing but itself, after however many short ones?"""

from __future__ import annotations

import asyncio
import time

import pytest

from flownb import Graph, Limit
from tests.support.live import blocked, let_go, live, until

pytestmark = [pytest.mark.wallclock, pytest.mark.timeout(200)]

TRIES = 3  # the machine may stand still in one of them


def blocks_at(many):
    """A sync node that never comes back from one item."""

    def node(n):
        if n == many:
            blocked()
        return n

    return node


def waits_at(many):
    """An async one."""

    async def node(n):
        if n == many:
            await asyncio.sleep(60)
        return n

    return node


def same(n):
    return n


async def same_async(n):
    return n


def items_of(many):
    """A generator that never gives its item of that number."""

    def items():
        node = blocks_at(many)
        for n in range(many + 1):
            yield node(n)

    return items


def row(graph, many):
    graph.add_node("before", same).add_node("n", blocks_at(many)).add_edge("p", "before", "n")


def limited(graph, many):
    graph.add_node("before", same).add_node("n", blocks_at(many), limit=Limit(concurrency=1))
    graph.add_edge("p", "before", "n")


def timed(graph, many):
    graph.add_node("before", same).add_node("n", blocks_at(many), timeout=100)
    graph.add_edge("p", "before", "n")


def joined(graph, many):
    graph.add_node("other", same).add_node("n", blocks_at(many)).add_node("both", same)
    graph.add_edge("p", "other").add_edge("p", "n").add_edge(["other", "n"], "both")


def decided(graph, many):
    node = blocks_at(many)
    graph.add_if("n", lambda x: node(x) >= 0).add_node("after", same).add_edge("p", "n")
    graph.add_edge("n", "after", when=True)


def detached(graph, many):
    graph.add_node("awaited", same).add_node("n", blocks_at(many), kind="non_blocking")
    graph.add_edge("p", "awaited").add_edge("p", "n")


def awaiting(graph, many):
    graph.add_node("before", same).add_node("n", waits_at(many)).add_edge("p", "before", "n")


def behind_async(graph, many):
    graph.add_node("before", same_async).add_node("n", blocks_at(many))
    graph.add_edge("p", "before", "n")


def source(graph, many):
    del many
    graph.add_node("after", same).add_edge("p", "after")


def condition_behind_async(graph, many):
    node = blocks_at(many)
    graph.add_node("n", same_async).add_node("after", same).add_edge("p", "n")
    graph.add_edge("n", "after", condition=lambda x: node(x) >= 0)


def at_each(graph, many):
    graph.add_node("a", same).add_node("b", same_async).add_node("n", blocks_at(many), join="each")
    graph.add_edge("p", "a").add_edge("p", "b").add_edge(["a", "b"], "n")


def row_behind_async(graph, many):
    graph.add_node("before", same_async).add_node("m", same).add_node("n", blocks_at(many))
    graph.add_node("after", same).add_edge("p", "before", "m", "n", "after")


SHAPES = [
    row,
    limited,
    timed,
    joined,
    decided,
    detached,
    awaiting,
    behind_async,
    row_behind_async,
    condition_behind_async,
    at_each,
    source,
]
CASES = [(pool, shape) for pool in ("thread", "asyncio", "process") for shape in SHAPES]


async def figures(pool, shape, many):
    """Let a call block; seconds until `pausing` is seen, and until a stop has ended."""
    graph = Graph("blocked")
    graph.add_producer("p", items_of(many) if shape is source else list(range(many + 1)))
    shape(graph, many)
    graph.set_loop("p", pool=pool)
    graph.add_producer("clock", lambda: 1, every=0.05).add_node("tick", same)
    graph.add_edge("clock", "tick")
    orch = graph.start()
    if shape is not source:
        await until(lambda: orch.metrics()["p"].produced == many + 1, patience=120)
    await until(lambda: orch.metrics()["p"].done == many, patience=120)
    await asyncio.sleep(0.1)
    ticks = orch.metrics()["clock"].released
    begun = time.monotonic()
    orch.pause("p")
    await until(lambda: orch.status()["p"].state in {"pausing", "paused"})
    pausing = time.monotonic() - begun
    await until(lambda: orch.metrics()["clock"].released > ticks + 3)
    begun = time.monotonic()
    await orch.stop("p", grace=1)
    stopping, status = time.monotonic() - begun, orch.status()["p"]
    await orch.stop()
    let_go()
    assert status.state == "stopped"
    return pausing, stopping, str(status)


async def judge(pool, shape, many):
    for _ in range(TRIES):
        pausing, stopping, said = await figures(pool, shape, many)
        name = "p" if shape is source else "n"
        assert shape is awaiting or pool == "process" or f"abandoned: {name}" in said
        if pausing < 0.2 and stopping < 1.5:
            return
    pytest.fail(f"{pausing:.2f} s until it pauses, {stopping:.2f} s until it has stopped")


@pytest.mark.parametrize("pool", ["thread", "asyncio"])
@pytest.mark.parametrize("shape", [timed, row_behind_async])
@live
async def test_a_call_that_blocks_after_short_ones_holds_up_nothing_but_itself(pool, shape):
    await judge(pool, shape, 500)


@pytest.mark.nightly
@pytest.mark.parametrize("many", [0, 10, 500, 50_000])
@pytest.mark.parametrize(("pool", "shape"), CASES, ids=lambda v: getattr(v, "__name__", v))
@live
async def test_a_call_that_blocks_holds_up_nothing_but_itself_in_every_pool(pool, shape, many):
    await judge(pool, shape, many)
