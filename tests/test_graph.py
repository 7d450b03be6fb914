"""Does the facade do what its words say, and leave everything else alone?"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import flownb
from flownb import Graph, GraphError, Observer, Retry, ToolRegistry
from tests.support.machine import run_python


def weather() -> Graph:
    return (
        Graph("weather")
        .add_producer("days", [1, 2, 3], every=0.1)
        .add_node("check", float, retry=Retry(on=ValueError), takes=0.05)
        .add_node("audit", kind="non_blocking", takes=0.2)
        .add_edge("days", "check")
        .add_edge("days", "audit")
    )


def test_every_public_name_can_be_imported_and_is_listed() -> None:
    for name in flownb.__all__:
        assert getattr(flownb, name) is not None
        assert name in dir(flownb)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = flownb.nothing  # type: ignore[attr-defined]


def test_a_graph_is_one_line_of_text_and_a_picture() -> None:
    graph = weather()
    bundle = graph._repr_mimebundle_()
    assert repr(graph) == "Graph('weather': 3 nodes, 2 edges, 1 loop)" == bundle["text/plain"]
    assert "<svg" in bundle["text/html"]
    assert graph.draw() == graph.svg()
    assert graph.draw().startswith("<svg")


def test_a_graph_with_mistakes_neither_runs_nor_starts_nor_plans() -> None:
    graph = weather().add_edge("check", "adit")
    for verb in (graph.simulate, graph.start, lambda: graph.plan("days")):
        with pytest.raises(GraphError, match=r'did you mean "audit"'):
            verb()


def test_a_graph_without_a_producer_says_what_is_missing() -> None:
    with pytest.raises(GraphError, match="add_producer"):
        Graph("empty").simulate()


def test_what_is_no_store_is_refused_by_name() -> None:
    graph = weather()
    with pytest.raises(
        GraphError, match=r"set_loop\('days'\): checkpoint=.*: give the store: a path"
    ):
        graph.set_loop("days", checkpoint=object())
    graph.set_loop("days", checkpoint=None, pool="dask").simulate(iterations=1)  # as any pool


def test_a_graph_survives_the_way_to_json_and_back() -> None:
    tools = ToolRegistry()
    tools.register("float", float)
    graph = weather()
    document = json.loads(json.dumps(graph.to_dict(tools=tools)))
    again = Graph.from_dict(document, tools=tools)
    assert isinstance(again, Graph)
    assert again.to_dict(tools=tools) == document
    assert again.simulate().digest == graph.simulate().digest


def test_a_graph_goes_to_networkx_and_back() -> None:
    graph = weather()
    g = graph.to_networkx()
    assert g.nodes["days"] == {"kind": "producer"}
    again = Graph.from_networkx(g, {"days": [1, 2, 3], "check": float})
    assert again.to_networkx().edges == g.edges
    assert again.simulate().outputs("check") == [3.0]


def test_the_plan_of_a_loop_says_what_is_detached() -> None:
    plan = weather().plan("days")
    assert repr(plan) == "LoopPlan('days': 3 nodes, 1 detached, awaits 'path')"
    assert [n.name for n in plan.nodes if n.detached] == ["audit"]
    assert repr(weather().plan("days", policy="all")).endswith("0 detached, awaits 'all')")


def test_an_observer_given_twice_listens_once() -> None:
    class Counts(Observer):
        spans = 0

        def on_span(self, span: object, output: object) -> None:
            del span, output
            self.spans += 1

    counts = Counts()
    weather().use(counts).use(counts).simulate(iterations=1)
    assert counts.spans == 4  # days, its wait, check, audit


def test_the_whole_manual_page_of_the_design_runs() -> None:
    graph = Graph("orders")

    @graph.producer(every=1.0)
    def ticks() -> int:
        return 1

    @graph.node(after="ticks")
    def parse(order: int) -> int:
        return order + 1

    @graph.node(after=parse, kind="non_blocking")
    def save(order: int) -> int:
        return order * 2

    assert parse(1) == 2  # the decorators return the plain function
    sim = graph.simulate(until=3)
    assert sim.outputs("save") == [4]
    assert sim.metrics["ticks"].released == 3


def test_a_script_can_start_wait_and_stop_without_an_event_loop() -> None:
    out = run_python(
        """
        from flownb import Graph
        graph = Graph("script").add_producer("n", every=0.01).add_node("double", lambda x: 2 * x)
        orch = graph.add_edge("n", "double").start()
        orch.pause().wait(5)
        orch.resume().wait(5)
        print(orch.stop().wait(5).loops[0].state)
        """
    )
    assert out == "stopped\n"


def test_enabling_nesting_is_a_call_and_never_happens_on_import() -> None:
    out = run_python(
        """
        import sys, asyncio, flownb
        from flownb import Graph
        Graph("g").add_producer("p", [1]).add_node("n").add_edge("p", "n").simulate()
        print("nest_asyncio" in sys.modules, "nest_asyncio2" in sys.modules)
        print(flownb.enable_nesting() in sys.modules)
        """
    )
    assert out == "False False\nTrue\n"


def test_with_nesting_a_request_waits_inside_the_event_loop_that_does_it() -> None:
    out = run_python(
        """
        import asyncio, flownb
        from flownb import Graph

        async def cell():
            graph = Graph("g").add_producer("p", every=0.01).set_loop("p", pool="asyncio")
            orch = graph.start()
            try:
                orch.pause().wait(10)
            except flownb.RunError as error:
                print("use `await`" in str(error))
            flownb.enable_nesting()
            orch.pause().wait(10)
            print(orch.status()["p"].state)
            orch.stop().wait(10)

        asyncio.run(cell())
        """
    )
    assert out == "True\npaused\n"


def test_the_picture_in_the_readme_is_the_quickstart_graph_as_it_is_drawn_today() -> None:
    root = Path(__file__).parent.parent
    notebook = json.loads((root / "notebooks" / "01_quickstart.ipynb").read_text())
    built = "".join(
        "".join(cell["source"]) + "\n"
        for cell in notebook["cells"]
        if cell["cell_type"] == "code"
        and "vega_datasets" not in "".join(cell["source"])
        and ("def check" in "".join(cell["source"]) or "Graph(" in "".join(cell["source"]))
        and "oops" not in "".join(cell["source"])
    )
    space: dict[str, object] = {"days": [{"date": "2012-01-01", "precipitation": 0.0}]}
    exec(built, space)
    graph = space["graph"]
    assert isinstance(graph, Graph)
    assert (root / ".github" / "quickstart.svg").read_text() == graph.svg() + "\n"
