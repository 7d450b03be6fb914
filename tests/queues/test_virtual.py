"""Do queues work where time jumps, and are they the same in every run?"""

from __future__ import annotations

import asyncio
import selectors

import pytest

from flownb.errors import QueueError
from flownb.queues import QueueSpec, open_server
from tests.support.queues import manager


class Deadlock(Exception):
    """Nothing can ever happen again."""


class Jumping(selectors.SelectSelector):
    loop = None

    def select(self, timeout=None):
        events = super().select(0)
        if events or (timeout is not None and timeout <= 0):
            return events
        if timeout is None:
            raise Deadlock(f"nothing can ever happen again at t={self.loop.time():g}")
        self.loop.now = max(self.loop.now, self.loop._scheduled[0]._when)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Jumps to the next timer; a command that waits for real input would deadlock it."""

    def __init__(self):
        self.now = 0.0
        selector = Jumping()
        super().__init__(selector)
        selector.loop = self
        self._clock_resolution = 1e-9

    def time(self):
        return self.now

    def call_at(self, when, callback, *args, context=None):
        return super().call_at(round(when, 9), callback, *args, context=context)


class VirtualClock:
    virtual = True

    def __init__(self, loop):
        self.time = loop.time
        self.sleep = asyncio.sleep


def simulate(scenario):
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(scenario(VirtualClock(runner.get_loop())))


def test_message_ids_come_from_the_virtual_clock_and_rise_within_one_instant():
    async def scenario(clock):
        server = open_server()
        async with (
            manager(server, clock=clock) as queues,
            manager(server, clock=clock, consumer="other") as other,
        ):
            ids = [await queues.push("q", 0), await other.push("q", 1)]
            await asyncio.sleep(0.57)
            ids += [await queues.push("q", 2), await other.push("q", 3)]
            await asyncio.sleep(3600)
            ids += await asyncio.gather(*(queues.push("q", n) for n in range(3)))
            letter = await queues.dead_letter(None, loop="days", record={})
            return ids, letter

    ids, letter = simulate(scenario)
    assert ids[:4] == ["0-1", "0-2", "570-0", "570-1"]
    assert ids[4:] == ["3600570-0", "3600570-1", "3600570-2"]
    assert letter == "3600570-0"


def test_a_reader_waits_on_the_virtual_clock_and_commands_take_no_time():
    async def scenario(clock):
        seen = []

        async def read(queues):
            while len(seen) < 3:
                message = await queues.pop("q")
                seen.append((clock.time(), message.payload))
                await queues.ack("q", [message.id])

        async with manager(open_server(), clock=clock) as queues:
            reading = asyncio.create_task(read(queues))
            for n in range(3):
                await asyncio.sleep(1000)
                await queues.push("q", n)
            await reading
            assert await queues.pop("q", timeout=5) is None
            return seen, clock.time()

    assert simulate(scenario) == ([(1000.0, 0), (2000.0, 1), (3000.0, 2)], 3005.0)


def test_a_full_queue_holds_its_pusher_back_on_the_virtual_clock():
    async def scenario(clock):
        sent = []

        async def push(queues):
            for n in range(5):
                await queues.push("q", n)
                sent.append(clock.time())

        async with manager(open_server(), QueueSpec("q", maxlen=2), clock=clock) as queues:
            pushing = asyncio.create_task(push(queues))
            for _ in range(5):
                await asyncio.sleep(10)
                message = await queues.pop("q")
                await queues.ack("q", [message.id])
            await pushing
            return sent

    assert simulate(scenario) == [0.0, 0.0, 10.0, 20.0, 30.0]


def test_waiting_for_what_never_comes_is_seen_as_a_deadlock():
    async def scenario(clock):
        queues = manager(open_server(), clock=clock)
        await queues.pop("q")

    loop = VirtualLoop()
    task = loop.create_task(scenario(VirtualClock(loop)))
    with pytest.raises(Deadlock):
        loop.run_until_complete(task)
    loop.now = 0
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
    loop.close()


@pytest.mark.redis
def test_a_real_server_is_refused_in_virtual_time(real_server_url):
    async def scenario(clock):
        queues = manager(open_server(real_server_url), clock=clock)
        with pytest.raises(QueueError, match="cannot follow virtual time: omit redis="):
            await queues.push("q", 1)
        await queues.aclose()

    simulate(scenario)
