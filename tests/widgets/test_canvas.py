"""Is what one does on the canvas an edit of the graph, that can be undone, and is told again?"""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flownb import Graph, GraphError
from flownb.model.nodes import BlockingNode, NodeConfig
from flownb.model.policies import OTHERWISE, Limit
from flownb.model.tools import tools
from flownb.widgets.canvas import Canvas
from flownb.widgets.canvas_document import CanvasDocument, document_of
from flownb.widgets.option_form import edge_form, loop_form, node_form, typed
from tests.support.live import live, until
from tests.support.samples import nasty, weather


class Scale(BlockingNode):
    """Multiply."""

    class Config(NodeConfig):
        factor: float = 2.0

    def run(self, data):
        return data.payload * self.config.factor


def check(x):
    return x


@pytest.fixture(autouse=True)
def known(monkeypatch):
    monkeypatch.setattr(tools, "_tools", {})
    tools.register("check", check)
    tools.register("Scale", Scale)


def shop() -> Graph:
    return (
        Graph("shop").add_producer("days").add_node("check", check).add_node("charge")
        .add_edge("days", "check", "charge")
    )  # fmt: skip


def done(graph: Graph, **command) -> Canvas:
    canvas = Canvas(graph)
    ask(canvas, **command)
    return canvas


def ask(canvas: Canvas, do: str, **about) -> dict | None:
    """Send a command; give what it was refused for."""
    canvas.commands()[do]({"do": do, "view": "v", "seq": 1, **about})
    return canvas.state().get("refused")


def edges(graph: Graph) -> list[str]:
    return [str(edge) for edge in graph.edges.values()]


# -- every gesture is an edit --------------------------------------------------


def test_a_node_is_added_at_its_place_behind_the_chosen_one_or_on_an_edge():
    graph = shop()
    canvas = done(graph, do="add", kind="non-blocking", position=[5, 7])
    assert (graph.nodes["aside"].kind, canvas.drawing.places["aside"]) == ("non_blocking", (5, 7))
    ask(canvas, "add", tool="Scale", kind="blocking", after="charge")
    assert repr(graph.nodes["Scale"].fn) == "Scale('Scale', factor=2.0)"
    ask(canvas, "add", tool="check", between=["days", "check"], position=[0, 0])
    assert edges(graph) == [
        "check -> charge", "charge -> Scale", "days -> check_2", "check_2 -> check",
    ]  # fmt: skip
    assert graph.nodes["check_2"].fn is check


def test_what_is_wrong_is_said_in_the_builders_words_and_nothing_has_happened():
    graph = shop()
    canvas, before = Canvas(graph), graph.to_dict()
    assert ask(canvas, "connect", source="charge", target="days")["text"].startswith(
        "days is a producer: it makes the items"
    )
    assert "no way back" in ask(canvas, "connect", source="charge", target="check")["text"]
    assert "already" in ask(canvas, "connect", source="days", target="check")["text"]
    assert "itself" in ask(canvas, "connect", source="check", target="check")["text"]
    assert 'did you mean "check"' in ask(
        canvas, "set", node="charge", option="fn", value="chekc"
    )["text"]  # fmt: skip
    assert ask(canvas, "set", node="charge", option="takes", value=-1)["option"] == "takes"
    assert "already" in ask(canvas, "rename", node="charge", name="check")["text"]
    assert 'did you mean "check"' in ask(canvas, "flip", nodes=["chekc"])["text"]
    assert ask(canvas, "flip", nodes=["days"])["text"].endswith("this is a producer")
    assert ask(canvas, "move", nodes={"check": [float("nan"), 0]})
    assert ask(canvas, "undo")["text"] == "there is nothing to undo"
    assert (graph.to_dict(), canvas.drawing.done) == (before, "")
    assert ask(canvas, "rename", node="check", name="look") is None


def test_the_edges_of_an_if_take_the_verdicts_that_are_left():
    graph = Graph("g").add_producer("p").add_if("w", check).add_edge("p", "w")
    drawing = document_of(graph)
    for name in "abc":
        graph.add_node(name)
        drawing.connect("w", name)
    assert [edge.when for edge in graph.edges.values()] == [None, True, False, None]
    drawing.set_edge(("w", "a"), when="hot")
    drawing.reconnect(("w", "c"), "w", "b2" if "b2" in graph.nodes else "c")
    assert list(graph.edges) == [("p", "w"), ("w", "a"), ("w", "b"), ("w", "c")]
    graph.remove_edge("w", "c")
    drawing.connect("w", "c")
    assert graph.edges["w", "c"].when is OTHERWISE


def test_a_reader_that_is_linked_to_a_queue_reads_it():
    graph = Graph("g").add_producer("p").add_queue("q", queue="mail").add_edge("p", "q")
    canvas = done(graph, do="add", kind="queue-reader", after="q")
    assert graph.nodes["reader"].reader.queue == "mail"
    assert graph.producers == ("p", "reader")
    ask(canvas, "add", kind="queue-reader", position=[0, 0])
    assert graph.nodes["reader_2"].reader.queue == "mail"


def test_an_edge_may_lead_only_where_it_makes_sense():
    graph = weather_graph()
    assert document_of(graph).targets("check") == ["audit", "wet_days", "storms", "rank"]
    once = Graph("once").add_node("a").add_node("b").add_edge("a", "b")
    assert document_of(once).targets("b") == ["a"]  # a run that ends may have cycles


def weather_graph() -> Graph:
    return Graph("weather").include(weather())


def test_a_renamed_node_keeps_its_place_its_edges_its_loop_and_its_frame():
    graph = shop().set_loop("days", pool="asyncio")
    canvas = done(graph, do="group", nodes=["days", "check"])
    place = canvas.drawing.places["days"]
    ask(canvas, "rename", node="days", name="source")
    assert edges(graph) == ["source -> check", "check -> charge"]
    assert graph.loop_options("source").pool == "asyncio"
    assert next(iter(graph.nodes)) == "source"
    assert canvas.drawing.places["source"] == place
    assert canvas.drawing.frames["group-1"].members == ("source", "check")


def test_a_copied_piece_keeps_its_links_and_goes_into_another_graph():
    graph = shop().set_loop("days", max_in_flight=3)
    graph.add_node("own", Scale("own", factor=4)).add_edge("check", "own")
    canvas = done(graph, do="copy", nodes=["days", "check", "own"])
    ask(canvas, "paste", position=[300, 100])
    assert edges(graph)[-2:] == ["days_2 -> check_2", "check_2 -> own_2"]
    assert graph.loop_options("days_2").max_in_flight == 3
    assert graph.nodes["own_2"].limit is not graph.nodes["own"].limit
    places = canvas.drawing.places
    gap = places["check"][0] - places["days"][0]
    assert places["check_2"][0] - places["days_2"][0] == pytest.approx(gap)
    other = Graph("other")
    done(other, do="paste", position=[0, 0])
    assert edges(other) == ["days -> check", "check -> own"]


# -- undo ----------------------------------------------------------------------


VERBS = st.sampled_from(
    [
        {"do": "add", "kind": "blocking", "position": [10, 10]},
        {"do": "add", "kind": "queue", "after": "check"},
        {"do": "connect", "source": "days", "target": "charge"},
        {"do": "reconnect", "edge": ["check", "charge"], "source": "days", "target": "charge"},
        {"do": "delete", "nodes": ["check"]},
        {"do": "delete", "nodes": [], "edges": [["days", "check"]]},
        {"do": "move", "nodes": {"charge": [300, 400]}},
        {"do": "tidy"},
        {"do": "flip", "nodes": ["check", "charge"]},
        {"do": "rename", "node": "charge", "name": "bill"},
        {"do": "set", "node": "check", "option": "retry.on", "value": "ValueError"},
        {"do": "set", "node": "check", "option": "fn", "value": "Scale"},
        {"do": "set", "loop": "days", "option": "pool", "value": "asyncio"},
        {"do": "set", "edge": ["days", "check"], "option": "copy", "value": True},
        {"do": "group", "nodes": ["check", "charge"]},
        {"do": "copy", "nodes": ["check", "charge"]},
        {"do": "paste", "position": [50, 50]},
        {"do": "undo"},
        {"do": "redo"},
        {"code": lambda g: g.add_node("late").add_edge("days", "late")},
        {"code": lambda g: g.add_node("check", check, timeout=3)},
        {"code": lambda g: g.remove_node("charge") if "charge" in g.nodes else None},
    ]
)


def picture(drawing: CanvasDocument) -> str:
    graph = drawing.graph
    nodes = [(n.name, n.kind, repr(n)) for n in graph.nodes.values()]
    return repr((nodes, edges(graph), graph.options, drawing.places, drawing.frames))


@settings(max_examples=60)
@given(st.lists(VERBS, max_size=10))
def test_undo_goes_back_through_everything_and_redo_goes_there_again(steps):
    graph = shop()
    canvas = Canvas(graph)
    drawing, begun = canvas.drawing, picture(canvas.drawing)
    for step in steps:
        if "code" in step:
            step["code"](graph)
            drawing.look()
        else:
            ask(canvas, **step)
    ended, count = picture(drawing), 0
    while drawing.done:
        drawing.undo()
        count += 1
    assert picture(drawing) == begun
    for _ in range(count):
        drawing.redo()
    assert picture(drawing) == ended


def test_an_edit_in_code_shows_has_a_place_and_moves_nothing_else():
    graph = shop()
    canvas = done(graph, do="move", nodes={"check": [500, 300]})
    before, version = dict(canvas.drawing.places), canvas.version()
    graph.add_node("audit", kind="non_blocking").add_edge("check", "audit")
    assert canvas.version() != version
    assert {k: v for k, v in canvas.drawing.places.items() if k != "audit"} == before
    assert canvas.drawing.places["audit"][0] > 500
    assert canvas.scene()["undo"] == "edit in code"
    ask(canvas, "undo")
    assert list(graph.nodes) == ["days", "check", "charge"]


def test_a_group_is_folded_renamed_and_left_and_all_of_it_can_be_undone():
    canvas = done(shop(), do="group", nodes=["check", "charge"], label="both")
    ask(canvas, "set_group", group="group-1", folded=True, label="two")
    [frame] = canvas.scene()["frames"]
    assert frame == {"id": "group-1", "label": "two", "nodes": ["check", "charge"], "folded": True}
    ask(canvas, "move", nodes={"check": [0, 900]}, node="check", frame=None)
    assert canvas.scene()["frames"][0]["nodes"] == ["charge"]
    ask(canvas, "delete", nodes=["charge"])
    assert canvas.scene()["frames"] == []
    for _ in range(4):
        ask(canvas, "undo")
    assert (canvas.scene()["frames"], canvas.drawing.done) == ([], "")
    assert (
        'did you mean "group-1"'
        in (ask(done(shop(), do="group", nodes=["check"]), "ungroup", group="grop-1")["text"])
    )


def test_two_canvases_of_a_graph_edit_one_document():
    graph = shop()
    one, two = Canvas(graph), Canvas(graph)
    ask(one, "flip", nodes=["check"])
    assert two.scene()["undo"] == "make check non-blocking"
    ask(two, "undo")
    assert graph.nodes["check"].kind == "blocking"
    assert one.scene()["nodes"] == two.scene()["nodes"]


def test_names_with_arrows_in_them_do_not_make_two_edges_one():
    graph = Graph("g").add_producer("a").add_node("b -> c").add_edge("a", "b -> c")
    graph.add_producer("a -> b").add_node("c").add_edge("a -> b", "c")
    canvas = Canvas(graph)
    first, second = canvas.scene()["edges"]
    assert first["id"] != second["id"]
    canvas.select({"edge": ["a -> b", "c"]})
    assert canvas.state()["detail"]["edge"] == second["id"]


def test_a_strange_command_or_choice_changes_nothing_and_is_refused():
    graph = shop()
    before = graph.to_dict()
    for command in (
        {"do": "add", "kind": "bogus"}, {"do": "add", "position": []}, {"do": "move", "nodes": [1]},
        {"do": "add", "position": [float("nan"), 0]}, {"do": "delete", "nodes": 5},
        {"do": "rename", "node": "check", "name": "charge"}, {"do": "rename", "node": "check"},
        {"do": "rename", "node": "check", "name": "__end__"}, {"do": "connect", "source": "days"},
        {"do": "connect", "source": "check", "target": "days"}, {"do": "undo"},
        {"do": "paste", "position": [0, 0], "text": "/etc/hostname"},
        {"do": "paste", "position": [0, 0], "text": "{"},
    ):  # fmt: skip
        assert ask(Canvas(graph), **command)["text"].strip(), command
    assert graph.to_dict() == before
    canvas = Canvas(graph)
    for chosen in ({"node": [1]}, {"edge": 5}, {"loop": {}}, None, {"edge": ["x", "y"]}):
        canvas.select(chosen)
        json.dumps(canvas.state())


def test_a_drawing_of_another_tool_is_pasted_under_its_labels_with_its_frames():
    graph = shop()
    flow = {
        "nodes": [
            {"id": "0", "type": "group", "position": {"x": 9, "y": 9}, "data": {"label": "prep"}},
            {"id": "1", "parentId": "0", "position": {"x": 5, "y": 5}, "data": {"label": "charge"}},
            {"id": "2", "type": "blocking", "data": {"function": "check", "label": "__end__"}},
        ],
        "edges": [{"source": "1", "target": "2"}, {"source": "2", "target": "gone"}],
    }
    canvas = done(graph, do="paste", position=[100, 50], text=json.dumps(flow))
    assert canvas.state()["made"]["nodes"] == ["charge_2", "2"]
    assert "gone" in canvas.state()["refused"]["text"]
    assert graph.nodes["2"].fn is check
    assert edges(graph)[2:] == ["charge_2 -> 2"]
    assert [(f.label, f.members) for f in canvas.drawing.frames.values()] == [
        ("prep", ("charge_2",))
    ]
    assert ask(canvas, do="undo") is None
    assert list(graph.nodes) == ["days", "check", "charge"]
    assert canvas.drawing.frames == {}


def test_a_producer_that_is_deleted_while_it_runs_comes_back_with_undo():
    graph = shop()
    canvas = done(graph, do="delete", nodes=["days"])
    assert [p.level for p in graph.validate()]
    canvas.commands()["undo"]({"do": "undo", "view": "v", "seq": 2})
    assert edges(graph) == ["days -> check", "check -> charge"]


def test_moving_is_no_edit_that_would_have_to_be_applied():
    graph = shop()
    before = graph.version
    canvas = done(graph, do="move", nodes={"check": [1, 2]})
    ask(canvas, "tidy")
    ask(canvas, "undo")
    ask(canvas, "group", nodes=["check"])
    assert graph.version == before


def test_a_part_that_was_undone_can_be_included_again():
    graph = Graph("g").include(weather())
    canvas = done(graph, do="delete", nodes=["check", "audit"])
    ask(canvas, "undo")
    assert list(graph.include(weather()).nodes) == list(weather().nodes)


# -- what is told --------------------------------------------------------------


def test_the_scene_is_react_flows_nodes_and_edges_and_json():
    scene = Canvas(weather_graph()).scene()
    first = scene["nodes"][0]
    assert (first["id"], first["type"]) == ("days", "producer")
    assert first["position"].keys() == {"x", "y"}
    yes = next(e for e in scene["edges"] if e["id"] == "wet? -> wet_days")
    assert (yes["sourceHandle"], yes["label"], yes["style"]) == ("true", "yes", "awaited")
    assert scene["edges"][-1] == {
        "id": "wet_days -> storms", "source": "wet_days", "target": "storms", "style": "queued",
        "implied": True,
    }  # fmt: skip
    assert [loop["nodes"] for loop in scene["loops"]][1] == ["storms", "rank"]
    json.dumps(scene, allow_nan=False)


def test_problems_and_verdicts_are_told_while_one_draws():
    graph = shop()
    canvas = done(graph, do="add", kind="blocking", position=[0, 0])
    [problem] = canvas.scene()["problems"]
    assert (problem["level"], problem["nodes"]) == ("error", ["step"])
    assert canvas.state()["words"][0][:2] == ["days", "waits"]
    canvas.select({"node": "charge"})
    assert canvas.state()["detail"]["words"] == [
        "days waits for charge: days -> check -> charge, charge is blocking"
    ]
    canvas.select({"edge": ["days", "check"]})
    assert canvas.state()["detail"]["words"] == ["the producer waits for this"]
    canvas.select({"loop": "days"})
    assert canvas.state()["detail"]["form"][0]["name"] == "pool"


def test_a_graph_with_a_cycle_is_drawn_and_says_so():
    graph = Graph("g").add_producer("p").add_node("a").add_node("b").add_edge("p", "a", "b", "a")
    canvas = Canvas(graph)
    assert canvas.scene()["problems"][0]["level"] == "error"
    assert canvas.state()["words"] == []
    assert "p" in canvas.still()


def test_names_that_look_like_markup_are_text():
    graph = Graph("x").include(nasty())
    canvas = Canvas(graph)
    json.dumps([canvas.scene(), canvas.state()])
    still = canvas.still()
    assert "<script>alert" not in still
    assert ask(canvas, "move", nodes={name: [0, 0] for name in graph.nodes}) is None


def test_a_function_that_is_defined_anew_is_the_one_that_is_called():
    graph = shop()
    canvas = done(graph, do="add", tool="check", position=[0, 0])

    def other(x):
        return x + 1

    tools.register("check", other, replace=True)
    canvas.version()
    assert graph.nodes["check_2"].fn is other
    assert graph.nodes["check"].fn is check  # that one was not chosen here
    assert canvas.scene()["undo"] == "check is defined anew"


# -- forms ---------------------------------------------------------------------


def fields(found):
    return {field["name"]: field for field in found}


def test_a_form_has_the_options_of_the_kind_with_their_types():
    graph = shop().add_if("w").add_queue("q").add_queue_reader("r", queue="q")
    form = fields(node_form(graph, graph.nodes["check"]))
    assert (form["timeout"]["type"], form["keep"]["type"]) == ("number", "integer")
    assert (form["fn"]["value"], form["fn"]["choices"]) == ("check", ["check", "Scale"])
    assert form["join"]["choices"] == ["all", "each", "first"]
    assert "retry.attempts" not in form  # there is no retry yet
    assert "over" not in form  # only for runs that end
    assert list(fields(node_form(graph, graph.nodes["w"]))) == ["fn", "takes"]
    assert "queue.mode" in fields(node_form(graph, graph.nodes["q"]))
    assert fields(node_form(graph, graph.nodes["r"]))["reader.queue"]["choices"] == ["q"]
    assert fields(loop_form(graph, "days"))["await_policy"]["choices"][-1] == "all"
    assert fields(edge_form(graph, ("days", "check")))["copy"]["type"] == "flag"


def test_what_is_typed_becomes_the_builders_values():
    graph = shop().add_node(Scale("own", factor=4))
    node = graph.nodes["check"]
    assert typed(graph, node, "limit.concurrency", 3)["limit"].concurrency == 3
    retry = typed(graph, node, "retry.on", "ValueError, OSError")["retry"]
    assert (retry.on, retry.attempts) == ((ValueError, OSError), 3)
    assert typed(graph, node, "retry.on", None) == {"retry": None}
    assert typed(graph, node, "join", "2") == {"join": 2}
    assert typed(graph, node, "cache", "true") == {"cache": True}
    assert typed(graph, graph.nodes["own"], "settings.factor", 5)["fn"].config.factor == 5
    with pytest.raises(GraphError, match="factor: input should be a valid number"):
        typed(graph, graph.nodes["own"], "settings.factor", "x")
    with pytest.raises(GraphError, match='did you mean "ValueError"'):
        typed(graph, node, "retry.on", "ValueErorr")


def test_a_value_that_only_code_can_give_is_shown_and_kept():
    graph = shop().add_node("check", check, takes=lambda rng: 1.0, limit=Limit(2))
    canvas = done(graph, do="set", node="check", option="timeout", value=2)
    assert fields(node_form(graph, graph.nodes["check"]))["takes"]["value"] == {"code": "<lambda>"}
    assert graph.nodes["check"].takes(None) == 1.0
    assert (graph.nodes["check"].timeout, canvas.drawing.done) == (2, "set timeout of check")


# -- running -------------------------------------------------------------------


@pytest.mark.wallclock
@live
async def test_it_runs_is_watched_and_takes_up_edits():
    graph = Graph("runs here").add_producer("days", every=0.01).add_node("a").add_edge("days", "a")
    canvas = done(graph, do="run")
    try:
        await until(lambda: canvas.state().get("a", ["", 0])[1] > 2)
        assert canvas.state()["a"][0] == "healthy"
        canvas.select({"node": "a"})
        assert canvas.state()["detail"]["live"]["figures"]
        ask(canvas, "add", kind="blocking", after="a")
        assert canvas.state()["run"]["unapplied"] == 2
        assert ask(canvas, "apply") is None
        await until(lambda: canvas.state().get("step", ["", 0])[1] > 2)
        assert canvas.state()["run"] == {"over": False, "unapplied": 0, "states": ["running"]}
        assert canvas.state()["step"][0] == "healthy"
    finally:
        await graph._last_start.stop()
    assert canvas.state()["run"]["over"]
