"""Is somebody told, in a thread of its own, when something needs a person?"""

from __future__ import annotations

import threading
import time

import pytest

from flownb import Graph
from tests.support.live import live, one, until

pytestmark = pytest.mark.wallclock


def listen(orch, *kinds):
    """Collect notices, and the threads that brought them."""
    told, threads = [], set()

    def take(notice):
        threads.add(threading.current_thread().name)
        told.append(notice)

    for kind in kinds:
        orch.on(kind, take)
    return told, threads


@live
async def test_failures_are_told_with_the_node_and_the_end_too():
    def check(day):
        if day == 2:
            raise ValueError("rain gauge broke")

    async with one(range(4), check, every=0.02).start() as orch:
        told, threads = listen(orch, "failed", "completed")
        await until(lambda: len(told) == 2)
    assert [notice.kind for notice in told] == ["failed", "completed"]
    assert (told[0].loop, told[0].node, told[0].data.item) == ("days", "check", 2)
    assert "rain gauge broke" in told[0].text
    assert str(told[1]) == "days has completed: 3 done, 1 failed"
    assert threads == {"flownb notices live"}


@live
async def test_a_pause_by_an_error_is_told_with_its_reason():
    def check(day):
        raise ValueError("no rain")

    async with one([1], check, on_error="pause").start() as orch:
        told, _ = listen(orch, "paused")
        await until(lambda: told)
        assert "no rain" in told[0].text


@live
async def test_a_loop_that_is_behind_and_a_full_queue_are_told_not_all_the_time():
    graph = (
        Graph("late").add_producer("days", every=0.01)
        .add_node("check", lambda day: time.sleep(0.05) or day)
        .add_queue("wet", maxlen=2, when_full="drop_newest", external=True)
        .add_edge("days", "check", "wet")
    )  # fmt: skip
    async with graph.start() as orch:
        begin = time.monotonic()
        told, _ = listen(orch, "behind", "queue_full")
        await until(lambda: {notice.kind for notice in told} == {"behind", "queue_full"})
        await until(lambda: time.monotonic() > begin + 1.5)
        assert len(told) <= 2 * (1 + (time.monotonic() - begin) // 10)
    assert "missed" in next(n.text for n in told if n.kind == "behind")


@live
async def test_a_callback_that_raises_harms_nobody_and_one_that_is_ended_hears_nothing(caplog):
    async with one(range(1000), every=0.01).start() as orch:
        told = []
        end = orch.on("paused", told.append)
        end()
        orch.on("paused", lambda _: 1 / 0)
        more, _ = listen(orch, "paused")
        await orch.pause()
        await until(lambda: more)
        assert told == []
    assert "a callback for 'paused' raised" in caplog.text


@live
async def test_what_is_no_kind_is_refused():
    async with one([1]).start() as orch:
        with pytest.raises(ValueError, match="queue_full"):
            orch.on("broken", print)
        with pytest.raises(ValueError, match="function"):
            orch.on("failed", "print")
