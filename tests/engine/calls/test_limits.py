"""Is a place in a `Limit` of several graphs never lost, and given on when its call has ended?"""

from __future__ import annotations

import asyncio
import threading
import time

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


@pytest.mark.parametrize("pool", ["thread", "asyncio"])
@pytest.mark.parametrize("seconds", [0, 0.0005, 0.03], ids=str)
@live
async def test_rows_of_two_loops_keep_the_limit_that_they_share(pool, seconds):
    at_work, most, got, lock = 0, 0, [], threading.Lock()

    def node(n):
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
        time.sleep(seconds)
        with lock:
            at_work -= 1
        return n

    one, items = Limit(concurrency=1), 10 if seconds > 0.01 else 300
    loops = []
    for name in ("a", "b"):
        loop = graph(name, range(items), node, one, pool=pool)
        loop.add_node("ends", lambda n, name=name: got.append((name, n))).add_edge("n", "ends")
        loops.append(loop.start())
    for orch in loops:
        await orch.wait(timeout=30)
        await orch.stop()
    assert most == 1
    for name in ("a", "b"):
        assert [n for at, n in got if at == name] == list(range(items))


@pytest.mark.parametrize("pool", ["thread", "asyncio"])
@live
async def test_rows_go_no_faster_than_their_limit(pool):
    starts = []
    loop = graph("g", range(10), lambda _: starts.append(time.monotonic()), Limit(per_second=100),
                 pool=pool)  # fmt: skip
    async with loop.start() as orch:
        await orch.wait(timeout=30)
    assert starts[-1] - starts[0] > 0.085


@pytest.mark.parametrize("pool", ["thread", "asyncio"])
@live
async def test_a_limited_node_is_called_in_the_row_of_its_loop(pool):
    threads = set()
    loop = graph("g", range(500), lambda _: threads.add(threading.get_ident()), Limit(2), pool=pool)
    loop.add_node("after", lambda _: threads.add(threading.get_ident())).add_edge("n", "after")
    async with loop.start() as orch:
        await orch.wait(timeout=30)
    assert len(threads) == 1


@pytest.mark.parametrize("pool", ["thread", "asyncio"])
@pytest.mark.parametrize("seconds", [0, 0.05], ids=["in its row", "taken out of it"])
@live
async def test_a_coroutine_that_a_row_was_given_keeps_its_place_until_it_has_ended(pool, seconds):
    one, begun = Limit(concurrency=1), threading.Event()
    may_end = threading.Event()

    async def waits(n):
        begun.set()
        await until(may_end.is_set)
        return n

    def gives(n):
        time.sleep(seconds)
        return waits(n)

    first = graph("first", [1], gives, one, pool=pool).start()
    await until(begun.is_set)
    second = graph("second", range(3), lambda n: n, one, pool=pool).start()
    await until(lambda: second.metrics()["p"].produced == 1)
    await asyncio.sleep(0.05)
    assert second.metrics()["p"].done == 0
    may_end.set()
    for orch in (first, second):
        await orch.wait(timeout=20)
        await orch.stop()
    assert (first.metrics()["p"].done, second.metrics()["p"].done) == (1, 3)
