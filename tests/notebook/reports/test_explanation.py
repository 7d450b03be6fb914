"""Does an explanation look and read the same everywhere, whatever its nodes are called?"""

from __future__ import annotations

import html
import subprocess
import sys
from xml.etree import ElementTree as ET

import pytest

from flownb import Graph
from flownb.notebook import repr as painter
from tests.support.samples import nasty, weather, worked


def explained(flow):
    return Graph(flow.name).include(flow).explain()


def of_nasty():
    from flownb.explain.explanation import explain

    return explain(nasty())


def parsed(svg):
    return ET.fromstring(svg)


def texts(svg):
    return [t.text for t in parsed(svg).iter("{http://www.w3.org/2000/svg}text")]


def test_the_text_says_it_all():
    assert explained(worked()).text.splitlines()[:9] == [
        "worked: who waits for whom, 1 loop",
        "",
        "loop P (await policy path: an arm with a blocking node anywhere is awaited whole)",
        "  waits       P waits for a: P -> a, a is blocking, so it waits for this whole arm",
        "  goes on     P does not wait for e: neither e nor anything behind it is blocking",
        "  waits for   a, b, c, d",
        "  detached    e, f",
        "  released    after 10 s = a 1 s + b 2 s + c 3 s + d 4 s",
        (
            "  rate        0.1/s: P waits for d: 4 s of the 10 s of an iteration"
            " (P -> a -> b -> c -> d)"
        ),
    ]


def test_the_bundle_holds_the_text_and_html_that_says_the_same():
    why = explained(worked())
    bundle = why._repr_mimebundle_()
    assert list(bundle) == ["text/plain", "text/html"]
    assert bundle["text/plain"] == why.text
    for words in ("P -&gt; a, a is blocking", "under every policy", "path *"):
        assert words in bundle["text/html"]


def test_the_picture_marks_the_await_set_and_the_critical_chain():
    svg = explained(worked()).svg()
    assert svg.count('class="fnb-halo"') == 5  # a, b, c, d and the legend
    assert svg.count('class="fnb-critical"') == 5  # four edges and the legend
    chips = [t for t in texts(svg) if t and ".." in t]
    assert chips == ["0..1 s", "1..3 s", "3..6 s", "6..10 s"]


def test_the_picture_follows_the_policy():
    graph = Graph("worked").include(worked())
    svg = graph.explain(policy="none").svg()
    assert 'class="fnb-halo"' not in svg
    assert "await policy none" in svg
    assert 'class="fnb-critical"' not in svg


def test_a_duration_that_nobody_knows_has_a_question_mark():
    svg = explained(weather()).svg()
    assert texts(svg).count("? s") == 3  # wet?, rank, and the legend


def test_the_description_says_who_waits_for_whom():
    root = parsed(explained(worked()).svg())
    title, description = root[0].text, root[1].text
    assert title == "Who waits for whom in worked"
    assert "P waits for a, b, c, d, and is released after 10 s." in description


@pytest.mark.parametrize("make", [lambda: explained(worked()), lambda: explained(weather())])
def test_picture_and_html_are_well_formed(make):
    why = make()
    ET.fromstring(why._repr_html_())
    ET.fromstring(why.capacity()._repr_html_())
    parsed(why.svg())


def test_nasty_names_stay_text():
    why = of_nasty()
    html = why._repr_html_()
    ET.fromstring(html)
    parsed(why.svg())
    assert "<script" not in html
    assert "\x00" not in why.text + html
    assert "\x1b" not in why.text


def test_a_picture_that_explains_nothing_keeps_the_style_of_all():
    assert "fnb-halo" not in Graph("worked").include(worked()).svg()


def test_a_figure_has_the_marks_too():
    assert len(explained(worked()).plot().axes[0].patches) > len(
        Graph("worked").include(worked()).plot().axes[0].patches
    )


def test_a_huge_graph_is_explained_without_a_picture():
    graph = Graph("huge").add_producer("P")
    for i in range(2001):
        graph.add_node(f"n{i}").add_edge("P", f"n{i}")
    assert painter.picture(graph.explain()) is None
    assert len(graph.explain()._repr_html_()) < 60_000


def test_measured_figures_stand_beside_the_predicted_ones():
    graph = Graph("g").add_producer("P", every=0.1).add_node("a", takes=0.05).add_edge("P", "a")
    why = graph.simulate(until=10).explain()
    assert why.text.splitlines()[-1].split() == [
        "a", *("0.05", "s") * 3, "100",
    ]  # fmt: skip
    assert why.capacity().text.splitlines()[5:7] == [
        "loop  rate  measured  period  measured  off by",
        "P     10/s  10/s      0.1 s   0.1 s     +0.0%",
    ]


def test_the_bytes_do_not_depend_on_the_process():
    code = (
        "from tests.notebook.reports.test_explanation import *;"
        "why = explained(weather()); print(why.text, why._repr_html_(), why.capacity())"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ".", "MPLCONFIGDIR": "/tmp"},
        ).stdout
        for seed in ("1", "2", "77")
    }  # fmt: skip
    assert len(runs) == 1


def test_readings_show_themselves_as_bars_made_of_the_critical_chain():
    readings = explained(worked()).compare()
    svg = readings.svg()
    assert svg.count('class="fnb-own-bar"') == 1
    assert "10 s, waits for a, b, c, d" in texts(svg)
    assert [t for t in texts(svg) if t in set("abcdef")] == [*"e", *"abc", *"abcd", *"abcd", *"ef"]
    ET.fromstring(readings._repr_html_())
    row = "P     path *     10 s      a, b, c, d        P -> a -> b -> c -> d"
    assert str(readings).splitlines()[5] == row


def test_readings_of_nasty_names_are_well_formed():
    readings = of_nasty().compare()
    parsed(readings.svg())
    ET.fromstring(readings._repr_html_())


def test_a_hint_and_an_advice_are_not_cut():
    graph = Graph("g").add_producer("producer").add_node("a_rather_long_name_of_a_node")
    graph.add_node("another_rather_long_name", kind="non_blocking")
    graph.add_edge("producer", "a_rather_long_name_of_a_node", "another_rather_long_name")
    page = html.unescape(graph.explain()._repr_html_())
    assert str(graph.validate()[0]) in page
    graph.add_node("another_rather_long_name", kind="non_blocking", takes=1)
    why = graph.explain()
    for change in why.capacity().advice["producer"]:
        assert str(change) in html.unescape(why._repr_html_())
