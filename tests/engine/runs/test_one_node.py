"""Can one node be tried by itself, on an item or on what its upstream gave last?"""

from __future__ import annotations

import asyncio

import pytest

from flownb import Graph, Retry, ToolRegistry
from flownb.errors import GraphError, RunError
from tests.support.live import live


def sums():
    return (
        Graph("sums")
        .add_node("double", lambda s: {"n": s["n"] * 2})
        .add_if("big", lambda s: s["n"] > 10)
        .add_node("tell", lambda s: {"text": f"n is {s['n']} of {s['of']}"})
        .add_edge("double", "big")
        .add_edge("big", "tell", when=True)
    )


def test_a_node_is_called_on_an_item_and_the_next_one_on_what_it_gave():
    graph = sums()
    assert graph.step("double", {"n": 7, "of": 9}) == {"n": 14}
    assert graph.step("big") is True
    assert graph.step("tell") == {"text": "n is 14 of 9"}


def test_after_a_run_each_node_gets_what_was_before_it_then():
    graph = sums()
    graph.run({"n": 6, "of": 1})
    graph.add_node("tell", lambda s: {"text": dict(s)})
    assert graph.step("tell") == {"text": {"n": 12, "of": 1}}
    assert graph.step("double", {"n": 1, "of": 2}) == {"n": 2}
    assert graph.step("tell") == {"text": {"n": 12, "of": 1}}
    assert graph.step("big") is False
    assert graph.step("tell") == {"text": {"n": 2, "of": 2}}


@pytest.mark.parametrize("entry", [0, {"n": 0}])
def test_a_node_in_a_row_gets_what_was_before_it_too(entry):
    def add(given):
        return given + 1 if type(given) is int else {"n": given["n"] + 1}

    graph = Graph("row")
    for i in range(5):
        graph.add_node(f"n{i}", add)
    graph.add_edge("n0", "n1", "n2", "n3", "n4")
    graph.run(entry)
    given = [graph.step(f"n{i}") for i in range(4, 0, -1)]
    assert given == ([5, 4, 3, 2] if entry == 0 else [{"n": n} for n in (5, 4, 3, 2)])


def test_a_join_gets_what_all_before_it_gave():
    graph = Graph("join").add_node("a", lambda _: {"a": 1}).add_node("b", lambda _: {"b": 2})
    graph.add_node("c", lambda s: {"c": s["a"] + s["b"]}).add_edge("a", "c").add_edge("b", "c")
    graph.step("a", {})
    with pytest.raises(RunError, match=r"step\('c'\): 'b' has given nothing yet: give an item"):
        graph.step("c")
    graph.step("b", {})
    assert graph.step("c") == {"c": 3}


def test_retry_ctx_tools_and_maps_are_as_in_a_run():
    tried, tools = [], ToolRegistry()
    tools.register("ten", lambda: 10)

    async def flaky(item, ctx):
        tried.append(ctx.meta["attempt"])
        if len(tried) < 3:
            raise ConnectionError
        return ctx.tools.call("ten") + item

    again = Retry(on=ConnectionError, wait_initial=0.001)
    graph = Graph("g").add_node("flaky", flaky, retry=again)
    assert graph.step("flaky", 5, tools=tools) == 15
    assert tried == [1, 2, 3]
    graph.add_node("each", lambda x: x * x, over="xs", into="squares")
    assert graph.step("each", {"xs": [1, 2, 3]}) == [1, 4, 9]


def test_what_a_node_raises_is_raised_with_the_node_named():
    graph = Graph("g").add_node("bad", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError) as told:
        graph.step("bad", {})
    assert "node 'bad'" in told.value.__notes__[0]


@live
async def test_in_a_graph_of_loops_a_dict_is_a_payload_and_upstream_is_what_was_started_last():
    graph = Graph("loop").add_producer("days", [{"rain": 1}, {"rain": 2}])
    graph.add_node("wet", lambda day: day["rain"] > 1).add_edge("days", "wet")
    with pytest.raises(RunError, match="'days' has given nothing yet"):
        graph.step("wet")
    assert graph.step("wet", {"rain": 5}) is True
    async with graph.start() as orch:
        await orch.wait(timeout=5)
        assert await asyncio.to_thread(graph.step, "wet") is True
    assert graph.step("wet") is True


def test_what_cannot_be_stepped_says_why():
    graph = Graph("g").add_producer("p", [1]).add_node("n").add_edge("p", "n")
    with pytest.raises(RunError, match=r"step\('p'\): a producer does nothing by itself"):
        graph.step("p")
    with pytest.raises((GraphError, RunError), match="nn"):
        graph.step("nn")
    with pytest.raises(RunError, match="nothing comes before it"):
        sums().step("double")


def test_a_step_that_fails_does_not_speak_of_a_run():
    graph = Graph("g").add_node("n", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError) as raised:
        graph.step("n", 1)
    assert raised.value.__notes__ == ["node 'n' of graph 'g' failed"]
    with pytest.raises(ZeroDivisionError) as raised:
        graph.run(1)
    assert "graph.last_run has the state" in raised.value.__notes__[0]
