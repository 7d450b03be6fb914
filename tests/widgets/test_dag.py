"""Does the live graph say how everything stands, and only that?"""

from __future__ import annotations

import asyncio
import json
import re
from itertools import pairwise

import pytest

from flownb import Graph
from flownb.widgets import dag
from flownb.widgets.dag import Dag
from tests.support.live import live, one, until
from tests.support.samples import NASTY, nasty


async def slow(day):
    await asyncio.sleep(0.05)
    return day


def named(part, state):
    """Give the state of each node by name."""
    return {box.name: state.get(box.id) for box in part._scene.boxes}


@pytest.mark.wallclock
@live
async def test_nodes_count_and_the_loop_tells_its_rate():
    async with one(every=0.01, node={"kind": "non_blocking"}).start() as orch:
        part = Dag(orch)
        await until(lambda: named(part, part.state())["check"][1] > 20)
        await until(lambda: named(part, part.state())["check"][3] > 10, "calls a second")
        state = part.state()
    node, loop = named(part, state)["check"], state["loop 0"]
    assert node[0] == "healthy"
    assert node[2] == 0
    assert loop[:2] == ["days", "running"]
    assert loop[2] >= node[1] - 1
    json.dumps(state, allow_nan=False)


@pytest.mark.wallclock
@live
async def test_the_wait_of_a_producer_names_who_holds_it():
    said = []
    async with one(None, slow).start() as orch:
        part = Dag(orch)
        check = [box.id for box in part._scene.boxes if box.name == "check"]

        def short():
            said.extend(part.state()["waits"])
            return any(re.match(r"days waits for check, \d+ ms$", words) for *_, words in said)

        await until(short)
    assert all((loop, boxes) == ("days", check) for loop, boxes, _ in said)


@pytest.mark.wallclock
@live
async def test_a_detached_node_holds_nobody_and_is_seen_running():
    async def long(_):
        await asyncio.sleep(30)

    async with one(every=0.02, fn=long, node={"kind": "non_blocking"}).start() as orch:
        part = Dag(orch)
        await until(lambda: named(part, part.state())["check"][4] >= 3)
        state = part.state()
        orch.cancel()
    assert state["waits"] == []
    assert state["loop 0"][4] >= 3  # in flight


@pytest.mark.wallclock
@live
async def test_a_throttled_producer_says_so():
    async def long(_):
        await asyncio.sleep(30)

    graph = one(fn=long, node={"kind": "non_blocking"}, max_in_flight=2)
    async with graph.start() as orch:
        part = Dag(orch)
        await until(lambda: part.state()["waits"])
        words = part.state()["waits"][0][2]
        orch.cancel()
    assert words.startswith("days waits for a slot")


@pytest.mark.wallclock
@live
async def test_queues_tell_how_deep_they_are():
    graph = Graph("deep").add_producer("days", range(3)).add_queue("q", maxlen=9, external=True)
    graph.add_edge("days", "q")
    async with graph.start() as orch:
        part = Dag(orch)
        box = next(b.id for b in part._scene.boxes if b.name == "q")
        await orch.queues.push("q", 1)
        await until(lambda: part.state().get(f"gauge {box}", [0])[0] >= 1)
        assert part.state()[f"gauge {box}"][2] == 9
        await orch.wait()


@pytest.mark.wallclock
@live
async def test_a_click_shows_figures_the_last_error_outputs_and_the_log():
    def check(day):
        print(f"day {day}")
        if day == 2:
            raise ValueError("<b>no</b>")
        return {"day": day}

    async with one(range(3), check, node={"keep": 2}).start() as orch:
        part = Dag(orch)
        await orch.wait()
        part.select(next(b.id for b in part._scene.boxes if b.name == "check"))
        found = part.state()["detail"]
        part.select(None)
        assert "detail" not in part.state()
        part.select("nonsense")
        assert "detail" not in part.state()
    assert found["name"] == "check"
    assert found["figures"][0][:4] == ["days", "failing", 3, 1]
    assert found["error"]["text"] == "ValueError: <b>no</b>"
    assert any("check" in line for line in found["error"]["traceback"])
    assert found["outputs"] == ["{'day': 1}", "{'day': 0}"]
    assert [line.split(": ")[-1] for line in found["lines"]] == ["day 0", "day 1", "day 2"]


@pytest.mark.wallclock
@live
async def test_a_closer_look_at_a_node_tells_how_it_ended(monkeypatch):
    monkeypatch.setattr(dag, "_CLOSER_EVERY", 1000)
    async with one(every=0.01).start() as orch:
        part = Dag(orch)
        part.select(next(b.id for b in part._scene.boxes if b.name == "check"))
        before = part.state()["detail"]["figures"][0][2]
        await until(lambda: orch.metrics()["days"].done > before)
    await until(orch.is_over)
    assert part.state()["detail"]["figures"][0][2] == orch.metrics()["days"].nodes["check"].calls


@pytest.mark.wallclock
@live
async def test_an_output_whose_repr_raises_is_told():
    class Rude:
        def __repr__(self):
            raise RuntimeError

    async with one([1], lambda _: Rude()).start() as orch:
        part = Dag(orch)
        await orch.wait()
        part.select(next(b.id for b in part._scene.boxes if b.name == "check"))
        outputs = part.state()["detail"]["outputs"]
    assert outputs == ["<Rude, whose repr raised RuntimeError>"]


@pytest.mark.wallclock
@live
async def test_an_edit_changes_the_version_and_the_scene():
    graph = one(every=0.01)
    async with graph.start() as orch:
        part = Dag(orch)
        before = part.version(), len(part.scene()["boxes"])
        graph.add_node("more").add_edge("check", "more")
        assert part.version() != before[0]
        assert len(part.scene()["boxes"]) == before[1] + 1
        await orch.apply()
        await until(lambda: named(part, part.state())["more"] is not None)


@pytest.mark.wallclock
@live
async def test_an_ended_run_has_no_rates_any_more():
    async with one(range(50), slow, node={"kind": "non_blocking"}).start() as orch:
        part = Dag(orch)
        part.state()
        await orch.wait()
        await until(orch.is_over)
        state = part.state()
    assert state["over"]
    assert state["loop 0"][2:4] == [50, None]
    assert {row[3] for row in named(part, state).values()} == {0}


@live
async def test_a_folded_loop_tells_of_all_its_items_and_can_be_unfolded():
    graph = one([1, 2, 3], lambda n: 1 / (n - 2))
    graph.add_queue("wet").add_edge("check", "wet").add_queue_reader("storms", queue="wet")
    async with graph.start() as orch:
        view = orch.dag()
        part = view._parts["dag"]
        await orch.wait(timeout=30)
        view._on_command(None, {"do": "fold", "loops": ["days"]}, [])
        await until(lambda: len(view.scene["dag"]["boxes"]) == 2)
        head = view.scene["dag"]["boxes"][0]
        assert (head["kind"], head["nodes"]) == ("folded", ["days", "check", "wet"])
        assert [lane["folded"] for lane in view.scene["dag"]["lanes"]] == [True, False]
        _, items, failed, *_, lately = view.state[f"dag/{head['id']}"]
        assert (items, failed, lately) == (3, 1, 1)
        assert "3 nodes" in view.still()
        part.select(head["id"])
        assert part.chosen() == {"node": "days"}
        view._on_command(None, {"do": "fold"}, [])
        await until(lambda: all(lane["folded"] for lane in view.scene["dag"]["lanes"]))
        view._on_command(None, {"do": "fold"}, [])
        await until(lambda: len(view.scene["dag"]["boxes"]) == 4)
        view.close()


def test_a_large_graph_of_many_loops_is_folded_at_first():
    from flownb.engine.orchestrator.orchestrator import Orchestrator

    def boxes(loops, nodes):
        graph = Graph("large")
        for i in range(loops):
            names = [f"p{i}", *(f"n{i}_{k}" for k in range(nodes))]
            graph.add_producer(names[0])
            for before, name in pairwise(names):
                graph.add_node(name).add_edge(before, name)
        orch = Orchestrator(graph)
        try:
            return len(Dag(orch).scene()["boxes"])
        finally:
            orch._own.stop()  # it was never started
            orch._live.server.close()

    assert boxes(31, 5) == 31
    assert boxes(20, 5) == 120  # all of it can still be read
    assert boxes(1, 200) == 201  # one box would tell nothing


def test_whatever_nodes_are_called_the_scene_is_json_and_holds_no_control_characters():
    from flownb.engine.orchestrator.orchestrator import Orchestrator

    orch = Orchestrator(nasty())
    try:
        part = Dag(orch)
        text = json.dumps([part.scene(), part.state()], ensure_ascii=False)
        text.encode()
        assert not [c for c in text if ord(c) < 32 or 0x7F <= ord(c) < 0xA0]
        for box in part._scene.boxes:
            part.select(box.id)
            json.dumps(part.state()["detail"], ensure_ascii=False).encode()
        assert "<script" not in part.still()
    finally:
        orch._own.stop()  # it was never started, so it captures no prints that it could free
        orch._live.server.close()


def test_a_still_says_what_is_wrong_in_full_and_colours_what_fails():
    from flownb.notebook.graph.live_state import LoopNow, NodeNow, Now, QueueNow, Says, draw_running
    from flownb.notebook.graph.scene import scene

    graph = (
        Graph("g").add_producer("probe").add_node("read").add_queue("q").add_edge("probe", "read")
    )
    why = "node 'read' failed: " + "the probe does not answer " * 8
    now = Now(
        {"read": NodeNow("healthy", 9, 2, lately=2), "q": NodeNow("healthy", 3)},
        {"probe": LoopNow("paused", 3, 0.0, reason=why)},
        {"q": QueueNow(4, 1, 4, 2)},
        says=(Says("bad", f"probe is paused: {why}", "probe", "read"),),
    )
    picture = draw_running(scene(graph.add_edge("read", "q"), live=True), now)
    parts = [part for group in picture.groups for part in group.parts]
    words = " ".join(part.text for part in parts if hasattr(part, "text"))
    assert f"probe is paused: {why.strip()}" in words  # in lines, not cut
    assert "✕ 9 · 2 failed" in words
    assert "4/4 deep · 2 wait" in words
    assert sum(part.look == "held" for part in parts) == 1
    assert sum(part.look == "level" for part in parts) == 1


@pytest.mark.parametrize("name", NASTY)
def test_a_still_escapes_every_name(name):
    from xml.dom import minidom

    graph = Graph("g").add_producer(name).add_node("x").add_edge(name, "x")
    from flownb.notebook.graph.live_state import LoopNow, NodeNow, Now, Wait, draw_running
    from flownb.notebook.graph.scene import scene
    from flownb.notebook.picture.svg import svg

    now = Now(
        {name: NodeNow("failing", 3, 1, 2.0)},
        {name: LoopNow("running", 3, 1.0, 1, 64)},
        {},
        (Wait(name, (name,), 0.1, "wait"),),
    )
    parsed = minidom.parseString(svg(draw_running(scene(graph, live=True), now)))
    tags = {node.tagName for node in parsed.getElementsByTagName("*")}
    assert tags <= {"svg", "title", "desc", "style", "g", "path", "text"}
