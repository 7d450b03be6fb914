"""Can one play with a graph by pointer and by keys, in a page without JupyterLab?"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from flownb import Graph
from tests.support.live import until_in_script
from tests.support.notebooks import new_page
from tests.support.widgets import BarePage

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.browser, pytest.mark.wallclock, pytest.mark.nightly, pytest.mark.timeout(120),
]  # fmt: skip
FOCUS = "() => document.activeElement.getAttribute('aria-label')?.split(',')[0]"
PLACES = """() => [...document.querySelectorAll('.flownb-scale > span')]
    .filter(one => getComputedStyle(one).color !== 'rgba(0, 0, 0, 0)')
    .map(one => one.getBoundingClientRect()).map(box => [box.left, box.right])"""


@pytest.fixture
def bare(browser: Any) -> Iterator[BarePage]:
    page = new_page(browser, height=900)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    graph = Graph("shop").add_producer("days", takes=0.5).add_node("check", takes=0.0012)
    graph.add_node("charge", takes=0.172).add_edge("days", "check", "charge")
    view = graph.explore()
    found = BarePage(page, view)
    page.wait_for_selector(".flownb-node")
    yield found
    view.close()
    page.close()
    assert errors == []


def test_arrow_keys_lead_from_node_to_node_and_a_node_is_flipped_without_a_pointer(bare: BarePage):
    page = bare.page
    assert page.locator(".flownb-node[tabindex='0']").count() == 1
    page.locator(".flownb-node[tabindex='0']").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.evaluate(FOCUS) == "charge"
    page.keyboard.press("b")
    until_in_script(
        lambda: bare.tell() or "charge is non-blocking" in page.inner_text(".flownb-bar")
    )
    assert page.evaluate(FOCUS) == "charge", "the picture is a new one, the focus is where it was"
    page.keyboard.press("Enter")
    assert page.inner_text(".flownb-knobs strong") == "charge"
    page.keyboard.press("Escape")
    assert page.locator(".flownb-knobs").is_hidden()


@pytest.mark.parametrize("width", [1400, 700])
def test_the_slider_has_a_scale_whose_words_do_not_cover_each_other(bare: BarePage, width: int):
    page = bare.page
    page.set_viewport_size({"width": width, "height": 900})
    page.locator(".flownb-node").nth(2).click()
    page.wait_for_timeout(200)
    places = page.evaluate(PLACES)
    assert len(places) >= 4
    assert all(a[1] < b[0] for a, b in pairwise(places))
    assert page.inner_text(".flownb-knobs output") == "0.17 s"
    page.locator(".flownb-knobs input[type=range]").press("End")
    until_in_script(lambda: bare.tell() or "takes 60 min" in page.inner_text(".flownb-bar"))


def test_the_sketch_is_shown_as_python(bare: BarePage):
    bare.page.locator(".flownb-node").nth(1).dblclick()
    bare.tell()
    bare.page.click("text=copy as Python")
    bare.tell()
    code = bare.page.locator(".flownb-written textarea").input_value()
    assert code.startswith("from flownb import Graph")
    assert '"check", takes=0.0012, kind="non_blocking"' in code
