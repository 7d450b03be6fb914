"""What does a hop through a queue cost, beside raw redis-py on the same server, same run?

Push, read, node, ack: two threads, an event loop each, JSON both times. Rounds of both take
turns, and the quickest of each are compared, in seconds of this process's processor time: a
busy neighbour takes nothing from it. The server computes on its own.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from functools import partial

import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from flownb import Graph
from tests.support.machine import most
from tests.support.servers import real_server_url

pytestmark = [
    pytest.mark.benchmark,
    pytest.mark.redis,
    pytest.mark.wallclock,
    pytest.mark.timeout(300),
]
__all__ = ["real_server_url"]

ITEMS, BATCH, ONE_BY_ONE, ROUNDS = 20_000, 100, 2_000, 3
SHARE = 0.6
STREAM, GROUP = "raw", "group"


def message(number: int) -> dict:
    return {"day": number, "rain": number / 2, "place": "Ulm"}


def node(item: dict) -> dict:
    """Do next to nothing."""
    return item


# -- redis-py, as anybody would write it ------------------------------------------


async def raw_push(url: str, items: int, batch: int) -> None:
    async with AsyncRedis.from_url(url) as client:
        for first in range(0, items, batch):
            if batch == 1:
                await client.xadd(STREAM, {"data": json.dumps(message(first))})
                continue
            pipe = client.pipeline(transaction=False)
            for number in range(first, first + batch):
                pipe.xadd(STREAM, {"data": json.dumps(message(number))})
            await pipe.execute()


async def raw_read(url: str, items: int, batch: int) -> None:
    done = 0
    async with AsyncRedis.from_url(url, protocol=2) as client:
        while done < items:
            found = await client.xreadgroup(GROUP, "me", {STREAM: ">"}, count=batch, block=500)
            for _, entries in found:
                for _, fields in entries:
                    node(json.loads(fields[b"data"]))
                await client.xack(STREAM, GROUP, *(entry_id for entry_id, _ in entries))
                done += len(entries)


def raw(url: str, items: int, batch: int) -> None:
    with Redis.from_url(url) as client:
        client.xgroup_create(STREAM, GROUP, "0", mkstream=True)
    work = raw_push(url, items, batch), raw_read(url, items, batch)
    threads = [threading.Thread(target=asyncio.run, args=(part,)) for part in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# -- the same as two loops ---------------------------------------------------------


def messages(items: int):
    yield from map(message, range(items))


def hop(
    url: str, items: int, *, kind: str = "non_blocking", pool: str = "thread", **reader
) -> None:
    graph = Graph("hop").add_producer("days", partial(messages, items))
    graph.add_queue("rainy", kind=kind).add_edge("days", "rainy")
    graph.add_queue_reader("reader", queue="rainy", **reader).add_node("node", node)
    graph.add_edge("reader", "node")
    graph.set_loop("days", pool=pool).set_loop("reader", pool=pool)

    async def run() -> None:
        async with graph.start(redis=url) as orch:
            await orch.wait(timeout=200)
            assert orch.metrics()["reader"].done == items

    asyncio.run(run())


def cost(url: str, work, items: int) -> tuple[float, float]:
    """Seconds of processor and of clock for a message."""
    with Redis.from_url(url) as client:
        client.flushall()
    started, begun = time.perf_counter(), time.process_time()
    work()
    return (time.process_time() - begun) / items, (time.perf_counter() - started) / items


def share(url: str, theirs, ours, items: int) -> float:
    """How much of redis-py's rate is ours."""
    raws, hops, found = [], [], 0.0
    while len(hops) < ROUNDS or (found < SHARE and len(hops) < most(ROUNDS, 8)):
        raws.append(cost(url, theirs, items))
        hops.append(cost(url, ours, items))
        found = min(raws)[0] / min(hops)[0]
    clock = min(r[1] for r in raws) / min(h[1] for h in hops)
    print(f"{min(hops)[0] * 1e6:.0f} us against {min(raws)[0] * 1e6:.0f} us of the processor")
    print(f"{clock:.0%} of redis-py by the clock")
    return found


@pytest.mark.parametrize(
    "reader",
    [{}, pytest.param({"prefetch": BATCH}, marks=pytest.mark.nightly)],
    ids=["default", "prefetch 100"],
)
def test_a_hop_has_60_percent_of_the_rate_of_batches_of_100(real_server_url, reader, figure):
    url = real_server_url
    found = share(url, lambda: raw(url, ITEMS, BATCH), lambda: hop(url, ITEMS, **reader), ITEMS)
    figure(f"hop {reader}, share of redis-py's rate by the processor", found, least=SHARE)


@pytest.mark.nightly
@pytest.mark.parametrize("kind", ["blocking", "non_blocking"])
def test_one_by_one_a_hop_has_60_percent_of_the_rate_of_redis_py(real_server_url, kind, figure):
    url = real_server_url
    found = share(
        url, lambda: raw(url, ONE_BY_ONE, 1),
        lambda: hop(url, ONE_BY_ONE, kind=kind, prefetch=1), ONE_BY_ONE,
    )  # fmt: skip
    figure(f"one by one, {kind}, share of redis-py's rate by the processor", found, least=SHARE)


def moving(url: str, items: int, *, maxlen: int | None) -> None:
    """Move items from queue to queue, each push and its ack in one MULTI."""
    graph = Graph("moving").add_producer("days", partial(messages, items)).add_queue("first")
    graph.add_queue_reader("move", queue="first").add_queue("second", maxlen=maxlen)
    graph.add_queue_reader("reader", queue="second").add_node("node", node)
    graph.add_edge("days", "first").add_edge("move", "second").add_edge("reader", "node")
    graph.set_loop("move", transactional=True)

    async def run() -> None:
        async with graph.start(redis=url) as orch:
            await orch.wait(timeout=200)
            assert orch.metrics()["reader"].done == items

    asyncio.run(run())


def test_a_small_queue_slows_a_transactional_loop_down_a_little(real_server_url, figure):
    """Looking for room each 50 ms it had 2 to 5 % of the rate."""
    found, url = 0.0, real_server_url
    for _ in range(most(1, 8)):
        free = cost(url, lambda: moving(url, 400, maxlen=None), 400)
        full = cost(url, lambda: moving(url, 400, maxlen=5), 400)
        found = max(found, free[1] / full[1])
        if found >= 0.2:
            break
    figure("into a queue of 5, share of the rate", found, least=0.2)
