"""Can loops be folded and the timeline be zoomed with the pointer, in a page without JupyterLab?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from flownb import Graph
from tests.support.live import until_in_script
from tests.support.notebooks import new_page
from tests.support.widgets import BarePage

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.browser, pytest.mark.wallclock, pytest.mark.timeout(120)]


@pytest.fixture
def bare(browser: Any) -> Iterator[BarePage]:
    """Give a page with a view of two loops."""
    page = new_page(browser, height=900)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    graph = Graph("two")
    for name in ("days", "nights"):
        graph.add_producer(name, every=0.05)
        for i in range(6):
            graph.add_node(f"{name} {i}").add_edge(f"{name} {i - 1}" if i else name, f"{name} {i}")
    orch = graph.start()
    view = orch.view()
    found = BarePage(page, view)
    view.start()
    until_in_script(lambda: found.tell() or page.locator(".flownb-node").count() == 14)
    yield found
    view.close()
    orch.stop()
    until_in_script(lambda: page.wait_for_timeout(20) or orch.is_over())
    page.close()
    assert errors == []


def test_a_click_on_the_title_of_a_lane_folds_its_loop_and_another_unfolds_it(bare: BarePage):
    titles = bare.page.locator(".flownb-fold")
    assert titles.nth(0).bounding_box()["height"] >= 24
    titles.nth(0).click()
    until_in_script(lambda: bare.tell() or bare.page.locator(".flownb-node").count() == 8)
    assert titles.nth(0).get_attribute("aria-expanded") == "false"
    assert "7 nodes" in bare.page.locator(".flownb-node").nth(0).text_content()
    titles.nth(0).focus()
    bare.page.keyboard.press("Enter")
    until_in_script(lambda: bare.tell() or bare.page.locator(".flownb-node").count() == 14)


def test_a_search_finds_a_node_in_a_folded_loop_and_unfolds_it(bare: BarePage):
    bare.live._on_command(None, {"do": "fold"}, None)
    until_in_script(lambda: bare.tell() or bare.page.locator(".flownb-node").count() == 2)
    bare.page.fill(".flownb-bar .flownb-search", "nights 4")
    bare.page.locator(".flownb-bar .flownb-search").press("Enter")
    until_in_script(lambda: bare.tell() or bare.page.locator(".flownb-node").count() == 8)
    bare.page.locator(".flownb-bar .flownb-search").press("Enter")
    bare.page.wait_for_selector(".flownb-chosen[aria-label^='nights 4']")


def test_a_box_that_is_drawn_with_shift_is_what_the_timeline_shows(bare: BarePage):
    bare.page.locator(".flownb-tab:text-is('timeline')").click()
    bare.tell()
    chart = bare.page.locator(".flownb-chart")
    bare.page.wait_for_function(
        "() => document.querySelector('.flownb-chart').ariaLabel.includes('10 s wide')"
    )
    place = chart.bounding_box()
    y = place["y"] + 30
    bare.page.keyboard.down("Shift")
    bare.page.mouse.move(place["x"] + place["width"] * 0.1, y)
    bare.page.mouse.down()
    bare.page.mouse.move(place["x"] + place["width"] * 0.2, y, steps=4)
    assert bare.page.locator(".flownb-box").is_visible()
    bare.page.mouse.up()
    bare.page.keyboard.up("Shift")
    bare.page.wait_for_function(
        "() => document.querySelector('.flownb-chart').ariaLabel.includes('1 s wide')"
    )
    assert bare.page.locator(".flownb-timeline [aria-pressed=false]").count() == 1
