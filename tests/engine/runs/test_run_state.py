"""What does a node of a run see, and what does it leave? State, branches, reducers, models."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Annotated, NotRequired, TypedDict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from flownb import Graph, GraphError, RunError


def note(name: str):
    """Make a node that writes its name under its name, and says what it saw."""
    return lambda state: {name: sorted(state)}


def test_a_diamond_with_arms_of_unequal_length_runs_its_join_once_and_sees_everything() -> None:
    graph = Graph("docs", reducers={"docs": lambda a, b: sorted(a + b)})
    for i, name in enumerate(["a", "b", "c", "longer", "d"], 1):
        graph.add_node(name, lambda _, i=i: {"docs": [f"doc{i}"]})
    seen = []
    graph.add_node("e", lambda state: seen.append(state["docs"]))
    graph.add_edge("a", "b", "c", "longer", "e").add_edge("a", "d", "e")
    run = graph.run()
    assert run.visited.count("e") == 1
    assert seen == [["doc1", "doc2", "doc3", "doc4", "doc5"]]


def test_a_node_never_sees_what_a_sibling_does() -> None:
    graph = Graph("g")
    for name in "abcd":
        graph.add_node(name, note(name))
    graph.add_edge("a", "b", "d").add_edge("a", "c", "d")
    assert graph.run().state == {"a": [], "b": ["a"], "c": ["a"], "d": ["a", "b", "c"]}


def test_none_zero_and_an_empty_text_are_values_like_any_other() -> None:
    for value in (None, 0, ""):
        graph = Graph("g").add_node("a", lambda _, v=value: v).add_node("b", lambda x: [x])
        assert graph.add_edge("a", "b").run(1).state == [value]
        kept = Graph("g").add_node("a", lambda _, v=value: {"x": v})
        assert kept.run({}).state == {"x": value}


def test_without_a_dict_the_payload_goes_from_node_to_node() -> None:
    graph = Graph("g").add_node("i", lambda x: x + 1).add_node("j", lambda x: x + 1)
    assert graph.add_edge("i", "j").run(2).state == 4
    ends = Graph("g").add_node("a", lambda x: x + 1).add_node("b", lambda x: x * 10)
    assert ends.run(4).state == {"a": 5, "b": 40}


def test_a_node_that_changes_its_dict_in_place_changes_nobody_elses() -> None:
    def spoil(state):
        state["x"] = "mine"

    def give_back(state):
        state["y"] = 2
        return state

    graph = Graph("g").add_node("spoil", spoil).add_node("back", give_back)
    graph.add_node("last", lambda state: {"saw": state["x"]})
    entry = {"x": 1}
    run = graph.add_edge("spoil", "back", "last").run(entry)
    assert run.state == {"x": 1, "y": 2, "saw": 1}
    assert entry == {"x": 1}


def test_functions_from_state_to_state_may_run_side_by_side() -> None:
    graph = Graph("g").add_node("a", lambda s: {**s, "a": 1}).add_node("b", lambda s: {**s, "b": 2})
    assert graph.run({"big": [1, 2, 3]}).state == {"big": [1, 2, 3], "a": 1, "b": 2}


def test_a_node_that_returns_no_dict_is_named() -> None:
    with pytest.raises(RunError, match="node 'a' returned int"):
        Graph("g").add_node("a", lambda _: 5).run({})


def test_one_that_saw_the_other_may_write_its_key() -> None:
    graph = Graph("g").add_node("a", lambda _: {"k": 1}).add_node("b", lambda s: {"k": s["k"] + 1})
    assert graph.add_edge("a", "b").run().state == {"k": 2}


def test_two_ends_that_never_meet_may_not_write_one_key_either() -> None:
    graph = Graph("g").add_node("s").add_node("a", lambda _: {"k": 1})
    graph.add_node("b", lambda _: {"k": 2}).add_edge("s", "a").add_edge("s", "b")
    with pytest.raises(RunError, match=r"'a' and 'b'.*'k'.*reducers"):
        graph.run()
    assert graph.last_run is not None
    assert graph.last_run.status == "failed"


class Words(TypedDict):
    n: int
    words: Annotated[list[str], operator.add]


class Model(BaseModel):
    n: int = 0
    words: Annotated[list[str], operator.add] = []


def test_reducers_may_stand_in_the_annotations_of_the_state_model() -> None:
    for model, read in ((Words, operator.itemgetter("words")), (Model, lambda s: s.words)):
        graph = Graph("g", state_model=model)
        graph.add_node("a", lambda _: {"words": ["a"]}).add_node("b", lambda _: {"words": ["b"]})
        assert read(graph.run({"words": ["0"]}).state) == ["0", "a", "b"]


class Notes(TypedDict):
    said: NotRequired[Annotated[list[str], lambda old, new: [*old, new]]]
    names: Annotated[Sequence[str], operator.add]
    total: Annotated[int, operator.add]
    where: Annotated[str | None, lambda _, new: new]


class Strict(BaseModel):
    names: Annotated[list[str], operator.add]
    n: Annotated[int, operator.add] = 7


def test_a_field_with_a_reducer_in_its_annotation_begins_empty_as_langgraphs_does() -> None:
    graph = Graph("g", state_model=Notes)
    graph.add_node("a", lambda s: {"said": str(s["names"]), "total": 2})
    graph.add_node("b", lambda _: {"said": "b", "total": 3, "where": "b"}).add_edge("a", "b")
    assert graph.run({}).state == {"said": ["[]", "b"], "names": [], "total": 5, "where": "b"}
    assert graph.run({"total": 1, "names": ["x"]}).state["said"] == ["['x']", "b"]
    strict = Graph("g", state_model=Strict).add_node("a", lambda _: {"names": ["a"], "n": 1})
    assert strict.run().state == Strict(names=["a"], n=8)


def test_a_model_whose_annotations_cannot_be_read_is_named() -> None:
    class Lost(TypedDict):
        docs: "Annotated[list, Nowhere]"  # noqa: F821, UP037

    with pytest.raises(GraphError, match="state_model Lost: its annotations cannot be read: name"):
        Graph("g", state_model=Lost).add_node("a").run({})


def test_a_pydantic_model_is_what_nodes_get_and_is_checked_behind_each() -> None:
    graph = Graph("g", state_model=Model).add_node("a", lambda s: {"n": s.n + 1})
    state = graph.run({"n": "41"}).state
    assert (type(state), state.n) == (Model, 42)
    wrong = Graph("g", state_model=Model).add_node("a", lambda _: {"n": "many"})
    with pytest.raises(RunError, match=r"what node 'a' returned does not fit Model"):
        wrong.run()
    unknown = Graph("g", state_model=Model).add_node("a", lambda _: {"m": 1})
    with pytest.raises(RunError, match="no field 'm'"):
        unknown.run()
    with pytest.raises(RunError, match="the entry state"):
        graph.run({"n": "x"})


def test_a_map_calls_its_node_for_each_element_and_keeps_their_order() -> None:
    graph = Graph("g").add_node("square", lambda x: x * x, over="xs", into="ys")
    graph.add_node("sum", lambda s: {"sum": sum(s["ys"])}).add_edge("square", "sum")
    for xs in ([3, 1, 2], []):
        state = graph.run({"xs": xs}).state
        assert (state["ys"], state["sum"]) == ([x * x for x in xs], sum(x * x for x in xs))
    with pytest.raises(RunError, match="the state has no 'xs'"):
        graph.run({})


def test_one_failing_element_fails_the_map_after_the_others() -> None:
    done = []

    def one(x):
        done.append(x)
        return 1 / x

    graph = Graph("g").add_node("one", one, over="xs")
    with pytest.raises(ZeroDivisionError):
        graph.run({"xs": [1, 0, 2]})
    assert sorted(done) == [0, 1, 2]


@st.composite
def dags(draw):
    """A DAG of up to 12 nodes: for each node its parents."""
    count = draw(st.integers(1, 12))
    return [
        draw(st.sets(st.integers(0, max(0, i - 1)), max_size=3)) if i else set()
        for i in range(count)
    ]


def ancestors(parents, i):
    found = set(parents[i])
    for p in parents[i]:
        found |= ancestors(parents, p)
    return found


@settings(max_examples=60, deadline=None)
@given(dags(), st.booleans())
def test_every_node_sees_each_ancestor_once_in_plan_order_and_nobody_else(parents, live) -> None:
    graph = Graph("dag", reducers={"trail": operator.add})
    seen = {}
    for i in range(len(parents)):

        def work(state, i=i):
            seen[i] = state["trail"]
            return {"trail": [i]}

        graph.add_node(f"n{i}", work, takes=(i * 7) % 5 + 1)
        for p in sorted(parents[i]):
            graph.add_edge(f"n{p}", f"n{i}")
    if live:
        final = graph.run({"trail": []}).state["trail"]
        assert sorted(final) == list(range(len(parents)))
    else:
        graph.simulate(payload={"trail": []})
    for i, trail in seen.items():
        assert sorted(trail) == sorted(ancestors(parents, i))
        places = {node: place for place, node in enumerate(trail)}
        assert all(places[p] < places[c] for c in trail for p in parents[c])


@pytest.mark.parametrize("wrong", ["ab", b"ab", {"a": 1}, {1}, frozenset({1})])
@pytest.mark.parametrize("over", ["xs", lambda state: state["xs"]])
def test_what_has_letters_keys_or_no_order_is_no_list_to_go_over(wrong, over):
    graph = Graph("g").add_node("n", lambda x: x, over=over)
    with pytest.raises(RunError, match=f"is a {type(wrong).__name__}: give a list"):
        graph.run({"xs": wrong})
    assert graph.run({"xs": {"a": 1}.keys()}).state["n"] == ["a"]
