"""Does what one tries on a graph answer at once, and stay a trial until it is applied?"""

from __future__ import annotations

import json
import math
import time

import pytest

from flownb import Graph, GraphError
from flownb.widgets.explore import Explore
from flownb.widgets.what_if import WhatIf
from tests.support.live import live, one, until
from tests.support.samples import nasty, worked


def shop():
    return (
        Graph("shop")
        .add_producer("days", takes=0.5)
        .add_node("check", kind="non_blocking", takes=1)
        .add_node("charge", takes=2)
        .add_edge("days", "check", "charge")
    )


def test_flipping_a_node_changes_await_set_sentence_release_ceiling_and_gantt():
    sketch = WhatIf(shop())
    [before], gantt = sketch.answers(), sketch.timeline()
    assert (before.release, before.awaited) == (3.5, ("check", "charge"))
    assert before.arms[0][0] == "waits"
    sketch.flip("charge")
    [after] = sketch.answers()
    assert (after.release, after.awaited, after.detached) == (0.5, (), ("check", "charge"))
    assert after.arms[0][0] == "goes on"
    assert after.ceiling == pytest.approx(2)
    assert sketch.timeline().end < gantt.end
    assert sketch.edits == ["charge is non-blocking"]


def test_dragging_a_duration_and_switching_a_policy_change_the_answer():
    sketch = WhatIf(shop())
    sketch.take("charge", 4)
    assert sketch.answers()[0].release == 5.5
    sketch.await_policy("node")
    assert sketch.answers()[0].release == 1.5
    sketch.await_policy("none", "days")
    assert sketch.answers()[0].release == 0.5
    assert sketch.edits == ["days: await policy none", "charge takes 4 s"]
    sketch.reset()
    assert sketch.edits == []
    assert sketch.answers()[0].release == 3.5


@pytest.mark.parametrize("policy", ["none", "node", "blocking", "path_live", "path", "all"])
def test_every_policy_gives_what_explain_gives(policy):
    sketch = WhatIf(worked())
    sketch.await_policy(policy)
    expected = {"none": 0, "node": 5, "blocking": 6, "path_live": 10, "path": 10, "all": 12}
    assert sketch.answers()[0].release == expected[policy]


def test_nothing_reaches_the_graph_before_apply_and_all_of_it_then():
    graph = shop()
    sketch, version = WhatIf(graph), graph.version
    sketch.flip("check")
    sketch.take("charge", 0.25)
    sketch.await_policy("node")
    assert graph.version == version
    assert sketch.apply() == "3 edits handed to the graph; nothing of it runs"
    assert graph.version > version
    assert graph.nodes["check"].kind == "blocking"
    assert graph.nodes["charge"].takes == 0.25
    assert graph.loop_options("days").await_policy == "node"
    assert sketch.edits == []


@pytest.mark.wallclock
@live
async def test_apply_reaches_what_runs():
    graph = one(every=0.01)
    async with graph.start() as orch:
        sketch = WhatIf(graph)
        sketch.flip("check")
        assert sketch.apply() == "1 edit handed to the graph and to its run"
        await until(lambda: orch._live.loop_runs["days"].manager.plan.nodes[1].detached)


@pytest.mark.wallclock
@live
async def test_what_was_measured_stands_in_for_durations_that_nobody_declared():
    graph = one(range(3), lambda day: sum(range(200_000)))
    async with graph.start() as orch:
        await until(lambda: orch.metrics()["days"].nodes["check"].calls)
        assert WhatIf(graph).answers()[0].release > 0


@pytest.mark.parametrize("seconds", [-1, 3601, math.nan, math.inf])
def test_a_duration_that_makes_no_sense_is_refused(seconds):
    with pytest.raises(GraphError, match="choose 0 to 3600"):
        WhatIf(shop()).take("charge", seconds)


def test_what_cannot_be_flipped_or_is_not_there_is_refused_by_name():
    sketch = WhatIf(shop())
    with pytest.raises(GraphError, match="'days' is a producer"):
        sketch.flip("days")
    with pytest.raises(GraphError, match="no node 'chrage'"):
        sketch.take("chrage", 1)
    with pytest.raises(GraphError, match="no await policy 'always'"):
        sketch.await_policy("always")


def test_the_widget_takes_commands_by_box_and_sends_a_new_scene():
    graph = shop()
    view = graph.explore()
    box = next(b["id"] for b in view.scene["explore"]["boxes"] if b["name"] == "charge")
    view._on_command(view, {"do": "flip", "box": box}, [])
    assert view.scene["explore"]["edits"] == ["charge is non-blocking"]
    assert view.scene["explore"]["loops"][0]["release"] == [3.5, 0.5]
    view._on_command(view, {"do": "take", "box": box, "seconds": "x"}, [])
    assert "choose 0 to 3600" in view.state["error"]
    view._on_command(view, {"do": "apply"}, [])
    assert graph.nodes["charge"].kind == "non_blocking"
    assert view.scene["explore"]["told"].startswith("1 edit handed")
    view.close()


def test_a_sketch_is_copied_as_python_without_a_duration_that_nobody_declared():
    graph = shop().add_node("late").add_edge("charge", "late")
    sketch = WhatIf(graph)
    sketch.flip("check")
    sketch.take("charge", 0.25)
    sketch.take("late", 130)
    sketch.await_policy("node")
    made: dict = {}
    exec(sketch.python(), made)
    made = made["graph"]
    assert made.nodes["check"].kind == "blocking"
    assert (made.nodes["charge"].takes, made.nodes["late"].takes) == (0.25, None)
    assert made.loop_options("days").await_policy == "node"
    assert (graph.nodes["check"].kind, graph.nodes["charge"].takes) == ("non_blocking", 2)
    view = graph.explore()
    sent = []
    view.send = sent.append
    view._on_command(view, {"do": "share", "how": "py"}, [])
    assert sent[-1]["file"][1].startswith("from flownb import Graph")
    view.close()


def test_a_sketch_writes_durations_with_units_that_can_be_read():
    graph = Graph("shop").add_producer("days", every=0.2)
    graph.add_node("check", takes=0.0010123).add_node("charge", takes=0.1702).add_edge(
        "days", "check", "charge"
    )
    part = Explore(graph)
    drawn = json.dumps(part.scene()["picture"], ensure_ascii=False)
    assert "1 ms" in drawn
    assert "0.17 s" in drawn
    assert "0.0010" not in drawn
    part.sketch.take("charge", 130.0)
    assert part.scene()["edits"] == ["charge takes 2.2 min"]


@pytest.mark.wallclock
@live
async def test_a_duration_that_was_tried_never_reaches_what_runs_also_where_one_is_declared():
    graph = Graph("runs").add_producer("days", every=0.01).add_node("check", takes=0.001)
    async with graph.add_edge("days", "check").start():
        sketch = WhatIf(graph)
        sketch.take("check", 130.0)
        assert sketch.apply().startswith("0 edits handed")
        assert graph.nodes["check"].takes == 0.001


def test_a_graph_without_loops_and_one_that_cannot_be_rehearsed_say_so():
    assert "no loop" in WhatIf(Graph("empty")).timeline()
    part = Explore(Graph("empty"))
    assert part.scene()["loops"] == []


def test_whatever_nodes_are_called_the_scene_is_json():
    graph = nasty()
    for name in [n for n, node in graph.nodes.items() if node.kind == "queue_reader"]:
        graph.remove_node(name)
    part = Explore(graph)
    json.dumps(part.scene(), allow_nan=False, ensure_ascii=False).encode()
    assert "<script" not in part.still()


@pytest.mark.wallclock
@live
async def test_a_sketch_of_what_runs_counts_with_what_its_ifs_let_through():
    graph = (
        Graph("shares")
        .add_producer("days", every=0.01)
        .add_if("wet?", lambda day: day % 4 == 0)
        .add_node("slow", lambda day: time.sleep(0.02) or day)
        .add_queue("late")
        .add_edge("days", "wet?", "slow", "late")
        .add_queue_reader("rank", queue="late")
    )
    async with graph.start() as orch:
        await orch.wait(iterations=40, timeout=30)
        await orch.pause()
        sketch = WhatIf(graph)
        reckoned = graph.explain(measured=orch.metrics()).capacity()
        (days, _) = sketch.answers()
        assert days.ceiling == pytest.approx(reckoned.loops["days"].rate, rel=0.02)
        assert sketch.nodes["slow"].takes >= 0.02
        assert sketch.nodes["late"].takes is None  # a cold first push is no length
        sketch.take("slow", 130.0)
        assert "tried durations are dropped" in sketch.apply()
        assert graph.nodes["slow"].takes is None
