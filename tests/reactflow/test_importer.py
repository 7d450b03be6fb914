"""Is every variation of a drawing read as what it is, and every mistake told with its id?"""

from __future__ import annotations

import json
import warnings
from functools import partial

import pytest

from flownb import OTHERWISE, BlockingNode, FlowFormatError, Graph, NodeConfig, ToolRegistry
from flownb.errors import RunError
from flownb.model.conditions import Condition, Placeholder
from flownb.model.edges import AnyOf
from tests.support import drawings
from tests.support.drawings import edge, node


class Scale(BlockingNode):
    class Config(NodeConfig):
        factor: float = 2.0

    def run(self, data):
        return data.payload * self.config.factor


def read_days():
    yield from [{"rain": 0}, {"rain": 5}]


def check(x):
    return x


def is_wet(day):
    return day["rain"] > 1


TOOLS = ToolRegistry()
for tool in (read_days, check, is_wet, Scale):
    TOOLS.register(tool)


def graph_of(nodes, edges=(), **options) -> Graph:
    return Graph.from_react_flow({"nodes": nodes, "edges": list(edges)}, tools=TOOLS, **options)


def problems(nodes, edges=(), **options) -> tuple[str, ...]:
    with pytest.raises(FlowFormatError) as raised:
        graph_of(nodes, edges, **options)
    assert all(problem and "\n" not in problem for problem in raised.value.problems)
    return raised.value.problems


def lenient(given, **options) -> Graph:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Graph.from_react_flow(
            given, tools=TOOLS, on_unknown="placeholder", on_dangling="drop", **options
        )


def edges_of(graph) -> dict:
    return {str(e): e.when for e in graph.edges.values()}


# -- the contract ----------------------------------------------------------------


def test_the_workflow_of_two_loops_runs():
    graph = Graph.from_react_flow(drawings.two_loops(), tools=TOOLS)
    assert graph.producers == ("days", "storms")
    kinds = {name: one.kind for name, one in graph.nodes.items()}
    assert list(kinds.values()) == [
        "producer", "blocking", "non_blocking", "if", "queue", "queue_reader", "blocking",
    ]  # fmt: skip
    assert graph.nodes["days"].every == 0.5
    assert graph.loop_options("days").pool == "asyncio"
    assert graph.loop_options("storms").max_in_flight == 4
    assert graph.nodes["storms"].reader.queue == "wet"
    assert graph.nodes["rank"].retry.attempts == 3
    assert graph.edges["days", "audit"].description == "a copy"
    assert not [p for p in graph.validate() if p.level == "error"]
    sim = graph.simulate(until=10)
    assert sim.outputs("rank") == [{"rain": 5}]
    assert "days" in graph.explain().text


@pytest.mark.parametrize(
    ("spelled", "kind"),
    [
        (word, kind)
        for kind, words in {
            "producer": ("producer", "Producer", "producerNode", "ProducerNode", "producer-node"),
            "blocking": ("blocking", "BlockingNode", "blocking_node"),
            "non_blocking": ("non-blocking", "non_blocking", "nonBlocking", "NonBlockingNode"),
            "if": ("if", "IF", "ifNode", "IfNode", "if-node", "condition"),
            "queue": ("queue", "QueueNode", "queue_node"),
            "queue_reader": ("queue-reader", "queueReader", "QueueReader", "queue_reader_node"),
        }.items()
        for word in words
    ],
)
def test_types_are_known_in_all_usual_spellings(spelled, kind):
    data = {"queue": "q"} if "queue" in kind else {}
    assert graph_of([node("a", spelled, data=data)]).nodes["a"].kind == kind
    assert graph_of([node("a", data={**data, "kind": spelled})]).nodes["a"].kind == kind


@pytest.mark.parametrize(
    "key", ["function", "fn", "func", "tool", "handler", "functionName", "tool_name"]
)
def test_a_function_is_named_in_all_usual_spellings(key):
    assert graph_of([node("a", "blocking", data={key: "check"})]).nodes["a"].fn is check


def test_options_are_those_of_the_builder_in_either_spelling():
    data = {"maxInFlight": 3, "await-policy": "node", "on_error": "pause", "every": 2, "takes": 1}
    graph = graph_of([node("p", "producer", data={**data, "function": "read_days"})])
    assert graph.loop_options("p").max_in_flight == 3
    assert graph.loop_options("p").await_policy == "node"
    assert graph.loop_options("p").on_error == "pause"
    assert (graph.nodes["p"].every, graph.nodes["p"].takes) == (2, 1)
    data = {"join": "first", "limit": {"concurrency": 1}, "config": {"k": 1}, "timeout": 5}
    made = graph_of([node("a", "blocking", data=data)]).nodes["a"]
    assert (made.join, made.limit.concurrency, made.config, made.timeout) == (
        "first", 1, {"k": 1}, 5,
    )  # fmt: skip


def test_a_limit_by_number_is_shared():
    nodes = [node("a", "blocking", data={"limit": 0}), node("b", "blocking", data={"limit": 0})]
    flow = {"nodes": nodes, "edges": [], "flownb": {"limits": [{"per_second": 2}]}}
    graph = Graph.from_react_flow(flow)
    assert graph.nodes["a"].limit is graph.nodes["b"].limit


def test_a_condition_is_a_predicate_or_a_comparison():
    drawn = {"field": "rain", "op": ">", "value": 1}
    graph = graph_of(
        [node("a", "if", data={"condition": drawn}), node("b", "if", data={"condition": "is_wet"})]
    )
    assert graph.nodes["a"].fn == Condition("rain", ">", 1)
    assert graph.nodes["b"].fn is is_wet
    (problem,) = problems([node("a", "if", data={"condition": {**drawn, "op": "=>"}})])
    assert problem.startswith("node 'a', condition: ")


def test_a_class_node_is_a_function_with_settings():
    data = {"function": "Scale", "settings": {"factor": 3}}
    assert graph_of([node("a", "blocking", data=data)]).nodes["a"].fn.config.factor == 3
    assert (
        graph_of([node("a", "Scale", data={"settings": {"factor": 4}})]).nodes["a"].fn.config.factor
        == 4
    )
    flat = [node("a", "Scale", data={"factor": 5, "label": "S"})]
    assert graph_of(flat).nodes["a"].fn.config.factor == 5
    (problem,) = problems([node("a", "Scale", data={"settings": {"factr": 3}})])
    assert problem == "node 'a': Scale('a'): there is no setting 'factr': did you mean \"factor\"?"


def test_a_type_may_be_the_name_of_a_tool():
    made = graph_of([node("a", "check")]).nodes["a"]
    assert (made.kind, made.fn) == ("blocking", check)


# -- the wrapper -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "at"),
    [
        ("xyflow", "$"), ("langflow", "$.data"), ("flowise", "$"), ("dify", "$.workflow.graph"),
        ("ragflow", "$.dsl.graph"), ("chainforge", "$.flow"), ("chainner", "$.content"),
        ("n8n", "$"),
    ],
)  # fmt: skip
def test_the_one_place_is_found(name, at):
    assert lenient(drawings.TOOLS[name]()).drawing.at == at


def test_the_same_three_levels_down_and_no_deeper():
    flow = {"nodes": [node("a", "blocking")], "edges": []}
    assert Graph.from_react_flow({"a": {"b": {"c": flow}}}).drawing.at == "$.a.b.c"
    with pytest.raises(FlowFormatError, match="there is no drawing"):
        Graph.from_react_flow({"a": {"b": {"c": {"d": flow}}}})


def test_two_places_are_listed_and_one_can_be_chosen():
    flow = {"nodes": [node("a", "blocking")], "edges": []}
    two = {"flows": [flow, {"nodes": [node("b", "blocking")], "edges": []}]}
    with pytest.raises(FlowFormatError, match=r"2 drawings.*\$\.flows\[0\], \$\.flows\[1\]"):
        Graph.from_react_flow(two)
    for at in ("$.flows[1]", "flows[1]", ["flows", 1]):
        assert list(Graph.from_react_flow(two, at=at).nodes) == ["b"]
    for at in ("$.flows[2]", "$.flow", "$.flows"):
        with pytest.raises(FlowFormatError, match="at="):
            Graph.from_react_flow(two, at=at)


def test_a_place_within_a_drawing_is_a_part_of_it():
    inner = {"flow": {"data": {"nodes": [], "edges": []}}}
    assert list(graph_of([node("a", "blocking", data=inner)]).nodes) == ["a"]


# -- variations of nodes ---------------------------------------------------------


def test_a_node_without_a_type_is_of_the_default_type():
    nodes = [node("a"), node("b", "default"), node("c", "output")]
    graph = graph_of(nodes, default_type="non-blocking")
    assert {one.kind for one in graph.nodes.values()} == {"non_blocking"}
    assert graph_of(nodes, default_type="check").nodes["a"].fn is check
    assert len(problems(nodes)) == 3
    assert "it has no type" in problems(nodes)[0]
    with pytest.raises(FlowFormatError, match=r'default_type=.*did you mean "blocking"'):
        graph_of(nodes, default_type="blockin")


def test_an_unknown_type_names_the_node_the_type_and_those_there_are():
    first, second = problems([node("a", "bloking"), node("b", "genericNode")])
    assert first == "node 'a': type 'bloking' is unknown: did you mean \"blocking\"?"
    assert second.startswith("node 'b': type 'genericNode' is unknown (there are: producer, ")


def test_a_placeholder_keeps_the_graph_and_refuses_to_run():
    nodes = [node("a", "agent", data={"label": "Ask"}), node("b", "prompt")]
    graph = graph_of(nodes, [edge("a", "b")], on_unknown="placeholder")
    assert graph.nodes["a"].fn == Placeholder("agent")
    assert graph.nodes["a"].description == "Ask"
    assert "b" in graph.draw()
    (problem,) = graph.validate()
    assert problem.level == "warning"
    assert str(problem).startswith("nodes 'a' and 'b': placeholders, for 'agent' and 'prompt'")
    with pytest.raises(Exception, match="placeholder for 'agent'"):
        graph.run({})
    graph.add_node("a", check).add_node("b", check)
    assert graph.validate() == ()
    assert graph.run({"x": 1}).state == {"x": 1}


def test_a_node_that_only_looks_like_ours_is_a_placeholder():
    nodes = [node("a", "queue", data={"maxlen": "many"}), node("b", "reader")]
    graph = lenient({"nodes": nodes, "edges": []})
    assert {one.fn for one in graph.nodes.values()} == {Placeholder("queue"), Placeholder("reader")}
    assert "node 'a', maxlen: " in graph.drawing.warnings[0]


def test_an_unknown_function_is_a_problem_or_a_placeholder():
    nodes = [node("a", "blocking", data={"function": "chek"})]
    assert problems(nodes) == ("node 'a': there is no tool 'chek': did you mean \"check\"?",)
    assert graph_of(nodes, on_unknown="placeholder").nodes["a"].fn == Placeholder("chek")


def test_data_and_places_may_be_missing():
    nodes = [
        {"id": "a", "type": "blocking"},
        {"id": "b", "type": "blocking", "data": None, "position": None},
    ]
    assert list(graph_of(nodes).nodes) == ["a", "b"]


def test_ids_are_texts_or_whole_numbers():
    graph = graph_of([node(1, "blocking"), node("2", "blocking")], [{"source": 1, "target": "2"}])
    assert edges_of(graph) == {"1 -> 2": None}
    assert problems([node(1, "blocking"), node("1", "blocking")]) == (
        "node '1': there are two nodes with this id",
    )
    for wrong in (None, True, 1.5, "", "  ", ["a"], {"a": 1}):
        (problem,) = problems([{**node("a", "blocking"), "id": wrong}])
        assert problem.startswith("nodes[0]: it has ")


def test_the_words_of_the_builder_are_no_names():
    nodes = [node("__start__", "schema"), node("a", "runnable"), node("__end__", "schema")]
    graph = lenient({"nodes": nodes, "edges": [edge("__start__", "a"), edge("a", "__end__")]})
    assert edges_of(graph) == {"start -> a": None, "a -> end": None}
    assert graph.to_react_flow()["nodes"] == nodes


@pytest.mark.parametrize("kind", ["note", "noteNode", "stickyNote", "custom-note", "annotation"])
def test_notes_are_drawn_and_never_run(kind):
    graph = graph_of([node("a", "blocking"), node("n", kind)])
    assert list(graph.nodes) == ["a"]
    assert graph.drawing.facts()["nodes"] == 2
    with pytest.warns(UserWarning, match="'n' is a note: the edge is only drawn"):
        graph = graph_of([node("a", "blocking"), node("n", kind)], [edge("a", "n")])
    assert not graph.edges


def test_the_label_falls_back_to_the_name_the_title_and_the_id():
    data = [{"label": "L", "name": "N"}, {"label": {"jsx": 1}, "name": "N"}, {"title": "T"}, {}]
    nodes = [node(f"n{i}", "producer", data=one) for i, one in enumerate(data)]
    drawing = graph_of(nodes).drawing
    assert [drawing.label(f"n{i}") for i in range(4)] == ["L", "N", "T", "n3"]


def test_hidden_nodes_run():
    assert list(graph_of([node("a", "blocking", hidden=True)]).nodes) == ["a"]


# -- frames ----------------------------------------------------------------------

FRAME = [
    node("in", "blocking"), node("a", "blocking", parentId="g"),
    node("b", "blocking", parentNode="g"),
    node("c", "blocking", parentId="h"), node("h", "group", parentId="g"), node("out", "blocking"),
    node("g", "group"),
]  # fmt: skip


def test_an_edge_that_ends_on_a_frame_leads_to_its_entry_nodes():
    edges = [edge("in", "g"), edge("a", "b"), edge("g", "out")]
    with pytest.warns(UserWarning, match=r"leads to 'a' and 'c', in the group 'g'"):
        graph = graph_of(FRAME, edges)
    assert edges_of(graph) == {
        "in -> a": None, "in -> c": None, "a -> b": None, "b -> out": None, "c -> out": None,
    }  # fmt: skip
    assert list(graph.nodes) == ["in", "a", "b", "c", "out"]


def test_an_edge_that_ends_on_a_frame_may_be_an_error():
    (problem,) = problems(FRAME, [edge("in", "g")], on_group="error")
    assert problem == "edge 'in>g' (in -> g): it ends on the group 'g'"


def test_a_frame_without_nodes_or_with_the_other_end_leads_nowhere():
    nodes = [node("a", "blocking", parentId="g"), node("g", "group"), node("e", "group")]
    assert "which holds no node" in problems(nodes, [edge("a", "e")])[0]
    assert "in which its other end stands" in problems(nodes, [edge("a", "g")])[0]
    assert not lenient({"nodes": nodes, "edges": [edge("a", "g"), edge("e", "a")]}).edges


def test_a_parent_is_there_and_not_inside_itself():
    assert "its parent 'g' is not there" in problems([node("a", "blocking", parentId="g")])[0]
    graph = lenient({"nodes": [node("a", "blocking", parentId="g")], "edges": []})
    assert "it stands alone" in graph.drawing.warnings[0]
    nodes = [node("a", "group", parentId="b"), node("b", "group", parentId="a")]
    assert problems(nodes) == ("node 'a': it stands inside itself ('a' and 'b')",)
    deep = [node(f"g{i}", "group", parentId=f"g{i + 1}") for i in range(70)] + [
        node("g70", "group")
    ]
    assert "more than 64 frames" in problems(deep)[0]
    assert graph_of(deep, max_depth=80).nodes == {}


# -- edges -----------------------------------------------------------------------


def test_an_edge_without_an_id_gets_the_one_that_react_flow_gives():
    nodes = [node("a", "blocking"), node("b", "blocking")]
    graph = graph_of(nodes, [{"source": "a", "target": "b", "sourceHandle": "x"}])
    assert graph.to_react_flow()["edges"][0]["id"] == "xy-edge__ax-b"


def test_ids_of_edges_are_there_once():
    nodes = [node("a", "blocking"), node("b", "blocking")]
    edges = [edge("a", "b", sourceHandle="x"), edge("a", "b", sourceHandle="y")]
    assert problems(nodes, edges) == ("edge 'a>b' (a -> b): there are two edges with this id",)


def test_edges_that_dangle_are_all_listed_or_left_out():
    nodes = [node("first", "blocking")]
    edges = [edge("first", "gone"), edge("frist", "first"), {"id": "e", "source": "first"}]
    assert problems(nodes, edges) == (
        "edge 'first>gone' (first -> gone): there is no node 'gone'",
        "edge 'frist>first' (frist -> first): there is no node 'frist': did you mean \"first\"?",
        "edge 'e' (first -> ?): it has no target",
    )
    with pytest.warns(UserWarning, match="there is no node 'gone': left out"):
        graph = graph_of(nodes, edges, on_dangling="drop")
    assert not graph.edges
    assert len(graph.drawing.warnings) == 3


def test_parallel_edges_are_one_dependency_and_double_ones_are_told():
    nodes = [node("a", "blocking"), node("b", "blocking")]
    edges = [edge("a", "b"), edge("a", "b", id="2", targetHandle="t")]
    assert edges_of(graph_of(nodes, edges)) == {"a -> b": None}
    with pytest.warns(UserWarning, match=r"edge '2' .* is drawn twice"):
        graph_of(nodes, [edge("a", "b"), edge("a", "b", id="2")])


def test_cycles_and_edges_to_itself_are_read():
    nodes = [node("a", "blocking"), node("b", "blocking")]
    graph = graph_of(nodes, [edge("a", "b"), edge("b", "a"), edge("b", "b")])
    assert len(graph.edges) == 3
    assert graph.drawing.facts()["cyclic"] == 1


def test_several_components_and_no_edges_are_read():
    drawing = graph_of([node("a", "blocking"), node("b", "blocking")]).drawing
    assert drawing.remarks == (
        "2 parts that no edge links: each runs by itself (with 'a' and 'b')",
    )
    facts = drawing.facts()
    assert (facts["components"], facts["isolated"], facts["edges"]) == (2, 2, 0)
    assert graph_of([]).nodes == {}


def test_a_queue_edge_is_cut_and_names_the_queue():
    nodes = [node("q", "queue", data={"queue": "mail"}), node("r", "queue-reader")]
    graph = graph_of(nodes, [edge("q", "r")])
    assert graph.nodes["r"].reader.queue == "mail"
    assert graph.flow_edges() == []
    nodes[1] = node("r", "queue-reader", data={"queue": "post"})
    assert (
        "it reads 'post', and the edge into it comes from queue 'mail'"
        in problems(nodes, [edge("q", "r")])[0]
    )
    assert "which queue does it read?" in problems([node("r", "queue-reader")])[0]


@pytest.mark.parametrize("handle", [["x"], {"a": 1}, True, "x" * 2_001])
def test_a_handle_is_a_short_text(handle):
    nodes = [node("a", "blocking"), node("b", "blocking")]
    assert "sourceHandle is" in problems(nodes, [edge("a", "b", sourceHandle=handle)])[0]


# -- verdicts --------------------------------------------------------------------


def verdict(*edges, cases=None, **options):
    nodes = [
        node("i", "if", data={"cases": cases} if cases else {}),
        node("a", "blocking"),
        node("b", "blocking"),
    ]
    return edges_of(graph_of(nodes, edges, **options))


@pytest.mark.parametrize(
    ("word", "when"),
    [
        ("true", True), ("TRUE", True), ("yes", True), ("Yes", True), ("output-0", True),
        ("i-output-0", True), ("i_true", True), ("then", True), ("false", False), ("no", False),
        ("else", False), ("output-1", False), ("i-output-1", False), ("otherwise", OTHERWISE),
    ],
)  # fmt: skip
def test_a_handle_or_a_label_is_a_verdict(word, when):
    assert verdict(edge("i", "a", sourceHandle=word)) == {"i -> a": when}
    assert verdict(edge("i", "a", label=word)) == {"i -> a": when}


def test_no_handle_is_no_verdict():
    assert verdict(edge("i", "a", sourceHandle=None)) == {"i -> a": None}


def test_another_word_is_a_problem_unless_the_if_has_that_case():
    with pytest.raises(
        FlowFormatError, match=r"'ture' is no verdict of the if 'i': did you mean \"true\""
    ):
        verdict(edge("i", "a", sourceHandle="ture"))
    assert verdict(edge("i", "a", sourceHandle="storm"), cases=["storm"]) == {"i -> a": "storm"}
    assert verdict(edge("i", "a", sourceHandle="right", label="no")) == {"i -> a": False}


def test_what_the_data_of_an_edge_says_goes_first():
    assert verdict(edge("i", "a", sourceHandle="x", data={"when": 3})) == {"i -> a": 3}
    given = edge("i", "a", sourceHandle="yes", data={"when": {"otherwise": True}})
    assert verdict(given) == {"i -> a": OTHERWISE}


def test_two_verdicts_to_one_node_are_one_edge():
    both = [edge("i", "a", sourceHandle="yes"), edge("i", "a", id="2", sourceHandle="no")]
    assert verdict(*both) == {"i -> a": None}
    each = [edge("i", "a", sourceHandle="x"), edge("i", "a", id="2", sourceHandle="y")]
    assert verdict(*each, cases=["x", "y"]) == {"i -> a": AnyOf(("x", "y"))}
    each[1]["sourceHandle"] = "otherwise"
    with pytest.raises(FlowFormatError, match="for 'otherwise' and for a verdict too"):
        verdict(*each, cases=["x"])


def test_an_edge_may_have_a_condition_of_its_own():
    nodes = [node("a", "blocking"), node("b", "blocking"), node("c", "blocking")]
    test = {"field": "x", "op": "exists"}
    edges = [edge("a", "b", data={"condition": test}), edge("a", "c", data={"condition": "check"})]
    graph = graph_of(nodes, edges)
    assert graph.edges["a", "b"].condition == Condition("x", "exists")
    assert graph.edges["a", "c"].condition is check


def test_the_branches_of_other_tools_are_verdicts():
    graph = lenient(drawings.flowise())
    assert {w for e, w in edges_of(graph).items() if e.startswith("condition")} == {True, False}
    graph = lenient(drawings.dify())
    assert edges_of(graph)["1712 -> 1713"] == "true"
    graph = lenient(drawings.n8n())
    found = edges_of(graph)
    assert (found["New? -> Answer"], found["New? -> Wait"]) == (True, False)


# -- all tools -------------------------------------------------------------------

FACTS = {
    "xyflow": (7, 3, 3, 3, 1, 1, 3, 4, 0),
    "langflow": (4, 3, 3, 1, 1, 0, 1, 2, 1),
    "flowise": (7, 4, 4, 3, 1, 2, 2, 3, 0),
    "dify": (5, 3, 3, 2, 1, 2, 1, 2, 0),
    "ragflow": (6, 3, 3, 2, 1, 2, 2, 3, 0),
    "chainforge": (3, 4, 2, 2, 1, 1, 0, 1, 0),
    "chainner": (1, 0, 0, 0, 0, 0, 1, 1, 0),
    "n8n": (6, 6, 5, 2, 2, 1, 1, 2, 1),
}


@pytest.mark.parametrize("name", drawings.TOOLS)
def test_the_drawings_of_other_tools_can_be_looked_at(name):
    graph = lenient(drawings.TOOLS[name]())
    assert tuple(graph.drawing.facts().values()) == FACTS[name]
    assert graph.draw().startswith("<svg")
    assert not [p for p in graph.validate() if p.level == "error" and "cycle" not in p.text]
    for one in graph.nodes.values():
        assert isinstance(one.fn, Placeholder)


@pytest.mark.parametrize("name", [*drawings.TOOLS, "two_loops"])
def test_what_comes_in_goes_out_as_it_was(name):
    drawn = getattr(drawings, name)()
    graph = lenient(drawn)
    out = graph.to_react_flow(tools=TOOLS)
    assert lenient(out).to_react_flow(tools=TOOLS) == out
    assert lenient(out).to_dict(tools=TOOLS) == graph.to_dict(tools=TOOLS)
    if name != "n8n":
        assert _without_additions(out, drawn) == drawn


def _without_additions(out, drawn):
    """Take off the places of nodes that had none, and the ids of edges that had none."""
    if isinstance(drawn, dict) and isinstance(out, dict):
        return {
            k: _without_additions(v, drawn.get(k))
            for k, v in out.items()
            if k in drawn or k not in {"position", "id"}
        }
    if isinstance(drawn, list) and isinstance(out, list) and len(drawn) == len(out):
        return [_without_additions(a, b) for a, b in zip(out, drawn, strict=True)]
    return out


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    "seeds",
    [
        range(120),
        pytest.param(range(120, 1_320), marks=[pytest.mark.nightly, pytest.mark.timeout(900)]),
    ],
)
def test_whatever_other_tools_write_is_counted_right_drawn_and_comes_back(seeds, tmp_path):
    import yaml

    for seed in seeds:
        drawn, facts = drawings.elsewhere(seed)
        path = tmp_path / ("a.json" if "kind" not in drawn else "a.yml")
        write = (
            json.dumps if path.suffix == ".json" else partial(yaml.safe_dump, allow_unicode=True)
        )
        path.write_text(write(drawn), "utf-8")
        graph = lenient(path)
        found = graph.drawing.facts()
        assert {key: found[key] for key in facts} == facts, seed
        out = graph.to_react_flow()
        assert lenient(out).to_react_flow() == out, seed
        assert graph.draw().startswith("<svg")
        assert all(str(problem).strip() for problem in graph.validate())


def test_yaml_is_read_from_a_file(tmp_path):
    path = tmp_path / "mail.yml"
    path.write_text(drawings.DIFY, "utf-8")
    graph = lenient(path)
    assert graph.drawing.facts() == lenient(drawings.dify()).drawing.facts()
    assert graph.name == "mail"


def test_json_is_read_from_a_file_a_text_and_bytes(tmp_path):
    drawn = drawings.two_loops()
    path = tmp_path / "weather.json"
    path.write_text("\ufeff" + json.dumps(drawn), "utf-8")
    for given in (path, str(path), json.dumps(drawn), json.dumps(drawn).encode()):
        assert len(Graph.from_react_flow(given, tools=TOOLS).nodes) == 7
    assert Graph.from_react_flow(path, tools=TOOLS).name == "weather"


# -- one report ------------------------------------------------------------------


def test_everything_that_is_wrong_is_told_at_once():
    nodes = [
        node("a", "bloking"),
        node("b", "blocking", data={"timeout": "5", "evry": 1}),
        node("c", "blocking", data={"fn": "chek"}),
        node("d", "producer", data={"every": -1, "maxInFligth": 2}),
        node("e", "if"),
        node("f", "blocking", data={"fake": "nobody"}),
    ]
    edges = [edge("b", "x"), edge("e", "b", sourceHandle="maybe")]
    found = problems(nodes, edges)
    assert len(found) == 8
    for text in (
        "node 'a': type 'bloking'", "edge 'b>x' (b -> x)", "edge 'e>b' (e -> b): 'maybe'",
        "node 'b', timeout: ", "node 'c': there is no tool 'chek'",
        "node 'd', maxInFligth: unknown",
        "node 'd', every: ", "node 'f', fake: there is no tool 'nobody'",
    ):  # fmt: skip
        assert any(text in one for one in found), (text, found)


def test_problems_know_their_nodes():
    with pytest.raises(FlowFormatError) as raised:
        graph_of([node("a", "bloking"), node("b", "blocking")], [edge("b", "x")])
    assert [problem.nodes for problem in raised.value.found] == [("a",), ("x",)]


def test_fields_of_others_are_no_mistakes():
    data = {"label": "A", "color": "#fff", "toolbarPosition": "top", "icon": {"x": 1}}
    assert (
        graph_of([node("a", "blocking", data=data, className="light")]).nodes["a"].kind
        == "blocking"
    )


@pytest.mark.parametrize(
    "option", ["on_unknown", "on_dangling", "on_group", "max_nodes", "default_type"]
)
def test_a_wrong_argument_is_told(option):
    with pytest.raises(TypeError, match=option):
        graph_of([], **{option: object()})


# -- conditions ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "op", "value", "payload", "says"),
    [
        ("a", "==", 1, {"a": 1}, True), ("a", "!=", 1, {"a": 1}, False),
        ("a", "<", 2, {"a": 1}, True),
        ("a", "<=", 1, {"a": 1}, True), ("a", ">", 1, {"a": 1}, False),
        ("a", ">=", 1, {"a": 1}, True),
        ("a", "in", [1], {"a": 1}, True), ("a", "not in", [1], {"a": 1}, False),
        ("a", "contains", "x", {"a": "xy"}, True), ("a", "exists", None, {}, False),
        ("a.b.1", "==", 5, {"a": {"b": [4, 5]}}, True), ("", ">", 3, 4, True),
    ],
)  # fmt: skip
def test_a_condition_compares_a_field(field, op, value, payload, says):
    assert Condition(field, op, value)(payload) is says


@pytest.mark.parametrize("payload", [{}, {"a": "x"}, 5, {"a": {}}])
def test_a_condition_says_why_it_cannot_compare(payload):
    with pytest.raises(RunError, match=r"a > 1: "):
        Condition("a", ">", 1)(payload)


def test_a_condition_looks_into_no_object():
    assert Condition("__class__.__name__", "exists")(read_days) is False
    assert Condition("real", "exists")(5) is False
