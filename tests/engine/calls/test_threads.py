"""Sync nodes share threads while they take no time: can anybody notice? Nobody must."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from flownb import Graph
from flownb.engine.calls.threads import Threads

WIDTH = 40


def fan(fn, width=WIDTH):
    """1 -> width -> 1, each called by its number."""
    graph = Graph("fan").add_node("first", lambda _: None).add_node("last", lambda _: None)
    for i in range(width):
        graph.add_node(str(i), fn(i)).add_edge("first", str(i), "last")
    return graph


def test_a_fan_of_quick_nodes_costs_a_few_threads(monkeypatch):
    submitted, submit = [], Threads.submit
    monkeypatch.setattr(
        Threads, "submit", lambda self, *job: (submitted.append(1), submit(self, *job))
    )
    graph = fan(lambda i: lambda _: {str(i): i}, 400)
    fewest = []
    for _ in range(10):  # on a busy machine a thread may be held up
        submitted.clear()
        assert asyncio.run(graph.arun({})).state == {str(i): i for i in range(400)}
        fewest.append(len(submitted))
    assert min(fewest) <= 40


@pytest.mark.parametrize("again", [False, True])
def test_nodes_that_wait_for_each_other_are_all_under_way_at_once(again):
    meeting = threading.Barrier(WIDTH)

    def node(_):
        def call(_):
            meeting.wait(20)

        return call

    graph = fan(node)
    for _ in range(1 + again):  # the second time it is known that they take their time
        assert asyncio.run(graph.arun({})).status == "completed"


def test_a_node_that_waits_holds_nobody_up_who_comes_later():
    late = threading.Event()

    def waits(_):
        assert late.wait(20)

    graph = Graph("g").add_node("waits", waits).add_node("0", lambda _: {"n": 0})
    for i in range(1, 6):  # ifs: each is a hop of its own
        graph.add_if(f"if {i}", lambda s: s["n"] >= 0).add_edge(str(i - 1), f"if {i}")
        graph.add_node(str(i), lambda s: {"n": s["n"] + 1}).add_edge(f"if {i}", str(i), when=True)
    graph.add_node("late", lambda _: late.set()).add_edge("5", "late")
    assert asyncio.run(graph.arun({})).state == {"n": 5}


def test_each_call_has_the_times_of_its_own():
    def node(_):
        def call(_):
            until = time.perf_counter() + 0.0002
            while time.perf_counter() < until:
                pass

        return call

    logs = [e for e in asyncio.run(fan(node, 8).arun({})).logs if e.node.isdigit()]
    assert len(logs) == 8
    assert all(e.duration >= 0.0002 for e in logs)
    spans = sorted((e.time, e.time + e.duration) for e in logs)
    assert len({start for start, _ in spans}) == 8


def test_prints_and_failures_are_told_of_the_node_they_come_from():
    def node(i):
        def call(_):
            print("here is", i)
            if i == 7:
                raise ValueError("seven")

        return call

    graph = fan(node, 10)
    with pytest.raises(ValueError, match="seven") as caught:
        asyncio.run(graph.arun({}))
    assert "node '7'" in caught.value.__notes__[0]
    lines = [(x.node, x.text) for x in graph.last_run.lines]
    assert set(lines) >= {(str(i), f"here is {i}") for i in range(7)}


def test_cancelling_a_run_calls_none_that_waits_for_a_thread():
    begun, may_end, calls = threading.Event(), threading.Event(), []

    def node(i):
        def call(_):
            calls.append(i)
            begun.set()
            may_end.wait(20)

        return call

    async def run():
        task = asyncio.create_task(fan(node, 10).arun({}))
        await asyncio.to_thread(begun.wait, 20)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        count = len(calls)
        may_end.set()
        return count

    count = asyncio.run(run())
    for thread in threading.enumerate():
        if thread.name.startswith("flownb "):
            thread.join(20)
    assert len(calls) == count
