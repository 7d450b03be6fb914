"""What is lost when the processes of two loops are killed again and again? Nothing."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import random
import signal
import time

import pytest

from flownb import Graph
from tests.support.live import live, until

pytestmark = [pytest.mark.wallclock, pytest.mark.redis, pytest.mark.timeout(300)]
LOOPS = ("one", "two")


def deadly(flag, seconds):
    """Give a node that kills its process in the middle of an item, once for each flag."""

    def work(n):
        time.sleep(seconds)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(flag)  # noqa: PTH108 - no more than that, in the middle of an item
            os.kill(os.getpid(), signal.SIGKILL)
        return n

    return work


def carrying(folder, enough, *, transactional, every=None, seconds=0.003):
    """Two loops in processes of their own carry numbers from one queue to another."""
    source = itertools.takewhile(lambda _: not enough, itertools.count())
    graph = Graph(f"killed {transactional} {every}").add_producer("make", source, every=every)
    graph.add_queue("numbers", maxlen=100).add_edge("make", "numbers")
    for loop in LOOPS:
        graph.add_queue_reader(loop, queue="numbers", prefetch=8)
        graph.add_node(f"work {loop}", deadly(os.path.join(folder, loop), seconds))  # noqa: PTH118
        graph.add_queue(f"out {loop}", queue="worked")
        graph.add_edge(loop, f"work {loop}", f"out {loop}")
        graph.set_loop(loop, pool="process", restart="on_crash", transactional=transactional)
    graph.add_queue_reader("gather", queue="worked").add_node("all", keep=100_000)
    return graph.add_edge("gather", "all")


async def kill(orch, loop, flag, rng):
    """Kill the process of a loop: in the middle of an item, or at any moment."""
    await until(lambda: at_work(orch, loop), loop, patience=30)
    crashes = orch.metrics()[loop].restarts
    if rng.random() < 0.5:
        flag.touch()
    else:
        await asyncio.sleep(rng.uniform(0, 0.03))
        orch._live.loop_runs[loop].host.process.kill()
    await until(lambda: orch.metrics()[loop].restarts > crashes, patience=30)


def at_work(orch, loop):
    """Whether a loop runs, and has begun an item since it does."""
    events = list(orch._live.loop_runs[loop].history.events)
    found = [e.kind for e in events if e.kind in {"restarted", "produced"}]
    return orch.status()[loop].state == "running" and found[-1:] == ["produced"]


async def lives_through(kills, url, folder, *, seed, **kind):
    rng, enough = random.Random(seed), []
    orch = carrying(str(folder), enough, **kind).start(redis=url)
    for n in range(kills):
        loop = LOOPS[n % 2]
        await kill(orch, loop, folder / loop, rng)
    enough.append(True)
    status = await orch.wait(timeout=60)
    await orch.stop()
    assert [s.state for s in status.loops] == ["completed"] * 4, status
    wanted, found = orch.metrics()["make"].produced, orch.outputs("all")
    assert set(found) == set(range(wanted))
    assert wanted > kills
    return len(found) - wanted


@pytest.mark.parametrize("transactional", [False, True])
@live
async def test_six_killed_processes_lose_nothing(real_server_url, tmp_path, transactional):
    twice = await lives_through(
        6, real_server_url, tmp_path, transactional=transactional, seed=transactional
    )
    assert twice == 0 or not transactional


@live
async def test_six_killed_processes_of_short_nodes_lose_nothing(real_server_url, tmp_path):
    await lives_through(
        6, real_server_url, tmp_path, transactional=False, every=0.001, seconds=0, seed=7
    )


@pytest.mark.nightly
@pytest.mark.parametrize("transactional", [False, True])
@live
async def test_a_hundred_killed_processes_lose_nothing(real_server_url, tmp_path, transactional):
    for seed in range(10):  # a loop is given up at its sixth crash within a minute
        twice = await lives_through(
            10, real_server_url, tmp_path, transactional=transactional, seed=seed
        )
        assert twice == 0 or not transactional
