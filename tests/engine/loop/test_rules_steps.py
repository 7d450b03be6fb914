"""What does `step` do? A paused loop makes exactly one item and is paused again.

One `LoopManager` on a virtual clock, controlled by hand at exact times.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.support.lab import Bench, boom, chain, fan, times


def paused(graph, *, at=0.5, **more):
    """A bench whose loop is told to pause at that second."""
    bench = Bench(graph, **more)
    return bench.at(at, bench.manager.control.pause)


def test_a_step_makes_exactly_one_item_and_the_loop_is_paused_again():
    bench = paused(chain(("a", None, {"takes": 2}), source=range(9)))
    bench.at(5, bench.manager.control.step).at(20, bench.manager.control.stop).run()
    assert times(bench, "produced") == [0, 5]
    assert bench.states()[2:] == [
        (0.5, "pausing"), (2, "paused"), (5, "running"), (5, "pausing"), (7, "paused"),
        (20, "stopping"), (20, "stopped"),
    ]  # fmt: skip
    assert times(bench, "stepped") == [7]


def test_a_step_does_not_wait_for_the_tick_and_costs_none():
    bench = paused(chain("a", source=range(9), every=10), at=1)
    bench.at(3, bench.manager.control.step).at(12, bench.manager.control.resume).at(
        31, bench.manager.control.stop
    ).run()
    assert times(bench, "produced") == [0, 3, 20, 30]
    assert bench.metrics.overruns == 0


def test_steps_that_are_asked_together_are_made_one_after_the_other():
    bench = paused(chain(("a", None, {"takes": 1}), source=range(9)))
    bench.at(5, bench.manager.control.step).at(5, bench.manager.control.step).at(
        5.5, bench.manager.control.step
    )
    bench.at(20, bench.manager.control.stop).run()
    assert times(bench, "produced") == [0, 5, 6, 7]
    assert bench.states()[-3] == (8, "paused")
    assert len(times(bench, "stepped")) == 3


def test_a_running_loop_that_is_stepped_pauses_and_makes_one_more_item():
    bench = Bench(chain(("a", None, {"takes": 4}), source=range(9)))
    bench.at(1, bench.manager.control.step).at(30, bench.manager.control.stop).run()
    assert times(bench, "produced") == [0, 4]
    assert bench.states()[2:4] == [(1, "pausing"), (8, "paused")]


def test_a_step_before_the_start_makes_the_first_item_only():
    bench = Bench(chain("a", source=range(9), every=1))
    bench.manager.control.step()
    bench.at(30, bench.manager.control.stop).run()
    assert times(bench, "produced") == [0]
    assert bench.states()[-3][1] == "paused"


def test_detached_work_of_a_stepped_item_goes_on_behind_the_pause():
    bench = paused(
        fan(("n", None, {"kind": "non_blocking", "takes": 50}), source=range(9), every=1)
    )
    bench.at(5, bench.manager.control.step).at(200, bench.manager.control.stop).run()
    assert times(bench, "released") == [0, 5]
    assert times(bench, "settled") == [50, 55]
    assert times(bench, "stepped") == [5]


def test_a_producer_with_nothing_to_give_is_asked_until_it_has_something():
    given_out = [0, None, None, 1, 2]
    bench = paused(chain("a", source=lambda: given_out.pop(0), every=10), at=1)
    bench.at(5, bench.manager.control.step).at(9, bench.manager.control.stop).run()
    assert times(bench, "produced") == [0, 5.1]


def test_a_pause_gives_up_a_step_that_still_waits_for_its_item():
    items = [0]
    bench = paused(chain("a", source=lambda: items.pop() if items else None))
    bench.at(5, bench.manager.control.step).at(6, bench.manager.control.pause)
    bench.at(7, items.append, 1).at(9, bench.manager.control.stop).run()
    assert times(bench, "produced") == [0]
    assert times(bench, "stepped") == [6]


def test_a_resume_gives_up_the_steps_and_goes_on():
    bench = paused(chain(("a", None, {"takes": 2}), source=range(4)))
    bench.at(5, bench.manager.control.step).at(5, bench.manager.control.step).at(
        6, bench.manager.control.resume
    ).run()
    assert times(bench, "produced") == [0, 5, 7, 9]
    assert bench.states()[-1] == (11, "completed")
    assert len(times(bench, "stepped")) == 2


def test_a_producer_call_that_fails_ends_the_step():
    calls = []

    def source():
        calls.append(1)
        return boom() if len(calls) > 1 else 0

    bench = paused(chain("a", source=source, every=10), at=1)
    bench.at(5, bench.manager.control.step).at(9, bench.manager.control.stop).run()
    assert times(bench, "tick_failed") == times(bench, "stepped") == [5]
    assert len(calls) == 2
    assert bench.states()[-3] == (5, "paused")


def test_a_step_at_the_end_of_the_source_completes_the_loop():
    bench = paused(chain(("a", None, {"takes": 1}), source=[1]))
    bench.at(5, bench.manager.control.step).run()
    assert bench.states()[-1] == (5, "completed")


def test_stepping_offers_an_item_that_failed_again_and_keeps_it_the_first():
    seen = []

    def check(item):
        seen.append(item)
        return boom(item) if item < 2 and seen.count(item) < 3 else item

    # both items fail while they are detached, so both are to be offered again
    graph = fan(
        ("n", check, {"kind": "non_blocking", "takes": 5}), source=range(9), every=1
    ).set_loop("p", on_error="pause")
    bench = Bench(graph)
    bench.at(1.5, bench.manager.control.pause)
    bench.at(10, bench.manager.control.step).at(20, bench.manager.control.step).at(
        30, bench.manager.control.step
    )
    bench.at(90, bench.manager.control.stop).run()
    assert seen == [0, 1, 0, 0, 1]


def test_the_brake_still_pulls_when_one_steps_on():
    bench = Bench(chain(("a", boom, {}), source=range(99)))
    bench.at(5, bench.manager.control.step).at(9, bench.manager.control.stop).run()
    assert bench.metrics.failed == 11
    assert "failed 11 items in a row" in bench.manager.life.reason


@given(st.lists(st.integers(1, 200), max_size=12), st.integers(0, 3), st.booleans())
def test_as_many_items_as_steps_whenever_they_are_asked(moments, takes, ticks):
    graph = chain(("a", None, {"takes": takes / 10}), every=0.7 if ticks else None)
    bench = Bench(graph)
    bench.manager.control.pause()
    for moment in moments:
        bench.at(moment / 10, bench.manager.control.step)
    bench.at(100, bench.manager.control.stop).run()
    assert len(times(bench, "produced")) == len(times(bench, "released")) == len(moments)
    assert len(times(bench, "stepped")) == len(moments)
    assert bench.states()[-3][1] == "paused"
