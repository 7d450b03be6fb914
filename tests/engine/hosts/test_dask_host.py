"""What does a loop on a Dask cluster say when Dask fails it? No cluster is needed to see."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from flownb import Graph
from flownb.engine.hosts import dask_worker
from flownb.engine.hosts.dask import DaskHost
from flownb.engine.remote.pickling import PickledLoop, load
from flownb.errors import GraphError, RunError
from flownb.plan.compiler import compile_plan
from tests.support.live import live, one


class Gone:
    """A queue of a worker whose connection has been closed."""

    def __init__(self, *_, **__):
        pass

    def put(self, *_, **__):
        msg = "'NoneType' object has no attribute 'queue_put'"  # as Dask does
        raise AttributeError(msg)

    get = put


@pytest.fixture
def post(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", SimpleNamespace(Queue=Gone))
    post = dask_worker.WorkerChannel(None, "run", "tcp://worker")
    yield post
    post._over.set()
    while any(t.name == "flownb watch" for t in threading.enumerate()):
        time.sleep(0.01)


@pytest.mark.wallclock
def test_a_worker_that_is_being_closed_ends_the_talk_in_silence(post):
    with pytest.raises(OSError, match="queue_put"):
        post.send(b"")
    with pytest.raises(OSError, match="queue_put"):
        post.receive()


def failed(error, cause):
    """Give what a loop says whose task could not be opened."""
    error.__cause__ = cause

    async def exception():
        return error

    host = DaskHost.__new__(DaskHost)
    host.manager = SimpleNamespace(name="days")
    return asyncio.run(host._broken(SimpleNamespace(status="error", exception=exception)))


def test_a_worker_without_flownb_is_told_as_such():
    missing = ModuleNotFoundError("No module named 'flownb'")
    found = failed(RuntimeError("Error during deserialization of the task graph."), missing)
    assert str(found) == (
        "loop 'days': its Dask worker needs flownb and dask as here: No module named 'flownb'"
    )
    assert str(failed(ValueError("why"), None)).endswith("its Dask task is error: why")


def test_a_client_that_was_closed_is_no_scheduler_that_is_gone():
    async def opened():
        raise OSError("Stream is closed")

    async def run(status):
        host = DaskHost.__new__(DaskHost)
        host.manager = SimpleNamespace(name="days")
        host._client, host._queue = SimpleNamespace(status="running"), opened
        life = asyncio.ensure_future(host._life(0.0))
        await asyncio.sleep(0)
        host._client.status = status
        return str(await life)

    assert asyncio.run(run("closed")) == "loop 'days': its Dask client was closed"
    assert asyncio.run(run("running")).endswith("scheduler is gone: Stream is closed")


class Closed:
    """A client that was closed, and with it the last event loop of Dask's."""

    def __init__(self):
        self.loop = SimpleNamespace(asyncio_loop=asyncio.new_event_loop())
        self.loop.asyncio_loop.close()


@live
async def test_a_graph_that_is_started_with_a_client_that_was_closed_says_so(monkeypatch):
    monkeypatch.setattr("flownb.engine.hosts.dask.client_of", lambda client: client)
    orch = one(pool="dask").start(cluster=Closed())
    with pytest.raises(RunError, match="loop 'days': its Dask client is closed"):
        await orch.wait(timeout=30)
    assert orch.is_over()


def test_what_cannot_go_to_a_cluster_is_named_with_its_node():
    lock = threading.Lock()
    graph = Graph("g").add_producer("days").add_node("check", lambda n: (lock, n))
    plan = compile_plan(graph.add_edge("days", "check"), "days")
    with pytest.raises(GraphError, match=r"'days', node 'check': it uses 'lock', a lock, which"):
        load(PickledLoop(plan, None, ()), "a Dask cluster")
