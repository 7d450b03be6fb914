"""What does a loop on a Dask cluster say when Dask fails it? No cluster is needed to see."""

from __future__ import annotations

import asyncio
import sys
import time
from types import SimpleNamespace

import pytest

from flownb.engine import worker
from flownb.engine.cluster import DaskHost


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
    post = worker.Post(None, "run", "tcp://worker")
    yield post
    post._over.set()
    while any(t.name == "flownb watch" for t in worker.threading.enumerate()):
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
