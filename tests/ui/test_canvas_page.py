"""Does the canvas do what a hand does on it, in a page of its own, without JupyterLab?"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from flownb import OTHERWISE, Graph
from tests.support import drawings
from tests.support.widgets import BarePage

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.browser, pytest.mark.wallclock, pytest.mark.timeout(120)]

PASTE = """text => {
    const clipboardData = new DataTransfer();
    clipboardData.setData("text/plain", text);
    const event = new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true });
    document.activeElement.dispatchEvent(event);
}"""


@pytest.fixture
def shown(browser: Any) -> Any:
    """Give `shown(graph, ...)`: its canvas in a page; nothing may be said on the console."""
    page = browser.new_page(viewport={"width": 1200, "height": 700})
    said: list[str] = []
    page.on("console", lambda line: said.append(line.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    yield lambda graph: BarePage(page, graph.edit())
    page.close()
    assert said == []


def weather() -> Graph:
    graph = Graph("weather").add_producer("days").add_if("wet?").add_node("rain").add_node("sun")
    graph.add_node("rank").add_edge("days", "wet?").add_edge("wet?", "rain", when=True)
    return graph.add_edge("rain", "rank")


def large() -> Graph:
    graph = Graph("large").add_producer("p")
    for i in range(300):
        graph.add_node(f"n{i}").add_edge("p" if i < 20 else f"n{i - 20}", f"n{i}")
    return graph


def node(bare: BarePage, name: str) -> Any:
    return bare.page.locator(f".flownb-node[data-id='{name}']")


def middle(locator: Any) -> tuple[float, float]:
    box = locator.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def body(bare: BarePage, name: str) -> tuple[float, float]:
    return middle(node(bare, name).locator("path").nth(1))


def drag(bare: BarePage, start: tuple[float, float], end: tuple[float, float], steps=8) -> None:
    bare.page.mouse.move(*start)
    bare.page.mouse.down()
    bare.page.mouse.move(start[0] + 6, start[1] + 2)
    bare.page.mouse.move(*end, steps=steps)
    bare.page.mouse.up()
    bare.tell()


def press(bare: BarePage, *keys: str) -> None:
    for key in keys:
        bare.page.keyboard.press(key)
    bare.tell()


def edges(graph: Graph) -> dict[str, Any]:
    return {str(edge): edge.when for edge in graph.edges.values()}


def refused(bare: BarePage) -> str:
    return bare.page.locator(".flownb-refused").inner_text()


def test_an_if_has_a_port_for_each_verdict(shown: Callable[[Graph], BarePage]):
    graph = weather()
    bare = shown(graph)
    assert node(bare, "wet?").locator(".flownb-port-label").all_text_contents() == ["yes", "no"]
    port = node(bare, "wet?").locator("[data-port=false] > .flownb-port")
    drag(bare, middle(port), body(bare, "sun"))
    assert edges(graph)["wet? -> sun"] is False
    drag(bare, middle(port), (700, 500))  # on nothing: the menu offers what may come behind it
    bare.page.keyboard.type("queue")
    press(bare, "Enter")
    assert edges(graph)["wet? -> queue"] is False
    before = edges(graph)
    line = bare.page.locator("[data-edge='wet? -> queue'] > .flownb-edge-line")
    start = line.evaluate(
        """line => {
            const at = line.getPointAtLength(22), { a, d, e, f } = line.getScreenCTM();
            return [at.x * a + e, at.y * d + f];
        }"""
    )
    drag(bare, start, middle(node(bare, "wet?").locator("[data-port=true] > .flownb-port")))
    assert edges(graph) == {**before, "wet? -> queue": True}
    press(bare, "Control+z")
    assert edges(graph) == before


def test_an_if_with_other_verdicts_has_those(shown: Callable[[Graph], BarePage]):
    graph = Graph("which").add_producer("p").add_if("i").add_node("a").add_node("b").add_node("c")
    graph.add_edge("p", "i").add_edge("i", "a", when="Paris").add_edge("i", "b", when=3)
    bare = shown(graph)
    labels = node(bare, "i").locator(".flownb-port-label").all_text_contents()
    assert labels == ["'Paris'", "3", "otherwise"]
    port = node(bare, "i").locator("[data-port=otherwise] > .flownb-port")
    drag(bare, middle(port), body(bare, "c"))
    assert edges(graph) == {"p -> i": None, "i -> a": "Paris", "i -> b": 3, "i -> c": OTHERWISE}


def test_a_name_is_written_on_the_box_or_the_frame(shown: Callable[[Graph], BarePage]):
    graph = weather()
    bare = shown(graph)
    x, y = middle(node(bare, "rain").locator(".fnb-name"))
    bare.page.mouse.dblclick(x, y)
    bare.page.keyboard.type("storm")
    press(bare, "Enter")
    assert list(graph.nodes) == ["days", "wet?", "storm", "sun", "rank"]
    assert node(bare, "storm").get_attribute("aria-pressed") == "true"
    press(bare, "F2")
    bare.page.keyboard.type("sun")
    press(bare, "Enter")
    assert "there is a node 'sun' already" in refused(bare)
    press(bare, "F2")
    bare.page.keyboard.type("never")
    press(bare, "Escape")
    assert "storm" in graph.nodes
    press(bare, "g")
    title = bare.page.locator(".flownb-hand-frame > .flownb-frame-bar")
    bare.page.mouse.click(title.bounding_box()["x"] + 20, title.bounding_box()["y"] + 8)
    press(bare, "F2")
    bare.page.keyboard.type("bad days")
    press(bare, "Enter")
    assert [frame.label for frame in graph._frames.values()] == ["bad days"]
    press(bare, "Control+z", "Control+z", "Control+z")
    assert list(graph.nodes) == list(weather().nodes)


def test_groups_are_copied_with_their_links_and_foreign_drawings_are_pasted(
    shown: Callable[[Graph], BarePage],
):
    graph = weather()
    bare = shown(graph)
    node(bare, "rain").click()
    node(bare, "rank").click(modifiers=["Shift"])
    press(bare, "g", "Control+c", "Control+v")
    assert list(graph.nodes)[5:] == ["rain_2", "rank_2"]
    assert "rain_2 -> rank_2" in edges(graph)
    assert [f.members for f in graph._frames.values()] == [("rain", "rank"), ("rain_2", "rank_2")]
    bare.page.evaluate(PASTE, json.dumps(drawings.xyflow()))
    bare.tell()
    assert list(graph.nodes)[7:] == ["Node 0", "Node A.1", "3", "4", "5", "6"]
    assert node(bare, "Node A.1").get_attribute("data-problem") == "error"  # a placeholder
    before = edges(graph)
    for text in ('{"nodes": 1}', "{", '{"nodes": [{"id": NaN}], "edges": []}', "[" * 9_000):
        bare.page.evaluate(PASTE, text)
        bare.tell()
        assert refused(bare)
        assert edges(graph) == before
    bare.page.evaluate(PASTE, "just a sentence")  # then it is the piece that was copied here
    bare.tell()
    assert list(graph.nodes)[-2:] == ["rain_3", "rank_3"]


def test_a_large_graph_is_seen_as_outlines_and_read_where_one_looks(
    shown: Callable[[Graph], BarePage],
):
    graph = large()
    bare = shown(graph)
    assert bare.page.locator(".flownb-node").count() == 301
    assert bare.page.locator(".flownb-node text").count() == 0
    assert bare.page.locator(".flownb-canvas svg *").count() < 9 * 301
    bare.page.get_by_label("find a node").fill("n150")
    for _ in range(8):
        bare.page.get_by_label("zoom in").click()
    bare.page.get_by_label("find a node").press("Enter")
    bare.tell()
    assert node(bare, "n150").locator(".fnb-name").text_content() == "n150"
    said = bare.size
    drag(bare, body(bare, "n150"), (600, 400), steps=40)
    assert bare.size - said < 5_000  # bytes for 40 moves, what is chosen told too
    assert graph._canvas.done == "move n150"


def test_two_canvases_of_a_graph_take_part_in_one_history(browser: Any):
    graph = weather()
    views = [BarePage(browser.new_page(), graph.edit()) for _ in range(2)]
    node(views[0], "sun").click()
    press(views[0], "Delete")
    for view in views:
        view.live.refresh()
        view.tell()
        assert node(view, "sun").count() == 0
    views[1].page.get_by_label("undo delete sun").click()
    views[1].tell()
    views[0].live.refresh()
    views[0].tell()
    assert node(views[0], "sun").count() == 1
    for view in views:
        view.page.close()
