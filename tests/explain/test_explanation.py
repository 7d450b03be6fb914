"""Does an explanation say why, in words one can follow in the picture?"""

from __future__ import annotations

import time

import pytest

from flownb import Graph
from flownb.errors import GraphError
from flownb.model.policies import AWAIT_POLICIES
from flownb.plan.await_sets import RULES
from tests.explain.test_releases import branching, worked
from tests.support.machine import slowness


def shop():
    return (
        Graph("shop").add_producer("days")
        .add_node("check", kind="non_blocking", takes=0.1)
        .add_node("charge", takes=0.2).add_node("mail", kind="non_blocking", takes=1)
        .add_node("log", kind="non_blocking", takes=0.1)
        .add_edge("days", "check", "charge", "mail").add_edge("days", "log")
    )  # fmt: skip


def test_a_blocking_node_behind_a_non_blocking_one_is_named_with_its_chain():
    first, second = shop().explain().arms["days"]
    assert str(first) == (
        "days waits for charge: days -> check -> charge, charge is blocking,"
        " so it waits for this whole arm"
    )
    assert str(second) == (
        "days does not wait for log: log is not blocking, and nothing comes behind it"
    )
    assert (first.waits, second.waits) == ("waits", "goes on")


SENTENCES = {
    "none": "days does not wait for check: await policy none waits for nothing",
    "node": "days waits for check, the first of its arm, but not for what comes behind it",
    "blocking": "days waits for charge: days -> check -> charge, charge is blocking,"
    " and for all up to the last blocking node of this arm",
    "path_live": "days waits for charge: days -> check -> charge, charge is blocking,"
    " so it waits for all of this arm that runs",
    "all": "days waits for check and all behind it: await policy all does",
}


@pytest.mark.parametrize("policy", SENTENCES)
def test_each_policy_has_its_own_reason(policy):
    why = shop().explain(policy=policy)
    assert str(why.arms["days"][0]) == SENTENCES[policy]


def test_where_an_if_decides_path_live_says_so():
    arm = branching().explain(policy="path_live").arms["P"][0]
    assert arm.waits == "it depends"
    assert "if x runs, it waits for all of this arm that runs" in arm.because


def test_a_node_behind_the_blocking_one_that_begins_its_arm_is_said_shortly():
    graph = Graph("g").add_producer("P").add_node("a").add_node("b", kind="non_blocking")
    why = graph.add_edge("P", "a", "b").explain()
    assert why.why("b") == (
        "P waits for b: P -> a -> b, a is blocking and its arm is awaited whole"
    )


def test_one_node_can_be_asked_for():
    why = shop().explain()
    assert why.why("mail") == (
        "days waits for mail: days -> check -> charge -> mail,"
        " charge in the arm that begins with check is blocking"
    )
    assert why.why("check") == (
        "days waits for check: days -> check, and charge behind it is blocking"
    )
    assert why.why("log") == (
        "days does not wait for log: days -> log, and no arm that leads there holds a blocking node"
    )
    assert shop().explain(policy="node").why("charge") == (
        "days does not wait for charge: days -> check -> charge,"
        " and check before it is non-blocking"
    )


@pytest.mark.parametrize("policy", AWAIT_POLICIES)
def test_every_node_has_a_sentence_under_every_policy(policy):
    why = worked().explain(policy=policy)
    for node in "Pabcdef":
        waits = node in why.await_set("P")
        assert why.why(node).startswith(
            f"P waits for {node}:" if waits else "P is the" if node == "P" else "P does not wait"
        )


def test_a_wrong_name_is_answered_with_the_right_one():
    with pytest.raises(GraphError, match='did you mean "charge"'):
        shop().explain().why("chagre")


def test_the_await_set_and_the_detached_are_told_apart():
    why = worked().explain()
    assert why.await_set("P") == ("a", "b", "c", "d")
    assert why.detached("P") == ("e", "f")
    assert worked().explain(policy="blocking").await_set("P") == ("a", "b", "c")


def test_all_policies_stand_side_by_side():
    readings = {r.policy: (r.release, "".join(r.waits_for)) for r in worked().explain().compare()}
    assert readings == {
        "none": (0, ""), "node": (5, "abe"), "blocking": (6, "abc"),
        "path_live": (10, "abcd"), "path": (10, "abcd"), "all": (12, "abcdef"),
    }  # fmt: skip


def test_an_if_is_answered_verdict_by_verdict():
    answers = [(a.says, a.waits_for, a.release) for a in branching().explain().answers("P")]
    assert answers == [("yes", ("i", "x"), 4), ("no", ("i", "y"), 10)]


def test_a_reading_names_the_critical_chain_with_its_seconds():
    chain = worked().explain().reading("P").chain
    assert chain == (("P", 0), ("a", 1), ("b", 2), ("c", 3), ("d", 4))


def test_unknown_durations_are_counted_and_named():
    graph = Graph("g").add_producer("P").add_node("a", lambda x: x).add_node("b", takes=1)
    why = graph.add_edge("P", "a", "b").explain()
    assert why.unknown == ("a",)
    assert "1 of 3 durations are unknown and count 0 (a)" in why.text
    assert "after 1 s = a ? s + b 1 s" in why.text


def test_calls_that_a_cache_answered_make_the_measured_mean_shorter():
    graph = Graph("g").add_producer("P", [1, 2, 1, 2, 1, 2, 1, 2])
    graph.add_node("a", lambda x: x, takes=4, cache=True).add_edge("P", "a")
    sim = graph.simulate(until=99)
    assert sim.duration == 8
    assert graph.explain().release("P") == 4
    assert graph.explain(measured=sim.metrics).release("P") == 1


def test_a_measured_duration_stands_for_an_unknown_one():
    graph = Graph("g").add_producer("P", [1, 2, 3]).add_node("a", lambda x: time.sleep(0.25))
    graph.add_edge("P", "a")
    assert graph.explain().release("P") == 0
    why = graph.simulate().explain()
    assert (why.release("P"), why.unknown) == (0.25, ())
    assert graph.explain(measured=graph.simulate().metrics).release("P") == 0.25


def test_a_run_under_another_policy_is_explained_under_that_policy():
    assert worked().simulate(iterations=2, policy="all").explain().release("P") == 12


def test_the_text_is_the_same_every_time_and_has_no_internals():
    text = worked().explain().text
    assert text == worked().explain().text
    assert "hasB" not in text
    assert "0x" not in text


def test_a_long_chain_is_explained_in_time_and_in_few_words():
    graph, before = Graph("long").add_producer("P"), "P"
    for i in range(8_000):
        graph.add_node(f"n{i}", takes=0.001).add_edge(before, f"n{i}")
        before = f"n{i}"
    start = time.process_time()
    text = graph.explain().text
    assert time.process_time() - start < 2 * slowness()
    assert len(text) < 4000
    assert "and 7,988 more" in text


def test_wide_graphs_and_many_ifs_are_bounded_not_enumerated():
    graph = Graph("wide").add_producer("P")
    for i in range(300):
        graph.add_if(f"i{i}", bool, takes=1).add_node(f"n{i}", takes=i)
        graph.add_edge("P", f"i{i}").add_edge(f"i{i}", f"n{i}", when=True)
    why = graph.explain()
    assert why.release("P") == 300
    assert why.reading("P").at_most
    assert "at most 300 s" in why.text
    assert "and 280 more arms" in why.text


def test_a_graph_without_anything_to_begin_with_says_that_nobody_waits():
    assert str(Graph("g").explain()) == "g: no producer, so nobody waits for anybody"


@pytest.mark.parametrize("policy", AWAIT_POLICIES)
def test_every_policy_has_a_rule_and_a_reason_for_each_node(policy):
    why = shop().explain(policy=policy)
    assert RULES[policy].means in why.text
    for node in ("check", "charge", "mail", "log"):
        verb = "waits" if node in why.await_set("days") else "does not wait"
        assert why.why(node).startswith(f"days {verb} for {node}: ")
