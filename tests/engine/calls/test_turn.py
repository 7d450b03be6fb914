"""Does a turn of rows lose, double or mix up nothing, whenever a row is taken out of it?"""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from flownb import BlockingNode, Graph, Observer, Retry
from flownb.engine.calls import turn
from flownb.engine.calls.turn import DEAD, Turn
from flownb.queues.send.posts import Posts
from tests.support.live import live, until

POOLS = pytest.mark.parametrize("pool", ["thread", "asyncio"])


def rows_of(source, steps, **options):
    """A turn that has been worked off in this thread."""
    made = Turn(iter(source).__next__, steps, first=0, most=len(source), **options)
    made.work()
    return made


def test_each_row_has_a_reading_for_its_start_and_one_for_each_call():
    made = rows_of([1, 2, 3], [(lambda x: x + 1, 0, None), (lambda x: x * 10, 1, None)])
    assert [values for values, _ in made.rows] == [[1, 2, 20], [2, 3, 30], [3, 4, 40]]
    assert len(made.times) == 3 * made.width == 12
    assert made.times == sorted(made.times)


def test_what_is_not_called_has_no_length():
    def gather(values, _routes):
        return values[0] if values[0] % 2 else DEAD

    made = rows_of([1, 2], [(lambda x: -x, 0, gather), (str, 1, lambda v, _: v[1])])
    assert [values for values, _ in made.rows] == [[1, -1, "-1"], [2, DEAD, DEAD]]
    assert made.times[5] == made.times[6] == made.times[7]


def test_a_row_that_fails_ends_the_turn_and_says_how_far_it_came():
    def half(x):
        return 1 // (x - 2)

    made = rows_of([1, 2, 3], [(half, 0, None), (str, 1, None)])
    done, times, values, row = made.at_work()
    assert (done, len(times), values, row[0]) == (1, 2, [2], [2])
    assert isinstance(made.error, ZeroDivisionError)


def test_what_gives_a_coroutine_has_only_begun():
    async def later(x):
        return x

    made = rows_of([1], [(lambda x: later(x), 0, None), (str, 1, None)])
    _, times, values, row = made.at_work()
    assert (len(times), values, len(row[0])) == (2, [1], 2)
    row[0][1].close()


@pytest.mark.wallclock
@pytest.mark.parametrize("call", [0, 1, 2, 3])
def test_a_row_that_is_taken_ends_behind_the_call_that_runs(call):
    begun, may_end = threading.Event(), threading.Event()

    def stands_at(number):
        def fn(x=0):
            if number == call and x in {0, 5}:
                begun.set()
                may_end.wait(10)
            return x + 1 if number else 5

        return fn

    steps = [(stands_at(n), n - 1, None) for n in (1, 2, 3)]
    made = Turn(stands_at(0), steps, first=0, most=1 << 40)
    if call > 1:
        steps[call - 1] = (lambda x: stands_at(call)(5), call - 1, None)
    worker = threading.Thread(target=made.work, daemon=True)
    worker.start()
    begun.wait(10)
    made.take()
    _, times, values, row = made.at_work()
    assert (len(times), len(values)) == (call + 1, call)
    may_end.set()
    worker.join(10)
    assert len(row[0]) == call + 1
    assert made.row is row


@pytest.mark.wallclock
@POOLS
@live
async def test_a_call_that_takes_its_time_now_and_then_loses_no_row_and_no_order(pool):
    got = []

    def sometimes(n):
        if n % 700 == 350:
            time.sleep(0.06)
        return n

    graph = (
        Graph("taken").add_producer("p", range(3_000)).set_loop("p", pool=pool)
        .add_node("a", sometimes).add_node("b", got.append).add_edge("p", "a", "b")
    )  # fmt: skip
    async with graph.start() as orch:
        await orch.wait(timeout=60)
        metrics = orch.metrics()["p"]
    assert got == list(range(3_000))
    assert (metrics.produced, metrics.done, metrics.open) == (3_000, 3_000, 0)
    assert [metrics.nodes[n].calls for n in "pab"] == [3_000] * 3


@pytest.mark.wallclock
@POOLS
@live
async def test_a_node_that_blocks_is_seen_paused_and_left_behind(pool):
    may_end, seen = threading.Event(), []

    def blocks(n):
        if n == 40:
            may_end.wait(30)
        return n

    graph = (
        Graph("blocks").add_producer("p", range(1_000)).set_loop("p", pool=pool)
        .add_node("a", blocks).add_node("b", seen.append).add_edge("p", "a", "b")
    )  # fmt: skip
    orch = graph.start()
    await until(lambda: len(seen) == 40)
    await until(lambda: orch.metrics()["p"].done == 40)
    orch.pause("p")
    await until(lambda: orch.status()["p"].state == "pausing", patience=2)
    begun = time.monotonic()
    await orch.stop(grace=0.5)
    assert time.monotonic() - begun < 3
    assert "a" in str(orch.status()["p"])
    may_end.set()


@pytest.mark.wallclock
@POOLS
@live
async def test_a_loop_beside_a_chain_that_computes_keeps_its_ticks(pool):
    ticks = []
    graph = Graph("beside").add_producer("busy", lambda: 1).set_loop("busy", pool=pool)
    graph.add_node("sums", lambda n: sum(range(500))).add_edge("busy", "sums")
    graph.add_producer("clock", lambda: 1, every=0.1).set_loop("clock", pool=pool)
    graph.add_node("tick", lambda n: ticks.append(time.monotonic())).add_edge("clock", "tick")
    async with graph.start() as orch:
        await until(lambda: len(ticks) >= 20)
        assert orch.metrics()["clock"].overruns <= 20


@pytest.mark.wallclock
@POOLS
@live
async def test_an_awaited_push_that_is_slow_holds_its_producer(pool, monkeypatch):
    push_all = Posts.push_all

    def late(posts, pushes, on_done):
        event_loop = asyncio.get_running_loop()
        push_all(posts, pushes, lambda replies: event_loop.call_later(0.2, on_done, replies))

    monkeypatch.setattr(Posts, "push_all", late)
    graph = Graph("slow").add_producer("p", lambda: 1).set_loop("p", pool=pool)
    graph.add_queue("q", kind="blocking", external=True).add_edge("p", "q")
    async with graph.start() as orch:
        begun = time.monotonic()
        await orch.wait(iterations=6, timeout=30)
        assert time.monotonic() - begun > 1.0


@pytest.mark.wallclock
@POOLS
@live
async def test_an_awaited_push_that_does_not_end_is_seen_paused_and_stopped_in_time(
    pool, monkeypatch
):
    push_all, held = Posts.push_all, []

    def never(posts, pushes, on_done):
        if len(held) < 30:
            push_all(posts, pushes, on_done)
        held.extend(pushes)

    monkeypatch.setattr(Posts, "push_all", never)
    graph = Graph("never").add_producer("p", range(100)).set_loop("p", pool=pool)
    graph.add_queue("q", kind="blocking", external=True).add_edge("p", "q")
    orch = graph.start()
    await until(lambda: len(held) == 31 and orch.metrics()["p"].open == 1)
    orch.pause("p")
    await until(lambda: orch.status()["p"].state == "pausing", patience=2)
    assert orch.metrics()["p"].open == 1
    begun = time.monotonic()
    await orch.stop(grace=0.5)
    assert time.monotonic() - begun < 3


class Counts(BlockingNode):
    """A class node that keeps count."""

    def setup(self, ctx):
        self.count = 0

    def run(self, data):
        self.count += 1
        return data.payload, self.count


@pytest.mark.wallclock
@POOLS
@pytest.mark.parametrize("watched", [False, True])
@live
async def test_rows_of_every_shape_give_what_items_give(pool, watched):
    spans = []

    class Watch(Observer):
        def on_span(self, span, output):
            spans.append((span.node, span.iteration, output))

    graph = Graph("shapes").add_producer("p", range(300)).set_loop("p", pool=pool)
    graph.add_if("odd", lambda n: n % 2 == 1).add_node("a", lambda n: n + 1, keep=None)
    graph.add_node("b", lambda n: -n, keep=None)
    graph.add_node("merged", lambda n, ctx: (n, ctx.meta["iteration"]), keep=None)
    graph.add_node("counts", Counts(), keep=None).add_node("both", lambda d: d, keep=None)
    graph.add_edge("p", "odd").add_edge("odd", "a", when=True).add_edge("odd", "b", when=False)
    graph.add_edge(["a", "b"], "merged").add_edge("p", "counts")
    graph.add_edge(["merged", "counts"], "both", copy=True)
    if watched:
        graph.use(Watch())
    async with graph.start() as orch:
        await orch.wait(timeout=60)
        found = {node: orch.outputs(node) for node in ("a", "b", "merged", "counts", "both")}
        metrics = orch.metrics()["p"]
    assert found["a"] == [n + 1 for n in range(300) if n % 2]
    assert found["b"] == [-n for n in range(300) if n % 2 == 0]
    merged = [(n + 1 if n % 2 else -n, n) for n in range(300)]
    counted = [(n, n + 1) for n in range(300)]
    assert (found["merged"], found["counts"]) == (merged, counted)
    both = [{"merged": m, "counts": c} for m, c in zip(merged, counted, strict=True)]
    assert found["both"] == both
    assert (metrics.done, metrics.nodes["a"].calls, metrics.nodes["odd"].calls) == (300, 150, 300)
    if watched:
        assert [output for node, _, output in spans if node == "odd"] == [
            n % 2 == 1 for n in range(300)
        ]


@pytest.mark.wallclock
@POOLS
@pytest.mark.parametrize("seconds", [0, 0.05], ids=["in its row", "taken out of it"])
@live
async def test_a_first_attempt_in_a_row_is_one_of_those_that_retry_allows(pool, seconds):
    calls, got = [], []

    def sometimes(n, ctx):
        calls.append((n, ctx.meta["attempt"]))
        if n % 10 == 3 and (n > 20 or ctx.meta["attempt"] < 3):
            time.sleep(seconds)
            raise OSError(n)
        return n

    retry = Retry(on=OSError, attempts=3, wait_initial=0.001, wait_max=0.001)
    graph = Graph("tried").add_producer("p", range(30)).set_loop("p", pool=pool)
    graph.add_node("a", sometimes, retry=retry).add_node("b", got.append).add_edge("p", "a", "b")
    async with graph.start() as orch:
        await orch.wait(timeout=60)
        metrics, spans = orch.metrics()["p"], orch.timeline().spans
    assert got == [n for n in range(30) if n != 23]
    assert calls == [(n, k) for n in range(30) for k in range(1, 4 if n % 10 == 3 else 2)]
    assert (metrics.done, metrics.failed, metrics.nodes["a"].retries) == (29, 1, 6)
    attempts = [(s.iteration, s.attempt) for s in spans if (s.node, s.kind) == ("a", "work")]
    assert attempts == calls
    tried = [s.duration for s in spans if (s.node, s.kind) == ("a", "work") and s.iteration == 3]
    assert min(tried[:2]) >= seconds


@pytest.mark.wallclock
@POOLS
@live
async def test_what_the_cache_knows_is_not_called_in_a_row_and_a_failure_is_not_kept(pool):
    calls, got = [], []

    def work(n):
        calls.append(n)
        if n == 3 and len(calls) < 6:
            raise OSError(n)
        return -n

    graph = Graph(f"known in {pool}").add_producer("p", lambda: next(source))
    graph.add_node("a", work, cache=lambda n: n).add_node("b", got.append).add_edge("p", "a", "b")
    graph.set_loop("p", pool=pool).clear_cache()
    source = iter([n % 5 for n in range(30)])
    async with graph.start() as orch:
        await orch.wait(timeout=60)
        metrics = orch.metrics()["p"]
    assert got == [-(n % 5) for n in range(30) if n != 3]
    assert calls == [0, 1, 2, 3, 4, 3]
    known = metrics.nodes["a"]
    assert (known.calls, known.failed, known.cached, metrics.done) == (6, 1, 24, 29)


def test_a_turn_lasts_five_milliseconds():
    assert turn.TURN == 5_000_000


@pytest.mark.wallclock
@POOLS
@pytest.mark.parametrize("limit", [0.015, 0.1], ids=["before its row is taken", "after that"])
@live
async def test_a_call_in_a_row_that_takes_too_long_has_timed_out_and_the_next_items_go_on(
    pool, limit
):
    may_end, tries, got = threading.Event(), [], []

    def node(n):
        tries.append(n)
        if n == 5 and tries.count(5) == 1:
            may_end.wait(20)
        return n

    graph = Graph("late").add_producer("p", range(300)).set_loop("p", pool=pool)
    graph.add_node("n", node, timeout=limit, retry=Retry(Exception, 5, 0.001))
    graph.add_node("m", got.append).add_edge("p", "n", "m")
    orch = graph.start()
    await orch.wait(timeout=20)
    metrics = orch.metrics()["p"]
    assert not may_end.is_set(), "it still blocks"
    assert got == list(range(300))
    assert metrics.done == 300
    assert metrics.nodes["n"].timeouts >= 1
    assert metrics.nodes["n"].abandoned >= 1
    assert tries.count(5) >= 2
    may_end.set()
    await orch.stop()


@pytest.mark.wallclock
@POOLS
@live
async def test_a_call_in_a_row_that_ended_after_its_timeout_has_timed_out(pool):
    def node(n):
        time.sleep(0.003 if n == 5 else 0)
        return n

    graph = Graph("late").add_producer("p", range(10)).set_loop("p", pool=pool)
    graph.add_node("n", node, timeout=0.002, keep=None).add_edge("p", "n")
    async with graph.start() as orch:
        await orch.wait(timeout=20)
        (failure,) = [f for f in orch.failures() if f.iteration == 5]
        assert "took longer than its timeout of 0.002 s" in str(failure.error)
        assert orch.metrics()["p"].nodes["n"].timeouts >= 1


@pytest.mark.wallclock
@POOLS
@live
async def test_a_generator_s_thread_is_never_left_to_a_node_that_has_timed_out(pool):
    threads = set()

    def items():
        for n in range(20):
            threads.add(threading.get_ident())
            yield n

    def node(n):
        time.sleep(0.05 if n in {3, 7} else 0)
        return n

    graph = Graph("late").add_producer("p", items).set_loop("p", pool=pool)
    graph.add_node("n", node, timeout=0.02, keep=None).add_edge("p", "n")
    async with graph.start() as orch:
        await orch.wait(timeout=20)
        assert {3, 7} <= {f.iteration for f in orch.failures()}
    assert len(threads) == 1


@pytest.mark.wallclock
@live
async def test_a_call_in_a_row_that_ends_in_time_has_not_timed_out_where_nobody_could_look():
    begun = threading.Event()

    def node(n):
        begun.set()
        time.sleep(0.08)
        return n

    graph = Graph("late").add_producer("p", [1]).set_loop("p", pool="asyncio")
    graph.add_node("n", node, timeout=0.3, keep=None).add_edge("p", "n")
    async with graph.start() as orch:
        await until(begun.is_set)
        await asyncio.sleep(0.04)  # it is taken out of its row
        time.sleep(0.5)  # noqa: ASYNC251 - a cell that computes
        await orch.wait(timeout=20)
        assert orch.outputs("n") == [1]
        assert orch.metrics()["p"].nodes["n"].timeouts == 0
