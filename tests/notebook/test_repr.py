"""Does everything show itself in one line, as HTML, and as a figure?"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from xml.etree import ElementTree as ET

import pytest

from flownb import Graph as Whole
from flownb.display import Shown
from flownb.model.workflow import Workflow
from flownb.notebook import repr as painter
from flownb.notebook.picture.table import table, text_table
from flownb.records.events import Span
from flownb.records.metrics import LoopMetrics, NodeMetrics
from flownb.records.timeline import Timeline
from tests.support.samples import nasty, timeline, weather


class Graph(Workflow, Shown):
    """As flownb.graph makes it."""


@pytest.fixture(scope="module", autouse=True)
def _fonts():
    """Matplotlib keeps its font files open for good: no test may be blamed for it."""
    painter.plot(nasty())._repr_png_()


def shown():
    return Graph("weather").include(weather())


def test_a_graph_is_one_line_of_text():
    assert repr(shown()) == "Graph('weather': 7 nodes, 5 edges, 2 loops)"


def test_the_bundle_holds_text_and_html_and_no_widget():
    bundle = shown()._repr_mimebundle_()
    assert list(bundle) == ["text/plain", "text/html"]
    assert bundle["text/plain"] == repr(shown())


def test_a_front_end_may_ask_for_one_type_or_refuse_one():
    assert list(shown()._repr_mimebundle_(include=["text/plain"])) == ["text/plain"]
    assert list(shown()._repr_mimebundle_(exclude={"text/html"})) == ["text/plain"]
    assert shown()._repr_html_() == shown()._repr_mimebundle_()["text/html"]


def test_the_table_under_the_picture_says_the_same():
    root = ET.fromstring(shown()._repr_html_())
    summary = root.find("details/summary")
    assert summary.text == "7 nodes, 5 edges, 1 link through queues: as tables"
    rows = [[c.text for c in row] for row in root.findall("details/table[2]/tbody/tr")]
    assert ["wet?", "wet_days", "yes", "the producer waits for this"] in rows
    assert ["wet_days", "storms", None, "through a queue"] in rows


def test_an_empty_graph_says_how_to_begin():
    html = Graph("empty")._repr_html_()
    assert "no nodes yet: add_producer(...)" in html
    assert repr(Graph("empty")) == "Graph('empty': 0 nodes, 0 edges, 0 loops)"


def test_a_nasty_name_stays_on_one_line():
    assert "\n" not in painter.text(nasty())


def test_a_figure_shows_as_png_without_pyplot():
    figure = shown().plot()
    data, size = figure._repr_png_()
    assert data.startswith(b"\x89PNG")
    assert size["width"] == pytest.approx(figure.get_figwidth() * 96, abs=1)
    assert "0x" not in repr(figure)


def test_the_same_figure_has_the_same_bytes():
    assert shown().plot()._repr_png_() == shown().plot()._repr_png_()


@pytest.mark.parametrize("make", [nasty, timeline, lambda: Workflow("empty"), Timeline])
def test_anything_can_be_plotted(make):
    assert painter.plot(make())._repr_png_()[0]


HEAVY = """
import sys
import flownb.notebook.repr, flownb.notebook.picture.svg, flownb.display
print([m for m in ("matplotlib", "IPython", "ipywidgets", "redis") if m in sys.modules])
"""


def test_showing_loads_no_heavy_package():
    done = subprocess.run(
        [sys.executable, "-c", HEAVY], capture_output=True, text=True, check=True, timeout=50
    )
    assert done.stdout.strip() == "[]"


def test_a_new_kind_of_object_registers_what_it_has():
    @dataclass(repr=False)
    class Answer(Shown):
        value: int

    assert repr(Answer(1)) == "Answer()"
    assert list(Answer(1)._repr_mimebundle_()) == ["text/plain"]
    with pytest.raises(TypeError, match="has no picture"):
        Answer(1).svg()
    painter.text.register(Answer, lambda a: f"Answer({a.value})")
    painter.details.register(Answer, lambda a: [("a table", table(["value"], [[a.value]]))])
    assert repr(Answer(2)) == "Answer(2)"
    assert "<details open" in Answer(2)._repr_html_()


def test_a_table_puts_numbers_right_and_escapes_the_rest():
    html = table(["<name>", "rate", "on"], [["a<b", 0.1 + 0.2, True], ["c", None, False]])
    root = ET.fromstring(html)
    cells = [[c.text for c in row] for row in root.findall("tbody/tr")]
    assert cells == [["a<b", "0.3", "yes"], ["c", None, "no"]]
    assert [c.get("class") for c in root.findall("tbody/tr[1]/td")] == [None, "fnb-number", None]
    assert [c.get("scope") for c in root.findall("thead/tr/th")] == ["col"] * 3


def test_the_text_of_a_table_lines_up():
    text = text_table(["loop", "n"], [["days", 7], ["a", 12]])
    assert text.splitlines() == ["loop   n", "days   7", "a     12"]
    assert text_table(["loop"], []) == "loop"


def test_what_a_real_clock_has_measured_is_written_with_three_digits():
    spans = [Span("l", "n", i, 0, "work", i + 0.06540431, i + 0.0999999 / 3) for i in range(2)]
    shown = Timeline(tuple(spans))
    assert repr(shown) == "Timeline(2 spans, 1 node, 0.0654..1.03 s)"
    assert "0.0654" in str(shown)
    assert "0.06540" not in shown._repr_mimebundle_()["text/html"]
    exact = Timeline((Span("l", "n", 0, 0, "work", 0.123456, 1.234567),))
    assert repr(exact) == "Timeline(1 span, 1 node, 0.123456..1.23457 s)"


def test_a_prediction_from_measured_durations_has_its_unit_and_two_digits():
    graph = Whole("g").add_producer("p", [1]).add_node("n").add_edge("p", "n")
    seen = LoopMetrics("p", nodes={"n": NodeMetrics("n", calls=3, total=0.1234567891)})
    assert "after 41 ms" in str(graph.explain(measured={"p": seen}))
    seen = LoopMetrics("p", nodes={"n": NodeMetrics("n", calls=3, total=0.123456)})
    assert "after 0.041152 s" in str(graph.explain(measured={"p": seen}))
