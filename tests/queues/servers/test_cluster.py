"""Does everything a queue can do work on a Redis Cluster, and is each key asked where it is?"""

from __future__ import annotations

import asyncio

import pytest

from flownb import Graph
from flownb.errors import GraphError
from flownb.queues import QueueSpec, open_server
from tests.support.queues import NEWS, Q, drain, manager
from tests.support.servers import LoopbackCluster

pytestmark = [pytest.mark.redis, pytest.mark.wallclock]
SPECS = (
    Q, NEWS, QueueSpec("two", maxlen=2), QueueSpec("newest", maxlen=2, when_full="drop_newest"),
    QueueSpec("oldest", maxlen=2, when_full="drop_oldest"), QueueSpec("ours", key="shared by all"),
)  # fmt: skip


@pytest.fixture(scope="module", params=[1, 3], ids=["one node", "three nodes"])
def cluster(request):
    with LoopbackCluster(request.param) as cluster:
        yield cluster


@pytest.mark.parametrize("graph", ["g", "shop:eu", "{odd}"])
def test_queues_do_on_a_cluster_what_they_do_elsewhere(cluster, graph):
    async def scenario():
        server = open_server(cluster.url)
        async with manager(server, *SPECS, graph=graph, patient=True) as queues:
            names = ("q", "news", "ours")
            await asyncio.gather(*(queues.push(n, i) for i in range(30) for n in names))
            for name in ("newest", "oldest"):
                for n in range(4):
                    await queues.push(name, n)
            one, two, three = await queues.read("q", reader="a", count=3, timeout=0)
            held = [queues.hold_back("two", "moved"), queues.hold_back("newest", "dropped")]
            assert await queues.settle(one, held, reader="a")
            await queues.dead_letter(two, loop="a", record={"item": 1}, reader="a")
            letters = await queues.dead("a")
            assert await letters.replay() == 1
            await queues.ack("q", [three.id], reader="a")
            assert await drain(queues, "news", "a") == await drain(queues, "news", "b")
            assert await drain(queues, "two", "a") == ["moved"]
            assert await drain(queues, "newest", "a") == [0, 1]
            assert await drain(queues, "oldest", "a") == [2, 3]
            assert await drain(queues, "ours", "a") == list(range(30))
            assert (await queues.stats("news")).depth == 0
            assert await drain(queues, "q", "a") == [*range(3, 30), 1]

    asyncio.run(scenario())


def test_what_a_closed_reader_held_is_taken_over(cluster):
    async def scenario():
        server = open_server(cluster.url)
        async with manager(server, graph="over") as queues:
            await queues.push("q", 1)
            await queues.pop("q", reader="a")
        async with manager(server, graph="over") as queues:
            message = await queues.pop("q", 30, reader="a")
            assert (message.payload, message.deliveries) == (1, 2)
            await queues.ack("q", [message.id], reader="a")

    asyncio.run(scenario())


def moving(**reader):
    graph = Graph("moving").add_queue_reader("r", queue="in", external=True, **reader)
    graph.add_node("n").add_queue("out", external=True).add_edge("r", "n", "out")
    return graph.set_loop("r", transactional=True)


def test_a_transaction_across_slots_is_refused_at_the_start(cluster):
    with pytest.raises(GraphError, match=r"loop 'r'.*one slot.*key="):
        moving(key="elsewhere").start(redis=cluster.url)


def test_one_within_a_slot_runs(cluster):
    async def scenario():
        orch = moving(key="{moving}:in").start(redis=cluster.url)
        await orch.queues.push("in", 7)
        await orch.wait(iterations=1, loop="r", timeout=20)
        message = await orch.queues.pop("out", timeout=20)
        await orch.stop()
        assert message.payload == 7

    asyncio.run(scenario())
