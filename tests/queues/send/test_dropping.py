"""Is what a full queue drops counted exactly, whatever its server goes through meanwhile?"""

from __future__ import annotations

import asyncio
import itertools

import pytest

from flownb.queues import QueueSpec, open_server
from tests.support.queues import manager, said
from tests.support.servers import RestartableServer

NEWS = {"mode": "broadcast", "readers": ("a", "b")}


def small(when_full, **more):
    return QueueSpec("q", maxlen=20, when_full=when_full, **more)


@pytest.mark.parametrize("options", [{}, NEWS, {"mode": "broadcast"}, {"key": "shared"}])
@pytest.mark.parametrize("when_full", ["drop_newest", "drop_oldest"])
def test_what_a_full_queue_drops_is_counted_and_the_count_stays(server, when_full, options):
    spec = small(when_full, **options)

    async def scenario():
        async with manager(server, spec) as first, manager(server, spec) as second:
            pushes = [queues.push("q", n) for queues in (first, second) for n in range(50)]
            ids = await asyncio.gather(*pushes)
            before = await second.stats("q")
            if when_full == "drop_newest":
                assert (ids.count(""), before.depth, before.dropped) == (80, 20, 80)
            elif spec.mode == "competing":  # who makes room beside others may make too much
                assert before.dropped == 100 - before.depth
                assert before.depth <= 20
            else:  # two that drop at one moment may count the same messages, and leave too many
                await second.push("q", 100)
                before = await second.stats("q")
                assert before.dropped >= 101 - before.depth
                assert before.depth <= 20
        async with manager(server, spec) as after:
            assert await after.stats("q") == before
            assert len(await said(after, "HGETALL", counts(after))) == 2  # no mark is left

    asyncio.run(scenario())


def counts(queues):
    from flownb.queues.redis.streams import drops

    return drops(queues._keys.of(queues._specs["q"]))


def test_what_a_transactional_loop_has_dropped_is_counted(server):
    async def scenario():
        async with manager(server, QueueSpec("in"), small("drop_newest")) as queues:
            for n in range(30):
                await queues.push("in", n)
            for item in await queues.read("in", reader="move", count=30, timeout=0):
                held = [queues.hold_back("q", item.payload)]
                assert await queues.settle(item, held, reader="move")
            stats = await queues.stats("q")
            assert (stats.depth, stats.dropped) == (20, 10)

    asyncio.run(scenario())


@pytest.fixture(params=["valkey-server", "redis-server"])
def durable(request):
    """A server that keeps what it acknowledged."""
    with RestartableServer(program=request.param) as found:
        yield found


class Traffic:
    """Pushes numbers to a full queue, several at once, and reads some, until told to stop."""

    def __init__(self, queues):
        self.queues, self.over = queues, False
        self.numbers, self.ids, self.read = itertools.count(), {}, {}

    async def pushing(self):
        while not self.over:
            number = next(self.numbers)
            self.ids[number] = await self.queues.push("q", number)

    async def reading(self):
        while not self.over:
            for message in await self.queues.read("q", reader="r", count=5, timeout=0.05):
                self.read[message.id] = message.payload
                await self.queues.ack("q", [message.id], reader="r")
            await asyncio.sleep(0.01)  # the pushes are faster

    async def through(self, restarts, durable):
        """All of it, while the server is killed again and again."""
        work = [asyncio.create_task(self.pushing()) for _ in range(30)]
        work.append(asyncio.create_task(self.reading()))
        for _ in range(restarts):
            await asyncio.sleep(0.3)
            durable.kill()
            await asyncio.sleep(0.05)
            await asyncio.to_thread(durable.start)
        await asyncio.sleep(0.3)
        self.over = True
        await asyncio.gather(*work)

    async def left(self):
        """What is in the queue at the end."""
        found = {}
        while messages := await self.queues.read("q", reader="r", count=100, timeout=0.2):
            found |= {message.id: message.payload for message in messages}
        return found


@pytest.mark.redis
@pytest.mark.wallclock
@pytest.mark.timeout(300)
@pytest.mark.parametrize("restarts", [3, pytest.param(40, marks=pytest.mark.nightly)])
def test_while_its_server_restarts_each_message_that_is_dropped_counts_once(durable, restarts):
    async def scenario(when_full):
        async with manager(open_server(durable.url), small(when_full), patient=True) as queues:
            traffic = Traffic(queues)
            await traffic.through(restarts, durable)
            stats = await queues.stats("q")
            got = traffic.read | await traffic.left()
            return traffic, stats, got

    traffic, stats, got = asyncio.run(scenario("drop_newest"))
    kept = {number for number, entry_id in traffic.ids.items() if entry_id}
    assert stats.dropped == len(traffic.ids) - len(kept) > 0
    assert stats.pushed == len(kept)
    assert sorted(got.values()) == sorted(kept)

    durable.kill()
    durable.forget()
    durable.start()
    traffic, stats, got = asyncio.run(scenario("drop_oldest"))
    assert stats.pushed >= len(traffic.ids)  # what was sent again is there twice
    assert stats.pushed == len(got) + stats.dropped
    assert stats.dropped > 0
    print(f"{restarts} restarts: {len(traffic.ids)} pushes, {stats.dropped} of {stats.pushed} gone")
