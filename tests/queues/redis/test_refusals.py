"""What if the server is there and takes no writes? Nobody gives up, and acks go through."""

from __future__ import annotations

import asyncio
import shutil
import time
from contextlib import contextmanager

import pytest
from redis.exceptions import OutOfMemoryError

from flownb.errors import QueueUnavailable
from flownb.queues import QueueSpec, open_server
from flownb.queues.redis.refusals import refuses_for_now
from flownb.queues.servers.wire import Wire
from tests.support.live import until
from tests.support.queues import Q, drain, manager, said
from tests.support.servers import RestartableServer

pytestmark = [pytest.mark.redis, pytest.mark.wallclock]

SPECS = (Q, QueueSpec("small", maxlen=5), QueueSpec("last", maxlen=2, when_full="drop_oldest"))


@contextmanager
def told(client, begin, end):
    """Give the server an order, and another one at the end."""
    client.execute_command(*begin.split(" ", 3))
    try:
        yield
    finally:
        client.execute_command(*end.split(" ", 3))


def full(client, _):
    return told(client, "CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0")


def replica(client, _):
    return told(client, "REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE")


def alone(client, _):
    least = "CONFIG SET min-replicas-to-write"
    return told(client, f"{least} 1", f"{least} 0")


@contextmanager
def bad_disk(client, folder):
    """Where its file has to be there is a folder, not an empty one."""
    (folder / "dump.rdb" / "x").mkdir(parents=True)
    with told(client, "CONFIG SET save 3600 1", "CONFIG SET save "):
        client.bgsave()
        while client.info("persistence")["rdb_last_bgsave_status"] != "err":
            time.sleep(0.001)
        try:
            yield
        finally:
            shutil.rmtree(folder / "dump.rdb")
            client.save()
            (folder / "dump.rdb").unlink()


@contextmanager
def busy(client, _):
    """It runs a script without an end."""
    script = client.connection_pool.make_connection()
    with told(client, "CONFIG SET busy-reply-threshold 1", "PING"):
        script.send_command("EVAL", "while true do end", "0")
        try:
            yield
        finally:
            client.script_kill()
            assert script.can_read(10)  # it ends at its next step
            script.disconnect()


WORDS = {
    full: "'maxmemory'",
    replica: "read only replica",
    alone: "NOREPLICAS",
    bad_disk: "MISCONF",
    busy: "SCRIPT KILL",
}


@pytest.fixture(scope="module")
def real():
    """A server of this module, whose settings are changed."""
    with RestartableServer(durable=False) as server:
        yield server


@pytest.fixture
def suffer(real):
    """Gives the server a trouble, for the time of a `with`."""
    from redis import Redis

    with Redis(unix_socket_path=str(real.socket)) as client:
        yield lambda trouble: trouble(client, real.folder)
        client.flushall()


@pytest.mark.parametrize("trouble", [full, replica, alone])
def test_what_is_refused_at_its_exec_is_sent_again(real, suffer, trouble):
    async def scenario():
        wire = Wire({"path": str(real.socket)})
        await wire.exchange([("MULTI",), ("XADD", "q", "*", "a", "b")])
        with suffer(trouble):
            (reply,) = await wire.exchange([("EXEC",)])
        await wire.aclose()
        return reply

    assert refuses_for_now(asyncio.run(scenario()))


async def away(queues):
    """What is said of the server, once something is."""
    await until(lambda: "says" in queues.away, "words of the server", 30)
    return queues.away


@pytest.mark.parametrize("trouble", WORDS)
def test_what_is_refused_for_now_is_done_later_and_everybody_is_told(real, suffer, trouble):
    async def scenario():
        async with manager(open_server(real.url), *SPECS, patient=True) as queues:
            queues.on_absence((told := []).append)
            with suffer(trouble):
                pushes = [queues.push(spec.name, n) for n in range(3) for spec in SPECS]
                pushes.append(queues.dead_letter(None, loop="a", record={"item": 1}))
                pushes = [asyncio.create_task(push) for push in pushes]
                assert WORDS[trouble] in await away(queues)
                assert not any(push.done() for push in pushes)
            await asyncio.gather(*pushes)
            assert [where.partition(",")[0] for where in told] == [real.url, ""]
            assert await drain(queues, "q", "a") == [0, 1, 2]
            assert await drain(queues, "small", "a") == [0, 1, 2]
            assert await drain(queues, "last", "a") == [1, 2]
            assert [letter["item"] for letter in await queues.dead("a")] == [1]

    asyncio.run(scenario())


def test_acks_pass_by_pushes_that_a_full_server_refuses(real, suffer):
    """They give it its memory back: behind the pushes they would wait for ever."""

    async def scenario():
        async with manager(open_server(real.url), patient=True) as queues:
            ids = [await queues.push("q", n) for n in range(3)]
            await queues.read("q", reader="a", count=3, timeout=0)
            with suffer(full):
                pushes = [asyncio.create_task(queues.push("q", n)) for n in range(150)]
                await away(queues)
                await asyncio.wait_for(queues.ack("q", ids, reader="a"), 30)
                assert (await queues.stats("q")).depth == 0
                assert not any(push.done() for push in pushes)
            await asyncio.gather(*pushes)
            assert sorted(await drain(queues, "q", "a", count=200)) == list(range(150))

    asyncio.run(scenario())


def test_acks_and_looks_need_no_multi_which_a_full_redis_refuses(real, suffer, monkeypatch):
    """Whatever is in it; Valkey takes one in which nothing needs memory."""
    exchange = Wire.exchange

    async def refusing(self, commands, **options):
        replies = await exchange(self, commands, **options)
        if ("MULTI",) in commands:
            replies[-1] = OutOfMemoryError("command not allowed when used memory > 'maxmemory'.")
        return replies

    async def scenario():
        async with manager(open_server(real.url), patient=True) as queues:
            for n in range(4):
                await queues.push("q", n)
            first, second, third = await queues.read("q", reader="a", count=3, timeout=0)
            with suffer(full):
                monkeypatch.setattr(Wire, "exchange", refusing)
                await said(queues, "CONFIG", "RESETSTAT")
                await queues.ack("q", [first.id], reader="a")
                assert await queues.settle(second, [], reader="a")
                heard = asyncio.get_running_loop().create_future()
                queues.posts.ack("q", [third.id], "a", heard.set_result)
                assert await heard is None
                assert b"cmdstat_multi" not in await said(queues, "INFO", "commandstats")
                stats = await queues.stats("q")
                assert (stats.depth, stats.lag, stats.pending) == (1, 1, 0)

    asyncio.run(scenario())


@pytest.mark.parametrize("trouble", WORDS)
def test_pushes_and_the_ack_of_one_item_wait_together(real, suffer, trouble):
    async def scenario():
        specs = (QueueSpec("in"), QueueSpec("out"), QueueSpec("few", maxlen=9))
        async with manager(open_server(real.url), *specs, patient=True) as queues:
            for out in ("out", "few"):
                await queues.push("in", 1)
                (message,) = await queues.read("in", reader="a", count=1, timeout=0)
                with suffer(trouble):
                    pushes = [queues.hold_back(out, n) for n in range(3)]
                    settling = asyncio.create_task(queues.settle(message, pushes, reader="a"))
                    assert WORDS[trouble] in await away(queues)
                    assert not settling.done()
                assert await settling
                assert (await queues.stats("in")).depth == 0
                assert await drain(queues, out, "b") == [0, 1, 2]

    asyncio.run(scenario())


def test_a_turn_of_the_fast_lane_repeats_only_what_was_refused(real, suffer):
    async def scenario():
        async with manager(open_server(real.url), patient=True) as queues:
            await queues.push("q", "first")
            await drain(queues, "q", "a")
            heard = asyncio.get_running_loop().create_future()
            with suffer(full):
                queues.posts.push_all([queues.hold("q", n) for n in range(5)], heard.set_result)
                await away(queues)
            assert await heard == [None] * 5
            assert await drain(queues, "q", "a") == [0, 1, 2, 3, 4]

    asyncio.run(scenario())


def test_closing_ends_what_waits_and_by_hand_nobody_waits(real, suffer):
    async def scenario():
        with suffer(full):
            async with manager(open_server(real.url), *SPECS, patient=True) as queues:
                pushes = [asyncio.create_task(queues.push(spec.name, 1)) for spec in SPECS]
                await away(queues)
            for result in await asyncio.gather(*pushes, return_exceptions=True):
                assert "closed" in str(result)
            async with manager(open_server(real.url), *SPECS) as queues:
                for spec in SPECS:
                    with pytest.raises(QueueUnavailable, match=r"no writes just now: .*maxmemory"):
                        await queues.push(spec.name, 1)

    asyncio.run(scenario())
