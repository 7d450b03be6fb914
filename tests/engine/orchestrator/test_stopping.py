"""Does a stop come when it was promised, and leave nothing, whatever the loop is doing?"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import random
import signal
import threading
import time
from functools import partial

import pytest

from flownb import Graph, Retry
from flownb.engine.orchestrator import generations
from flownb.errors import NodeFailed, RunError
from tests.support.live import live, one, same, until, until_in_script
from tests.support.standstill import Stopwatch

pytestmark = pytest.mark.wallclock
POOLS = pytest.mark.parametrize("pool", ["thread", "asyncio"])


@POOLS
@live
async def test_stop_drains_what_is_in_flight(pool):
    done = []

    def slow(n):
        time.sleep(0.2)
        done.append(n)

    graph = one(every=0.02, pool=pool).add_node("slow", slow, kind="non_blocking")
    orch = graph.add_edge("days", "slow").start()
    await orch.wait(iterations=3, timeout=30)
    with Stopwatch() as stop:
        await orch.stop()
    metrics = orch.metrics()["days"]
    assert stop.seconds < 1
    assert sorted(done) == list(range(metrics.produced))
    assert (metrics.done, metrics.cancelled, metrics.open) == (metrics.produced, 0, 0)


def threads_of_flownb():
    return [t.name for t in threading.enumerate() if t.name.startswith("flownb")]


@POOLS
@live
async def test_a_call_that_cannot_be_ended_is_abandoned_and_named(pool):
    gate = threading.Event()
    orch = one(fn=lambda _: gate.wait(30), pool=pool).start()
    await until(lambda: orch.metrics()["days"].produced == 1)
    with Stopwatch() as stop:
        status = await orch.stop(grace=0.2)
    try:
        assert stop.clock >= 0.2
        assert stop.seconds < 1.5
        assert status["days"].state == "stopped"
        assert status["days"].reason == "abandoned: check"
        assert orch.metrics()["days"].cancelled == 1
        assert orch.metrics()["days"].open == 0
        # the thread of the loop itself has told that it ended, and is about to
        await until(lambda: threads_of_flownb() == ["flownb days of days"])
    finally:
        gate.set()


@pytest.mark.parametrize("pool", ["thread", "asyncio", "process"])
@live
async def test_a_call_that_goes_on_and_on_holds_a_stop_up_for_its_grace_and_no_longer(pool):
    orch = one(fn=lambda _: time.sleep(3), pool=pool).start()
    await until(lambda: orch.metrics()["days"].produced == 1)
    with Stopwatch() as stop:
        status = await orch.stop(grace=1)
    assert stop.clock >= 1
    assert stop.seconds < 2  # 1.1 where nothing else goes on
    assert status["days"].reason == "abandoned: check"
    await until(lambda: not threads_of_flownb())


@POOLS
@live
async def test_cancel_does_not_wait(pool):
    async def slow(_):
        await asyncio.sleep(5)

    orch = one(fn=slow, pool=pool).start()
    await until(lambda: orch.metrics()["days"].produced == 1)
    with Stopwatch() as cancelled:
        status = await orch.cancel()
    assert cancelled.seconds < 1.5  # and not the five of the node
    assert status["days"].state == "stopped"
    assert orch.metrics()["days"].cancelled == 1


@POOLS
@live
async def test_cancel_gives_a_short_call_the_moment_it_needs(pool):
    orch = one(fn=lambda _: time.sleep(0.1), pool=pool).start()
    await orch.wait(iterations=2, timeout=30)
    status = await orch.cancel()
    assert status["days"].reason == ""
    await until(lambda: not threads_of_flownb())


@POOLS
@live
async def test_stop_is_idempotent(pool):
    orch = one(fn=lambda _: time.sleep(0.05), pool=pool).start()
    await orch.wait(iterations=1, timeout=30)
    await asyncio.gather(orch.stop(), orch.stop(), orch.cancel())
    await orch.stop()
    assert orch.status()["days"].state == "stopped"
    assert generations.running() == {}


@POOLS
@live
async def test_a_shorter_grace_wins(pool):
    async def slow(_):
        await asyncio.sleep(5)

    orch = one(fn=slow, pool=pool).start()
    await until(lambda: orch.metrics()["days"].produced == 1)
    orch.stop(grace=10)
    with Stopwatch() as stop:
        await orch.stop(grace=0.1)
    assert stop.seconds < 1.5


@POOLS
def test_a_stop_at_once_after_the_start(pool):
    for _ in range(10):
        orch = one(fn=same, pool=pool).start()
        assert orch.stop().wait(30)["days"].state == "stopped"


@POOLS
@live
async def test_a_stop_during_setup_comes_within_its_grace(pool):
    closed = []

    class Slow:
        async def __aenter__(self):
            await asyncio.sleep(5)

        async def __aexit__(self, *_):
            closed.append("slow")

    class Quick:
        async def __aenter__(self):
            return self

        async def __aexit__(self, *_):
            closed.append("quick")

    orch = one(fn=same, pool=pool, resources={"quick": Quick, "slow": Slow}).start()
    await until(lambda: orch.status()["days"].state == "starting")
    await asyncio.sleep(0.05)
    with Stopwatch() as stop:
        status = await orch.stop(grace=0.2)
    assert stop.seconds < 1.5
    assert status["days"].state == "stopped"
    assert closed == ["quick"]


@POOLS
@live
async def test_a_stop_while_paused(pool):
    orch = one(every=0.01, pool=pool).start()
    await orch.pause()
    with Stopwatch() as stop:
        assert (await orch.stop())["days"].state == "stopped"
    assert stop.seconds < 1.5


@POOLS
@live
async def test_a_stop_during_a_retrys_wait_does_not_wait_for_it(pool):
    def bad(_):
        raise OSError("no")

    node = {"retry": Retry(on=OSError, wait_initial=5, wait_max=5)}
    orch = one(fn=bad, pool=pool, node=node).start()
    await until(lambda: orch.metrics()["days"].nodes["check"].retries == 1)
    with Stopwatch() as stop:
        await orch.stop(grace=0.1)
    assert stop.seconds < 1.5


@POOLS
@live
async def test_a_node_that_waits_for_a_message_is_ended(pool):
    def take(payload, ctx):
        return ctx.pop("empty")

    graph = one(fn=take, pool=pool).add_queue_reader("reader", queue="empty", external=True)
    orch = graph.add_node("use").add_edge("reader", "use").start()
    await until(lambda: orch.metrics()["days"].produced == 1)
    with Stopwatch() as stop:
        await orch.stop(grace=0.1)
    assert stop.seconds < 2
    await until(lambda: not threads_of_flownb())


@POOLS
@live
async def test_a_node_that_will_not_be_cancelled_is_named(pool):
    async def stubborn(_):
        for _ in range(20):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.2)

    orch = one(fn=stubborn, pool=pool).start()
    await until(lambda: orch.metrics()["days"].produced == 1)
    with Stopwatch() as stop:
        status = await orch.stop(grace=0.1)
    assert stop.seconds < 2
    assert "check" in status["days"].reason
    if pool == "asyncio":
        await until(lambda: len(asyncio.all_tasks()) == 1)


@POOLS
@live
async def test_tasks_that_a_node_left_behind_end_with_their_loop(pool):
    tasks = []

    async def careless(_):
        tasks.append(asyncio.create_task(asyncio.sleep(60)))

    orch = one(range(3), careless, pool=pool).start()
    await orch.wait(timeout=30)
    await orch.stop()
    if pool == "asyncio":  # on the notebook's event loop they are the user's
        for task in tasks:
            task.cancel()
    else:
        assert all(task.cancelled() for task in tasks)


@live
async def test_a_slow_producer_does_not_hold_up_a_stop():
    async def make():
        await asyncio.sleep(5)

    orch = one(make).start()
    await until(lambda: orch.status()["days"].state == "running")
    with Stopwatch() as stop:
        await orch.stop(grace=0.1)
    assert stop.seconds < 1.5


@live
async def test_a_hanging_teardown_is_not_waited_for_for_ever():
    class Hangs:
        async def __aenter__(self):
            return self

        async def __aexit__(self, *_):
            await asyncio.sleep(30)

    orch = one(every=0.01, resources={"it": Hangs}).start()
    await orch.wait(iterations=1, timeout=30)
    with Stopwatch() as stop:
        status = await orch.stop(grace=0.1)
    assert stop.seconds < 6
    assert status["days"].state in {"stopped", "error"}


# -- at any moment, under load (R16) -------------------------------------------


def busy(name, pool):
    """Give a graph in which everything goes on at once."""

    def flaky(n):
        if n % 3 == 0:
            raise OSError(n)
        return n

    async def wait(n):
        await asyncio.sleep(0.03)
        return n

    return (
        Graph(name)
        .add_producer("days")
        .add_node("nap", lambda n: time.sleep(0.002) or n)
        .add_node("flaky", flaky, retry=Retry(on=OSError, attempts=2, wait_initial=0.01))
        .add_node("wait", wait, kind="non_blocking", timeout=0.5)
        .add_node("print", print, kind="non_blocking")
        .add_queue("out")
        .add_edge("days", "nap")
        .add_edge("nap", "flaky")
        .add_edge("nap", "wait")
        .add_edge("wait", "print")
        .add_edge("nap", "out")
        .add_queue_reader("reader", queue="out")
        .add_node("use", wait)
        .add_edge("reader", "use")
        .set_loop("days", pool=pool, max_in_flight=20)
        .set_loop("reader", pool=pool)
    )


@POOLS
def test_fifty_stops_at_random_moments_are_clean(pool, capfd, caplog):
    rng, late = random.Random(16), []

    async def scenario():
        complaints = []
        asyncio.get_running_loop().set_exception_handler(lambda _, c: complaints.append(c))
        for _ in range(25):
            orch = busy("busy", pool).start()
            await asyncio.sleep(rng.random() * 0.15)
            with Stopwatch() as stop:
                await orch.stop(grace=2)
            late.append(stop.seconds)
            assert all(m.open == 0 for m in orch.metrics().values())
        return complaints

    assert asyncio.run(scenario()) == []
    assert max(late) < 2.2
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")
    assert [r.getMessage() for r in caplog.records] == []


# -- what goes wrong inside ----------------------------------------------------


BREAK = pytest.mark.parametrize(
    "where",
    [
        "engine.loop.loop_manager:LoopManager.one_item",
        "engine.loop.loop_manager:LoopManager._drain",
        "engine.loop.loop_manager:LoopManager._adopt",
        "engine.loop.loop_manager:LoopManager._settle_tasks",
        "engine.calls.runner:Runner.run",
        "engine.loop.loop_manager:LoopManager.released",
        "engine.loop.loop_manager:LoopManager.settled",
        "engine.loop.source:Source.make",
        "engine.calls.runner:Runner._finish",
        "engine.calls.runner:Runner.landed",
        "engine.calls.turn:Turn.work",
        "engine.calls.source_thread:SourceThread._over",
        "engine.calls.chain:Chain._settle",
        "flow.item:Item.ended",
        "engine.loop.loop_manager:set_up",
    ],
)


@BREAK
@POOLS
def test_a_fault_of_the_engine_ends_in_state_error_and_never_hangs(where, pool, monkeypatch):
    module, _, said = where.partition(":")
    *path, name = said.split(".")
    owner = importlib.import_module(f"flownb.{module}")
    if name == "set_up":
        owner = importlib.import_module("flownb.engine.loop.loop_manager")
    for step in path:
        owner = getattr(owner, step)

    def broken(*_, **__):
        raise MemoryError("engine fault")

    monkeypatch.setattr(owner, name, broken)

    async def wait(n):
        await asyncio.sleep(0)
        return n

    async def scenario():
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        graph = one([1, 2, 3], same, pool=pool).add_node("wait", wait).add_edge("check", "wait")
        orch = graph.start()
        with pytest.raises(RunError, match="engine fault"):
            await orch.wait(timeout=30)
        await asyncio.wait_for(orch.stop(grace=0.2), 20)
        assert orch.status()["days"].state == "error"

    asyncio.run(scenario())
    assert generations.running() == {}


# -- the script ends, or is interrupted ----------------------------------------


def test_an_interrupted_wait_leaves_the_loops_alive_and_nothing_else():
    orch = one(every=0.01).start()
    interrupt = partial(signal.pthread_kill, threading.main_thread().ident, signal.SIGINT)
    # a shell that runs the tests in the background lets them ignore interrupts
    ignored = signal.signal(signal.SIGINT, signal.default_int_handler)

    async def cell():
        threading.Timer(0.2, interrupt).start()
        await orch.wait()

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(cell())
    signal.signal(signal.SIGINT, ignored)
    before = orch.status()["days"].iterations
    until_in_script(lambda: orch.status()["days"].iterations > before)
    orch.stop().wait(30)


@POOLS
def test_an_event_loop_that_closes_over_a_run_takes_its_own_loops_with_it(pool):
    async def cell():
        return one(every=0.01, pool=pool).start()

    orch = asyncio.run(cell())
    if pool == "asyncio":
        until_in_script(orch.is_over)
        assert orch.status()["days"].state == "stopped"
    orch.stop().wait(30)
    assert generations.running() == {}
    again = one(range(3), pool=pool).start()
    asyncio.run(again.wait(timeout=30))
    assert again.stop().wait(30)["days"].state == "completed"


def test_a_failing_cell_under_async_with_stops_the_loops():
    async def cell():
        async with one(every=0.01).start():
            raise LookupError("cell")

    with pytest.raises(LookupError):
        asyncio.run(cell())
    assert generations.running() == {}


@live
async def test_an_exhausted_loop_with_on_error_stop_tells_its_error():
    def bad(n):
        time.sleep(0.05)
        raise ValueError(n)

    orch = one([1], fn=bad, on_error="stop", node={"kind": "non_blocking"}).start()
    with pytest.raises(NodeFailed):
        await orch.wait(timeout=30)
    await orch.stop()
