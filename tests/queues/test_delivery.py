"""Does each message reach whom it is for, and does it stay until it is settled?"""

from __future__ import annotations

import asyncio

import pytest

from flownb.errors import QueueError
from flownb.queues import GroupStats, QueueStats, connection
from flownb.queues.redis import jobs
from tests.support.queues import NEWS, Q, drain, key_of, manager, said


def test_what_is_pushed_is_popped_in_order_with_its_meta(server):
    async def scenario():
        async with manager(server) as queues:
            ids = [await queues.push("q", n, meta={"iteration": n}) for n in range(5)]
            messages = [await queues.pop("q", timeout=0) for _ in range(5)]
            assert [message.id for message in messages] == ids
            assert [message.payload for message in messages] == list(range(5))
            assert [message.meta for message in messages] == [{"iteration": n} for n in range(5)]
            assert {message.deliveries for message in messages} == {1}
            assert await queues.pop("q", timeout=0) is None

    asyncio.run(scenario())


def test_competing_readers_share_the_messages_each_goes_to_one(server):
    async def scenario():
        async with manager(server, consumer="x") as x, manager(server, consumer="y") as y:
            await asyncio.gather(*(x.push("q", n) for n in range(10)))
            got = {"x": [], "y": []}
            for _ in range(5):
                for name, queues in (("x", x), ("y", y)):
                    (message,) = await queues.read("q", reader="rank", count=1, timeout=0)
                    got[name].append(message.payload)
            assert got == {"x": [0, 2, 4, 6, 8], "y": [1, 3, 5, 7, 9]}

    asyncio.run(scenario())


def test_two_reading_loops_of_one_host_compete_without_taking_each_others_messages(server):
    async def scenario():
        async with manager(server) as queues:
            for n in range(4):
                await queues.push("q", n)
            first = await queues.read("q", reader="a", count=2, timeout=0)
            second = await queues.read("q", reader="b", count=9, timeout=0)
            assert [message.payload for message in first] == [0, 1]
            assert [message.payload for message in second] == [2, 3]

    asyncio.run(scenario())


def test_a_broadcast_message_goes_to_every_reader_also_to_one_that_starts_later(server):
    async def scenario():
        async with manager(server, NEWS) as queues:
            for n in range(3):
                await queues.push("news", n)
            assert await drain(queues, "news", "a") == [0, 1, 2]
            assert await drain(queues, "news", "b") == [0, 1, 2]

    asyncio.run(scenario())


def test_a_broadcast_entry_is_deleted_with_the_last_ack(server):
    async def scenario():
        async with manager(server, NEWS) as queues:
            first = await queues.push("news", 1)
            second = await queues.push("news", 2)
            for reader in ("a", "b"):
                await queues.read("news", reader=reader, count=9, timeout=0)
            await queues.ack("news", [first, second], reader="a")
            assert (await queues.stats("news")).depth == 2
            await queues.ack("news", [second], reader="b")
            assert (await queues.stats("news")).depth == 1
            await queues.ack("news", [first], reader="b")
            assert (await queues.stats("news")).depth == 0

    asyncio.run(scenario())


def test_of_readers_that_ack_at_once_one_deletes(server):
    async def scenario():
        async with manager(server, NEWS) as queues, manager(server, NEWS, consumer="y") as other:
            for n in range(50):
                await queues.push("news", n)
            mine = await queues.read("news", reader="a", count=50, timeout=0)
            theirs = await other.read("news", reader="b", count=50, timeout=0)
            await asyncio.gather(
                *(queues.ack("news", [message.id], reader="a") for message in mine),
                *(other.ack("news", [message.id], reader="b") for message in theirs),
            )
            assert (await queues.stats("news")).depth == 0

    asyncio.run(scenario())


def test_popping_by_hand_from_a_broadcast_queue_takes_nothing_away_and_holds_nothing_up(server):
    async def scenario():
        async with manager(server, NEWS) as queues:
            await queues.push("news", 1)
            await queues.push("news", 2)
            assert (await queues.pop("news", timeout=0)).payload == 1
            assert await drain(queues, "news", "a") == [1, 2]
            assert await drain(queues, "news", "b") == [1, 2]
            stats = await queues.stats("news")
            assert (stats.depth, stats.backlog) == (0, 0)

    asyncio.run(scenario())


def test_what_was_not_acked_comes_again_after_a_restart_first_and_counted(server):
    async def scenario():
        async with manager(server) as queues:
            for n in range(4):
                await queues.push("q", n)
            messages = await queues.read("q", reader="rank", count=3, timeout=0)
            await queues.ack("q", [messages[1].id], reader="rank")
        async with manager(server) as again:
            found = []
            for _ in range(3):
                found += await again.read("q", reader="rank", count=9, timeout=0)
            seen = [(message.payload, message.deliveries) for message in found]
            assert seen == [(0, 2), (2, 2), (3, 1)]
        async with manager(server) as third:
            found = [await third.pop("q", timeout=0, reader="rank") for _ in range(3)]
            assert [message.deliveries for message in found] == [3, 3, 2]

    asyncio.run(scenario())


def test_another_consumer_does_not_get_what_is_still_pending(server):
    async def scenario():
        async with manager(server) as queues, manager(server, consumer="other") as other:
            await queues.push("q", 1)
            await queues.read("q", reader="rank", count=1, timeout=0)
            assert await other.read("q", reader="rank", count=1, timeout=0) == []

    asyncio.run(scenario())


def test_acked_messages_leave_nothing_behind(server):
    async def scenario():
        async with manager(server) as queues:
            for _ in range(20):
                await asyncio.gather(*(queues.push("q", "x" * 100) for _ in range(50)))
                await drain(queues, "q", "rank")
            stats = await queues.stats("q")
            assert (stats.depth, stats.lag, stats.pending) == (0, 0, 0)
            assert (stats.pushed, stats.removed) == (1000, 1000)

    asyncio.run(scenario())


def test_the_figures_of_a_competing_queue_are_exact(server):
    async def scenario():
        async with manager(server) as queues:
            assert await queues.stats("q") == QueueStats("q", groups=(GroupStats("q", 0, 0),))
            for n in range(5):
                await queues.push("q", n)
            messages = await queues.read("q", reader="rank", count=3, timeout=0)
            await queues.ack("q", [messages[0].id], reader="rank")
            stats = await queues.stats("q")
            groups = (GroupStats("q", 2, 2),)
            assert stats == QueueStats("q", 4, lag=2, pending=2, groups=groups, pushed=5)
            assert (stats.backlog, stats.removed) == (4, 1)

    asyncio.run(scenario())


def test_the_figures_of_a_broadcast_queue_are_those_of_the_group_furthest_behind(server):
    async def scenario():
        async with manager(server, NEWS) as queues:
            for n in range(6):
                await queues.push("news", n)
            fast = await queues.read("news", reader="a", count=4, timeout=0)
            slow = await queues.read("news", reader="b", count=1, timeout=0)
            await queues.ack("news", [message.id for message in fast[:3]], reader="a")
            await queues.ack("news", [slow[0].id], reader="b")
            stats = await queues.stats("news")
            assert stats.groups == (GroupStats("a", 2, 1), GroupStats("b", 5, 0))
            assert (stats.depth, stats.lag, stats.pending, stats.backlog) == (5, 5, 0, 5)

    asyncio.run(scenario())


def test_clearing_says_how_many_messages_were_dropped_and_the_queue_goes_on(server):
    async def scenario():
        async with manager(server) as queues:
            for n in range(5):
                await queues.push("q", n)
            await queues.read("q", reader="rank", count=2, timeout=0)
            assert await queues.clear("q") == 5
            stats = await queues.stats("q")
            assert (stats.depth, stats.lag, stats.pending) == (0, 0, 0)
            await queues.push("q", "new")
            assert await drain(queues, "q", "rank") == ["new"]
            assert await queues.clear("q") == 0

    asyncio.run(scenario())


def test_a_dead_letter_and_the_ack_of_its_message_happen_together(server):
    async def scenario():
        async with manager(server) as queues:
            await queues.push("q", {"rain": 3})
            (message,) = await queues.read("q", reader="rank", count=1, timeout=0)
            record = {"loop": "rank", "node": "n", "item": message.payload, "error": "ValueError"}
            letter = await queues.dead_letter(message, loop="rank", record=record, reader="rank")
            assert (await queues.stats("q")).depth == 0
            where = {"queue": "q", "message_id": message.id}
            assert await queues.dead("rank") == [{"id": letter, **record, **where}]

    asyncio.run(scenario())


def test_the_item_of_a_source_loop_becomes_a_dead_letter_even_if_it_is_not_json(server):
    async def scenario():
        async with manager(server) as queues:
            for n in range(3):
                await queues.dead_letter(None, loop="days", record={"item": object, "attempts": n})
            letters = await queues.dead("days", count=2)
            assert [letter["attempts"] for letter in letters] == [1, 2]
            assert letters[0]["item"] == "<class 'object'>"

    asyncio.run(scenario())


def test_an_unknown_queue_is_refused_with_the_known_names(server):
    async def scenario():
        async with manager(server) as queues:
            with pytest.raises(QueueError, match="queue 'r': not in graph 'g', which has 'q'"):
                await queues.push("r", 1)

    asyncio.run(scenario())


def test_a_closed_manager_says_so(server):
    async def scenario():
        queues = manager(server)
        await queues.push("q", 1)
        await queues.aclose()
        await queues.aclose()
        with pytest.raises(QueueError, match="closed"):
            await queues.push("q", 1)

    asyncio.run(scenario())


def test_two_graphs_and_two_namespaces_do_not_see_each_other(server):
    async def scenario():
        async with manager(server) as queues, manager(server, namespace="other") as other:
            await queues.push("q", 1)
            assert await other.pop("q", timeout=0) is None

    asyncio.run(scenario())


def test_looking_at_a_queue_creates_nothing(server):
    async def scenario():
        async with manager(server, Q, NEWS) as queues:
            assert await queues.stats("q") == QueueStats("q", groups=(GroupStats("q", 0, 0),))
            assert [group.group for group in (await queues.stats("news")).groups] == ["a", "b"]
            assert await queues.clear("q") == 0
            assert await queues.dead("rank") == []
            assert await said(queues, "KEYS", "*") == []

    asyncio.run(scenario())


def test_what_a_host_acked_and_did_not_live_to_delete_is_deleted_at_the_next_start(server):
    async def scenario():
        async with manager(server, NEWS) as queues:
            ids = [await queues.push("news", n) for n in range(5)]
            for reader in ("a", "b"):
                await queues.read("news", reader=reader, count=4, timeout=0)
                await said(queues, "XACK", key_of(queues, "news"), reader, *ids[:3])
            assert (await queues.stats("news")).depth == 5
        async with manager(server, NEWS) as again:
            assert await drain(again, "news", "a") == [3, 4]
            stats = await again.stats("news")
            assert (stats.depth, stats.groups[1]) == (2, GroupStats("b", 1, 1))

    asyncio.run(scenario())


def test_a_loop_keeps_only_its_last_dead_letters(server, monkeypatch):
    monkeypatch.setattr(jobs, "MOST", 100)

    async def scenario():
        async with manager(server) as queues:
            for start in range(0, 500, 50):
                await asyncio.gather(
                    *(
                        queues.dead_letter(None, loop="rank", record={"item": n})
                        for n in range(start, start + 50)
                    )
                )
            kept = [letter["item"] for letter in await queues.dead("rank", count=1000)]
            assert 100 <= len(kept) <= 300, "about: Redis drops a block of them at a time"
            assert kept == list(range(500 - len(kept), 500))

    asyncio.run(scenario())


def test_what_all_have_acked_is_deleted_also_if_the_connection_breaks_just_then(
    server, monkeypatch
):
    async def breaks_once(client, jobs):
        broken.append(monkeypatch.undo())
        raise ConnectionError

    async def scenario():
        async with manager(server, NEWS, patient=True) as queues:
            await queues.push("news", 1)
            for reader in ("a", "b"):
                (message,) = await queues.read("news", reader=reader, count=1, timeout=0)
                if reader == "b":
                    monkeypatch.setattr(connection, "sweep", breaks_once)
                await queues.ack("news", [message.id], reader=reader)
            assert broken
            assert (await queues.stats("news")).depth == 0

    broken = []
    asyncio.run(scenario())
