"""Is a copy of a graph its definition, whatever runs or ran?"""

from __future__ import annotations

import asyncio
import copy
import pickle
import threading

import cloudpickle
import pytest

from flownb import Graph, Limit, Observer
from flownb.errors import GraphError
from flownb.model.nodes import BlockingNode
from flownb.stores import open_store


def double(state):
    return {"n": state["n"] * 2}


COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda graph: pickle.loads(pickle.dumps(graph)),
    "cloudpickle": lambda graph: by_value(graph),
}


def by_value(made):
    return pickle.loads(cloudpickle.dumps(made))


of_each_kind = pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)


@of_each_kind
def test_a_graph_that_ran_once_gives_one_that_never_ran_and_can(copied):
    graph = Graph("g").add_node("double", double)
    run = graph.run({"n": 2}, store=open_store("memory://"))
    graph.step("double", {"n": 1})
    made = copied(graph)
    assert vars(made).keys() == vars(graph).keys()
    assert (made.last_run, made._last_start, made._stepped, made._once, made._store) == (
        None, None, {}, None, None
    )  # fmt: skip
    assert made.to_dict() == graph.to_dict()
    assert made.run({"n": 3}).state == {"n": 6}
    assert graph.last_run is run


def failing(state):
    raise ValueError("no")


@of_each_kind
def test_a_graph_whose_run_failed_is_copied(copied):
    graph = Graph("g").add_node("double", failing)
    with pytest.raises(ValueError, match="no"):
        graph.run({})
    assert copied(graph).last_run is None


@of_each_kind
def test_a_graph_that_was_started_simulated_and_viewed_is_copied_while_it_runs(copied):
    graph = Graph("g").add_producer("p", every=0.01).add_node("n", str).add_edge("p", "n")
    graph.simulate(until=1)

    async def main():
        async with graph.start() as orch:
            orch.view()
            await orch.wait(iterations=2, timeout=20)
            made = copied(graph)
            assert made._last_start is None
            assert made.simulate(until=1).digest == graph.simulate(until=1).digest

    asyncio.run(main())


@of_each_kind
def test_what_is_done_to_a_copy_is_not_done_to_the_graph(copied):
    graph = Graph("g").add_producer("p", [1]).add_node("n", str).add_edge("p", "n")
    graph.set_loop("p", max_in_flight=3)
    before = graph.to_dict()
    made = copied(graph)
    made.add_node("more").add_edge("n", "more").set_loop("p", max_in_flight=4).use(Observer())
    made.remove_node("n")
    assert graph.to_dict() == before
    assert graph._using == []


@of_each_kind
def test_a_part_that_was_included_is_a_part_of_the_copy(copied):
    part = Graph("part").add_node("a", double).add_node("b", str).add_edge("a", "b")
    graph = Graph("g").include(part)
    made = copied(graph)
    made.remove_node("b")
    made.add_node("b", double).add_node("c", double)
    with pytest.raises(GraphError, match="both have a node 'b'"):
        made.include(part)
    graph.include(part.remove_node("b"))
    assert list(graph.nodes) == ["a"]
    assert list(copied(graph).include(part).nodes) == ["a"]


class Scale(BlockingNode):
    def __init__(self):
        super().__init__()
        self.factors = [2]

    def run(self, data):
        return data.payload * self.factors[0]


def test_a_deep_copy_has_its_own_class_nodes_and_sources_and_the_same_limits():
    gpu, rows = Limit(concurrency=1), [1, 2]
    graph = Graph("g").add_producer("p", rows).add_node("a", Scale()).add_node("b", str, limit=gpu)
    made = copy.deepcopy(graph.add_edge("p", "a", "b"))
    made.nodes["a"].fn.factors[0] = 3
    rows.append(3)
    assert made.simulate().outputs("b", last=9) == ["6"]
    assert graph.simulate().outputs("a", last=9) == [6]
    assert made.nodes["b"].limit is gpu
    assert made.nodes["a"].limit is not graph.nodes["a"].limit


def test_a_deep_copy_shares_what_cannot_be_copied():
    class Watch(Observer):
        def __init__(self):
            self.lock = threading.Lock()

    source, store, watch = (n for n in [1, 2]), open_store("memory://"), Watch()
    graph = Graph("g").add_producer("p", source).add_node("n").add_edge("p", "n").use(watch)
    graph.set_loop("p", checkpoint=store, resources={"lock": threading.Lock})
    made = copy.deepcopy(graph)
    assert made.nodes["p"].fn is source
    assert made._using == [watch]
    store.close()
    source.close()


def ran():
    graph = Graph("g").add_node("a", lambda s: {"a": 1}).add_node("b", failing, on_error="continue")
    return graph.add_edge("a", "b").run({})


def simulated():
    graph = Graph("g").add_producer("p", [1, 2], every=1).add_node("n", failing, takes=0.5)
    return graph.add_edge("p", "n").simulate()


results_of_each_kind = pytest.mark.parametrize("copied", [*list(COPIES.values())[:2], by_value])


@results_of_each_kind
def test_a_run_is_copied_as_the_record_that_it_is(copied):
    run = ran()
    made = copied(run)
    for name in ("status", "state", "nodes", "visited", "behind", "logs", "lines", "metrics"):
        assert getattr(made, name) == getattr(run, name), name
    assert [str(f.error) for f in made.failures] == ["no"]
    assert made.timeline.spans == run.timeline.spans
    assert made.workflow.nodes.keys() == run.workflow.nodes.keys()
    assert (repr(made), made.queues) == (repr(run), None)


@results_of_each_kind
def test_a_simulation_is_copied_as_the_record_that_it_is(copied):
    sim = simulated()
    made = copied(sim)
    for name in ("digest", "metrics", "events", "duration"):
        assert str(getattr(made, name)) == str(getattr(sim, name)), name
    assert made.timeline.spans == sim.timeline.spans
    assert str(made.failures()) == str(sim.failures())
    assert made.explain().text == sim.explain().text


def test_what_cannot_be_copied_is_shared_by_the_copy_of_a_result():
    lock = threading.Lock()
    run = Graph("g").add_node("a", lambda _: {"lock": lock}).run({})
    made = copy.deepcopy(run)
    assert made.state["lock"] is lock
    assert made.visited == ["a"]
