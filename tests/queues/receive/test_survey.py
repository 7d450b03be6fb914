"""Is it said what a start finds on its server, and what a stop leaves behind?"""

from __future__ import annotations

import asyncio
from dataclasses import replace

import fakeredis
import pytest

from flownb import Graph
from flownb.errors import QueueError, UnknownName
from tests.support.queues import NEWS, manager, said


def news(reader, items=range(3)):
    graph = Graph("told").add_producer("p", items).add_queue("news", mode="broadcast")
    graph.add_edge("p", "news").add_queue_reader(reader, queue="news").add_node("n")
    return graph.add_edge(reader, "n")


async def until(is_so):
    """Wait until something that is awaited is true."""
    async with asyncio.timeout(60):
        while not await is_so():  # noqa: ASYNC110 - a server notifies nobody here
            await asyncio.sleep(0.01)


async def is_empty(queues, name):
    """Whether nothing is left in a queue."""
    return not (await queues.stats(name)).depth


async def tells(orch, text):
    """Whether a log line holds that."""
    return any(text in line for line in lines(orch))


def lines(orch):
    return [line.text for line in orch.logs()]


def test_the_backlog_of_a_queue_in_the_kernel_is_told_at_stop_and_at_the_next_start():
    def build(items):
        graph = Graph("b").add_producer("P", items).add_queue("q").add_edge("P", "q")
        graph.add_queue("never", external=True).add_edge("P", "never")
        return graph.add_queue_reader("R", queue="q").add_node("n").add_edge("R", "n")

    async def scenario():
        orch = build(range(5)).start()
        await orch.wait(timeout=30)
        await orch.stop()
        left = "queue 'never': 5 messages are left in this kernel"
        assert any(text.startswith(left) for text in lines(orch))
        again = build([]).start()
        await again.wait(timeout=30)
        dropped = "queue 'never': 5 messages are dropped with the generation before"
        assert dropped in lines(again)

    asyncio.run(scenario())


def test_a_start_tells_what_waits_on_its_server_and_a_reader_that_is_gone():
    client = fakeredis.FakeRedis()
    client.xadd("flownb:told:news", {"data": "1"})

    async def scenario():
        await news("first").start(redis=client).wait(timeout=30)
        orch = news("second", items=lambda: None).start(redis=client)
        await asyncio.sleep(0)
        await orch.queues.push("news", 4)
        await orch.stop()
        orch = news("third", items=lambda: None).start(redis=client)
        told = lines(orch)
        assert any("the key 'flownb:told:news' is of an older flownb" in text for text in told)
        gone = "queue 'news', reader 'first': 1 message is kept for it, and nobody reads"
        assert any(text.startswith(gone) for text in told)
        with pytest.raises(QueueError, match="nobody reads it as 'typo'; there are 'first'"):
            await orch.queues.forget("news", "typo")
        await orch.queues.forget("news", "first")
        await orch.queues.forget("news", "second")
        await orch.wait(iterations=1, loop="third", timeout=30)
        await until(lambda: is_empty(orch.queues, "news"))
        with pytest.raises(QueueError, match="'third' reads it: stop that loop"):
            await orch.queues.forget("news", "third")
        await orch.stop()

    asyncio.run(scenario())


def test_forgetting_a_reader_gives_up_what_only_it_had_to_read(server):
    async def scenario():
        async with manager(server, replace(NEWS, readers=("a", "gone"))) as queues:
            for n in range(6):
                await queues.push("news", n)
        async with manager(server, replace(NEWS, readers=("a",))) as queues:
            some = await queues.read("news", reader="a", count=4, timeout=0)
            await queues.ack("news", [m.id for m in some[1:]], reader="a")
            assert (await queues.stats("news")).depth == 6
            assert await queues.forget("news", "gone") == 3
            stats = await queues.stats("news")
            assert (stats.depth, stats.pending) == (3, 1)
            with pytest.raises(QueueError, match="'a' reads it"):
                await queues.forget("news", "a")
        async with manager(server) as queues:
            with pytest.raises(QueueError, match="share one backlog"):
                await queues.forget("q", "a")

    asyncio.run(scenario())


def test_peek_shows_the_oldest_messages_and_takes_none(server):
    async def scenario():
        async with manager(server) as queues:
            for n in range(4):
                await queues.push("q", n)
            await queues.pop("q")
            seen = await queues.peek("q", 2)
            assert [(m.payload, m.deliveries) for m in seen] == [(0, 1), (1, 0)]
            stats = await queues.stats("q")
            assert (stats.depth, stats.pending) == (4, 1)

    asyncio.run(scenario())


def test_dead_letters_of_a_loop_that_is_not_there_are_refused_by_name():
    async def scenario():
        orch = news("first").start()
        with pytest.raises(UnknownName, match="'typo'"):
            await orch.queues.dead("typo")
        await orch.stop()

    asyncio.run(scenario())


def test_what_is_popped_by_hand_comes_once_also_after_the_run():
    async def scenario():
        graph = Graph("hand").add_producer("P", range(3)).add_queue("box", external=True)
        orch = graph.add_edge("P", "box").start()
        await orch.wait(timeout=30)
        assert [(await orch.queues.pop("box", timeout=1)).payload for _ in range(3)] == [0, 1, 2]
        assert await orch.queues.pop("box", timeout=0) is None

    asyncio.run(scenario())


def test_an_unlinked_queue_declares_an_inbox():
    graph = Graph("inbox").add_queue_reader("R", queue="in").add_node("n", keep=9)
    graph.add_edge("R", "n")
    assert "add_queue('in')" in str(graph.validate()[0])
    assert graph.add_queue("in").validate() == ()

    async def scenario():
        orch = graph.start()
        await orch.queues.push("in", 7)
        await orch.wait(iterations=1, loop="R", timeout=30)
        await orch.stop()
        assert orch.outputs("n") == [7]

    asyncio.run(scenario())


@pytest.mark.redis
@pytest.mark.wallclock
def test_a_stop_leaves_no_name_behind_and_a_flush_is_told(real_server_url):
    async def scenario():
        graph = Graph("names").add_producer("p", every=0.02).add_queue("q").add_edge("p", "q")
        graph.add_queue_reader("r", queue="q").add_node("n").add_edge("r", "n")
        orch = graph.start(redis=real_server_url)
        await orch.wait(iterations=3, loop="r", timeout=30)
        async with manager(real_server_url, graph="names") as queues:
            await said(queues, "FLUSHALL")
            await until(lambda: tells(orch, "queue 'q' is gone"))
            orch.pause("p")
            await until(lambda: is_empty(queues, "q"))
            await orch.stop()
            assert await said(queues, "XINFO", "CONSUMERS", "flownb:{names}:q", "q") == []

    asyncio.run(asyncio.wait_for(scenario(), 60))


@pytest.mark.redis
@pytest.mark.wallclock
def test_graphs_that_give_one_key_share_it_and_names_with_signs_never_meet(real_server_url):
    async def scenario():
        writer = (
            Graph("shop").add_producer("p", range(3)).add_queue("o", key="orders", external=True)
        )
        writer.add_edge("p", "o")
        reader = Graph("shop:eu").add_queue_reader("r", queue="orders", key="orders", external=True)
        reader.add_node("n", keep=9).add_edge("r", "n")
        one, two = reader.start(redis=real_server_url), writer.start(redis=real_server_url)
        await one.wait(iterations=3, loop="r", timeout=30)
        assert one.outputs("n") == [0, 1, 2]
        await asyncio.gather(one.stop(), two.stop())
        async with (
            manager(real_server_url, graph="shop") as a, manager(real_server_url, graph="a:q") as b
        ):  # fmt: skip
            await a.push("q", 1)
            assert (await b.stats("q")).depth == 0

    asyncio.run(scenario())


def test_a_key_that_others_read_in_the_other_mode_is_told():
    client = fakeredis.FakeRedis()

    def reading(name, mode):
        graph = Graph(name).add_queue("rain", key="rain", mode=mode, external=True)
        return graph.add_queue_reader("r", queue="rain").add_node("n").add_edge("r", "n")

    async def scenario():
        graphs = reading("a", "broadcast"), reading("b", "competing"), reading("c", "broadcast")
        orchs = []
        for graph in graphs:
            orchs.append(graph.start(redis=client))
            await until(lambda: has_groups(orchs))
        told = [[line for line in lines(orch) if "the same mode=" in line] for orch in orchs]
        assert told[0] == []
        assert told[1][0].startswith(
            "queue 'rain', key 'rain': it is competing here, and read as broadcast elsewhere"
        )
        assert told[2][0].startswith(
            "queue 'rain', key 'rain': it is broadcast here, and read as competing elsewhere"
        )
        for orch in orchs:
            await orch.stop()

    async def has_groups(orchs):
        return client.exists("rain") and sum(map(readers, client.xinfo_groups("rain"))) == len(
            orchs
        )

    def readers(group):
        return group["consumers"]

    asyncio.run(scenario())
