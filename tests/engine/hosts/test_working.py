"""Do live nodes run where and how they should, each in its way, and disturb nobody?"""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import os
import signal
import sys
import threading
import time
import weakref
from itertools import pairwise

import pytest

from flownb import Graph, Limit, Retry
from flownb.engine.prints import Spot, captured
from flownb.errors import NodeTimeout
from flownb.model.nodes import BlockingNode
from flownb.model.tools import ToolRegistry
from tests.support.live import live, one, same, until
from tests.support.standstill import Stopwatch, lost

pytestmark = pytest.mark.wallclock
POOLS = pytest.mark.parametrize("pool", ["thread", "asyncio"])


# -- tools ---------------------------------------------------------------------


@POOLS
@live
async def test_a_live_node_calls_the_tools_that_the_graph_was_started_with(pool):
    def sync(n, ctx):
        return ctx.tools.call("double", n)

    async def waits(n, ctx):
        return ctx.tools.call("double", n)

    registry = ToolRegistry()
    registry.register("double", lambda x: 2 * x)
    for fn in (sync, waits):
        async with one([1, 2], fn, node={"keep": 2}, pool=pool).start(tools=registry) as orch:
            await orch.wait(timeout=30)
            assert orch.outputs("check", last=2) == [2, 4]


# -- prints --------------------------------------------------------------------


@POOLS
def test_prints_of_every_kind_of_node_reach_its_log_and_nothing_else(pool, capfd):  # noqa: C901
    def hops(n):
        time.sleep(0.001)
        print("sync", n)
        return n

    async def waits(n):
        await asyncio.sleep(0)
        print("async", n)
        return n

    def tells(n):
        print("err", n, file=sys.stderr)
        return n

    def parts(n):
        print("a", end="")
        print("b", end="")

    class Counts(BlockingNode):
        def setup(self, ctx):
            print("set up")

        def run(self, data):
            print("class", data.payload)

        def teardown(self):
            print("torn down")

    @contextlib.contextmanager
    def resource():
        print("opened")
        yield 1
        print("closed")

    def condition(n):
        print("asked", n)
        return True

    async def middleware(call_next, node, data):
        print("middle")
        return await call_next(data)

    async def cell():
        graph = one(range(30), hops, pool=pool, resources={"r": resource})
        graph.add_node("waits", waits).add_node("tells", tells).add_node("parts", parts)
        graph.add_node("counts", Counts()).add_edge("check", "waits", "tells", "parts")
        graph.add_edge("check", "counts", condition=condition).use(middleware)
        orch = graph.start()
        await orch.wait(timeout=30)
        await orch.stop()
        return orch

    orch = asyncio.run(cell())
    assert capfd.readouterr() == ("", "")

    def texts(node):
        others = ("middle", "set up", "asked")
        return [x.text for x in orch.logs(node=node) if not x.text.startswith(others)]

    assert texts("check") == [f"sync {n}" for n in range(30)]
    assert texts("waits") == [f"async {n}" for n in range(30)]
    assert texts("tells") == [f"err {n}" for n in range(30)]
    assert texts("parts") == ["ab"] * 30
    assert texts("counts")[-1] == "torn down"
    all_texts = {x.text for x in orch.logs()}
    assert {"opened", "closed", "set up", "asked 7", "middle"} <= all_texts


@pytest.mark.parametrize("pool", ["thread", "asyncio", "process"])
def test_what_nodes_log_as_a_cell_has_set_it_up_stays_in_their_log(pool, capfd):
    root, mine = logging.getLogger(), logging.getLogger("tests.mine")
    before = root.level, mine.level
    handler = logging.StreamHandler()  # it holds on to the stream that stands there now
    handler.setFormatter(logging.Formatter("{levelname} of {name}: {message}", style="{"))
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    mine.setLevel(logging.DEBUG)

    def check(n):
        logging.getLogger("tests.mine").debug("item %s", n)
        logging.getLogger("tests.other").debug("too much")
        logging.getLogger("tests.other").info("item %s", n)

    async def main():
        orch = one([1], check, pool=pool).start()
        mine.info("the cell itself")
        await orch.wait(timeout=30)
        await orch.stop()
        return [line.text for line in orch.logs(node="check")]

    try:
        said = asyncio.run(main())
        mine.info("behind it")
    finally:
        root.removeHandler(handler)
        root.setLevel(before[0])
        mine.setLevel(before[1])
    assert said == ["DEBUG of tests.mine: item 1", "INFO of tests.other: item 1"]
    cell = "INFO of tests.mine: the cell itself\nINFO of tests.mine: behind it\n"
    assert capfd.readouterr() == ("", cell)


def test_prints_of_short_nodes_and_of_conditions_behind_long_ones_stay_in_the_log(capfd):
    def long(n):
        time.sleep(0.001)
        return n

    def condition(n):
        print("asked", n)
        return True

    def short(n):
        print("short", n)
        return n

    async def cell():
        graph = one(range(60), long).add_node("short", short).add_node("end")
        graph.add_edge("check", "short").add_edge("short", "end", condition=condition)
        orch = graph.start()
        await orch.wait(timeout=30)
        await orch.stop()
        return orch

    orch = asyncio.run(cell())
    assert capfd.readouterr() == ("", "")
    assert [x.text for x in orch.logs(node="short")].count("short 59") == 1
    assert sum(x.text.startswith("asked") for x in orch.logs()) == 60


def test_of_a_progress_bar_the_log_keeps_what_a_terminal_shows_in_the_end():
    lines = []
    spot = Spot(lambda *line: lines.append(line[-1]))
    for part in ("\r", "begun", "\r10 %\r", "20 %", "\r100 %\n", "plain\r\n", "last \r", "word"):
        spot.write(part, "print")
        assert len(spot.buffer) < 12
    spot.end()
    assert lines == ["100 %", "plain", "word"]


def test_prints_in_the_fast_lane_stay_in_the_log(capfd):
    def shout(n):
        if n % 1000 == 999:
            print("lane", n)
        return n

    async def cell():
        orch = one(fn=shout).start()
        await orch.wait(iterations=20_000, timeout=30)
        await orch.stop()
        return orch

    orch = asyncio.run(cell())
    assert capfd.readouterr() == ("", "")
    assert [str(x.text) for x in orch.logs(node="check")][:3] == [
        "lane 999",
        "lane 1999",
        "lane 2999",
    ]
    assert [x.iteration for x in orch.logs(node="check")][:3] == [999, 1999, 2999]


def test_the_cells_own_prints_pass_while_loops_run(capsys):
    async def cell():
        async with one(every=0.01, fn=lambda _: print("loop")).start() as orch:
            await orch.wait(iterations=2, timeout=30)
            print("cell")
            await orch.wait(iterations=4, timeout=30)

    asyncio.run(cell())
    assert capsys.readouterr().out == "cell\n"
    assert type(sys.stdout).__module__ != "flownb.engine.prints"


def test_a_cell_that_captures_catches_what_is_printed_meanwhile_and_frees_no_prints(
    capsys, monkeypatch
):
    monkeypatch.setattr(sys, "__stdout__", sys.stdout)  # what shows in a terminal

    async def cell():
        started, meanwhile = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(started):  # %%capture
            orch = one(every=0.01, fn=lambda n: print("loop", n)).start()
            await orch.wait(iterations=3, timeout=30)
            print("first")
        await asyncio.sleep(0.1)  # the next beat
        capsys.readouterr()
        with contextlib.redirect_stdout(meanwhile):
            print("second")
            await orch.wait(iterations=60, timeout=30)
        print("cell")
        await orch.wait(iterations=70, timeout=30)
        await orch.stop()
        logged = [x.text for x in orch.logs(node="check")]
        assert {"loop 0", "loop 1", "loop 65"} <= set(logged)
        return started.getvalue(), meanwhile.getvalue().splitlines()

    started, meanwhile = asyncio.run(cell())
    assert started == "first\n"
    assert meanwhile[0] == "second"
    assert all(line.startswith("loop ") for line in meanwhile[1:])
    assert capsys.readouterr().out == "cell\n"
    assert type(sys.stdout).__module__ != "flownb.engine.prints"
    assert type(sys).__module__ == "builtins"


def caught(_):
    with contextlib.redirect_stdout(io.StringIO()) as buffer:
        print("mine")
    print("log")
    return buffer.getvalue()


@live
@pytest.mark.parametrize("pool", ["thread", "asyncio", "process"])
async def test_what_a_node_redirects_itself_is_its_own(pool):
    orch = one([1, 2], caught, pool=pool).start()
    await orch.wait(timeout=30)
    assert orch.outputs("check")[-1] == "mine\n"
    assert [x.text for x in orch.logs(node="check")] == ["log", "log"]


def test_a_stream_that_a_cell_lets_go_while_loops_run_is_gone():
    with captured():
        buffer = io.StringIO()
        gone = weakref.ref(buffer)
        with contextlib.redirect_stdout(buffer):
            print("written")
        assert buffer.getvalue() == "written\n"
        del buffer
        assert gone() is None


def test_a_run_that_starts_beside_others_leaves_a_cells_streams_alone():
    with captured():
        stands = sys.stdout
        with captured():
            assert sys.stdout is stands
        assert sys.stdout is stands


# -- resources -----------------------------------------------------------------


@POOLS
@pytest.mark.parametrize("ends", ["stop", "completes", "crashes"])
@live
async def test_resources_live_on_the_loops_own_event_loop_and_are_closed(pool, ends):
    seen = []

    class Client:
        async def __aenter__(self):
            seen.append(("open", asyncio.get_running_loop()))
            return self

        async def __aexit__(self, *_):
            seen.append(("close", asyncio.get_running_loop()))

    async def use(n, ctx):
        seen.append(("use", asyncio.get_running_loop()))
        assert isinstance(ctx.resources["client"], Client)
        if ends == "crashes":
            raise ValueError(n)

    source = [1] if ends == "completes" else None
    graph = one(source, use, pool=pool, on_error="stop", resources={"client": Client})
    orch = graph.start()
    await until(lambda: "use" in dict(seen))
    await orch.stop()
    assert len({id(loop) for _, loop in seen}) == 1
    assert (seen[0][1] is asyncio.get_running_loop()) == (pool == "asyncio")
    assert (seen[0][0], seen[-1][0]) == ("open", "close")


@live
async def test_a_resource_that_does_not_open_ends_the_loop_in_state_error():
    closed = []

    class Good:
        async def __aenter__(self):
            return self

        async def __aexit__(self, *_):
            closed.append("good")

    class Bad(Good):
        async def __aenter__(self):
            raise OSError("no such host")

    orch = one(every=0.01, resources={"good": Good, "bad": Bad}).start()
    await until(orch.is_over)
    assert orch.status()["days"].state == "error"
    assert "resource 'bad' did not open: OSError: no such host" in orch.status()["days"].reason
    assert "1 error, last: days: " in repr(orch)
    assert closed == ["good"]


# -- policies ------------------------------------------------------------------


@POOLS
@live
async def test_a_sync_attempt_that_timed_out_is_abandoned_and_its_result_dropped(pool):
    gate, pushed = threading.Event(), []

    def slow(n, ctx):
        if n == 0:
            gate.wait(30)
            with pytest.raises(NodeTimeout, match="discarded"):
                ctx.push("late", n)
            pushed.append("refused")
        return n

    graph = one([0, 1], slow, node={"timeout": 0.1}, pool=pool).add_queue_reader(
        "reader", queue="late", external=True
    )
    orch = graph.add_node("use").add_edge("reader", "use").start()
    await until(lambda: orch.status()["days"].state == "completed")
    node = orch.metrics()["days"].nodes["check"]
    assert (node.timeouts, node.abandoned, node.failed) == (1, 1, 1)
    assert orch.outputs("check") == [1]
    assert "NodeTimeout" in repr(orch.failures()[0])
    gate.set()
    await orch.stop()
    assert orch.outputs("check") == [1]
    assert pushed == ["refused"]


@POOLS
@live
async def test_a_retry_really_waits(pool):
    tries = []

    def flaky(n):
        tries.append((time.monotonic(), lost()))
        if len(tries) < 3:
            raise OSError(n)
        return n

    retry = Retry(on=OSError, wait_initial=0.1)
    orch = one([7], flaky, node={"retry": retry}, pool=pool).start()
    await orch.wait(timeout=30)
    assert orch.outputs("check") == [7]
    for (before, stood), (after, stands), wait in zip(tries, tries[1:], (0.1, 0.2), strict=False):
        assert 0.9 * wait < after - before < wait + 0.3 + stands - stood
    assert orch.metrics()["days"].nodes["check"].retries == 2
    await orch.stop()


@POOLS
@live
async def test_on_error_pause_offers_the_same_item_first_after_resume(pool):
    broken, seen = True, []

    def check(n):
        seen.append(n)
        if n == 3 and broken:
            raise ValueError(n)

    orch = one([1, 2, 3, 4], check, on_error="pause", pool=pool).start()
    assert (await orch.wait(timeout=30))["days"].state == "paused"
    broken = False
    await orch.resume()
    await until(lambda: orch.status()["days"].state == "completed")
    assert seen == [1, 2, 3, 3, 4]
    await orch.stop()


@POOLS
@live
async def test_on_error_pause_holds_the_last_item_of_a_source_too(pool):
    broken, seen = True, []

    def check(n):
        seen.append(n)
        if n == 2 and broken:
            raise ValueError(n)

    orch = one([1, 2], check, on_error="pause", pool=pool).start()
    status = await orch.wait(timeout=30)
    assert status["days"].state == "paused"
    broken = False
    await orch.resume()
    await until(lambda: orch.status()["days"].state == "completed")
    assert seen == [1, 2, 2]
    await orch.stop()


@POOLS
@live
async def test_a_dead_letter_can_be_read(pool):
    def check(n):
        if n == 2:
            raise ValueError("two")

    async with one([1, 2, 3], check, on_error="dead_letter", pool=pool).start() as orch:
        await orch.wait(timeout=30)
        (letter,) = await orch.queues.dead("days")
    assert (letter["loop"], letter["node"], letter["item"]) == ("days", "check", 2)
    assert letter["error"] == "ValueError: two"


@pytest.mark.parametrize("node", [{}, {"timeout": 5}])
@POOLS
@live
async def test_a_node_that_calls_exit_fails_and_everything_lives_on(pool, node):
    def check(n):
        if n == 1:
            sys.exit(3)
        return n

    async def also(n):
        if n == 2:
            raise KeyboardInterrupt
        return n

    graph = one(range(50), check, pool=pool, node=node).add_node("also", also, **node)
    orch = graph.add_edge("check", "also").start()
    await orch.wait(timeout=30)
    metrics = orch.metrics()["days"]
    assert (metrics.done, metrics.failed) == (48, 2)
    await orch.stop()


class Panic(BaseException):
    """As a library in Rust raises, or pytest.fail()."""


@pytest.mark.parametrize("error", [Panic, asyncio.CancelledError, GeneratorExit])
@pytest.mark.parametrize("node", [{}, {"timeout": 5}])
@POOLS
@live
async def test_whatever_a_node_raises_fails_its_item_and_no_more(pool, node, error):
    def check(n):
        if n == 1:
            raise error
        return n

    async def also(n):
        if n == 2:
            raise error
        return n

    graph = one(range(50), check, pool=pool, node=node).add_node("also", also, **node)
    orch = graph.add_edge("check", "also").start()
    await orch.wait(timeout=30)
    metrics = orch.metrics()["days"]
    assert (metrics.done, metrics.failed) == (48, 2)
    assert [failure.node for failure in orch.failures()] == ["check", "also"]
    await orch.stop()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no os.fork() here")
@pytest.mark.parametrize("node", [{}, {"timeout": 60}])
@pytest.mark.parametrize(("end", "code"), [(None, 0), (SystemExit, 3), (ValueError, 1)])
@live
async def test_the_copy_that_a_node_forks_ends_and_is_no_second_loop(node, end, code):
    def check(_):
        child = os.fork()
        if child:
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        signal.alarm(20)  # were it to hang, it would not wait for us
        if end is not None:
            raise end(code)
        return None

    orch = one([1, 2], check, pool="process", node={"keep": 2, **node}).start()
    await orch.wait(timeout=30)
    assert orch.outputs("check") == [code, code]
    await orch.stop()


@live
async def test_a_node_in_the_fast_lane_that_calls_exit_fails_too():
    def check(n):
        if n % 1000 == 999:
            sys.exit("enough")

    orch = one(range(5000), check).start()
    await orch.wait(timeout=30)
    assert (orch.metrics()["days"].done, orch.metrics()["days"].failed) == (4995, 5)
    await orch.stop()


@live
async def test_a_failure_that_is_kept_keeps_no_other_rows_alive():
    def check(n):
        if n == 20_000:
            raise ValueError(n)

    orch = one(range(20_001), check).start()
    await orch.wait(timeout=30)
    await orch.stop()
    frame, names = orch.failures()[0].error.__traceback__.tb_frame, []
    while frame is not None:
        names.append(frame.f_code.co_name)
        assert all(len(x) < 100 for x in frame.f_locals.values() if isinstance(x, list))
        frame = frame.f_back
    assert "_call_rows" in names


@live
async def test_a_producer_in_the_fast_lane_with_nothing_to_give_is_asked_again_after_a_rest():
    asked = []

    def make():
        asked.append(time.monotonic())
        return len(asked) if len(asked) < 3000 else None

    async with one(make, same).start() as orch:
        await until(lambda: len(asked) > 3000)
        before, cpu = len(asked), time.process_time()
        with Stopwatch() as watch:
            await until(lambda: len(asked) >= before + 10)
        assert watch.clock > 0.4
        assert watch.seconds < 1
        assert time.process_time() - cpu < 0.6 * watch.clock
        assert orch.metrics()["days"].done == 2999


@live
async def test_a_source_in_the_fast_lane_that_fails_rests_too():
    failed = []

    def make():
        if orch.metrics()["days"].done >= 3000:
            failed.append(time.monotonic())
            raise OSError("gone")
        return 1

    orch = one(make, same).start()
    await until(lambda: len(failed) > 5)
    assert min(b - a for a, b in pairwise(failed)) > 0.04
    await orch.stop()


# -- who waits for whom --------------------------------------------------------


@live
async def test_a_sync_node_does_not_freeze_the_event_loop_of_an_asyncio_loop():
    beats = []

    async def beat():
        while True:
            beats.append(time.monotonic() - lost())
            await asyncio.sleep(0.02)

    task = asyncio.create_task(beat())
    async with one(fn=lambda _: time.sleep(0.3), pool="asyncio").start() as orch:
        await orch.wait(iterations=3, timeout=30)
    task.cancel()
    gaps = [b - a for a, b in pairwise(beats)]
    assert max(gaps) < 0.2


@live
async def test_a_short_node_that_becomes_long_hops_and_the_private_loop_stays_alive():
    beats = []

    async def beat(_):
        for _ in range(100):
            beats.append(time.monotonic() - lost())
            await asyncio.sleep(0.01)

    def grows(n):
        if n > 100:
            time.sleep(0.8)

    graph = one(range(104), grows).add_producer("beats", [1]).add_node("beat", beat)
    graph.add_node("also", beat, kind="non_blocking").add_edge("days", "also")
    orch = graph.add_edge("beats", "beat").start()
    await orch.wait(loop="days", timeout=30)
    await orch.stop()
    gaps = sorted(b - a for a, b in pairwise(sorted(beats)))
    # the first long call may be made inline; the others hop
    assert sum(g > 0.6 for g in gaps) <= 1
    assert orch.metrics()["days"].nodes["check"].longest >= 0.8


@live
async def test_parallel_blocking_arms_run_at_the_same_time():
    graph = one([1], lambda _: time.sleep(0.5))
    graph.add_node("other", lambda _: time.sleep(0.5)).add_edge("days", "other")
    with Stopwatch() as run:
        orch = graph.start()
        await orch.wait(timeout=30)
    assert run.clock >= 0.5
    assert run.seconds < 1
    await orch.stop()


@POOLS
@live
async def test_a_limit_serialises_a_node_of_two_loops(pool):
    inside, most, lock = 0, 0, threading.Lock()

    def use(_):
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        time.sleep(0.01)
        with lock:
            inside -= 1

    gpu = Limit(concurrency=1)
    graph = one(range(15), use, node={"limit": gpu}, pool=pool).add_producer("nights", range(15))
    graph.add_node("also", use, limit=gpu).add_edge("nights", "also")
    orch = graph.start()
    await orch.wait(timeout=30)
    assert most == 1
    assert sum(m.done for m in orch.metrics().values()) == 30
    await orch.stop()


@live
async def test_in_flight_is_bounded_live():
    graph = one(fn=same, max_in_flight=3)
    graph.add_node("slow", lambda _: time.sleep(0.02), kind="non_blocking").add_edge("days", "slow")
    async with graph.start() as orch:
        await orch.wait(iterations=20, timeout=30)
        metrics = orch.metrics()["days"]
    assert metrics.peak_in_flight == 3
    assert metrics.throttled > 0


@live
async def test_every_keeps_its_rate():
    async with one(every=0.02).start() as orch:
        await orch.wait(iterations=1, timeout=30)
        before = orch.metrics()["days"]
        with Stopwatch() as watch:
            await asyncio.sleep(1)
        after = orch.metrics()["days"]
    ticks = after.released + after.overruns - before.released - before.overruns
    assert abs(ticks - watch.clock / 0.02) <= 3 + watch.lost / 0.02


def tick_by_hand(end, ran, *, every=0.05, nap=0.002):
    """Do what such a loop does, as anybody would write it: a tick that is missed is left out."""
    tick = time.monotonic()
    while tick < end:
        time.sleep(max(0.0, tick - time.monotonic()))
        time.sleep(nap)
        ran.append(tick)
        tick += every * (1 + max(0.0, time.monotonic() - tick) // every)


async def share_of_bare_threads(orch, count, *, seconds=2.0):
    """Items of the slowest loop, over those of the slowest of as many threads beside them."""
    before, end = orch.metrics(), time.monotonic() + seconds
    bare = [[] for _ in range(count)]
    threads = [threading.Thread(target=tick_by_hand, args=(end, ran)) for ran in bare]
    for thread in threads:
        thread.start()
    await until(lambda: time.monotonic() >= end, patience=60)
    after = orch.metrics()
    for thread in threads:
        thread.join()
    return min(after[n].done - before[n].done for n in after) / min(map(len, bare))


@live
async def test_twenty_loops_of_twenty_items_a_second_run_side_by_side():
    """As well as twenty bare threads do on the same machine, in the same two seconds."""
    graph = Graph("many")
    for i in range(20):
        graph.add_producer(f"p{i}", every=0.05).add_node(f"n{i}", lambda _: time.sleep(0.002))
        graph.add_edge(f"p{i}", f"n{i}")
    shares = []
    async with graph.start() as orch:
        await orch.wait(iterations=1, timeout=30)
        while not shares or (max(shares) < 0.85 and len(shares) < 3):
            shares.append(await share_of_bare_threads(orch, 20))
        assert all(s.state == "running" for s in orch.status().loops)
    assert max(shares) >= 0.85


@live
async def test_a_loop_may_start_another_graph_and_stop_it():
    def nested(n):
        orch = one(range(3), name=f"inner {n}").start()
        asyncio.run(orch.wait(timeout=30))
        return orch.stop().wait(30)["days"].done

    orch = one(range(3), nested, node={"keep": 3}).start()
    await orch.wait(timeout=30)
    assert orch.outputs("check") == [3, 3, 3]
    await orch.stop()


@live
async def test_a_node_in_two_loops_shows_the_outputs_of_both():
    graph = one([1, 2], same, node={"keep": 9}).add_producer("nights", [3])
    orch = graph.add_edge("nights", "check").start()
    await orch.wait(timeout=30)
    assert orch.outputs("check") == [1, 2, 3]
    assert orch.outputs("check", last=1) == [3]
