"""Can one draw a workflow in a real JupyterLab, run it, and have it as code?"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.notebooks import INSIDE, PANEL, new_page, opened, run_cell, written

if TYPE_CHECKING:
    from pathlib import Path

    from tests.ui.conftest import Lab

pytestmark = [pytest.mark.browser, pytest.mark.wallclock, pytest.mark.timeout(300)]

EMPTY = """
import asyncio
from flownb import Graph

async def check(day):
    await asyncio.sleep(0.02)
    return day

graph = Graph("drawn")
"""
FACTS = """
print([(n.name, n.kind) for n in graph.nodes.values()], [str(e) for e in graph.edges.values()])
"""
CALLED = """name => {
    const label = document.querySelector(`.flownb-node[data-id=${name}]`)?.ariaLabel;
    return /healthy, \\d+ calls/.test(label);
}"""
AGAIN = """
from flownb.model.document.builder_code import python_code
code, ours = python_code(graph), graph
exec(code)
print(graph.to_dict() == ours.to_dict(), graph is ours)
graph = ours
"""


@pytest.fixture
def page(browser: Any) -> Any:
    page = new_page(browser)
    yield page
    page.close()


def stage(page: Any) -> Any:
    return page.locator(".flownb-canvas .flownb-frame").bounding_box()


def drag(page: Any, start: tuple[float, float], end: tuple[float, float], steps: int = 8) -> None:
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(start[0] + 6, start[1] + 2)
    page.mouse.move(*end, steps=steps)
    page.mouse.up()


def middle(locator: Any) -> tuple[float, float]:
    locator.scroll_into_view_if_needed()
    box = locator.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def node(page: Any, name: str) -> Any:
    return page.locator(f".flownb-canvas .flownb-node[data-id='{name}']")


def body(page: Any, name: str) -> tuple[float, float]:
    return middle(node(page, name).locator("path").nth(1))


def port(page: Any, name: str) -> tuple[float, float]:
    return middle(node(page, name).locator(".flownb-out > .flownb-port"))


def put(page: Any, label: str, dx: float, dy: float) -> None:
    """Drag something from the palette to a place on the canvas."""
    at = stage(page)
    start = middle(page.locator(f".flownb-palette [aria-label='add {label}']"))
    drag(page, start, (at["x"] + dx, at["y"] + dy))


def edges(page: Any) -> list[str]:
    found = page.locator(".flownb-canvas .flownb-edge").evaluate_all(
        "all => all.map(one => one.getAttribute('data-edge'))"
    )
    return sorted(found)


def until(page: Any, script: str, arg: Any = None) -> None:
    page.wait_for_function(script, arg=arg)


def linked(page: Any, *wanted: str) -> None:
    until(
        page,
        "all => JSON.stringify([...document.querySelectorAll('.flownb-canvas .flownb-edge')]"
        ".map(one => one.getAttribute('data-edge')).sort()) === JSON.stringify(all)",
        sorted(wanted),
    )


def printed(page: Any, cell: int) -> str:
    run_cell(page, cell)
    output = page.locator(f"{PANEL} .jp-CodeCell").nth(cell).locator(INSIDE).first
    output.wait_for()
    return output.inner_text().strip()


def test_a_workflow_is_drawn_run_watched_and_copied_as_code(
    page: Any, lab: Lab, tmp_path: Path
) -> None:
    cells = [
        EMPTY,
        "graph.edit()",
        FACTS,
        "graph.add_node('late', kind='non_blocking').add_edge('source', 'late')\nprint('added')",
        "print(graph.nodes['check'].takes, graph.nodes['check'].kind)",
        AGAIN,
    ]
    errors = opened(page, lab(written(tmp_path / "drawn.ipynb", *cells)))
    run_cell(page, 0)
    run_cell(page, 1, ".flownb-canvas")
    page.wait_for_selector(".flownb-palette [aria-label='add check']")

    put(page, "producer", 90, 80)
    node(page, "source").wait_for()
    put(page, "check", 300, 80)
    node(page, "check").wait_for()
    drag(page, port(page, "source"), body(page, "check"))
    linked(page, "source -> check")
    node(page, "check").click()
    page.locator(".flownb-side button:text-is('non-blocking')").click()
    until(page, "() => document.querySelector('.flownb-node[data-id=check] .fnb-non_blocking')")
    page.keyboard.press("Escape")
    node(page, "check").click()
    field = page.locator("[data-option='takes'] input")
    field.fill("0.25")
    field.press("Tab")
    page.wait_for_selector(".flownb-node[data-id=check] .fnb-word:has-text('0.25')")
    page.locator("[aria-label^='undo set takes']").click()
    page.locator("[aria-label^='undo make check']").click()
    until(page, "() => document.querySelector('.flownb-node[data-id=check] .fnb-blocking')")
    assert printed(page, 4) == "None blocking"
    page.locator("[aria-label^='redo make check']").click()
    page.locator("[aria-label^='redo set takes']").click()
    page.wait_for_selector(".flownb-node[data-id=check] .fnb-word:has-text('0.25')")
    assert (
        printed(page, 2)
        == "[('source', 'producer'), ('check', 'non_blocking')] ['source -> check']"
    )

    page.locator("[aria-label^='run this graph']").click()
    until(
        page,
        CALLED,
        "check",
    )
    page.wait_for_selector(".flownb-loop:has-text('running')")
    assert printed(page, 3) == "added"
    node(page, "late").wait_for()
    page.locator("button:text-matches('apply \\\\d+ edit')").click()
    until(
        page,
        CALLED,
        "late",
    )
    page.locator("[aria-label^='stop every loop']").click()
    page.wait_for_selector(".flownb-canvas-sum:has-text('has run')")
    page.locator("[aria-label^='undo edit in code']").click()
    node(page, "late").wait_for(state="detached")

    page.locator("[aria-label^='copy as the code']").click()
    until(page, "() => document.querySelector('.flownb-copied textarea')?.value.includes('check')")
    assert printed(page, 5) == "True False"
    page.reload()
    page.wait_for_selector(f"{PANEL} .jp-CodeCell")
    assert errors == []


DRAWN = """
from flownb import Graph

graph = Graph("keys").add_producer("days").add_node("check").add_edge("days", "check")
graph.add_node("rank").add_edge("days", "rank")
"""


def test_no_key_of_the_canvas_reaches_the_notebook_and_none_of_a_cell_reaches_the_canvas(
    page: Any, lab: Lab, tmp_path: Path
) -> None:
    errors = opened(page, lab(written(tmp_path / "keys.ipynb", DRAWN, "graph.edit()", FACTS)))
    run_cell(page, 0)
    run_cell(page, 1, ".flownb-node")
    node(page, "check").click()
    for key in ("b", "x", "d", "d", "z", "y", "m", "1", "a"):
        page.keyboard.press(key)
    page.keyboard.press("Escape")  # the menu that "a" has opened
    assert page.locator(f"{PANEL} .jp-CodeCell").count() == 3

    page.keyboard.press("ArrowLeft")  # along the edge
    page.wait_for_selector(".flownb-node.flownb-chosen[data-id=days]")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("t")
    page.wait_for_selector(".flownb-node[data-id=check] > .fnb-non_blocking")
    page.keyboard.press("Shift+ArrowDown")
    page.wait_for_selector("[aria-label='undo move check']")
    page.keyboard.press("l")  # link: walk to the end with the arrows, then Enter
    page.keyboard.press("ArrowDown")
    page.wait_for_selector(".flownb-node.flownb-chosen[data-id=rank]")
    page.keyboard.press("Enter")
    linked(page, "days -> check", "days -> rank", "check -> rank")
    page.keyboard.press("Control+c")
    page.keyboard.press("Control+v")
    node(page, "rank_2").wait_for()
    page.wait_for_selector(".flownb-node.flownb-chosen[data-id=rank_2]")
    page.keyboard.press("Delete")
    node(page, "rank_2").wait_for(state="detached")
    page.keyboard.press("Control+z")  # though the box that had the focus is gone
    node(page, "rank_2").wait_for()
    page.keyboard.press("Control+Shift+z")
    node(page, "rank_2").wait_for(state="detached")

    page.locator(f"{PANEL} .jp-CodeCell").nth(2).locator(".jp-InputPrompt").click()
    page.keyboard.press("Escape")
    page.keyboard.press("Delete")
    page.keyboard.press("Control+z")
    assert printed(page, 2).endswith("['days -> check', 'days -> rank', 'check -> rank']")
    assert errors == []


def test_two_views_and_a_reloaded_page_show_the_same_drawing(
    page: Any, lab: Lab, tmp_path: Path
) -> None:
    book = written(tmp_path / "views.ipynb", DRAWN, "graph.edit()", "graph.edit()", FACTS)
    errors = opened(page, lab(book))
    run_cell(page, 0)
    run_cell(page, 1, ".flownb-node")
    run_cell(page, 2, ".flownb-node")
    first, second = (page.locator(".flownb-canvas").nth(i) for i in (0, 1))
    start = middle(first.locator("[data-id=check] .fnb-name"))
    sent: list[int] = []
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.on(
        "Network.webSocketFrameSent", lambda e: sent.append(len(e["response"]["payloadData"]))
    )
    drag(page, start, (start[0] + 60, start[1] + 70), steps=40)
    first.locator("[aria-label='undo move check']").wait_for()
    assert sum(sent) < 5_000  # bytes: one message for all 40 moves
    second.locator("[aria-label='undo move check']").wait_for()
    places = "all => all.map(one => one.dataset.id + one.getAttribute('transform')).sort()"
    moved = first.locator(".flownb-node").evaluate_all(places)
    assert second.locator(".flownb-node").evaluate_all(places) == moved
    second.locator("[data-id=check]").click()
    page.keyboard.press("Delete")
    first.locator("[data-id=check]").wait_for(state="detached")
    second.locator("[aria-label='undo delete check']").click()
    first.locator("[data-id=check]").wait_for()

    page.wait_for_timeout(2500)  # what stays is drawn again a moment after the last edit
    page.keyboard.press("Control+s")
    page.wait_for_selector("text=Saving completed")
    saved = json.loads((lab.folder / "views.ipynb").read_text())
    [still, _] = [output["data"] for output in saved["cells"][1]["outputs"]]
    flow = json.loads(still["application/vnd.flownb.flow+json"])
    assert [one["id"] for one in flow["nodes"]] == ["days", "check", "rank"]
    page.reload()
    page.wait_for_selector(f"{PANEL} .jp-CodeCell")
    page.wait_for_selector("text=| Idle")
    run_cell(page, 1, ".flownb-node")
    again = page.locator(".flownb-canvas").first
    again.locator("[aria-label='undo delete check']").wait_for(state="detached")
    assert again.locator(".flownb-node").evaluate_all(places) == moved
    assert errors == []


@pytest.mark.nightly
def test_fingers_move_link_zoom_and_add(browser: Any, lab: Lab, tmp_path: Path) -> None:
    context = browser.new_context(viewport={"width": 1200, "height": 1400}, has_touch=True)
    page = context.new_page()
    errors = opened(page, lab(written(tmp_path / "touch.ipynb", DRAWN, "graph.edit()")))
    run_cell(page, 0)
    run_cell(page, 1, ".flownb-node")
    session = context.new_cdp_session(page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        fingers = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(points)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})

    def swipe(a: tuple[float, float], b: tuple[float, float]) -> None:
        touch("touchStart", a)
        for i in range(1, 9):
            touch("touchMove", (a[0] + (b[0] - a[0]) * i / 8, a[1] + (b[1] - a[1]) * i / 8))
        touch("touchEnd")

    x, y = body(page, "check")
    swipe((x, y), (x + 30, y + 60))
    page.wait_for_selector("[aria-label='undo move check']")
    swipe(port(page, "check"), body(page, "rank"))
    linked(page, "check -> rank", "days -> check", "days -> rank")
    at = stage(page)
    middle_x, low = at["x"] + at["width"] / 2, at["y"] + at["height"] - 50
    swipe(middle(page.locator("[aria-label='add queue']")), (middle_x, low))
    node(page, "queue").wait_for()
    scale = "() => document.querySelector('.flownb-canvas .flownb-world').getCTM().a"
    before = page.evaluate(scale)
    touch("touchStart", (middle_x - 30, low), (middle_x + 30, low))
    for i in range(1, 8):
        touch("touchMove", (middle_x - 30 - 5 * i, low), (middle_x + 30 + 5 * i, low))
    touch("touchEnd")
    assert page.evaluate(scale) > 1.5 * before
    assert errors == []
    context.close()
