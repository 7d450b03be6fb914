"""Is a call that holds an event loop named, and does the loop stop all the same?"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tests.support.live import live, one, until
from tests.support.standstill import Stopwatch

pytestmark = pytest.mark.wallclock
FIRST = 3  # the item that holds the event loop


def holding(gate):
    """Give an async node that does not await, until there is a file."""

    def block(path=str(gate)):
        while not Path(path).exists():
            time.sleep(0.01)

    async def hold(n):
        if n == FIRST:
            block()
        return n

    return hold


def of(orch, kind):
    history = orch._live.loop_runs["days"].history
    return [(e.node, e.iteration, e.data) for e in history.events if e.kind == kind]


@pytest.mark.parametrize("pool", ["thread", "process"])
@live
async def test_a_call_that_holds_its_event_loop_is_named_and_a_stop_leaves_it_behind(
    pool, tmp_path
):
    gate = tmp_path / "gate"
    orch = one(range(100), holding(gate), pool=pool).start()
    try:
        await until(lambda: of(orch, "stalled"), patience=30)
        assert of(orch, "stalled") == [("check", FIRST, None)]
        assert orch.status()["days"].reason.startswith("node 'check' holds its event loop since")
        (line,) = orch.logs(node="check")
        assert (line.level, line.iteration) == ("warning", FIRST)
        assert "let it await what takes time" in line.text
        with Stopwatch() as watch:
            status = await orch.stop(grace=1)
    finally:
        gate.touch()
    assert watch.seconds <= 1.5
    assert status["days"].state == "stopped"
    assert status["days"].reason == "abandoned: check, which holds its event loop"
    metrics = orch.metrics()["days"]
    assert (metrics.open, metrics.cancelled, metrics.done) == (0, 1, FIRST)


@pytest.mark.parametrize("pool", ["asyncio", "thread", "process"])
@live
async def test_it_is_told_when_the_event_loop_goes_on(pool):
    def block():
        time.sleep(1.2)

    async def hold(n):
        if n == FIRST:
            block()
        return n

    orch = one(range(10), hold, pool=pool).start()
    status = await orch.wait(timeout=30)
    await orch.stop()
    (begin, end) = of(orch, "stalled")
    assert begin == ("check", FIRST, None)
    assert end[:2] == ("check", FIRST)
    assert end[2] > 0.9
    assert (status["days"].state, status["days"].reason) == ("completed", "")
    assert [line.node for line in orch.logs()] == ["check"]


@live
async def test_who_awaits_or_works_in_a_thread_holds_nothing():
    async def patient(n):
        await asyncio.sleep(0.8)
        return n

    def busy(n):
        time.sleep(0.8)
        return n

    orch = one([1], patient, pool="thread").start()
    also = one([1], busy, name="also", pool="thread").start()
    await orch.wait(timeout=30)
    await also.wait(timeout=30)
    await orch.stop()
    await also.stop()
    assert of(orch, "stalled") == of(also, "stalled") == []
