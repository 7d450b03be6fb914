"""Does the builder hold what was said, and is a cell that runs twice harmless?"""

from __future__ import annotations

import inspect
import pickle
import re
import warnings
from dataclasses import fields

import pytest

from flownb import Graph
from flownb.errors import GraphError
from flownb.model.nodes import (
    BlockingNode,
    IfNode,
    NodeConfig,
    NonBlockingNode,
    ProducerNode,
    QueueNode,
    QueueReader,
)
from flownb.model.policies import OTHERWISE, Limit, LoopOptions, Retry
from flownb.model.topology import entries
from flownb.model.workflow import Workflow
from flownb.validate.check import validate


class Scale(BlockingNode):
    class Config(NodeConfig):
        factor: float = 2.0

    def run(self, data):
        return data.payload * self.config.factor


class Days(ProducerNode):
    def run(self, data):
        return 1


def check(x):
    return x


def audit(x):
    return x


def whens(graph: Workflow) -> dict[str, object]:
    return {str(edge): edge.when for edge in graph.edges.values()}


def unchanged(graph: Workflow, again) -> bool:
    before = graph.version, list(graph.nodes.items()), list(graph.edges.items())
    again()
    return before == (graph.version, list(graph.nodes.items()), list(graph.edges.items()))


# -- adding again --------------------------------------------------------------


def test_every_verb_returns_the_graph_itself():
    graph = Workflow("g")
    assert graph.add_producer("p") is graph
    assert graph.add_node("a").add_if("i").add_queue("q").add_queue_reader("r", queue="q") is graph
    assert graph.add_edge("p", "a").set_loop("p", pool="thread") is graph
    assert graph.remove_edge("p", "a").remove_node("a").include(Workflow("h")) is graph


def test_adding_a_known_name_again_replaces_the_node_and_keeps_its_edges_and_place():
    graph = Workflow("g").add_producer("p").add_node("a", check).add_node("b").add_edge("p", "a")
    graph.add_node("a", audit, kind="non_blocking")
    assert graph.nodes["a"].fn is audit
    assert list(graph.nodes) == ["p", "a", "b"]
    assert list(graph.edges) == [("p", "a")]


def test_an_identical_cell_changes_nothing():
    source, limit, scale = [1, 2], Limit(2), Scale(factor=3)

    def cell():
        graph.add_producer("p", source, every=1).add_node("a", check, retry=Retry(on=ValueError))
        graph.add_node("b", takes=0.5, limit=limit, kind="non_blocking").add_node(scale)
        graph.add_if("i", check).add_queue("q", maxlen=5).add_queue_reader("r", queue="q")
        graph.add_edge("p", "a", "i").add_edge("i", "q", when=True).add_edge("i", "b", when=False)
        graph.set_loop("p", pool="process", max_in_flight=3)
        graph.node(check, name="c", after="a")

    graph = Workflow("g")
    cell()
    assert unchanged(graph, cell)


@pytest.mark.parametrize(
    "option",
    [{"takes": 1}, {"keep": 2}, {"retry": Retry(on=KeyError)}, {"limit": Limit(1)}, {"join": 2}],
)
def test_a_changed_option_is_an_edit(option):
    graph = Workflow("g").add_node("a", check)
    assert not unchanged(graph, lambda: graph.add_node("a", check, **option))


def test_true_is_not_one_when_definitions_are_compared():
    graph = Workflow("g").add_node("a", check, cache=1).add_if("i").add_edge("i", "a", when=1)
    assert not unchanged(graph, lambda: graph.add_node("a", check, cache=True))
    assert not unchanged(graph, lambda: graph.add_node("a", check, cache=True, config=[1]))
    assert not unchanged(graph, lambda: graph.add_node("a", check, cache=True, config=[True]))
    assert not unchanged(graph, lambda: graph.add_edge("i", "a", when=True))
    assert graph.edges["i", "a"].when is True


def test_a_limit_given_anew_is_an_edit_because_sharing_it_has_a_meaning():
    graph = Workflow("g").add_node("a", check, limit=Limit(1))
    assert not unchanged(graph, lambda: graph.add_node("a", check, limit=Limit(1)))


def test_the_limit_a_class_node_brings_along_is_no_edit():
    scale = Scale()
    graph = Workflow("g").add_node(scale)
    assert graph.nodes["scale"].limit.concurrency == 1
    assert unchanged(graph, lambda: graph.add_node(scale))


# -- nodes ---------------------------------------------------------------------


def test_a_function_alone_gives_the_name():
    graph = Workflow("g").add_producer(audit).add_node(check).add_if(str.upper)
    assert {n.name: n.kind for n in graph.nodes.values()} == {
        "audit": "producer",
        "check": "blocking",
        "upper": "if",
    }


def test_a_class_node_says_its_name_and_kind_and_its_queue():
    class Audit(NonBlockingNode):
        def run(self, data):
            return data.payload

    class Wet(IfNode):
        def run(self, data):
            return data.payload > 1

    graph = Workflow("g").add_node(Days()).add_node(Audit()).add_node("wet?", Wet())
    graph.add_node(QueueNode("out", queue="w")).add_node(QueueReader("in", queue="w"))
    kinds = [n.kind for n in graph.nodes.values()]
    assert kinds == ["producer", "non_blocking", "if", "queue", "queue_reader"]
    assert graph.nodes["out"].queue.name == graph.nodes["in"].reader.queue == "w"
    assert graph.queue_links() == [("out", "in")]


@pytest.mark.parametrize(
    ("add", "text"),
    [
        (
            lambda g: g.add_node("a", kind="fast"),
            "kind='fast': choose one of blocking, non",
        ),
        (lambda g: g.add_node("a", kind="producer"), "kind='producer': choose one of blocking"),
        (lambda g: g.add_node(Days(), kind="non_blocking"), "Days is a producer node and cannot"),
        (lambda g: g.add_producer(Scale()), "Scale is a blocking node and cannot be added as"),
        (lambda g: g.add_if(Scale()), "Scale is a blocking node and cannot be added as if"),
        (lambda g: g.add_node("a", Scale), "Scale is a class: give an instance, Scale(...)"),
        (lambda g: g.add_node(lambda x: x), "a lambda has no name of its own"),
        (lambda g: g.add_node(" "), "needs a name that is not empty"),
        (lambda g: g.add_producer("", [1]), "a producer node needs a name that is not empty"),
        (lambda g: g.add_producer("p", every=0), "every=0: give a number of seconds, above 0"),
        (lambda g: g.node("a"), "write the name as name='a'"),
        (lambda g: g.add_edge("a", lambda x: x), "an edge end that no node holds"),
        (lambda g: g.remove_node("chekc"), "no node 'chekc': did you mean \"check\""),
        (lambda g: g.remove_edge("p", "chekc"), 'no edge p -> chekc: did you mean "p -> check"'),
        (lambda g: g.set_loop("p", pool="gpu"), "choose one of asyncio, thread, process, dask"),
        (lambda g: g.set_loop("p", max_in_flight=0), "whole number of items, at least 1"),
        (lambda g: g.set_loop("p", max_in_flight=None), "max_in_flight=None: give a whole"),
        (lambda g: g.set_loop("p", on_error="explode"), "choose one of skip, dead_letter"),
    ],
)
def test_what_could_never_work_is_refused_where_it_is_written(add, text):
    graph = Workflow("g").add_producer("p").add_node(check).add_edge("p", "check")
    version = graph.version
    with pytest.raises(GraphError, match=text.replace("(", r"\(").replace(")", r"\)")):
        add(graph)
    assert graph.version == version


def test_what_has_no_name_cannot_be_added():
    with pytest.raises(TypeError, match="has no name: give its name"):
        Workflow("g").add_node(5)
    with pytest.raises(GraphError, match="the graph needs a name"):
        Workflow("")
    with pytest.raises(
        GraphError, match=r"Graph\(Scale\): give a name first, Graph\('name', state_mo"
    ):
        Graph(Scale)


# -- edges ---------------------------------------------------------------------


def test_a_path_puts_when_on_its_first_edge_and_copy_on_every_one():
    graph = Workflow("g").add_if("i").add_edge("i", "a", "b", when=False, copy=True)
    assert whens(graph) == {"i -> a": False, "a -> b": None}
    assert [e.copy for e in graph.edges.values()] == [True, True]
    assert [e.conditional for e in graph.edges.values()] == [True, False]


def test_a_list_of_sources_is_an_edge_from_each():
    graph = Workflow("g").add_edge(["a", "b"], "c", copy=True)
    assert [(str(e), e.copy) for e in graph.edges.values()] == [("a -> c", True), ("b -> c", True)]


@pytest.mark.parametrize(
    ("path", "edges"),
    [
        (("a", ["b", "c"]), ["a -> b", "a -> c"]),
        (("a", ("b", "c")), ["a -> b", "a -> c"]),
        ((["a", "b"], ["c", "d"]), ["a -> c", "a -> d", "b -> c", "b -> d"]),
        (("a", ["b", "c"], "d"), ["a -> b", "a -> c", "b -> d", "c -> d"]),
        ((["a"], "b", ["c"]), ["a -> b", "b -> c"]),
        ((["a", "a"], "b"), ["a -> b"]),
        (([check, "b"], [audit]), ["check -> audit", "b -> audit"]),
    ],
)
def test_a_list_may_stand_wherever_a_node_may(path, edges):
    assert list(whens(Workflow("g").add_edge(*path))) == edges


def test_what_belongs_to_the_first_edge_belongs_to_all_edges_out_of_the_first_node():
    graph = Workflow("g").add_edge("i", ["a", "b"], "c", when=True, description="said")
    assert whens(graph) == {"i -> a": True, "i -> b": True, "a -> c": None, "b -> c": None}
    assert {e.description for e in graph.edges.values()} == {"said"}


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("a", []), "an edge leads from a node to a node: the list is empty"),
        (([], "a"), "the list is empty"),
        (("a", {"b", "c"}), "a set of nodes has no order, and edges have one: give a list"),
        ((frozenset("a"), "b"), "has no order"),
        (("a", [lambda x: x]), "an edge end that no node holds"),
    ],
)
def test_what_is_no_list_of_nodes_is_refused_before_anything_is_linked(path, text):
    graph = Workflow("g")
    with pytest.raises(GraphError, match=text):
        graph.add_edge("x", "y", *path)
    assert not graph.edges


def test_every_verb_takes_a_name_a_function_or_a_node():
    for one, other in (("check", "audit"), (check, audit)):
        graph = Workflow("g").add_node(check).add_node(audit).add_producer("p")
        for end in (one, graph.nodes["check"]):
            graph.add_edge(end, other).remove_edge(end, other).set_entry_point(end, other)
            graph.set_loop(end, pool="thread").add_conditional_edges(end, bool, {1: other})
            assert graph.node(audit, after=[end]) is audit
        assert graph.remove_node(one).remove_node(graph.nodes["audit"]).nodes.keys() == {"p"}
    graph = Graph("g").add_node(check, cache=True).add_node(audit).add_edge(check, audit)
    assert graph.step(check, 1) == graph.step(graph.nodes["audit"]) == 1
    assert graph.clear_cache(check, graph.nodes["audit"]) == 1
    scale = Days()
    assert Graph("g").add_node(scale).plan(scale).loop == "days"


# -- edits that cut off --------------------------------------------------------


def cut(graph) -> list[str]:
    """Name what begins by itself no more."""
    [problem] = [p for p in graph.validate() if "any more" in str(p)]
    with pytest.raises(GraphError, match="nothing leads here any more"):
        graph.run({})
    return list(problem.nodes)


def named(*names):
    graph = Graph("g")
    for name in names:
        graph.add_node(name)
    return graph


def test_what_an_edit_cuts_off_does_not_begin_by_itself():
    graph = named(*"abcd").add_edge("a", "b", "c").add_edge("a", "d")
    assert cut(graph.remove_edge("a", "b")) == ["b", "c"]
    assert graph.add_edge("d", "b").run({}).visited == ["a", "d", "b", "c"]
    assert cut(graph.remove_node("d")) == ["b", "c"]
    assert graph.set_entry_point("a", "b").run({}).visited == ["a", "b", "c"]
    assert cut(named(*"abc").add_edge("a", "b", "c").remove_node("a")) == ["b", "c"]


def test_a_cycle_that_is_cut_off_does_not_begin_by_itself():
    graph = named(*"abc").add_if("i").add_edge("a", "b", "i").add_edge("i", "b", when=True)
    graph.add_edge("i", "c", when=False)
    assert cut(graph.remove_node("a")) == ["b", "c", "i"]


def test_what_a_run_began_with_goes_on_to_do_so():
    ring = named("a").add_if("i").add_edge("a", "i").add_edge("i", "a", when=True)
    assert entries(ring) == ["a"]
    assert entries(ring.remove_edge("i", "a")) == ["a"]
    assert entries(ring.add_edge("i", "a", when=True)) == ["a"]


def test_a_definition_without_its_after_is_told_and_a_node_that_is_new_begins():
    graph = named("a")
    graph.node(check, after="a")
    graph.node(check)
    assert cut(graph) == ["check"]
    graph.remove_node(check).node(check)
    assert sorted(graph.run({}).visited) == ["a", "check"]


def test_a_reader_that_is_cut_off_does_not_drive_a_loop_by_itself():
    graph = Workflow("g").add_producer("p").add_queue_reader("r", queue="q", external=True)
    graph.add_node("n").add_edge("p", "r", "n")
    graph.remove_edge("p", "r")
    assert graph.producers == ("p",)
    assert "nodes 'r' and 'n': no producer leads here" in str(validate(graph)[0])
    graph.remove_node("r").add_queue_reader("r", queue="q", external=True).add_edge("r", "n")
    assert graph.producers == ("p", "r")
    queue = Workflow("g").add_producer("p").add_queue("q").add_queue_reader("r", queue="q")
    assert queue.add_edge("p", "q", "r").remove_edge("q", "r").producers == ("p", "r")


def test_what_is_cut_off_is_so_in_a_document_and_in_a_part():
    graph = named(*"abc").add_edge("a", "b", "c").remove_edge("a", "b")
    back = Graph.from_dict(graph.to_dict())
    assert cut(back) == ["b", "c"]
    assert back.to_dict() == graph.to_dict()
    assert cut(Graph("h").include(graph, prefix="x.")) == ["x.b", "x.c"]


def test_an_edge_may_be_added_before_its_nodes():
    graph = Workflow("g").add_edge("p", "a").add_producer("p").add_node("a")
    assert graph.producers == ("p",)
    assert [str(e) for e in graph.flow_edges()] == ["p -> a"]


def test_an_edge_end_may_be_a_function_or_a_class_node_under_another_name():
    scale = Scale()
    graph = Workflow("g").add_node("first", check).add_node("twice", scale)
    graph.add_edge(check, scale).add_edge(graph.nodes["twice"], audit)
    assert list(graph.edges) == [("first", "twice"), ("twice", "audit")]


def test_a_function_that_two_nodes_hold_has_to_be_named():
    graph = Workflow("g").add_node("a", check).add_node("b", check)
    with pytest.raises(GraphError, match="'check' is the function of a, b: name the node"):
        graph.add_edge(check, "c")


def test_another_when_for_the_same_edge_is_told_at_the_line_that_says_so():
    graph = Workflow("g").add_if("i").add_edge("i", "a", when=True)
    with pytest.warns(UserWarning, match="i -> a: when=True is now when=False") as caught:
        graph.add_edge("i", "a", when=False)
    assert caught[0].filename == __file__
    assert whens(graph) == {"i -> a": False}


def test_removing_a_node_takes_its_edges_and_loop_options_along():
    graph = Workflow("g").add_producer("p").add_node("a").add_edge("p", "a").add_edge("a", "b")
    graph.set_loop("p", pool="asyncio").remove_node("p")
    assert (list(graph.nodes), list(graph.edges), graph.options) == (["a"], [("a", "b")], {})
    assert "p" not in graph
    assert "a" in graph


# -- decorators ----------------------------------------------------------------


def test_decorators_return_the_plain_function():
    graph = Workflow("g")

    @graph.producer(every=1.0)
    def days():
        return 1

    @graph.node(after=days, kind="non_blocking", takes=2)
    def note(x):
        return -x

    @graph.node
    def free(x):
        return x

    assert (days(), note(1), free(2)) == (1, -1, 2)
    assert graph.nodes["days"].every == 1.0
    assert graph.nodes["note"].takes == 2
    assert list(graph.edges) == [("days", "note")]
    assert list(graph.nodes) == ["days", "note", "free"]


def test_the_edges_of_after_are_replaced_with_the_definition():
    graph = Workflow("g").add_node("a").add_node("b").add_node(check, takes=1)
    graph.node(audit, after=["a", check]).__name__  # noqa: B018
    graph.add_edge("audit", "b")
    assert list(graph.edges) == [("a", "audit"), ("check", "audit"), ("audit", "b")]
    graph.node(audit, after=("b", "check"))
    assert list(graph.edges) == [("check", "audit"), ("audit", "b"), ("b", "audit")]
    graph.node(audit)
    assert list(graph.edges) == [("audit", "b")]


def test_after_may_be_a_class_node_and_a_dropped_edge_is_an_edit():
    scale = Scale()
    graph = Workflow("g").add_node(scale)
    graph.node(check, after=scale)
    assert list(graph.edges) == [("scale", "check")]
    assert not unchanged(graph, lambda: graph.node(check))


def test_a_drawn_edge_stays_as_drawn_when_the_definition_runs_again():
    graph = Workflow("g").add_if("wet?", check)
    graph.node(audit, after="wet?")
    graph.add_edge("wet?", "audit", when=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        graph.node(audit, after="wet?")
    assert whens(graph) == {"wet? -> audit": True}


# -- loops, queues, parts ------------------------------------------------------


def test_loop_options_are_merged_and_the_rest_has_defaults():
    graph = Workflow("g").set_loop("p", pool="asyncio").set_loop("p", max_in_flight=3)
    options = graph.loop_options("p")
    assert (options.pool, options.max_in_flight, options.await_policy) == ("asyncio", 3, "path")
    assert graph.loop_options("other").pool == "thread"


def test_set_loop_has_every_option_in_its_signature():
    named = list(inspect.signature(Workflow.set_loop).parameters)
    assert named == ["self", "name", *(f.name for f in fields(LoopOptions))]
    with pytest.raises(TypeError, match="unexpected keyword argument 'pol'"):
        Workflow("g").set_loop("p", pol="thread")


@pytest.mark.parametrize("option", [f.name for f in fields(LoopOptions)])
def test_set_loop_tells_the_default_of_each_option(option):
    default = getattr(LoopOptions(), option)
    shown = f'"{default}"' if isinstance(default, str) else f"{default or None}"
    shown = f"{default}" if isinstance(default, bool) else shown
    shown = "1" if option == "persistence_interval" else shown
    text = " ".join(inspect.getdoc(Workflow.set_loop).split())
    assert re.search(rf"\*{option}\* {re.escape(shown)}[:;,]", text)


def test_an_option_that_is_not_named_keeps_its_value_and_none_is_a_value():
    graph = Workflow("g").set_loop("p", checkpoint="here.sqlite", resources={"a": 1})
    assert graph.set_loop("p", pool="asyncio").loop_options("p").checkpoint == "here.sqlite"
    graph.set_loop("p", checkpoint=None, resources=None)
    assert graph.loop_options("p") == LoopOptions(pool="asyncio")


@pytest.mark.parametrize("sugar", ["producer", "node"])
def test_a_decorator_has_the_options_of_its_verb_with_their_defaults(sugar):
    options = dict(inspect.signature(getattr(Workflow, sugar)).parameters)
    verb = dict(inspect.signature(getattr(Workflow, f"add_{sugar}")).parameters)
    for name in ("self", "name", "source", "fn", "after"):
        options.pop(name, None)
        verb.pop(name, None)
    assert list(options.values()) == list(verb.values())


def test_a_decorated_function_is_a_node_with_every_option_that_was_given():
    graph = Workflow("g")

    @graph.producer(name="days", every=2, takes=0.5)
    def read():
        return 1

    @graph.node(after=["days"], kind="non_blocking", keep=3, join="each", description="d")
    def audit(day):
        return day

    days, node = graph.nodes["days"], graph.nodes["audit"]
    assert (days.every, days.takes, days.fn) == (2, 0.5, read)
    assert (node.kind, node.keep, node.join, node.description) == ("non_blocking", 3, "each", "d")


def test_a_queue_edge_is_an_asynchronous_boundary():
    graph = Workflow("g").add_producer("p").add_queue("q").add_queue_reader("r", queue="q")
    graph.add_edge("p", "q", "r")
    assert graph.producers == ("p", "r")
    assert [str(e) for e in graph.flow_edges()] == ["p -> q"]
    assert graph.is_queue_edge(graph.edges["q", "r"])


def test_a_reader_that_something_flows_into_is_no_producer():
    graph = Workflow("g").add_producer("p").add_queue_reader("r", queue="q").add_edge("p", "r")
    assert graph.producers == ("p",)


def test_queue_links_are_found_without_a_drawn_edge():
    graph = Workflow("g").add_queue("a", queue="q").add_queue("b", queue="q").add_queue("c")
    graph.add_queue_reader("r", queue="q").add_queue_reader("s", queue="q")
    assert graph.queue_links() == [("a", "r"), ("a", "s"), ("b", "r"), ("b", "s")]


def test_include_prefixes_nodes_edges_and_loops_and_leaves_queues():
    part = Workflow("part").add_producer("p").add_queue("q").add_node(Scale()).add_edge("p", "q")
    part.node(check, after="p").__name__  # noqa: B018
    part.set_loop("p", pool="asyncio")
    graph = Workflow("g").include(part, prefix="x_").include(part, prefix="y_")
    assert list(graph.nodes)[:4] == ["x_p", "x_q", "x_scale", "x_check"]
    assert list(graph.edges)[:2] == [("x_p", "x_q"), ("x_p", "x_check")]
    assert graph.edges["y_p", "y_check"].owner == "y_check"
    assert graph.options == {"x_p": {"pool": "asyncio"}, "y_p": {"pool": "asyncio"}}
    assert graph.nodes["x_q"].queue.name == "q"
    assert graph.nodes["x_scale"].limit is not graph.nodes["y_scale"].limit
    assert unchanged(graph, lambda: graph.include(part, prefix="x_"))


def test_a_graph_may_include_itself():
    graph = Workflow("g").add_node("a").add_edge("a", "b")
    graph.include(graph, prefix="x")
    assert list(graph.nodes) == ["a", "xa"]
    assert list(graph.edges) == [("a", "b"), ("xa", "xb")]


def test_a_workflow_without_local_functions_can_be_pickled():
    graph = Workflow("g").add_producer("p", [1]).add_node(Scale(), limit=Limit(2)).add_if("i")
    graph.add_edge("p", "i").add_edge("i", "scale", when=OTHERWISE)
    try:
        again = pickle.loads(pickle.dumps(graph))
    except pickle.PicklingError:
        pytest.skip("this test module is not importable by name")
    assert again.edges["i", "scale"].when is OTHERWISE
    assert list(again.nodes) == list(graph.nodes)


def test_none_is_no_node_though_it_is_the_function_of_one():
    graph = Workflow("g").add_node("a")
    for ask in (graph.remove_node, graph.set_loop, lambda none: graph.add_edge("a", none)):
        with pytest.raises(GraphError, match="None has no name: give its name"):
            ask(None)
    assert list(graph.nodes) == ["a"]
    assert not graph.edges


@pytest.mark.parametrize(
    ("add", "text"),
    [
        (lambda g: g.include(3), r"include\(\): other=3: give a Graph"),
        (lambda g: g.include(Workflow("b"), prefix=3), r"include\(\): prefix=3: give a text"),
        (lambda g: g.add_edge("a", "b", copy="yes"), r"copy='yes': give True or False"),
        (lambda g: g.add_edge("a", "b", description=3), r"description=3: give a text"),
        (lambda g: g.add_edge("a", "b", condition="x"), r"condition='x': give a function"),
        (lambda g: g.add_producer("p", {1}), r"a set, which has no order: give sorted"),
    ],
)
def test_what_is_no_part_and_no_option_of_an_edge_is_refused(add, text):
    with pytest.raises(GraphError, match=text):
        add(Workflow("g"))
