"""Does a graph without a producer run for real, from its entry to its final state?"""

from __future__ import annotations

import asyncio
import operator

import pytest

from flownb import Graph, IterationLimit, RunError


def counting(limit: int) -> Graph:
    return (
        Graph("count")
        .add_node("add", lambda s: {"n": s["n"] + 1})
        .add_if("more?", lambda s: s["n"] < limit)
        .set_entry_point("add")
        .add_edge("add", "more?")
        .add_edge("more?", "add", when=True)
    )


def test_ten_becomes_twenty_and_then_twenty_five_in_two_log_entries() -> None:
    graph = (
        Graph("sums")
        .add_node("multiply", lambda s: {"value": s["value"] * 2})
        .add_node("add", lambda s: {"value": s["value"] + 5})
        .add_edge("multiply", "add")
    )
    run = graph.run({"value": 10})
    assert run.state == {"value": 25}
    assert [(e.node, e.output) for e in run.logs] == [
        ("multiply", "{'value': 20}"),
        ("add", "{'value': 25}"),
    ]
    assert (run.status, run.visited) == ("completed", ["multiply", "add"])


def test_a_cycle_goes_round_until_its_way_out_and_not_beyond_the_limit() -> None:
    run = counting(3).run({"n": 0})
    assert run.state == {"n": 3}
    assert run.visited == ["add", "more?"] * 3
    with pytest.raises(IterationLimit, match=r"'add'.*run 2 times") as limit:
        counting(3).run({"n": 0}, max_iterations=2)
    assert limit.value.state == {"n": 2}


def test_two_branches_that_write_one_key_are_an_error_that_names_key_and_nodes() -> None:
    def fork(**options) -> Graph:
        graph = Graph("fork", **options).add_node("a", lambda _: {"k": [1]})
        return graph.add_node("b", lambda _: {"k": [2]})

    with pytest.raises(RunError, match=r"'a' and 'b'.*'k'"):
        fork().run()
    assert fork(reducers={"k": operator.add}).run().state == {"k": [1, 2]}


def test_what_a_node_raised_is_raised_with_the_node_named() -> None:
    def boom(_: object) -> None:
        raise ValueError("no")

    graph = Graph("g").add_node("a", lambda _: {"x": 1}).add_node("b", boom).add_edge("a", "b")
    with pytest.raises(ValueError, match="no") as error:
        graph.run()
    assert str(error.value) == "no"
    assert "node 'b' of graph 'g'" in error.value.__notes__[0]
    assert graph.last_run is not None
    assert (graph.last_run.status, graph.last_run.state) == ("failed", {"x": 1})


async def ten_at_once() -> list[int]:
    graph = counting(20)
    runs = await asyncio.gather(*(graph.arun({"n": i}) for i in range(10)))
    return [len(run.visited) // 2 for run in runs]


def test_ten_runs_at_once_do_not_see_each_other() -> None:
    assert asyncio.run(ten_at_once()) == [20 - i for i in range(10)]
