"""Do verbs from several threads, requests, drains and replacements keep their promises?"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time

import pytest

import flownb
from flownb import Graph
from flownb.errors import GraphError, NodeFailed
from tests.support.live import live, until

pytestmark = pytest.mark.wallclock
POOLS = pytest.mark.parametrize("pool", ["asyncio", "thread", "process"])


def fed(name="verbs", pool="thread", n=None):
    """A loop that feeds a reader."""
    graph = Graph(name).add_producer("p", every=0.01).add_queue("q").add_edge("p", "q")
    graph.add_queue_reader("r", queue="q").add_node("n", n, keep=9).add_edge("r", "n")
    return graph.set_loop("p", pool=pool).set_loop("r", pool=pool)


def loops_at_work(name):
    return [t.name for t in threading.enumerate() if t.name.startswith(f"flownb loop {name}")]


@live
async def test_two_threads_that_start_at_once_leave_no_loop_behind():
    calls = []
    graph = Graph("verbs").add_producer("orphan", every=0.005).add_node("a", calls.append)
    orch = graph.add_edge("orphan", "a").start()
    for _ in range(20):
        await orch.stop(grace=1)
        gate = threading.Barrier(2)

        def start(gate=gate):
            gate.wait()
            orch.start()

        threads = [threading.Thread(target=start) for _ in range(2)]
        for thread in threads:
            thread.start()
        await asyncio.to_thread(lambda threads=threads: [t.join() for t in threads])
        assert not (await orch.wait(iterations=1, timeout=20)).timed_out
    await orch.stop(grace=1)
    await until(lambda: not loops_at_work("orphan"))
    calls.clear()
    await asyncio.to_thread(threading.Event().wait, 0.05)
    assert calls == []


@live
async def test_two_threads_that_apply_a_new_loop_start_it_once():
    graph = fed()
    orch = graph.start()
    graph.add_producer("twin", every=0.01)
    gate = threading.Barrier(2)

    def apply():
        gate.wait()
        orch.apply()

    threads = [threading.Thread(target=apply) for _ in range(2)]
    for thread in threads:
        thread.start()
    await asyncio.to_thread(lambda: [t.join() for t in threads])
    assert not (await orch.wait(iterations=1, loop="twin", timeout=20)).timed_out
    assert len(loops_at_work("twin")) == 1
    await orch.stop(grace=1)
    await until(lambda: not loops_at_work("twin"))


@live
async def test_a_graph_is_edited_while_another_thread_applies_it():
    graph = fed()
    orch, over, errors = graph.start(), threading.Event(), []

    def edit():
        while not over.is_set():
            for n in range(20):
                graph.add_node(f"n{n}").add_edge("n", f"n{n}")
            for n in range(20):
                graph.remove_node(f"n{n}")

    thread = threading.Thread(target=edit)
    thread.start()
    try:
        for _ in range(30):
            try:
                await asyncio.to_thread(orch.apply)
            except GraphError as refused:  # it looked between add_node and add_edge
                errors.append(str(refused))
    finally:
        over.set()
        await asyncio.to_thread(thread.join)
    assert all("no producer leads here" in text for text in errors)
    await orch.stop(grace=1)


@POOLS
@live
async def test_wait_asks_the_generation_that_is_about_to_start(pool):
    orch = fed(pool=pool).start()
    await orch.wait(iterations=2, timeout=30)
    orch.stop()
    orch.start()
    status = await orch.wait(iterations=5, timeout=30)
    assert not status.timed_out
    assert orch.metrics()["p"].released >= 5
    await orch.stop()


@live
async def test_a_stop_overtakes_a_start_that_waits():
    orch = fed().start()
    await orch.wait(iterations=2, timeout=30)
    orch.stop()
    started = orch.start()
    await orch.stop()
    await asyncio.wait_for(started, 5)
    assert [loop.state for loop in orch.status().loops] == ["stopped", "stopped"]
    assert flownb.running() == {}


@live
async def test_a_pause_reaches_the_generation_that_is_about_to_start():
    orch = fed().start()
    await orch.wait(iterations=2, timeout=30)
    orch.stop()
    orch.start()
    status = await orch.pause("p")
    assert (status["p"].state, status["p"].iterations) == ("paused", 0)
    await orch.stop()


# -- waiting, and requests -----------------------------------------------------


@live
async def test_wait_is_a_request_like_the_others():
    orch = fed().start()
    assert not (await asyncio.wait_for(orch.wait(iterations=3), 30)).timed_out
    both = await asyncio.gather(orch.wait(iterations=5), orch.wait(iterations=6))
    assert [s["p"].iterations >= 5 for s in both] == [True, True]
    late = orch.wait(timeout=0.05)
    assert (await late).timed_out
    assert late.done()
    one = orch.wait(iterations=8)
    first, second = await asyncio.gather(asyncio.wait_for(one, 30), asyncio.wait_for(one, 30))
    assert first == second
    await orch.stop()


def test_requests_work_in_a_script():
    orch = fed().start()
    assert not orch.wait(iterations=2).wait(30).timed_out
    assert not asyncio.run(orch.wait(iterations=3)).timed_out
    assert asyncio.run(orch.pause("p"))["p"].state == "paused"
    assert orch.resume("p").wait(30)["p"].state == "running"
    assert asyncio.run(orch.stop())["p"].state == "stopped"
    orch.start()
    assert not orch.wait(iterations=2, timeout=30).wait(30).timed_out
    orch.stop().wait(30)


@live
async def test_nobody_waits_for_a_reader_whose_writer_was_stopped_and_it_says_why():
    orch = fed().start()
    await orch.wait(iterations=3, timeout=30)
    await orch.stop("p")
    status = await orch.wait(timeout=30)
    assert not status.timed_out
    assert (status["r"].state, status["r"].reason) == ("running", "waits for more: p was stopped")
    assert orch.metrics()["r"].done == orch.metrics()["p"].released
    orch.start("p")
    await orch.wait(iterations=2, timeout=30)
    assert orch.status()["r"].reason == ""
    await orch.stop()


@live
async def test_a_live_loop_whose_generator_died_says_so_and_its_reader_why_it_completed():
    def consume():
        yield from (1, 2)
        raise ConnectionError("broker gone")

    graph = fed().add_producer("p", consume)
    orch = graph.start()
    with pytest.raises(NodeFailed, match="broker gone"):
        await orch.wait(timeout=30)
    status = await orch.wait(loop="r", timeout=30)
    assert (status["p"].state, status["r"].state) == ("error", "completed")
    assert status["r"].reason == "p, which fed it, ended in state error"
    assert orch.outputs("n") == [1, 2]
    await orch.stop()


# -- drain, replace, list ------------------------------------------------------


@POOLS
@live
async def test_drain_lets_the_readers_empty_their_queues(pool):
    orch = fed(pool=pool).start()
    await orch.wait(iterations=10, timeout=30)
    status = await orch.stop(drain=True, grace=20)
    assert (status["p"].state, status["r"].state) == ("stopped", "completed")
    assert orch.metrics()["r"].done == orch.metrics()["p"].released
    assert flownb.running() == {}


@live
async def test_drain_says_what_it_could_not_drain_in_its_grace():
    orch = fed(n=lambda _: time.sleep(0.3)).start()
    await orch.wait(iterations=20, timeout=30)
    begun = time.monotonic()
    status = await orch.stop(drain=True, grace=0.5)
    assert time.monotonic() - begun < 3
    assert status["r"].state == "stopped"
    assert status["r"].reason.startswith("not drained within 0.5 s: ")
    assert status["r"].reason.endswith(" messages are left in queue 'q'")
    assert [line.text for line in orch.logs(loop="r")] == [status["r"].reason]
    with pytest.raises(GraphError, match="drain=True is for the whole run"):
        orch.stop("p", drain=True)


@live
async def test_when_a_start_replaces_a_run_both_are_told():
    old = fed().start()
    await old.wait(iterations=1, timeout=30)
    new = fed().start()
    assert old.status()["p"].reason == "replaced by a newer start of this graph"
    assert new.status()["p"].reason in {"starts when the run that it replaces has ended", ""}
    await new.wait(iterations=1, timeout=30)
    assert new.status()["p"].reason == ""
    told = [o._live.loop_runs["p"].history.events for o in (old, new)]
    assert [[e.kind for e in events].count("replaced") for events in told] == [1, 1]
    assert flownb.running() == {"verbs": new}
    found = await flownb.stop_all(grace=1)
    assert found["verbs"]["p"].state == "stopped"
    assert flownb.running() == {}


@live
async def test_start_with_fresh_ignores_a_checkpoint(tmp_path):
    seen = []
    graph = Graph("kept").add_producer("p", range(5)).add_node("a", seen.append).add_edge("p", "a")
    graph.set_loop("p", checkpoint=str(tmp_path / "kept.db"))
    orch = graph.start()
    await orch.wait(timeout=30)
    await orch.stop()
    await orch.start()
    await orch.wait(timeout=30)
    assert seen == [0, 1, 2, 3, 4]
    await orch.stop()
    await orch.start(fresh=True)
    await orch.wait(timeout=30)
    assert seen == [0, 1, 2, 3, 4] * 2


def test_a_script_that_ends_while_loops_run_says_so():
    script = (
        "from flownb import Graph\n"
        "orch = Graph('days').add_producer('p', every=0.01).start()\n"
        "orch.wait(iterations=1).wait(30)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert ended.stderr == (
        "flownb: the script ends while loop 'p' runs (graph 'days'), which ends with it: let it "
        "wait, orch.wait().wait() or await orch.wait()\n"
    )
    script += "orch.stop().wait()\n"
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert ended.stderr == ""
