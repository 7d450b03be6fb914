"""Does a running graph do what it is asked, at once, and say where it stands?"""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from flownb import Graph
from flownb.errors import GraphError, NodeFailed, RunError
from tests.support.live import live, one, same, until, until_in_script
from tests.support.standstill import Stopwatch

pytestmark = pytest.mark.wallclock
POOLS = pytest.mark.parametrize("pool", ["thread", "asyncio", "process"])
IN_KERNEL = pytest.mark.parametrize("pool", ["thread", "asyncio"])  # they share its memory


# -- start ---------------------------------------------------------------------


@POOLS
@live
async def test_start_returns_at_once_and_the_loop_runs(pool):
    await one([]).start().stop()  # whatever a first start imports is imported
    graph = one(fn=lambda _: time.sleep(0.05), pool=pool)
    with Stopwatch() as start:
        orch = graph.start()
    assert start.seconds < 0.5
    status = await orch.wait(iterations=3, timeout=30)
    assert not status.timed_out
    assert status["days"].state == "running"
    assert status["days"].iterations >= 3
    assert status["days"].pool == pool
    await orch.stop()
    assert orch.status()["days"].state == "stopped"


@POOLS
def test_a_script_without_an_event_loop_starts_waits_and_stops(pool):
    orch = one(range(5), pool=pool, node={"keep": 5}).start()
    status = asyncio.run(orch.wait(timeout=30))
    assert status["days"].state == "completed"
    assert orch.outputs("check") == [0, 1, 2, 3, 4]
    assert orch.stop().wait(30)["days"].state == "completed"


@POOLS
def test_a_request_waits_in_a_script(pool):
    orch = one(every=0.01, pool=pool).start()
    until_in_script(lambda: orch.status()["days"].iterations)
    assert orch.pause().wait(30)["days"].state == "paused"
    assert orch.resume().wait(30)["days"].state == "running"
    assert orch.stop().wait(30)["days"].state == "stopped"


@live
async def test_leaving_async_with_stops():
    async with one(every=0.01).start() as orch:
        await orch.wait(iterations=2, timeout=30)
    assert orch.status()["days"].state == "stopped"


@POOLS
@live
async def test_a_loop_completes_when_its_source_ends_and_its_last_item_has_settled(pool):
    graph = one([1, 2], pool=pool).add_node("slow", lambda _: time.sleep(0.1), kind="non_blocking")
    orch = graph.add_edge("days", "slow").start()
    status = await orch.wait(timeout=30)
    assert (status["days"].state, status["days"].done) == ("completed", 2)
    await orch.stop()
    assert orch.status()["days"].state == "completed"


def test_a_bad_control_is_refused():
    with pytest.raises(GraphError, match="control='door'"):
        one().start(control="door")


@live
async def test_what_cannot_start_leaves_nothing_behind():
    with pytest.raises(Exception, match="redis"):
        one().start(redis="http://example.org", control="thread")


# -- questions -----------------------------------------------------------------


@live
async def test_questions_are_answered_while_it_runs_and_after():
    def check(n):
        print("seen", n)
        if n == 1:
            raise ValueError("one is bad")
        return n * 10

    orch = one([0, 1, 2], check, node={"keep": 5}).start()
    await orch.wait(timeout=30)
    await orch.stop()
    assert orch.outputs("check") == [0, 20]
    assert orch.outputs("check", last=1) == [20]
    assert orch.outputs("check", last=0) == []
    assert [(x.node, x.iteration, x.text) for x in orch.logs(node="check")] == [
        ("check", i, f"seen {i}") for i in range(3)
    ]
    with pytest.raises(RunError, match=r"there is no node 'nobody' \(there are: days, check\)"):
        orch.logs(loop="days", node="nobody")
    (failure,) = orch.failures()
    assert (failure.node, failure.iteration, failure.item) == ("check", 1, 1)
    metrics = orch.metrics()["days"]
    assert (metrics.produced, metrics.done, metrics.failed, metrics.open) == (3, 2, 1, 0)
    assert metrics.nodes["check"].calls == 3
    works = [s for s in orch.timeline().spans if s.node == "check" and s.kind == "work"]
    assert [s.iteration for s in works] == [0, 1, 2]
    assert "one is bad" in orch.status()["days"].last_error
    assert "one is bad" in repr(orch)


@live
async def test_a_wrong_name_is_answered_with_the_right_one():
    async with one(every=0.01).start() as orch:
        with pytest.raises(RunError, match='did you mean "days"'):
            orch.pause("day")
        with pytest.raises(GraphError, match='did you mean "check"'):
            orch.outputs("chek")


@live
async def test_reading_as_fast_as_one_can_disturbs_nobody():
    async with one(fn=same).start() as orch:
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            orch.status(), orch.metrics(), orch.logs(), orch.failures(), orch.outputs("check")
            await asyncio.sleep(0)
        orch.timeline()
        assert orch.status()["days"].state == "running"


# -- pause and resume ----------------------------------------------------------


@IN_KERNEL
@live
async def test_pause_takes_effect_at_release_and_detached_work_goes_on(pool):
    gate, detached = threading.Event(), []

    def slow(n):
        time.sleep(0.3)
        detached.append(n)

    graph = one(fn=lambda _: gate.wait(30), pool=pool).add_node("slow", slow, kind="non_blocking")
    orch = graph.add_edge("days", "slow").start()
    await until(lambda: orch.metrics()["days"].produced == 1)
    paused = orch.pause()
    await until(lambda: orch.status()["days"].state == "pausing")
    assert not paused.done()
    gate.set()
    assert (await paused)["days"].state == "paused"
    assert orch.metrics()["days"].produced == 1
    await until(lambda: detached == [0], "detached work goes on")
    await asyncio.sleep(0.05)
    assert orch.metrics()["days"].produced == 1
    await orch.resume()
    await orch.wait(iterations=3, timeout=30)
    await orch.stop()


@live
async def test_pausing_twice_and_resuming_twice_are_harmless():
    async with one(every=0.01).start() as orch:
        await orch.pause()
        await orch.pause()
        await orch.resume()
        await orch.resume()
        before = orch.metrics()["days"].produced
        await until(lambda: orch.metrics()["days"].produced > before + 2)


@live
async def test_one_loop_pauses_and_the_other_runs_on():
    graph = one(every=0.01).add_producer("nights", every=0.01).add_node("sleep")
    async with graph.add_edge("nights", "sleep").start() as orch:
        await orch.wait(iterations=1, timeout=30)
        status = await orch.pause("days")
        assert (status["days"].state, status["nights"].state) == ("paused", "running")
        before = status["nights"].iterations
        await until(lambda: orch.status()["nights"].iterations > before + 3)


@live
async def test_ticks_of_a_pause_do_not_count():
    async with one(every=0.02).start() as orch:
        await orch.wait(iterations=2, timeout=30)
        await orch.pause()
        before = orch.metrics()["days"].overruns
        await asyncio.sleep(0.5)
        with Stopwatch() as after:
            await orch.resume()
            await asyncio.sleep(0.1)
        missed = orch.metrics()["days"].overruns - before
        assert missed <= 2 + after.clock / 0.02


# -- wait ----------------------------------------------------------------------


@live
async def test_wait_returns_after_its_timeout_and_says_so():
    async with one(every=0.01).start() as orch:
        with Stopwatch() as waited:
            status = await orch.wait(timeout=0.1)
        assert status.timed_out
        assert waited.clock >= 0.1
        assert waited.seconds < 1
        assert not (await orch.wait(iterations=1)).timed_out


@live
async def test_wait_for_iterations_ends_when_the_loop_ends_before():
    orch = one([1, 2]).start()
    status = await orch.wait(iterations=100, timeout=30)
    assert not status.timed_out
    assert status["days"].state == "completed"
    await orch.stop()


@live
async def test_wait_for_iterations_does_not_wait_for_readers_unless_told():
    graph = one(every=0.01).add_queue_reader("reader", queue="nobody_pushes", external=True)
    async with graph.add_node("use").add_edge("reader", "use").start() as orch:
        assert not (await orch.wait(iterations=2, timeout=30)).timed_out
        assert (await orch.wait(iterations=1, loop="reader", timeout=0.1)).timed_out


@live
async def test_wait_raises_what_ended_a_loop_with_on_error_stop():
    orch = one(fn=lambda n: 1 / (n - 2), on_error="stop").start()
    with pytest.raises(NodeFailed, match=r"node 'check' .*iteration 2.*ZeroDivisionError"):
        await orch.wait(timeout=30)
    with pytest.raises(NodeFailed):
        await orch.wait(timeout=30)
    assert (await orch.stop())["days"].state == "error"


@live
async def test_a_status_of_a_loop_that_is_not_there_says_which_are():
    async with one(every=0.01).start() as orch:
        with pytest.raises(RunError, match=r"no loop 'day': did you mean .days."):
            orch.status()["day"]


@live
async def test_wait_for_another_loop_does_not_raise():
    graph = one(fn=lambda n: 1 / n, on_error="stop").add_producer("nights", every=0.01)
    async with graph.add_node("sleep").add_edge("nights", "sleep").start() as orch:
        assert not (await orch.wait(iterations=3, loop="nights", timeout=30)).timed_out


@live
async def test_wait_goes_on_while_a_user_has_paused_and_ends_when_an_error_has():
    def check(n):
        if n == 1:
            raise ValueError(n)

    async with one(fn=check, every=0.01, on_error="pause").start() as orch:
        status = await orch.wait(timeout=30)
        assert not status.timed_out
        assert status["days"].state == "paused"
        assert "ValueError: 1" in status["days"].reason
    async with one(every=0.01).start() as orch:
        await orch.pause()
        assert (await orch.wait(timeout=0.1)).timed_out


def failing(on_error, **queue):
    """Give a loop that pushes three items to "q" and fails at the fourth."""
    graph = one(range(9), lambda n: 1 / (n - 3), on_error=on_error).add_queue("q", **queue)
    return graph.add_edge("check", "q")


def three(on_error, middle=same, **reads):
    """Give loops in a row; the first one fails at its fourth item."""
    graph = failing(on_error).add_queue_reader("reads", queue="q", **reads).add_queue("r")
    graph.add_node("middle", middle).add_edge("reads", "middle").add_edge("middle", "r")
    graph.add_queue_reader("last", queue="r").add_node("use")
    return graph.add_edge("last", "use")


@live
async def test_a_wait_ends_when_an_error_has_ended_who_feeds_the_loops_that_are_left():
    orch = three("stop").start()
    with pytest.raises(NodeFailed, match=r"node 'check' .*iteration 3"):
        await orch.wait(timeout=30)
    assert orch.status()["last"].done == 3
    assert not (await orch.wait(loop="last", timeout=30)).timed_out
    await orch.stop()


@live
async def test_a_wait_ends_when_an_error_has_paused_who_feeds_the_loops_that_are_left():
    async with three("pause").start() as orch:
        status = await orch.wait(timeout=30)
        assert (status.timed_out, status["last"].done) == (False, 3)


@pytest.mark.parametrize("ack", ["done", "received"])
@live
async def test_a_wait_goes_on_while_a_reader_works_on_what_it_will_push_on(ack):
    began, gate = threading.Event(), threading.Event()

    def slow(n):
        began.set()
        gate.wait(30)
        return n

    async with three("pause", slow, ack=ack).start() as orch:
        await until(lambda: orch.status()["days"].state == "paused" and began.is_set())
        for loop in ("last", "reads", None):
            assert (await orch.wait(loop=loop, timeout=0.3)).timed_out
        gate.set()
        if ack == "done":
            status = await orch.wait(loop="last", timeout=30)
            assert (status.timed_out, status["last"].done) == (False, 3)
        else:
            await until(lambda: orch.status()["last"].done == 3)


@live
async def test_a_wait_ends_although_another_reader_of_a_broadcast_queue_holds_its_messages():
    graph = failing("pause", mode="broadcast").add_queue_reader("reads", queue="q").add_node("use")
    graph.add_edge("reads", "use").add_queue_reader("bad", queue="q")
    graph.add_node("fail", lambda n: n / 0).add_edge("bad", "fail").set_loop(
        "bad", on_error="pause"
    )
    async with graph.start() as orch:
        status = await orch.wait(timeout=30)
        assert (status.timed_out, status["reads"].done) == (False, 3)
        assert (await orch.queues.stats("q")).depth == 3


@live
async def test_a_wait_ends_in_a_run_that_began_again_without_a_removed_feeder():
    bad = []

    def check(n):
        if bad:
            raise ValueError(n)

    graph = one([1, 2], check, on_error="pause").add_queue("q").add_edge("check", "q")
    graph.add_producer("more", every=0.01).add_edge("more", "q")
    graph.add_queue_reader("reads", queue="q").add_node("use").add_edge("reads", "use")
    async with graph.start() as orch:
        await orch.wait(iterations=1, timeout=30)
        graph.remove_node("more")
        await orch.apply()
        assert (await orch.wait(timeout=30))["reads"].state == "completed"
        await until(orch.is_over)
        bad.append(True)
        await orch.start()
        status = await orch.wait(timeout=30)
        assert not status.timed_out
        assert (status["days"].state, status["reads"].state) == ("paused", "running")


# -- blocking waits on an event loop -------------------------------------------


@POOLS
@pytest.mark.parametrize("control", ["notebook", "thread"])
@live
async def test_a_blocking_wait_on_the_event_loop_it_would_block_is_refused(pool, control):
    async with one(every=0.01, pool=pool).start(control=control) as orch:
        await orch.wait(iterations=1, timeout=30)
        if control == "notebook" or pool == "asyncio":
            with pytest.raises(RunError, match="use `await`"):
                orch.pause().wait(1)
        else:
            assert orch.pause().wait(30)["days"].state == "paused"


@live
async def test_a_request_may_be_awaited_twice_or_dropped():
    async with one(every=0.01).start() as orch:
        paused = orch.pause()
        await paused
        assert (await paused)["days"].state == "paused"
        assert repr(paused) == "Request(pause live: done)"
        orch.resume()
        await until(lambda: orch.status()["days"].state == "running")


def slow():
    """A loop whose node takes its time, and what says that it is at work."""
    begun = threading.Event()

    def work(_):
        begun.set()
        time.sleep(0.3)

    return one(fn=work), begun


@live
async def test_giving_up_waiting_does_not_take_back_what_was_asked():
    graph, begun = slow()
    orch = graph.start()
    await until(begun.is_set)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(orch.stop(), 0.01)
    await until(orch.is_over)


def test_giving_up_waiting_and_closing_the_event_loop_complains_to_nobody(caplog):
    async def cell():
        graph, begun = slow()
        orch = graph.start()
        await until(begun.is_set)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(orch.stop(), 0.01)
        return orch

    orch = asyncio.run(cell())
    until_in_script(orch.is_over)
    assert caplog.records == []


# -- middleware and observers --------------------------------------------------


@POOLS
@live
async def test_middleware_and_observers_see_live_calls(pool):
    from flownb.engine.observe.stream import Observer

    class Seen(Observer):
        def __init__(self):
            self.nodes, self.kinds = [], set()

        def on_span(self, span, output):
            self.nodes.append(span.node)

        def on_event(self, event):
            self.kinds.add(event.kind)

    async def double(call_next, node, data):
        result = await call_next(data)
        return result * 2 if node.name == "check" else result

    seen, graph = Seen(), one([1, 2], same, pool=pool)
    graph.add_node("behind", keep=9).add_edge("check", "behind")
    orch = graph.use(seen, double).start()
    await orch.wait(timeout=30)
    await orch.stop()
    assert orch.outputs("behind") == [2, 4]
    assert seen.nodes.count("check") == 2
    assert {"state", "produced", "released", "settled"} <= seen.kinds


@live
async def test_an_observer_that_raises_is_switched_off_and_hurts_nobody(capfd, caplog):
    from flownb.engine.observe.stream import Observer

    class Bad(Observer):
        def on_span(self, span, output):
            raise RuntimeError("bad observer")

    orch = one(range(30), same).use(Bad()).start()
    status = await orch.wait(timeout=30)
    await orch.stop()
    assert status["days"].done == 30
    assert "bad observer" in caplog.text


# -- control="thread" ----------------------------------------------------------


@POOLS
@live
async def test_control_in_a_thread_needs_nothing_of_the_notebooks_event_loop(pool):
    orch = one(every=0.01, pool=pool).start(control="thread")
    await orch.wait(iterations=2, timeout=30)
    assert (await orch.stop())["days"].state == "stopped"


def test_each_graph_counts_for_itself():
    first, second = one(every=0.01).start(), one(every=0.01, name="other").start()
    for orch in (first, second):
        until_in_script(lambda orch=orch: orch.status()["days"].iterations)
    first.stop().wait(30)
    assert second.status()["days"].state == "running"
    second.stop().wait(30)


def test_a_graph_starts_again_after_it_was_stopped():
    graph = Graph("again").add_producer("days", every=0.01).add_node("check")
    graph.add_edge("days", "check")
    for _ in range(3):
        orch = graph.start()
        assert not asyncio.run(orch.wait(iterations=2, timeout=30)).timed_out
        orch.stop().wait(30)


@POOLS
@live
async def test_a_wait_behind_a_resume_that_nobody_awaited_waits_for_the_loop(pool):
    graph = one([1, 0, 2], fn=lambda x: 1 / x, on_error="pause", pool=pool)
    orch = graph.start()
    assert (await orch.wait(timeout=30))["days"].state == "paused"
    await orch.swap("check", same)
    orch.resume()
    assert (await orch.wait(timeout=30))["days"].state == "completed"
    await orch.stop()


@POOLS
@live
async def test_the_first_item_of_a_slow_rate_comes_at_once(pool):
    async with one(every=1000, pool=pool).start() as orch:
        assert not (await orch.wait(iterations=1, timeout=30)).timed_out
        assert orch.metrics()["days"].overruns == 0


@live
async def test_a_swapped_producer_keeps_the_rhythm():
    async with one(every=1000).start() as orch:
        await orch.wait(iterations=1, timeout=30)
        await orch.swap("days", lambda: 7)
        await asyncio.sleep(0.1)
        assert orch.metrics()["days"].produced == 1


@live
async def test_the_queues_of_a_run_say_what_they_are_for():
    async with one([1]).start() as orch:
        verbs = "await push, pop, ack, peek, stats, dead, forget or clear"
        assert repr(orch.queues) == f"Queues('live': {verbs})"


@POOLS
@live
async def test_an_item_that_was_waited_for_has_settled_where_nothing_of_it_is_detached(pool):
    async def position(ctx):
        return ctx.position

    async with one(position, every=0.005, pool=pool).start() as orch:
        for count in range(1, 40):
            await orch.wait(iterations=count, timeout=30)
            assert orch.metrics()["days"].done >= count
