"""What is known of calls and waits that have not ended yet, and what is new in a ring?"""

from __future__ import annotations

import asyncio
import threading
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flownb import Graph, Limit, Retry
from flownb.engine.observe.history import newer, open_calls
from flownb.records.events import Batch
from tests.support.lab import Bench, boom, chain, fan
from tests.support.live import until


def at(second, graph):
    """What is under way then: (node, iteration, kind, start, end)."""
    bench, found = Bench(graph), []
    bench.at(second, lambda: found.extend(open_calls(bench.manager)))
    bench.at(second, bench.manager.control.stop, 0).run()
    return sorted((s.node, s.iteration, s.kind, s.start, s.end) for s in found)


def test_a_call_and_the_producer_that_waits_for_it():
    graph = chain(("a", None, {"takes": 4}), takes=1)
    assert at(3, graph) == [("a", 0, "work", 1, 3), ("p", 0, "wait", 1, 3)]


@pytest.mark.wallclock
def test_metrics_say_what_is_at_work_now():
    gate, reached = threading.Event(), threading.Event()

    def wait(_):
        reached.set()
        gate.wait(20)

    graph = Graph("g").add_producer("p", [1]).add_node("n", wait).add_edge("p", "n")

    async def main():
        async with graph.start() as orch:
            await asyncio.to_thread(reached.wait, 20)
            await until(lambda: orch.metrics()["p"].nodes["n"].running == 1)  # within 40 ms
            gate.set()
            await orch.wait(timeout=20)
            return orch.metrics()["p"].nodes["n"].running

    assert asyncio.run(main()) == 0


def test_a_producer_at_work():
    assert at(3, chain("a", takes=5)) == [("p", 0, "work", 0, 3)]


def test_detached_calls_and_the_item_that_is_made_meanwhile():
    graph = fan(("n", None, {"kind": "non_blocking", "takes": 9}), takes=2)
    assert at(3, graph) == [("n", 0, "work", 2, 3), ("p", 1, "work", 2, 3)]


def test_a_wait_for_a_limit():
    options = {"kind": "non_blocking", "takes": 9, "limit": Limit(concurrency=1)}
    assert at(3, fan(("n", None, options), every=1)) == [
        ("n", 0, "work", 0, 3), ("n", 1, "limited", 1, 3), ("n", 2, "limited", 2, 3),
    ]  # fmt: skip


def test_a_wait_for_a_slot_holds_the_node_and_then_the_producer():
    graph = fan(("n", None, {"kind": "non_blocking", "takes": 9}), ("a", None, {"takes": 1}))
    assert at(4, graph.set_loop("p", max_in_flight=1)) == [
        ("n", 0, "work", 0, 4), ("n", 1, "throttled", 1, 4), ("p", 1, "throttled", 2, 4),
        ("p", 1, "wait", 1, 2),
    ]  # fmt: skip


def test_the_pause_before_the_next_attempt():
    options = {"retry": Retry(on=ValueError, wait_initial=5, wait_jitter=0), "takes": 1}
    assert at(3, chain(("a", boom, options))) == [("a", 0, "retry", 1, 3), ("p", 0, "wait", 0, 3)]


def test_nothing_is_under_way_between_two_ticks_and_of_a_loop_elsewhere():
    assert at(3, chain("a", every=2)) == []
    assert open_calls(object()) == []


@given(st.integers(1, 300), st.lists(st.integers(0, 200)))
def test_each_record_is_new_once_and_a_gap_is_told(size, portions):
    ring, last, n = deque(maxlen=size), None, 0
    for portion in portions:
        ring.extend(object() for _ in range(portion))
        expected = list(ring)[-portion:] if portion else []
        found, complete = newer(ring, last)
        assert found == expected
        assert complete is (last is None or portion < size)
        n += portion
        last = found[-1] if found else last


def test_a_ring_is_read_while_another_thread_fills_it():
    ring, stop, seen, last = deque(maxlen=100_000), threading.Event(), [], None

    def fill():
        for n in range(50_000):
            ring.append([n])
        stop.set()

    thread = threading.Thread(target=fill)
    thread.start()
    while not stop.is_set() or not seen or seen[-1] != 49_999:
        found, complete = newer(ring, last)
        assert complete
        seen += [x[0] for x in found]
        last = found[-1] if found else last
    thread.join()
    assert seen == list(range(50_000))


def test_a_batch_gives_the_events_that_its_items_would_have_published_alone():
    times = [10, 20, 50, 60, 70, 90]  # two rows: start, end of p, end of a
    batch = Batch("p", ("p", "a"), 7, 10, times, [], 1)
    told = [(e.kind, e.iteration, round(e.time * 1e9)) for e in batch.events()]
    assert told == [
        ("produced", 7, 10), ("released", 7, 10), ("settled", 7, 40),
        ("produced", 8, 60), ("released", 8, 60), ("settled", 8, 80),
    ]  # fmt: skip
