"""Do places and frames that were drawn on the canvas go into React Flow's JSON, and come back?"""

from __future__ import annotations

from copy import deepcopy

from flownb import Graph
from flownb.reactflow.hand_places import read_places
from flownb.widgets.canvas import Canvas
from flownb.widgets.canvas_document import document_of


def drawn() -> dict:
    def node(name, kind, x, y, **more):
        return {"id": name, "type": kind, "position": {"x": x, "y": y}, "data": {}, **more}

    return {
        "nodes": [
            node("outer", "group", 100, 100, style={"width": 400, "height": 300}),
            node("days", "producer", 0, 0),
            node("check", "blocking", 10, 20, parentId="outer", extent="parent"),
            node("rank", "blocking", 200, 20, parentId="outer"),
        ],
        "edges": [{"id": "e1", "source": "days", "target": "check", "animated": True}],
        "viewport": {"x": 1, "y": 2, "zoom": 0.5},
    }


def by_id(document: dict) -> dict:
    return {node["id"]: node for node in document["nodes"]}


def test_what_nobody_moves_goes_out_as_it_came_in():
    graph = Graph.from_react_flow(deepcopy(drawn()))
    document_of(graph)
    assert graph.to_react_flow() == drawn()


def test_a_node_in_a_frame_is_where_it_was_moved_to_on_the_sheet():
    graph = Graph.from_react_flow(drawn())
    canvas = document_of(graph)
    assert canvas.places == {"days": (0, 0), "check": (110, 120), "rank": (300, 120)}
    canvas.move({"days": (5, 6)})
    out = by_id(graph.to_react_flow())
    assert out["days"]["position"] == {"x": 5, "y": 6}
    assert out["outer"] == drawn()["nodes"][0]
    canvas.move({"check": (500, 400)}, node="check", frame="outer")
    again = Graph.from_react_flow(graph.to_react_flow())
    assert read_places(again)[0]["check"] == (500, 400)
    assert read_places(again)[1]["outer"].members == ("check", "rank")


def test_frames_are_made_left_and_taken_away():
    graph = Graph.from_react_flow(drawn())
    canvas = document_of(graph)
    canvas.group(["days"], "the source")
    canvas.move({"rank": (0, 500)}, node="rank", frame=None)
    document = graph.to_react_flow()
    out = by_id(document)
    assert out["days"]["parentId"] == "group-1"
    assert out["group-1"]["data"] == {"label": "the source"}
    assert "parentId" not in out["rank"]
    assert out["rank"]["position"] == {"x": 0, "y": 500}
    order = [node["id"] for node in document["nodes"]]
    assert order.index("group-1") < order.index("days")
    again = Graph.from_react_flow(document)
    places, frames = read_places(again)
    assert places == {"days": (0, 0), "check": (110, 120), "rank": (0, 500)}
    assert frames["group-1"].members == ("days",)
    canvas.ungroup("group-1")
    assert "parentId" not in by_id(graph.to_react_flow())["days"]


def test_a_graph_that_was_never_a_drawing_takes_its_places_along():
    graph = Graph("g").add_producer("a").add_node("b").add_edge("a", "b")
    canvas = document_of(graph)
    canvas.move({"a": (-70, 33), "b": (250, 40)})
    canvas.group(["a", "b"])
    again = Graph.from_react_flow(graph.to_react_flow())
    assert document_of(again).places == {"a": (-70, 33), "b": (250, 40)}
    assert document_of(again).frames["group-1"].members == ("a", "b")


def test_the_canvas_says_what_the_drawing_said_and_the_drawing_comes_back():
    flow = drawn()
    flow["nodes"][1]["data"]["label"] = "Read the days of a year"
    graph = Graph.from_react_flow(flow)
    canvas = Canvas(graph)
    labels = {node["id"]: node["data"]["label"] for node in canvas.scene()["nodes"]}
    assert labels == {"days": "Read the days of a year", "check": "check", "rank": "rank"}
    again = Graph.from_react_flow(canvas.json())
    assert again.to_dict() == graph.to_dict()
    assert Canvas(again).scene()["nodes"] == canvas.scene()["nodes"]
