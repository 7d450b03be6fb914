"""How many round trips do many pushes cost?"""

from __future__ import annotations

import asyncio
from functools import partialmethod

import pytest

from flownb.errors import QueueError
from flownb.queues.send.batcher import Batcher
from tests.support.queues import manager


def test_a_hundred_pushes_at_once_take_two_pipelines(server, monkeypatch):
    sizes = []

    async def counting(self, exchange, commands, **options):
        sizes.append(len(commands))
        return await exchange(self, commands, **options)

    async def scenario():
        async with manager(server) as queues:
            await queues.push("q", "first")
            line = type(queues._to.link.line)
            monkeypatch.setattr(line, "exchange", partialmethod(counting, line.exchange))
            await asyncio.gather(*(queues.push("q", n) for n in range(100)))
            assert sum(sizes) == 100
            assert len(sizes) <= 2
            monkeypatch.undo()
            messages = await queues.read("q", reader="rank", count=200, timeout=0)
            assert [message.payload for message in messages] == ["first", *range(100)]

    asyncio.run(scenario())


def test_one_batch_is_on_its_way_at_a_time_and_what_comes_meanwhile_goes_next():
    batches = []

    async def send(batch):
        batches.append(list(batch))
        await asyncio.sleep(0)
        return [-number for number in batch]

    async def scenario():
        batcher = Batcher(send, limit=3)
        first = asyncio.create_task(batcher.submit(0))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        rest = await asyncio.gather(*(batcher.submit(n) for n in range(1, 6)))
        assert await first == 0
        assert rest == [-1, -2, -3, -4, -5]

    asyncio.run(scenario())
    assert batches == [[0], [1, 2, 3], [4, 5]]


def test_what_was_cancelled_before_it_was_sent_is_not_sent():
    batches = []

    async def send(batch):
        batches.append(list(batch))
        await asyncio.sleep(0)
        return batch

    async def scenario():
        batcher = Batcher(send)
        tasks = [asyncio.create_task(batcher.submit(n)) for n in range(3)]
        await asyncio.sleep(0)
        tasks[1].cancel()
        await asyncio.wait(tasks)

    asyncio.run(scenario())
    assert batches == [[0, 2]]


def test_an_error_fails_its_own_submission_and_a_lost_batch_fails_all_of_it():
    async def send(batch):
        if "lost" in batch:
            raise OSError("gone")
        return [ValueError(work) if work == "bad" else work for work in batch]

    async def scenario():
        batcher = Batcher(send)
        work = ["good", "bad", "good"]
        replies = await asyncio.gather(*map(batcher.submit, work), return_exceptions=True)
        assert [type(reply) for reply in replies] == [str, ValueError, str]
        replies = await asyncio.gather(
            batcher.submit("lost"), batcher.submit("good"), return_exceptions=True
        )
        assert [type(reply) for reply in replies] == [OSError, OSError]
        assert await batcher.submit("good") == "good"

    asyncio.run(scenario())


def test_closing_sends_what_is_waiting_or_fails_it():
    async def scenario(*, drain):
        gate = asyncio.Event()

        async def send(batch):
            await gate.wait()
            return batch

        batcher = Batcher(send, limit=1)
        tasks = [asyncio.create_task(batcher.submit(n)) for n in range(3)]
        await asyncio.sleep(0)
        closing = asyncio.create_task(batcher.aclose("closed", drain=drain))
        await asyncio.sleep(0)
        gate.set()
        await closing
        return await asyncio.gather(*tasks, return_exceptions=True)

    assert asyncio.run(scenario(drain=True)) == [0, 1, 2]
    failed = asyncio.run(scenario(drain=False))
    assert [type(reply) for reply in failed] == [QueueError] * 3
    with pytest.raises(QueueError, match="closed"):
        raise failed[0]
