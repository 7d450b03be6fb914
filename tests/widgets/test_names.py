"""May a node be called anything? A hundred nasty names through every renderer, parsed back."""

from __future__ import annotations

import json
from xml.dom import minidom

import pytest

from flownb import Graph
from flownb.notebook.graph import awaited
from flownb.notebook.graph.live_state import LoopNow, NodeNow, Now, Wait, draw_running
from flownb.notebook.graph.scene import draw, scene
from flownb.notebook.picture.svg import svg
from flownb.widgets.explore import Explore
from flownb.widgets.part import shapes
from tests.support.samples import NASTY

_PIECES = [
    "<script>alert(1)</script>", "</svg><img src=x onerror=alert(1)>", "</title>", "</style>",
    "</desc><foreignObject>", "'\"><svg onload=alert(1)>", "]]>", "<![CDATA[", "-->", "&lt;b&gt;",
    "javascript:alert(1)", "url(//evil)", "expression(alert(1))", "{{7*7}}", "${alert(1)}",
    "\x00\x08\x1b[2J", "\u2028\u2029", "\u202eevil\u202c", "\ufeff", "\udfff",
    "\U0001f469\u200d\U0001f680",
    "e\u0301" * 50, "constructor", "__proto__", "hasOwnProperty", "toString", "n0",
    "loop 0", "waits", "x" * 10_000, " ", "\t\n", "%3Cscript%3E", "\\u003cscript\\u003e",
    "data:text/html,<b>",
]  # fmt: skip
_FRAMES = ["{}", "a{}b", "{0}{0}"]
_ALL = [*NASTY, *dict.fromkeys(f.format(p) for p in _PIECES for f in _FRAMES)]
NAMES = [name for name in _ALL if name.strip()]  # a blank name is refused
ELEMENTS = {"svg", "title", "desc", "style", "g", "path", "text"}
ATTRIBUTES = {
    "xmlns", "class", "width", "height", "viewBox", "role", "data-id", "d", "x", "y", "style",
}  # fmt: skip


def looks_harmless(text: str) -> None:
    for node in minidom.parseString(text).getElementsByTagName("*"):
        assert node.tagName in ELEMENTS
        assert {*node.attributes.keys()} <= ATTRIBUTES


def test_there_are_a_hundred_of_them():
    assert len(set(NAMES)) >= 100


@pytest.mark.parametrize("part", range(5))
def test_names_become_text_and_nothing_else(part):
    for name in NAMES[part::5]:
        becomes_text(name)
    found = json.dumps(Explore(named(NAMES[part])).scene(), allow_nan=False, ensure_ascii=False)
    assert json.loads(found)["title"]


def named(name: str) -> Graph:
    graph = Graph(name).add_producer(name, takes=1).add_node(name + "!", description=name)
    return graph.add_edge(name, name + "!")


def becomes_text(name: str) -> None:
    graph = named(name)
    now = Now(
        {name: NodeNow("failing", 3, 1, 2.0, 1)},
        {name: LoopNow("running", 3, 1.0, 1, 64)},
        {},
        (Wait(name, (name,), 0.1, "wait"),),
    )
    pictures = [
        draw(scene(graph)),
        draw_running(scene(graph, live=True), now),
        awaited.draw(graph.explain()),
    ]
    for picture in pictures:
        looks_harmless(svg(picture))
        json.dumps(shapes(picture), ensure_ascii=False).encode()
