"""Does a loop that has ended start once more, in the same run?"""

from __future__ import annotations

import asyncio
import threading

import pytest

from flownb import Graph
from flownb.errors import GraphError, LoopStopped, RunError
from tests.support.live import live, one, until

pytestmark = pytest.mark.wallclock


def pair(source=range(5)):
    """Give a loop that feeds another one."""
    return (
        Graph("pair")
        .add_producer("days", source, every=0.002)
        .add_queue("wet")
        .add_edge("days", "wet")
        .add_queue_reader("storms", queue="wet")
        .add_node("rank", keep=100)
        .add_edge("storms", "rank")
    )


@pytest.mark.parametrize("pool", ["thread", "asyncio", "process"])
@live
async def test_a_run_whose_loops_have_all_ended_starts_again_as_itself(pool):
    orch = one(range(3), pool=pool).start()
    await orch.wait(timeout=30)
    await until(orch.is_over)
    status = await orch.start()
    assert status["days"].state in {"running", "completed"}
    status = await orch.wait(timeout=30)
    assert (status["days"].state, status["days"].iterations) == ("completed", 3)
    await until(orch.is_over)


@live
async def test_only_the_loop_that_was_asked_starts_and_the_queue_keeps_what_is_in_it():
    async with pair().start() as orch:
        await orch.wait(timeout=30)
        await orch.start("days")
        await orch.wait(timeout=30)
        assert orch.status()["storms"].state == "completed"
        assert (await orch.queues.stats("wet")).depth == 5
        await orch.start("storms")
        await until(lambda: orch.outputs("rank") == [0, 1, 2, 3, 4])
        assert orch.metrics()["days"].produced == 5


@live
async def test_both_loops_of_a_pair_complete_each_time_they_are_started():
    async with pair().start() as orch:
        for _ in range(3):
            status = await orch.wait(timeout=30)
            assert [s.state for s in status.loops] == ["completed"] * 2
            assert orch.outputs("rank") == [0, 1, 2, 3, 4]
            await until(orch.is_over)
            await orch.start()


@live
async def test_what_runs_is_left_alone():
    async with one(every=0.001).start() as orch:
        await orch.wait(iterations=3)
        track = orch._live.loop_runs["days"]
        await orch.start()
        await orch.start("days")
        assert orch._live.loop_runs["days"] is track


@live
async def test_a_loop_that_is_stopping_starts_once_when_it_has_stopped():
    gate = threading.Event()
    async with one(fn=lambda _: gate.wait(30)).add_producer("nights", every=0.01).start() as orch:
        await until(lambda: orch.metrics()["days"].produced)
        stopped = orch.stop("days")
        await until(lambda: orch.status()["days"].state == "stopping")
        old = orch._live.loop_runs["days"]
        asked = [orch.start("days") for _ in range(3)]
        assert orch._live.loop_runs["days"] is old
        gate.set()
        await stopped
        await asyncio.gather(*asked)
        assert orch.status()["days"].state == "running"
        assert orch._live.loop_runs["days"] is not old
        await until(lambda: [t.name for t in threading.enumerate()].count("flownb loop days") == 1)


@live
async def test_a_stop_takes_back_a_start_that_has_not_happened_yet():
    gate = threading.Event()
    orch = one(fn=lambda _: gate.wait(30)).start()
    await until(lambda: orch.metrics()["days"].produced)
    orch.stop("days")
    orch.start("days")
    stopped = orch.stop("days")
    gate.set()
    await stopped
    await until(orch.is_over)
    assert orch.status()["days"].state == "stopped"


@live
async def test_an_edit_made_meanwhile_is_in_what_starts():
    graph = one(range(3), fn=lambda n: n)
    orch = graph.start()
    await orch.wait(timeout=30)
    graph.add_node("check", lambda n: -n, keep=3)
    assert orch.status().unapplied == 1
    await orch.start()
    await orch.wait(timeout=30)
    assert orch.outputs("check", last=3) == [0, -1, -2]
    assert orch.status().unapplied == 0


@live
async def test_it_starts_in_a_thread_of_its_own_again():
    orch = one(range(3)).start(control="thread")
    await orch.wait(timeout=30)
    await until(orch.is_over)
    await orch.start()
    await orch.wait(timeout=30)
    await until(orch.is_over)
    assert orch.metrics()["days"].done == 3


@live
async def test_what_cannot_start_says_why():
    graph = one(range(3))
    orch = graph.start()
    await orch.wait(timeout=30)
    with pytest.raises(RunError, match=r"no loop 'dayz'.*days"):
        orch.start("dayz")
    graph.add_edge("check", "days")
    with pytest.raises(GraphError, match="days"):
        orch.start()
    graph.remove_edge("check", "days")
    async with graph.start():
        with pytest.raises(LoopStopped, match="newer generation"):
            orch.start()
