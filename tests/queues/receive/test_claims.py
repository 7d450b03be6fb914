"""What becomes of the messages of a reader that died, hangs, or dies of them?"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest

from flownb import liveness
from flownb.queues import open_server
from flownb.queues.receive.claims import lease_time
from flownb.queues.redis.streams import entries_from
from flownb.queues.spec import Lease
from tests.support.queues import NEWS, drain, key_of, manager, said
from tests.support.standstill import undisturbed


def test_the_process_of_a_dead_consumer_is_known_to_be_gone():
    code = "from flownb import liveness as lives; print(lives.begin('it')); input()"
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    name = child.stdout.readline().strip()
    assert not liveness.is_dead(name)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert liveness.is_dead(name), "a process that nobody has waited for is dead, too"
    child.communicate()
    assert liveness.is_dead(name)


@pytest.mark.parametrize(
    "name",
    ["", "~dropper", "me/rank", "x@y-z", "it@000000000000-1-1-1", "it@{machine}-{pid}-{began}"],
)
def test_of_a_name_that_says_nothing_of_use_nobody_is_declared_dead(name):
    mine = liveness.begin("mine")
    machine, pid, began, _ = mine.rpartition("@")[2].split("-")
    assert not liveness.is_dead(name.format(machine=machine, pid=pid, began=began))
    liveness.end(mine)


def test_a_number_that_another_process_has_got_since_is_another_process():
    mine = liveness.begin("mine")
    machine, pid, began, number = mine.rpartition("@")[2].split("-")
    assert liveness.is_dead(f"mine@{machine}-{pid}-{int(began) - 1}-{number}")
    liveness.end(mine)


def test_what_a_closed_reader_held_goes_to_the_next_at_once_one_at_a_time(server):
    async def scenario():
        async with manager(server, consumer="other") as other:
            waiting = asyncio.create_task(
                other.read("q", reader="rank", count=9, timeout=None, lease=Lease(careful=True))
            )
            async with manager(server) as queues:
                await asyncio.sleep(0)
                ids = [await queues.push("q", n) for n in range(3)]
                got = await asyncio.wait_for(waiting, 30)
                await other.ack("q", [message.id for message in got], reader="rank")
                rest = len(ids) - len(got)
                if rest:
                    await queues.read("q", reader="rank", count=9, timeout=0)
                mine = [await queues.push("q", n) for n in "ab"]
                held = await queues.read("q", reader="rank", count=9, timeout=0)
                assert [message.id for message in held] == mine
            seen = []
            while len(seen) < rest + 2:
                lease = Lease(careful=True)
                found = await other.read("q", reader="rank", count=9, timeout=30, lease=lease)
                assert len(found) == 1
                seen.append((found[0].payload, found[0].deliveries))
                assert await other.read("q", reader="rank", count=9, timeout=0) == []
                await other.ack("q", [found[0].id], reader="rank")
            assert seen[-2:] == [("a", 2), ("b", 2)]
            assert (await other.stats("q")).depth == 0

    asyncio.run(scenario())


def test_a_message_of_which_its_readers_die_ends_as_a_dead_letter(server):
    async def scenario():
        lease = Lease(max_deliveries=3)
        async with manager(server) as queues:
            await queues.push("q", {"poison": True})
            await queues.push("q", "neighbour")
        for deliveries in (1, 2, 3):
            async with manager(server) as queues:
                message = await queues.pop("q", 30, reader="rank", lease=lease)
                assert (message.payload, message.deliveries) == ({"poison": True}, deliveries)
        async with manager(server) as queues:
            message = await queues.pop("q", 30, reader="rank", lease=lease)
            assert message.payload == "neighbour"
            (letter,) = await queues.dead("rank")
            assert letter["item"] == {"poison": True}
            assert letter["attempts"] == 3
            assert "delivered 3 times and never settled" in letter["error"]
            assert (letter["queue"], letter["loop"]) == ("q", "rank")

    asyncio.run(scenario())


def test_a_dead_name_is_removed_when_it_holds_nothing(server):
    async def scenario():
        for _ in range(3):
            async with manager(server) as queues:
                await queues.push("q", 1)
                await queues.read("q", reader="rank", count=1, timeout=0)
        async with manager(server) as last:
            assert len(await said(last, "XINFO", "CONSUMERS", key_of(last, "q"), "q")) >= 1
            assert await drain(last, "q", "rank") == [1] * 3
            rescue = last._streams["q", "rank"]._claims
            for _ in range(2):
                assert await rescue.orphans(Lease()) == []
            names = await said(last, "XINFO", "CONSUMERS", key_of(last, "q"), "q")
            assert [row[1].decode() for row in names] == [rescue._me]

    asyncio.run(scenario())


@pytest.mark.redis
def test_who_leaves_lets_go_also_for_readers_that_do_not_know_it(real_server_url, monkeypatch):
    """A loop that is stopped in a process that goes on lives, as seen from any other one."""
    monkeypatch.setattr("flownb.queues.receive.claims.is_dead", lambda name: False)

    async def scenario():
        async with manager(real_server_url) as queues:
            await said(queues, "FLUSHALL")
            for n in range(3):
                await queues.push("q", n)
            assert len(await queues.read("q", reader="rank", count=9, timeout=30)) == 3
        async with manager(real_server_url) as other:
            left = [await other.pop("q", 30, reader="rank") for _ in range(3)]
            assert [(message.payload, message.deliveries) for message in left] == [
                (0, 2), (1, 2), (2, 2),
            ]  # fmt: skip

    asyncio.run(scenario())


@pytest.mark.redis
@pytest.mark.wallclock
def test_who_works_keeps_its_lease_and_who_is_silent_loses_it(real_server_url, monkeypatch):
    """Of another machine nobody knows who is dead: there only the lease counts."""
    monkeypatch.setattr("flownb.queues.receive.claims.is_dead", lambda name: False)
    lease = Lease(visibility_timeout=1.5)

    async def scenario():
        async with manager(real_server_url) as queues, manager(real_server_url) as other:
            await said(queues, "FLUSHALL")
            await queues.push("q", "long")
            message = await queues.pop("q", 30, reader="rank", lease=lease)
            # It works for longer than its lease, and renews it meanwhile.
            assert await other.pop("q", 3, reader="rank", lease=lease) is None
            assert await queues.settle(message, [], reader="rank")

            await queues.push("q", "hung")
            message = await queues.pop("q", 30, reader="rank", lease=lease)
            queues._lease_renewal._task.cancel()
            taken = await other.pop("q", 30, reader="rank", lease=lease)
            assert (taken.payload, taken.deliveries) == ("hung", 2)
            push = queues.hold("q", "twice")
            assert not await queues.settle(message, [push], reader="rank")
            assert (await other.stats("q")).depth == 1
            await other.ack("q", [taken.id], reader="rank")

    undisturbed(scenario)


def test_what_is_settled_while_we_ask_what_is_ours_is_not_read_again(server, monkeypatch):
    async def scenario():
        async with manager(server, NEWS) as queues:
            await queues.push("news", "once")
            message = await queues.pop("news", 30, reader="a")
            stream = queues._streams["news", "a"]
            mine = stream._claims.pending_of_me

            async def slowly():
                rows = await mine()
                await queues.ack("news", [message.id], reader="a")
                return rows

            monkeypatch.setattr(stream._claims, "pending_of_me", slowly)
            assert await stream._lost_replies() == []
            assert not stream.hand

    asyncio.run(scenario())


@pytest.mark.redis
def test_who_has_slept_with_its_machine_asks_whether_its_message_went_to_another(
    real_server_url, monkeypatch
):
    monkeypatch.setattr("flownb.queues.receive.claims.is_dead", lambda name: False)
    asleep = 0.0
    monkeypatch.setattr("flownb.queues.receive.reader.lease_time", lambda: lease_time() + asleep)

    async def scenario():
        nonlocal asleep
        async with manager(real_server_url) as queues, manager(real_server_url) as other:
            await said(queues, "FLUSHALL")
            await queues.push("q", "slept")
            message = await queues.pop("q", 30, reader="rank")
            queues._lease_renewal._task.cancel()
            await said(other, "XCLAIM", key_of(other, "q"), "q", "elsewhere", 0, message.id)
            asleep = 3600.0
            push = queues.hold("q", "twice")
            assert not await queues.settle(message, [push], reader="rank")

    asyncio.run(scenario())


@pytest.mark.redis
@pytest.mark.wallclock
def test_a_server_that_forgets_all_ends_no_renewals(real_server_url, monkeypatch):
    monkeypatch.setattr("flownb.queues.receive.claims.is_dead", lambda name: False)
    lease = Lease(visibility_timeout=1.5)

    async def scenario():
        async with manager(real_server_url) as queues, manager(real_server_url) as other:
            await said(queues, "FLUSHALL")
            await queues.push("q", "forgotten")
            assert await queues.pop("q", 30, reader="rank", lease=lease)
            await said(queues, "FLUSHALL")
            await asyncio.sleep(1)  # a renewal falls into this time
            await queues.push("q", "long")
            assert (await queues.pop("q", 30, reader="rank", lease=lease)).payload == "long"
            assert await other.pop("q", 3, reader="rank", lease=lease) is None

    undisturbed(scenario)


def test_of_two_that_claim_at_once_one_gets_the_message(server):
    async def scenario():
        async with manager(server) as queues:
            for n in range(20):
                await queues.push("q", n)
            await queues.read("q", reader="rank", count=20, timeout=0)
        others = [manager(server) for _ in range(4)]

        async def take(queues):
            seen = []
            while message := await queues.pop("q", 0, reader="rank"):
                seen.append(message.payload)
            return seen

        seen = await asyncio.gather(*map(take, others))
        more = await asyncio.gather(*map(take, others))
        found = [n for mine in (*seen, *more) for n in mine]
        assert sorted(found) == list(range(20))
        for queues in others:
            await queues.aclose()

    asyncio.run(scenario())


def test_a_broadcast_reader_takes_over_for_its_own_loop_only(server):
    async def scenario():
        async with manager(server, NEWS) as queues:
            await queues.push("news", 1)
            await queues.read("news", reader="a", count=1, timeout=0)
        async with manager(server, NEWS) as queues:
            message = await queues.pop("news", 30, reader="b")
            assert (message.payload, message.deliveries) == (1, 1)
            message = await queues.pop("news", 30, reader="a")
            assert (message.payload, message.deliveries) == (1, 2)

    asyncio.run(scenario())


@pytest.mark.redis
@pytest.mark.wallclock
def test_a_stranger_in_our_group_may_have_any_name(real_server_url):
    """Its bytes are no text: they end no reader, and what it held is taken over."""

    async def scenario():
        async with manager(open_server(real_server_url)) as queues:
            await queues.push("q", 1)
            key, name = key_of(queues, "q"), b"\xff\xfe".decode(errors="surrogateescape")
            await said(queues, "XREADGROUP", "GROUP", "q", name, "STREAMS", key, ">")
            await said(queues, "XGROUP", "CREATE", key, name, "0")
            await queues.push("q", 2)
            lease = Lease(visibility_timeout=0.2)
            found = [(await queues.pop("q", 30, lease=lease)).payload for _ in range(2)]
            assert sorted(found) == [1, 2]
            assert (await queues.stats("q")).depth == 2
            await said(queues, "FLUSHALL")

    asyncio.run(scenario())


def test_of_a_claimed_entry_that_is_gone_redis_6_2_says_nothing():
    assert list(entries_from([[None, None], [b"1-1", [b"data", b"1"]]])) == [
        ("1-1", {b"data": b"1"})
    ]


@pytest.mark.redis
@pytest.mark.wallclock
def test_an_entry_that_was_deleted_and_not_acked_yet_is_acked_by_the_next_reader(
    real_server_url,
):
    """All that is left where the way to the server broke between the two."""

    async def scenario():
        async with manager(open_server(real_server_url), patient=True) as queues:
            await queues.push("q", 1)
            (message,) = await queues.read("q", reader="a", count=1, timeout=0)
            await said(queues, "XDEL", key_of(queues, "q"), message.id)
        async with manager(open_server(real_server_url), patient=True) as queues:
            await queues.push("q", 2)
            assert await drain(queues, "q", "a") == [2]
            stats = await queues.stats("q")
            assert (stats.depth, stats.pending) == (0, 0)

    asyncio.run(scenario())
