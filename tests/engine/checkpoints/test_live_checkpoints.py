"""Does a loop go on after a restart, in every pool, from every store, however it ended?"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from flownb import Graph, Retry
from flownb.errors import GraphError, RunError, StoreError
from flownb.stores import open_store
from flownb.stores.memory import MemoryLoops
from tests.stores.conftest import address, store
from tests.support.live import live, one, same, until
from tests.support.postgres import postgres_url
from tests.support.servers import real_server_url
from tests.support.standstill import Stopwatch

__all__ = ["address", "postgres_url", "real_server_url", "store"]

pytestmark = pytest.mark.wallclock
TOTAL = 60


def total(item, ctx):
    ctx.state["sum"] = ctx.state.get("sum", 0) + item
    ctx.state["items"] = ctx.state.get("items", 0) + 1
    return dict(ctx.state)


def summing(checkpoint, *, source=None, interval=0.05, every=0.005, name="summing", **loop):
    return one(
        range(TOTAL) if source is None else source, total, name=name, checkpoint=checkpoint,
        persistence_interval=interval, every=every, **loop,
    )  # fmt: skip


async def acked(orch, queue):
    """Wait until every message of a queue is settled."""
    for _ in range(1000):
        if not (await orch.queues.stats(queue)).backlog:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(await orch.queues.stats(queue))


async def in_three_goes(make):
    """Start, stop and start again; give the last output, and each time's number of items.

    The first two are slow, so that a stop that comes late finds something left to do.
    """
    counts = []
    for _ in range(2):
        orch = make(every=0.02).start()
        await orch.wait(iterations=TOTAL // 6, timeout=30)
        await orch.stop()
        counts.append(orch.metrics()["days"].released)
    orch = make(every=0.005).start()
    status = await orch.wait(timeout=30)
    assert status["days"].state == "completed", status
    return orch, counts


@pytest.mark.parametrize("pool", ["thread", "asyncio", "process"])
@live
async def test_a_loop_that_was_stopped_goes_on_with_its_state_and_its_counters(pool, tmp_path):
    make = partial(summing, tmp_path / "kept.sqlite", pool=pool)
    orch, counts = await in_three_goes(make)
    assert orch.outputs("check") == [{"sum": sum(range(TOTAL)), "items": TOTAL}]
    metrics = orch.metrics()["days"]
    assert (metrics.produced, metrics.done, metrics.nodes["check"].calls) == (TOTAL, TOTAL, TOTAL)
    assert TOTAL // 6 <= counts[0] < counts[1] < TOTAL
    assert [x.text for x in orch.logs()] == [f"goes on at item {counts[1]} of its checkpoint"]


@live
async def test_every_store_keeps_loops(store):
    orch, _ = await in_three_goes(partial(summing, store))
    assert orch.outputs("check") == [{"sum": sum(range(TOTAL)), "items": TOTAL}]
    kept = store.loops.find("summing", "days")
    assert (kept.position, kept.status) == (TOTAL, "completed")


@live
async def test_a_started_loop_begins_anew_when_asked_to(tmp_path):
    kept = tmp_path / "kept.sqlite"
    for fresh in (False, True):
        orch = summing(kept).start(fresh=fresh)
        assert (await orch.wait(timeout=30))["days"].iterations == TOTAL
        assert orch.outputs("check")[-1]["items"] == TOTAL


@live
async def test_running_the_cell_again_goes_on_without_a_pause(tmp_path):
    kept = tmp_path / "kept.sqlite"
    first = summing(kept).start()
    await first.wait(iterations=10, timeout=30)
    orch = summing(kept).start()
    await orch.wait(timeout=30)
    assert first.is_over()
    assert orch.outputs("check") == [{"sum": sum(range(TOTAL)), "items": TOTAL}]


@live
async def test_a_loop_that_is_started_once_more_goes_on(tmp_path):
    orch = summing(tmp_path / "kept.sqlite", every=0.02).start()
    await orch.wait(iterations=10, timeout=30)
    await orch.stop()
    before = orch.metrics()["days"].done
    await orch.start()
    assert (await orch.wait(timeout=30))["days"].state == "completed"
    assert orch.outputs("check") == [{"sum": sum(range(TOTAL)), "items": TOTAL}]
    assert [x.text for x in orch.logs()] == [f"goes on at item {before} of its checkpoint"]


@live
async def test_the_counters_of_what_failed_and_was_tried_again_go_on(tmp_path):
    def check(item):
        if item % 10 == 3:
            raise ValueError(item)
        return item

    def graph():
        retry = {"retry": Retry(on=ValueError, attempts=2, wait_initial=0.001)}
        return one(range(TOTAL), check, node=retry, checkpoint=tmp_path / "kept.sqlite")

    orch = graph().start()
    await orch.wait(iterations=20, timeout=30)
    await orch.stop()
    orch = graph().start()
    await orch.wait(timeout=30)
    metrics = orch.metrics()["days"]
    assert (metrics.produced, metrics.done, metrics.failed, metrics.open) == (
        TOTAL,
        TOTAL - 6,
        6,
        0,
    )
    node = metrics.nodes["check"]
    assert (node.calls, node.failed, node.retries) == (TOTAL + 6, 6, 6)
    assert 0 < node.p50 <= node.p99 <= node.longest
    assert metrics.elapsed > 0


@live
async def test_a_store_that_is_lost_while_a_loop_starts_ends_it_and_begins_nothing():
    shaky = Shaky()
    shaky.away = True
    orch = summing(shaky, restart="on_crash").start()
    await until(lambda: orch.status()["days"].state == "error")
    assert "no route to the store" in orch.status()["days"].reason
    assert orch.metrics()["days"].produced == 0


def test_a_graph_with_a_checkpoint_can_be_looked_at_and_simulated(tmp_path):
    store = open_store(tmp_path / "kept.sqlite")
    graph = summing(store)
    assert graph.simulate(iterations=3).outputs("check") == [{"sum": 3, "items": 3}]
    assert graph.simulate(iterations=3).outputs("check") == [{"sum": 3, "items": 3}]
    assert str(graph.explain())
    assert not graph.validate()
    assert not (tmp_path / "kept.sqlite").exists()


@live
async def test_a_graph_that_has_changed_is_refused_with_the_difference(tmp_path):
    kept = tmp_path / "kept.sqlite"
    orch = summing(kept, every=0.02).start()
    await orch.wait(iterations=5, timeout=30)
    await orch.stop()
    changed = summing(kept).add_node("more").add_edge("check", "more")
    with pytest.raises(GraphError) as refused:
        changed.start()
    assert str(refused.value) == (
        "loop 'days' cannot go on from its checkpoint, as graph 'summing' has changed since: "
        "node 'more' is new; edge check -> more is new. Change it back, or "
        "graph.start(fresh=True) begins anew"
    )
    assert (await changed.start(fresh=True).wait(timeout=30))["days"].iterations == TOTAL


@live
async def test_an_edit_that_was_applied_belongs_to_the_checkpoint(tmp_path):
    graph = summing(tmp_path / "kept.sqlite", every=0.02)
    orch = graph.start()
    await orch.wait(iterations=5, timeout=30)
    graph.add_node("more").add_edge("check", "more")
    await orch.apply()
    await orch.wait(iterations=10, timeout=30)
    await orch.stop()
    status = await graph.start().wait(timeout=30)
    assert status["days"].iterations == TOTAL


@live
async def test_a_checkpoint_that_is_broken_is_refused_at_the_start(tmp_path):
    from dataclasses import replace

    kept = str(tmp_path / "kept.sqlite")
    orch = summing(kept).start()
    await orch.wait(iterations=5, timeout=30)
    await orch.stop()
    store = open_store(kept)
    record = store.loops.find("summing", "days")
    store.loops.save(replace(record, number=record.number + 1, content='{"format": 1'))
    store.close()
    with pytest.raises(StoreError, match="loop 'days': its checkpoint is broken"):
        summing(kept).start()


def test_a_store_that_is_away_at_the_start_is_an_error_there(tmp_path):
    with pytest.raises(StoreError, match="redis://localhost:1"):
        summing("redis://localhost:1").start()


class Shaky(MemoryLoops):
    """A store of loops that is away while `away` is true."""

    away = False

    def save(self, record):
        if self.away:
            raise OSError("no route to the store")
        super().save(record)


@live
async def test_a_store_that_goes_away_is_told_and_the_loop_goes_on():
    shaky = Shaky()
    orch = summing(shaky, interval=0.02, every=0.03).start()
    await orch.wait(iterations=5, timeout=30)
    shaky.away = True
    await until(lambda: "cannot be kept since" in orch.status()["days"].reason)
    before = orch.metrics()["days"].done
    await until(lambda: orch.metrics()["days"].done > before + 5, "the loop goes on")
    shaky.away = False
    await until(lambda: not orch.status()["days"].reason)
    assert [x.text for x in orch.logs()] == [
        "its checkpoint cannot be kept: no route to the store: trying again",
        "its checkpoint is kept again",
    ]
    await orch.wait(timeout=30)
    assert shaky.find("summing", "days").position == TOTAL


@live
async def test_a_loop_whose_store_stays_away_still_stops_in_time():
    shaky = Shaky()
    orch = summing(shaky, every=0.1).start()
    await orch.wait(iterations=5, timeout=30)
    shaky.away = True
    with Stopwatch() as stop:
        await orch.stop(grace=0.5)
    assert stop.seconds < 8
    assert orch.status()["days"].state == "stopped"


@live
async def test_who_takes_a_checkpoint_over_ends_the_one_that_had_it():
    from dataclasses import replace

    store = open_store("memory://")
    orch = summing(store, source=range(10_000), interval=0.02).start()
    await orch.wait(iterations=5, timeout=30)

    def take_over():
        kept = store.loops.find("summing", "days")
        store.loops.save(replace(kept, number=kept.number + 1, owner="another@elsewhere-1-1-1"))

    while True:
        try:
            take_over()
        except StoreError:  # it was saved in between
            continue
        break
    with pytest.raises(RunError, match="is carried on by somebody else with the same checkpoint"):
        await orch.wait(timeout=30)
    assert store.loops.find("summing", "days").owner == "another@elsewhere-1-1-1"


@live
async def test_a_loop_whose_checkpoint_was_deleted_is_kept_anew():
    store = open_store("memory://")
    orch = summing(store, interval=0.02, every=0.015).start()
    await orch.wait(iterations=5, timeout=30)
    store.loops.delete("summing")
    await orch.wait(timeout=30)
    assert store.loops.find("summing", "days").position == TOTAL


@pytest.mark.parametrize("interval", [0, 0.02])
@live
async def test_a_process_loop_that_is_killed_goes_on_by_itself(interval, tmp_path):
    dying = tmp_path / "dying"

    def mark(item, ctx):
        if item == TOTAL - 5 and not dying.exists():
            time.sleep(60)  # it is killed before
        ctx.state[str(item)] = item
        return sorted(map(int, ctx.state)), os.getpid()

    graph = one(
        range(TOTAL), mark, every=0.005, pool="process", restart="on_crash",
        checkpoint=tmp_path / "kept.sqlite", persistence_interval=interval,
    )  # fmt: skip
    orch = graph.start()
    await until(lambda: orch.metrics()["days"].done > 10)
    dying.touch()
    os.kill(orch.outputs("check")[-1][1], signal.SIGKILL)
    status = await orch.wait(timeout=30)
    assert status["days"].state == "completed"
    assert orch.outputs("check")[-1][0] == list(range(TOTAL))
    assert orch.metrics()["days"].restarts == 1
    assert orch.metrics()["days"].done < 2 * TOTAL - 10


@live
async def test_a_thread_loop_that_crashed_goes_on_by_itself(tmp_path):
    crashed = []

    class Link:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            if not crashed:
                crashed.append(1)
                raise OSError("the link broke")

    orch = summing(
        tmp_path / "kept.sqlite", restart="on_crash", resources={"link": Link}, interval=0.02
    ).start()
    status = await orch.wait(timeout=30)
    assert status["days"].state in {"completed", "stopped"}


@live
async def test_a_fast_loop_is_kept_too(tmp_path):
    def graph():
        return one(range(200_000), same, checkpoint=tmp_path / "kept.sqlite", name="fast")

    orch = graph().start()
    await until(lambda: orch.metrics()["days"].done > 20_000)
    await orch.stop()
    done = orch.metrics()["days"].done
    orch = graph().start()
    status = await orch.wait(timeout=60)
    assert status["days"].iterations == 200_000
    assert done < 200_000
    assert [x.text for x in orch.logs()] == [f"goes on at item {done:,} of its checkpoint"]


@live
async def test_a_reader_keeps_its_state_and_acks_what_is_kept(real_server_url, tmp_path):
    def graph():
        return (
            Graph("counted")
            .add_queue_reader("take", queue="numbers", external=True)
            .add_node("total", total)
            .add_edge("take", "total")
            .set_loop("take", checkpoint=tmp_path / "kept.sqlite", persistence_interval=0.05)
        )

    orch = graph().start(redis=real_server_url, namespace="counted")
    for n in range(40):
        await orch.queues.push("numbers", n)
    await until(lambda: orch.metrics()["take"].done >= 20)
    await orch.stop()
    orch = graph().start(redis=real_server_url, namespace="counted")
    for n in range(40, 60):
        await orch.queues.push("numbers", n)
    await until(lambda: orch.metrics()["take"].done >= 60)
    assert orch.outputs("total") == [{"sum": sum(range(60)), "items": 60}]
    await acked(orch, "numbers")
    await orch.stop()


@live
async def test_a_killed_reader_loses_nothing_from_its_state(real_server_url, tmp_path):
    """A message that was acked before the state was kept would be missing there."""

    def mark(item, ctx):
        ctx.state[str(item)] = item
        return len(ctx.state), os.getpid()

    graph = (
        Graph("marked")
        .add_queue_reader("take", queue="numbers", external=True)
        .add_node("mark", mark)
        .add_edge("take", "mark")
        .set_loop("take", checkpoint=tmp_path / "kept.sqlite", persistence_interval=0.2)
        .set_loop("take", pool="process", restart="on_crash")
    )
    orch = graph.start(redis=real_server_url, namespace="marked")
    for n in range(300):
        await orch.queues.push("numbers", n)
        if n % 100 == 60:
            seen = orch.outputs("mark")
            await until(lambda seen=seen: orch.outputs("mark") not in ([], seen))
            os.kill(orch.outputs("mark")[-1][1], signal.SIGKILL)
            await until(lambda n=n: orch.metrics()["take"].restarts > n // 100)
    await until(lambda: orch.outputs("mark")[-1][0] == 300, "every message is in the state")
    await acked(orch, "numbers")
    await orch.stop()


SCRIPT = Path(__file__).parents[2] / "support" / "going_on.py"


def run_until_killed(kept, pool, seconds):
    """Run the script in a process of its own, and kill that after so many items."""
    child = subprocess.Popen(
        [sys.executable, str(SCRIPT), str(kept), pool], stdout=subprocess.PIPE, text=True
    )
    try:
        if seconds is None:
            out, _ = child.communicate(timeout=120)
            return out
        child.stdout.readline()
        time.sleep(seconds)
        child.send_signal(signal.SIGKILL)
        child.wait(30)
    finally:
        child.kill()
        child.stdout.close()
        child.wait(30)
    return ""


@pytest.mark.parametrize("pool", ["thread", "process"])
def test_a_killed_script_that_is_started_again_loses_no_item(pool, tmp_path):
    for seconds in (0.3, 0.5, None):
        out = run_until_killed(tmp_path / "kept.sqlite", pool, seconds)
    done = [int(line) for line in (tmp_path / "kept.sqlite.done").read_text().split()]
    assert set(done) == set(range(200))
    assert "completed" in out
    assert len(done) < 400, "each start made items from the beginning"
    assert out.splitlines()[-1] == f"completed {sum(range(200))}"
