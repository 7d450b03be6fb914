"""Who observes what happens: observers, captured prints, logs, metrics?"""

from __future__ import annotations

import asyncio
import logging
import sys

import pytest

from flownb import Graph
from flownb.engine.observe.stream import Observer
from tests.support.lab import Bench, boom, chain, fan


class Watch(Observer):
    def __init__(self, fail_at=None):
        self.spans, self.events, self.fail_at = [], [], fail_at

    def on_span(self, span, output):
        self.spans.append((span, output))
        if len(self.spans) == self.fail_at:
            raise RuntimeError("the observer is broken")

    def on_event(self, event):
        self.events.append(event)


def graph_with_all():
    graph = fan(("a", None, {"takes": 1}), ("bad", boom, {}), source=range(5), every=2)
    return graph.add_queue("q").add_edge("a", "q").add_queue_reader("r", queue="q")


def test_an_observer_sees_every_span_and_event_and_changes_nothing():
    plain = graph_with_all().simulate(until=20)
    watch = Watch()
    watched = graph_with_all().use(watch).simulate(until=20)
    assert watched.digest == plain.digest
    assert sorted(s for s, _ in watch.spans) == sorted(watched.timeline)
    kept = [e for e in watch.events if e.kind not in {"log", "started", "bypassed"}]
    assert kept[: len(watched.events)] == watched.events


def test_an_observer_that_raises_is_logged_once_and_switched_off_and_the_run_is_unharmed(caplog):
    watch = Watch(fail_at=3)
    plain = graph_with_all().simulate(until=20)
    with caplog.at_level(logging.ERROR, logger="flownb"):
        sim = graph_with_all().use(watch).simulate(until=20)
    assert len(watch.spans) == 3
    assert sim.digest == plain.digest
    messages = [r.getMessage() for r in caplog.records if r.name.startswith("flownb")]
    assert len(messages) == 1
    assert "switched off" in messages[0]


def test_a_switched_off_observer_is_off_in_all_loops():
    watch = Watch(fail_at=3)
    graph = graph_with_all().add_producer("other", every=0.1).add_node("n").add_edge("other", "n")
    graph.use(watch).simulate(until=20)
    assert len(watch.spans) == 3


def test_an_observer_may_have_just_one_of_the_hooks():
    class Events(Observer):
        kinds = ()

        def on_event(self, event):
            self.kinds = (*self.kinds, event.kind)

    watch = Events()
    chain("a", source=[1]).use(watch).simulate(until=2)
    kept = tuple(kind for kind in watch.kinds if kind != "started")
    assert kept == ("state", "state", "produced", "released", "settled", "state")
    assert watch.kinds.count("started") == 3  # two calls of the producer, one of the node


def test_the_output_of_a_call_reaches_observers_with_its_span():
    watch = Watch()
    chain(("a", str.upper, {}), source=["x"]).use(watch).simulate(until=2)
    assert [(s.node, output) for s, output in watch.spans] == [("p", "x"), ("a", "X")]


# -- prints --------------------------------------------------------------------


def noisy_sync(item):
    print("sync", item)
    print("to stderr", file=sys.stderr)
    print("no end", end="")


async def noisy_async(item):
    print("before")
    await asyncio.sleep(1)
    print("after", item)


@pytest.mark.parametrize("options", [{}, {"takes": 1}, {"timeout": 5}])
def test_what_a_sync_node_prints_goes_to_its_log_and_to_no_cell(options, capsys):
    sim = chain("first", ("a", noisy_sync, options), source=["x"]).simulate(until=9)
    assert [(x.node, x.iteration, x.level, x.text) for x in sim.logs()] == [
        ("a", 0, "print", "sync x"),
        ("a", 0, "stderr", "to stderr"),
        ("a", 0, "print", "no end"),
    ]
    assert capsys.readouterr() == ("", "")


def test_what_async_nodes_print_at_the_same_time_is_told_apart(capsys):
    sim = fan(("a", noisy_async, {}), ("b", noisy_async, {}), source=["x"]).simulate(until=9)
    assert [(x.time, x.node, x.text) for x in sim.logs()] == [
        (0, "a", "before"), (0, "b", "before"), (1, "a", "after x"), (1, "b", "after x"),
    ]  # fmt: skip
    assert capsys.readouterr() == ("", "")


def test_producers_ifs_and_conditions_print_to_their_log_too(capsys):
    def source():
        print("making")
        return 1

    def says(item):
        print("deciding")
        return True

    graph = Graph("g").add_producer("p", source).add_if("i", says).add_node("a")
    graph.add_edge("p", "i").add_edge("i", "a", when=True)
    sim = graph.simulate(iterations=1)
    assert [(x.node, x.text) for x in sim.logs()] == [("p", "making"), ("i", "deciding")]
    assert capsys.readouterr().out == ""


def test_a_print_beside_the_simulation_is_not_captured(capsys):
    class Loud(Observer):
        def on_event(self, event):
            if event.kind == "settled":
                print("observer")

    chain("a", source=[1]).use(Loud()).simulate(until=2)
    print("cell")
    assert capsys.readouterr().out.splitlines()[-1] == "cell"
    assert sys.stdout is not None


def test_logs_can_be_asked_by_loop_and_node():
    graph = fan(("a", print, {}), ("b", print, {}), source=["x"])
    sim = graph.add_producer("q", ["y"]).add_node("c", print).add_edge("q", "c").simulate(until=9)
    assert [x.text for x in sim.logs(loop="q")] == ["y"]
    assert [x.node for x in sim.logs(node="b")] == ["b"]


# -- metrics and outputs -------------------------------------------------------


def test_metrics_count_what_the_timeline_shows():
    graph = fan(("a", None, {"takes": 0.5}), ("bad", boom, {}), source=range(5), every=1)
    m = graph.simulate(until=20).metrics["p"]
    assert (m.produced, m.released, m.done, m.failed, m.open) == (5, 5, 0, 5, 0)
    assert (m.nodes["a"].calls, m.nodes["a"].total, m.nodes["a"].longest) == (5, 2.5, 0.5)
    assert m.nodes["bad"].state == "failing"
    assert m.nodes["a"].state == "healthy"
    assert m.waiting == 2.5


def test_what_is_open_at_the_end_is_counted_as_open():
    graph = fan(("n", None, {"kind": "non_blocking", "takes": 100}), every=1)
    m = graph.simulate(until=5).metrics["p"]
    assert (m.produced, m.done, m.open, m.in_flight) == (5, 0, 5, 5)


def test_the_rate_of_a_steady_loop_is_its_rate():
    m = chain("a", every=0.5).simulate(until=10).metrics["p"]
    assert (m.released, m.elapsed, m.rate) == (20, 10, 2)


def test_keep_says_how_many_outputs_are_kept_and_the_last_are():
    graph = chain(("a", None, {"keep": 3}), "b", source=range(9))
    sim = graph.simulate(until=9)
    assert (sim.outputs("a"), sim.outputs("b")) == ([6, 7, 8], [8])
    assert sim.outputs("a", last=2) == [7, 8]


def test_a_failing_call_has_no_output():
    assert chain(("a", boom, {}), source=[1]).simulate(until=9).outputs("a") == []


def test_history_bounds_what_is_kept_but_not_the_digest():
    graph = chain("a", "b", every=0.1)
    small, large = graph.simulate(until=9, history=10), graph.simulate(until=9)
    assert (len(small.timeline), len(small.events)) == (10, 10)
    assert small.digest == large.digest
    assert small.metrics == large.metrics
    assert list(small.timeline) == list(large.timeline)[-10:]


def test_p50_and_p99_of_a_loop_are_from_the_making_of_an_item_to_the_end_of_all_its_work():
    graph = fan(
        ("a", None, {"takes": 1}), ("n", None, {"kind": "non_blocking", "takes": 8}),
        source=range(5), takes=100,
    )  # fmt: skip
    found = graph.simulate(until=1000).metrics["p"]
    assert (found.p50, found.p99) == (8, 8)


def test_a_cancelled_item_has_no_duration():
    bench = Bench(fan(("n", None, {"kind": "non_blocking", "takes": 50}), source=[1]))
    bench.at(3, bench.manager.control.stop, 0).run()
    assert (bench.metrics.cancelled, bench.metrics.p50) == (1, 0)
    assert bench.meter.began == {}


class Watcher(Observer):
    """An observer that sees nothing."""


@pytest.mark.parametrize("extension", [3, None, Watcher, "mw"])
def test_what_is_neither_observer_nor_middleware_is_refused_where_it_is_given(extension):
    graph = chain("a")
    with pytest.raises(TypeError, match="give an observer"):
        graph.use(Watcher(), extension)
    assert graph._using == []


def test_middleware_that_is_not_async_is_named():
    def halve(call_next, node, data):
        return 2

    (failure, *_) = chain("a", source=[4]).use(halve).simulate(until=1).failures()
    assert str(failure.error).startswith("middleware 'halve' is not async: write async def halve(")


def test_a_node_in_two_loops_shows_the_outputs_of_both():
    graph = Graph("g").add_producer("p", [1, 2]).add_producer("q", [3]).add_node("n", keep=9)
    graph.add_edge("p", "n").add_edge("q", "n")
    assert graph.simulate().outputs("n") == [1, 2, 3]
