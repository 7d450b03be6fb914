"""Is the SVG safe to show, the same every time, and readable without colour?"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from xml.etree import ElementTree as ET

import pytest

from flownb.model.workflow import Workflow
from flownb.notebook.gantt import rows
from flownb.notebook.graph.scene import draw, scene
from flownb.notebook.picture.shapes import INKS, LOOKS
from flownb.notebook.picture.svg import style
from flownb.notebook.picture.svg import svg as write
from flownb.notebook.picture.text import width
from flownb.notebook.repr import mimebundle, page, svg
from tests.support.machine import slowness
from tests.support.samples import nasty, timeline, weather, worked

SPACE = "{http://www.w3.org/2000/svg}"
ELEMENTS = {"svg", "title", "desc", "style", "g", "path", "text"}
ATTRIBUTES = {
    *("class", "d", "data-id", "x", "y", "style", "role", "width", "height", "viewBox"),
}


@pytest.mark.parametrize("make", [weather, worked, nasty, timeline, lambda: Workflow("empty")])
def test_only_our_own_elements_and_attributes_come_out(make):
    root = ET.fromstring(svg(make()))
    assert {e.tag.removeprefix(SPACE) for e in root.iter()} <= ELEMENTS
    assert {a for e in root.iter() for a in e.attrib} <= ATTRIBUTES
    classes = {c for e in root.iter() for c in e.get("class", "").split()}
    looks = {**LOOKS, **rows.LOOKS}
    assert classes <= {"fnb", "fnb-picture", *(f"fnb-{name}" for name in looks)}
    assert all(e.get("data-id", "n0")[0] in "nelq" for e in root.iter())


def test_the_whole_html_of_nasty_names_parses_as_xml():
    html = mimebundle(nasty())["text/html"]
    root = ET.fromstring(html)
    assert "script" not in {e.tag for e in root.iter()}
    assert not any(a.startswith("on") for e in root.iter() for a in e.attrib)
    names = [e.text for e in root.iter("text")]
    assert "<b>bold</b>" in names
    html.encode()  # no lone surrogate is left


def test_a_picture_says_what_it_is():
    root = ET.fromstring(svg(weather()))
    assert root.get("role") == "img"
    assert [root[0].tag, root[1].tag] == [f"{SPACE}title", f"{SPACE}desc"]
    assert root[0].text == "Workflow weather"


def test_detached_and_queued_lines_differ_from_awaited_ones_without_colour():
    awaited, detached, queued = (LOOKS[k] for k in ("awaited", "detached", "queued"))
    assert awaited.dash == ()
    assert len({awaited.dash, detached.dash, queued.dash}) == 3
    assert awaited.width > detached.width >= 1.5


def luminance(colour):
    digits = colour[1:] if len(colour) > 4 else "".join(c * 2 for c in colour[1:])
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a, b):
    low, high = sorted([luminance(a), luminance(b)])
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize(
    "kind", ["producer", "blocking", "non_blocking", "if", "queue", "queue_reader", "unknown"]
)
def test_words_are_dark_on_every_fill_and_its_border_stands_out(kind):
    look = LOOKS[kind]
    assert contrast(look.fill, LOOKS["word"].fill) >= 4.5
    assert contrast(look.fill, LOOKS["name"].fill) >= 7
    assert contrast(look.stroke, "#ffffff") >= 3
    assert contrast(look.fill, INKS["bg"][2]) >= 3  # in the dark the fill stands out
    assert look.width >= 1.5


@pytest.mark.parametrize(("ink", "least"), [("fg", 7), ("dim", 4.5), ("queue", 4.5)])
def test_inks_are_readable_on_light_and_on_dark(ink, least):
    assert contrast(INKS[ink][1], INKS["bg"][1]) >= least
    assert contrast(INKS[ink][2], INKS["bg"][2]) >= least


def test_a_file_follows_the_system_and_a_cell_follows_the_notebook():
    assert "prefers-color-scheme" in svg(weather())
    html = mimebundle(weather())["text/html"]
    assert "prefers-color-scheme" not in html
    assert "var(--jp-content-font-color0,#111)" in html
    assert "data-jp-theme-light=false" in html


def test_every_rule_is_scoped_under_our_class():
    rules = [r for r in style().replace("}}", "}").split("}") if r]
    assert all(".fnb" in part for r in rules for part in r.split("{")[0].split(","))


def test_a_picture_shrinks_with_the_page_and_never_grows():
    assert "max-width:100%;height:auto" in style()
    root = ET.fromstring(svg(worked()))
    width, height = float(root.get("width")), float(root.get("height"))
    assert root.get("viewBox").split()[2:] == [root.get("width"), root.get("height")]
    assert width > height > 50


def test_nothing_in_a_page_refers_to_the_network_or_to_an_id():
    html = page(draw(scene(weather())), [])
    assert "http" not in html
    assert "url(" not in html
    assert " id=" not in html


def test_numbers_are_short():
    root = ET.fromstring(svg(nasty()))
    data = " ".join(e.get("d", "") for e in root.iter())
    assert "e-" not in data
    assert max(len(n.partition(".")[2]) for n in data.replace("L", " ").split()) < 12


SCRIPT = """
import hashlib
from flownb.notebook.repr import mimebundle, svg
from tests.support.samples import nasty, timeline, weather
text = "".join(svg(m()) + mimebundle(m())["text/html"] for m in (nasty, timeline, weather))
print(hashlib.sha256(text.encode()).hexdigest())
"""


def test_the_bytes_are_the_same_under_any_hash_seed():
    def digest(seed):
        env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-c", SCRIPT]
        return subprocess.run(
            command, env=env, capture_output=True, text=True, check=True, timeout=50
        ).stdout

    assert digest("0") == digest("1") != ""


@pytest.mark.wallclock
def test_a_thousand_nodes_are_drawn_in_time():
    flow = Workflow("large").add_producer("n0")
    for i in range(1, 1000):
        flow.add_node(f"n{i}").add_edge(f"n{i * 7 // 9}", f"n{i}")
        flow.add_edge(f"n{i // 2}", f"n{i}")
    start = time.process_time()
    text = write(draw(scene(flow)))
    assert time.process_time() - start < 1.5 * slowness()
    assert text.count('data-id="n') == 1000


def test_a_text_is_as_wide_under_every_python():
    """From 3.12 on `sum` of floats rounds otherwise: the pictures were not the same bytes."""
    assert (width("works", 11), width("the producer waits for it", 9)) == (35.7, 115.7)
