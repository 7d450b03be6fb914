"""Do loops of short nodes lose, double or mix up nothing when they cross queues at full speed?

Their rows go through a chain: messages, nodes, pushes and acks of a turn together.
"""

from __future__ import annotations

import asyncio
import signal
from collections import Counter

import pytest

from flownb import Graph, Observer
from flownb.engine.calls.chain import Chain
from flownb.queues import QueueManager
from tests.support.live import live, until
from tests.support.servers import RestartableServer
from tests.support.standstill import Stopwatch

pytestmark = pytest.mark.wallclock

MANY = 1_000


@pytest.fixture(params=["fake", pytest.param("server", marks=pytest.mark.redis)])
def redis(request: pytest.FixtureRequest):
    """What to give start(redis=...)."""
    return None if request.param == "fake" else request.getfixturevalue("real_server_url")


@pytest.fixture
def rows(monkeypatch):
    """How many rows were settled as rows, by loop."""
    counted, publish = Counter(), Chain._publish

    def counting(chain, stretch, turn, rows, times):
        counted[chain.loop.name] += len(times) // stretch.width
        counted["turns of", chain.loop.name] += 1
        publish(chain, stretch, turn, rows, times)

    monkeypatch.setattr(Chain, "_publish", counting)
    return counted


def crossing(name, source, work, *, kind="non_blocking", **reader):
    """Two loops: source -> line =queue= read -> work -> out."""
    graph = Graph(name).add_producer("count", source).add_queue("line", kind=kind)
    graph.add_queue_reader("read", queue="line", **reader).add_node("work", work)
    graph.add_queue("out", external=True)
    return graph.add_edge("count", "line").add_edge("read", "work", "out")


async def messages(orch, queue):
    """What is in a queue, in order."""
    async with QueueManager(
        orch._live.server, graph=orch.name, specs=orch._live.specs, consumer="hand", patient=True
    ) as queues:
        found = await queues.read(queue, reader="manual", count=10 * MANY, timeout=0)
        await queues.ack(queue, [message.id for message in found])
    return found


async def popped(orch, queue):
    return [message.payload for message in await messages(orch, queue)]


async def outcome(graph, redis):
    """What came out, and the run, which has ended."""
    async with graph.start(redis=redis) as orch:
        await orch.wait(timeout=60)
        found = await popped(orch, "out")
        depths = [(await orch.queues.stats(q)).depth for q in ("line", "out")]
        assert depths == [0, 0]
        return found, orch


@pytest.mark.parametrize("kind", ["blocking", "non_blocking"])
@pytest.mark.parametrize("prefetch", [1, 16])
@live
async def test_everything_arrives_once_in_order_and_is_counted(redis, rows, kind, prefetch):
    many = MANY // 4
    graph = crossing("order", range(many), lambda n: -n, kind=kind, prefetch=prefetch)
    found, orch = await outcome(graph, redis)
    assert found == [-n for n in range(many)]
    assert min(rows["count"], rows["read"]) > many / 2, "they went in rows"
    for loop, nodes in (("count", ("count", "line")), ("read", ("read", "work", "out"))):
        metrics = orch.metrics()[loop]
        assert (metrics.produced, metrics.released, metrics.done) == (many, many, many)
        assert [metrics.nodes[n].calls for n in nodes] == [many] * len(nodes)
        assert (metrics.in_flight, metrics.open) == (0, 0)
        assert metrics.working + metrics.waiting + metrics.throttled <= metrics.elapsed * 1.01
    hops = orch.timeline().hops
    assert all(hop.push.iteration == hop.iteration for hop in hops)
    assert len(hops) > many / 2


@live
async def test_a_turn_takes_all_that_was_fetched(redis, rows):
    got = []
    graph = Graph("turns").add_producer("count", range(MANY)).add_queue("line")
    graph.add_queue_reader("read", queue="line", prefetch=50).add_node("work", got.append)
    async with graph.add_edge("count", "line").add_edge("read", "work").start(redis=redis) as orch:
        await orch.wait(timeout=60)
    assert got == list(range(MANY))
    assert rows["read"] / rows["turns of", "read"] > 4, rows


@pytest.mark.parametrize("watched", [False, True], ids=["unwatched", "watched"])
@live
async def test_each_message_says_where_it_comes_from(redis, rows, watched):
    graph = crossing("labels", range(MANY), lambda n: n)
    if watched:
        graph.use(Observer())
    async with graph.start(redis=redis) as orch:
        await orch.wait(timeout=60)
        found = await messages(orch, "out")
    assert rows["read"] > MANY / 2
    for n, message in enumerate(found):
        assert "-" in message.meta.pop("message_id")
        assert message.meta == {
            "loop": "read", "node": "out", "iteration": n, "visit": 0, "attempt": 1,
            "deliveries": 1, "hops": 1,
        }  # fmt: skip


@pytest.mark.parametrize("hops", ["many", None, 1.5, [1]])
@live
async def test_what_a_stranger_says_of_its_message_stops_nobody(hops):
    graph = crossing("strange", [1], lambda n: -n)
    async with graph.start() as orch:
        await orch.queues.push("line", 2, meta={"hops": hops, "loop": 7})
        await orch.wait(timeout=60)
        assert sorted(await popped(orch, "out")) == [-2, -1]


@live
async def test_a_row_that_fails_fails_alone(redis, rows):
    def work(n):
        if n % 100 == 99:
            raise ValueError(n)
        return n

    graph = crossing("failing", range(MANY), work).set_loop("read", on_error="dead_letter")
    async with graph.start(redis=redis) as orch:
        await orch.wait(timeout=60)
        assert await popped(orch, "out") == [n for n in range(MANY) if n % 100 != 99]
        letters = await orch.queues.dead("read", count=MANY)
        assert [letter["item"] for letter in letters] == [n for n in range(MANY) if n % 100 == 99]
        metrics = orch.metrics()["read"]
        assert (metrics.done, metrics.failed) == (MANY - MANY // 100, MANY // 100)
        assert metrics.nodes["work"].calls == MANY
        assert (await orch.queues.stats("line")).depth == 0
    assert rows["read"] > MANY / 2


@live
async def test_what_is_not_json_fails_its_own_item(redis):
    items = [n if n % 100 else {n} for n in range(MANY)]
    found, orch = await outcome(crossing("json", items, lambda n: n), redis)
    assert found == [n for n in range(MANY) if n % 100]
    assert orch.metrics()["count"].failed == MANY // 100
    assert "set is not JSON" in str(orch.failures()[-1].error)


@live
async def test_a_payload_is_pushed_as_it_was_when_its_node_ran(redis):
    def same_dict():
        item = {}
        for n in range(MANY):
            item["n"] = n
            yield item

    found, _ = await outcome(crossing("changing", same_dict(), lambda item: item["n"]), redis)
    assert found == list(range(MANY))


@live
async def test_none_is_a_message_like_any_other(redis):
    seen = []
    graph = Graph("none").add_queue_reader("read", queue="line", external=True)
    graph.add_node("see", seen.append).add_edge("read", "see")
    async with graph.start(redis=redis) as orch:
        for n in range(60):
            await orch.queues.push("line", None if n % 2 else n)
        await until(lambda: orch.metrics()["read"].done == 60)
        while (await orch.queues.stats("line")).depth:  # noqa: ASYNC110 - acks are on their way
            await asyncio.sleep(0.005)
    assert seen == [None if n % 2 else n for n in range(60)]


@live
async def test_a_pause_stops_a_loop_at_full_speed_and_it_goes_on(redis):
    seen = []
    graph = crossing("pause", None, seen.append)
    async with graph.start(redis=redis) as orch:
        await until(lambda: len(seen) > 200)
        await orch.pause()
        assert {s.state for s in orch.status().loops} == {"paused"}
        before = len(seen)
        await asyncio.sleep(0.05)
        assert len(seen) == before
        await orch.resume()
        await until(lambda: len(seen) > before + 200)
    assert seen == list(range(len(seen)))


@pytest.fixture
def durable():
    """A real server of one test, with an append-only file."""
    with RestartableServer() as server:
        yield server


@pytest.mark.redis
@live
async def test_a_server_that_is_killed_at_full_speed_loses_nothing(durable):
    seen = []
    graph = crossing("killed", range(5 * MANY), seen.append).remove_node("out")
    orch = graph.start(redis=durable.url)
    for n in range(1, 4):
        await until(lambda n=n: len(seen) > n * MANY, "something seen", 30)
        durable.kill()
        await asyncio.sleep(0.1)
        durable.start()
    status = await orch.wait(timeout=60)
    assert {s.state for s in status.loops} == {"completed"}
    assert orch.metrics()["count"].done == 5 * MANY
    await orch.stop()
    assert set(seen) == set(range(5 * MANY))
    assert len(seen) - 5 * MANY <= 3 * 100, "at most what was on its way comes twice"


@pytest.mark.redis
@live
async def test_while_the_server_hangs_pushes_are_in_flight_and_a_stop_ends_in_time(durable):
    seen = []
    orch = crossing("hangs", None, seen.append).remove_node("out").start(redis=durable.url)
    await until(lambda: len(seen) > 200, "something seen")
    durable.signal(signal.SIGSTOP)
    await until(lambda: orch.metrics()["count"].open >= 64, "throttled")
    assert orch.metrics()["count"].in_flight == 64
    durable.signal(signal.SIGCONT)
    before = len(seen)
    await until(lambda: len(seen) > before + 200, "goes on")
    durable.signal(signal.SIGSTOP)
    await asyncio.sleep(0.1)
    with Stopwatch() as watch:
        await orch.stop(grace=0.5)
    assert watch.seconds < 15, "a hung server is given up after 5 s"
    durable.signal(signal.SIGCONT)
    assert seen == list(range(len(seen)))
    metrics = orch.metrics()["count"]
    assert metrics.produced == metrics.done + metrics.failed + metrics.cancelled
