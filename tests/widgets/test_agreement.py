"""Do all views, the status, the metrics and a snapshot tell the same, at any moment of any run?"""

from __future__ import annotations

import asyncio
import re
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flownb import Graph, Retry
from flownb.engine.simulation.virtual_loop import VirtualLoop
from flownb.notebook.live.rates import three_digits
from flownb.notebook.live.status import state_word
from flownb.widgets import base, dag, logs, monitor, sending, timeline

VERBS = ("pause", "resume", "step", "stop")
SHORT = st.integers(0, 6).map(lambda n: n / 10)
MOMENT = st.tuples(st.integers(3, 25).map(lambda n: n / 10), st.sampled_from([None, *VERBS]))


@st.composite
def runs(draw):
    """Give a graph of one to three loops, of which some fail, retry, wait for room or fall behind.

    Every node takes its time on the event loop, so the whole run is in virtual time.
    """
    graph, loops = Graph("any"), draw(st.integers(1, 3))
    for i in range(loops):
        name, queue = f"p{i}", f"q{i - 1}"
        if i and draw(st.booleans()):
            mode = draw(st.sampled_from(["competing", "broadcast"]))
            room = {"maxlen": draw(st.integers(1, 4))} if draw(st.booleans()) else {}
            graph.add_queue(queue, mode=mode, **room).add_edge(f"a{i - 1}", queue)
            graph.add_queue_reader(name, queue=queue)
        else:
            graph.add_producer(name, range(draw(st.integers(0, 40))), every=draw(SHORT) or None)
        kind = draw(st.sampled_from(["blocking", "non_blocking"]))
        fails, again = draw(st.integers(0, 4)), draw(st.booleans())
        graph.add_node(f"a{i}", _work(draw(SHORT), fails, again=again), kind=kind, **_retry(again))
        graph.add_node(f"b{i}", _work(draw(SHORT), 0, again=False), kind="non_blocking")
        graph.add_edge(name, f"a{i}", f"b{i}")
        graph.set_loop(name, pool="asyncio", max_in_flight=draw(st.integers(1, 3)))
    return graph


def _retry(again):
    retry = Retry(on=ValueError, attempts=2, wait_initial=0.1, wait_jitter=0)
    return {"retry": retry} if again else {}


def _work(seconds, fails, *, again):
    """Give a node that fails at every so many items; at the first attempt only if *again*."""
    tried = set()

    async def work(item):
        await asyncio.sleep(seconds)
        if fails and item % (fails + 1) == fails and item not in tried:
            tried.update([item] * again)
            raise ValueError(item)
        return item

    return work


@given(runs(), st.lists(MOMENT, min_size=1, max_size=8), st.data())
@settings(max_examples=8, deadline=None)
def test_all_that_tells_of_a_run_tells_the_same_at_any_moment(graph, moments, data):
    loop = VirtualLoop()
    with pytest.MonkeyPatch.context() as patch:
        for module in (base, dag, logs, monitor, sending, timeline):
            clock = SimpleNamespace(monotonic=loop.time, thread_time=lambda: 0.0)
            patch.setattr(module, "time", clock)
        loop.run_until_complete(_follow(graph, moments, data))
        loop.run_until_complete(_end())
    loop.close()


async def _end():
    """End what still waits for an answer of the queues."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


async def _follow(graph, moments, data):
    async with graph.start() as orch:
        asked, ticking = [orch.view(), orch.dag(), orch.dashboard()], [orch.view(), orch.view()]
        try:
            for view in ticking:
                view.start()
            for gap, verb in moments:
                node = data.draw(st.sampled_from(sorted(graph.nodes)))
                asked[0]._parts["dag"].select(boxes(asked[0])[node])
                await asyncio.sleep(gap)
                for view in ticking:  # its parts looked one by one, while the run went on
                    assert of_graph(view) == of_dashboard(view)
                told(orch, asked, node)
                if verb is not None:
                    getattr(orch, verb)(data.draw(st.sampled_from([None, *orch.metrics()])))
            await orch.stop(grace=1)
            await asyncio.sleep(0.5)
            told(orch, asked, node)
        finally:
            for view in asked + ticking:
                view.close()


def told(orch, views, node):
    """Compare what is told at one moment: nothing happens until this has ended."""
    monitor.monitor_of(orch)._next = 0.0  # what it has read for others is older
    for view in views:
        view.refresh()
    whole, graph, dashboard = views
    status, metrics, found = orch.status(), orch.metrics(), of_graph(whole)
    assert found == of_graph(graph) == of_dashboard(whole) == of_dashboard(dashboard)
    for name, m in metrics.items():
        s = status[name]
        assert (s.state, s.iterations, s.done, s.failed, s.in_flight, s.rate) == (
            m.state, m.released, m.done, m.failed, m.in_flight, m.rate,
        )  # fmt: skip
        assert found["loops"][name][:2] == [s.state, m.released]
        assert found["loops"][name][3:] == [m.in_flight, m.max_in_flight, m.failed]
    of_nodes(whole, metrics)
    figures = {loop: row for loop, *row in whole.state["dag/detail"]["figures"]}
    for loop, m in metrics.items():
        assert (node in m.nodes) == (loop in figures)
        if node in m.nodes:
            n = m.nodes[node]
            times = [three_digits(x) for x in (n.mean, n.p50, n.p99, n.longest)]
            assert figures[loop] == [n.state, n.calls, n.failed, n.retries, n.timeouts, *times]
    of_snapshot(orch.snapshot(), found, metrics)


def boxes(view):
    return {box["key"]: box["id"] for box in view.scene["dag"]["boxes"]}


def of_graph(view):
    """Read loops, queues and what is wrong from the state of the graph's part."""
    state = {k.removeprefix("dag/"): v for k, v in view.state.items() if k.startswith("dag/")}
    gauges = {name: state.get(f"gauge {i}") for name, i in boxes(view).items()}
    return {
        "loops": {v[0]: v[1:7] for k, v in state.items() if k.startswith("loop ")},
        "queues": {name: gauge[:2] for name, gauge in gauges.items() if gauge is not None},
        "says": [[level, text, loop] for level, text, loop, *_ in state["says"]],
    }


def of_dashboard(view):
    """Read the same from the state of the dashboard's part."""
    scene = view.scene["dashboard"]
    state = {k.removeprefix("dashboard/"): v for k, v in view.state.items()}
    loops, queues = {}, {}
    for row in scene["loops"]:
        of = {k.split(".")[1]: v for k, v in state.items() if k.startswith(f"{row['id']}.")}
        items = of["items"]
        loops[row["name"]] = [of["state"][0], items[0], of["rate"][0], *of["slots"], items[2]]
    for row in scene["queues"]:
        if (now := state.get(f"{row['id']}.now")) is not None:
            queues[row["shown"]] = [now[0], now[2]]
    return {"loops": loops, "queues": queues, "says": state["says"]}


def of_nodes(view, metrics):
    """Compare the boxes with the counters of their node in all its loops."""
    for name, box in boxes(view).items():
        known = [m.nodes[name] for m in metrics.values() if name in m.nodes]
        if known:
            _, calls, failed, _, running, retries, lately = view.state[f"dag/{box}"]
            assert calls == sum(n.calls for n in known)
            assert failed == sum(n.failed for n in known)
            assert retries == sum(n.retries for n in known)
            assert running in {0, sum(n.running for n in known)}  # 0: it waits for room
            assert lately <= failed


def of_snapshot(snapshot, found, metrics):
    """Look for the same figures in what stays."""
    rows = [
        re.findall(r"<td[^>]*>(.*?)</td>", r) for r in re.findall("<tr>.*?</tr>", snapshot.html)
    ]
    for name, m in metrics.items():
        slots = f"{m.in_flight} of {m.max_in_flight}"
        row = [name, state_word(m.state), f"{m.released}", f"{m.failed}", slots]
        assert row in [[*r[:2], r[3], r[4], r[6]] for r in rows if len(r) > 6], (row, rows)
        for n in m.nodes.values():
            assert f"{n.node}: " in snapshot.html
            assert f", {n.calls:,} calls, {n.failed:,} failed" in snapshot.html
    for queue, (depth, pending) in found["queues"].items():
        assert [queue, f"{depth}", f"{pending}"] in [
            [r[0], r[1], r[3]] for r in rows if len(r) == 5
        ]
