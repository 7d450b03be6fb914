"""Section 3.2: when does a node start, what does it get, and when is it passed over?"""

from __future__ import annotations

import sys

import pytest

from flownb import OTHERWISE, Graph
from flownb.errors import GraphError
from tests.support.lab import calls, chain, fan, seen


def late_no(*, verdict, join="all"):
    """P -> a(1) -> j and P -> i(if, 5) -> j: does the undecided if hold j back?"""
    return (
        Graph("g")
        .add_producer("p")
        .add_node("a", takes=1)
        .add_if("i", lambda _: verdict, takes=5)
        .add_node("j", takes=1, join=join)
        .add_edge("p", "a", "j")
        .add_edge("p", "i")
        .add_edge("i", "j", when=True)
    )


@pytest.mark.parametrize("verdict", [True, False])
def test_an_undecided_if_holds_back_a_join_behind_it_even_if_it_then_says_no(verdict):
    sim = late_no(verdict=verdict).simulate(iterations=1)
    assert calls(sim, "j") == [(5, 6)]


def test_a_dead_path_settles_the_join_at_the_moment_it_is_bypassed():
    graph = late_no(verdict=False).remove_edge("i", "j")
    graph.add_node("m", takes=100).add_edge("i", "m", when=True).add_edge("m", "j")
    sim = graph.simulate(iterations=1)
    assert calls(sim, "m") == []
    assert calls(sim, "j") == [(5, 6)]


def test_a_node_whose_in_edges_are_all_dead_is_bypassed_and_so_is_what_is_behind_it():
    graph = (
        Graph("g")
        .add_producer("p")
        .add_if("i", lambda _: False)
        .add_node("a")
        .add_node("b")
        .add_node("j")
        .add_node("k")
        .add_edge("p", "i")
        .add_edge("i", "a", "j", "k", when=True)
        .add_edge("i", "b", "j", when=True)
    )
    sim = graph.simulate(iterations=1)
    assert [s.node for s in sim.timeline] == ["p", "i"]
    assert not sim.failures()


def test_there_is_no_level_barrier_a_node_starts_when_its_own_inputs_are_there():
    graph = fan(("a", None, {"takes": 1}), ("b", None, {"takes": 9}))
    graph.add_node("c", takes=1).add_edge("a", "c")
    assert calls(graph.simulate(iterations=1), "c") == [(1, 2)]


def test_arms_of_unequal_length_meet_once_in_a_join_that_sees_both():
    got = []
    graph = fan(("b", lambda _: "B", {"takes": 1}), ("d", lambda _: "D", {"takes": 1}))
    graph.add_node("c", lambda _: "C", takes=1).add_node("e", seen(got))
    graph.add_edge("b", "c", "e").add_edge("d", "e")
    sim = graph.simulate(iterations=1)
    assert got == [{"c": "C", "d": "D"}]
    assert calls(sim, "e") == [(2, 2)]


# -- ifs -----------------------------------------------------------------------


def branching(predicate, *whens, source=("item",)):
    """P -> i with an arm for each when, named a, b, c, ...; gives what each arm got."""
    got = {}
    graph = Graph("g").add_producer("p", list(source)).add_if("i", predicate).add_edge("p", "i")
    for name, when in zip("abcdef", whens, strict=False):
        graph.add_node(name, seen(got.setdefault(name, [])), kind="non_blocking")
        graph.add_edge("i", name, when=when)
    sim = graph.simulate(until=5)
    return {name: items for name, items in got.items() if items}, sim


def test_an_if_passes_its_payload_on_unchanged_and_as_the_same_object():
    item = ["item"]
    got, sim = branching(len, True, False, source=[item])
    assert got == {"a": [["item"]]}
    assert got["a"][0] is item
    assert not sim.failures()


@pytest.mark.parametrize(
    ("said", "arm"), [("yes", "a"), ("", "b"), (0, "b"), (None, "b"), (7, "a")]
)
def test_with_bool_edges_the_verdict_is_the_truth_of_what_the_predicate_gave(said, arm):
    got, _ = branching(lambda _: said, True, False)
    assert list(got) == [arm]


def test_with_labelled_edges_the_verdict_is_compared_by_equality():
    got, sim = branching(lambda x: x, "wet", "dry", 3, source=["dry", 3.0, "wet"])
    assert got == {"a": ["wet"], "b": ["dry"], "c": [3.0]}
    assert not sim.failures()


def test_otherwise_is_taken_when_no_other_edge_is():
    got, _ = branching(lambda x: x, "wet", OTHERWISE, source=["dry", "wet"])
    assert got == {"a": ["wet"], "b": ["dry"]}


def test_otherwise_beside_a_bool_keeps_the_verdict_a_bool():
    got, _ = branching(lambda x: x, True, OTHERWISE, source=["x", ""])
    assert got == {"a": ["x"], "b": [""]}


def test_a_labelled_verdict_without_an_edge_fails_the_item_and_names_the_edges():
    got, sim = branching(lambda x: x, "wet", "dry", source=["snow", "dry"])
    (failure,) = sim.failures()
    assert got == {"b": ["dry"]}
    assert (failure.node, failure.item) == ("i", "snow")
    assert "'snow'" in str(failure.error)
    assert "'wet'" in str(failure.error)


def test_a_bool_if_without_the_arm_ends_the_path_and_is_no_failure():
    got, sim = branching(lambda x: x, True, source=["", "x"])
    assert got == {"a": ["x"]}
    assert not sim.failures()
    assert sim.metrics["p"].done == 2


def test_an_edge_without_when_is_always_live():
    got, sim = branching(lambda x: x, "wet", None, source=["wet", "dry"])
    assert got == {"a": ["wet"], "b": ["wet", "dry"]}
    assert not sim.failures()


def test_two_edges_with_the_same_label_are_both_live():
    got, _ = branching(lambda x: x, "wet", "wet", "dry", source=["wet"])
    assert got == {"a": ["wet"], "b": ["wet"]}


def test_the_when_of_a_path_belongs_to_its_first_edge():
    graph = branching_path = Graph("g").add_producer("p", [1]).add_if("i", lambda _: True)
    graph.add_node("a").add_node("b").add_edge("p", "i").add_edge("i", "a", "b", when=True)
    assert branching_path.edges["i", "a"].when is True
    assert branching_path.edges["a", "b"].when is None


def test_a_condition_makes_its_source_an_if_that_sees_the_output():
    got = []
    graph = chain(("n", lambda x: x * 10, {}), ("m", seen(got), {}), source=[1, 2, 3])
    graph.remove_edge("n", "m").add_node("rest").add_edge("n", "rest")
    graph.add_edge("n", "m", condition=lambda out: out > 15)
    sim = graph.simulate(until=1)
    assert got == [20, 30]
    assert not sim.failures()


def test_a_condition_at_the_producer_decides_which_arms_are_live():
    graph = fan(("a", None, {"takes": 3}), source=[0, 1])
    graph.remove_edge("p", "a").add_edge("p", "a", condition=bool)
    graph.add_node("n", kind="non_blocking", takes=1).add_edge("p", "n")
    sim = graph.simulate(until=9)
    assert sim.releases("p") == [0, 3]
    assert calls(sim, "a") == [(0, 3)]


def test_an_edge_with_when_and_condition_is_live_only_if_both_say_so():
    got = {"a": [], "b": []}
    graph = Graph("g").add_producer("p", [1, 5, -1]).add_if("i", lambda x: "yes" if x > 0 else "")
    graph.add_node("a", seen(got["a"])).add_node("b", seen(got["b"])).add_edge("p", "i")
    graph.add_edge("i", "a", when=True, condition=lambda x: x > 3).add_edge("i", "b", when=False)
    assert not graph.simulate(until=1).failures()
    assert got == {"a": [5], "b": [-1]}


def test_a_condition_beside_bool_edges_leaves_the_verdict_a_bool():
    got = {"a": [], "b": []}
    graph = Graph("g").add_producer("p", [1, 0]).add_if("i", lambda x: "yes" if x else "")
    graph.add_node("a", seen(got["a"])).add_node("b", seen(got["b"])).add_edge("p", "i")
    graph.add_edge("i", "a", when=True).add_edge("i", "b", condition=lambda x: x == 0)
    assert not graph.simulate(until=1).failures()
    assert got == {"a": [1], "b": [0]}


def test_when_only_conditions_decide_and_none_is_true_the_item_fails():
    graph = chain("a", "b", source=[1]).remove_edge("a", "b")
    graph.add_edge("a", "b", condition=lambda x: x > 3)
    (failure,) = graph.simulate(until=1).failures()
    assert "no edge" in str(failure.error)


# -- payloads at joins ---------------------------------------------------------


def test_the_arms_of_one_if_merge_and_the_payload_comes_as_it_is():
    got = []
    graph = Graph("g").add_producer("p", [0, 1]).add_if("i", bool).add_node("a", lambda _: "A")
    graph.add_node("b", lambda _: "B").add_node("j", seen(got)).add_edge("p", "i")
    graph.add_edge("i", "a", "j", when=True).add_edge("i", "b", "j", when=False)
    graph.simulate(until=1)
    assert got == ["B", "A"]


def test_inputs_that_can_be_live_together_come_by_source_even_when_only_one_is():
    got = []
    graph = Graph("g").add_producer("p", [0, 1]).add_if("i", bool).add_node("a", lambda _: "A")
    graph.add_node("b", lambda _: "B").add_node("j", seen(got)).add_edge("p", "i")
    graph.add_edge("p", "b", "j").add_edge("i", "a", when=True).add_edge("a", "j")
    graph.simulate(until=1)
    assert got == [{"b": "B"}, {"b": "B", "a": "A"}]
    assert list(got[1]) == ["b", "a"], "in edge order"


def test_one_verdict_with_two_edges_into_a_join_does_not_merge():
    got = []
    graph = Graph("g").add_producer("p", [1]).add_if("i", bool).add_node("a").add_node("b")
    graph.add_node("j", seen(got)).add_edge("p", "i")
    graph.add_edge("i", "a", "j", when=True).add_edge("i", "b", "j", when=True)
    graph.simulate(until=1)
    assert got == [{"a": 1, "b": 1}]


def test_labels_that_are_equal_do_not_merge_even_if_they_are_written_differently():
    got = []
    graph = Graph("g").add_producer("p", [1]).add_if("i", lambda x: x).add_node("a").add_node("b")
    graph.add_node("c").add_node("j", seen(got)).add_edge("p", "i").add_edge("i", "c", when="x")
    graph.add_edge("i", "a", "j", when=True).add_edge("i", "b", "j", when=1)
    graph.simulate(until=1)
    assert got == [{"a": 1, "b": 1}]


@pytest.mark.parametrize("value", [None, 0, "", False, [], {}])
def test_a_node_that_gives_an_empty_value_passes_that_value_on(value):
    got = []
    graph = chain(("a", lambda _: value, {}), ("b", seen(got), {}), source=["item"])
    graph.simulate(until=1)
    assert got == [value]


# -- each ----------------------------------------------------------------------


def each_twice(got):
    graph = Graph("g").add_producer("p", ["x"]).add_node("a", lambda _: "A", takes=1)
    graph.add_node("b", lambda _: "B", takes=3).add_node("e", seen(got), join="each", takes=1)
    return (
        graph.add_edge("p", "a", "e")
        .add_edge("p", "b", "e")
        .add_node("f", takes=4)
        .add_edge("e", "f")
    )


def test_an_each_join_runs_once_for_each_live_token_and_so_does_all_behind_it():
    got = []
    sim = each_twice(got).simulate(until=20)
    assert got == ["A", "B"]
    assert calls(sim, "e") == [(1, 2), (3, 4)]
    assert calls(sim, "f") == [(2, 6), (4, 8)]
    assert [s.visit for s in sim.timeline if s.node == "f"] == [0, 1]
    assert sim.releases("p") == [8]


def test_only_each_joins_are_allowed_behind_an_each_join():
    graph = each_twice([]).add_node("g").add_node("j").add_edge("e", "g", "j").add_edge("f", "j")
    with pytest.raises(GraphError, match="behind 'e'"):
        graph.simulate()


# -- fan-out and loops ---------------------------------------------------------


def test_fan_out_sends_the_same_object_and_copy_makes_one_of_its_own():
    item, got = {"deep": []}, {"a": [], "b": [], "c": []}
    graph = fan(*((n, seen(got[n]), {}) for n in "abc"), source=[item])
    graph.add_edge("p", "c", copy=True).simulate(until=1)
    assert got["a"][0] is item
    assert got["b"][0] is item
    assert got["c"] == [item]
    assert got["c"][0]["deep"] is not item["deep"]


def test_a_node_behind_two_producers_runs_in_both_loops_with_a_state_of_its_own():
    def count(_, ctx):
        ctx.state["n"] = ctx.state.get("n", 0) + 1
        return ctx.state["n"]

    graph = Graph("g").add_producer("p", [1, 2, 3], every=1).add_producer("q", [1], every=1)
    graph.add_node("n", count, keep=9).add_edge("p", "n").add_edge("q", "n")
    sim = graph.simulate(until=9)
    assert {(s.loop, s.iteration) for s in sim.timeline if s.node == "n"} == {
        ("p", 0), ("p", 1), ("p", 2), ("q", 0),
    }  # fmt: skip
    assert sim.failures() == []


def test_a_join_waits_only_for_the_in_edges_of_its_own_loop():
    got = []
    graph = Graph("g").add_producer("p", [1]).add_producer("q", [2], takes=7)
    graph.add_node("j", seen(got)).add_edge("p", "j").add_edge("q", "j")
    sim = graph.simulate(until=9)
    assert got == [1, 2]
    assert calls(sim, "j") == [(0, 0), (7, 7)]


def test_a_producer_that_something_flows_into_is_refused():
    graph = chain("a").add_edge("a", "p")
    with pytest.raises(GraphError):
        graph.simulate()


def test_a_chain_longer_than_python_may_recurse_is_an_ordinary_graph():
    nodes = 3 * sys.getrecursionlimit()
    sim = chain(*(f"n{i}" for i in range(nodes)), source=[1]).simulate(until=1)
    assert sim.metrics["p"].done == 1
