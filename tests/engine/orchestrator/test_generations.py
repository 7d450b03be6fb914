"""Is editing what runs harmless? Cells that are run again, apply, swap."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from flownb import Graph
from flownb.engine.orchestrator import generations
from flownb.errors import GraphError, LoopStopped
from flownb.model.nodes import BlockingNode
from tests.support.live import live, one, same, until, until_in_script
from tests.support.standstill import Stopwatch

pytestmark = pytest.mark.wallclock
POOLS = pytest.mark.parametrize("pool", ["thread", "asyncio"])


def ours():
    return sorted(t.name for t in threading.enumerate() if t.name.startswith("flownb"))


# -- the same cell again -------------------------------------------------------


@POOLS
@live
async def test_the_same_cell_run_five_times_leaves_one_live_generation(pool, capsys):
    alive = []

    def cell():
        generation = object()

        def check(_):
            alive.append(generation)
            time.sleep(0.02)

        return one(fn=check, pool=pool).start()

    tasks = len(asyncio.all_tasks())
    for _ in range(5):
        orch = cell()
    async with orch:
        await orch.wait(iterations=3, timeout=30)
        assert generations.running() == {"live": orch}
        alive.clear()
        await asyncio.sleep(0.3)
        await until(lambda: len(alive) >= 3)
        assert len(set(alive)) == 1
        await until(lambda: len(asyncio.all_tasks()) == tasks + (pool == "asyncio"))
        await until(lambda: len(ours()) <= 3)
        assert len(capsys.readouterr().out.splitlines()) == 4


@POOLS
@live
async def test_generations_never_overlap(pool):
    running, overlaps, lock = set(), [], threading.Lock()

    def cell(n):
        class Mark:
            async def __aenter__(self):
                with lock:
                    overlaps.extend(running)
                    running.add(n)

            async def __aexit__(self, *_):
                await asyncio.sleep(0.05)
                with lock:
                    running.discard(n)

        graph = one(every=0.01, fn=lambda _: time.sleep(0.05), pool=pool, resources={"m": Mark})
        return graph.start()

    for n in range(6):
        orch = cell(n)
        if n % 2:
            await asyncio.sleep(0.1)
    await orch.wait(iterations=1, timeout=30)
    assert running == {5}
    assert overlaps == []
    await orch.stop()


@live
async def test_a_new_generation_waits_for_the_old_one_at_most_its_grace():
    gate = threading.Event()
    try:
        one(fn=lambda _: gate.wait(30)).start()
        await asyncio.sleep(0.1)
        with Stopwatch() as start:
            orch = one(every=0.01).start()
        assert start.seconds < 0.5
        with Stopwatch() as waited:
            await orch.wait(iterations=1, timeout=30)
        assert waited.seconds < 3.5
        await orch.stop()
    finally:
        gate.set()


@live
async def test_what_is_asked_before_the_old_generation_has_ended_is_not_lost():
    one(fn=lambda _: time.sleep(0.3)).start()
    await asyncio.sleep(0.05)
    orch = one(every=0.01).start()
    paused = orch.pause()
    assert orch.status()["days"].state == "created"
    assert (await asyncio.wait_for(paused, 30))["days"].state == "paused"
    assert orch.metrics()["days"].produced == 0
    await orch.resume()
    await orch.wait(iterations=1, timeout=30)
    await orch.stop()


@live
async def test_one_loop_may_be_stopped_before_it_was_started():
    one(fn=lambda _: time.sleep(0.3)).start()
    await asyncio.sleep(0.05)
    graph = one(every=0.01).add_producer("nights", every=0.01).add_node("sleep")
    orch = graph.add_edge("nights", "sleep").start()
    await orch.stop("nights")
    await orch.wait(iterations=2, loop="days", timeout=30)
    assert orch.metrics()["nights"].produced == 0
    assert (await orch.stop())["nights"].state == "stopped"


@live
async def test_messages_that_a_re_run_drops_are_told_in_its_log():
    gate = threading.Event()

    def graph():
        made = one([1, 2, 3]).add_queue("out").add_edge("check", "out")
        made.add_queue_reader("reader", queue="out", external=True)
        return made.add_node("use", lambda _: gate.wait(30)).add_edge("reader", "use")

    first = graph().start()
    await until(lambda: first.status()["days"].state == "completed")
    await until(lambda: first.metrics()["reader"].produced)
    second = graph().start()
    await second.wait(iterations=1, timeout=30)
    texts = [line.text for line in second.logs()]
    assert [t for t in texts if "'out'" in t and "3 messages are dropped" in t], texts
    await second.stop(grace=0.1)
    gate.set()


# -- apply ---------------------------------------------------------------------


@POOLS
@live
async def test_an_edit_changes_nothing_until_it_is_applied(pool):
    graph = one(every=0.01, fn=lambda _: "old", pool=pool)
    async with graph.start() as orch:
        await orch.wait(iterations=2, timeout=30)
        graph.add_node("check", lambda _: "new")
        graph.add_node("more", lambda x: x + "er").add_edge("check", "more")
        assert "3 edits not applied" in repr(orch)
        assert orch.status().unapplied == 3
        await asyncio.sleep(0.05)
        assert orch.outputs("check") == ["old"]
        await orch.apply()
        assert "not applied" not in repr(orch)
        await until(lambda: "more" in orch.metrics()["days"].nodes and orch.outputs("more"))
        assert orch.outputs("check") == ["new"]
        assert orch.outputs("more") == ["newer"]


@POOLS
@live
async def test_a_node_can_be_removed_while_it_runs(pool):
    graph = one(every=0.01, pool=pool).add_node("more").add_edge("check", "more")
    async with graph.start() as orch:
        await orch.wait(iterations=2, timeout=30)
        graph.remove_node("more")
        await orch.apply()
        calls = orch.metrics()["days"].nodes["more"].calls
        produced = orch.metrics()["days"].produced
        await until(lambda: orch.metrics()["days"].produced > produced + 2)
        assert orch.metrics()["days"].nodes["more"].calls <= calls + 1


@POOLS
@live
async def test_an_item_runs_wholly_in_its_generation(pool):
    pairs, first = [], threading.Event()

    def version(n):
        def tag(item):
            return [*item, n]

        def slow(item):
            first.set()
            time.sleep(0.1)
            return [*item, n]

        return tag, slow

    def end(item):
        pairs.append(item)

    def edit(graph, n):
        tag, slow = version(n)
        return graph.add_node("tag", tag).add_node("slow", slow, kind="non_blocking")

    graph = edit(Graph("whole").add_producer("days", list, every=0.01), 1)
    graph.add_edge("days", "tag", "slow").add_node("end", end).add_edge("slow", "end")
    graph.set_loop("days", pool=pool, await_policy="node")
    async with graph.start() as orch:
        await until(first.is_set)
        edit(graph, 2)
        await orch.apply()
        await until(lambda: [2, 2] in pairs)
    assert {tuple(p) for p in pairs} == {(1, 1), (2, 2)}


@POOLS
@live
async def test_a_producer_can_be_added_and_removed_while_the_others_run(pool):
    graph = one(every=0.01, pool=pool)
    async with graph.start() as orch:
        await orch.wait(iterations=1, timeout=30)
        graph.add_producer("nights", every=0.01).add_node("sleep").add_edge("nights", "sleep")
        await orch.apply()
        await orch.wait(iterations=2, loop="nights", timeout=30)
        graph.remove_node("nights").remove_node("sleep")
        await orch.apply()
        await until(lambda: orch.status()["nights"].state == "stopped")
        graph.add_producer("nights", every=0.01).add_node("sleep").add_edge("nights", "sleep")
        await orch.apply()
        await until(lambda: orch.status()["nights"].state == "running")
        before = orch.status()["days"].iterations
        await until(lambda: orch.status()["days"].iterations > before)


@POOLS
@live
async def test_a_producer_that_comes_back_before_it_has_ended_starts_behind_itself(pool):
    graph = one(every=0.01, pool=pool).add_producer("nights", every=0.01)
    graph.add_node("sleep", lambda _: time.sleep(0.2)).add_edge("nights", "sleep")
    async with graph.start() as orch:
        await orch.wait(iterations=1, loop="nights", timeout=30)
        graph.remove_node("nights").remove_node("sleep")
        orch.apply()
        graph.add_producer("nights", every=0.01).add_node("sleep").add_edge("nights", "sleep")
        await orch.apply()
        await until(lambda: orch.status()["nights"].iterations > 5)


@live
async def test_a_new_loop_may_read_a_new_queue():
    graph = one(every=0.01)
    async with graph.start() as orch:
        await orch.wait(iterations=1, timeout=30)
        graph.add_queue("out").add_edge("check", "out").add_queue_reader("reader", queue="out")
        graph.add_node("use", keep=3).add_edge("reader", "use")
        await orch.apply()
        await until(lambda: orch.metrics()["reader"].done >= 3)


def fed(pool):
    """Two loops that end by themselves: one pushes three days, the other reads them."""
    graph = Graph("fed").add_producer("days", range(3)).add_queue("out").add_edge("days", "out")
    graph.add_queue_reader("reader", queue="out").add_node("use", keep=9).add_edge("reader", "use")
    graph.add_producer("clock", every=0.01).add_node("tick").add_edge("clock", "tick")
    return graph.set_loop("days", pool=pool).set_loop("reader", pool=pool)


async def until_state(orch, **states):
    await until(lambda: states == {name: orch.status()[name].state for name in states})


@POOLS
@live
async def test_a_reader_added_when_nobody_pushes_any_more_reads_what_is_left_and_completes(pool):
    graph = fed(pool).remove_node("reader").remove_node("use")
    async with graph.start() as orch:
        await until(lambda: orch._live.loop_runs["days"].host.ended.done())
        await orch.wait(iterations=orch.metrics()["clock"].released + 3, loop="clock")
        graph.add_queue_reader("late", queue="out").add_node("use", keep=9).add_edge("late", "use")
        graph.set_loop("late", pool=pool)
        await orch.apply()
        await until_state(orch, late="completed", clock="running")
        assert orch.outputs("use") == [0, 1, 2]


@POOLS
@live
async def test_a_reader_that_starts_once_more_when_nobody_pushes_any_more_completes_again(pool):
    async with fed(pool).start() as orch:
        await until_state(orch, days="completed", reader="completed")
        await orch.queues.push("out", 3)
        await orch.start("reader")
        await until_state(orch, reader="completed")
        assert orch.outputs("use") == [3]


@POOLS
@live
async def test_a_reader_completes_when_the_last_loop_that_fed_it_is_taken_out(pool):
    graph = fed(pool).add_producer("more", every=0.01).add_edge("more", "out")
    async with graph.start() as orch:
        await until_state(orch, days="completed")
        assert orch.status()["reader"].state == "running"
        graph.remove_node("more")
        await orch.apply()
        await until_state(orch, reader="completed", clock="running")


@live
async def test_what_was_taken_out_of_a_graph_that_was_over_neither_reads_nor_feeds():
    graph = fed("thread").remove_node("clock").remove_node("tick")
    graph.add_producer("more", every=0.01).add_edge("more", "out")
    graph.add_queue_reader("second", queue="out").add_node("see").add_edge("second", "see")
    orch = graph.start()
    await orch.wait(iterations=1, timeout=30)
    await orch.stop()
    graph.remove_node("more").remove_node("second").remove_node("see")
    await orch.start()
    await orch.wait(timeout=30)
    assert [loop.state for loop in orch.status().loops] == ["completed", "completed"]
    await orch.stop()


@live
async def test_a_loop_that_was_edited_after_it_had_ended_feeds_its_reader_again():
    graph = fed("thread")
    async with graph.start() as orch:
        await until_state(orch, days="completed", reader="completed")
        graph.add_node("check", lambda x: time.sleep(0.1) or 10 + x)
        graph.remove_edge("days", "out").add_edge("days", "check", "out")
        graph.add_node("use", lambda x: -x, keep=9)
        await orch.apply()
        await until_state(orch, days="completed", reader="completed", clock="running")
        assert orch.outputs("use") == [-10, -11, -12]


@POOLS
@live
async def test_a_paused_loop_takes_a_new_plan(pool):
    graph = one(every=0.01, fn=lambda _: "old", pool=pool)
    async with graph.start() as orch:
        await orch.pause()
        graph.add_node("check", lambda _: "new")
        await asyncio.wait_for(orch.apply(), 30)
        await orch.resume()
        await until(lambda: orch.outputs("check") == ["new"])


@POOLS
@live
async def test_a_reader_that_waits_takes_a_new_plan(pool):
    graph = Graph("reads").add_queue_reader("reader", queue="q", external=True)
    graph.add_node("use", lambda _: "old").add_edge("reader", "use").set_loop("reader", pool=pool)
    async with graph.start() as orch:
        await until(lambda: orch.status()["reader"].state == "running")
        await asyncio.sleep(0.05)
        graph.add_node("use", lambda _: "new")
        await asyncio.wait_for(orch.apply(), 30)
        await orch.queues.push("q", 1)
        await until(lambda: orch.outputs("use"))
        assert orch.outputs("use") == ["new"]


@POOLS
@live
async def test_swap_puts_another_function_behind_a_node(pool):
    graph = one(every=0.01, fn=lambda _: 1, pool=pool)
    async with graph.start() as orch:
        await orch.wait(iterations=1, timeout=30)
        await orch.swap("check", lambda _: 2)
        await until(lambda: orch.outputs("check") == [2])
        with pytest.raises(GraphError, match="chek"):
            orch.swap("chek", same)


@POOLS
@live
async def test_a_swap_mends_a_loop_that_the_brake_has_paused(pool):
    def bad(_):
        raise ValueError("bad")

    graph = one(fn=bad, pool=pool)
    async with graph.start() as orch:
        status = await orch.wait(timeout=30)
        assert status["days"].state == "paused"
        assert "10 items in a row" in status["days"].reason
        await orch.swap("check", same)
        await orch.resume()
        await until(lambda: orch.metrics()["days"].done)


@POOLS
@live
async def test_a_generator_goes_on_across_an_apply(pool):
    def numbers():
        for n in range(1000):
            yield n
            time.sleep(0.005)

    graph = one(numbers, node={"keep": 1000}, pool=pool)
    async with graph.start() as orch:
        for _ in range(5):
            graph.add_node("check", lambda n: n, keep=1000)
            await orch.apply()
            await asyncio.sleep(0.05)
        await orch.pause()
        kept = orch.outputs("check")
        assert kept == list(range(len(kept)))
        assert len(kept) > 10


@POOLS
@live
async def test_a_class_node_that_was_not_edited_keeps_its_instance_and_state(pool):
    class Counts(BlockingNode):
        seen = 0

        def setup(self, ctx):
            print("setup")

        def run(self, data):
            self.seen += 1
            return self.seen

    graph = Graph("keeps").add_producer("days", every=0.005).add_node("check", Counts())
    graph.add_node("old", same).add_edge("days", "check", "old").set_loop("days", pool=pool)
    async with graph.start() as orch:
        await orch.wait(iterations=5, timeout=30)
        graph.add_node("old", lambda x: x)
        await orch.apply()
        await orch.wait(iterations=10, timeout=30)
        await orch.pause()
        metrics = orch.metrics()["days"]
        assert orch.outputs("check") == [metrics.nodes["check"].calls]
        assert [x.text for x in orch.logs() if x.text == "setup"] == ["setup"]


@POOLS
@live
async def test_a_functions_state_survives_an_edit_of_it(pool):
    def check(_, ctx):
        ctx.state["n"] = ctx.state.get("n", 0) + 1
        return ctx.state["n"]

    graph = one(every=0.005, fn=check, pool=pool)
    async with graph.start() as orch:
        await orch.wait(iterations=5, timeout=30)
        await orch.swap("check", lambda _, ctx: ctx.state["n"] * 1000)
        await until(lambda: orch.outputs("check")[-1] >= 5000)


@live
async def test_a_mistake_is_refused_and_the_run_goes_on_as_it_was():
    graph = one(every=0.01)
    async with graph.start() as orch:
        graph.add_node("alone")
        with pytest.raises(GraphError, match="alone"):
            orch.apply()
        before = orch.status()["days"].iterations
        await until(lambda: orch.status()["days"].iterations > before)


@live
async def test_a_loop_that_completed_is_left_alone_unless_it_was_edited():
    graph = one(every=0.01).add_producer("short", [1, 2]).add_node("sleep", keep=9)
    async with graph.add_edge("short", "sleep").start() as orch:
        await until(lambda: orch.status()["short"].state == "completed")
        graph.add_node("check", same)
        await orch.apply()
        await asyncio.sleep(0.1)
        assert orch.status()["short"].state == "completed"
        assert orch.outputs("sleep") == [1, 2]


@live
async def test_what_has_ended_takes_no_edits():
    graph = one([1])
    orch = graph.start()
    await orch.wait(timeout=30)
    await orch.stop()
    graph.add_node("check", same)
    with pytest.raises(LoopStopped, match=r"graph\.start\(\)"):
        orch.apply()


def test_every_apply_of_many_counts_with_items_in_flight():
    graph = one(every=0.002, fn=lambda n: n)
    orch = graph.start()
    for n in range(50):
        graph.add_node("check", lambda _, n=n: n)
        orch.apply()
    orch.apply().wait(30)
    until_in_script(lambda: orch.outputs("check") == [49])
    orch.stop().wait(30)


@live
async def test_a_swap_that_is_a_mistake_leaves_the_graph_as_it_was():
    graph = one(every=0.01)
    async with graph.start() as orch:
        before = graph.nodes["check"]
        with pytest.raises(GraphError, match="cannot take the payload"):
            orch.swap("check", lambda: 1)
        assert graph.nodes["check"] is before
        assert "not applied" not in repr(orch)
        await orch.apply()


@live
async def test_a_loop_that_runs_is_not_said_to_have_moved_to_another_pool():
    graph = one(every=0.01)
    async with graph.start() as orch:
        await orch.wait(iterations=1, timeout=30)
        graph.set_loop("days", pool="asyncio")
        with pytest.raises(GraphError, match="runs in pool 'thread' and cannot move to 'asyncio'"):
            orch.apply()
        assert "1 edit not applied" in repr(orch)
