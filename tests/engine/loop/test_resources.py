"""Can a loop use what is bound to a thread, an event loop, or takes its time to open?"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
import time

import pytest

from flownb import BlockingNode, Graph
from tests.support.live import live

pytestmark = pytest.mark.wallclock


class Counted(BlockingNode):
    """Counts rows; it takes its connection when it is set up, as class nodes do."""

    def setup(self, ctx):
        self.db = ctx.resources["db"]
        self.db.execute("CREATE TABLE IF NOT EXISTS numbers (n INTEGER)")

    def run(self, _):
        return self.db.execute("SELECT count(*) FROM numbers").fetchone()[0]

    def teardown(self):
        self.db.commit()


def insert(n, ctx):
    ctx.resources["db"].execute("INSERT INTO numbers VALUES (?)", (n,))
    return n


def numbers(ctx):
    for n in range(30):
        (known,) = ctx.resources["db"].execute("SELECT count(*) FROM numbers").fetchone()
        assert known == n
        yield n


def on_sqlite(path, **loop):
    """A loop whose source and nodes use one `sqlite3` connection."""
    return (
        Graph("sqlite")
        .add_producer("numbers", numbers)
        .add_node("insert", insert)
        .add_node("count", Counted(), keep=30)
        .add_edge("numbers", "insert", "count")
        .set_loop(
            "numbers", resources={"db": lambda: contextlib.closing(sqlite3.connect(path))}, **loop
        )
    )


@pytest.mark.parametrize("pool", ["asyncio", "thread", "process"])
@live
async def test_what_must_not_change_threads_can_be_used_by_all_sync_code_of_a_loop(pool, tmp_path):
    path = str(tmp_path / "db.sqlite")
    orch = on_sqlite(path, pool=pool, thread_sensitive=True).start()
    status = await orch.wait(timeout=30)
    await orch.stop()
    assert (status["numbers"].state, status.errors) == ("completed", 0), status
    assert orch.outputs("count", last=30) == list(range(1, 31))
    with contextlib.closing(sqlite3.connect(path)) as db:
        rows = db.execute("SELECT n FROM numbers").fetchall()
    assert rows == [(n,) for n in range(30)]


@live
async def test_without_it_the_failure_says_what_to_set(tmp_path):
    graph = Graph("no").add_producer("p", [1]).add_node("insert", insert).add_edge("p", "insert")
    path = str(tmp_path / "db.sqlite")
    graph.set_loop("p", resources={"db": lambda: contextlib.closing(sqlite3.connect(path))})
    orch = graph.start()
    await orch.wait(timeout=30)
    await orch.stop()
    (failure,) = orch.failures()
    assert isinstance(failure.error, sqlite3.ProgrammingError)
    assert "set_loop('p', thread_sensitive=True) calls all in one thread" in str(failure.error)
    assert orch.status()["p"].state == "completed"  # closed in the thread that opened it


class Slow:
    """A sync resource that says in which threads it is opened and closed."""

    def __init__(self, threads):
        self.threads = threads

    def __enter__(self):
        time.sleep(0.3)
        self.threads.append(threading.current_thread().name)
        return self

    def __exit__(self, *_):
        self.threads.append(threading.current_thread().name)


@live
async def test_a_sync_resource_holds_no_event_loop_and_keeps_its_thread():
    threads, ticks = [], []

    async def tick():
        while True:
            ticks.append(time.monotonic())
            await asyncio.sleep(0.01)

    graph = Graph("slow").add_producer("p", [1])
    graph.set_loop("p", pool="asyncio", resources={"slow": lambda: Slow(threads)})
    beside = asyncio.create_task(tick())
    orch = graph.start()
    await orch.wait(timeout=30)
    await orch.stop()
    beside.cancel()
    assert threads == ["flownb p resources 0"] * 2
    assert len(ticks) > 5


class Client:
    """An async resource that wants an event loop that runs when it is made."""

    def __init__(self):
        self.event_loop = asyncio.get_running_loop()

    async def __aenter__(self):
        assert asyncio.get_running_loop() is self.event_loop
        return self

    async def __aexit__(self, *_):
        assert asyncio.get_running_loop() is self.event_loop


@pytest.mark.parametrize("make", [Client, lambda: Client()], ids=["class", "function"])
@live
async def test_what_wants_an_event_loop_when_it_is_made_has_one(make):
    graph = Graph("client").add_producer("p", [1]).add_node("here", is_client, keep=1)
    graph.add_edge("p", "here").set_loop("p", resources={"client": make})
    orch = graph.start()
    await orch.wait(timeout=30)
    await orch.stop()
    assert orch.outputs("here") == [True]


def is_client(_, ctx):
    return isinstance(ctx.resources["client"], Client)
