"""What does a push to a full queue do, and what does it never do?"""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace

import pytest

from flownb.errors import QueueError
from flownb.queues import QueueSpec, open_server
from flownb.queues.notify import Backoff
from tests.support.queues import drain, manager, said, turns


def full(when_full, maxlen=3, **more):
    return QueueSpec("q", maxlen=maxlen, when_full=when_full, **more)


async def push_many(queues, count):
    return [await queues.push("q", n) for n in range(count)]


def test_a_push_to_a_full_queue_waits_until_something_was_acked(server):
    async def scenario():
        async with manager(server, full("block")) as queues:
            await push_many(queues, 3)
            late = asyncio.create_task(queues.push("q", "late"))
            (message,) = await queues.read("q", reader="rank", count=1, timeout=0)
            await turns(50)
            assert not late.done()
            await queues.ack("q", [message.id], reader="rank")
            assert await asyncio.wait_for(late, 30)
            assert await drain(queues, "q", "rank") == [1, 2, "late"]

    asyncio.run(scenario())


def test_blocked_pushes_go_in_order_as_room_comes_and_never_overfill(server):
    async def scenario():
        async with manager(server, full("block")) as queues, manager(server, consumer="y") as other:
            pushing = asyncio.gather(*(queues.push("q", n) for n in range(50)))
            got = []
            while len(got) < 50:
                messages = await other.read("q", reader="rank", count=2, timeout=None)
                assert (await other.stats("q")).depth <= 3
                got += [message.payload for message in messages]
                await other.ack("q", [message.id for message in messages], reader="rank")
            assert got == list(range(50))
            await pushing

    asyncio.run(scenario())


def test_a_blocked_push_that_is_cancelled_is_never_sent_and_holds_up_nobody(server):
    async def scenario():
        specs = (full("block", maxlen=1), QueueSpec("free"))
        async with manager(server, *specs) as queues:
            await queues.push("q", 0)
            late = asyncio.create_task(queues.push("q", "never"))
            await turns(20)
            await queues.push("free", 1)
            late.cancel()
            await asyncio.wait({late})
            assert await drain(queues, "q", "rank") == [0]
            await queues.push("q", "next")
            assert await drain(queues, "q", "rank") == ["next"]

    asyncio.run(scenario())


def test_two_hosts_that_push_at_once_do_not_overfill_a_queue(server):
    async def scenario():
        spec = full("drop_newest", maxlen=10)
        async with manager(server, spec) as queues, manager(server, spec, consumer="y") as other:
            pushes = [host.push("q", n) for n in range(20) for host in (queues, other)]
            ids = await asyncio.gather(*pushes)
            assert sum(1 for entry_id in ids if entry_id) == 10
            assert (await queues.stats("q")).depth == 10

    asyncio.run(scenario())


def test_drop_newest_keeps_what_was_there_and_says_so(server):
    async def scenario():
        async with manager(server, full("drop_newest")) as queues:
            ids = await push_many(queues, 5)
            assert [bool(entry_id) for entry_id in ids] == [True, True, True, False, False]
            assert await drain(queues, "q", "rank") == [0, 1, 2]

    asyncio.run(scenario())


def test_drop_oldest_keeps_the_newest(server):
    async def scenario():
        async with manager(server, full("drop_oldest")) as queues:
            await push_many(queues, 5)
            stats = await queues.stats("q")
            assert (stats.depth, stats.lag, stats.pending, stats.removed) == (3, 3, 0, 2)
            assert await drain(queues, "q", "rank") == [2, 3, 4]

    asyncio.run(scenario())


def test_drop_oldest_also_holds_within_one_batch(server):
    async def scenario():
        async with manager(server, full("drop_oldest")) as queues:
            await asyncio.gather(*(queues.push("q", n) for n in range(50)))
            assert await drain(queues, "q", "rank") == [47, 48, 49]

    asyncio.run(scenario())


def test_drop_oldest_never_drops_what_a_reader_holds(server):
    async def scenario():
        async with manager(server, full("drop_oldest")) as queues:
            await push_many(queues, 3)
            held = await queues.read("q", reader="rank", count=3, timeout=0)
            await queues.push("q", "a")
            await queues.push("q", "b")
            stats = await queues.stats("q")
            assert (stats.depth, stats.lag, stats.pending) == (4, 1, 3)
        async with manager(server, full("drop_oldest")) as again:
            found = [await again.pop("q", timeout=0, reader="rank") for _ in range(3)]
            assert [message.payload for message in found] == [0, 1, 2]
            assert [message.id for message in found] == [message.id for message in held]
            assert await drain(again, "q", "rank") == ["b"]

    asyncio.run(scenario())


def test_drop_oldest_on_a_broadcast_queue_drops_for_all_that_have_not_got_it(server):
    async def scenario():
        spec = full("drop_oldest", maxlen=4, mode="broadcast", readers=("a", "b"))
        async with manager(server, spec) as queues:
            await push_many(queues, 4)
            (held,) = await queues.read("q", reader="a", count=1, timeout=0)
            await queues.push("q", 4)
            # "a" holds 0: it is dropped for "b" only, and leaves with the ack of "a".
            assert (await queues.stats("q")).depth == 5
            await queues.ack("q", [held.id], reader="a")
            assert await drain(queues, "q", "b") == [1, 2, 3, 4]
            assert await drain(queues, "q", "a") == [1, 2, 3, 4]
            assert (await queues.stats("q")).depth == 0

    asyncio.run(scenario())


def test_drop_oldest_works_before_anybody_reads_a_broadcast_queue(server):
    async def scenario():
        async with manager(server, full("drop_oldest", mode="broadcast")) as queues:
            await push_many(queues, 5)
            assert (await queues.stats("q")).depth == 3
            assert (await queues.pop("q", timeout=0)).payload == 2

    asyncio.run(scenario())


def test_error_refuses_a_push_and_says_what_to_do(server):
    async def scenario():
        async with manager(server, full("error")) as queues:
            await push_many(queues, 3)
            with pytest.raises(QueueError, match=r"queue 'q' is full \(3 messages\): read faster"):
                await queues.push("q", 3)
            assert await drain(queues, "q", "rank") == [0, 1, 2]
            assert await queues.push("q", 3)

    asyncio.run(scenario())


def test_closing_fails_the_pushes_that_wait_for_room(server):
    async def scenario():
        queues = manager(server, full("block", maxlen=1))
        await queues.push("q", 0)
        late = asyncio.create_task(queues.push("q", 1))
        await turns(20)
        await queues.aclose()
        with pytest.raises(QueueError, match="closed here"):
            await late

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"maxlen": 0}, "maxlen=0: give a whole number of messages, at least 1"),
        ({"mode": "both"}, "mode='both': choose one of competing, broadcast"),
        ({"when_full": "panic"}, "when_full='panic': choose one of block, drop_newest"),
    ],
)
def test_a_wrong_option_is_refused_with_its_choices(wrong, words):
    with pytest.raises(QueueError, match=words):
        QueueSpec("q", **wrong)


def test_drop_oldest_cut_short_at_any_moment_leaves_nothing_in_nobodys_hands(server):
    async def cut_short(after):
        async with manager(server, full("drop_oldest")) as queues:
            await push_many(queues, 3)
            late = [asyncio.create_task(queues.push("q", n)) for n in (3, 4)]
            await turns(after)
        await asyncio.gather(*late, return_exceptions=True)
        async with manager(server, full("drop_oldest")) as again:
            left = await drain(again, "q", "rank")
            stats = await again.stats("q")
        # Its push may still arrive when the new reader has got what was to be dropped for it.
        assert left == [*range(left[0], left[-1] + 1)]
        assert left[0] <= 2 <= left[-1]
        assert len(left) >= 3
        assert (stats.depth, stats.pending) == (0, 0)

    for after in range(16, 30, 2):  # it takes what it drops at about the twentieth turn
        asyncio.run(cut_short(after))


def test_other_bounds_hold_at_once_also_for_pushes_that_wait(server):
    async def scenario():
        small = QueueSpec("q", maxlen=2)
        async with manager(server, small) as queues:
            pushes = [asyncio.create_task(queues.push("q", n)) for n in range(9)]
            await asyncio.gather(*pushes[:2])
            queues.update_specs([replace(small, maxlen=5)])
            await asyncio.wait_for(asyncio.gather(*pushes[:5]), 30)
            assert not any(push.done() for push in pushes[5:])
            queues.update_specs([replace(small, when_full="drop_newest")])
            assert await asyncio.wait_for(asyncio.gather(*pushes[5:]), 30) == [""] * 4
            queues.update_specs([replace(small, maxlen=None)])
            await queues.push("q", 9)
            assert await drain(queues, "q", "a") == [0, 1, 2, 3, 4, 9]

    asyncio.run(scenario())


def test_who_waits_for_room_looks_soon_and_then_ever_more_rarely():
    class Silent:
        async def wait(self, timeout):
            waits.append(timeout)

    async def scenario():
        backoff = Backoff(0.05)
        for _ in range(8):
            await backoff.wait(Silent())
        backoff.begin_anew()
        await backoff.wait(Silent())
        await Backoff(None).wait(Silent())

    waits = []
    asyncio.run(scenario())
    assert waits == [0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.05, 0.05, 0.001, None]


@pytest.mark.redis
def test_of_many_items_that_wait_for_the_same_room_one_looks(real_server_url):
    async def scenario():
        specs = (QueueSpec("in"), full("block", maxlen=1))
        async with manager(open_server(real_server_url), *specs) as queues:
            await queues.push("q", 0)
            for n in range(32):
                await queues.push("in", n)
            items = await queues.read("in", reader="rank", count=32, timeout=0)
            sent = [
                queues.settle(item, [queues.hold_back("q", item.payload)], reader="rank")
                for item in items
            ]
            waiting = [asyncio.create_task(settling) for settling in sent]
            await said(queues, "CONFIG", "RESETSTAT")
            await asyncio.sleep(0.3)
            stats = (await said(queues, "INFO", "commandstats")).decode()
            looks = int(re.search(r"cmdstat_watch:calls=(\d+)", stats)[1])
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            # 6 in the first 63 ms, then one each 50 ms; each item by itself: 200.
            assert 1 <= looks <= 20

    asyncio.run(scenario())
