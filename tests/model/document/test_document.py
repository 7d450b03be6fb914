"""Does a workflow come back from JSON as it was, and nothing else from a stranger's?"""

from __future__ import annotations

import builtins
import functools
import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, SecretStr, computed_field

from flownb.errors import GraphError
from flownb.jsonable import check_plain
from flownb.model.document.decode import from_dict
from flownb.model.document.encode import to_dict
from flownb.model.document.schema import GraphDoc, parse
from flownb.model.edges import END, START
from flownb.model.nodes import BlockingNode, NodeConfig, QueueNode
from flownb.model.policies import OTHERWISE, Limit, Retry
from flownb.model.tools import ToolRegistry
from flownb.model.tools import tools as default_tools
from flownb.model.workflow import Workflow


class Scale(BlockingNode):
    class Config(NodeConfig):
        factor: float = 2.0
        label: str = "x"

    def run(self, data):
        return data.payload * self.config.factor


class Outbox(QueueNode):
    class Config(NodeConfig):
        urgent: bool = False


class Day(BaseModel):
    rain: float


class Busy(Exception):
    pass


def check(x):
    return x


def seconds(rng):
    return 1.0


def on_failure(failure):
    return "skip"


TOOLS = ToolRegistry()
for tool in (check, seconds, on_failure, Scale, Outbox, Day, Busy):
    TOOLS.register(tool)
TOOLS.register("total", sum)


def full() -> Workflow:
    """Everything a document can hold."""
    shared = Limit(2, per_second=5)
    graph = Workflow("full", state_model=Day, reducers={"sum": sum})
    graph.add_producer("p", range(3), every=1, takes=0.5, timeout=2)
    graph.add_producer("list", [1, {"a": None}]).add_producer("fn", check)
    graph.add_node("a", check, retry=Retry(on=(ValueError, Busy), attempts=5), limit=shared)
    graph.add_node("b", sum, takes=seconds, fake=check, fail=0.5, limit=shared, join="each")
    graph.add_node("c", on_error="pause", retry=Retry(on=check), join=2, config={"k": [1]})
    graph.add_node("d", on_error=on_failure, keep=7, description="last", limit=Limit(1))
    graph.add_node(Scale("scale", factor=3)).add_node("x", Scale(), limit=shared)
    graph.add_node(Outbox("box", queue="mail", urgent=True))
    graph.add_if("w", check).add_queue("q", maxlen=5, model=Day, mode="broadcast")
    graph.add_queue_reader("r", queue="q", prefetch=1, ack="awaited", visibility_timeout=5)
    for end, when in {"a": True, "b": "hot", "c": 3, "d": 0.5, "q": OTHERWISE, "x": None}.items():
        graph.add_edge("w", end, when=when)
    graph.add_edge("p", "w", condition=check, copy=True, description="all of them")
    graph.node(check, name="after", after="r", kind="non_blocking")
    graph.set_loop("p", pool="process", on_error=on_failure, resources={"db": seconds})
    graph.set_loop("r", checkpoint="here", persistence_interval=0)
    return graph.set_loop("r", on_error="pause", transactional=True)


def again(doc: dict, **options) -> Workflow:
    return from_dict(Workflow, json.loads(json.dumps(doc)), tools=TOOLS, **options)


def problems(doc: object, **options) -> tuple[str, ...]:
    with pytest.raises(GraphError) as raised:
        from_dict(Workflow, doc, tools=TOOLS, **options)
    assert all("\n" not in problem for problem in raised.value.problems)
    return raised.value.problems


def node(**fields) -> dict:
    return {"name": "g", "nodes": [{"name": "a", "kind": "blocking", **fields}]}


# -- there and back ------------------------------------------------------------


def test_everything_a_document_can_hold_comes_back():
    doc = to_dict(full(), tools=TOOLS)
    assert to_dict(again(doc), tools=TOOLS) == doc


def test_what_comes_back_is_what_was_there():
    graph, back = full(), again(to_dict(full(), tools=TOOLS))
    assert list(back.nodes) == list(graph.nodes)
    assert list(back.edges.values()) == list(graph.edges.values())
    assert back.options == graph.options
    assert (back.name, back.state_model, back.reducers) == ("full", Day, {"sum": sum})
    for name, old in graph.nodes.items():
        new = back.nodes[name]
        for option in ("kind", "every", "takes", "fake", "fail", "retry", "timeout", "on_error"):
            assert getattr(new, option) == getattr(old, option)
        for option in ("join", "config", "keep", "description", "queue", "reader"):
            assert getattr(new, option) == getattr(old, option)
    assert back.nodes["p"].fn == range(3)
    assert back.nodes["scale"].fn.config == Scale(factor=3).config
    assert (back.nodes["box"].fn.queue, back.nodes["box"].fn.config.urgent) == ("mail", True)


def test_a_shared_limit_stays_shared_and_a_class_node_brings_its_own():
    back = again(to_dict(full(), tools=TOOLS))
    limits = {name: back.nodes[name].limit for name in ("a", "b", "x", "d", "scale")}
    assert limits["a"] is limits["b"] is limits["x"]
    assert repr(limits["a"]) == "Limit(concurrency=2, per_second=5.0)"
    assert limits["d"] is not limits["a"]
    assert "limit" not in to_dict(Workflow("g").add_node(Scale()))["nodes"][0]


def test_defaults_are_left_out_so_that_a_document_can_be_read():
    graph = Workflow("g").add_producer("p").add_node("size", len).add_edge("p", "size")
    assert to_dict(graph) == {
        "flownb": 1,
        "name": "g",
        "nodes": [
            {"name": "p", "kind": "producer"},
            {"name": "size", "kind": "blocking", "fn": "len"},
        ],
        "edges": [{"source": "p", "target": "size"}],
    }


def test_bools_numbers_texts_and_otherwise_are_told_apart():
    graph = Workflow("g").add_if("i")
    for name, when in {"a": True, "b": 1, "c": "1", "d": 1.0, "e": OTHERWISE, "f": None}.items():
        graph.add_edge("i", name, when=when)
    doc = to_dict(graph)
    assert [e.get("when") for e in doc["edges"]] == [True, 1, "1", 1.0, {"otherwise": True}, None]
    whens = [e.when for e in again(doc).edges.values()]
    assert [(type(w), w) for w in whens[:4]] == [(bool, True), (int, 1), (str, "1"), (float, 1.0)]
    assert whens[4:] == [OTHERWISE, None]


def test_a_function_has_its_registered_name_else_its_own():
    doc = to_dict(Workflow("g").add_node("a", sum).add_node("b", len), tools=TOOLS)
    assert [n["fn"] for n in doc["nodes"]] == ["total", "len"]


def test_the_default_registry_is_used_when_none_is_given(monkeypatch):
    monkeypatch.setattr(default_tools, "_tools", {})
    default_tools.register("mine", check)
    doc = to_dict(Workflow("g").add_node("a", check))
    assert doc["nodes"][0]["fn"] == "mine"
    assert from_dict(Workflow, doc).nodes["a"].fn is check


names = st.text(min_size=1, max_size=8).filter(
    lambda s: s.strip() and s.isprintable() and s not in {START, END}
)
limits = st.builds(Limit, st.integers(1, 9), st.none() | st.floats(0.1, 9))
retries = st.builds(
    Retry,
    on=st.sampled_from([ValueError, check, (OSError, Busy), ()]),
    attempts=st.integers(1, 5),
    wait_initial=st.floats(0, 9),
)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
fns = st.sampled_from([None, check, sum, seconds])


@st.composite
def workflows(draw):
    graph = Workflow(draw(names))
    shared = draw(st.lists(limits, max_size=2))
    limit = st.sampled_from([None, *shared])
    for name in draw(st.lists(names, unique=True, max_size=5)):
        match draw(st.integers(0, 4)):
            case 0:
                source = st.sampled_from([None, check, range(5, 0, -2), [1, "a"]])
                graph.add_producer(name, draw(source), every=draw(st.none() | st.floats(0.1, 9)))
            case 1:
                graph.add_if(name, draw(fns), takes=draw(st.sampled_from([None, 1, 0.5, seconds])))
            case 2:
                graph.add_queue(name, maxlen=draw(st.none() | st.integers(1, 9)))
            case 3:
                graph.add_node(Scale(name, factor=draw(st.floats(0, 9))), limit=draw(limit))
            case _:
                graph.add_node(
                    name, draw(fns), limit=draw(limit), retry=draw(st.none() | retries),
                    join=draw(st.sampled_from(["all", "each", "first", 1, 2])), config=draw(plain),
                    keep=draw(st.integers(0, 5)),
                    on_error=draw(st.sampled_from([None, "stop", check])),
                )  # fmt: skip
    ends = st.sampled_from([*graph.nodes, "elsewhere"])
    when = st.sampled_from([None, True, False, 0, 1, "x", 0.5, OTHERWISE])
    for a, b in draw(st.lists(st.tuples(ends, ends), max_size=6, unique=True)):
        graph.add_edge(a, b, when=draw(when), copy=draw(st.booleans()))
    for loop in draw(st.lists(ends, max_size=2, unique=True)):
        graph.set_loop(loop, max_in_flight=draw(st.integers(1, 99)), on_error=on_failure)
    return graph


@given(workflows())
def test_every_workflow_comes_back_as_the_same_document(graph):
    doc = to_dict(graph, tools=TOOLS)
    assert to_dict(again(doc), tools=TOOLS) == doc


# -- what cannot be written ----------------------------------------------------


@pytest.mark.parametrize(
    ("graph", "text"),
    [
        (lambda: Workflow("g").add_producer("p", iter([1])), "node 'p': a list_iterator is no"),
        (lambda: Workflow("g").add_producer("p", [{1}]), "node 'p', items[0]: set is not JSON"),
        (lambda: Workflow("g").add_node("a", functools.partial(check)), "node 'a': a partial can"),
        (
            lambda: Workflow("g").add_node("a", config={"k": float("nan")}),
            "node 'a', config=.k: NaN",
        ),
        (
            lambda: Workflow("g").add_node("a", config=Day(rain=1)),
            "node 'a', config=: Day is not JSON: use .model_dump()",
        ),
        (lambda: Workflow("g").add_if("i").add_edge("i", "a", when=(1,)), "edge i -> a, when=(1,)"),
        (lambda: Workflow("g").add_edge("a", "b", when="\ud800"), "graph document.edges[0].when:"),
        (lambda: Workflow("g").set_loop("p", resources={"db": 3}), "loop 'p', resources['db']: a"),
        (lambda: Workflow("g\ud800"), "the graph's name: a lone surrogate"),
    ],
)
def test_what_json_cannot_hold_is_named_with_its_node_and_option(graph, text):
    with pytest.raises(GraphError) as raised:
        to_dict(graph())
    assert raised.value.problems[0].startswith(text)


class Secretive(BlockingNode):
    class Config(NodeConfig):
        token: SecretStr = SecretStr("")
        left_out: int = Field(0, exclude=True)
        both: tuple[int, ...] = ()

        @computed_field
        @property
        def count(self) -> int:
            return len(self.both)

    def run(self, data):
        return data.payload


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"token": "hush"}, "node 'a', Config.token: a SecretStr is not written"),
        ({"left_out": 1}, "node 'a', Config.left_out: 1 comes back as 0"),
    ],
)
def test_a_setting_that_would_be_lost_is_named(settings, text):
    tools = ToolRegistry()
    tools.register(Secretive)
    with pytest.raises(GraphError) as raised:
        to_dict(Workflow("g").add_node("a", Secretive(**settings)), tools=tools)
    assert raised.value.problems[0].startswith(text)
    fine = to_dict(Workflow("g").add_node("a", Secretive(both=(1, 2))), tools=tools)
    assert from_dict(Workflow, fine, tools=tools).nodes["a"].fn.config.both == (1, 2)


def test_everything_that_cannot_be_written_is_told_at_once():
    graph = Workflow("g").add_node("a", config={1}).add_producer("p", iter([]))
    with pytest.raises(GraphError) as raised:
        to_dict(graph)
    assert len(raised.value.problems) == 2


def defined(source: str, name: str):
    """Run a cell and give one thing that it defines."""
    cell: dict = {"__name__": "__main__"}
    exec(source, cell)
    return cell[name]


def test_one_name_for_two_functions_is_refused_because_it_would_lead_back_to_one():
    other = defined("def check(x): return 2", "check")
    graph = Workflow("g").add_node("a", check).add_node("b", other)
    with pytest.raises(GraphError, match="node 'b': two different functions are called 'check'"):
        to_dict(graph)
    with pytest.raises(GraphError, match=r"are called 'check' \(the tools know another\)"):
        to_dict(Workflow("g").add_node("b", other), tools=TOOLS)
    old = defined("def check(x): return 1", "check")
    with pytest.raises(GraphError, match="two different functions are called 'check'"):
        to_dict(Workflow("g").add_node("a", old).add_node("b", other))
    with pytest.raises(GraphError, match="two different functions are called 'total'"):
        to_dict(Workflow("g").add_node("a", defined("def total(x): ...", "total")), tools=TOOLS)


def test_a_cell_that_ran_twice_leaves_functions_that_are_one():
    text = "def ours(x): return 1"
    tools = ToolRegistry()
    tools.register("mine", defined(text, "ours"))
    graph = Workflow("g").add_node("a", defined(text, "ours")).add_node("b", defined(text, "ours"))
    assert [n["fn"] for n in to_dict(graph)["nodes"]] == ["ours", "ours"]
    assert [n["fn"] for n in to_dict(graph, tools=tools)["nodes"]] == ["mine", "mine"]


def local():
    def check(x): ...

    class Local(BaseModel): ...

    class Gone(Exception): ...

    class Step(BlockingNode):
        def run(self, data):
            return data.payload

    return check, Local, Gone, Step()


@pytest.mark.parametrize(
    ("fn", "text"),
    [
        (lambda x: x, "node 'a': a lambda has no name that leads back to it: register it"),
        (local()[0], "node 'a': 'check' was defined inside a function (local.<locals>.check), so"),
        ([].append, "node 'a': 'append' is a method of an object, so its name does not lead"),
    ],
)
def test_a_function_whose_name_leads_back_to_none_has_to_be_registered(fn, text):
    graph = Workflow("g").add_node("a", fn)
    with pytest.raises(GraphError) as raised:
        to_dict(graph, tools=TOOLS)
    assert raised.value.problems[0].startswith(text)
    tools = ToolRegistry()
    tools.register("mine", fn)
    doc = to_dict(graph, tools=tools)
    assert doc["nodes"][0]["fn"] == "mine"
    assert from_dict(Workflow, doc, tools=tools).nodes["a"].fn == fn


def test_every_place_of_a_function_is_held_to_the_same_rule():
    check, model, gone, step = local()
    anon = lambda x: x
    places = {
        "fn": Workflow("g").add_node("a", anon),
        "source": Workflow("g").add_producer("a", anon),
        "if": Workflow("g").add_if("a", check),
        "class": Workflow("g").add_node("a", step),
        "fake": Workflow("g").add_node("a", fake=anon),
        "takes": Workflow("g").add_node("a", takes=anon),
        "fail": Workflow("g").add_node("a", fail=anon),
        "retry": Workflow("g").add_node("a", retry=Retry(on=gone)),
        "retries": Workflow("g").add_node("a", retry=[Retry(on=(ValueError, gone))]),
        "predicate": Workflow("g").add_node("a", retry=Retry(on=anon)),
        "on_error": Workflow("g").add_node("a", on_error=anon),
        "over": Workflow("g").add_node("a", sum, over=anon),
        "cache": Workflow("g").add_node("a", sum, cache=anon),
        "model": Workflow("g").add_queue("a", model=model),
        "condition": Workflow("g").add_edge("a", "b", condition=anon),
        "router": Workflow("g").add_conditional_edges("a", anon, ["b"]),
        "state_model": Workflow("g", state_model=model),
        "reducer": Workflow("g", reducers={"x": anon}),
        "loop": Workflow("g").set_loop("p", on_error=anon),
        "resource": Workflow("g").set_loop("p", resources={"db": check}),
    }
    for graph in places.values():
        with pytest.raises(GraphError, match="register"):
            to_dict(graph, tools=TOOLS)
    tools = ToolRegistry()
    for i, fn in enumerate((anon, check, model, gone, type(step), sum)):
        tools.register(f"t{i}", fn)
    for graph in places.values():
        doc = json.loads(json.dumps(to_dict(graph, tools=tools)))
        assert to_dict(from_dict(Workflow, doc, tools=tools), tools=tools) == doc


class TimeoutError(Exception):  # noqa: A001 - many libraries have one
    pass


def test_an_error_that_is_called_as_one_of_python_never_stands_for_it():
    graph = Workflow("g").add_node("a", retry=Retry(on=TimeoutError))
    tools = ToolRegistry()
    for _ in range(2):
        with pytest.raises(GraphError, match="Python has an error 'TimeoutError', too: register"):
            to_dict(graph, tools=tools)
        tools.register(TimeoutError)
    builtin = to_dict(Workflow("g").add_node("a", retry=Retry(on=builtins.TimeoutError)))
    with pytest.raises(GraphError, match="an error of Python and another one in the tools"):
        from_dict(Workflow, builtin, tools=tools)
    tools.register("ours", TimeoutError)
    tools = ToolRegistry()
    tools.register("ours", TimeoutError)
    back = from_dict(Workflow, to_dict(graph, tools=tools), tools=tools)
    assert back.nodes["a"].retry.on is TimeoutError


class Counting(BlockingNode):
    def __init__(self, name=None, /, start=0, **settings):
        super().__init__(name, **settings)
        self.count = start

    def run(self, data):
        return self.count


class Login(BlockingNode):
    class Config(NodeConfig):
        token: SecretStr = SecretStr("none")

    def run(self, data):
        return data.payload


class Needy(BlockingNode):
    def __init__(self, name, client):
        super().__init__(name)
        self.client = client

    def run(self, data):
        return data.payload


def test_a_class_node_that_would_come_back_as_another_is_refused():
    assert to_dict(Workflow("g").add_node(Counting("n")))["nodes"][0]["class"]
    for node_, text in (
        (Counting("n", start=5), "the .count of Counting would not come back as it is"),
        (Login("n", token="t0p"), "Config.token: a SecretStr is not written"),
        (Needy("n", object()), "Needy cannot be made of its name and Config alone"),
    ):
        with pytest.raises(GraphError) as raised:
            to_dict(Workflow("g").add_node(node_))
        assert raised.value.problems == (raised.value.problems[0],)
        assert text in raised.value.problems[0]


def test_item_numbers_to_fail_and_all_outputs_to_keep_are_written():
    graph = Workflow("g").add_node("a", fail={3, 1}, keep=None).add_node("b", fail=range(2))
    doc = to_dict(graph)
    assert [n["fail"] for n in doc["nodes"]] == [[1, 3], [0, 1]]
    assert again(doc).nodes["a"].keep is None


# -- what a stranger may send --------------------------------------------------


@pytest.mark.parametrize(
    ("doc", "text"),
    [
        (3, "a graph document is a dict, not a int"),
        ({}, "name: field required"),
        ({"name": 3}, "name: input should be a valid string"),
        ({"name": " "}, "the graph needs a name that is not empty"),
        ({"name": "g", "flownb": 2}, "flownb: input should be 1"),
        ({"name": "g", "nods": []}, 'nods: unknown field: did you mean "nodes"?'),
        ({"name": "g", "nodes": {}}, "nodes: input should be a valid list"),
        ({"name": "g", "nodes": [3]}, "nodes[0]: input should be a valid dict"),
        (node(kind="blockin"), "node 'a', nodes[0].kind: input should be 'producer', "),
        (node(tkes=1), "node 'a', nodes[0].tkes: unknown field: did you mean \"takes\"?"),
        (node(takes="1"), "node 'a', nodes[0].takes: input should be a valid number, or input"),
        (node(takes=True), "node 'a', nodes[0].takes: "),
        (node(keep=1.5), "node 'a', nodes[0].keep: "),
        (node(takes=float("nan")), "graph document.nodes[0].takes: NaN is not JSON"),
        (node(config={"k": float("inf")}), "graph document.nodes[0].config.k: Infinity is not"),
        (node(config={1: 2}), "graph document.nodes[0].config: the key 1 is not a"),
        (node(config="\ud800"), "graph document.nodes[0].config: a lone surrogate is not"),
        (node(config=10**5000), "graph document.nodes[0].config: an integer this long"),
        (node(config=b"x"), "graph document.nodes[0].config: bytes is not JSON"),
        (node(retry={"on": "ValueError", "atempts": 2}), "node 'a', nodes[0].retry.atempts: unkn"),
        (node(retry={"on": "ValueError", "attempts": 0}), "node 'a': Retry(): attempts=0"),
        (node(retry={"on": ["check"]}), "node 'a': Retry(): on=("),
        (node(fn="chekc"), "node 'a': there is no tool 'chekc': did you mean \"check\"?"),
        (node(fn="os.system"), "node 'a': there is no tool 'os.system' (there are: check, "),
        (node(fn="__import__"), "node 'a': there is no tool '__import__'"),
        (node(retry={"on": "os.error"}), "node 'a', retry: there is no tool 'os.error'"),
        (node(retry={"on": "print"}), "node 'a', retry: there is no tool 'print'"),
        (node(**{"class": {"name": "check"}}), "node 'a': the tool 'check' is no node class"),
        (
            node(**{"class": {"name": "Scale", "settings": {"z": 1}}}),
            "node 'a': Scale('a'): there is no setting 'z'",
        ),
        (node(**{"class": {"name": "Scale"}}, fn="check"), "node 'a': fn and class both say"),
        (node(range=[1, 2]), "node 'a', nodes[0].range: list should have at least 3 items"),
        (node(range=[1, 2, 1]), "node 'a': a blocking node has no range"),
        (node(items=[]), "node 'a': a blocking node has no items"),
        (node(kind="producer", range=[0, 1, 0]), "node 'a': ValueError: range() arg 3"),
        (node(kind="queue"), "node 'a': a queue node, and no other, has a field queue"),
        (node(queue={"name": "q"}), "node 'a': a queue node, and no other, has a field queue"),
        (node(reader={"queue": "q"}), "node 'a': a queue_reader node, and no other, has a field"),
        (node(kind="queue", queue={"name": "q"}, fn="check"), "node 'a': a queue node has no fn"),
        (node(kind="queue", queue={"name": "q", "model": "check"}), "node 'a', queue model: the t"),
        (node(kind="if", **{"class": {"name": "Scale"}}), "node 'a': node 'a': Scale is a block"),
        (node(limit=0), "node 'a': limit 0 is not in the list of 0 limits"),
        ({"name": "g", "limits": [{}]}, "limits[0]: Limit(): give concurrency="),
        ({"name": "g", "nodes": [{"name": "", "kind": "if"}]}, "node '': a if node needs a name"),
        ({"name": "g", "nodes": node()["nodes"] * 2}, "node 'a': this name is there twice"),
        ({"name": "g", "edges": [{"source": "a", "target": "b"}] * 2}, "edge a -> b: this edge is"),
        ({"name": "g", "edges": [{"source": "a", "target": "b", "when": [1]}]}, "edges[0].when: "),
        ({"name": "g", "edges": [{"source": "a"}]}, "edges[0].target: field required"),
        (node(router="b"), "node 'a': only an if is the router of a node"),
        ({"name": "g", "nodes": [{"name": "__start__", "kind": "if"}]}, "node '__start__': this n"),
        ({"name": "g", "edges": [{"source": "__end__", "target": "b"}]}, "edge END -> b: END is t"),
        ({"name": "g", "edges": [{"source": "__start__", "target": "b"}]}, "edge START -> b: STA"),
        ({"name": "g", "edges": [{"source": "a", "target": "b", "when": {"any": []}}]}, "edges[0"),
        ({"name": "g", "loops": {"p": {"pool": "gpu"}}}, "loops.p.pool: input should be 'asyncio'"),
        ({"name": "g", "loops": {"p": {"max_in_flight": 0}}}, "loop 'p': set_loop('p'): max"),
        ({"name": "g", "loops": {"p": {"resources": {"db": "x"}}}}, "loop 'p', resources['db']: t"),
        ({"name": "g", "state_model": "check"}, "state_model: the tool 'check' is no class"),
    ],
)  # fmt: skip
def test_a_bad_document_is_an_error_that_names_the_place(doc, text):
    assert problems(doc)[0].startswith(text)


def test_every_unknown_name_is_told_at_once():
    doc = node(fn="one", fake="two", on_error={"tool": "three"})
    assert len(problems(doc | {"reducers": {"x": "four"}})) == 4


def nested(depth: int) -> list:
    value: list = []
    for _ in range(depth):
        value = [value]
    return value


def test_deep_nesting_ends_in_an_error_and_not_in_the_stack():
    (text,) = problems(node(config=nested(200_000)))
    assert text.startswith("graph document.nodes[0].config[0][0]")
    assert text.endswith("nested deeper than 64 levels, or inside itself")
    check_plain(nested(60), "x")


def test_a_document_that_contains_itself_or_is_far_too_big_ends_in_an_error():
    loop: list = []
    loop += [loop] * 10
    assert problems(node(config=loop))
    assert "more than 1,000,000 values" in problems(node(config=[0] * 1_000_001))[0]


def test_there_are_caps_on_nodes_and_edges_that_can_be_moved():
    many = {"name": "g", "nodes": [{"name": str(i), "kind": "if"} for i in range(5_001)]}
    assert problems(many) == ("graph document: 5,001 nodes, at most 5,000 (max_nodes=)",)
    assert len(from_dict(Workflow, many, max_nodes=6_000).nodes) == 5_001
    edges = [{"source": "a", "target": str(i)} for i in range(3)]
    doc = {"name": "g", "edges": edges}
    assert problems(doc, max_edges=2) == ("graph document: 3 edges, at most 2 (max_edges=)",)


def test_many_mistakes_of_shape_are_cut_to_what_can_be_read():
    doc = {"name": "g", "nodes": [{"name": str(i), "kind": "x"} for i in range(100)]}
    found = problems(doc)
    assert (len(found), found[-1]) == (21, "... and 80 more")


def test_loading_imports_opens_and_runs_nothing():
    doc = to_dict(full(), tools=TOOLS) | {"reducers": {"x": "os.system"}}
    seen, armed = [], [False]
    again(to_dict(full(), tools=TOOLS))  # whatever pydantic loads late is loaded now

    def hook(event, _):
        if armed[0] and event in {"import", "exec", "compile", "open", "os.system"}:
            seen.append(event)

    sys.addaudithook(hook)
    armed[0] = True
    try:
        with pytest.raises(GraphError):
            from_dict(Workflow, doc, tools=TOOLS)
    finally:
        armed[0] = False
    assert seen == []


def test_a_document_of_a_subclass_gives_that_subclass():
    class Mine(Workflow):
        pass

    assert type(from_dict(Mine, {"name": "g"})) is Mine
    assert isinstance(parse({"name": "g"}), GraphDoc)


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(sorted(["name", "kind", "fn", "class", "when", "on", "tool", "x"])),
            inner,
        )
    ),
    max_leaves=6,
)


@st.composite
def spoilt(draw):
    """A good document with one or two places replaced by junk."""
    doc = json.loads(json.dumps(to_dict(draw(workflows()), tools=TOOLS)))
    for _ in range(draw(st.integers(1, 2))):
        place = doc
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if not isinstance(place[key], (dict, list)) or draw(st.integers(0, 3)) == 0:
                place[key] = draw(junk)
                break
            place = place[key]
    return doc


@given(spoilt())
def test_a_spoilt_document_is_loaded_or_refused_and_nothing_else(doc):
    try:
        graph = from_dict(Workflow, doc, tools=TOOLS)
    except GraphError as error:
        assert error.problems  # noqa: PT017 - any other exception fails the test
    else:
        assert to_dict(graph, tools=TOOLS)


@pytest.mark.parametrize("place", ["postgresql://u:topsecret@h/d", "redis://topsecret@h"])
def test_a_document_holds_no_password(place):
    graph = Workflow("g").add_producer("p", [1]).set_loop("p", checkpoint=place)
    with pytest.raises(GraphError, match="a document holds no password") as raised:
        to_dict(graph)
    assert "topsecret" not in str(raised.value)
    graph.set_loop("p", checkpoint="postgresql://u@h/d")
    assert to_dict(graph)["loops"] == {"p": {"checkpoint": "postgresql://u@h/d"}}
