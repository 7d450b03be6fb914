"""Does the code that is written make the same workflow when it is run?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flownb import Graph
from flownb.equality import equal
from flownb.model.document.builder_code import python_code
from flownb.model.edges import END, START
from flownb.model.nodes import BlockingNode, NodeConfig, same
from flownb.model.policies import OTHERWISE, Limit, Retry
from flownb.model.tools import ToolRegistry


class Scale(BlockingNode):
    class Config(NodeConfig):
        factor: float = 2.0
        labels: tuple[str, ...] = ()

    def run(self, data):
        return data.payload * self.config.factor


class Busy(Exception):
    pass


def check(x):
    return x


def seconds(rng):
    return 1.0


def route(state):
    return "a"


TOOLS = ToolRegistry()
TOOLS.register("twice", lambda x: 2 * x)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8).filter(str.strip)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


def again(graph: Graph, code: str) -> Graph:
    """Run the code where the functions of this module are in reach."""
    space = dict(globals())
    exec(compile(code, "<cell>", "exec"), space)
    return space["graph"]


def assert_equal(made: Graph, graph: Graph) -> None:
    assert made.name == graph.name
    assert list(made.nodes) == list(graph.nodes)
    for name, node in graph.nodes.items():
        assert same(made.nodes[name], node) or _alike(made.nodes[name], node), name
    assert [str(e) for e in made.edges.values()] == [str(e) for e in graph.edges.values()]
    for ends, edge in graph.edges.items():
        other = made.edges[ends]
        assert (other.when, type(other.when)) == (edge.when, type(edge.when))
        assert (other.condition, other.copy, other.description) == (
            edge.condition, edge.copy, edge.description,
        )  # fmt: skip
    assert equal(made.options, graph.options)
    assert made.entry_points == graph.entry_points
    assert made.unlinked == graph.unlinked
    assert made.state_model is graph.state_model
    assert made.reducers == graph.reducers


def _alike(a, b):
    """Class nodes and shared limits are made anew: they are compared by what they say."""
    return a.kind == b.kind and repr(a) == repr(b)


limits = st.builds(Limit, concurrency=st.integers(1, 5), per_second=st.none() | st.floats(0.5, 9))
retries = st.builds(
    Retry, on=st.sampled_from([ValueError, Busy, (OSError, Busy), check]),
    attempts=st.integers(1, 5), wait_initial=st.floats(0, 9),
)  # fmt: skip
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(TEXTS, inner, max_size=3)
        | st.tuples(inner, inner)
    ),
    max_leaves=8,
)
fns = st.sampled_from([None, check, sum, str.upper, seconds])


@st.composite
def graphs(draw):
    graph = Graph(draw(NAMES))
    shared = draw(st.lists(limits, max_size=2))
    limit = st.sampled_from([None, *shared])
    for name in draw(st.lists(NAMES, unique=True, max_size=6)):
        match draw(st.integers(0, 5)):
            case 0:
                source = st.sampled_from([None, check, range(5, 0, -2), [1, "a"], (1, None)])
                graph.add_producer(name, draw(source), every=draw(st.none() | st.floats(0.1, 9)))
            case 1:
                graph.add_if(name, draw(fns), takes=draw(st.sampled_from([None, 1, 0.5, seconds])))
            case 2:
                kind = draw(st.sampled_from(["blocking", "non_blocking"]))
                queue = draw(st.none() | NAMES)
                graph.add_queue(name, queue=queue, kind=kind, maxlen=draw(st.none() | st.just(3)))
            case 3:
                graph.add_queue_reader(name, queue=draw(NAMES), prefetch=draw(st.integers(1, 20)))
            case 4:
                node = Scale(
                    name, factor=draw(st.floats(0, 9)), labels=tuple(draw(st.lists(TEXTS)))
                )
                graph.add_node(node, limit=draw(limit))
            case _:
                graph.add_node(
                    name, draw(fns), limit=draw(limit), config=draw(plain),
                    kind=draw(st.sampled_from(["blocking", "non_blocking"])),
                    retry=draw(st.none() | retries | st.lists(retries, min_size=2, max_size=2)),
                    join=draw(st.sampled_from(["all", "each", "first", 1, 2])),
                    keep=draw(st.integers(0, 5)), description=draw(TEXTS),
                    on_error=draw(st.sampled_from([None, "stop", check])),
                    fail=draw(st.sampled_from([None, 0.5, frozenset({3, 1}), range(3)])),
                )  # fmt: skip
    ends = st.sampled_from([*graph.nodes, "elsewhere"])
    when = st.sampled_from([None, True, False, 0, 1, "x", 0.5, OTHERWISE])
    for a, b in draw(st.lists(st.tuples(ends, ends), max_size=8, unique=True)):
        graph.add_edge(a, b, when=draw(when), copy=draw(st.booleans()), description=draw(TEXTS))
    for loop in draw(st.lists(ends, max_size=2, unique=True)):
        graph.set_loop(loop, max_in_flight=draw(st.integers(1, 99)), on_error=check)
    if draw(st.booleans()) and graph.nodes:
        graph.remove_node(draw(st.sampled_from(sorted(graph.nodes))))
    return graph


@given(graphs())
def test_the_code_of_any_graph_makes_that_graph(graph):
    assert_equal(again(graph, python_code(graph)), graph)


def test_a_graph_that_runs_once_comes_back_with_its_routers_and_entries():
    graph = (
        Graph("once", state_model=dict, reducers={"n": check})
        .add_node("a", check)
        .add_node("b")
        .add_conditional_edges("a", route, {"a": "b", "b": "b", None: END})
        .add_edge(START, "a")
    )
    made = again(graph, code := python_code(graph))
    assert '.add_conditional_edges("a", route, {' in code
    assert made.nodes.keys() == graph.nodes.keys()
    assert [repr(e) for e in made.edges.values()] == [repr(e) for e in graph.edges.values()]
    assert (made.entry_points, made.state_model, made.reducers) == (["a"], dict, {"n": check})


def test_a_limit_that_two_nodes_share_is_shared_again():
    shared = Limit(2)
    graph = Graph("g").add_node("a", limit=shared).add_node("b", limit=shared)
    made = again(graph, python_code(graph.add_node("c", limit=Limit(2))))
    assert made.nodes["a"].limit is made.nodes["b"].limit is not made.nodes["c"].limit


def test_a_function_without_a_name_is_a_tool_or_a_name_to_be_filled_in():
    graph = Graph("g").add_node("x 1", TOOLS.get("twice")).add_node("y", lambda x: x)
    code = python_code(graph, tools=TOOLS)
    assert '.add_node("x 1", tools.get("twice"))' in code
    assert "from flownb import Graph, tools" in code
    assert code.startswith("# fill in y_fn: the function of 'y', a lambda\n")
    assert '.add_node("y", y_fn)' in code


@pytest.mark.parametrize(
    ("wide", "lines"),
    [(False, 1), (True, 6)],
)
def test_a_long_call_has_a_line_for_each_argument(wide, lines):
    more = {"description": "x" * 60, "config": {"y": "z" * 30}} if wide else {}
    code = python_code(Graph("g").add_node("a", check, **more))
    assert len(code.split("graph = (\n")[1].split('Graph("g")\n')[1].splitlines()) - 1 == lines


def test_a_text_cannot_leave_its_quotes():
    name = "a\"'\\\n'''; import os #"
    graph = Graph(name).add_node(name, description=name, config={name: name})
    assert_equal(again(graph, python_code(graph)), graph)
