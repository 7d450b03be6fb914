"""Does a running graph make one item when it is told to step, and only one?"""

from __future__ import annotations

import time

import pytest

from flownb import Graph
from flownb.errors import RunError
from tests.support.live import live, one, same

pytestmark = pytest.mark.wallclock
POOLS = pytest.mark.parametrize("pool", ["thread", "asyncio", "process"])


@POOLS
@live
async def test_an_awaited_step_has_made_its_item_and_the_loop_is_paused_again(pool):
    async with one(fn=lambda _: time.sleep(0.01), every=0.01, pool=pool).start() as orch:
        before = (await orch.pause())["days"].iterations
        for made in range(1, 4):
            status = await orch.step("days")
            assert status["days"].state == "paused"
            assert status["days"].iterations == before + made


@POOLS
@live
async def test_behind_an_awaited_step_the_outputs_are_those_of_its_item(pool):
    node = {"keep": 200}
    async with one(fn=lambda n: (n, bytes(10_000)), node=node, pool=pool).start() as orch:
        await orch.wait(iterations=220, timeout=30)
        made = (await orch.pause())["days"].iterations
        for n in range(made, made + 5):
            assert orch.outputs("check")[-1][0] == n - 1
            await orch.step("days")


@live
async def test_a_loop_in_the_fast_lane_makes_one_item_too():
    async with one(fn=same, node={"keep": 1}).start() as orch:
        await orch.wait(iterations=5_000, timeout=30)  # by then all nodes are known to be short
        before = (await orch.pause())["days"].iterations
        after = (await orch.step())["days"].iterations
        assert after == before + 1
        assert orch.metrics()["days"].p99 < 0.05


@live
async def test_a_step_of_all_loops_makes_one_item_in_each():
    graph = Graph("two").add_producer("a", every=0.01).add_producer("b", every=0.01)
    async with graph.start() as orch:
        before = await orch.pause()
        after = await orch.step()
        assert [after[x].iterations - before[x].iterations for x in "ab"] == [1, 1]


@live
async def test_a_reader_that_steps_takes_one_message():
    graph = Graph("two").add_queue_reader("r", queue="q", external=True)
    graph.add_node("n", same).add_edge("r", "n")
    async with graph.start() as orch:
        await orch.pause("r")
        step = orch.step("r")
        assert not step.done()
        for n in range(3):
            await orch.queues.push("q", n)
        assert (await step)["r"].iterations == 1
        assert orch.outputs("n") == [0]


@live
async def test_a_step_of_a_loop_that_has_ended_is_done_at_once_and_an_unknown_one_is_told():
    async with one([1]).start() as orch:
        await orch.wait(timeout=30)
        assert (await orch.step())["days"].state == "completed"
        with pytest.raises(RunError, match='did you mean "days"'):
            orch.step("day")
