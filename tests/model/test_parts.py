"""Does a part come into a graph without changing what is there, and again as its own?"""

from __future__ import annotations

import operator
from typing import Annotated, TypedDict

import pytest
from pydantic import BaseModel

from flownb import END, START, Graph, GraphError, ToolRegistry


def load(_): ...
def clean(_): ...
def first(a, b): ...
def route(_): ...


class Day(BaseModel):
    rain: float = 0


class Docs(TypedDict):
    docs: Annotated[list[str], operator.add]


def part(name="part", **options) -> Graph:
    graph = Graph(name, **options).add_node("load", load).add_node("clean", clean)
    return graph.add_edge("load", "clean")


def state_of(graph: Graph) -> tuple:
    return (
        graph.version, dict(graph.nodes), dict(graph.edges), dict(graph.options),
        list(graph.entry_points), dict(graph.reducers), graph.state_model,
    )  # fmt: skip


# -- whose name is it? ---------------------------------------------------------


@pytest.mark.parametrize(
    ("graph", "include", "text"),
    [
        (Graph("g").add_node("load"), {}, "'g' and 'part' both have a node 'load': give prefix="),
        (Graph("g").include(part("one")), {}, "'one' and 'part' both have a node 'load': give pre"),
        (Graph("g").add_node("x.load"), {"prefix": "x."}, "'g' and 'part' both have a node 'x.loa"),
        (Graph("g").include(part(), prefix="x"), {"prefix": "x"}, None),
        (Graph("g").include(part(), prefix="x"), {}, None),
        (Graph("g").include(part()), {}, None),
        (part(), {}, "'part' and 'part' both have a node 'load': give prefix="),
    ],
)
def test_a_name_that_is_taken_is_refused_and_nothing_has_changed(graph, include, text):
    before = state_of(graph)
    if text is None:
        graph.include(part(), **include)
        return
    with pytest.raises(GraphError) as raised:
        graph.include(part(), **include)
    assert text in raised.value.problems[0]
    assert state_of(graph) == before


def test_all_names_that_are_taken_are_told_at_once():
    with pytest.raises(GraphError) as raised:
        Graph("g").add_node("load").add_node("clean").include(part())
    assert len(raised.value.problems) == 2


def test_the_same_part_again_is_no_edit_and_an_edited_one_replaces_its_own():
    graph = Graph("g").include(part()).add_node("mine").add_edge("clean", "mine")
    before = state_of(graph)
    assert state_of(graph.include(part())) == before
    edited = part().add_node("clean", clean, takes=1).add_node("more").add_edge("load", "more")
    graph.include(edited)
    assert graph.nodes["clean"].takes == 1
    assert list(graph.edges) == [("load", "clean"), ("clean", "mine"), ("load", "more")]
    with pytest.raises(GraphError, match="both have a node 'mine'"):
        graph.include(part().add_node("mine"))


def test_what_a_part_no_longer_has_goes_and_whom_that_cuts_off_is_told():
    graph = Graph("g").include(part()).add_node("mine").add_edge("clean", "mine")
    graph.include(Graph("part").add_node("load", load))
    assert list(graph.nodes) == ["load", "mine"]
    with pytest.raises(GraphError, match="node 'mine': nothing leads here any more"):
        graph.run({})
    unlinked = Graph("h").include(part())
    unlinked.include(Graph("part").add_node("load", load).add_node("clean", clean))
    with pytest.raises(GraphError, match="node 'clean': nothing leads here any more"):
        unlinked.run({})


def test_another_part_of_the_same_name_is_told():
    def build(k):
        return Graph("part").add_node("n", lambda x: x * k)

    graph = Graph("g").include(build(2)).include(build(2))
    with pytest.warns(UserWarning, match=r"include\('part'\): it replaces the part of this name"):
        graph.include(build(3))
    assert graph.run(1).state == 3


def test_a_node_of_a_part_may_be_changed_and_given_up():
    graph = Graph("g").include(part()).add_node("clean", first)
    graph.include(part())
    assert graph.nodes["clean"].fn is clean
    graph.remove_node("clean").add_node("clean", first)
    with pytest.raises(GraphError, match="both have a node 'clean'"):
        graph.include(part())


def test_names_inside_options_get_the_prefix_too():
    def boom(_):
        raise ValueError("no")

    one = (
        Graph("part").add_node("charge", boom, on_error="refund").add_node("stop", on_error="stop")
    )
    one.add_node("refund", lambda _: {"refunded": 1}).add_edge("charge", ["refund", "stop"])
    one.add_conditional_edges("refund", lambda _: "end", {"end": END, "again": "charge"})
    graph = Graph("g").include(one, prefix="x.")
    assert graph.nodes["x.charge"].on_error == "x.refund"
    assert graph.nodes["x.stop"].on_error == "stop"
    assert graph.nodes["x.refund?"].router == "x.refund"
    graph.set_entry_point("x.charge")
    assert graph.run({}).visited == ["x.charge", "x.refund", "x.refund?", END]
    before = graph.version
    graph.include(one, prefix="x.")
    assert graph.version == before


def test_the_end_is_the_same_in_all_parts():
    def ending(name):
        return Graph(name).add_node(name, lambda _: None).add_edge(name, END)

    graph = Graph("g").include(ending("a")).include(ending("b")).include(ending("a"), prefix="x.")
    assert list(graph.nodes) == ["a", END, "b", "x.a"]
    assert graph.run({}).visited.count(END) == 1


def test_a_part_that_has_no_end_any_more_leaves_that_of_the_graph():
    graph = Graph("g").include(part().add_edge("clean", END)).add_node("mine").add_edge("mine", END)
    graph.include(part())
    assert sorted(graph.run({}).visited) == [END, "clean", "load", "mine"]
    assert END not in graph.remove_edge("mine", END).nodes


# -- what comes along ----------------------------------------------------------


def test_reducers_come_along_and_two_of_one_key_are_refused():
    graph = Graph("g", reducers={"n": operator.add}).include(
        part(reducers={"m": max, "n": operator.add})
    )
    assert graph.reducers == {"n": operator.add, "m": max}
    with pytest.raises(GraphError, match="both have a reducer for 'n', and not the same"):
        graph.include(part("other", reducers={"n": max}), prefix="o.")
    graph.include(part(reducers={"m": min}))
    assert graph.reducers == {"n": operator.add, "m": min}
    graph.include(part())
    assert graph.reducers == {"n": operator.add}
    with pytest.raises(GraphError, match="both have a reducer for 'docs', and not the same"):
        Graph("g", reducers={"docs": max}).include(part(state_model=Docs))


def test_reducers_of_parallel_parts_work_in_a_run():
    def writer(name):
        one = Graph(name, reducers={"docs": operator.add})
        return one.add_node(f"w{name}", lambda _: {"docs": [name]})

    graph = Graph("g").include(writer("a")).include(writer("b"))
    assert graph.run({}).state == {"docs": ["a", "b"]}


def test_the_state_model_comes_along_and_another_one_is_refused():
    graph = Graph("g").include(part(state_model=Day))
    assert graph.state_model is Day
    with pytest.raises(GraphError, match="its state_model is Docs, that of 'g' is Day: give both"):
        graph.include(part("other", state_model=Docs), prefix="o.")
    graph.include(part(state_model=Docs))
    assert graph.state_model is Docs
    own = Graph("g", state_model=Day).include(part(state_model=Day)).include(part())
    assert own.state_model is Day
    with pytest.raises(GraphError, match="its state_model is Docs"):
        own.include(part(state_model=Docs))


def test_each_begins_where_it_began():
    begun = part().add_edge(START, "load")
    assert Graph("g").include(begun, prefix="x.").entry_points == ["x.load"]
    graph = Graph("g").add_node("a").add_node("b").add_edge("a", "b").include(begun)
    assert sorted(graph.run({}).visited) == ["a", "b", "clean", "load"]
    before = state_of(graph)
    assert state_of(graph.include(begun)) == before
    graph.include(part().add_edge(START, "clean"))
    assert graph.entry_points == ["a", "clean"]
    loop = Graph("g").add_producer("p").add_edge("p", "load").include(begun)
    assert (loop.entry_points, loop.validate()) == ([], ())


def test_a_part_goes_into_a_document_as_what_it_is():
    tools = ToolRegistry()
    for fn in (load, clean, route):
        tools.register(fn)
    one = part(reducers={"m": max}).add_conditional_edges("clean", route, ["load", END])
    graph = Graph("g").include(one, prefix="x.").set_entry_point("x.load")
    tools.register(max)
    doc = graph.to_dict(tools=tools)
    assert Graph.from_dict(doc, tools=tools).to_dict(tools=tools) == doc
