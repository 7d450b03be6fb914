"""Do runs behave as users of other engines expect? Cases from their test suites, in our words."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from flownb import Graph, NodeTimeout, Retry
from flownb.errors import StoreError
from flownb.stores import open_store


def plus_one(n: int) -> int:
    return n + 1


def test_two_steps_of_plus_one_make_four_of_two() -> None:
    graph = Graph("g").add_node("one", plus_one).add_node("two", plus_one).add_edge("one", "two")
    assert graph.run(2).state == 4


def test_a_total_that_is_kept_under_an_id_grows_from_run_to_run_and_survives_a_failure() -> None:
    store, dropped = open_store("memory://"), [True]

    def add(state):
        if dropped:
            dropped.clear()
            raise ConnectionError("once")
        if state["input"] + state["total"] > 10:
            raise ValueError("too much")
        return {"total": state["total"] + state["input"]}

    retry = Retry(on=ConnectionError, wait_initial=0)
    graph = Graph("sum").add_node("add", add, retry=retry)

    def total(of: str) -> int:
        try:
            return store.runs.load(of).state["total"]
        except StoreError:
            return 0

    def run(of: str, number: int) -> int:
        entry = {"total": total(of), "input": number}
        return graph.run(entry, store=store, run_id=of).state["total"]

    assert [run("a", 2), run("a", 5)] == [2, 7]
    assert store.runs.load("a").status == "completed"
    with pytest.raises(ValueError, match="too much"):
        run("a", 4)
    assert total("a") == 7
    assert run("b", 1) == 1


def test_the_time_of_the_first_attempt_stays_and_later_ones_have_their_own() -> None:
    starts = []

    def shaky(state, ctx):
        starts.append((ctx.meta["attempt"], ctx.clock.time()))
        if len(starts) < 3:
            raise OSError("not yet")
        return {}

    retry = Retry(on=OSError, wait_initial=0.01, wait_exp_base=2)
    Graph("g").add_node("a", shaky, retry=retry).simulate()
    assert [(attempt, round(at, 6)) for attempt, at in starts] == [(1, 0), (2, 0.01), (3, 0.03)]


def test_a_sync_sleep_inside_an_async_node_is_longer_than_its_timeout_all_the_same() -> None:
    async def rude(_):
        time.sleep(0.05)  # noqa: ASYNC251 - the very thing that is tried
        return {"done": True}

    graph = Graph("g").add_node("a", rude, timeout=0.01)
    with pytest.raises(NodeTimeout):
        graph.run({})
    assert (graph.last_run.status, graph.last_run.state) == ("failed", {})


def test_what_comes_after_a_timeout_changes_neither_state_nor_shared_lists() -> None:
    go_on, ended = threading.Event(), threading.Event()

    def slow(state):
        go_on.wait(20)
        ended.set()
        return {"late": True}

    graph = Graph("g").add_node("a", lambda _: {"x": 1}).add_node("slow", slow, timeout=0.05)
    with pytest.raises(NodeTimeout):
        graph.add_edge("a", "slow").run({})
    go_on.set()
    assert ended.wait(20)
    assert graph.last_run is not None
    assert graph.last_run.state == {"x": 1}


def test_the_first_result_wins_and_side_effects_of_the_losers_stay() -> None:
    made = []

    async def quick(state):
        made.append("quick")
        return {"winner": "quick"}

    async def slow(state):
        made.append("slow began")
        await asyncio.sleep(60)
        made.append("slow ended")
        return {"winner": "slow"}

    graph = (
        Graph("race")
        .add_node("slow", slow)
        .add_node("quick", quick)
        .add_node("sink", lambda s: {"seen": s["winner"]}, join="first")
        .add_edge("slow", "sink")
        .add_edge("quick", "sink")
    )
    run = graph.run({})
    assert run.state == {"winner": "quick", "seen": "quick"}
    assert made == ["slow began", "quick"]
    assert "slow" not in [e.node for e in run.logs]


def test_of_a_tolerated_and_a_hard_failure_at_one_level_the_hard_one_is_raised_last_or_first() -> (
    None
):
    def soft(_):
        raise OSError("soft")

    def hard(_):
        raise KeyError("hard")

    for order in (["soft", "hard"], ["hard", "soft"]):
        graph = Graph("g")
        for name in order:
            if name == "soft":
                graph.add_node("soft", soft, on_error="continue")
            else:
                graph.add_node("hard", hard)
        with pytest.raises(KeyError, match="hard"):
            graph.run({}, start_rule="level")


def test_a_map_that_failed_at_one_element_makes_only_that_one_again() -> None:
    store, calls, broken = open_store("memory://"), [], [True]

    def work(n):
        calls.append(n)
        if n == 2 and broken:
            raise ValueError("two")
        return n * 10

    graph = Graph("map").add_node("work", work, over="items", into="out")
    with pytest.raises(ValueError, match="two"):
        graph.run({"items": [1, 2, 3, 4]}, store=store, run_id="m")
    broken.clear()
    calls.clear()
    assert graph.resume("m").state["out"] == [10, 20, 30, 40]
    assert calls == [2]


def test_an_item_that_failed_is_passed_over_once_and_those_behind_it_go_on() -> None:
    calls = []

    def work(n):
        calls.append(n)
        if n == 2:
            raise ValueError("two")
        return n

    graph = Graph("map").add_producer("items", [1, 2, 3, 4]).add_node("work", work, keep=9)
    sim = graph.add_edge("items", "work").simulate()
    assert calls == [1, 2, 3, 4]
    assert sim.outputs("work", last=9) == [1, 3, 4]
    assert sim.metrics["items"].failed == 1
