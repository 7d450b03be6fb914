"""Does a waiting reader get what comes, from wherever, and lose nothing when it gives up?"""

from __future__ import annotations

import asyncio
import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from redis import Redis

from flownb.errors import QueueError
from flownb.queues import QueueSpec, open_server
from flownb.queues.servers.fake import LoopbackServer
from tests.support.queues import drain, manager, said, turns
from tests.support.standstill import Stopwatch


def in_threads(*scenarios):
    """Run each coroutine function on an event loop in a thread of its own."""
    with ThreadPoolExecutor(len(scenarios)) as pool:
        for done in [pool.submit(lambda run=run: asyncio.run(run())) for run in scenarios]:
            done.result(50)


def test_a_waiting_reader_is_woken_by_a_push(server):
    async def scenario():
        async with manager(server) as queues:
            waiting = asyncio.create_task(queues.pop("q"))
            await asyncio.sleep(0)
            await queues.push("q", 1)
            assert (await waiting).payload == 1

    asyncio.run(scenario())


@pytest.mark.wallclock
def test_a_timeout_of_nothing_is_none(server):
    async def scenario():
        async with manager(server) as queues:
            assert await queues.pop("q", timeout=0.01) is None

    asyncio.run(scenario())


def test_a_waiting_reader_neither_polls_nor_sets_a_timer():
    async def scenario():
        async with manager(open_server()) as queues:
            waiting = asyncio.create_task(queues.pop("q"))
            await turns(100)
            loop = asyncio.get_running_loop()
            assert not waiting.done()
            assert not loop._scheduled
            assert not loop._ready
            await queues.push("q", 1)
            await waiting

    asyncio.run(scenario())


def test_a_reader_is_woken_by_a_push_from_another_thread():
    server = open_server()
    waits = threading.Event()

    async def read():
        async with manager(server) as queues:
            waiting = asyncio.create_task(queues.pop("q"))
            await turns(50)
            waits.set()
            assert (await waiting).payload == "hello"

    async def push():
        await asyncio.to_thread(waits.wait, 10)
        async with manager(server, consumer="other") as queues:
            await queues.push("q", "hello")

    in_threads(read, push)


def test_no_reader_sleeps_while_there_are_messages(server):
    async def scenario():
        async with manager(server) as queues, manager(server, consumer="y") as other:
            readers = [asyncio.create_task(queues.pop("q")) for _ in range(5)]
            readers += [asyncio.create_task(other.pop("q")) for _ in range(5)]
            await asyncio.sleep(0)
            await asyncio.gather(*(queues.push("q", n) for n in range(10)))
            messages = await asyncio.wait_for(asyncio.gather(*readers), 30)
            assert sorted(message.payload for message in messages) == list(range(10))

    asyncio.run(scenario())


def test_two_threads_exchange_messages_by_the_thousand_and_lose_none(server):
    """Ping and pong: each side pushes a thousand and reads the other's; fewer where it is slow."""
    many = 250 if isinstance(server, LoopbackServer) else 1000
    specs = (QueueSpec("ping"), QueueSpec("pong"))
    got = {"ping": [], "pong": []}

    def side(reads, writes):
        async def collect(queues):
            while len(got[reads]) < many:
                messages = await queues.read(reads, reader=f"r-{reads}", count=16, timeout=None)
                got[reads] += [message.payload for message in messages]
                ids = [message.id for message in messages]
                await queues.ack(reads, ids, reader=f"r-{reads}")

        async def produce(queues):
            for n in range(many):
                await queues.push(writes, n)

        async def scenario():
            async with manager(server, *specs, consumer=reads) as queues:
                await asyncio.gather(collect(queues), produce(queues))

        return scenario

    in_threads(side("ping", "pong"), side("pong", "ping"))
    assert got == {"ping": list(range(many)), "pong": list(range(many))}


def test_a_read_cancelled_at_any_moment_loses_nothing(server):
    rng = random.Random(7)
    got, sent = [], 0

    async def scenario():
        nonlocal sent
        async with manager(server) as queues:
            for _ in range(50 if isinstance(server, LoopbackServer) else 200):
                reader = asyncio.create_task(
                    queues.read("q", reader="rank", count=rng.randint(1, 3), timeout=None)
                )
                await turns(rng.randint(0, 12))
                pushes = [queues.push("q", sent + n) for n in range(rng.randint(0, 3))]
                sent += len(pushes)
                pushing = asyncio.gather(*pushes)
                await turns(rng.randint(0, 12))
                reader.cancel()
                await pushing
                try:
                    messages = await reader
                except asyncio.CancelledError:
                    continue
                got.extend(message.payload for message in messages)
                assert {message.deliveries for message in messages} <= {1}
            got.extend(await drain(queues, "q", "rank"))

    asyncio.run(scenario())
    assert got == list(range(sent))


@pytest.mark.redis
@pytest.mark.wallclock
def test_closing_does_not_wait_for_a_read_that_is_blocked_at_the_server(real_server_url):
    async def scenario():
        async with manager(open_server(real_server_url)) as queues:
            reader = asyncio.create_task(queues.pop("q"))
            await asyncio.sleep(0.05)
            reader.cancel()
            closing = Stopwatch().start()
        closing.stop()
        assert closing.seconds < 0.3

    asyncio.run(scenario())


@pytest.mark.redis
@pytest.mark.wallclock
@pytest.mark.parametrize("allowed", [True, False], ids=["cut short", "where that is forbidden"])
def test_a_read_that_does_not_wait_ends_one_that_is_blocked_at_the_server(real_server_url, allowed):
    rounds = 10 if allowed else 1

    async def scenario():
        async with manager(open_server(real_server_url)) as queues:
            for _ in range(rounds):
                waiting = asyncio.create_task(queues.pop("q"))
                await asyncio.sleep(0.02)
                assert await queues.pop("q", timeout=0) is None
                assert not waiting.done()
                await queues.push("q", 1)
                await queues.ack("q", [(await waiting).id])

    with Redis.from_url(real_server_url) as client:
        client.execute_command("ACL SETUSER", "default", "+@all" if allowed else "-client|unblock")
        with Stopwatch() as watch:
            asyncio.run(scenario())
        client.execute_command("ACL SETUSER", "default", "+@all")
    assert not allowed or watch.seconds < rounds * 0.25  # a wait lasts 0.5 s


def test_after_a_flush_the_groups_are_made_again_and_reading_goes_on(server):
    async def scenario():
        async with manager(server) as queues, manager(server, consumer="y") as other:
            await queues.push("q", 1)
            assert await drain(queues, "q", "rank") == [1]
            waiting = asyncio.create_task(queues.read("q", reader="rank", count=9, timeout=None))
            await asyncio.sleep(0)
            await said(other, "FLUSHALL")
            await other.push("q", 2)
            messages = await asyncio.wait_for(waiting, 30)
            assert [message.payload for message in messages] == [2]
            await queues.ack("q", [messages[0].id], reader="rank")
            stats = await other.stats("q")
            assert (stats.depth, stats.lag, stats.pending) == (0, 0, 0)

    asyncio.run(scenario())


def test_pushed_after_a_flush_and_before_any_read_counts_as_not_yet_delivered(server):
    async def scenario():
        async with manager(server) as queues:
            await queues.push("q", 1)
            await said(queues, "FLUSHALL")
            assert (await queues.stats("q")).depth == 0
            await queues.push("q", 2)
            stats = await queues.stats("q")
            assert (stats.depth, stats.lag) == (1, 1)
            assert await drain(queues, "q", "rank") == [2]

    asyncio.run(scenario())


def test_a_manager_is_for_one_event_loop():
    queues = manager(open_server())

    async def push():
        await queues.push("q", 1)

    async def close():
        await queues.aclose()

    asyncio.run(push())
    with pytest.raises(QueueError, match="belongs to another event loop"):
        asyncio.run(push())
    asyncio.run(close())


def test_closing_fails_the_reads_that_wait(server):
    async def scenario():
        async with manager(server) as queues:
            waiting = [asyncio.create_task(queues.pop("q")) for _ in range(3)]
            await turns(100)
        for reader in waiting:
            with pytest.raises(QueueError, match="closed here"):
                await reader

    asyncio.run(scenario())
