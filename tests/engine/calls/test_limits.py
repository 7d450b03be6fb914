"""Is a place in a `Limit` of several graphs never lost, and given on when its call has ended?"""

from __future__ import annotations

import asyncio
import threading

import pytest

from flownb import Graph, Limit
from tests.support.live import live, until

pytestmark = pytest.mark.wallclock


def graph(name, items, fn, limit, *, pool="thread", **options):
    made = Graph(name).add_producer("p", items).set_loop("p", pool=pool)
    return made.add_node("n", fn, limit=limit, **options).add_edge("p", "n")


@pytest.mark.parametrize("pool", ["thread", "asyncio"])
@pytest.mark.parametrize("options", [{}, {"timeout": 60}, {"timeout": 0.05}], ids=str)
@live
async def test_a_thread_keeps_its_place_beyond_the_end_of_its_loop(pool, options):
    one, begun, may_end = Limit(concurrency=1), threading.Event(), threading.Event()

    def blocks(_):
        begun.set()
        may_end.wait(30)

    first = graph("first", [1], blocks, one, pool=pool, **options).start()
    await until(begun.is_set)
    await first.stop(grace=0.1)
    second = graph("second", range(3), lambda n: n, one).start()
    await until(lambda: second.metrics()["p"].produced == 1)
    await asyncio.sleep(0.1)
    assert second.metrics()["p"].done == 0
    may_end.set()
    await second.wait(timeout=20)
    assert second.metrics()["p"].done == 3
    await second.stop()


@pytest.mark.parametrize("pool", ["thread", "asyncio"])
@pytest.mark.parametrize("options", [{}, {"timeout": 60}], ids=str)
@live
async def test_an_async_node_that_is_cancelled_and_one_that_waits_leave_their_places(pool, options):
    one, begun = Limit(concurrency=1), threading.Event()

    async def sleeps(_):
        begun.set()
        await asyncio.sleep(60)

    holds = graph("holds", [1], sleeps, one, pool=pool, **options).start()
    await until(begun.is_set)
    waits = graph("waits", [1], sleeps, one, pool=pool, **options).start()
    await until(lambda: waits.metrics()["p"].produced == 1)
    await waits.stop(grace=0)
    await holds.stop(grace=0)
    after = graph("after", range(3), lambda n: n, one).start()
    await after.wait(timeout=20)
    assert after.metrics()["p"].done == 3
    await after.stop()
