"""Do live loops hand each other everything, through fakeredis and through a real server?"""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import pytest

from flownb import Graph
from tests.support.live import live, one, until

pytestmark = pytest.mark.wallclock
COUNT = 2_000


@pytest.fixture(params=["fake", pytest.param("server", marks=pytest.mark.redis)])
def redis(request: pytest.FixtureRequest):
    """What to give start(redis=...)."""
    return None if request.param == "fake" else request.getfixturevalue("real_server_url")


def handing(name, count, mode, readers, pools):
    seen = {r: [] for r in readers}
    graph = Graph(name).add_producer("days", range(count)).add_queue("out", mode=mode)
    graph.add_edge("days", "out").set_loop("days", pool=pools[0])
    for reader, pool in zip(readers, pools[1:], strict=True):
        graph.add_queue_reader(reader, queue="out")
        graph.add_node(f"use {reader}", seen[reader].append)
        graph.add_edge(reader, f"use {reader}").set_loop(reader, pool=pool)
    return graph, seen


@pytest.mark.parametrize(
    "pools", [("thread", "asyncio", "thread"), ("asyncio", "thread", "thread")]
)
@live
async def test_of_two_thousand_messages_each_reaches_one_of_the_competing_loops(redis, pools):
    graph, seen = handing(f"compete {pools}", COUNT, "competing", ["a", "b"], pools)
    orch = graph.start(redis=redis)
    status = await orch.wait(timeout=30)
    assert {s.loop: s.state for s in status.loops} == dict.fromkeys(("days", "a", "b"), "completed")
    assert Counter(seen["a"] + seen["b"]) == Counter(range(COUNT))
    stats = await orch.queues.stats("out")
    assert (stats.depth, stats.backlog) == (0, 0)
    await orch.stop()


@pytest.mark.parametrize(
    "pools", [("thread", "asyncio", "thread"), ("asyncio", "thread", "thread")]
)
@live
async def test_of_two_thousand_messages_all_reach_each_of_the_broadcast_loops(redis, pools):
    graph, seen = handing(f"tell {pools}", COUNT, "broadcast", ["a", "b"], pools)
    orch = graph.start(redis=redis)
    await orch.wait(timeout=30)
    assert Counter(seen["a"]) == Counter(seen["b"]) == Counter(range(COUNT))
    await orch.stop()


@live
async def test_a_stop_and_a_start_over_a_real_server_lose_nothing(real_server_url):
    seen = []

    def use(n):
        time.sleep(0.002)
        seen.append(n)

    def start():
        graph = Graph("again").add_queue_reader("reader", queue="q", external=True)
        graph.add_node("use", use).add_edge("reader", "use")
        return graph.start(redis=real_server_url)

    orch = start()
    for n in range(300):
        await orch.queues.push("q", n)
    for _ in range(4):
        await until(lambda: seen)
        await asyncio.sleep(0.05)
        orch = start()
    await until(lambda: set(seen) == set(range(300)), "all of them")
    assert Counter(Counter(seen).values())[1] >= 290
    stats = await orch.queues.stats("q")
    await until(lambda: orch.metrics()["reader"].open == 0)
    assert stats.pending <= 16
    await orch.stop()


@live
async def test_queues_by_hand_close_with_their_run(redis):
    orch = one([1]).add_queue("out", external=True).add_edge("check", "out").start(redis=redis)
    await orch.wait(timeout=30)
    message = await orch.queues.pop("out", 30)
    assert message.payload == 1
    await orch.queues.ack("out", [message.id])
    await orch.stop()


def test_queues_by_hand_work_from_cell_to_cell_of_a_script(redis):
    orch = Graph("cells").add_queue_reader("reader", queue="q", external=True)
    orch = orch.add_node("use", keep=9).add_edge("reader", "use").start(redis=redis)

    async def cell(n):
        await orch.queues.push("q", n)
        await until(lambda: n in orch.outputs("use"))

    for n in range(3):
        asyncio.run(cell(n))
    orch.stop().wait(30)


@live
async def test_a_full_queue_pushes_back_on_its_producer(redis):
    graph = one(range(200)).add_queue("out", maxlen=5, kind="blocking").add_edge("check", "out")
    graph.add_queue_reader("reader", queue="out", prefetch=1)
    graph.add_node("use", lambda _: time.sleep(0.001)).add_edge("reader", "use")
    orch = graph.start(redis=redis)
    deepest = 0
    while not orch.is_over():
        if orch.status()["days"].state != "completed":
            deepest = max(deepest, (await orch.queues.stats("out")).depth)
        await asyncio.sleep(0.02)
    assert orch.metrics()["reader"].done == 200
    assert deepest <= 6
    await orch.stop()


@live
async def test_what_is_asked_by_hand_while_the_run_ends_is_answered_all_the_same(redis):
    graph = Graph("ending").add_producer("days", range(3), every=0.01)
    graph.add_queue("out", external=True).add_edge("days", "out")
    for _ in range(5):
        orch = graph.start(redis=redis)
        found = []
        while len(found) < 3:
            message = await orch.queues.pop("out", 30)
            await orch.queues.ack("out", [message.id])
            found.append(message.payload)
        assert found == [0, 1, 2]
        assert await orch.queues.pop("out", 0.05) is None
        await orch.stop()


def _of_nothing():
    return (
        Graph("nulls")
        .add_producer("days", range(5), every=0.002)
        .add_node("check", lambda _: None)
        .add_queue("wet")
        .add_edge("days", "check", "wet")
        .add_queue_reader("storms", queue="wet")
        .add_node("rank", keep=9)
        .add_edge("storms", "rank")
    )


def test_a_message_that_holds_null_is_an_item_in_a_simulation():
    assert _of_nothing().simulate().outputs("rank") == [None] * 5


@live
async def test_a_message_that_holds_null_is_an_item_and_is_acked():
    async with _of_nothing().start() as orch:
        await orch.wait(timeout=30)
        assert orch.status()["storms"].state == "completed"
        assert orch.outputs("rank") == [None] * 5
        assert (await orch.queues.stats("wet")).depth == 0


@live
async def test_what_a_server_has_forgotten_while_a_reader_waits_is_made_with_the_next_push(redis):
    seen = []
    graph = Graph("forgotten").add_queue_reader("move", queue="in", external=True)
    graph.add_queue("out").add_edge("move", "out")
    graph.add_queue_reader("end", queue="out").add_node("see", seen.append).add_edge("end", "see")
    orch = graph.start(redis=redis)
    for n in range(60):  # enough for nodes to count as short: then rows of items are pushed
        await orch.queues.push("in", n)
    await until(lambda: orch.metrics()["move"].done == 60)
    track = orch._live.loop_runs["move"]
    manager, forgotten = track.manager, []
    assert manager.chain.stretch is not None
    track.host.post(lambda: forgotten.append(manager.runtime.queues._groups.forget()))
    await until(lambda: forgotten)
    await orch.queues.push("in", 60)
    await until(lambda: orch.metrics()["move"].done == 61)
    await until(lambda: seen == list(range(61)))
    await orch.stop()
