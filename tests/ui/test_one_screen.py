"""Is a whole view on one screen, and do selection, search, peek, share and a dead kernel work?"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.notebooks import INSIDE, new_page, opened, run_cell, written

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.ui.conftest import Lab

pytestmark = [
    pytest.mark.browser, pytest.mark.wallclock, pytest.mark.nightly, pytest.mark.timeout(400),
]  # fmt: skip

GRAPH = """
import time
from flownb import Graph

def read(x):
    if x % 4 == 3: raise ValueError(f"reading {x} is broken")
    return x

graph = Graph("sensors").add_producer("probe", range(10**6), every=0.1).add_node("read", read)
graph.add_edge("probe", "read")
last = "read"
for i in range(16):
    graph.add_node(f"step_{i}").add_edge(last, f"step_{i}")
    last = f"step_{i}"
graph.add_queue("found", external=True).add_edge(last, "found")
graph.set_loop("probe", on_error="dead_letter")
orch = graph.start()
view = orch.view()
"""
SMALL = """() => [...document.querySelectorAll('.flownb button, .flownb select, .flownb-ask')]
    .filter(one => one.offsetParent !== null || one.closest('svg'))
    .map(one => [one.className.baseVal ?? one.className, one.getBoundingClientRect()])
    .filter(([, box]) => box.width && (box.width < 23.5 || box.height < 23.5))
    .map(([name, box]) => [name, box.width, box.height])"""


@pytest.fixture(scope="module")
def seen(browser: Any, lab: Lab, tmp_path_factory: Any) -> Iterator[Any]:
    """Give a page with a running view on it, and the errors of its console."""
    page = new_page(browser, height=900)
    page.set_viewport_size({"width": 1400, "height": 900})
    book: Path = tmp_path_factory.mktemp("one") / "one.ipynb"
    cells = [GRAPH, "view", "view.selection.get('node')", "await orch.stop()"]
    errors = opened(page, lab(written(book, *cells)))
    run_cell(page, 0)
    run_cell(page, 1, ".flownb-node")
    page.wait_for_selector(".flownb-says li:has-text('items failed')", timeout=60_000)
    yield page, errors
    page.close()


def test_head_sentences_and_graph_are_on_one_screen_with_one_set_of_buttons(seen: Any) -> None:
    page, _ = seen
    box = page.locator(".flownb-dag").bounding_box()
    assert box["height"] < 620
    heads = page.locator(".flownb-bar [data-do=pause]")
    assert sum(one.is_visible() for one in heads.all()) == 1
    assert page.locator(".flownb [role=tabpanel]:visible").count() == 1


def test_a_name_in_a_sentence_leads_to_its_node_and_the_selection_reaches_the_next_cell(
    seen: Any,
) -> None:
    page, _ = seen
    page.locator(".flownb-says .flownb-link").first.click()
    page.wait_for_selector(".flownb-panel:has-text('ValueError')")
    run_cell(page, 2, f"{INSIDE}:has-text(\"'read'\")")
    page.locator(".flownb-tab:text-is('log')").click()
    page.wait_for_function(
        "() => [...document.querySelectorAll('.flownb-log-who')]"
        ".every(who => who.title.includes('read'))"
    )
    page.locator(".flownb-tab:text-is('timeline')").click()
    page.wait_for_function("() => document.querySelectorAll('.flownb-node-name').length === 1")
    page.locator(".flownb-hands button:text-is('try again')").click()
    page.wait_for_selector(".flownb-panel [role=status]:has-text('is tried again')")


def test_a_slash_finds_a_node_and_the_queue_at_the_end_can_be_looked_into(seen: Any) -> None:
    page, _ = seen
    page.locator(".flownb-node").first.focus()
    page.keyboard.press("/")
    page.keyboard.type("found")
    page.keyboard.press("Enter")
    page.wait_for_selector(".flownb-panel h3:text-is('found')")
    node = page.locator(".flownb-node[aria-label^='found,']").bounding_box()
    frame = page.locator(".flownb-frame").bounding_box()
    assert frame["x"] <= node["x"] <= frame["x"] + frame["width"]
    page.fill(".flownb-hands input", '{"by": "hand"}')
    page.keyboard.press("Enter")
    page.wait_for_selector(".flownb-panel [role=status]:has-text('pushed')")
    page.wait_for_selector(".flownb-panel pre:has-text(' old')")


@pytest.mark.parametrize("how", ["svg", "json", "html"])
def test_a_view_is_shared_as_a_file(seen: Any, how: str) -> None:
    page, _ = seen
    with page.expect_download() as download:
        page.locator("[aria-label=share]").select_option(how)
    text = download.value.path().read_text()
    if how == "json":
        assert json.loads(text)["name"] == "sensors"
    assert "probe" in text
    assert "<script" not in text


def test_at_700_pixels_every_target_can_be_hit_and_nothing_sticks_out(seen: Any) -> None:
    page, errors = seen
    page.set_viewport_size({"width": 700, "height": 900})
    page.wait_for_timeout(500)
    assert page.evaluate(SMALL) == []
    wide = page.locator(".flownb").bounding_box()["width"]
    assert page.evaluate("document.querySelector('.flownb').scrollWidth") <= wide + 1
    run_cell(page, 3)
    assert errors == []


def test_a_view_whose_kernel_has_died_says_so_and_its_buttons_do_no_harm(
    browser: Any, lab: Lab, tmp_path: Path
) -> None:
    page = new_page(browser, height=900)
    thrown: list[str] = []
    page.on("pageerror", lambda error: thrown.append(str(error)))
    dies = "import os, threading; threading.Timer(0.5, os._exit, [1]).start()"
    opened(page, lab(written(tmp_path / "dies.ipynb", GRAPH, "view", dies)))
    run_cell(page, 0)
    run_cell(page, 1, ".flownb-node")
    page.wait_for_selector(".flownb:not(.flownb-stale)")
    run_cell(page, 2)
    silence = page.locator(".flownb-silence:not([hidden])")
    silence.wait_for(timeout=60_000)
    words = silence.inner_text()
    assert words.startswith(("no news since", "not connected since"))
    page.wait_for_selector(".flownb-stale")
    dialog = page.locator(".jp-Dialog button.jp-mod-accept")  # "the kernel has died"
    if dialog.count():
        dialog.first.click()
    pause = page.locator(".flownb-dag .flownb-bar [data-do=pause]").first
    if pause.is_enabled():
        pause.click()
        page.wait_for_selector(".flownb-silence:has-text('pause: sent, not answered yet')")
    assert thrown == []
    page.close()
