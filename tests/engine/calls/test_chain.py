"""Does a thread that calls a chain of nodes keep what happens in it, as if each were alone?"""

from __future__ import annotations

import asyncio
import operator
import threading
from functools import partial

import pytest

from flownb import Graph
from flownb.errors import StoreError
from flownb.stores import open_store
from tests.support.crashes import Dying


@pytest.fixture
def store():
    return open_store("memory://")


def row(count, call):
    """A chain of sync nodes; each calls call(number, state)."""
    graph = Graph("row")
    for i in range(count):
        graph.add_node(f"n{i}", partial(call, i))
        if i:
            graph.add_edge(f"n{i - 1}", f"n{i}")
    return graph


def test_in_a_row_the_end_of_each_node_is_kept_before_the_next_one_is_called(tmp_path):
    store, found, threads = open_store(tmp_path / "r.sqlite"), [], set()

    def call(i, state):
        threads.add(threading.get_ident())
        kinds = [(s.node, s.kind) for s in store.runs.load("r").steps]
        found.append(kinds)
        return {"n": i, "sum": state.get("sum", 0) + i}

    run = row(30, call).run({}, store=store, run_id="r")
    for i, kinds in enumerate(found):
        before = [(f"n{k}", kind) for k in range(i) for kind in ("started", "done")]
        assert kinds == [*before, (f"n{i}", "started")]
    steps = store.runs.load("r").steps
    assert [s.seq for s in steps] == list(range(60))
    assert all(s.start <= s.end for s in steps if s.kind == "done")
    assert run.state == store.runs.load("r").state == {"n": 29, "sum": 435}
    assert run.visited == [f"n{i}" for i in range(30)]
    store.close()


def test_a_row_that_fails_in_its_middle_goes_on_there(store):
    calls, broken = [], [7]

    def call(i, state):
        calls.append(i)
        if i in broken:
            raise ValueError("broken")
        state["seen"].append(i)
        return {"n": i}

    graph = row(12, call)
    with pytest.raises(ValueError, match="broken"):
        graph.run({"seen": []}, store=store, run_id="r")
    broken.clear()
    assert graph.resume("r").state == {"seen": list(range(12)), "n": 11}
    assert calls == [*range(8), *range(7, 12)]


def test_what_cannot_be_kept_fails_its_node_in_the_middle_of_a_row(store):
    graph = row(6, lambda i, _: {"n": {1, 2} if i == 3 else i})
    with pytest.raises(StoreError, match=r"'n3' returned.*set is not JSON"):
        graph.run({}, store=store, run_id="r")
    kept = store.runs.load("r")
    assert [s.node for s in kept.steps if s.kind == "done"] == ["n0", "n1", "n2"]
    assert (kept.steps[-1].node, kept.steps[-1].kind, kept.state) == ("n3", "failed", {"n": 2})


def test_two_rows_at_once_keep_their_steps_in_one_order(store):
    graph = Graph("two", reducers={"n": operator.add})
    for side in "ab":
        for i in range(60):
            graph.add_node(f"{side}{i}", lambda _: {"n": 1})
            if i:
                graph.add_edge(f"{side}{i - 1}", f"{side}{i}")
    assert graph.run({"n": 0}, store=store, run_id="r").state == {"n": 120}
    steps = store.runs.load("r").steps
    assert [s.seq for s in steps] == list(range(240))
    for side in "ab":
        ended = [s.node for s in steps if s.kind == "done" and s.node[0] == side]
        assert ended == [f"{side}{i}" for i in range(60)]


def test_a_row_of_a_run_that_is_cancelled_stops_and_keeps_nothing_more(store):
    begun, may_end, calls = threading.Event(), threading.Event(), []

    def call(i, _):
        calls.append(i)
        if i == 3:
            begun.set()
            may_end.wait(10)
        return {"n": i}

    async def cancelled(graph):
        run = asyncio.create_task(graph.arun({}, store=store, run_id="r"))
        await asyncio.to_thread(begun.wait, 10)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

    graph = row(8, call)
    asyncio.run(cancelled(graph))
    steps = store.runs.load("r").steps
    may_end.set()
    for thread in threading.enumerate():
        if thread.name.startswith("flownb "):
            thread.join(10)
    assert calls == [0, 1, 2, 3]
    assert store.runs.load("r").steps == steps
    assert graph.resume("r").state == {"n": 7}
    assert calls == [0, 1, 2, 3, *range(3, 8)]


def test_a_store_that_fails_in_the_middle_of_a_row_ends_the_run_and_the_row(store):
    calls = []
    graph = row(9, lambda i, _: calls.append(i))
    with pytest.raises(StoreError, match="killed"):
        graph.run({}, store=Dying(store.runs, 5), run_id="r")
    assert calls == [0, 1, 2, 3]
    graph.resume("r", store=store)
    assert calls == [0, 1, 2, 3, *range(3, 9)]


def test_with_an_interval_a_row_is_kept_at_its_end(store):
    graph = row(5, lambda i, _: {"n": i})
    assert graph.run({}, store=store, run_id="r", persistence_interval=60).state == {"n": 4}
    assert len(store.runs.load("r").steps) == 10
