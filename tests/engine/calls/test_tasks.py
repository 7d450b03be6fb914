"""Async nodes share tasks while they do not wait: can anybody notice? Nobody must."""

from __future__ import annotations

import asyncio
import contextvars
import decimal
import time

import pytest

from flownb import Graph

WIDTH = 100
mark = contextvars.ContextVar("mark", default="none")


def fan(fn, width=WIDTH):
    """1 -> width, each called by its number."""
    graph = Graph("fan").add_node("first", nothing)
    for i in range(width):
        graph.add_node(str(i), fn(i)).add_edge("first", str(i))
    return graph


async def nothing(_):
    return None


def test_a_hundred_nodes_that_never_wait_cost_a_few_tasks():
    tasks = set()

    def node(_):
        async def call(_):
            tasks.add(asyncio.current_task())

        return call

    asyncio.run(fan(node).arun({}))
    assert len(tasks) <= 3


def test_nodes_that_wait_are_under_way_at_the_same_time_each_in_a_task_of_its_own():
    here, all_here, tasks = [], asyncio.Event(), {}

    def node(i):
        async def call(_):
            tasks[i] = asyncio.current_task()
            here.append(i)
            if len(here) == WIDTH:
                all_here.set()
            await all_here.wait()
            assert asyncio.current_task() is tasks[i]
            assert tasks[i].get_name() == str(i)

        return call

    asyncio.run(fan(node).arun({}))
    assert here == list(range(WIDTH))
    assert len(set(tasks.values())) == WIDTH


def test_a_timeout_ends_its_own_node_and_no_other():
    def node(i):
        async def call(_):
            if i % 3 == 0:
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.001):
                        await asyncio.Event().wait()
            elif i % 3 == 1:
                await asyncio.sleep(0)
            return {str(i): "ended"}

        return call

    assert asyncio.run(fan(node, 30).arun({})).state == {str(i): "ended" for i in range(30)}


def test_what_a_node_sets_in_its_context_no_other_node_sees():
    seen = []

    def node(i):
        async def call(_):
            seen.append((mark.get(), decimal.getcontext().prec))
            if i % 2:
                mark.set(str(i))
                decimal.getcontext().prec = 3
            else:
                mark.reset(mark.set("for a moment"))

        return call

    async def run():
        mark.set("caller")
        await fan(node, 10).arun({})
        return mark.get()

    assert asyncio.run(run()) == "caller"
    assert {of for of, _ in seen} == {"caller"}


def test_a_value_that_cannot_be_compared_hurts_nobody():
    class Odd:
        def __eq__(self, _):
            raise ValueError("neither equal nor not")

        __hash__ = None

    def node(_):
        async def call(_):
            mark.reset(mark.set(Odd()))
            mark.set(Odd())

        return call

    async def run():
        mark.set(Odd())
        return await fan(node, 5).arun({})

    assert asyncio.run(run()).status == "completed"


@pytest.mark.parametrize("away", [True, False])
def test_a_node_that_cancels_its_task_takes_no_other_along(away):
    def node(i):
        async def call(_):
            if i == 1:
                asyncio.current_task().cancel()
            if i != 1 or away:
                await asyncio.sleep(0)
            return {str(i): "ended"}

        return call

    graph = fan(node, 4)
    run = asyncio.run(graph.arun({}, on_error="continue"))
    assert run.state == {str(i): "ended" for i in range(4) if i != 1 or not away}
    assert run.nodes["1"] == ("failed" if away else "completed")


def test_one_that_cancels_its_task_and_thinks_better_of_it_takes_no_other_along():
    def node(i):
        async def call(_):
            if i % 2:
                await asyncio.sleep(0)
            else:
                asyncio.current_task().cancel()
                asyncio.current_task().uncancel()

        return call

    assert asyncio.run(fan(node, 3).arun({})).status == "completed"


def test_what_a_node_leaves_running_prints_under_its_name():
    left = []

    def node(i):
        async def later():
            await asyncio.sleep(0)
            print("later", i)

        async def call(_):
            print("now", i, end="")
            left.append(asyncio.get_running_loop().create_task(later()))

        return call

    async def last(_):
        await asyncio.wait(left)

    graph = fan(node, 5).add_node("last", last)
    for i in range(5):
        graph.add_edge(str(i), "last")
    lines = asyncio.run(graph.arun({})).lines
    assert sorted((x.node, x.text) for x in lines) == [
        (str(i), f"{when} {i}") for i in range(5) for when in ("later", "now")
    ]


@pytest.mark.wallclock
def test_many_nodes_that_never_wait_leave_others_their_turn():
    turns = []

    async def spin(_):
        until = time.perf_counter() + 0.001
        while time.perf_counter() < until:
            pass

    async def ticking():
        while True:
            turns.append(1)
            await asyncio.sleep(0)

    graph = Graph("long").add_node("0", spin)
    for i in range(1, 40):
        graph.add_node(str(i), spin).add_edge(str(i - 1), str(i))

    async def run():
        ticker = asyncio.create_task(ticking())
        await graph.arun({})
        ticker.cancel()

    asyncio.run(run())
    assert len(turns) >= 5


def test_the_losers_of_a_race_end_whether_they_had_begun_or_not():
    begun, ended = [], []

    def racer(name, *, waits):
        async def call(_):
            begun.append(name)
            try:
                if waits:
                    await asyncio.Event().wait()
            except asyncio.CancelledError:
                ended.append(name)
                raise

        return call

    graph = Graph("race").add_node("start", nothing).add_node("finish", nothing, join="first")
    for name, waits in (("slow", True), ("quick", False), ("late", False), ("later", True)):
        graph.add_node(name, racer(name, waits=waits)).add_edge("start", name, "finish")
    run = asyncio.run(graph.arun({}))
    assert (begun, ended) == (["slow", "quick"], ["slow"])
    assert run.visited == ["start", "quick", "finish"]


def test_cancelling_a_run_ends_the_nodes_that_wait_and_begins_no_other():
    begun, ended, some = [], [], asyncio.Event()

    def node(i):
        async def call(_):
            begun.append(i)
            if len(begun) == 2:
                some.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(i)

        return call

    async def run():
        task = asyncio.create_task(fan(node, 20).arun({}))
        await some.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(run())
    assert begun == ended
    assert 2 <= len(begun) <= 20
