"""Does the live graph move, obey and last in a real JupyterLab?"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.notebooks import (
    AWAITS,
    INSIDE,
    OUTPUT,
    go_on,
    new_page,
    opened,
    run_cell,
    written,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.ui.conftest import Lab

pytestmark = [pytest.mark.browser, pytest.mark.wallclock, pytest.mark.timeout(300)]

GRAPH = """
import asyncio, time
from flownb import Graph

async def check(day):
    print(f"<script>alert('day {day}')</script>")
    await asyncio.sleep(0.05)
    if day % 5 == 4: raise ValueError("<img src=x onerror=alert(1)>")
    return "<b>" + str(day)

graph = (
    Graph("weather")
    .add_producer("days", every=0.1)
    .add_node("check", check)
    .add_node("<img src=x onerror=alert(2)>", kind="non_blocking")
    .add_queue("wet")
    .add_edge("days", "check", "wet")
    .add_edge("days", "<img src=x onerror=alert(2)>")
    .add_queue_reader("storms", queue="wet")
    .add_node("rank")
    .add_edge("storms", "rank")
)
"""
CALLS = """name => {
    const node = [...document.querySelectorAll('.flownb-node')]
        .find(n => n.getAttribute('aria-label')?.startsWith(name + ','));
    return Number(node?.getAttribute('aria-label').match(/(\\d+) calls/)?.[1] ?? 0);
}"""


@pytest.fixture
def page(browser: Any) -> Any:
    """Give a page on which a call of `alert` is noted."""
    page = new_page(browser)
    page.add_init_script("window.alerted = 0; window.alert = () => { window.alerted += 1; };")
    yield page
    page.close()


def state_is(page: Any, words: str) -> None:
    page.wait_for_function(
        "words => [...document.querySelectorAll('.flownb-loop')]"
        ".some(text => text.textContent.includes(words))",
        arg=words,
    )


def test_the_graph_moves_and_obeys_while_a_cell_awaits_and_after_a_sync_cell(
    page: Any, lab: Lab, tmp_path: Path
) -> None:
    cells = [
        GRAPH,
        "orch = graph.start()\norch.dag()",
        AWAITS,
        "time.sleep(1)",
    ]
    errors = opened(page, lab(written(tmp_path / "moves.ipynb", *cells)))
    run_cell(page, 0)
    run_cell(page, 1, ".flownb-node")
    page.wait_for_function(f"() => ({CALLS})('rank') > 5")

    awaiting = run_cell(page, 2)
    page.locator("[aria-label='pause days']").click()
    state_is(page, "paused")
    assert awaiting.locator(INSIDE).count() == 0  # it still awaits
    held = page.evaluate(CALLS, "days")
    page.wait_for_timeout(400)
    assert page.evaluate(CALLS, "days") <= held + 1
    page.locator("[aria-label='resume days']").click()
    page.wait_for_function(f"n => ({CALLS})('days') > n", arg=held + 1)

    page.locator(".flownb-node[aria-label^='check']").click()
    page.wait_for_selector(".flownb-panel:has-text('ValueError: <img')")
    page.wait_for_selector(".flownb-panel:has-text('<script>alert')")
    page.keyboard.press("Escape")
    page.wait_for_selector(".flownb-panel", state="hidden")

    go_on(lab.folder)
    awaiting.locator(INSIDE).wait_for()
    run_cell(page, 3)
    page.locator("[aria-label='pause days']").click()
    state_is(page, "paused")
    page.locator("[aria-label^='stop every loop']").click()
    page.wait_for_selector(".flownb-bar:has-text('2 loops stopped')")
    page.locator("[aria-label='start days']").click()
    state_is(page, "running")
    page.locator("[aria-label^='start every loop']").click()
    page.wait_for_selector(".flownb-bar:has-text('2 loops running')")
    page.wait_for_function(f"() => ({CALLS})('rank') > 2")
    page.locator("[aria-label^='stop every loop']").click()
    page.wait_for_selector(".flownb-bar:has-text('2 loops stopped')")
    assert not any(still.is_visible() for still in page.locator(".flownb-still").all())
    assert errors == []
    assert page.evaluate("window.alerted") == 0
    assert page.locator(".flownb img").count() == 0


def test_a_view_whose_output_is_cleared_leaves_nothing_in_the_kernel(
    page: Any, lab: Lab, tmp_path: Path
) -> None:
    cells = [
        GRAPH + "graph.start()",
        (
            "from flownb.engine.orchestrator.generations import running\n"
            "view = running()['weather'].dag(); view"
        ),
        "print('pages', [*view._pages], 'ticking', view._ticking)",
        "await running()['weather'].stop()",
    ]
    opened(page, lab(written(tmp_path / "cleared.ipynb", *cells)))
    run_cell(page, 0)
    run_cell(page, 1, ".flownb-node")
    page.keyboard.press("Escape")
    page.locator(".jp-CodeCell").nth(1).locator(".jp-InputPrompt").click()
    page.click("text=Edit >> nth=0")
    page.click("text=Clear Cell Output")
    page.wait_for_selector(".flownb-node", state="detached")
    run_cell(page, 2, f"{INSIDE}:has-text('pages [] ticking False')")
    run_cell(page, 3)


@pytest.fixture(scope="module")
def saved(browser: Any, lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a notebook that was run in JupyterLab, and saved when its run was over."""
    book = tmp_path_factory.mktemp("saved") / "run.ipynb"
    cells = [GRAPH, "orch = graph.start()\norch.dag()", "await orch.wait(20)\nawait orch.stop()"]
    page = new_page(browser)
    opened(page, lab(written(book, *cells)))
    run_cell(page, 0)
    run_cell(page, 1, ".flownb-node")
    run_cell(page, 2, INSIDE)
    page.wait_for_selector(".flownb-bar:has-text('2 loops stopped')")
    page.wait_for_selector(".flownb-still:has-text('stopped')", state="attached")
    page.wait_for_timeout(500)
    page.keyboard.press("Control+s")
    page.wait_for_selector("text=Saving completed")
    page.close()
    book.write_text((lab.folder / book.name).read_text())
    return book


def test_reopened_without_its_kernel_it_shows_the_last_picture_and_no_error(
    page: Any, lab: Lab, saved: Path
) -> None:
    opened(page, lab(saved.rename(saved.with_name("trusted.ipynb"))))
    still = page.locator(".flownb-still svg")
    still.wait_for()
    assert "stopped" in still.text_content()
    saved.with_name("trusted.ipynb").rename(saved)
    assert "rror displaying" not in page.locator(".jp-NotebookPanel").inner_text()
    assert page.evaluate("window.alerted") == 0


@pytest.mark.nightly  # by day test_quickstart asks it of more pictures
def test_a_clone_that_is_not_trusted_shows_the_last_picture(
    page: Any, lab: Lab, saved: Path, tmp_path: Path
) -> None:
    clone = tmp_path / "untrusted.ipynb"
    clone.write_text(
        saved.read_text().replace("2 loops", "two loops").replace("print(f", "print( f")
    )
    opened(page, lab(clone))
    image = page.locator(f"{OUTPUT} img").first
    image.wait_for()
    assert image.evaluate("image => image.naturalWidth") > 300
    assert "rror displaying" not in page.locator(".jp-NotebookPanel").inner_text()
    assert page.evaluate("window.alerted") == 0


def test_nbconvert_writes_the_last_picture(saved: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "jupyter", "nbconvert", "--to", "html", str(saved)]
    done = subprocess.run(
        [*command, "--output-dir", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "run.html").read_text()
    assert 'class="flownb-still"' in page
    assert "<title>Workflow weather</title>" in page
    assert "<img src=x" not in page


def test_every_output_has_words_for_readers_that_draw_nothing(saved: Path) -> None:
    content = json.loads(saved.read_text())
    shown = [o["data"] for o in content["cells"][1]["outputs"]]
    assert ["".join(o["text/plain"]) for o in shown] == ["Live(dag of weather)"] * 2
    assert ["application/vnd.jupyter.widget-view+json" in o for o in shown] == [False, True]
