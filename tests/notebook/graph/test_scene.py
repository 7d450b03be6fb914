"""Does the picture of a workflow say what is true?"""

from __future__ import annotations

from itertools import combinations

import pytest

from flownb.model.policies import OTHERWISE
from flownb.model.workflow import Workflow
from flownb.notebook.graph.scene import draw, scene
from flownb.notebook.picture.svg import svg
from tests.support.samples import NASTY, nasty, weather, worked


def box(picture, name):
    return next(b for b in picture.boxes if b.name == name)


def styles(picture):
    return {(line.source, line.target): line.style for line in picture.lines}


@pytest.mark.parametrize(
    ("policy", "awaited"),
    [
        ("none", ""),
        ("node", "Pa ab Pe"),
        ("blocking", "Pa ab bc"),
        ("path_live", "Pa ab bc cd"),
        ("path", "Pa ab bc cd"),
        ("all", "Pa ab bc cd Pe ef"),
    ],
)
def test_an_edge_is_solid_where_the_producer_may_wait(policy, awaited):
    found = styles(scene(worked(), await_policy=policy))
    assert [a + b for (a, b), style in found.items() if style == "awaited"] == awaited.split()
    assert set(found.values()) <= {"awaited", "detached"}


def test_each_loop_is_drawn_under_its_own_policy():
    flow = weather().set_loop("days", await_policy="none").set_loop("storms", pool="process")
    found = styles(scene(flow))
    assert found["days", "check"] == "detached"
    assert found["storms", "rank"] == "awaited"
    titles = [lane.title for lane in scene(flow).lanes]
    assert titles == ["loop days · await policy none", "loop storms · process"]


def test_a_queue_is_a_boundary_between_two_lanes():
    picture = scene(weather())
    link = picture.lines[-1]
    assert (link.id, link.source, link.target, link.style) == ("q0", "wet_days", "storms", "queued")
    assert not picture.lanes[0].frame.overlaps(picture.lanes[1].frame)


def test_a_drawn_queue_edge_is_the_same_link_and_not_another_one():
    flow = weather().add_edge("wet_days", "storms")
    assert styles(scene(flow)) == styles(scene(weather()))


def test_loops_that_share_a_node_share_a_lane():
    flow = Workflow("w").add_producer("a").add_producer("b").add_node("c")
    picture = scene(flow.add_edge("a", "c").add_edge("b", "c"))
    assert [lane.loops for lane in picture.lanes] == [("a", "b")]


def test_kinds_differ_in_shape_and_in_word():
    flow = weather()
    picture = scene(flow)
    words = {b.name: b.word for b in picture.boxes}
    assert words == {
        "days": "producer · every 0.1 s",
        "check": "blocking · 0.05 s",
        "audit": "non-blocking · 0.2 s",
        "wet?": "if",
        "wet_days": "queue, awaited here",
        "storms": "reads wet_days",
        "rank": "blocking",
    }
    kinds = {b.kind: tuple(map(len, b.outline)) for b in picture.boxes if b.kind != "blocking"}
    assert len(set(kinds.values())) >= len(kinds) - 2
    assert len({b.kind for b in picture.boxes}) == 6


def test_a_second_word_says_where_the_arm_overrules_the_node():
    assert box(scene(worked()), "b").word == "non-blocking, awaited here · 2 s"
    assert box(scene(worked(), await_policy="node"), "c").word == "blocking, not awaited here · 3 s"


def test_an_edge_end_that_nobody_added_is_shown_as_such():
    picture = scene(Workflow("w").add_producer("p").add_edge("p", "chekc"))
    assert box(picture, "chekc").word == "not defined"
    assert box(picture, "chekc").kind == "unknown"


def test_what_no_loop_reaches_stands_apart():
    picture = scene(weather().add_node("orphan"))
    assert picture.lanes[-1].title == "no loop: no producer leads here"
    assert box(picture, "orphan").word == "blocking"


def test_a_graph_without_producers_has_no_lane_title_and_may_have_cycles():
    flow = Workflow("agent").add_node("plan").add_if("good?", bool).add_node("answer")
    flow.add_edge("plan", "good?", "plan").add_edge("good?", "answer", when=True)
    picture = scene(flow)
    assert [lane.title for lane in picture.lanes] == [""]
    assert set(styles(picture).values()) == {"next"}


def test_labels_name_the_outcome():
    flow = Workflow("w").add_producer("p").add_if("size", len)
    for target, when in [("a", "small"), ("b", 3), ("c", OTHERWISE)]:
        flow.add_node(target).add_edge("size", target, when=when)
    flow.add_node("d").add_edge("p", "d", condition=bool)
    assert [line.label for line in scene(flow).lines] == ["'small'", "3", "otherwise", "if bool"]


def diamond(*, exclusive, join="all"):
    flow = Workflow("w").add_producer("p").add_if("i", bool).add_node("x").add_node("y")
    flow.add_node("end", join=join).add_edge("p", "i")
    flow.add_edge("i", "x", "end", when=True if exclusive else None)
    return flow.add_edge("i", "y", "end", when=False if exclusive else None)


def test_a_join_says_how_it_joins_and_what_its_payload_is():
    assert box(scene(diamond(exclusive=True)), "end").badge == ""
    assert box(scene(diamond(exclusive=False)), "end").badge == "dict"
    assert box(scene(diamond(exclusive=False, join="each")), "end").badge == "each"
    assert box(scene(diamond(exclusive=False, join=2)), "end").badge == "2 of 2"


def test_ids_are_numbers_never_names():
    picture = scene(nasty())
    assert [b.id for b in picture.boxes] == [f"n{i}" for i in range(len(picture.boxes))]
    assert [line.id for line in picture.lines][:2] == ["e0", "e1"]


def test_a_long_name_is_shortened_and_kept_in_the_tooltip():
    long = next(b for b in scene(nasty()).boxes if b.name == NASTY[6])
    assert long.label.endswith("…")
    assert len(long.label) < 30
    assert long.tip.startswith("x" * 10_000)
    assert all(b.frame.width <= 240 for b in scene(nasty()).boxes)


@pytest.mark.parametrize("make", [weather, worked, nasty])
def test_no_boxes_overlap(make):
    frames = [b.frame for b in scene(make()).boxes]
    assert not any(a.overlaps(b, margin=5) for a, b in combinations(frames, 2))


def test_the_description_tells_every_edge_in_words():
    said = scene(weather()).description
    assert "days to audit: the producer does not wait." in said
    assert "wet? to wet_days: the producer waits for this, when yes." in said
    assert "wet_days to storms: through a queue." in said


def test_an_empty_graph_is_an_empty_scene():
    assert repr(scene(Workflow("w"))) == "Scene('w': 0 boxes, 0 lines, 0 lanes, 0 x 0 px)"


def test_a_folded_loop_is_one_box_that_stands_for_all_its_nodes_and_keeps_its_queues():
    whole, part = scene(weather()), scene(weather(), folded=["days"])
    head = box(part, "days")
    assert (head.kind, head.id) == ("folded", box(whole, "days").id)
    others = {b.name for b in part.boxes} - {"days"}
    assert set(head.nodes) | others == {b.name for b in whole.boxes}
    assert head.word == f"{len(head.nodes)} nodes"
    assert all(part.homes[name] == head.id for name in head.nodes)
    assert part.lanes[0].loops == whole.lanes[0].loops
    queued = [(line.source, line.target) for line in part.lines if line.style == "queued"]
    assert queued
    assert {source for source, _ in queued} == {"days"}
    inside = {(a, b) for a, b in styles(part) if {a, b} <= others}
    assert inside | set(queued) == set(styles(part))


def test_loops_that_share_a_node_are_folded_together_or_not_at_all():
    flow = Workflow("w").add_producer("p").add_producer("q").add_node("a")
    flow.add_edge("p", "a").add_edge("q", "a")
    assert len(scene(flow, folded=["p"]).boxes) == 3
    (head,) = scene(flow, folded=["p", "q"]).boxes
    assert head.nodes == ("p", "q", "a")


def test_folded_loops_stand_beside_each_other_and_none_covers_another():
    flow = Workflow("w")
    for i in range(7):
        flow.add_producer(f"p{i}").add_node(f"a{i}").add_edge(f"p{i}", f"a{i}")
    picture = scene(flow, live=True, folded=[f"p{i}" for i in range(7)])
    lanes = [lane.frame for lane in picture.lanes]
    assert len({lane.y for lane in lanes}) == 3
    for a, b in combinations(lanes, 2):
        assert a.right < b.x or b.right < a.x or a.bottom < b.y or b.bottom < a.y
    for lane, inner in zip(lanes, picture.boxes, strict=True):
        assert lane.x < inner.frame.x < inner.frame.right < lane.right


def test_folded_loops_take_the_room_of_a_box_also_where_others_are_open():
    flow = Workflow("w")
    for i in range(4):
        flow.add_producer(f"p{i}").add_queue(f"q{i}")
        names = [f"a{i}_{j}" for j in range(6)]
        for name in names:
            flow.add_node(name)
        flow.add_edge(f"p{i}", *names, f"q{i}")
    flow.add_queue_reader("last", queue="q0").add_queue_reader("late", queue="q3")
    picture = scene(flow, folded=["p0", "p2"])
    lanes = {lane.loops[0]: lane.frame for lane in picture.lanes}
    assert lanes["p0"].y == lanes["p2"].y
    assert lanes["p0"].width < lanes["p1"].width / 2
    for a, b in combinations(lanes.values(), 2):
        assert a.right < b.x or b.right < a.x or a.bottom < b.y or b.bottom < a.y
    for name, lane in {"p0": "p0", "p2": "p2", "a1_5": "p1", "q3": "p3", "late": "late"}.items():
        inner, outer = box(picture, name).frame, lanes[lane]
        assert outer.y < inner.y < inner.bottom < outer.bottom
        assert outer.x < inner.x < inner.right < outer.right
    ends = {(line.source, line.target): line.path for line in picture.lines}
    head = box(picture, "p0").frame
    assert ends["p0", "last"][0] == (head.right, head.middle[1])
    below = ends["q3", "late"][0]  # both are open: the line of swimlanes, at its queue
    assert box(picture, "q3").frame.y < below[1] <= box(picture, "q3").frame.bottom


def test_the_look_of_a_folded_loop_is_in_its_picture_and_in_no_other():
    whole, part = svg(draw(scene(weather()))), svg(draw(scene(weather(), folded=["days"])))
    assert ".fnb-folded" in part
    assert ".fnb-folded" not in whole
