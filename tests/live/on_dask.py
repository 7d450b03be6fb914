"""What happens on a Dask cluster of this machine? Prints its findings as JSON.

A program of its own: Dask's threads and sockets would look like leaks of the tests.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time

from distributed import Client, LocalCluster

from flownb import Graph
from flownb.errors import GraphError
from flownb.queues import spawned


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
        .add_producer("b", range(20))
        .add_node("where", lambda _: os.getpid())
        .add_edge("b", "where")
    )
    orch = graph.start(cluster=client)
    await orch.wait(iterations=10, timeout=30)
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


def work(n):
    time.sleep(0.01)
    return [n, os.getpid()]


async def killed(client, url, times):
    """Kill the worker of a reading loop in the middle of an item, *times* times in all."""
    total = 100 * times
    graph = (
        Graph("killed")
        .add_producer("make", range(total))
        .add_queue("numbers")
        .add_edge("make", "numbers")
        .add_queue_reader("gather", queue="worked")
        .add_node("all", keep=10 * total)
        .add_edge("gather", "all")
        .set_loop("make", pool="thread")
        .set_loop("gather", pool="thread")
    )
    for name in ("one", "two"):
        graph.add_queue_reader(name, queue="numbers", prefetch=4, visibility_timeout=2)
        graph.add_node(f"work {name}", work).add_queue(f"out {name}", queue="worked")
        graph.add_edge(name, f"work {name}", f"out {name}").set_loop(name, restart="on_crash")
    orch = graph.start(cluster=client, redis=url)
    for n in range(times):
        name = ("one", "two")[n % 2]
        await until(lambda: all(map(may_crash, orch.tracks.values())), orch, patience=90)
        await until(lambda name=name: orch.status()[name].state == "running", orch)
        before = orch.metrics()[name].produced
        await until(lambda name=name, n=before: orch.metrics()[name].produced > n + 2)
        os.kill(orch.outputs(f"work {name}")[-1][1], signal.SIGKILL)
        await until(lambda name=name: orch.status()[name].state != "running")
    status = await orch.wait(timeout=60)
    found = [n for n, _ in orch.outputs("all")]
    await orch.stop()
    events = [e for t in orch.tracks.values() for e in t.history.events]
    return {
        "states": [s.state for s in status.loops],
        "lost": total - len(set(found)),
        "twice": len(found) - len(set(found)),
        "restarts": sum(e.kind == "restarted" for e in events),
    }


def may_crash(track):
    """Whether it would start again: a worker takes all its loops with it."""
    return len(track.supervisor._recent()) < 5


def refused(client):
    graph = Graph("no").add_producer("p").add_queue("q", external=True).add_edge("p", "q")
    try:
        graph.start(cluster=client)
    except GraphError as error:
        return str(error)
    return ""


async def main():
    server = spawned.SpawnedServer(spawned.binary())
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=2, dashboard_address=None, silence_logs=50
        ) as cluster,
        Client(cluster) as client,
    ):
        found = {
            "likes": await like_others(client),
            "killed": await killed(client, server.address(), int(sys.argv[1])),
            "refused": refused(client),
        }
    print(json.dumps(found))


if __name__ == "__main__":
    asyncio.run(main())
