"""Does a graph go out as React Flow JSON and come back as it was?"""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given

from flownb import Graph, GraphError, ToolRegistry
from flownb.model.document.encode import to_dict
from flownb.reactflow.exporter import to_react_flow
from flownb.reactflow.own_tools import own_tools
from tests.model.document.test_document import TOOLS, full, workflows
from tests.support import drawings
from tests.support.drawings import edge, node


def check_it(x):
    return x


DRAWN = ToolRegistry()
DRAWN.register("check", check_it)
DRAWN.register("read_days", lambda: iter([1]))


def check(graph):
    graph.edges = {ends: edge for ends, edge in graph.edges.items() if {*ends} <= {*graph.nodes}}
    drawn = to_react_flow(graph, tools=TOOLS)
    back = Graph.from_react_flow(json.dumps(drawn), tools=TOOLS)
    assert to_dict(back, tools=TOOLS) == to_dict(graph, tools=TOOLS)
    assert back.to_react_flow(tools=TOOLS) == drawn


def test_everything_a_graph_can_hold_comes_back():
    check(full())


@given(workflows())
def test_every_graph_comes_back(graph):
    check(graph)


# -- what was drawn ----------------------------------------------------------------


def drawn_and_read():
    drawn = drawings.two_loops()
    return drawn, Graph.from_react_flow(drawn, tools=DRAWN)


def test_what_did_not_change_goes_out_untouched():
    drawn, graph = drawn_and_read()
    assert graph.to_react_flow(tools=DRAWN) == drawn
    assert graph.name == "drawing"


def by_id(parts):
    return {part["id"]: part for part in parts}


def test_an_edit_changes_what_it_is_about_and_nothing_else():
    drawn, graph = drawn_and_read()
    graph.add_node("audit", kind="blocking", takes=2).set_loop("days", max_in_flight=3)
    graph.remove_edge("days", "check").add_edge("days", "rank", description="new")
    graph.remove_edge("wet?", "wet days").add_edge("wet?", "wet days", when=False)
    out = graph.to_react_flow(tools=DRAWN)
    nodes, edges = by_id(out["nodes"]), by_id(out["edges"])
    before = by_id(drawn["nodes"])
    assert nodes["audit"]["type"] == "blocking"
    assert nodes["audit"]["data"] == {"label": "Audit", "takes": 2, "color": "#fff"}
    assert nodes["days"]["data"] == {**before["days"]["data"], "max_in_flight": 3}
    for name in ("check", "wet?", "wet days", "storms", "rank"):
        assert nodes[name] == before[name]
    assert "days>check" not in edges
    assert edges["xy-edge__days-rank"]["label"] == "new"
    assert edges["wet?>wet days"]["data"] == {"when": False}
    back = Graph.from_react_flow(out, tools=DRAWN)
    assert back.to_dict(tools=DRAWN) == graph.to_dict(tools=DRAWN)


def test_a_renamed_node_keeps_what_was_drawn_of_it_and_of_its_edges():
    drawn = {
        "nodes": [
            {"id": "1", "type": "producer", "data": {"label": "Days"}, "style": {"color": "red"}},
            {"id": "2", "type": "queue", "position": {"x": 1, "y": 2}, "data": {"color": "#fff"}},
            {"id": "3", "type": "blocking", "parentId": "1", "data": {}, "extent": "parent"},
            {"id": "note", "type": "note", "data": {}},
        ],
        "edges": [{"id": "e", "source": "1", "target": "2", "animated": True}],
    }
    graph = Graph.from_react_flow(drawn)
    before = graph._contents()
    graph.rename_node("1", "days").rename_node("2", "wet").rename_node("3", "note")
    out = graph.to_react_flow()
    days, wet, held, _ = out["nodes"]
    assert (days["id"], days["data"], days["style"]) == (
        "days",
        {"label": "days"},
        {"color": "red"},
    )
    assert (wet["id"], wet["data"]["queue"], wet["data"]["color"]) == ("wet", "2", "#fff")
    assert (held["id"], held["parentId"]) == ("note_", "days")
    [edge] = out["edges"]
    assert edge == {"id": "e", "source": "days", "target": "wet", "animated": True}
    assert list(Graph.from_react_flow(out).nodes) == ["days", "wet", "note_"]
    graph._restore(before)
    assert [node["id"] for node in graph.to_react_flow()["nodes"]] == ["1", "2", "3", "note"]


def test_a_node_that_goes_takes_its_edges_and_lets_out_what_it_held():
    nodes = [
        node("g", "blocking", position={"x": 100, "y": 100}),
        node("a", "blocking", parentId="g", extent="parent"), node("n", "note"),
    ]  # fmt: skip
    graph = Graph.from_react_flow({"nodes": nodes, "edges": [edge("g", "a")]})
    graph.remove_node("g")
    out = graph.to_react_flow()
    assert [one["id"] for one in out["nodes"]] == ["a", "n"]
    assert out["nodes"][0]["position"] == {"x": 110, "y": 120}
    assert "parentId" not in out["nodes"][0]
    assert out["edges"] == []


def test_a_placeholder_that_was_filled_in_comes_back_filled():
    drawn = {"nodes": [node("a", "agent", data={"name": "x", "config": 5})], "edges": []}
    graph = Graph.from_react_flow(drawn, on_unknown="placeholder")
    graph.add_node("a", check_it, kind="non_blocking", timeout=2)
    out = graph.to_react_flow(tools=DRAWN)
    assert out["nodes"][0]["type"] == "agent"
    said = {"kind": "non_blocking", "function": "check", "timeout": 2}
    assert out["nodes"][0]["data"] == {"name": "x", "config": 5, "flownb": said}
    back = Graph.from_react_flow(out, tools=DRAWN)
    assert back.nodes["a"].fn is check_it
    assert back.to_react_flow(tools=DRAWN) == out


def test_what_is_new_stands_below_what_was_drawn():
    drawn = {"nodes": [node("a", "blocking"), node("n", "note", id="b")], "edges": []}
    graph = Graph.from_react_flow(drawn)
    graph.add_node("b").add_node("c").add_edge("a", "b", "c")
    out = by_id(graph.to_react_flow()["nodes"])
    assert set(out) == {"a", "b", "b_", "c"}
    assert all(out[name]["position"]["y"] > 20 for name in ("b_", "c"))
    assert out["b_"]["position"]["x"] < out["c"]["position"]["x"]


def test_a_new_graph_has_types_that_react_flow_draws_by_itself():
    graph = Graph("g").add_producer("p").add_node("a").add_if("i").add_edge("p", "a", "i")
    graph.add_node("b").add_edge("i", "b", when=True)
    out = graph.to_react_flow()
    assert [one["type"] for one in out["nodes"]] == ["input", "default", "default", "output"]
    assert [one.get("label") for one in out["edges"]] == [None, None, "yes"]
    assert out["flownb"] == {"version": 1, "name": "g"}


def test_a_name_of_the_file_stays_out_of_the_drawing(tmp_path):
    path = tmp_path / "mail.json"
    path.write_text(json.dumps(drawings.two_loops()))
    graph = Graph.from_react_flow(path, tools=DRAWN)
    assert "flownb" not in graph.to_react_flow(tools=DRAWN)
    graph.name = "post"
    assert graph.to_react_flow(tools=DRAWN)["flownb"]["name"] == "post"


def test_what_json_cannot_hold_is_told():
    with pytest.raises(GraphError, match="node 'a': a lambda"):
        Graph("g").add_node("a", lambda x: x).to_react_flow()


def test_a_copied_graph_keeps_its_drawing():
    drawn, graph = drawn_and_read()
    assert copy.deepcopy(graph).to_react_flow(tools=DRAWN) == drawn


# -- the functions of a graph --------------------------------------------------------


def test_every_function_of_a_graph_can_have_a_name():
    graph = Graph("g").add_producer("p", [1, 2]).add_node("a", lambda x: x + 1).add_edge("p", "a")
    graph.add_node("b", lambda x: -x, takes=lambda rng: 1.0).add_node("c", check_it)
    graph.add_edge("a", "b", condition=lambda x: x > 2).add_edge("b", "c")
    tools = own_tools(graph, DRAWN)
    out = graph.to_react_flow(tools=tools)
    assert [one["data"].get("function") for one in out["nodes"]] == [None, "a", "b", "check"]
    back = Graph.from_react_flow(out, tools=tools)
    assert back.to_dict(tools=tools) == graph.to_dict(tools=tools)
    assert back.nodes["b"].fn is graph.nodes["b"].fn
    assert back.simulate().digest == graph.simulate().digest


def test_whatever_can_be_named_is_named():
    graph = full()
    graph.edges = {ends: edge for ends, edge in graph.edges.items() if {*ends} <= {*graph.nodes}}
    tools = own_tools(graph, ToolRegistry())
    out = to_react_flow(graph, tools=tools)
    back = Graph.from_react_flow(out, tools=tools)
    assert to_dict(back, tools=tools) == to_dict(graph, tools=tools)
