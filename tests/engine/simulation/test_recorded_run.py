"""Is a live run done again as it was, call by call?"""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest

from flownb import Graph, GraphError, Retry, RunError, SimulationError, StoreError
from flownb.engine.simulation.recorded_run import CallRecorder, RecordedRun
from flownb.errors import ArgumentError
from tests.support.cases import graph_of, random_case


def recorded(graph: Graph, **options) -> tuple[RecordedRun, object]:
    """Record a run of which the times are known: a simulation."""
    recorder = CallRecorder()
    graph.use(recorder)
    sim = graph.simulate(**options)
    graph._using.remove(recorder)
    return recorder.run(graph, sim.duration), sim


def told(sim) -> list:
    return sorted(sim.timeline.spans)


def days() -> Graph:
    def fetch(day, ctx):
        if day == 2 and ctx.meta["attempt"] == 1:
            raise OSError("away")
        if day == 3:
            raise ValueError("broken")
        return {"day": day, "rain": [0.1, day]}

    def tell(found, ctx):
        ctx.sleep(1)
        ctx.push("told", found["day"])

    return (
        Graph("days")
        .add_producer("days", [1, None, 2, 3, 4], every=0.25, takes=0.01)
        .add_node("fetch", fetch, retry=Retry(on=OSError, wait_initial=0.1), takes=0.5)
        .add_if("odd?", lambda found: found["day"] % 2 == 1, takes=0.1)
        .add_queue("wet")
        .add_node("tell", tell)
        .add_edge("days", "fetch", "odd?")
        .add_edge("odd?", "wet", when=True)
        .add_edge("odd?", "tell", when=False)
        .add_queue_reader("storms", queue="wet")
        .add_node("rank", lambda found: found["day"], takes=2, keep=5)
        .add_edge("storms", "rank")
        .add_queue("told")
        .add_queue_reader("news", queue="told")
        .add_node("print", lambda day: -day, keep=5)
        .add_edge("news", "print")
    )


def unplugged(graph: Graph) -> Graph:
    """Have its functions fail when they are called, and last for ever."""

    def refuse(_):
        raise AssertionError("it was called")

    for name, kind in [(n.name, n.kind) for n in graph.nodes.values()]:
        node = graph.nodes[name]
        if kind == "producer":
            graph.add_producer(name, iter([]), every=node.every)
        elif kind == "if":
            graph.add_if(name, refuse)
        elif kind in {"blocking", "non_blocking"}:
            graph.add_node(name, refuse, kind=kind, keep=5, retry=node.retry, takes=9)
    return graph


def test_a_run_is_done_again_without_calling_anything():
    run, sim = recorded(days())
    again = unplugged(days()).simulate(recorded=run)
    assert told(again) == told(sim)
    assert again.outputs("rank") == [1]
    assert again.outputs("print") == [-2, -4]
    assert again.releases("days") == sim.releases("days")


def test_it_is_done_again_from_a_file_in_which_each_call_is_a_line(tmp_path):
    run, _ = recorded(days())
    run.save(tmp_path / "run.jsonl")
    lines = (tmp_path / "run.jsonl").read_text().splitlines()
    assert json.loads(lines[1])[:4] == ["days", "days", 0, 0]
    assert len(lines) == 1 + len(run.calls)
    again = RecordedRun.load(tmp_path / "run.jsonl")
    assert again == run
    assert days().simulate(recorded=again).digest == days().simulate(recorded=run).digest


@pytest.mark.parametrize("seed", range(3))
def test_a_random_run_is_done_again_with_the_same_times(seed):
    run, sim = recorded(graph_of(random_case(seed)), iterations=3)
    again = graph_of(random_case(seed)).simulate(recorded=run, iterations=3)
    assert told(again) == told(sim)


def test_a_message_to_all_readers_is_pushed_once():
    graph = (
        Graph("g")
        .add_producer("p", [1, 2])
        .add_node("n", lambda n, ctx: ctx.push("news", n))
        .add_queue("news", mode="broadcast")
        .add_edge("p", "n")
    )
    for name in ("a", "b"):
        graph.add_queue_reader(name, queue="news").add_node(f"{name} reads", abs, keep=9)
        graph.add_edge(name, f"{name} reads")
    run, _ = recorded(graph)
    again = graph.simulate(recorded=run)
    assert again.outputs("a reads") == again.outputs("b reads") == [1, 2]


def test_what_is_read_in_the_middle_of_a_loop_is_read_again(tmp_path):
    graph = (
        Graph("g")
        .add_producer("p", [1, 2])
        .add_queue("q")
        .add_edge("p", "q")
        .add_producer("ticks", range(2), every=1)
        .add_queue_reader("read", queue="q")
        .add_node("use", lambda n: n * 10, keep=9)
        .add_edge("ticks", "read", "use")
    )
    run, sim = recorded(graph)
    run.save(tmp_path / "run.jsonl")
    again = graph.simulate(recorded=RecordedRun.load(tmp_path / "run.jsonl"))
    assert told(again) == told(sim)
    assert again.outputs("use") == [10, 20]


def test_what_would_have_been_under_another_policy_is_simulated_with_the_recorded_lengths():
    def audited():
        graph = Graph("g").add_producer("p", [1, 2]).add_node("save", takes=1)
        graph.add_node("audit", kind="non_blocking", takes=2)
        return graph.add_edge("p", "save").add_edge("p", "audit")

    run, _ = recorded(audited())
    graph = audited().add_node("audit", kind="non_blocking").add_node("save")
    assert graph.simulate(recorded=run).releases("p") == [1, 2]
    assert graph.simulate(recorded=run, policy="all").releases("p") == [2, 4]


def test_a_call_that_was_open_when_the_recording_was_taken_is_open_at_the_end():
    graph = Graph("g").add_producer("p", [1, 2]).add_node("n", takes=2, fn=abs).add_edge("p", "n")
    run, _ = recorded(graph)
    run = replace(run, calls=run.calls[:-1], unsettled={"p": (1,)}, duration=3)
    assert not run.is_whole
    again = graph.simulate(recorded=run)
    assert again.releases("p") == [2]
    assert again.duration == 3


def test_a_node_that_was_not_called_then_is_named():
    graph = Graph("g").add_producer("p", [1]).add_node("n", abs).add_edge("p", "n")
    run, _ = recorded(graph)
    graph.add_node("mail", abs).add_edge("n", "mail")
    with pytest.raises(SimulationError, match=r"node 'mail' \(loop 'p', iteration 0\) was not"):
        graph.simulate(recorded=run)
    graph.add_node("mail", abs, fake=lambda n: -n)
    assert graph.simulate(recorded=run).outputs("mail") == [-1]


def test_a_recording_of_another_graph_is_refused():
    run, _ = recorded(days())
    other = Graph("other").add_producer("p", [1])
    with pytest.raises(GraphError, match="has no loop 'days': this was recorded of graph 'days'"):
        other.simulate(recorded=run)
    with pytest.raises(ArgumentError, match=r"give what orch.record\(\) gave"):
        other.simulate(recorded="run.jsonl")


def test_an_output_that_is_not_json_is_named_and_may_be_left_out(tmp_path):
    graph = Graph("g").add_producer("p", [1]).add_node("n", lambda n: {n}).add_edge("p", "n")
    run, _ = recorded(graph)
    with pytest.raises(StoreError, match=r"output of node 'n' .*set is not JSON"):
        run.save(tmp_path / "run.jsonl")
    run.save(tmp_path / "run.jsonl", without=["n"])
    assert graph.simulate(recorded=RecordedRun.load(tmp_path / "run.jsonl")).outputs("n") == [None]
    run.save(tmp_path / "run.jsonl", without=["n", "p"])
    assert graph.simulate(recorded=RecordedRun.load(tmp_path / "run.jsonl")).releases("p") == [0]
    with pytest.raises(GraphError, match="there is no node 'm'"):
        run.save(tmp_path / "run.jsonl", without=["m"])


@pytest.mark.parametrize("text", ["", "[]", "{}", "no", '{"recorded": 1}\n[1]', '{"recorded": 2}'])
def test_a_file_that_holds_no_recording_is_refused(tmp_path, text):
    (tmp_path / "run.jsonl").write_text(text)
    with pytest.raises(StoreError, match=r"is no recording|was recorded by a newer flownb"):
        RecordedRun.load(tmp_path / "run.jsonl")


def test_what_is_not_recorded_is_told():
    orch = Graph("g").add_producer("p", [1]).start()
    with pytest.raises(RunError, match=r"begin with graph.start\(record=True\)"):
        orch.record()
    orch.stop().wait(10)


@pytest.mark.wallclock
@pytest.mark.parametrize("pool", ["thread", pytest.param("process", marks=pytest.mark.nightly)])
def test_a_live_run_is_recorded_in_its_pool(pool):
    graph = Graph("g").add_producer("p", [3, 4]).add_node("n", _slow, keep=2).add_edge("p", "n")
    orch = graph.set_loop("p", pool=pool).start(record=True)
    orch.wait(timeout=30).wait()
    run = orch.record()
    orch.stop().wait(10)
    calls = [call for call in run.calls if call.node == "n"]
    assert [call.output for call in calls] == [-3, -4]
    assert all(call.seconds >= 0.01 for call in calls)
    again = graph.simulate(recorded=run)
    assert again.duration == pytest.approx(sum(c.seconds for c in run.calls), abs=1e-5)


def _slow(number):
    time.sleep(0.01)
    return -number
