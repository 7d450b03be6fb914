"""What if others push, break in or are refused while items settle together?"""

from __future__ import annotations

import asyncio

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as Broken

from flownb.errors import QueueError
from flownb.queues import QueueSpec, open_server
from flownb.queues.redis.watch import Watch
from tests.support.queues import manager, said

pytestmark = [pytest.mark.redis, pytest.mark.wallclock]
SPECS = (QueueSpec("q"), QueueSpec("out"), QueueSpec("side"), QueueSpec("shut"))


@pytest.fixture(autouse=True)
def _empty(real_server_url):
    with Redis.from_url(real_server_url) as client:
        client.flushall()


def multi(monkeypatch, before=None, after=None):
    """Have something happen around each MULTI; each is called with how many there were before."""
    send, count = Watch._multi, iter(range(1000))

    async def around(self, jobs, session):
        number = next(count)
        if before is not None:
            await before(number)
        replies = await send(self, jobs, session)
        if after is not None:
            await after(number)
        return replies

    monkeypatch.setattr(Watch, "_multi", around)
    return count


async def two_items(queues):
    for n in (1, 2):
        await queues.push("q", n)
    return await queues.read("q", reader="a", count=2, timeout=0)


def test_an_item_settles_though_others_push_to_its_target_all_the_time(
    real_server_url, monkeypatch
):
    async def scenario():
        async with manager(open_server(real_server_url), *SPECS, patient=True) as queues:
            items = await two_items(queues)
            busy = queues._keys.queue("out")

            async def others(_):
                await said(queues, "XADD", busy, "*", "data", 0)

            count = multi(monkeypatch, before=others)
            for item in items:
                held = [queues.hold_back("out", item.payload)]
                assert await asyncio.wait_for(queues.settle(item, held, reader="a"), 30)
            assert next(count) <= 8, "four tries each"
            assert (await queues.stats("q")).depth == 0

    asyncio.run(scenario())


def test_what_a_lost_answer_had_done_is_not_done_again_after_a_conflict(
    real_server_url, monkeypatch
):
    async def scenario():
        async with manager(open_server(real_server_url), *SPECS, patient=True) as queues:
            one, two = await two_items(queues)

            async def lost(number):
                if not number:
                    raise Broken("the answer was lost")

            async def conflict(number):
                if number == 1:
                    key = queues._keys.dead("a")
                    await said(queues, "XADD", key, "*", "data", "{}")

            multi(monkeypatch, before=conflict, after=lost)
            bury = queues._streams["q", "a"]._dead_letter(
                one.id, "garbage", 1, "not JSON", lossy=True
            )
            held = [queues.hold_back("out", "once")]
            assert (await asyncio.gather(bury, queues.settle(two, held, reader="a")))[1]
            assert (await queues.stats("out")).depth == 1
            assert (await queues.stats("q")).depth == 0

    asyncio.run(scenario())


def test_who_may_not_write_somewhere_fails_alone(real_server_url):
    async def scenario():
        async with manager(open_server(real_server_url), *SPECS, patient=True) as queues:
            one, two = await two_items(queues)
            keys = queues._keys
            allowed = [f"~{keys.queue(name)}*" for name in ("q", "out")]
            user = ["ACL", "SETUSER", "guest", "on", ">word", "+@all", "~*~*", *allowed]
            await said(queues, *user)
            url = real_server_url.replace("unix://", "unix://guest:word@")
            async with manager(open_server(url), *SPECS, patient=True) as guest:
                refused, went = await asyncio.gather(
                    guest._transactions.send("a", [guest.hold_back("shut", 1)], [], _always),
                    guest._transactions.send("a", [guest.hold_back("out", 2)], [], _always),
                    return_exceptions=True,
                )
            await said(queues, "ACL", "DELUSER", "guest")
            assert "permission" in str(refused)
            assert went is True
            assert (await queues.stats("out")).depth == 1
            assert {one.payload, two.payload} == {1, 2}

    asyncio.run(scenario())


async def _always():
    return True


def test_a_broadcast_queue_that_is_none_any_more_fails_no_item_of_others(real_server_url):
    async def scenario():
        news = QueueSpec("news", mode="broadcast", readers=("b",))
        async with manager(open_server(real_server_url), *SPECS, news, patient=True) as queues:
            one, two = await two_items(queues)
            await queues.push("news", "n")
            (told,) = await queues.read("news", reader="b", count=1, timeout=0)
            await said(queues, "SET", queues._keys.queue("news"), "a stranger's")
            outcomes = await asyncio.gather(
                queues.ack("news", [told.id], reader="b"),
                queues.ack("q", [one.id], reader="a"),
                queues.settle(two, [queues.hold_back("out", 2)], reader="a"),
                return_exceptions=True,
            )
            assert isinstance(outcomes[0], QueueError)
            assert outcomes[1:] == [None, True]
            assert (await queues.stats("q")).depth == 0

    asyncio.run(scenario())
