"""Is the time that a graph without producers takes predicted, and its chain named?"""

from __future__ import annotations

from random import Random

import pytest

from flownb import Graph
from tests.engine.runs.test_start_rules import traced


def random_tasks(seed):
    """Tasks as real workflow traces have them: each behind a few earlier ones."""
    rng, graph, names = Random(seed), Graph("tasks"), []
    for i in range(rng.randint(2, 40)):
        graph.add_node(f"t{i}", takes=rng.randint(0, 10**7) / 1e6)
        for name in rng.sample(names, min(len(names), rng.choice((0, 1, 1, 2, 3)))):
            graph.add_edge(name, f"t{i}")
        names.append(f"t{i}")
    return graph


@pytest.mark.parametrize("seed", range(25))
def test_every_makespan_is_the_simulated_one(seed):
    graph = random_tasks(seed)
    span = graph.explain().makespan
    assert span.seconds == graph.simulate().timeline.end
    for rule, seconds in span.rules.items():
        assert seconds == graph.simulate(start_rule=rule).timeline.end, rule
    for k, seconds in span.at_once.items():
        assert seconds == graph.simulate(max_concurrency=k).timeline.end, k


def test_the_critical_chain_is_named_and_takes_as_long():
    span = traced().explain().makespan
    assert span.chain == (("fetch_a", 2), ("trim_a", 7), ("align", 3), ("report", 0.25))
    assert sum(takes for _, takes in span.chain) == span.seconds == 12.25
    assert span.work == 28.25


def test_it_is_told_in_words_and_in_the_picture():
    why = traced().explain()
    assert "after 12.25 s = fetch_a 2 s + trim_a 7 s + align 3 s + report 0.25 s" in why.text
    assert "28.25 s in all, so 2.31 nodes at work on average" in why.text
    assert "It runs once and is done after 12.25 s." in why.svg()
    assert "critical chain" in why.svg()
    assert "no loop, so nothing has to keep up" in why.capacity().text


def test_an_if_counts_with_its_worst_case():
    graph = Graph("g").add_if("hot?", bool, takes=1).add_node("a", takes=5).add_node("b", takes=2)
    graph.add_edge("hot?", "a", when=True).add_edge("hot?", "b", when=False)
    assert graph.explain().makespan.seconds == 6
    assert graph.simulate(payload=1).timeline.end == 6


def test_a_loop_has_no_makespan_and_a_ring_is_not_played():
    assert Graph("loop").add_producer("p").explain().makespan is None
    ring = Graph("ring").add_node("first").add_node("a").add_if("again?", bool).add_node("end")
    ring.add_edge("first", "a", "again?").add_edge("again?", "a", when=True)
    why = ring.add_edge("again?", "end", when=False).explain()
    assert why.makespan is None
    assert why.text == "ring: runs once, how often round and how long only a run tells"


def test_what_works_element_by_element_counts_once_and_says_so():
    graph = Graph("g").add_node("read", takes=2, over="papers", into="notes")
    assert "for how many elements read works only a run can tell: 1 counts" in graph.explain().text


def test_what_was_measured_stands_for_what_is_not_declared():
    graph = Graph("g").add_node("a", lambda _: None, fake=None)
    assert graph.explain().unknown == ("a",)

    async def slow(_, ctx):
        await ctx.sleep(3)

    graph.add_node("a", slow)
    assert graph.simulate().explain().makespan.seconds == 3
