"""What happens on a Dask cluster of this machine? Prints its findings as JSON.

A program of its own: Dask's threads and sockets would look like leaks of the tests.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import dask
from distributed import Client, LocalCluster

from flownb import Graph
from flownb.errors import GraphError
from flownb.queues.servers import spawned
from flownb.widgets.dag import DagState
from tests.engine.hosts.test_equality import counted, everything, story
from tests.support.live import one


async def until(true, orch=None, patience=90.0):
    end = time.monotonic() + patience
    while not true():
        assert time.monotonic() < end, f"waited in vain: {orch and orch.status().loops}"
        await asyncio.sleep(0.01)


def count(n, ctx):
    ctx.state["seen"] = ctx.state.get("seen", 0) + 1
    if n == 3:
        raise ValueError(n)
    print("item", n)
    return [n, ctx.state["seen"], os.getpid()]


async def like_others(client):
    """Status, outputs, failures, logs, pause, swap, stop: as in any other pool."""
    graph = (
        Graph("likes")
        .add_producer("a", range(1000), every=0.01)
        .add_node("count", count, keep=1000)
        .add_node("also")
        .add_edge("a", "count", "also")
        .add_node("nap", lambda _: time.sleep(0.05))
        .add_edge("a", "nap")
        .add_producer("b", range(20))
        .add_node("where", lambda _: os.getpid())
        .add_edge("b", "where")
    )
    orch = graph.start(cluster=client)
    await orch.wait(iterations=10, timeout=30)
    reading = DagState(orch)
    await until(lambda: [(w.loop, w.nodes) for w in reading.now().waits] == [("a", ("nap",))], orch)
    await orch.pause("a")
    paused = orch.metrics()["a"].released
    await asyncio.sleep(0.2)
    stood_still = orch.metrics()["a"].released == paused
    await orch.resume("a")
    await orch.swap("also", lambda found: ["new", *found])
    await until(lambda: orch.outputs("also") and orch.outputs("also")[-1][0] == "new")
    await orch.stop(grace=2)
    status = orch.status()
    _, n, seen, pid = orch.outputs("also")[-1]
    return {
        "pools": [s.pool for s in status.loops],
        "states": [s.state for s in status.loops],
        "stood_still": stood_still,
        "kept_state": n + 1 == seen,
        "elsewhere": os.getpid() not in {pid, orch.outputs("where")[-1]},
        "two_workers": pid != orch.outputs("where")[-1],
        "failure": repr(orch.failures()[0]),
        "log": orch.logs(node="count")[0].text,
        "spans": len(orch.timeline("b").spans) >= 40,
    }


async def equal(client):
    """Outputs, the order of each item's events, and all counters, as in the simulation."""
    sim, orch = everything().simulate(), everything(pool="dask").start(cluster=client)
    await orch.wait(timeout=60)
    await orch.stop()
    history = orch._live.loop_runs["make"].history
    found = story(history.spans(), history.events, orch.outputs)
    return found == story(sim.timeline.spans, sim.events, sim.outputs) and counted(
        orch.metrics()["make"]
    ) == counted(sim.metrics["make"])


async def no_queues(cluster):
    """What is left at the scheduler of loops that have ended?"""
    queues = cluster.scheduler.extensions["queues"].queues
    await until(lambda: not queues)
    return len(queues)


def deadly(flag):
    """Give a node that kills its worker in the middle of an item, once for each flag it finds."""

    def work(n):
        time.sleep(0.005)
        with contextlib.suppress(FileNotFoundError):
            flag.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return n

    return work


def relay(name, url, flag, enough, *, transactional):
    """Two loops on the cluster carry numbers from one queue to another."""
    graph = (
        Graph(name)
        .add_producer("make", itertools.takewhile(lambda _: not enough, itertools.count()))
        .add_queue("numbers", maxlen=200)
        .add_edge("make", "numbers")
        .add_queue_reader("gather", queue="worked")
        .add_node("all", keep=100_000)
        .add_edge("gather", "all")
        .set_loop("make", pool="thread")
        .set_loop("gather", pool="thread")
    )
    for loop in ("one", "two"):
        graph.add_queue_reader(loop, queue="numbers", prefetch=4, visibility_timeout=2)
        graph.add_node(f"work {loop}", deadly(flag)).add_queue(f"out {loop}", queue="worked")
        graph.add_edge(loop, f"work {loop}", f"out {loop}")
        graph.set_loop(loop, restart="on_crash", transactional=transactional)
    return graph


async def killed(client, url, times, *, transactional):
    """Kill the worker of a reading loop in the middle of an item, *times* times in all."""
    enough = []
    with tempfile.TemporaryDirectory() as folder:
        flag = Path(folder) / "die"
        name = f"killed {transactional}"
        graph = relay(name, url, flag, enough, transactional=transactional)
        orch = graph.start(cluster=client, redis=url)
        for _ in range(times):
            await until(lambda: working(orch), orch)
            flag.touch()
            await until(lambda: not flag.exists(), orch)
        await until(lambda: working(orch), orch)
        enough.append(True)
        status = await orch.wait(timeout=60)
    total, found = orch.metrics()["make"].produced, orch.outputs("all")
    await orch.stop()
    return {
        "states": [s.state for s in status.loops],
        "lost": total - len(set(found)),
        "twice": len(found) - len(set(found)),
        "crashed": sum(m.restarts for m in orch.metrics().values()) >= times,
    }


def working(orch):
    """Whether all loops run, and the two on the cluster have begun an item since they do."""
    if any(s.state != "running" for s in orch.status().loops):
        return False
    for name in ("one", "two"):
        events = list(orch._live.loop_runs[name].history.events)
        last = [e.kind for e in events if e.kind in {"restarted", "produced"}][-1:]
        if last != ["produced"]:
            return False
    return True


async def without_workers(url):
    """The only worker of a cluster dies, and another comes: what does the loop say and do?"""
    with (
        LocalCluster(n_workers=0, dashboard_address=":0", silence_logs=50) as cluster,
        Client(cluster) as client,
    ):
        graph = Graph("alone")
        graph.add_queue_reader("read", queue="in", external=True, visibility_timeout=2)
        graph.add_node("work", lambda n: [n, os.getpid()], keep=100).add_edge("read", "work")
        graph.set_loop("read", restart="on_crash")
        orch, said = graph.start(cluster=client, redis=url), []
        workers, numbers = [], []
        for begin in (0, 50):
            await until(lambda: "a Dask worker" in orch.status()["read"].reason, orch)
            said.append(orch.status()["read"].reason)
            workers.append(a_worker(cluster.scheduler_address))
            for n in range(begin, begin + 50):
                await orch.queues.push("in", n)
            await until(lambda b=begin: numbers_of(orch) >= set(range(b, b + 50)), orch)
            numbers += numbers_of(orch)
            workers[-1].kill()
            workers[-1].wait()
        await until(lambda: "0 of 1 left" in orch.status()["read"].reason, orch)
        stopping = time.monotonic()
        status = await orch.stop(grace=30)
        return {
            "said": said,
            "lost": 100 - len(set(numbers)),
            "state": status["read"].state,
            "restarts": orch.metrics()["read"].restarts,
            "warned": [line.text for line in orch.logs() if line.text.startswith("waits")],
            "told": sum("nobody knows how many calls" in line.text for line in orch.logs()),
            "stopped at once": time.monotonic() - stopping < 10,
        }


async def given_up(client):
    """An item that kills every worker it comes to: how often is that tried?"""
    graph = one(fn=lambda _: os.kill(os.getpid(), signal.SIGKILL), restart="on_crash")
    orch = graph.start(cluster=client)
    await until(lambda: orch.status()["days"].state == "error", orch)
    await orch.stop()
    return [orch.metrics()["days"].restarts, orch.status()["days"].reason]


def numbers_of(orch):
    return {n for n, _ in orch.outputs("work")}


def a_worker(address):
    """Start a worker as a person would, without a nanny that brings it back."""
    command = ["-m", "distributed.cli.dask_worker", address, "--no-nanny", "--nthreads", "2"]
    return subprocess.Popen(
        [sys.executable, *command, "--no-dashboard"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def mark(item, ctx):
    time.sleep(0.003)
    ctx.state[str(item)] = item
    return sorted(map(int, ctx.state)), os.getpid()


async def goes_on(client):
    """A loop with a checkpoint: its worker is killed, it is stopped, and started again."""
    with tempfile.TemporaryDirectory() as folder:

        def graph():
            return one(
                range(200), mark, name="goes on", restart="on_crash",
                checkpoint=f"{folder}/loops.sqlite", persistence_interval=0.1,
            )  # fmt: skip

        orch = graph().start(cluster=client)
        await orch.wait(iterations=60, timeout=60)
        os.kill(orch.outputs("check")[-1][1], signal.SIGKILL)
        await until(lambda: orch.metrics()["days"].restarts == 1, orch)
        done = orch.metrics()["days"].released
        await orch.wait(iterations=done + 20, timeout=60)
        await orch.stop()
        orch = graph().start(cluster=client)
        status = await orch.wait(timeout=60)
        marked, calls = orch.outputs("check")[-1][0], orch.metrics()["days"].nodes["check"].calls
        return [status["days"].state, marked == list(range(200)), calls < 300]


def refused(client):
    graph = Graph("no").add_producer("p").add_queue("q", external=True).add_edge("p", "q")
    try:
        graph.start(cluster=client)
    except GraphError as error:
        return str(error)
    return ""


async def main():
    kills, all_of_it = int(sys.argv[1]), len(sys.argv) > 2
    # LocalCluster gives a worker up for good that is away 15 s after one of its deaths
    dask.config.set({"distributed.deploy.lost-worker-timeout": "1h"})
    server = spawned.SpawnedServer(spawned.binary())
    url = server.address()
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=2, dashboard_address=":0", silence_logs=50
        ) as cluster,
        Client(cluster) as client,
    ):
        found = {
            "likes": await like_others(client),
            "equal": await equal(client),
            "queues left": await no_queues(cluster),
            "killed": await killed(client, url, kills - kills // 2, transactional=False),
            "transactional": await killed(client, url, kills // 2, transactional=True),
            "goes on": await goes_on(client),
            "refused": refused(client),
            "given up": await given_up(client) if all_of_it else None,
        }
    found["alone"] = await without_workers(url)
    print(json.dumps(found))


if __name__ == "__main__":
    asyncio.run(main())
