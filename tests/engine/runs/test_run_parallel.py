"""Does a run use the workers it may, no more, in a good order? Graham, speed, size."""

from __future__ import annotations

import asyncio
import random
import threading
import time

import pytest

from flownb import Graph, Limit


def random_dag(seed: int, count: int = 40) -> Graph:
    """A DAG of *count* nodes with declared lengths; most have parents shortly before them."""
    rng = random.Random(seed)
    graph = Graph("dag")
    for i in range(count):
        graph.add_node(f"n{i}", takes=rng.randint(1, 20))
        for p in {rng.randrange(max(0, i - 8), i) for _ in range(rng.randint(0, 2))} if i else ():
            graph.add_edge(f"n{p}", f"n{i}")
    return graph


def work_of(graph: Graph) -> tuple[float, float]:
    """Give the sum of all lengths and that of the longest way."""
    longest: dict[str, float] = {}
    for name, node in graph.nodes.items():
        before = [longest[e.source] for e in graph.edges.values() if e.target == name]
        longest[name] = max(before, default=0.0) + float(node.takes)  # type: ignore[arg-type]
    return sum(float(n.takes) for n in graph.nodes.values()), max(longest.values())  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(6))
def test_grahams_bound_holds_for_every_number_of_workers(seed: int) -> None:
    graph = random_dag(seed)
    total, longest = work_of(graph)
    for k in range(1, 41, 3):
        end = graph.simulate(max_concurrency=k).timeline.end
        assert max(total / k, longest) <= end <= total / k + longest * (k - 1) / k + 1e-6
    assert graph.simulate().timeline.end == longest


def test_a_run_and_its_simulation_start_the_same_nodes_in_the_same_order() -> None:
    for seed in range(5):
        graph = random_dag(seed, 15)
        run = graph.run({}, max_concurrency=1)
        assert run.visited == [s.node for s in graph.simulate(max_concurrency=1).timeline]


def test_two_sleeps_of_one_and_two_seconds_end_after_two() -> None:
    async def nap(seconds):
        await asyncio.sleep(seconds)

    graph = Graph("g").add_node("one", lambda _, ctx: nap(1)).add_node("two", lambda _, ctx: nap(2))
    assert graph.simulate().duration == 2.0


@pytest.mark.parametrize("k", [1, 2, 3])
def test_never_more_than_max_concurrency_run_at_once_live(k: int) -> None:
    busy, most, lock = [0], [0], threading.Lock()

    def work(_):
        with lock:
            busy[0] += 1
            most[0] = max(most[0], busy[0])
        time.sleep(0.005)
        with lock:
            busy[0] -= 1

    graph = Graph("g")
    for i in range(9):
        graph.add_node(f"n{i}", work)
    graph.run({}, max_concurrency=k)
    assert most[0] <= k


def test_level_by_level_is_slower_and_keeps_the_barrier() -> None:
    graph = Graph("g").add_node("a", takes=1).add_node("b", takes=5)
    graph.add_node("a2", takes=5).add_node("b2", takes=1).add_edge("a", "a2").add_edge("b", "b2")
    assert graph.simulate().duration == 6
    assert graph.simulate(start_rule="level").duration == 10
    assert graph.run({}, start_rule="level").visited[:2] == ["a", "b"]


def test_sequential_is_one_after_the_other() -> None:
    graph = Graph("g").add_node("a", takes=1).add_node("b", takes=5).add_node("c", takes=2)
    assert graph.simulate(start_rule="sequential").duration == 8
    assert graph.run({}, start_rule="sequential").visited == ["a", "b", "c"]


def test_a_shared_limit_serialises_two_nodes() -> None:
    limit = Limit(concurrency=1)
    graph = Graph("g").add_node("a", takes=2, limit=limit).add_node("b", takes=3, limit=limit)
    assert graph.simulate().duration == 5


def test_rows_of_sync_nodes_share_a_thread_and_arms_do_not() -> None:
    threads: dict[str, int] = {}
    together = threading.Barrier(2)

    def work(name: str):
        def call(_):
            threads[name] = threading.get_ident()
            if name in {"b", "y"}:
                together.wait(5)  # at work at the same time: each arm has a thread

        return call

    graph = Graph("g")
    for name in ("a", "b", "x", "y"):
        graph.add_node(name, work(name))
    graph.add_edge("a", "b").add_edge("x", "y")
    shared = []
    for _ in range(5):  # a row that was held up for 5 ms is told of, and may go on elsewhere
        graph.run({})
        assert threads["b"] != threads["y"]
        assert threading.get_ident() not in threads.values()
        shared.append(threads["a"] == threads["b"] and threads["x"] == threads["y"])
    assert any(shared)


def test_a_row_of_longer_nodes_tells_of_each_and_a_cancelled_one_keeps_what_is_done() -> None:
    hold, reached = threading.Event(), threading.Event()

    def block(_):
        reached.set()
        hold.wait(5)

    graph = Graph("g").add_node("a", lambda _: time.sleep(0.01) or {"a": 1})
    graph.add_node("b", block).add_node("c").add_edge("a", "b", "c")

    async def cancelled() -> None:
        task = asyncio.create_task(graph.arun({}))
        await asyncio.to_thread(reached.wait, 5)
        task.cancel()
        await asyncio.wait([task])

    try:
        asyncio.run(cancelled())
    finally:
        hold.set()
    run = graph.last_run
    assert run is not None
    assert (run.status, run.state) == ("cancelled", {"a": 1})
    assert run.nodes == {"a": "completed", "b": "cancelled", "c": "pending"}


def test_a_row_that_fails_in_the_middle_keeps_what_was_done() -> None:
    def boom(_):
        raise ValueError("no")

    graph = Graph("g").add_node("a", lambda _: {"a": 1}).add_node("b", lambda _: {"b": 2})
    graph.add_node("c", boom).add_node("d").add_edge("a", "b", "c", "d")
    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            graph.run({})
        run = graph.last_run
        assert run is not None
        assert run.state == {"a": 1, "b": 2}
        assert [(e.node, e.status) for e in run.logs] == [
            ("a", "completed"), ("b", "completed"), ("c", "failed"),
        ]  # fmt: skip


def test_a_run_does_not_know_of_the_one_before_it() -> None:
    def count(_, ctx):
        ctx.state["n"] = ctx.state.get("n", 0) + 1
        return {"n": ctx.state["n"]}

    graph = (
        Graph("g").add_node("a", count).add_node("b", lambda s: {"m": s["n"]}).add_edge("a", "b")
    )
    assert [graph.run({}).state for _ in range(3)] == [{"n": 1, "m": 1}] * 3


@pytest.mark.wallclock
@pytest.mark.parametrize(
    "count",
    [10_000, pytest.param(100_000, marks=[pytest.mark.nightly, pytest.mark.timeout(300)])],
)
def test_a_long_chain_and_a_state_of_10_mb(count: int) -> None:
    graph = Graph("long")
    names = [f"n{i}" for i in range(count)]
    for name in names:
        graph.add_node(name, lambda s: {"n": s["n"] + 1})
    big = {"n": 0, "blob": bytes(10_000_000)}
    run = graph.add_edge(*names).run(big)
    assert run.state["n"] == count
    assert run.state["blob"] is big["blob"]
    assert len(repr(run)) < 300


@pytest.mark.wallclock
def test_deep_wide_and_many_runs_at_once_stay_apart() -> None:
    graph = Graph("wide").add_node("split").add_node("join", lambda s: {"sum": sum(s.values())})
    for i in range(50):
        graph.add_node(f"w{i}", lambda s, i=i: {f"w{i}": s["n"] * i})
        graph.add_edge("split", f"w{i}", "join")

    async def ten() -> list[int]:
        runs = await asyncio.gather(*(graph.arun({"n": n}) for n in range(10)))
        return [run.state["sum"] for run in runs]

    assert asyncio.run(ten()) == [n * sum(range(50)) + n for n in range(10)]
