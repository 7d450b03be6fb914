"""Does a graph without a producer run once, in the order it is asked to?"""

from __future__ import annotations

import pytest

from flownb import Graph, GraphError

# A small case of the kind that real workflow traces are: seconds and parents of each task.
TASKS = {
    "fetch_a": (2, ()),
    "fetch_b": (5, ()),
    "trim_a": (7, ("fetch_a",)),
    "trim_b": (1, ("fetch_b",)),
    "align": (3, ("trim_a", "trim_b")),
    "count": (4, ("trim_b",)),
    "report": (0.25, ("align", "count")),
    "alone": (6, ()),
}


def traced() -> Graph:
    graph = Graph("trace")
    for name, (takes, _) in TASKS.items():
        graph.add_node(name, takes=takes)
    for name, (_, parents) in TASKS.items():
        for parent in parents:
            graph.add_edge(parent, name)
    return graph


def test_one_worker_takes_the_sum_of_all() -> None:
    total = sum(takes for takes, _ in TASKS.values())
    assert traced().simulate(max_concurrency=1).timeline.end == total
    assert traced().simulate(start_rule="sequential").timeline.end == total


def test_dataflow_takes_the_critical_path() -> None:
    assert traced().simulate().timeline.end == 2 + 7 + 3 + 0.25


def test_level_barriers_take_the_longest_of_each_level() -> None:
    assert traced().simulate(start_rule="level").timeline.end == 6 + 7 + 4 + 0.25


def test_never_more_than_max_concurrency_work_at_once() -> None:
    for k in (1, 2, 3):
        spans = traced().simulate(max_concurrency=k).timeline.spans
        busiest = max(sum(s.start <= t < s.end for s in spans) for t in {s.start for s in spans})
        assert busiest == k


def test_those_with_the_longest_way_to_go_start_first() -> None:
    spans = traced().simulate(max_concurrency=2).timeline.spans
    assert [s.node for s in spans if s.start == 0] == ["fetch_a", "fetch_b"]


def test_the_makespan_keeps_grahams_bound_for_every_k() -> None:
    total, critical = sum(t for t, _ in TASKS.values()), 12.25
    for k in range(1, 9):
        assert traced().simulate(max_concurrency=k).timeline.end <= total / k + critical


def test_the_root_is_no_node_of_the_timeline_even_if_a_node_is_named_like_the_graph() -> None:
    graph = Graph("same").add_node("same", takes=1)
    sim = graph.simulate()
    assert [s.node for s in sim.timeline.spans] == ["same"]
    assert sim.outputs("same") == [{}]


def test_the_payload_enters_at_every_node_without_in_edges() -> None:
    graph = Graph("g").add_node("a", lambda x: x + 1).add_node("b", lambda x: x * 10)
    sim = graph.simulate(payload=4)
    assert (sim.outputs("a"), sim.outputs("b")) == ([5], [40])


def test_loops_are_not_run_once() -> None:
    loop = Graph("loop").add_producer("p", [1]).add_node("n").add_edge("p", "n")
    with pytest.raises(GraphError, match=r"set_loop\(start_rule=\)"):
        loop.simulate(start_rule="level")
    with pytest.raises(GraphError, match="at least 1"):
        traced().simulate(max_concurrency=0)
    with pytest.raises(GraphError, match="no exit"):
        Graph("ring").add_edge("a", "b", "a").add_node("a").add_node("b").simulate()
