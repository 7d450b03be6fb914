"""Is an advice the smallest change, and does it hold what it promises?

Each advice is done to the graph by its words alone, and the graph is simulated.
"""

from __future__ import annotations

import re
import time
from dataclasses import replace
from random import Random

import pytest

from flownb import Graph, Limit, NonBlockingNode
from tests.explain.test_capacity import changed, measured_period
from tests.explain.test_releases import worked
from tests.support.batches import batches
from tests.support.capacities import build


def done(graph, change):
    """Do to a graph what an advice says."""
    if change.text.startswith("set_loop"):
        return graph.set_loop(change.loop, await_policy="blocking")
    moves = re.findall(r"(\S+) on (\S+(?: and \S+)*?) instead of on ([^\s,]+)", change.text)
    if not change.text.startswith("hang"):
        return changed(graph, change)
    for node, producers, before in moves:
        graph.remove_edge(before, node)
        for producer in producers.split(" and "):
            graph.add_edge(producer, node)
    return graph


def advice_for(graph, loop="P", rates=None):
    return graph.explain().capacity(rates=rates).advice.get(loop, ())


def says(verdict):
    return lambda _: verdict


def random_graph(seed):
    """One loop, or two that share nodes; and what its ifs say, always the same."""
    rng, said = Random(seed), {}
    two = rng.random() < 0.3  # loops that meet at a limit hold each other up by chance
    graph, names = Graph("random").add_producer("P"), ["P"]
    for i in range(rng.randint(2, 8)):
        name, takes = f"n{i}", rng.choice([0, 5, 10, 20, 50, 100, 150]) / 100
        if rng.random() < 0.15:
            said[name] = rng.random() < 0.7
            graph.add_if(name, says(said[name]), takes=takes)
        else:
            kind = rng.choice(["blocking", "non_blocking"])
            limit = Limit(concurrency=1) if rng.random() < 0.1 and not two else None
            graph.add_node(name, kind=kind, takes=takes, limit=limit)
        for source in rng.sample(names[-4:], min(len(names[-4:]), rng.choice([1, 1, 1, 2]))):
            graph.add_edge(source, name, when=rng.choice([True, False]) if source in said else None)
        names.append(name)
    for name in said:  # every verdict has an edge
        graph.add_node(f"{name}+", kind="non_blocking").add_edge(name, f"{name}+")
    if two:
        graph.add_producer("Q", every=0.7).add_edge("Q", rng.choice(names[1:]))
    policy = rng.choice(["path", "path", "path", "path_live", "node", "all"])
    graph.set_loop("P", await_policy=policy, max_in_flight=rng.choice([2, 8, 16]))
    return graph, {name: float(yes) for name, yes in said.items()}


@pytest.mark.parametrize("first", batches(40, 120, 10))
def test_each_advice_gives_the_rate_that_it_promises(first):
    for seed in range(first, first + 10):
        graph, rates = random_graph(seed)
        for change in advice_for(graph, rates=rates):
            other = done(random_graph(seed)[0], change)
            loop = other.explain().capacity(rates=rates).loops["P"]
            assert loop.rate == pytest.approx(change.after), (seed, change)
            seen = measured_period(other.simulate(until=200), "P")
            if loop.at_least:
                assert seen >= 0.98 / change.after, (seed, change)
            else:
                assert seen == pytest.approx(1 / change.after, rel=0.025), (seed, str(change))


@pytest.mark.parametrize("first", batches(40, 120, 20))
def test_what_is_declared_blocking_is_let_be_where_the_await_policy_alone_helps(first):
    for seed in range(first, first + 20):
        graph, rates = random_graph(seed)
        advice = advice_for(graph, rates=rates)
        if advice and not advice[0].frees and graph.loop_options("P").await_policy == "path":
            now = measured_period(graph.simulate(until=90), "P")
            free = measured_period(graph.simulate(until=90, policy="blocking"), "P")
            assert free > now * 0.97, (seed, str(advice[0]))


def fetching(notify=1.0, **loop):
    """The first real graph of everyone: what comes behind the blocking node is awaited."""
    return build(f"fetch:B 0.1, notify:N {notify}", "P>fetch>notify", **loop)


def test_the_first_advice_is_to_hang_what_need_not_be_awaited_on_the_producer():
    hang, policy = advice_for(fetching())
    assert str(hang) == (
        "hang notify on P instead of on fetch: 0.909/s -> 10/s; notify then gets what P makes;"
        " 10 of 64 items in flight; notify works on 10 items at once: they may overtake each other"
    )
    assert str(policy) == (
        "set_loop('P', await_policy='blocking'): 0.909/s -> 10/s;"
        " 10 of 64 items in flight; notify works on 10 items at once: they may overtake each other"
    )
    assert hang.frees == policy.frees == ("notify",)
    assert fetching().explain().capacity().changes == {"P": hang}


@pytest.mark.parametrize("number", [0, 1])
def test_as_many_items_are_in_flight_as_the_advice_says(number):
    for graph, flight in [(fetching(), 10), (fetching(max_in_flight=4), 4), (fetching(0.05), None)]:
        advice = advice_for(graph)
        if flight is None:
            assert "overtake" not in str(advice[number])
        else:
            assert f"{flight} of {graph.loop_options('P').max_in_flight} items in flight" in str(
                advice[number]
            )
            seen = done(graph, advice[number]).simulate(until=30).metrics["P"]
            assert seen.peak_in_flight == flight


class Notify(NonBlockingNode):
    """Keeps state, so it has a limit of its own: one call at a time, in order."""

    def run(self, data):
        return data.payload


def test_a_class_node_keeps_its_order_and_fills_all_slots():
    graph = Graph("g").add_producer("P").add_node("fetch", takes=0.1)
    graph.add_node(Notify("notify"), takes=1).add_edge("P", "fetch", "notify")
    hang, policy = advice_for(graph)
    assert str(policy) == (
        "set_loop('P', await_policy='blocking'): 0.909/s -> 1/s; 64 of 64 items in flight"
    )
    seen = done(graph, hang).simulate(until=100)
    assert measured_period(seen, "P") == pytest.approx(1 / hang.after, rel=0.02)
    assert seen.metrics["P"].peak_in_flight == 64


def test_what_overlaps_already_is_told_and_a_node_that_does_not_is_not_said_to_overtake():
    """The worked example: d works for 4 s of 6, and f is in flight under every policy."""
    hang, policy = advice_for(worked())
    assert hang.costs == "d then gets what P makes; 2 of 64 items in flight (1.2 now)"
    assert policy.costs == "2 of 64 items in flight (1.2 now)"


def test_several_ends_are_hung_together():
    graph = build("a:B 0.1, x:N 1, b:B 0.2, y:N 0.9", "P>a>x P>b>y")
    assert [c.text for c in advice_for(graph)] == [
        "hang x on P instead of on a and y on P instead of on b",
        "set_loop('P', await_policy='blocking')",
    ]
    assert advice_for(graph)[0].after == pytest.approx(5)


NOT_HUNG = {
    "a join of two": ("a:B 0.1, b:B 0.2, x:N 1", "P>a>x P>b>x"),
    "a join with the producer": ("a:B 0.1, x:N 1", "P>a>x P>x"),
    "a join behind it": ("a:B 0.1, x:N 1, j:N 1", "P>a>x>j a>j"),
}


@pytest.mark.parametrize("story", NOT_HUNG)
def test_what_joins_several_is_only_let_go_by_policy(story):
    advice = advice_for(build(*NOT_HUNG[story]))
    assert [c.text for c in advice] == ["set_loop('P', await_policy='blocking')"]


def test_behind_an_if_the_if_moves_along_and_a_branch_is_not_hung():
    graph = build("a:B 0.1, x:N 1", "P>a").add_if("late?", says(True), takes=0)
    graph.add_edge("a", "late?").add_edge("late?", "x", when=True)
    assert advice_for(graph)[0].text == "hang late? on P instead of on a"
    assert advice_for(graph)[0].frees == ("x", "late?")
    graph.add_node("b", takes=0.1).add_edge("late?", "b", when=False)
    assert [c.text for c in advice_for(graph)] == ["set_loop('P', await_policy='blocking')"]


def test_a_node_of_two_loops_is_hung_on_both_producers():
    graph = build("a:B 0.1, x:N 1", "P>a>x").add_producer("Q", every=5).add_edge("Q", "a")
    hang = advice_for(graph)[0]
    assert hang.text == "hang x on P and Q instead of on a"
    assert measured_period(done(graph, hang).simulate(until=60), "P") == pytest.approx(0.1)


def test_a_reader_that_does_not_keep_up_is_helped_in_the_same_way():
    graph = Graph("g").add_producer("P", every=0.2).add_queue("q").add_edge("P", "q")
    graph.add_queue_reader("R", queue="q").add_node("a", takes=0.1)
    graph.add_node("x", kind="non_blocking", takes=1).add_edge("R", "a", "x")
    hang = advice_for(graph, "R")[0]
    assert hang.text == "hang x on R instead of on a"
    assert hang.costs.startswith("x then gets what R reads; ")
    seen = done(graph, hang).simulate(until=60).metrics["R"]
    assert seen.released / 60 == pytest.approx(hang.after, rel=0.02)


def test_missed_ticks_are_mended_by_it():
    hang = advice_for(build("a:B 0.1, x:N 1", "P>a>x", every=0.5))[0]
    assert str(hang).startswith("hang x on P instead of on a: 0.667/s -> 2/s; ")


def test_what_a_run_has_measured_is_advised_from():
    graph = Graph("g").add_producer("P").add_node("a", lambda _: time.sleep(0.1))
    graph.add_node("x", lambda _: time.sleep(1), kind="non_blocking").add_edge("P", "a", "x")
    advice = graph.simulate(until=30).explain().capacity().advice["P"]
    assert str(advice[0]).startswith("hang x on P instead of on a: 0.909/s -> 10/s; ")


def test_items_that_would_be_lost_are_no_gain():
    graph = fetching(max_in_flight=2, when_full="drop_newest")
    assert not any(c.frees for c in advice_for(graph))


def test_a_reader_that_will_not_keep_up_is_part_of_the_cost():
    graph = fetching().add_queue("q").add_edge("fetch", "q").add_queue_reader("R", queue="q")
    graph.add_node("slow", takes=0.5).add_edge("R", "slow")
    advice = {c.text.split()[0]: c for c in graph.explain().capacity().advice["P"]}
    assert "queue q grows 8/s" in advice["hang"].costs


def test_where_nobody_knows_how_long_it_takes_it_is_a_hint_and_fetch_stays_blocking():
    graph = fetching()
    graph.nodes["notify"] = replace(graph.nodes["notify"], takes=None)
    lines = [line.split(None, 1) for line in graph.explain().text.splitlines() if line]
    kinds = [line for line in lines if line[0] in {"hint", "faster"}]
    assert [kind for kind, _ in kinds] == ["hint", "faster"]
    assert kinds[0][1] == str(graph.validate()[0])
    assert kinds[1][1].startswith("make fetch twice as fast")


def test_what_is_advised_in_numbers_is_not_hinted_at_again():
    assert "hint" not in fetching().explain().text
