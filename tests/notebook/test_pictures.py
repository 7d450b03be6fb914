"""Is every picture that the notebooks keep well-formed, and does it say what it shows?"""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import get_args
from xml.etree import ElementTree as ET

import pytest

from flownb.records.events import LoopState, NodeState

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
INLINE = re.compile(r"<svg.*?</svg>", re.DOTALL)
IN_URL = re.compile(r"data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)")


def pictures(notebook):
    """Every SVG among the outputs, inline or in the address of an image."""
    for cell in json.loads(notebook.read_text())["cells"]:
        for output in cell.get("outputs", ()):
            html = "".join(output.get("data", {}).get("text/html", ()))
            yield from INLINE.findall(html)
            yield from (base64.b64decode(found).decode() for found in IN_URL.findall(html))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_picture_is_xml_with_a_title_and_a_description(notebook):
    for text in pictures(notebook):
        parts = {part.tag.split("}")[-1]: part.text for part in ET.fromstring(text)}
        assert parts.get("title")
        assert parts.get("desc")


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_shape_of_an_image_has_a_look_else_it_is_black(notebook):
    for cell in json.loads(notebook.read_text())["cells"]:
        html = "".join(
            "".join(o.get("data", {}).get("text/html", ())) for o in cell.get("outputs", ())
        )
        for found in IN_URL.findall(html):  # a document of its own: no other style reaches it
            text = base64.b64decode(found).decode()
            for kind in set(re.findall(r'<(?:path|text) class="([^"]+)"', text)):
                assert f".{kind}{{" in text, kind


@pytest.mark.parametrize(("chart", "states"), [("loop", LoopState), ("node", NodeState)])
def test_a_chart_of_states_has_them_all_and_no_others(chart, states):
    path = NOTEBOOKS[0].parent / "pages" / f"{chart}_states.svg"
    boxes = re.findall(r'font-weight="600">(\w+)</text>', path.read_text("utf-8"))
    assert sorted(boxes) == sorted(get_args(states))


def test_the_course_has_pictures():
    assert sum(1 for notebook in NOTEBOOKS for _ in pictures(notebook)) > 50
