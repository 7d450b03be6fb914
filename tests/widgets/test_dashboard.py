"""Does the dashboard follow a real run, control it, and stay small?"""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from flownb import Graph
from tests.support.live import live, one, same, until
from tests.support.widgets import noted

pytestmark = pytest.mark.wallclock


def key(view, name, loop=0):
    """The value the browser would have now."""
    return view.state.get(f"dashboard/l{loop}.{name}")


def two_loops():
    return (
        Graph("two")
        .add_producer("days", every=0.01)
        .add_queue("wet")
        .add_edge("days", "wet")
        .add_queue_reader("storms", queue="wet")
        .add_node("rank", same)
        .add_edge("storms", "rank")
    )


@live
async def test_states_figures_and_queues_of_a_run_arrive():
    async with two_loops().start() as orch:
        view = orch.dashboard()
        view.start()
        await until(lambda: (key(view, "rate")[0] or 0) > 10, "a rate")
        await until(lambda: key(view, "items", 1)[0] > 5, "the reader's items")
        await until(lambda: "dashboard/q0.now" in view.state, "the queue")
        assert [x["name"] for x in view.scene["dashboard"]["loops"]] == ["days", "storms"]
        assert key(view, "state") == ["running", ""]
        assert view.state["dashboard/q0.now"][0] >= 0
        json.dumps(view.state, allow_nan=False)
        view.close()


@live
async def test_a_history_comes_when_a_page_unfolds_it_and_costs_nothing_before():
    async with two_loops().start() as orch:
        view = orch.dashboard()
        view.start()
        await until(lambda: "dashboard/q0.now" in view.state)
        assert not [k for k in view.state if k.endswith("past")]
        view._on_command(None, {"do": "history", "on": True}, [])
        await until(lambda: len((key(view, "past") or [[]])[0]) > 2, "points")
        rates, flight, failed = key(view, "past")
        assert len(rates) == len(flight) == len(failed)
        assert max(rates) > 0
        assert len(view.state["dashboard/q0.past"]) == 1
        assert view.state["dashboard/past"] >= 2
        json.dumps(view.state, allow_nan=False)
        view._on_command(None, {"do": "history", "on": False}, [])
        await until(lambda: not [k for k in view.state if k.endswith("past")])
        view.close()


@live
async def test_every_button_does_what_it_says_to_one_loop_or_to_all():
    async with two_loops().start() as orch:
        view = orch.dashboard()
        await orch.wait(iterations=2, timeout=30)
        view._on_command(None, {"do": "pause", "loop": "days"}, [])
        await until(lambda: orch.status()["days"].state == "paused")
        assert orch.status()["storms"].state == "running"
        made = orch.status()["days"].iterations
        view._on_command(None, {"do": "step", "loop": "days"}, [])
        await until(lambda: orch.status()["days"].iterations == made + 1)
        await until(lambda: orch.status()["days"].state == "paused")
        view._on_command(None, {"do": "resume"}, [])
        await until(lambda: orch.status()["days"].iterations > made + 3)
        view._on_command(None, {"do": "stop"}, [])
        await until(orch.is_over)
        view.close()


@live
async def test_a_loop_that_was_added_gets_a_row():
    graph = one(every=0.01)
    async with graph.start() as orch:
        view = orch.dashboard()
        view.start()
        graph.add_producer("more", every=0.01)
        await orch.apply()
        await until(lambda: len(view.scene["dashboard"]["loops"]) == 2)
        await until(lambda: (key(view, "items", 1) or [0])[0] > 3)
        view.close()


@live
async def test_a_queue_server_that_is_gone_costs_only_the_figures_of_its_queues():
    async with two_loops().start() as orch:
        view = orch.dashboard()
        view.start()
        await until(lambda: "dashboard/q0.now" in view.state)

        async def gone(_):
            raise ConnectionError("gone")

        orch.queues.stats = gone
        await until(lambda: "dashboard/q0.now" not in view.state)
        assert "error" not in view.state
        view.close()


@live
async def test_a_run_that_is_over_is_shown_as_it_ended():
    orch = one([1, 2, 3]).start()
    view = orch.dashboard()
    view.start()
    await orch.wait(timeout=30)
    await until(lambda: (key(view, "state") or [""])[0] == "completed")
    assert key(view, "items")[:2] == [3, 3]
    assert "✓ completed" in view.still()
    await until(lambda: not view._ticking)
    view.close()


@live
async def test_the_queues_of_a_run_that_is_over_are_read_once_more():
    graph = two_loops().add_producer("days", range(40), every=0.001)
    orch = graph.add_node("rank", lambda x: time.sleep(0.05) or x).start()
    view = orch.view()
    view.start()
    await until(lambda: (view.state.get("dashboard/q0.now") or [0])[0] > 3, "a backlog")
    await orch.wait(timeout=30)
    await until(lambda: not view._ticking)
    assert view.state["dashboard/q0.now"] == [0, 0, 0, 0]
    assert key(view, "rate", 1) == [
        None,
        [40, pytest.approx(orch.metrics()["storms"].elapsed, rel=0.01)],
    ]
    box = next(b["id"] for b in view.scene["dag"]["boxes"] if b["name"] == "wet")
    assert view.state[f"dag/gauge {box}"][0] == 0
    view.close()


@live
async def test_all_parts_of_all_views_tell_of_one_moment():
    async with two_loops().start() as orch:
        views = [orch.view(), orch.dag(), orch.dashboard()]
        for _ in range(30):
            await asyncio.sleep(0.03)
            for view in views:
                view.refresh()
            said = [
                (value[1], value[2], value[3])
                for view in views for name, value in view.state.items()
                if name.startswith("dag/loop 0")
            ]  # fmt: skip
            told = [
                (key(view, "state")[0], key(view, "items")[0], key(view, "rate")[0])
                for view in views if "dashboard" in view.scene
            ]  # fmt: skip
            assert len({*said, *told}) == 1, (said, told)
        for view in views:
            view.close()


@live
async def test_what_is_sent_each_second_is_bounded_however_fast_the_loop():
    async with one(fn=same, node={"keep": 1}).start() as orch:
        await orch.wait(iterations=2_000, timeout=30)
        view = orch.dashboard()
        sent = noted(view)
        view.start()
        begin = time.monotonic()
        await asyncio.sleep(1.5)
        seconds = time.monotonic() - begin
        view.close()
    assert 2 <= len(sent) <= 10 * seconds + 3
    assert sum(len(json.dumps(m)) for m in sent) < 5_000 * seconds
