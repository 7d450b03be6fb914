"""Which faults of fakeredis 2.40 do we work around, and are they still there?

A fault that is no longer there is a skip that says so: then see whether the way around
it in `flownb.queues` can go, once no release with the fault is allowed any more. The last
two prove that the ways around work.
"""

from __future__ import annotations

import asyncio
import inspect

import pytest

from flownb.queues import notify, open_server
from flownb.queues.receive import inbox, reader
from flownb.queues.redis import streams
from flownb.queues.send import bounded
from flownb.queues.servers import fake
from tests.support.machine import fault_of
from tests.support.queues import manager


def with_fake(scenario):
    from fakeredis import FakeAsyncRedis, FakeServer

    async def main():
        client = FakeAsyncRedis(server=FakeServer())
        await client.xgroup_create("s", "g", id="0", mkstream=True)
        try:
            await scenario(client)
        finally:
            await client.aclose()

    with fault_of("fakeredis"):
        asyncio.run(main())


@pytest.mark.wallclock
def test_fault_a_blocking_read_without_count_swallows_what_is_there():
    async def scenario(client):
        await client.xadd("s", {"data": "1"})
        assert not await client.xreadgroup("g", "me", {"s": ">"}, block=20)
        assert (await client.xpending("s", "g"))["pending"] == 1

    with_fake(scenario)


@pytest.mark.wallclock
def test_fault_a_blocking_read_with_count_of_an_empty_stream_does_not_wait():
    async def scenario(client):
        async with asyncio.timeout(1):
            assert not await client.xreadgroup("g", "me", {"s": ">"}, count=5, block=60_000)

    with_fake(scenario)


@pytest.mark.wallclock
def test_fault_a_cancelled_blocking_read_eats_the_next_message():
    async def scenario(client):
        reader = asyncio.create_task(client.xreadgroup("g", "gone", {"s": ">"}, block=60_000))
        await asyncio.sleep(0.02)
        reader.cancel()
        await asyncio.wait({reader})
        await client.xadd("s", {"data": "1"})
        await asyncio.sleep(0.02)
        assert not await client.xreadgroup("g", "me", {"s": ">"}, count=1)
        assert (await client.xpending("s", "g"))["pending"] == 1

    with_fake(scenario)


def test_fault_a_group_of_a_stream_that_is_gone_is_not_called_nogroup():
    async def scenario(client):
        from redis.exceptions import ResponseError

        await client.flushall()
        with pytest.raises(ResponseError) as refused:
            await client.xreadgroup("g", "me", {"s": ">"}, count=1)
        assert "NOGROUP" not in str(refused.value)
        assert streams.group_is_gone(refused.value)

    with_fake(scenario)


def test_we_never_send_a_blocking_read_to_fakeredis(monkeypatch):
    asked = []
    exchange = fake._FakeWire.exchange

    async def spying(self, commands, **options):
        asked.extend(commands)
        return await exchange(self, commands, **options)

    async def scenario():
        monkeypatch.setattr(fake._FakeWire, "exchange", spying)
        async with manager(open_server()) as queues:
            waiting = asyncio.create_task(queues.pop("q", timeout=60))
            await asyncio.sleep(0)
            await queues.push("q", 1)
            assert (await waiting).payload == 1

    asyncio.run(scenario())
    reads = [command for command in asked if command[0] == "XREADGROUP"]
    assert reads
    assert not any("BLOCK" in command for command in reads)


@pytest.mark.parametrize("module", [notify, bounded, inbox, reader, streams])
def test_neither_lua_nor_info_nor_pickle_is_used(module):
    source = inspect.getsource(module)
    for word in ("eval(", "register_script", ".info(", "pickle"):
        assert word not in source
