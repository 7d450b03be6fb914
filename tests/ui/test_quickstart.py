"""Does the quickstart look right and run through in a real JupyterLab?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.notebooks import new_page

if TYPE_CHECKING:
    from tests.ui.conftest import Lab

QUICKSTART = Path(__file__).parent.parent.parent / "notebooks" / "01_quickstart.ipynb"
_OUTPUT = ".jp-NotebookPanel .jp-OutputArea-output"
_OVERFLOWS = """() => [...document.querySelectorAll('.fnb svg')].filter(svg => {
    const frame = svg.getBoundingClientRect();
    return [...svg.querySelectorAll('text')].some(text => {
        const box = text.getBoundingClientRect();
        return box.left < frame.left - 1 || box.right > frame.right + 1
            || box.top < frame.top - 1 || box.bottom > frame.bottom + 1;
    });
}).length"""


@pytest.mark.browser
@pytest.mark.wallclock
@pytest.mark.timeout(300)
def test_run_all_in_jupyterlab_shows_every_picture_and_no_console_error(
    browser: Any, lab: Lab
) -> None:
    page = new_page(browser, height=7000)
    errors: list[str] = []
    page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
    _open(page, lab(QUICKSTART, outputs=False))
    _run_all(page)
    page.wait_for_selector(f"{_OUTPUT}:has-text('did you mean')")
    page.wait_for_selector(f"{_OUTPUT}:has-text(\"('storms', 'stopped')\")")
    pictures = page.locator(f"{_OUTPUT}:not(:has(.flownb, .flownb-still)) .fnb svg[role=img]")
    assert pictures.count() == 2  # the graph and the timeline
    assert all(picture.is_visible() for picture in pictures.all())
    assert not any(still.is_visible() for still in page.locator(f"{_OUTPUT} img").all())
    assert page.locator(f"{_OUTPUT} .fnb-table").count() >= 6
    assert page.evaluate(_OVERFLOWS) == 0
    assert errors == []
    page.close()


@pytest.mark.browser
@pytest.mark.wallclock
@pytest.mark.timeout(300)
def test_a_clone_that_is_not_trusted_still_shows_the_pictures(browser: Any, lab: Lab) -> None:
    page = new_page(browser, height=7000)
    _open(page, lab(QUICKSTART, "Dark"))
    stills = page.locator(f"{_OUTPUT} img")
    stills.nth(3).wait_for()
    assert stills.count() == 4  # the graph, the timeline, and both in the view
    for still in stills.all():
        assert still.is_visible()
        assert still.evaluate("image => image.naturalWidth") > 500
    assert not any(words.is_visible() for words in page.locator(f"{_OUTPUT} .fnb-scroll").all())
    assert page.evaluate("document.body.dataset.jpThemeLight") == "false"
    page.close()


def _open(page: Any, address: str) -> None:
    page.goto(address, wait_until="domcontentloaded")
    page.wait_for_selector(".jp-NotebookPanel .jp-CodeCell")
    page.wait_for_function(
        "() => document.querySelector('.jp-NotebookPanel .jp-Notebook-ExecutionIndicator')"
        "?.dataset.status === 'idle'"
    )


def _run_all(page: Any) -> None:
    for _ in range(6):
        page.click(".jp-NotebookPanel .jp-Cell >> nth=0")  # the menu acts on what has the focus
        page.keyboard.press("Escape")
        page.click("text=Run >> nth=0")
        page.click("li[data-command='runmenu:run-all']")
        try:  # a Lab that is still coming up swallows a command now and then
            page.wait_for_selector(f"{_OUTPUT}:has-text('drizzle')", timeout=15_000)
        except Exception:  # noqa: BLE001
            continue
        return
