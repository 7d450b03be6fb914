"""Do rows that begin in the middle of a loop give what single calls give, and tell what is so?"""

from __future__ import annotations

import asyncio
import threading
import time
from random import Random

import pytest

from flownb import Graph, Limit, Observer, Retry
from flownb.engine.calls import token_row
from tests.support.batches import batches
from tests.support.live import blocked, let_go, live, until

pytestmark = pytest.mark.wallclock
POOLS = pytest.mark.parametrize("pool", ["thread", "asyncio"])
ITEMS = 9  # a node that never works pauses its loop at the tenth


async def first(n):
    """An async node: what is behind it begins in the middle of the loop."""
    return n


def random_graph(seed, pool):
    """A loop of sync and async nodes, ifs, conditions, merges and joins behind an async node."""
    rng = Random(seed)
    graph = Graph("random").add_producer("p", range(ITEMS)).set_loop("p", pool=pool)
    graph.add_node("n0", first, keep=None).add_edge("p", "n0")
    ifs, join = set(), rng.choice(["all", "all", "each"])
    for i in range(1, rng.randint(4, 9)):
        name = f"n{i}"
        sources = sorted({f"n{rng.randrange(i)}" for _ in range(rng.choice([1, 1, 2]))})
        if rng.random() < 0.2:
            graph.add_if(name, odd(i))
            ifs.add(name)
            del sources[1:]
        else:
            kind = rng.choice(["blocking", "blocking", "non_blocking"])
            options = {"kind": kind, "keep": None, **rng.choice(OPTIONS)}
            if len(sources) > 1:
                options["join"] = join
            graph.add_node(name, rng.choice(FUNCTIONS)(i), **options)
        for source in sources:
            if source in ifs:
                graph.add_edge(source, name, when=rng.random() < 0.5)
            elif rng.random() < 0.2:
                graph.add_edge(source, name, condition=odd(i + 1))
            else:
                graph.add_edge(source, name)
    for name in ifs:
        graph.add_node(f"behind {name}", plain(0), keep=None)
        graph.add_edge(name, f"behind {name}", when=True)
    return graph


def number(payload):
    """One number for a payload of any shape."""
    return sum(map(number, payload.values())) if isinstance(payload, dict) else int(payload)


def odd(i):
    return lambda payload: (number(payload) + i) % 2 == 1


def plain(i):
    return lambda payload: number(payload) + i


def asynchronous(i):
    async def node(payload):
        return number(payload) + i

    return node


def placed(i):
    def node(payload, ctx):
        return number(payload) * 100 + ctx.meta["iteration"] + i

    return node


def failing(i):
    def node(payload):
        if number(payload) % 7 == i % 7:
            raise ValueError(payload)
        return number(payload)

    return node


FUNCTIONS = [plain, plain, plain, asynchronous, placed, failing]
OPTIONS = [
    {}, {}, {"retry": Retry(ValueError, 2, 0)}, {"timeout": 60}, {"limit": Limit(concurrency=3)},
]  # fmt: skip


def given(result, graph):
    """What each node has given, and how often it was called; the order of items is no matter."""
    return {name: sorted(map(repr, result.outputs(name))) for name in graph.nodes if name != "p"}


@pytest.mark.parametrize("seed", batches(12, 300, 1))
@live
async def test_a_live_loop_gives_what_its_simulation_gives(seed):
    graph = random_graph(seed, Random(seed).choice(["thread", "asyncio"]))
    told = []

    class Watch(Observer):
        def on_span(self, span, output):
            told.append((span.node, span.iteration, span.kind))

    if seed % 2:
        graph.use(Watch())
    expected = given(graph.simulate(), graph)
    told.clear()
    async with graph.start() as orch:
        await orch.wait(timeout=60)
        found, metrics = given(orch, graph), orch.metrics()["p"]
    assert found == expected
    assert metrics.done + metrics.failed == ITEMS
    assert metrics.open == 0


@POOLS
@live
async def test_the_nodes_behind_an_async_one_are_called_in_one_thread_of_the_pool(pool):
    threads = {}

    def node(name):
        def fn(n):
            threads.setdefault(name, set()).add(threading.current_thread().name)
            return n

        return fn

    graph = Graph("threads").add_producer("p", range(10)).set_loop("p", pool=pool)
    graph.add_node("x", first).add_node("a", node("a")).add_if("i", node("i"))
    graph.add_node("b", node("b")).add_edge("p", "x", "a", "i").add_edge("i", "b", when=True)
    graph.add_node("c", first).add_edge("x", "c").add_node("d", node("d"))
    graph.add_edge("c", "d", condition=node("a condition"))
    async with graph.start() as orch:
        await orch.wait(timeout=30)
    assert set(threads) == {"a", "i", "b", "d", "a condition"}
    for names in threads.values():
        assert all(name.startswith("flownb p ") for name in names), names


@POOLS
@live
async def test_what_has_ended_before_a_call_that_blocks_is_seen_and_the_call_is_named(pool):
    def blocks(n):
        if n == 3:
            blocked()
        return n

    graph = Graph("seen").add_producer("p", range(10)).set_loop("p", pool=pool)
    graph.add_node("x", first).add_node("a", lambda n: n).add_node("b", lambda n: n, keep=None)
    graph.add_node("c", blocks).add_node("d", lambda n: n).add_edge("p", "x", "a", "b", "c", "d")
    orch = graph.start()
    await until(lambda: orch.metrics()["p"].done == 3)
    since = time.monotonic()
    await until(lambda: orch.outputs("b") == [0, 1, 2, 3])
    assert time.monotonic() - since < 5
    nodes = orch.metrics()["p"].nodes
    assert [nodes[name].calls for name in "abcd"] == [4, 4, 3, 3]
    await orch.stop(grace=0.2)
    assert "abandoned: c" in str(orch.status()["p"])
    let_go()


@POOLS
@live
async def test_a_call_behind_an_async_node_that_takes_too_long_is_tried_again(pool):
    may_end, tries, got = threading.Event(), [], []

    def node(n):
        tries.append(n)
        if n == 5 and tries.count(5) == 1:
            may_end.wait(20)
        return n

    graph = Graph("late").add_producer("p", range(30)).set_loop("p", pool=pool)
    graph.add_node("x", first).add_node("a", lambda n: n)
    graph.add_node("n", node, timeout=0.1, retry=Retry(Exception, 5, 0.001))
    graph.add_node("m", got.append).add_edge("p", "x", "a", "n", "m")
    orch = graph.start()
    await orch.wait(timeout=20)
    metrics = orch.metrics()["p"]
    assert not may_end.is_set(), "it still blocks"
    assert got == list(range(30))
    assert metrics.nodes["n"].timeouts >= 1
    assert metrics.nodes["n"].abandoned >= 1
    may_end.set()
    await orch.stop()


@POOLS
@live
async def test_a_time_limit_behind_a_generator_is_kept_to_the_moment(pool):
    def items():
        yield from range(3)

    def node(n):
        if n == 1:
            blocked()
        return n

    took = []

    class Watch(Observer):
        def on_event(self, event):
            if event.kind == "timeout":
                took.append(event.time)

        def on_span(self, span, output):
            if span.node == "p" and span.iteration == 1 and span.kind == "work":
                took.append(span.end)

    graph = Graph("kept").add_producer("p", items).set_loop("p", pool=pool, on_error="skip")
    graph.add_node("n", node, timeout=0.2).add_edge("p", "n").use(Watch())
    orch = graph.start()
    await orch.wait(timeout=20)
    metrics = orch.metrics()["p"]
    assert (metrics.done, metrics.failed, metrics.nodes["n"].timeouts) == (2, 1, 1)
    made, late = took
    assert 0.2 <= late - made < 2
    let_go()
    await orch.stop()


@POOLS
@live
async def test_of_a_join_that_is_decided_the_losers_in_a_row_are_given_up(pool):
    begun = [threading.Event(), threading.Event()]

    def slow(n):
        begun[n].set()
        blocked()
        return n

    async def quick(n):
        await asyncio.to_thread(begun[n].wait, 10)
        return n

    graph = Graph("first").add_producer("p", range(2)).set_loop("p", pool=pool)
    graph.add_node("x", first).add_node("a", lambda n: n).add_node("slow", slow)
    graph.add_node("quick", quick).add_node("j", lambda n: n, join="first", keep=None)
    graph.add_edge("p", "x", "a", "slow", "j").add_edge("x", "quick", "j")
    orch = graph.start()
    await orch.wait(timeout=20)
    metrics = orch.metrics()["p"]
    assert (metrics.done, orch.outputs("j")) == (2, [0, 1])
    assert metrics.nodes["slow"].abandoned == 2
    let_go()
    await orch.stop()


@POOLS
@live
async def test_an_observer_hears_of_each_start_in_a_row_and_of_what_is_bypassed(pool):
    told = []

    class Watch(Observer):
        def on_event(self, event):
            if event.kind in {"started", "bypassed"}:
                told.append((event.kind, event.node))

    graph = Graph("told").add_producer("p", [1]).set_loop("p", pool=pool).use(Watch())
    graph.add_node("a", lambda n: n).add_node("x", first).add_node("b", lambda n: n)
    graph.add_if("i", lambda n: n == 1).add_node("y", lambda n: n).add_node("z", lambda n: n)
    graph.add_edge("p", "a", "x", "b", "i").add_edge("i", "y", when=True)
    graph.add_edge("i", "z", when=False)
    async with graph.start() as orch:
        await orch.wait(timeout=20)
    starts = [node for kind, node in told if kind == "started"]
    assert [node for node in starts if node != "p"] == ["a", "x", "b", "i", "y"]
    assert [node for kind, node in told if kind == "bypassed"] == ["z"]


@live
async def test_what_may_follow_a_call_is_looked_for_only_behind_it(
    monkeypatch,
):
    looked = []

    def counted(runner, **options):
        looked.append(runner.name)
        return fits(runner, **options)

    fits = token_row.can_stand_in_row
    monkeypatch.setattr(token_row, "can_stand_in_row", counted)
    graph = Graph("fan").add_producer("p", range(3)).add_node("x", first).add_edge("p", "x")
    for i in range(200):
        graph.add_node(f"n{i}", int).add_node(f"m{i}", int).add_edge("x", f"n{i}", f"m{i}")
    async with graph.start() as orch:
        await orch.wait(timeout=30)
    assert sorted(looked) == sorted(f"m{i}" for i in range(200))
