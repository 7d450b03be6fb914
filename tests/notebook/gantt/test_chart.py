"""Does a timeline answer what happened when, and does its chart say the same?"""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from flownb import Graph, Retry
from flownb.notebook.gantt import chart
from flownb.notebook.gantt import rows as gantt_bars
from flownb.notebook.picture.shapes import Mark, Rect, Writing
from flownb.records.events import Span
from flownb.records.timeline import Timeline
from tests.support.samples import NASTY, timeline


def looks(picture):
    return [part.look for group in picture.groups for part in group.parts]


def test_a_timeline_is_one_line_of_text():
    assert repr(timeline()) == "Timeline(12 spans, 3 nodes, 0..15 s)"
    assert repr(Timeline()) == "Timeline(0 spans)"


def test_a_part_of_a_timeline_is_a_timeline():
    part = timeline().of(node="check")
    assert len(part) == 3
    assert part.duration == 11.0
    assert timeline().of(loop="nights").spans == ()
    assert [s.node for s in timeline().of(loop="days", node="audit")] == ["audit"] * 3


def test_spans_are_ordered_by_start():
    spans = [Span("l", n, 0, 0, "work", t, t + 1) for n, t in [("b", 2.0), ("a", 1.0), ("c", 1.0)]]
    assert [s.node for s in Timeline.of_spans(spans)] == ["a", "c", "b"]


def test_rows_come_loop_by_loop():
    spans = [Span(loop, "n", i, 0, "work", i, i + 1) for i, loop in enumerate("aba")]
    assert Timeline(tuple(spans)).rows == (("a", "n"), ("b", "n"))


def test_working_is_solid_and_waiting_is_hatched():
    drawn = looks(chart.draw(timeline(3)))
    assert drawn.count("waiting") == 3 + 1  # one stands in the legend
    assert drawn.count("hatch") == 3 + 1
    assert drawn.count("work") == 3 * 3 + 1


def test_calls_that_overlap_stand_under_each_other():
    bars = [
        group.parts[0].path[0]
        for group in chart.draw(timeline()).groups
        if group.tip.startswith("audit, iteration")
    ]
    heights = [y for _, y in bars]
    assert heights[0] == heights[2] < heights[1]


def test_a_bar_is_as_long_as_its_span():
    picture = chart.draw(timeline())
    ticks = {
        p.text: p.x for g in picture.groups for p in g.parts if getattr(p, "look", "") == "tick"
    }
    first = next(g for g in picture.groups if g.tip.startswith("check, iteration 1"))
    xs = [x for step in first.parts[0].path for x in step[::2]]
    scale = (ticks["10"] - ticks["0"]) / 10
    assert min(xs) == pytest.approx(ticks["0"] + 5 * scale)
    assert max(xs) == pytest.approx(ticks["0"] + 8 * scale)


def test_the_tooltip_tells_the_numbers():
    tips = [g.tip for g in chart.draw(timeline()).groups]
    assert "days, iteration 0: waits for check, 1 to 4 s (3 s)" in tips
    assert "audit, iteration 2: works, 9 to 15 s (6 s)" in tips


@pytest.mark.parametrize(
    ("start", "end"), [(0, 0), (3, 3.0001), (1e9, 1e9 + 5), (0, 0.07), (0, 1e6)]
)
def test_any_stretch_of_time_gets_a_handful_of_ticks(start, end):
    picture = chart.draw(Timeline((Span("l", "n", 0, 0, "work", start, end),)))
    ticks = [
        p for g in picture.groups for p in g.parts if isinstance(p, Writing) and p.look == "tick"
    ]
    assert 1 <= len(ticks) <= 13
    assert len({t.text for t in ticks}) >= min(len(ticks), 1)


def test_a_very_long_timeline_shows_its_beginning_and_says_so():
    picture = chart.draw(timeline(1000))
    assert len(picture.groups) < 1600
    texts = [p.text for g in picture.groups for p in g.parts if isinstance(p, Writing)]
    assert "not drawn: the last 2,500 of 4,000 spans; .of(since=, until=) shows them" in texts
    html = chart.twin(timeline(1000))
    assert html.count("<tr>") == 201
    assert "and 3,800 more" in html


def failing_fetch():
    graph = Graph("shop").add_producer("days", range(4), every=2)
    return graph.add_node(
        "fetch", takes=0.5, fail=0.5, retry=Retry(on=Exception, attempts=4, wait_initial=0.1)
    )


def test_attempts_in_vain_are_marked_and_those_that_went_well_are_not():
    sim = failing_fetch().add_edge("days", "fetch").simulate(until=12, seed=1, call=False)
    fetch = sim.metrics["days"].nodes["fetch"]
    vain = fetch.failed + fetch.retries
    assert 0 < vain < fetch.calls
    assert [*sim.timeline.failed.values()] == ["failed"] * vain
    assert all(s.node == "fetch" and s.kind == "work" for s in sim.timeline.failed)
    picture = chart.draw(sim.timeline)
    assert looks(picture).count("bad") == vain + 1  # one stands in the legend
    assert sum(", failed, " in g.tip for g in picture.groups) == vain


def test_an_attempt_that_timed_out_says_so():
    graph = Graph("slow").add_producer("days", range(1)).add_node("fetch", takes=3, timeout=1)
    sim = graph.add_edge("days", "fetch").simulate(until=5, call=False)
    ((span, why),) = sim.timeline.failed.items()
    assert (span.end, why) == (1.0, "timed out")


def test_a_run_without_a_producer_is_no_loop_and_its_bars_have_no_number():
    sim = Graph("once").add_node("a", takes=1).add_node("b", takes=2).add_edge("a", "b").simulate()
    picture = chart.draw(sim.timeline)
    words = [p.text for g in picture.groups for p in g.parts if isinstance(p, Writing)]
    assert "run of once" in words
    assert "bar-number" not in looks(picture)
    assert not any("iteration" in g.tip for g in picture.groups)


def test_a_waiting_bar_says_which_item_waits():
    words = [p.text for g in chart.draw(timeline()).groups for p in g.parts if hasattr(p, "text")]
    assert "0 waits for check" in words


def test_the_table_says_what_the_chart_says():
    root = ET.fromstring(chart.twin(timeline(1)))
    rows = [[c.text for c in row] for row in root.findall("tbody/tr")]
    assert rows[1] == ["days", "days", "0", "waits for check", "1", "4"]


@pytest.mark.parametrize("width", [1.0, 3.0, 17.0, 40.0, 333.3])
def test_the_hatching_stays_inside_its_bar(width):
    box = Rect(10, 20, width, 18)
    for x, y in gantt_bars.hatch(box):
        assert box.x - 1e-6 <= x <= box.right + 1e-6
        assert box.y - 1e-6 <= y <= box.bottom + 1e-6


def test_nothing_leaves_the_sheet():
    picture = chart.draw(timeline(50))
    for group in picture.groups:
        for part in group.parts:
            if isinstance(part, Mark):
                assert all(0 <= v <= picture.width + 0.1 for step in part.path for v in step[::2])


def test_nasty_names_make_a_chart_too():
    spans = tuple(Span(n, n, 0, 0, "work", i, i + 1) for i, n in enumerate(NASTY))
    root = ET.fromstring(Timeline(spans).svg())
    assert len(root) > len(NASTY)


def test_a_push_that_waited_for_room_is_one_hatched_bar_and_no_work():
    graph = Graph("full").add_producer("cam", range(9)).add_queue("shots", maxlen=1)
    graph.add_edge("cam", "shots").add_queue_reader("take", queue="shots")
    graph.add_node("develop", takes=1.0).add_edge("take", "develop")
    found = graph.simulate(until=7).timeline.of(node="shots")
    assert {s.kind for s in found} >= {"work", "throttled"}, "the record has both"
    tips = [g.tip for g in chart.draw(found).groups if g.tip and "iteration" in g.tip]
    waits = [tip for tip in tips if "waits for room in shots" in tip]
    assert waits
    assert len({tip.partition(":")[0] for tip in tips}) == len(tips), "each push once"
    assert not [tip for tip in tips if "works" in tip and "(" in tip]
    assert [row[3] for row in chart.rows_of(found)].count("waits for room in shots") == len(waits)


def test_calls_that_find_no_line_are_counted_by_node():
    spans = [Span("p", "rank", i, 0, "work", i / 100, 5.0 + i) for i in range(15)]
    spans += [Span("p", "late", 0, 0, "work", 1.0, 2.0)]
    picture = chart.draw(Timeline.of_spans(spans))
    said = [p.text for g in picture.groups for p in g.parts if isinstance(p, Writing)]
    words = "not drawn: where more than 12 calls of a node run at a time, 3 calls of rank"
    assert words in said


def test_a_chart_of_many_bars_is_as_wide_as_a_cell_and_one_of_few_is_not():
    few, many = (chart.draw(timeline(n)).width for n in (3, 100))
    assert few < 900
    assert 1100 < many < 1300
