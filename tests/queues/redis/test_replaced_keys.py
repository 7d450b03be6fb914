"""What if a stranger puts something else under the key of a queue? Nothing is lost by it."""

from __future__ import annotations

import asyncio
import re

import fakeredis
import pytest
from redis import Redis

from flownb.errors import QueueError
from flownb.queues import QueueSpec, open_server
from flownb.queues.send.transaction import _Choice
from tests.support.queues import drain, manager

IN, OUT, OTHER = QueueSpec("in"), QueueSpec("out"), QueueSpec("other")
SMALL = QueueSpec("out", maxlen=2)
NEWS = QueueSpec("in", mode="broadcast", readers=("a",))
KEY, DEAD = "flownb:{g}:out", "flownb:{g}:a~dead"


@pytest.fixture(params=["fake", pytest.param("server", marks=pytest.mark.redis)])
def stranger(request):
    """Somebody with a client of his own, and no idea of us."""
    if request.param == "fake":
        yield fakeredis.FakeStrictRedis(server=fakeredis.FakeServer())
        return
    with Redis.from_url(request.getfixturevalue("real_server_url")) as client:
        client.flushall()
        yield client


def a_string(stranger, key):
    stranger.set(key, "x")


def a_list(stranger, key):
    stranger.delete(key)
    stranger.lpush(key, "x")


async def taken(queues, payload, queue="in"):
    await queues.push(queue, payload)
    (message,) = await queues.read(queue, reader="a", count=1, timeout=0)
    return message


def refused(key):
    return pytest.raises(QueueError, match=f"loop 'a': the key '{re.escape(key)}'.*orch.start")


@pytest.mark.parametrize("inputs", [IN, NEWS], ids=["competing", "broadcast"])
@pytest.mark.parametrize("out", [OUT, SMALL], ids=["open", "bounded"])
@pytest.mark.parametrize("replace", [a_string, a_list])
def test_what_cannot_be_pushed_is_not_acked(stranger, replace, out, inputs):
    async def scenario():
        async with manager(open_server(stranger), inputs, out, OTHER) as queues:
            await queues.push("out", 0)
            bad, good = await taken(queues, 1), await taken(queues, 2)
            pushes = [queues.hold_back("out", n) for n in range(2)]
            pushes.append(queues.hold_back("other", 1))
            replace(stranger, KEY)
            settling = queues.settle(bad, pushes, reader="a")
            fine = queues.settle(good, [queues.hold_back("other", 2)], reader="a")
            error, mine = await asyncio.gather(settling, fine, return_exceptions=True)
            assert mine is True
            with refused(KEY):
                raise error
            assert [g.pending for g in (await queues.stats("in")).groups] == [1]
            assert await drain(queues, "other", "b") == [2]
            stranger.delete(KEY)
            assert await queues.settle(bad, pushes, reader="a")
            assert (await queues.stats("in")).depth == 0
            assert await drain(queues, "out", "b") == [0, 1]
            assert await drain(queues, "other", "b") == [1]

    asyncio.run(scenario())


@pytest.mark.parametrize("out", [OUT, SMALL], ids=["open", "bounded"])
def test_what_is_replaced_between_the_look_and_the_push_is_seen_too(stranger, out, monkeypatch):
    looks = []

    def choose(self, said):
        looks.append(said)
        jobs = original(self, said)
        if len(looks) == 1:
            a_string(stranger, KEY)
        return jobs

    original = _Choice.choose
    monkeypatch.setattr(_Choice, "choose", choose)

    async def scenario():
        async with manager(open_server(stranger), IN, out) as queues:
            message = await taken(queues, 1)
            with refused(KEY):
                await queues.settle(message, [queues.hold_back("out", 1)], reader="a")
            assert len(looks) == 2
            assert (await queues.stats("in")).pending == 1

    asyncio.run(scenario())


def test_a_dead_letter_that_cannot_be_written_keeps_its_message(stranger):
    async def scenario():
        async with manager(open_server(stranger), IN) as queues:
            message = await taken(queues, 1)
            a_string(stranger, DEAD)
            with refused(DEAD):
                await queues.dead_letter(message, loop="a", record={"item": 1}, reader="a")
            assert (await queues.stats("in")).pending == 1
            stranger.xadd("flownb:{g}:in", {"garbage": "x"})
            with refused(DEAD):
                await queues.read("in", reader="a", count=1, timeout=0)
            assert (await queues.stats("in")).pending == 2
            stranger.delete(DEAD)
            assert await queues.dead_letter(message, loop="a", record={"item": 1}, reader="a")
            assert (await queues.stats("in")).pending == 1

    asyncio.run(scenario())


@pytest.mark.parametrize("inputs", [IN, QueueSpec("in", maxlen=2)], ids=["open", "bounded"])
def test_a_letter_whose_queue_was_replaced_stays_a_letter(stranger, inputs):
    async def scenario():
        async with manager(open_server(stranger), inputs) as queues:
            message = await taken(queues, 1)
            await queues.dead_letter(message, loop="a", record={"item": 1}, reader="a")
            letters = await queues.dead("a")
            a_list(stranger, "flownb:{g}:in")
            with refused("flownb:{g}:in"):
                await letters.replay()
            assert len(await queues.dead("a")) == 1
            stranger.delete("flownb:{g}:in")
            assert await letters.replay() == 1
            assert await drain(queues, "in", "a") == [1]

    asyncio.run(scenario())
