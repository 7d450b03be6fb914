"""Does a loop that crashed start again when it may, and only then?"""

from __future__ import annotations

import os
import signal
import time

import pytest

from flownb import Graph
from flownb.errors import NodeFailed, RunError
from tests.support.live import live, one, same, until

pytestmark = pytest.mark.wallclock


def where(n):
    return n, os.getpid()


def states(orch, loop="days"):
    return [e.data[0] for e in orch._live.loop_runs[loop].history.events if e.kind == "state"]


@live
async def test_a_killed_loop_starts_again_and_counts_on():
    orch = one(fn=where, pool="process", every=0.005, restart="on_crash").start()
    pids = []
    for n in range(3):
        await until(lambda n=n: orch.metrics()["days"].released > 10 * (n + 1))
        await until(lambda: orch.outputs("check"))
        pids.append(orch.outputs("check")[-1][1])
        os.kill(pids[-1], signal.SIGKILL)
        await until(lambda: "SIGKILL" in orch.status()["days"].reason)
        assert orch.status()["days"].state == "starting"
    await until(lambda: orch.status()["days"].state == "running")
    events = orch._live.loop_runs["days"].history.events
    assert [e.data for e in events if e.kind == "restarted"] == [2, 3, 4]
    assert len(set(pids)) == 3
    await orch.stop()
    metrics = orch.metrics()["days"]
    settled = metrics.done + metrics.failed + metrics.cancelled
    assert (metrics.produced, metrics.open) == (settled, 0)
    made = [e.iteration for e in events if e.kind == "produced"]
    assert made == sorted(set(made))
    assert states(orch)[:3] == ["starting", "running", "starting"]


@live
async def test_a_loop_that_crashes_again_and_again_is_given_up():
    def die(_):
        time.sleep(0.02)
        os._exit(1)

    orch = one([1], die, pool="process", restart="on_crash").start()
    with pytest.raises(RunError, match="ended by itself with exit code 1"):
        await orch.wait(timeout=30)
    events = orch._live.loop_runs["days"].history.events
    assert [e.data for e in events if e.kind == "restarted"] == [2, 3, 4, 5, 6]
    assert states(orch)[-1] == "error"


@pytest.mark.parametrize("pool", ["thread", "asyncio", "process"])
@live
async def test_an_item_that_fails_for_good_is_no_crash(pool):
    def fail(_):
        raise ValueError

    orch = one(fn=fail, pool=pool, restart="on_crash", on_error="stop").start()
    with pytest.raises(NodeFailed):
        await orch.wait(timeout=30)
    assert "restarted" not in [e.kind for e in orch._live.loop_runs["days"].history.events]


@pytest.mark.parametrize("pool", ["thread", "asyncio", "process"])
@live
async def test_a_resource_that_opens_at_the_third_try_is_waited_for(pool, tmp_path):
    tries = tmp_path / "tries"

    class Link:
        def __enter__(self):
            with tries.open("a") as file:
                file.write("x")
            if len(tries.read_text()) < 3:
                raise OSError("not yet")
            return self

        def __exit__(self, *_):
            return None

    graph = one([1, 2], pool=pool, restart="on_crash", resources={"link": Link})
    status = await graph.start().wait(timeout=30)
    assert status["days"].state == "completed"
    assert status["days"].iterations == 2


@live
async def test_a_loop_that_waits_to_start_again_can_be_stopped():
    def die(_):
        os._exit(1)

    orch = one(fn=die, pool="process", restart="on_crash").start()
    await until(lambda: orch.status()["days"].reason.startswith("after a crash"))
    status = await orch.stop(grace=1)
    assert status["days"].state in {"stopped", "error"}
    assert orch.is_over()


@live
async def test_a_paused_loop_is_paused_after_its_crash_too():
    orch = one(fn=where, pool="process", every=0.005, restart="on_crash").start()
    await until(lambda: orch.outputs("check"))
    await orch.pause()
    os.kill(orch.outputs("check")[-1][1], signal.SIGKILL)
    await until(
        lambda: "restarted" in [e.kind for e in orch._live.loop_runs["days"].history.events]
    )
    await until(lambda: orch.status()["days"].state == "paused")
    await orch.stop()


@live
async def test_a_reader_that_was_killed_loses_no_message_and_completes():
    total = 60

    def work(n):
        time.sleep(0.002)
        return n

    graph = (
        Graph("kept")
        .add_producer("make", range(total))
        .add_queue("numbers")
        .add_edge("make", "numbers")
        .add_queue_reader("take", queue="numbers")
        .add_node("work", work)
        .add_queue("worked")
        .add_edge("take", "work", "worked")
        .add_queue_reader("gather", queue="worked")
        .add_node("pair", same, keep=10 * total)
        .add_edge("gather", "pair")
        .set_loop("take", pool="process", restart="on_crash")
    )
    orch = graph.start()
    for n in (5, 20):
        await until(lambda n=n: orch.metrics()["take"].done >= n)
        orch._live.loop_runs["take"].host.process.kill()
        await until(lambda: orch.status()["take"].state == "starting")
        await until(lambda: orch.status()["take"].state != "starting")
    status = await orch.wait(timeout=30)
    assert [s.state for s in status.loops] == ["completed"] * 3
    assert set(orch.outputs("pair")) == set(range(total))
    await orch.stop()
    orch._live.server.close()
