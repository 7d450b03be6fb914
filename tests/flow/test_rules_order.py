"""Section 3.2: what do start_rule="level" and "sequential" hold back, and what not?"""

from __future__ import annotations

import pytest

from flownb import Graph, Limit, Retry
from tests.support.lab import boom, calls

RULES = ["level", "sequential"]


def two_arms(rule, **p):
    """P -> a1(1) -> a2(1) and P -> b1(5) -> b2(1), all blocking."""
    graph = Graph("g").add_producer("p", [0])
    for name, takes in (("a1", 1), ("a2", 1), ("b1", 5), ("b2", 1)):
        graph.add_node(name, takes=takes)
    graph.add_edge("p", "a1", "a2").add_edge("p", "b1", "b2")
    return graph.set_loop("p", start_rule=rule, **p)


def starts(sim):
    return {s.node: s.start for s in sim.timeline if s.kind == "work"}


# -- the two rules, exactly ----------------------------------------------------


def test_a_level_begins_exactly_when_the_last_node_of_the_level_before_has_ended():
    sim = two_arms("level").simulate(until=99)
    assert starts(sim) == {"p": 0, "a1": 0, "b1": 0, "a2": 5, "b2": 5}
    assert sim.releases("p") == [6]


def test_sequential_runs_one_awaited_node_at_a_time_in_the_order_of_the_plan():
    sim = two_arms("sequential").simulate(until=99)
    assert starts(sim) == {"p": 0, "a1": 0, "b1": 1, "a2": 6, "b2": 7}
    assert sim.releases("p") == [8]


def test_dataflow_knows_no_barrier():
    sim = two_arms("dataflow").simulate(until=99)
    assert starts(sim) == {"p": 0, "a1": 0, "b1": 0, "a2": 1, "b2": 5}


def test_the_level_of_a_node_is_its_longest_way_from_the_producer():
    graph = two_arms("level").add_edge("a2", "b2").add_node("c", takes=1).add_edge("p", "c")
    graph.add_edge("a1", "c")  # c is on level 2, b2 on level 3
    assert starts(graph.simulate(until=99)) == {"p": 0, "a1": 0, "b1": 0, "a2": 5, "c": 5, "b2": 6}


def test_the_order_of_the_plan_is_that_of_the_edges_not_of_the_names():
    graph = Graph("g").add_producer("p", [0])
    for name in "xyz":
        graph.add_node(name, takes=1)
    graph.add_edge("p", "z").add_edge("p", "x").add_edge("p", "y")
    sim = graph.set_loop("p", start_rule="sequential").simulate(until=9)
    assert starts(sim) == {"p": 0, "z": 0, "x": 1, "y": 2}


@pytest.mark.parametrize("rule", RULES)
def test_each_item_has_its_own_barrier(rule):
    graph = two_arms(rule)
    graph.add_producer("p", range(3))
    each = 6 if rule == "level" else 8
    assert graph.simulate(until=99).releases("p") == [each, 2 * each, 3 * each]


# -- only the awaited part -----------------------------------------------------


@pytest.mark.parametrize("rule", RULES)
def test_the_detached_part_flows_by_its_data_alone(rule):
    graph = two_arms(rule)
    for name in ("n1", "n2", "n3"):
        graph.add_node(name, kind="non_blocking", takes=1)
    sim = graph.add_edge("p", "n1", "n2", "n3").simulate(until=99)
    assert {n: s for n, s in starts(sim).items() if n[0] == "n"} == {"n1": 0, "n2": 1, "n3": 2}


@pytest.mark.parametrize("rule", RULES)
def test_a_running_detached_node_holds_nobody_back(rule):
    graph = two_arms(rule).add_node("n", kind="non_blocking", takes=50).add_edge("p", "n")
    assert graph.simulate(until=99).releases("p") == [6 if rule == "level" else 8]


def test_under_none_no_node_is_held_back_for_none_is_awaited():
    sim = two_arms("sequential", await_policy="none").simulate(until=99)
    assert starts(sim) == {"p": 0, "a1": 0, "b1": 0, "a2": 1, "b2": 5}
    assert sim.releases("p") == [0]


def test_a_node_of_a_lower_level_that_comes_late_holds_back_whoever_comes_after_it():
    """What is awaited may depend on what is not: x is on level 2, but ready only at 10."""
    graph = Graph("g").add_producer("p", [0])
    graph.add_node("slow", kind="non_blocking", takes=10).add_node("x", takes=5)
    graph.add_node("a", takes=1).add_node("b", takes=1).add_node("c", takes=10)
    graph.add_node("d", takes=1).add_node("e", takes=1)
    graph.add_edge("p", "slow", "x").add_edge("p", "a", "b", "c").add_edge("a", "x")
    graph.add_edge("slow", "d").add_edge("b", "d", "e")
    graph.set_loop("p", start_rule="level", await_policy="node")
    begun = starts(graph.simulate(until=99))
    # slow holds nobody: it is awaited itself, so level 2 begins when it ends
    assert begun == {"p": 0, "slow": 0, "a": 0, "b": 10, "x": 10, "c": 15, "d": 15, "e": 25}


# -- with ifs, joins, failures, retries, limits --------------------------------


@pytest.mark.parametrize("rule", RULES)
def test_a_bypassed_node_is_not_waited_for(rule):
    graph = Graph("g").add_producer("p", [0]).add_if("yes?", lambda _: False)
    graph.add_node("yes", takes=50).add_node("no", takes=1).add_node("end", takes=1)
    graph.add_edge("p", "yes?").add_edge("yes?", "yes", "end", when=True)
    graph.add_edge("yes?", "no", "end", when=False)
    sim = graph.set_loop("p", start_rule=rule).simulate(until=99)
    assert starts(sim) == {"p": 0, "yes?": 0, "no": 0, "end": 1}


@pytest.mark.parametrize("rule", RULES)
def test_a_failed_node_ends_its_turn(rule):
    graph = two_arms(rule).add_node("b1", boom, takes=5)
    sim = graph.simulate(until=99)
    assert starts(sim)["a2"] == (5 if rule == "level" else 6)
    assert sim.releases("p") == [6 if rule == "level" else 7]
    assert sim.metrics["p"].failed == 1


@pytest.mark.parametrize("rule", RULES)
def test_a_node_keeps_its_turn_while_it_waits_for_its_next_attempt(rule):
    retry = Retry(on=ValueError, attempts=2, wait_initial=5)
    graph = two_arms(rule).add_node("a1", boom, takes=1, retry=retry)
    sim = graph.simulate(until=99)
    assert calls(sim, "a1") == [(0, 1), (6, 7)]
    assert starts(sim)["b1"] == (0 if rule == "level" else 7)
    assert starts(sim)["b2"] == (7 if rule == "level" else 12)  # a2 is bypassed


@pytest.mark.parametrize("rule", RULES)
def test_a_node_keeps_its_turn_while_it_waits_for_its_limit(rule):
    gpu = Limit(concurrency=1)
    graph = two_arms(rule).add_node("a1", takes=1, limit=gpu)
    graph.add_producer("q", [0]).add_node("other", takes=3, limit=gpu).add_edge("q", "other")
    sim = graph.simulate(until=99)
    first = starts(sim)["a1"]
    assert sorted([first, starts(sim)["other"]]) in ([0, 1], [0, 3])
    assert starts(sim)["b1"] == (0 if rule == "level" else first + 1)


@pytest.mark.parametrize("rule", RULES)
def test_an_each_join_takes_a_turn_for_each_visit(rule):
    graph = two_arms(rule).add_node("e", takes=1, join="each").add_edge("a2", "e")
    sim = graph.add_edge("b2", "e").simulate(until=99)
    assert calls(sim, "e") == ([(6, 7), (6, 7)] if rule == "level" else [(8, 9), (9, 10)])


# -- losers --------------------------------------------------------------------


def race(rule, **more):
    """P -> fast(1) -> j and P -> slow(50) -> late -> j; j is first."""
    graph = Graph("g").add_producer("p", more.pop("source", [0]))
    graph.add_node("fast", takes=1).add_node("slow", takes=3).add_node("late", takes=50)
    graph.add_node("j", takes=1, join="first")
    graph.add_edge("p", "fast", "j").add_edge("p", "slow", "late", "j")
    return graph.set_loop("p", start_rule=rule, **more)


@pytest.mark.parametrize("rule", RULES)
def test_a_loser_that_waits_for_its_turn_never_starts(rule):
    sim = race(rule, source=range(3)).simulate(until=99)
    assert calls(sim, "late") == []
    assert sim.releases("p") == [2, 4, 6]
    assert sim.metrics["p"].state == "completed"


def test_a_join_whose_waiting_losers_left_the_lowest_level_empty_has_its_turn():
    """The loser on level 2 is the first in the queue when the winner ends; j is on level 3."""
    graph = Graph("g").add_producer("p", range(2)).add_node("win", takes=5)
    graph.add_node("a", takes=1).add_node("lose", takes=1).add_node("j", takes=1, join="first")
    graph.add_edge("p", "win", "j").add_edge("p", "a", "lose", "j")
    sim = graph.set_loop("p", start_rule="level").simulate(until=99)
    assert calls(sim, "lose") == []
    assert calls(sim, "j") == [(5, 6), (11, 12)]
    assert sim.releases("p") == [6, 12]


def test_a_loser_that_is_cancelled_gives_its_turn_on():
    """Else slow would hold level 2 back until 3; it loses at 1."""
    sim = race("level").simulate(until=99)
    assert calls(sim, "slow") == []
    assert calls(sim, "j") == [(1, 2)]
    assert sim.releases("p") == [2]
