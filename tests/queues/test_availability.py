"""Do patient managers wait while the server is away, and lose nothing?"""

from __future__ import annotations

import asyncio
import re
import signal
import time
from contextlib import asynccontextmanager

import pytest

from flownb.errors import QueueError, QueueUnavailable
from flownb.queues import QueueSpec, open_server
from tests.support.queues import Q, drain, key_of, manager, said
from tests.support.servers import RestartableServer
from tests.support.standstill import Stopwatch

pytestmark = [pytest.mark.redis, pytest.mark.wallclock]


@pytest.fixture
def durable():
    """A real server of one test, with an append-only file: it can be killed and restarted."""
    with RestartableServer() as server:
        yield server


@asynccontextmanager
async def patient(server, *specs, **more):
    told = []
    async with manager(open_server(server.url), *specs, patient=True, **more) as queues:
        queues.on_absence(told.append)
        yield queues, told


def test_whoever_is_in_the_middle_of_something_waits_and_goes_on(durable):
    async def scenario():
        async with patient(durable, Q, QueueSpec("r", maxlen=5)) as (queues, told):
            await queues.push("q", "before")
            await queues.push("r", "before")
            waiting = asyncio.create_task(queues.read("q", reader="a", count=9, timeout=None))
            (first,) = await waiting
            waiting = asyncio.create_task(queues.read("q", reader="a", count=9, timeout=None))
            await asyncio.sleep(0.05)
            durable.kill()
            calls = [
                asyncio.create_task(work)
                for work in (
                    queues.push("q", "during"),
                    queues.push("r", "during"),
                    queues.ack("q", [first.id], reader="a"),
                    queues.stats("r"),
                    queues.dead("a"),
                )
            ]
            await asyncio.sleep(0.3)
            assert not any(call.done() for call in calls)
            assert re.match(r"redis is away since \d s \(unix://", queues.away)
            durable.start()
            with Stopwatch() as back:
                await asyncio.gather(*calls)
                (message,) = await waiting
            assert back.seconds < 2
            assert (message.payload, queues.away) == ("during", "")
            assert (await queues.stats("q")).depth == 1
            assert told == [durable.url, ""]

    asyncio.run(scenario())


def test_a_server_that_hangs_for_a_while_is_waited_for(durable):
    async def scenario():
        async with patient(durable) as (queues, _):
            pushes = [asyncio.create_task(queues.push("q", n)) for n in range(50)]
            await asyncio.sleep(0)
            durable.signal(signal.SIGSTOP)
            pushes += [asyncio.create_task(queues.push("q", n)) for n in range(50, 100)]
            await asyncio.sleep(0.5)
            durable.signal(signal.SIGCONT)
            await asyncio.gather(*pushes)
            assert await drain(queues, "q", "a") == list(range(100))

    asyncio.run(scenario())


def test_a_waiting_reader_of_a_server_that_is_away_costs_next_to_nothing(durable):
    async def scenario():
        async with patient(durable) as (queues, _):
            await queues.push("q", 1)
            await drain(queues, "q", "a")
            readers = [asyncio.create_task(queues.pop("q", reader=f"r{n}")) for n in range(3)]
            await asyncio.sleep(0.1)
            durable.kill()
            await asyncio.sleep(0.5)
            began, used = time.monotonic(), time.process_time()
            await asyncio.sleep(2)
            share = (time.process_time() - used) / (time.monotonic() - began)
            durable.start()
            for n in range(3):
                await queues.push("q", n)
            await asyncio.gather(*readers)
            return share

    assert asyncio.run(scenario()) < 0.05


def test_closing_while_the_server_is_away_ends_everybody_at_once(durable):
    async def scenario():
        async with patient(durable) as (queues, _):
            await queues.push("q", 1)
            durable.kill()
            calls = [asyncio.create_task(queues.push("q", 2)), asyncio.create_task(queues.pop("q"))]
            await asyncio.sleep(0.2)
            closing = Stopwatch().start()
        closing.stop()
        assert closing.seconds < 1
        for call in calls:
            with pytest.raises(QueueError, match="closed here"):
                await call

    asyncio.run(scenario())


def test_closing_while_the_server_hangs_takes_a_moment_and_loses_nothing(durable):
    """Each of our last words would wait for as long as an answer may take, five seconds."""

    async def scenario():
        async with patient(durable, Q, QueueSpec("r")) as (queues, _):
            await queues.push("q", 1)
            await queues.push("r", 2)
            (mine,) = await queues.read("q", reader="a", count=1, timeout=None)
            await queues.read("r", reader="b", count=1, timeout=None)
            durable.signal(signal.SIGSTOP)
            calls = [
                asyncio.create_task(queues.ack("q", [mine.id], reader="a")),
                asyncio.create_task(queues.push("q", 3)),
            ]
            await asyncio.sleep(0.2)
            closing = Stopwatch().start()
        closing.stop()
        durable.signal(signal.SIGCONT)
        for call in calls:
            with pytest.raises(QueueError, match="closed here"):
                await call
        assert closing.seconds < 8, "before it was ten, and more with each reader"
        async with patient(durable, Q, QueueSpec("r")) as (queues, _):
            assert (await drain(queues, "r", "b")) == [2]

    asyncio.run(scenario())


def test_by_hand_nobody_waits_for_a_server_that_is_away(durable):
    async def scenario():
        async with manager(open_server(durable.url)) as queues:
            await queues.push("q", 1)
            durable.kill()
            with pytest.raises(QueueUnavailable, match="queue 'q': no usable Redis at unix://"):
                await queues.push("q", 2)
            durable.start()
            await queues.push("q", 3)
            assert await drain(queues, "q", "a") == [1, 3]

    asyncio.run(scenario())


def test_what_a_lost_answer_had_delivered_is_delivered_after_all(durable):
    """The server hands out messages, and dies before it has said so."""

    async def scenario():
        async with patient(durable) as (queues, _):
            await queues.push("q", 0)
            assert await drain(queues, "q", "a") == [0]
            waiting = asyncio.create_task(queues.read("q", reader="a", count=9, timeout=None))
            await asyncio.sleep(0.05)
            stream = queues._streams["q", "a"]
            async with manager(open_server(durable.url), consumer="other") as other:
                # What the answer to a read of ours would have been, had it come.
                await other.push("q", 1)
                reads = (
                    "XREADGROUP",
                    "GROUP",
                    "q",
                    stream.name,
                    "STREAMS",
                    key_of(other, "q"),
                    ">",
                )
                await said(other, *reads)
            durable.kill()
            durable.start()
            (message,) = await asyncio.wait_for(waiting, 30)
            assert (message.payload, message.deliveries) == (1, 1)

    asyncio.run(scenario())


def test_a_flushed_server_gets_its_groups_again_also_by_who_only_pushes(durable):
    async def scenario():
        news = QueueSpec("news", mode="broadcast", readers=("a", "b"))
        async with patient(durable, news) as (queues, _):
            await queues.push("news", 1)
            durable.kill()
            durable.forget()
            durable.start()
            await queues.push("news", 2)
            assert [g.group for g in (await queues.stats("news")).groups] == ["a", "b"]
            for reader in ("a", "b"):
                assert await drain(queues, "news", reader) == [2]

    asyncio.run(scenario())
