"""Do LangGraph's words mean what they mean there, and does the builder keep its own names?"""

from __future__ import annotations

import functools
import html
import json
from collections.abc import Sequence
from typing import Literal

import pytest

from flownb import END, OTHERWISE, START, Graph, GraphError, RunError, ToolRegistry


def build(names="abcd") -> Graph:
    graph = Graph("g")
    for name in names:
        graph.add_node(name, lambda _, name=name: {name: 1})
    return graph


def router(answer):
    """A router that says this."""
    return lambda _: answer


def ran(graph: Graph) -> list[str]:
    return [name for name in graph.run({}).visited if "?" not in name]


# -- what a router says --------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "targets", "way"),
    [
        ("b", ["b", "c"], "ab"),
        ("b", ("b", "c"), "ab"),
        ("b", "b", "ab"),
        (["b", "c"], ["b", "c", "d"], "abc"),
        (("d", "b"), ["b", "c", "d"], "abd"),
        (["b", "b"], ["b", "c"], "ab"),
        ([], ["b", "c"], "a"),
        (True, {True: "b", False: "c"}, "ab"),
        ([True, False], {True: "b", False: "c"}, "abc"),
        ("y", {"x": "b", "y": "b", "z": "c"}, "ab"),
        (["x", "y"], {"x": "b", "y": "b", "z": "c"}, "ab"),
        (2, {1: "b", 2: "c"}, "ac"),
        (("x", 1), {("x", 1): "b", "y": "c"}, "ab"),
        ("end", {"end": END, "on": "b"}, ["a", END]),
        (END, ["b", END], ["a", END]),
        (["b", END], ["b", END], ["a", END, "b"]),
    ],
)
def test_every_form_of_an_answer_and_of_its_targets_is_taken(answer, targets, way):
    graph = build().add_conditional_edges("a", router(answer), targets)
    for name in "bcd":
        if ("a?", name) not in graph.edges:
            graph.remove_node(name)
    assert sorted(ran(graph)) == sorted(way)
    assert graph.validate() == ()


def test_a_target_may_be_a_function_or_a_node_and_so_may_the_source():
    def first(_): ...

    def second(_): ...

    graph = Graph("g").add_node("one", first).add_node("two", second).add_node("three")
    graph.add_conditional_edges(first, router("two"), [second, graph.nodes["three"]])
    graph.add_conditional_edges(second, router(1), {1: graph.nodes["three"]})
    assert ran(graph) == ["one", "two", "three"]


def one(_) -> Literal["b", "c"]:
    return "c"


def several(_) -> list[Literal["b", "c"]]:
    return ["b", "c"]


def some(_) -> Sequence[Literal["b", "c"]] | Literal["b"]:
    return ("b", "c")


@pytest.mark.parametrize(("route", "way"), [(one, "ac"), (several, "abc"), (some, "abc")])
def test_the_labels_may_stand_in_the_annotation(route, way):
    assert ran(build("abc").add_conditional_edges("a", route)) == list(way)


class Send:
    """As LangGraph's."""

    def __init__(self, node, state):
        self.node, self.state = node, state


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("bb", "the router behind 'a' gave 'bb', and add_conditional_edges.* 'b', 'c'.*mean \"b\""),
        ("", "gave '', and"),
        (None, "gave None, and"),
        ({"b"}, "gave {'b'}, and"),
        (["b", "z"], "gave 'z', and"),
        (1, r"gave 1, and .* names no way for it \(there are: 'b', 'c'\)\n"),
        ([Send("b", {})], r"gave a Send, which flownb does not know: .* say add_node\(.*over="),
    ],
)
def test_an_answer_that_leads_nowhere_fails_at_the_router_and_names_the_choices(answer, text):
    graph = build("abc").add_conditional_edges("a", router(answer), ["b", "c"])
    with pytest.raises(LookupError, match=text):
        graph.run({})
    assert graph.last_run.nodes["a?"] == "failed"


def test_a_bool_that_is_no_label_is_no_silent_end():
    graph = build("ab").add_conditional_edges("a", router(False), {True: "b"})
    with pytest.raises(LookupError, match=r"gave False, .*there are: True"):
        graph.run({})


def test_an_edge_of_ones_own_may_lead_from_a_router():
    graph = build("abcd").add_conditional_edges("a", router("z"), ["b", "c"])
    assert ran(graph.add_edge("a?", "d", when=OTHERWISE)) == ["a", "d"]


def test_an_async_router_and_one_that_asks_for_its_context_are_called_as_nodes_are():
    async def later(_):
        return ["b", "c"]

    def asks(_, ctx):
        return ctx.config

    assert ran(build("abc").add_conditional_edges("a", later, ["b", "c"])) == ["a", "b", "c"]
    graph = build("abc").add_conditional_edges("a", asks, {None: "b", "x": "c"})
    assert ran(graph) == ["a", "b"]


def test_several_ways_go_round_a_cycle_and_out_of_it():
    graph = Graph("g").add_node("a", lambda s: {"n": s["n"] + 1}).add_node("b", lambda _: {"b": 1})
    graph.add_conditional_edges(
        "a", lambda s: ["a", "b"] if s["n"] < 3 else "b", {"a": "a", "b": "b"}
    )
    run = graph.run({"n": 0})
    assert (run.state, run.visited.count("b")) == ({"n": 3, "b": 1}, 1)


def test_several_ways_to_one_payload_fail_the_node_that_they_meet_in():
    def meet(graph):
        graph.add_node("b", lambda x: x).add_node("c", lambda x: x).add_node("d", keep=9)
        graph.add_conditional_edges("a", lambda x: ["b", "c"] if x > 1 else "b", ["b", "c"])
        return graph.add_edge(["b", "c"], "d")

    once = meet(Graph("g").add_node("a", lambda x: x))
    assert once.run(1).state == 1
    with pytest.raises(RunError, match=r"'d' gets one payload, and a router took several ways"):
        once.run(2)
    loop = meet(Graph("g").add_producer("p", [1, 2, 1]).add_node("a").add_edge("p", "a"))
    sim = loop.simulate()
    assert (sim.outputs("d"), [f.node for f in sim.failures()]) == ([1, 1], ["d"])


@pytest.mark.parametrize(
    ("add", "text"),
    [
        (lambda g: g.add_conditional_edges("a", bool), "say where its answers lead"),
        (lambda g: g.add_conditional_edges("a", bool, []), "say where its answers lead"),
        (lambda g: g.add_conditional_edges("a", bool, {"b", "c"}), "a set of nodes has no order"),
        (lambda g: g.add_conditional_edges("a", bool, [START]), "nothing leads to the start"),
        (lambda g: g.add_conditional_edges(END, bool, ["b"]), "END is the end of the run"),
        (lambda g: g.add_edge("a", START), "edge a -> START: nothing leads to the start"),
        (lambda g: g.add_edge("a", "b", START), "nothing leads to the start"),
        (lambda g: g.add_edge(["a", START], "b"), "START can only be the first end"),
        (lambda g: g.add_edge("a", START, "b"), "nothing leads to the start"),
        (lambda g: g.add_edge(END, "a"), "edge END -> a: END is the end of the run"),
        (lambda g: g.add_edge("a", END, "b"), "edge END -> b: END is the end of the run"),
        (lambda g: g.add_edge(START, "a", when=True), "START decides nothing"),
        (lambda g: g.add_edge(START, "a", condition=bool), "START decides nothing"),
        (lambda g: g.add_edge(START, "a", copy=True), "START decides nothing"),
        (lambda g: g.node(one, after=START), r"else say set_entry_point\('one'\)"),
        (lambda g: g.set_entry_point(START), "nothing leads to the start"),
        (lambda g: g.add_node(START), "this name stands for START: choose another"),
        (lambda g: g.add_node(END, bool), "this name stands for END: choose another"),
        (lambda g: g.remove_edge(START, "a"), "there is no edge __start__ -> a"),
    ],
)
def test_what_these_words_do_not_mean_is_refused_and_nothing_has_changed(add, text):
    graph = build()
    before = graph.version, list(graph.nodes), list(graph.edges), graph.entry_points
    with pytest.raises(GraphError, match=text):
        add(graph)
    assert before == (graph.version, list(graph.nodes), list(graph.edges), graph.entry_points)


def test_a_command_that_a_node_returns_is_told_what_to_use_instead():
    class Command:
        pass

    graph = Graph("g").add_node("a", lambda _: Command())
    with pytest.raises(RunError, match=r"where to go on is what add_conditional_edges\(\) says"):
        graph.run({})


# -- where a run begins --------------------------------------------------------


def test_start_leads_to_several_nodes_and_may_have_routers():
    assert sorted(ran(build("abc").add_edge(START, ["a", "b"], "c"))) == ["a", "b", "c"]
    graph = build("abc").add_conditional_edges(START, router(["a", "c"]), ["a", "b", "c"])
    assert graph.entry_points == ["__start__?"]
    assert sorted(ran(graph)) == ["a", "c"]
    assert sorted(ran(graph.add_edge(START, "b"))) == ["a", "b", "c"]


def test_start_no_longer_leads_to_what_is_taken_away_from_it():
    graph = build("abc").add_edge(START, ["a", "b"]).add_edge("a", "c")
    assert ran(graph.remove_edge(START, "b").remove_node("b")) == ["a", "c"]
    graph.remove_edge(START, "a")
    assert [str(p).split(";")[0] for p in graph.validate()] == [
        "nodes 'a' and 'c': nothing leads here any more"
    ]
    assert ran(graph.add_edge(START, "a")) == ["a", "c"]


def test_the_end_goes_with_the_last_edge_to_it():
    graph = build("abc").add_edge("b", END).add_conditional_edges("a", one, {"b": "b", "c": END})
    assert END in graph.remove_edge("b", END).nodes
    graph.add_conditional_edges("a", one, ["b", "c"])
    assert END not in graph.nodes
    assert graph.validate() == ()
    assert END in graph.add_edge("b", END).nodes
    assert graph.remove_node(END).validate() == ()


# -- routers that are run again, and several of them ---------------------------


def cell(text: str, **names) -> dict:
    """Run a cell of a notebook: a file of its own for each text."""
    names["__name__"] = "__main__"
    exec(compile(text, f"/tmp/cell/{hash(text)}.py", "exec"), names)
    return names


def test_several_routers_behind_one_node_all_decide():
    graph = build("abcde")
    graph.add_conditional_edges("a", one, ["b", "c"])
    graph.add_conditional_edges("a", several, {"b": "d", "c": "e"})
    assert list(graph.nodes)[-2:] == ["a?", "a?2"]
    assert sorted(ran(graph)) == ["a", "c", "d", "e"]
    text = """
graph.add_conditional_edges("a", lambda s: "b", ["b", "c"])
graph.add_conditional_edges("a", lambda s: "d", ["d", "e"])
"""
    graph = build("abcde")
    for _ in range(2):
        cell(text, graph=graph)
        assert sorted(ran(graph)) == ["a", "b", "d"]
    assert [n for n in graph.nodes if "?" in n] == ["a?", "a?2"]


@pytest.mark.parametrize(
    "again",
    [
        lambda g, t: g.add_conditional_edges("a", one, t),
        lambda g, t: g.add_conditional_edges("a", functools.partial(one), t),
        lambda g, t: g.add_conditional_edges("a", lambda s: t[-1], t),
        lambda g, t: g.add_conditional_edges("a", cell("def f(s): return 'c'")["f"], t),
    ],
)
def test_a_cell_that_is_run_again_replaces_its_router_and_says_whom_it_cuts_off(again):
    graph = build("abcd")
    again(graph, ["b", "c"])
    before = graph.version
    again(graph, ["d", "c"])
    assert [n for n in graph.nodes if "?" in n] == ["a?"]
    assert graph.version > before
    with pytest.raises(GraphError, match="node 'b': nothing leads here any more; add an edge"):
        graph.run({})
    assert ran(graph.add_edge("a", "b")) in (["a", "b", "c"], ["a", "c", "b"])


def test_the_same_cell_again_is_no_edit():
    graph = build("abc")
    graph.add_conditional_edges("a", one)
    before = graph.version
    graph.add_conditional_edges("a", one)
    assert graph.version == before


def test_a_lambda_of_a_cell_that_was_edited_replaces_the_old_one_and_says_so():
    graph = build("abc")
    cell('graph.add_conditional_edges("a", lambda s: "b", ["b", "c"])', graph=graph)
    with pytest.warns(UserWarning, match="this lambda replaces the one that was the router"):
        cell('graph.add_conditional_edges("a", lambda s: "c", ["b", "c"])', graph=graph)
    assert ran(graph) == ["a", "c"]


# -- names of the builder ------------------------------------------------------


def test_a_user_s_node_is_never_replaced_by_a_router():
    graph = build("ab").add_node("a?", lambda _: {"mine": 1}).add_edge("a", "a?")
    graph.add_conditional_edges("a", one, {"b": "b", "c": "b"})
    assert list(graph.nodes) == ["a", "b", "a?", "a?2"]
    assert sorted(graph.run({}).state) == ["a", "b", "mine"]


@pytest.mark.parametrize("add", ["add_node", "add_if", "add_producer", "add_queue"])
def test_a_router_is_never_replaced_by_a_user_s_node(add):
    graph = build("abc").add_conditional_edges("a", one)
    with pytest.raises(GraphError, match=r"'a\?': add_conditional_edges\('a', ...\) has put its"):
        getattr(graph, add)("a?")
    with pytest.raises(GraphError, match="has put its"):
        graph.node(several, name="a?")
    assert ran(graph) == ["a", "c"]
    graph.remove_node("a?").add_node("a?")


def test_a_router_goes_with_the_node_that_it_stands_behind():
    graph = build("abc").add_conditional_edges("a", one).add_conditional_edges("a", several)
    graph.remove_node("a")
    assert list(graph.nodes) == ["b", "c"]
    with pytest.raises(GraphError, match="nodes 'b' and 'c': nothing leads here any more"):
        graph.run({})


def test_a_function_that_is_a_router_too_is_still_the_function_of_its_node():
    graph = Graph("g").add_node(one).add_node("b").add_conditional_edges(one, one, ["b", END])
    assert list(graph.add_edge(one, "z").edges)[-1] == ("one", "z")


def test_a_router_comes_back_from_a_document_and_from_networkx():
    graph = build("abc").add_node("a", None).add_node("b", None).add_node("c", None)
    graph.add_conditional_edges("a", several, {"b": "b", "x": "b", "c": "c", "end": END})
    graph.add_conditional_edges(START, one, {"b": "a", "c": "a"})
    back = Graph.from_dict(graph.to_dict(), tools=tools_of(one, several))
    assert list(back.edges.values()) == list(graph.edges.values())
    assert back.run({}).visited == graph.run({}).visited
    before = back.version
    back.add_conditional_edges("a", several, {"b": "b", "x": "b", "c": "c", "end": END})
    assert back.version == before
    plain = Graph.from_networkx(graph.to_networkx(), {"a?": several, "__start__?": one})
    assert plain.run({}).visited == graph.run({}).visited


def tools_of(*functions):
    from flownb import ToolRegistry

    tools = ToolRegistry()
    for function in functions:
        tools.register(function)
    return tools


def test_a_picture_and_an_explanation_know_several_labels_of_one_edge():
    graph = Graph("g").add_producer("p", [1]).add_node("b", takes=1).add_node("c", takes=2)
    graph.add_conditional_edges("p", router("x"), {"x": "b", "y": "b", "z": "c"})
    assert "'x' or 'y'" in html.unescape(graph.svg())
    assert graph.explain().release("p", verdicts={"p?": "y"}) == 1


@pytest.mark.parametrize(("answer", "way"), [(None, "b"), (True, "c"), ("x", "d"), (0, "d")])
def test_an_answer_none_has_the_way_that_is_named_for_it(answer, way):
    ways = {None: "b", True: "c", "x": "d", 0: "d"}
    graph = build().add_conditional_edges("a", router(answer), ways)
    assert ran(graph) == ["a", way]


def test_an_answer_none_comes_back_from_a_document():
    tools = ToolRegistry()
    none = tools.register("none", lambda _: None)
    graph = Graph("g").add_node("a").add_node("b").add_node("c")
    graph.add_conditional_edges("a", none, {None: "b", True: "c"})
    again = Graph.from_dict(json.loads(json.dumps(graph.to_dict(tools=tools))), tools=tools)
    assert ran(again) == ["a", "b"]
