"""Section 3.4: what do pause, resume, stop and a new plan do to a running loop?

One `LoopManager` on a virtual clock, controlled by hand at exact times.
"""

from __future__ import annotations

import asyncio

from flownb import Limit
from flownb.errors import NodeFailed
from tests.support.lab import Bench, boom, calls, chain, fan, times, waits


def test_a_loop_goes_through_its_states_to_completed():
    bench = Bench(chain(("a", None, {"takes": 1}), source=[1, 2])).run()
    assert bench.states() == [(0, "starting"), (0, "running"), (2, "completed")]


def test_pause_takes_effect_at_the_release_and_is_pausing_until_then():
    bench = Bench(chain(("a", None, {"takes": 4}), source=[1, 2]))
    bench.at(1, bench.manager.control.pause, "I said so").at(10, bench.manager.control.resume).run()
    assert bench.states()[2:] == [(1, "pausing"), (4, "paused"), (10, "running"), (14, "completed")]
    assert times(bench, "released") == [4, 14]


def test_a_pause_between_two_items_takes_effect_at_once_and_the_next_item_comes_after_it():
    bench = Bench(chain("a", source=[1, 2, 3], every=2))
    bench.at(1, bench.manager.control.pause).at(3, bench.manager.control.resume).run()
    assert bench.states()[2:4] == [(1, "pausing"), (1, "paused")]
    assert times(bench, "produced") == [0, 4, 6]


def test_ticks_during_a_pause_do_not_count_as_overruns():
    bench = Bench(chain("a", source=range(3), every=1))
    bench.at(0.5, bench.manager.control.pause).at(7.5, bench.manager.control.resume).run()
    assert times(bench, "produced") == [0, 8, 9]
    assert bench.metrics.overruns == 0


def test_detached_work_goes_on_during_a_pause():
    bench = Bench(fan(("n", None, {"kind": "non_blocking", "takes": 5}), source=[1, 2], every=1))
    bench.at(0.5, bench.manager.control.pause).at(20, bench.manager.control.resume).run()
    assert calls(bench, "n") == [(0, 5), (20, 25)]
    assert times(bench, "settled") == [5, 25]


def test_resume_before_the_release_takes_the_pause_back():
    bench = Bench(chain(("a", None, {"takes": 4}), source=[1, 2]))
    bench.at(1, bench.manager.control.pause).at(2, bench.manager.control.resume).run()
    assert times(bench, "released") == [4, 8]
    assert "paused" not in [state for _, state in bench.states()]


def test_stop_makes_no_new_item_and_waits_for_what_is_in_flight():
    graph = fan(("n", None, {"kind": "non_blocking", "takes": 5}), every=1)
    bench = Bench(graph)
    bench.at(2.5, bench.manager.control.stop).run()
    assert times(bench, "produced") == [0, 1, 2]
    assert times(bench, "settled") == [5, 6, 7]
    assert bench.states()[-2:] == [(2.5, "stopping"), (7, "stopped")]


def test_stop_cancels_and_counts_what_is_not_done_after_its_grace():
    graph = fan(("n", None, {"kind": "non_blocking", "takes": 5}), every=1)
    bench = Bench(graph)
    bench.at(2.5, bench.manager.control.stop, 3).run()
    assert times(bench, "settled")[:1] == [5]
    assert bench.metrics.done == 1
    assert bench.metrics.cancelled == 2
    assert bench.states()[-1] == (5.5, "stopped")
    assert bench.metrics.open == 0


def test_the_shorter_of_two_graces_counts():
    bench = Bench(fan(("n", None, {"kind": "non_blocking", "takes": 50}), source=[1]))
    bench.at(1, bench.manager.control.stop, 100).at(2, bench.manager.control.stop, 3).run()
    assert bench.states()[-1] == (5, "stopped")


def test_stop_during_a_pause_ends_the_loop_at_once():
    bench = Bench(chain("a", every=1))
    bench.at(0.5, bench.manager.control.pause).at(9, bench.manager.control.stop).run()
    assert bench.states()[-1] == (9, "stopped")


def test_a_stop_ends_an_async_producer_that_waits():
    async def source():
        await asyncio.sleep(1000)

    bench = Bench(chain("a", source=source))
    bench.at(3, bench.manager.control.stop).run()
    assert bench.states()[-1] == (3, "stopped")


def test_a_stop_cancels_calls_that_wait_for_a_limit_or_a_slot():
    options = {"kind": "non_blocking", "takes": 5, "limit": Limit(concurrency=1)}
    graph = fan(("n", None, options), source=range(9)).set_loop("p", max_in_flight=3)
    bench = Bench(graph)
    bench.at(6, bench.manager.control.stop, 1).run()
    assert calls(bench, "n") == [(0, 5)]
    assert bench.states()[-1] == (7, "stopped")
    assert bench.metrics.open == 0


def test_on_error_stop_ends_the_loop_in_state_error_and_keeps_the_cause():
    bench = Bench(
        chain(("a", boom, {"takes": 2}), source=[1, 2]).set_loop("p", on_error="stop")
    ).run()
    assert bench.states()[-1] == (2, "error")
    assert isinstance(bench.manager.error, NodeFailed)
    assert str(bench.manager.error.__cause__) == "no 1"
    assert times(bench, "produced") == [0]


def test_an_item_runs_wholly_in_the_generation_in_which_it_was_produced():
    graph = chain(
        ("a", lambda _: "old a", {"takes": 3}), ("b", lambda x: [x, "old b"], {}), source=[1, 2]
    )
    bench = Bench(graph)
    bench.at(1, lambda: graph.add_node("a", lambda _: "new a", takes=3))
    bench.at(1, lambda: graph.add_node("b", lambda x: [x, "new b"]))
    bench.edit(1).run()
    assert list(bench.kept.kept["b"]) == [["old a", "old b"], ["new a", "new b"]]


def test_a_plan_that_comes_during_a_pause_is_there_at_the_resume():
    graph = chain(("a", lambda _: "old", {}), source=[1, 2], every=2)
    bench = Bench(graph)
    bench.at(1, bench.manager.control.pause).at(1, lambda: graph.add_node("a", lambda _: "new"))
    bench.edit(1.5).at(3, bench.manager.control.resume).run()
    assert list(bench.kept.kept["a"]) == ["old", "new"]


def test_an_edit_keeps_the_place_of_the_source_and_the_state_of_the_nodes():
    def count(_, ctx):
        ctx.state["n"] = ctx.state.get("n", 0) + 1
        return ctx.state["n"]

    graph = chain(("a", count, {}), "b", source=[1, 2, 3], every=2)
    bench = Bench(graph)
    bench.at(1, lambda: graph.add_node("b", takes=0.5)).edit(1).run()
    assert list(bench.kept.kept["a"]) == [1, 2, 3]
    assert times(bench, "produced") == [0, 2, 4]


def test_more_slots_count_from_the_next_item_on():
    graph = fan(("n", None, {"kind": "non_blocking", "takes": 10}), source=[1, 2, 3, 4])
    bench = Bench(graph.set_loop("p", max_in_flight=1))
    bench.at(3, lambda: graph.set_loop("p", max_in_flight=5)).edit(3).run()
    assert calls(bench, "n") == [(0, 10), (10, 20), (10, 20), (10, 20)]


def test_the_producer_s_wait_for_its_await_set_is_a_span():
    bench = Bench(chain(("a", None, {"takes": 4}), source=[1, 2], takes=1)).run()
    assert waits(bench, "p", "wait") == [(0, 1, 5), (1, 6, 10)]
    assert (bench.metrics.working, bench.metrics.waiting) == (2, 8)
