"""Does a source that blocks hold up nothing but itself, in one thread for its whole life?"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
import time

import pytest

from flownb import Graph
from tests.support.live import live, until

pytestmark = pytest.mark.wallclock

POOLS = pytest.mark.parametrize("pool", ["thread", "asyncio"])


def graph_of(source, *nodes, pool="thread", **options):
    """A producer and sync nodes behind one another."""
    graph = Graph("g").add_producer("p", source, **options).set_loop("p", pool=pool)
    names = []
    for i, fn in enumerate(nodes):
        graph.add_node(f"n{i}", fn, keep=None)
        names.append(f"n{i}")
    return graph.add_edge("p", *names)


class Tap:
    """A source that gives *many* items, then what is put in."""

    def __init__(self, many):
        self.many, self.inbox, self.waits = many, queue.Queue(), threading.Event()

    def items(self):
        yield from range(self.many)
        while True:
            self.waits.set()
            yield self.inbox.get()


@POOLS
@pytest.mark.parametrize("many", [0, 10, 500, 20_000])
@live
async def test_a_source_that_blocks_leaves_pause_stop_and_what_was_made_alone(pool, many):
    tap, got = Tap(many), []
    orch = graph_of(tap.items, lambda x: x, got.append, pool=pool).start()
    await until(tap.waits.is_set)
    await until(lambda: len(got) == many and orch.metrics()["p"].done == many)
    await asyncio.wait_for(orch.pause("p"), 2)
    assert orch.status()["p"].state == "paused"
    tap.waits.clear()
    tap.inbox.put("late")
    await asyncio.sleep(0.1)
    assert len(got) == many, "it is paused"
    await orch.resume("p")
    await until(lambda: got[many:] == ["late"] and tap.waits.is_set())
    begun = time.monotonic()
    await orch.stop(grace=1)
    assert time.monotonic() - begun < 3
    assert orch.status()["p"].state == "stopped"
    tap.inbox.put("too late")
    await until(lambda: "it was dropped" in str(orch.logs()))
    assert len(got) == many + 1


@POOLS
@live
async def test_all_calls_of_a_generator_come_from_one_thread_with_those_that_close_it(pool):
    threads, closed = set(), []

    def rows():
        base = sqlite3.connect(":memory:")
        base.execute("create table t (n integer)")
        base.executemany("insert into t values (?)", [(n,) for n in range(2_000)])
        threads.add(threading.get_ident())
        try:
            for (n,) in base.execute("select n from t"):
                threads.add(threading.get_ident())
                yield n
            while True:
                yield None
        finally:
            base.close()  # raises in any other thread
            closed.append(threading.get_ident())

    orch = graph_of(rows, lambda n: n, pool=pool).start()
    await until(lambda: orch.metrics()["p"].done == 2_000)
    await orch.stop()
    assert closed == list(threads)
    assert not orch.failures()
    assert "closed" not in "".join(str(line) for line in orch.logs())


@POOLS
@live
async def test_an_iterator_that_is_still_at_work_is_not_read_by_a_second_loop(pool):
    tap = Tap(5)
    source = tap.items()
    graph = graph_of(source, lambda x: x, pool=pool)
    orch = graph.start()
    await until(tap.waits.is_set)
    await orch.stop(grace=0.1)
    again = graph.start()
    await until(lambda: again.status()["p"].state == "error")
    assert "has been at work for" in again.status()["p"].reason
    tap.inbox.put("dropped")
    await again.stop()


@POOLS
@live
async def test_a_source_that_is_no_code_of_the_user_s_is_read_without_a_thread(pool):
    threads, got = [], []

    async def node(x):
        threads.extend(t.name for t in threading.enumerate() if t.name.endswith("of p"))
        got.append(x)

    graph = Graph("g").add_producer("p", range(100)).set_loop("p", pool=pool)
    orch = graph.add_node("n", node, keep=None).add_edge("p", "n").start()
    await orch.wait(timeout=20)
    assert got == list(range(100))
    assert not threads
    await orch.stop()
