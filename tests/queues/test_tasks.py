"""Does every task end that is to end?"""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from flownb.queues.notify import ended


async def asks_once_more(questions):
    """Hang on one question after the other, as redis-py does on its way out of a WATCH."""
    for _ in range(questions - 1):
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
    await asyncio.Event().wait()


@pytest.mark.parametrize("questions", [1, 2, 3])
def test_a_task_that_hangs_again_on_its_way_out_is_cancelled_again(questions):
    async def scenario():
        task = asyncio.create_task(asks_once_more(questions))
        await asyncio.sleep(0)
        async with asyncio.timeout(20):
            await ended(task)
        assert task.cancelled()

    asyncio.run(scenario())


def test_a_task_that_has_ended_is_left_alone():
    async def scenario():
        task = asyncio.create_task(asyncio.sleep(0, "done"))
        await task
        await ended(task)
        assert task.result() == "done"

    asyncio.run(scenario())
