"""Section 3.5: what does a failed node do to its item, its loop, and who waits for it?"""

from __future__ import annotations

import traceback

import pytest

from flownb.errors import CodeFailed, GraphError
from tests.support.lab import Bench, boom, calls, chain, fan, seen, times

SOME = {"takes": 2}


def failing(*iterations):
    """A node function that fails for these items, counted from 0."""
    count = iter(range(1000))

    def fn(payload):
        if next(count) in iterations:
            raise ValueError(f"no {payload!r}")
        return payload

    return fn


# -- what dies, what runs on ---------------------------------------------------


def test_a_node_that_fails_for_good_releases_whoever_awaited_it_at_that_moment():
    sim = chain(("a", boom, {"takes": 2}), ("b", None, {"takes": 50}), source=[1]).simulate(
        until=99
    )
    assert sim.releases("p") == [2]
    assert calls(sim, "b") == []


def test_other_arms_run_on_and_the_item_settles_with_the_last_of_them():
    got = []
    graph = fan(("bad", boom, {}), ("n", None, {"takes": 9, "kind": "non_blocking"}), source=[1])
    sim = graph.add_node("m", seen(got), kind="non_blocking").add_edge("n", "m").simulate(until=99)
    assert sim.releases("p") == [0]
    assert times(sim, "settled") == [9]
    assert times(sim, "item_failed") == [9], "on_error acts when the item has settled"
    assert got == [1]


def failed_join(**join):
    """P -> good(5) -> j and P -> bad(1) -> j, j -> k."""
    graph = fan(("good", None, {"takes": 5}), ("bad", boom, {"takes": 1}), source=[1])
    graph.add_node("j", takes=1, **join).add_node("k", takes=1)
    return graph.add_edge("good", "j", "k").add_edge("bad", "j")


def test_a_join_never_runs_on_half_its_input_because_of_an_error():
    sim = failed_join().simulate(until=99)
    assert calls(sim, "j") == []
    assert sim.releases("p") == [5], "bypassed once all its in-edges have settled"
    assert [f.node for f in sim.failures()] == ["bad"]


def test_the_mark_of_a_failure_passes_through_bypassed_joins():
    graph = failed_join().add_node("other", takes=9).add_node("last", takes=1)
    graph.add_edge("p", "other", "last").add_edge("j", "last")
    sim = graph.simulate(until=99)
    assert calls(sim, "last") == []
    assert sim.releases("p") == [9]


def test_the_mark_of_a_failure_passes_through_nodes_that_never_ran():
    graph = fan(("bad", boom, {"takes": 1}), ("good", None, {"takes": 5}), source=[1])
    graph.add_node("x").add_node("y").add_node("j", takes=1)
    graph.add_edge("bad", "x", "y", "j").add_edge("good", "j")
    assert calls(graph.simulate(until=99), "j") == []


def test_a_dead_arm_of_an_if_is_no_failure_and_its_join_runs():
    graph = fan(("good", None, {"takes": 5}), source=[1]).add_if("i", lambda _: False)
    graph.add_node("x", takes=1).add_node("j", takes=1)
    graph.add_edge("p", "i").add_edge("i", "x", "j", when=True).add_edge("good", "j")
    assert calls(graph.simulate(until=99), "j") == [(5, 6)]


def test_an_each_join_runs_for_the_inputs_that_did_not_fail():
    sim = failed_join(join="each").add_node("k", takes=1).simulate(until=99)
    assert calls(sim, "j") == [(5, 6)]


def test_a_failed_if_kills_all_its_arms():
    graph = chain(source=[1]).add_if("i", boom).add_node("a").add_node("b")
    graph.add_edge("p", "i").add_edge("i", "a", when=True).add_edge("i", "b", when=False)
    sim = graph.simulate(until=9)
    assert [s.node for s in sim.timeline] == ["p", "i"]
    assert [f.node for f in sim.failures()] == ["i"]


def test_a_condition_that_raises_fails_the_node_it_stands_behind():
    graph = chain("a", "b", source=[1]).remove_edge("a", "b").add_edge("a", "b", condition=boom)
    assert [f.node for f in graph.simulate(until=9).failures()] == ["a"]


class Unprintable(Exception):
    def __str__(self):
        raise OSError


@pytest.mark.parametrize("error", [ValueError("x\n" * 999_999), Unprintable()])
def test_an_error_of_any_text_fails_its_item_and_is_told_in_one_short_line(error):
    def fail(_):
        raise error

    sim = chain(("a", fail, {}), source=[1, 2]).simulate(until=9)
    first, _ = sim.failures()
    assert sim.metrics["p"].failed == 2
    assert "\n" not in repr(first)
    assert len(repr(first)) < 400
    assert len(first.traceback) < 20_000


def test_a_failure_never_leaves_its_loop():
    graph = chain(("a", boom, {}), source=range(5), every=1).set_loop("p", on_error="stop")
    graph.add_producer("q", every=1).add_node("b").add_edge("q", "b")
    sim = graph.simulate(until=9)
    assert {m.loop: m.state for m in sim.metrics.values()} == {"p": "error", "q": "running"}
    assert len(sim.releases("q")) == 9


# -- on_error ------------------------------------------------------------------


def test_skip_counts_the_item_and_keeps_item_and_error():
    sim = chain(("a", failing(1), SOME), source=["x", "y", "z"]).simulate(until=99)
    (failure,) = sim.failures()
    assert (failure.loop, failure.node, failure.iteration) == ("p", "a", 1)
    assert (failure.item, failure.attempts, str(failure.error)) == ("y", 1, "no 'y'")
    assert failure.time == 4
    assert "no 'y'" in failure.traceback
    assert "flownb/engine" not in failure.traceback
    assert (sim.metrics["p"].done, sim.metrics["p"].failed) == (2, 1)


@pytest.mark.parametrize("faults", [1, 99])
def test_a_traceback_that_python_cannot_format_costs_no_loop(monkeypatch, faults):
    """3.11 says "AST constructor recursion depth mismatch" where two threads format at once."""
    real, left = traceback.format_exception, iter(range(faults))

    def fragile(*args):
        if next(left, None) is not None:
            raise SystemError("AST constructor recursion depth mismatch")
        return real(*args)

    monkeypatch.setattr(traceback, "format_exception", fragile)
    sim = chain(("a", failing(1), SOME), source=["x", "y", "z"]).simulate(until=99)
    assert (sim.metrics["p"].done, sim.metrics["p"].failed) == (2, 1)
    assert "no 'y'" in sim.failures()[0].traceback


def test_the_item_of_a_failure_is_what_the_producer_made_not_what_the_node_got():
    graph = chain(("a", lambda x: x * 2, {}), ("b", boom, {}), source=[21])
    (failure,) = graph.simulate(until=9).failures()
    assert (failure.item, str(failure.error)) == (21, "no 42")


def test_the_ring_of_failures_keeps_the_last_hundred():
    graph = chain(("a", lambda x: x / (x % 3), {}), source=range(450), every=1)
    sim = graph.simulate(until=450)
    assert sim.metrics["p"].failed == 150
    assert [f.item for f in sim.failures()] == list(range(150, 450, 3))


def test_the_first_error_wins_and_the_failure_names_every_node_that_failed():
    late, early = {"takes": 5}, {"takes": 1}
    sim = fan(("late", boom, late), ("early", boom, early), source=[1]).simulate(until=9)
    (failure,) = sim.failures()
    assert failure.node == "early"
    assert [name for name, _ in failure.errors] == ["early", "late"]


def test_a_function_decides_once_for_each_failed_item():
    asked = []

    def decide(failure):
        asked.append((failure.node, failure.iteration, len(failure.errors)))
        return "stop" if failure.item == 3 else "skip"

    graph = fan(("a", boom, {}), ("b", boom, {}), source=[1, 2, 3, 4], every=1)
    sim = graph.set_loop("p", on_error=decide).simulate(until=9)
    assert asked == [("a", 0, 2), ("a", 1, 2), ("a", 2, 2)]
    assert sim.metrics["p"].state == "error"


@pytest.mark.parametrize("answer", [boom, lambda _: "whatever", lambda _: None])
def test_a_function_that_gives_no_answer_ends_its_loop_in_words(answer):
    with pytest.raises(CodeFailed, match="loop 'p': its on_error= "):
        chain(("a", boom, {}), source=[1]).set_loop("p", on_error=answer).simulate(until=9)


def test_a_node_s_own_on_error_comes_before_that_of_its_loop():
    graph = chain(("a", boom, {"on_error": "stop"}), source=[1, 2])
    assert graph.simulate(until=9).metrics["p"].state == "error"
    graph = chain(("a", boom, {"on_error": "skip"}), source=[1, 2]).set_loop("p", on_error="stop")
    assert graph.simulate(until=9).metrics["p"].state == "completed"


def test_an_unknown_word_is_refused_where_it_is_written():
    with pytest.raises(GraphError, match="dead_letter"):
        chain("a").set_loop("p", on_error="ignore")


def test_pause_keeps_the_item_and_offers_it_first_on_resume():
    got = []
    graph = chain(("a", failing(1), {"takes": 1}), ("b", seen(got), {}), source=["x", "y", "z"])
    bench = Bench(graph.set_loop("p", on_error="pause"))
    reasons = []
    bench.at(9, lambda: reasons.append(bench.manager.life.reason))
    bench.at(10, bench.manager.control.resume).run()
    assert got == ["x", "y", "z"]
    assert (2, "paused") in bench.states()
    assert "'a'" in reasons[0]
    assert "no 'y'" in reasons[0]
    assert times(bench, "released") == [1, 2, 11, 12]


def test_items_that_failed_during_a_pause_come_again_behind_the_one_that_caused_it():
    got = []
    node = {"takes": 3, "kind": "non_blocking"}
    graph = fan(("a", failing(0, 1, 2), node), source=["x", "y", "z"], every=1)
    graph.add_node("b", seen(got), kind="non_blocking").add_edge("a", "b")
    bench = Bench(graph.set_loop("p", on_error="pause"))
    bench.at(10, bench.manager.control.resume).run()
    assert got == ["x", "y", "z"]


def test_stop_ends_the_loop_and_no_further_item_is_made():
    sim = chain(("a", failing(1), SOME), source=range(9)).set_loop("p", on_error="stop").simulate()
    assert sim.metrics["p"].state == "error"
    assert times(sim, "produced") == [0, 2]


def read_by(policy, fn):
    """A reader loop whose node fails, and what is left in its queue and its dead letters."""
    graph = chain("a", source=["x", "y"]).add_queue("q").add_edge("a", "q")
    graph.add_queue_reader("r", queue="q").add_node("b", fn).add_edge("r", "b")
    return graph.set_loop("r", on_error=policy)


def test_dead_letter_keeps_the_item_with_everything_about_its_failure():
    letters = []

    async def look(_, ctx):
        letters.extend(await ctx._runtime.queues.dead("r"))

    graph = read_by("dead_letter", failing(0))
    graph.add_producer("looker", [1], takes=5).add_node("look", look).add_edge("looker", "look")
    sim = graph.simulate(until=9)
    (letter,) = letters
    assert sim.metrics["r"].state == "completed"
    assert (letter["loop"], letter["node"], letter["iteration"]) == ("r", "b", 0)
    assert (letter["item"], letter["attempts"]) == ("x", 1)
    assert letter["error"] == "ValueError: no 'x'"
    assert "no 'x'" in letter["traceback"]


def test_a_dead_letter_of_what_is_not_json_is_kept_as_its_repr():
    graph = chain(("a", boom, {}), source=[object]).set_loop("p", on_error="dead_letter")
    sim = graph.simulate(until=9)
    assert sim.metrics["p"].state == "completed"


def unsettled(policy):
    """How many messages of the queue are still un-acked at the end."""
    found = []

    async def look(_, ctx):
        stats = await ctx._runtime.queues.stats("q")
        found.append(stats.depth)

    graph = read_by(policy, boom).add_producer("looker", [1], takes=5).add_node("look", look)
    graph.add_edge("looker", "look").simulate(until=9)
    return found[0]


def test_skip_and_dead_letter_ack_the_message_pause_and_stop_do_not():
    left = {policy: unsettled(policy) for policy in ("skip", "dead_letter", "pause", "stop")}
    assert left == {"skip": 0, "dead_letter": 0, "pause": 2, "stop": 2}


# -- the brake -----------------------------------------------------------------


def braked(fn, **producer):
    graph = chain(("a", fn, {}), source=range(30), every=1, **producer)
    return graph.simulate(until=40).metrics["p"]


def test_a_node_that_fails_ten_items_in_a_row_pauses_its_loop():
    loop = braked(boom)
    assert (loop.state, loop.failed) == ("paused", 10)


def test_nine_failures_in_a_row_do_not():
    loop = braked(failing(*range(9), *range(10, 19)))
    assert (loop.state, loop.failed) == ("completed", 18)


def test_a_node_that_has_worked_once_since_it_was_added_is_not_braked():
    loop = braked(failing(*range(3, 30)))
    assert (loop.state, loop.failed) == ("completed", 27)


def test_the_brake_is_the_node_s_own_others_may_succeed():
    graph = fan(("good", None, {}), ("bad", boom, {}), source=range(30), every=1)
    assert graph.simulate(until=40).metrics["p"].state == "paused"


def test_a_producer_that_fails_ten_times_in_a_row_pauses_its_loop():
    sim = chain("a", source=lambda: boom(), every=1).simulate(until=40)
    assert (sim.metrics["p"].state, len(sim.failures())) == ("paused", 10)


def test_a_new_function_in_place_of_the_broken_one_lets_the_loop_go_on():
    graph = chain(("a", boom, {}), source=range(15), every=1)
    bench = Bench(graph)
    bench.at(20, lambda: graph.add_node("a", lambda x: x)).edit(20)
    bench.at(20, bench.manager.control.resume).run()
    assert (bench.metrics.failed, bench.metrics.done) == (10, 5)
