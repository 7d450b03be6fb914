"""Do dashboard, timeline and log move and obey in a real JupyterLab, whatever names there are?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.notebooks import AWAITS, INSIDE, go_on, new_page, opened, run_cell, written

if TYPE_CHECKING:
    from pathlib import Path

    from tests.ui.conftest import Lab

pytestmark = [pytest.mark.browser, pytest.mark.wallclock, pytest.mark.timeout(300)]

EVIL = "<img src=x onerror=alert(1)>"
GRAPH = f"""
import asyncio, time
from flownb import Graph

async def check(day):
    print(f"<script>alert('day {{day}}')</script>")
    await asyncio.sleep(0.05)
    if day % 5 == 4: raise ValueError("{EVIL}")

graph = (
    Graph("weather")
    .add_producer("days", every=0.1).add_node("check", check).add_queue("wet")
    .add_node("{EVIL}", lambda day: time.sleep(0.15), kind="non_blocking")
    .add_edge("days", "check", "wet").add_edge("days", "{EVIL}")
    .add_queue_reader("{EVIL}2", queue="wet").add_node("rank").add_edge("{EVIL}2", "rank")
)
orch = graph.start()
"""
ROW = ".flownb-loops .flownb-row:has(strong:text-is('days'))"
ITEMS = """() => Number(document.querySelector('.flownb-c-rate .flownb-dim').title
    .replace(/\\D/g, ''))"""  # of the first loop


@pytest.fixture
def page(browser: Any) -> Any:
    """Give a page on which a call of `alert` is noted."""
    page = new_page(browser)
    page.add_init_script("window.alerted = 0; window.alert = () => { window.alerted += 1; };")
    yield page
    page.close()


def outside(page: Any, part: str) -> list[str]:
    """What of a part stands out of it."""
    found = """part => {
        const frame = document.querySelector(part).getBoundingClientRect();
        return [...document.querySelectorAll(`${part} *`)].filter(e => {
            const box = e.getBoundingClientRect();
            const rolls = '.flownb-scroll, .flownb-lines, .flownb-axis, .flownb-hidden';
            const clipped = e.closest(rolls);
            return box.width && !clipped && box.right > frame.right + 1;
        }).map(e => `${e.tagName} ${e.className.baseVal ?? e.className} ${e.textContent}`);
    }"""
    return page.evaluate(found, part)


def test_the_dashboard_counts_and_obeys_also_while_a_cell_awaits(
    page: Any, lab: Lab, tmp_path: Path
) -> None:
    cells = [GRAPH, "orch.dashboard()", AWAITS, "time.sleep(1)"]
    errors = opened(page, lab(written(tmp_path / "dashboard.ipynb", *cells)))
    run_cell(page, 0)
    run_cell(page, 1, ".flownb-big")
    page.wait_for_function(f"() => ({ITEMS})() > 5")
    page.wait_for_selector(".flownb-queues .flownb-row:has-text('wet')")
    for wide in (700, 1000, 1200):
        page.set_viewport_size({"width": wide, "height": 1400})
        assert outside(page, ".flownb-dashboard") == []

    awaiting = run_cell(page, 2)
    page.locator("[aria-label='pause days']").click()
    page.wait_for_selector(f"{ROW} [data-state=paused]")
    assert awaiting.locator(INSIDE).count() == 0  # it still awaits
    page.wait_for_timeout(400)
    made = page.evaluate(ITEMS)
    page.locator("[aria-label='step days']").click()
    page.wait_for_function(f"n => ({ITEMS})() === n + 1", arg=made)
    page.wait_for_timeout(400)
    assert page.evaluate(ITEMS) == made + 1
    page.locator("[aria-label='resume days']").click()
    page.wait_for_function(f"n => ({ITEMS})() > n + 2", arg=made)
    page.wait_for_selector(".flownb-says li:has-text('items failed: check: ValueError')")

    go_on(lab.folder)
    awaiting.locator(INSIDE).wait_for()
    run_cell(page, 3)
    page.locator("[aria-label='stop all loops']").click()
    page.wait_for_selector(".flownb-dashboard .flownb-bar:has-text('2 loops stopped')")
    assert page.locator(f"{ROW} button:enabled").count() == 1
    page.locator("[aria-label='start days']").click()
    page.wait_for_selector(f"{ROW} [data-state=running]")
    page.locator("[aria-label='stop days']").click()
    page.wait_for_selector(f"{ROW} [data-state=stopped]")
    assert errors == []
    assert page.evaluate("window.alerted") == 0
    assert page.locator(".flownb img").count() == 0


def test_the_timeline_follows_and_looks_back_and_the_log_is_filtered_and_searched(
    page: Any, lab: Lab, tmp_path: Path
) -> None:
    cells = [GRAPH, "orch.live_timeline()", "orch.logs_view()", "await orch.stop()"]
    errors = opened(page, lab(written(tmp_path / "timeline.ipynb", *cells)))
    run_cell(page, 0)
    run_cell(page, 1, ".flownb-chart")
    run_cell(page, 2, ".flownb-log")
    page.wait_for_selector(".flownb-node-name:text-is('check')")
    page.wait_for_function(f"() => ({_INKED})() > 500")  # bars are drawn

    follow = page.locator(".flownb-timeline button:text-is('follow')")
    page.wait_for_function(_LOOKS_BACK)  # not before there is a second to look back to
    page.wait_for_selector(".flownb-timeline .flownb-bar .flownb-dim:has-text('ago')")
    page.locator(".flownb-chart").focus()
    page.keyboard.press("End")
    assert follow.get_attribute("aria-pressed") == "true"
    page.locator(".flownb-timeline summary").click()
    page.wait_for_selector(".flownb-twin td:text-is('waits for check')")
    assert outside(page, ".flownb-timeline") == []

    lines = page.locator(".flownb-log")
    page.wait_for_selector(".flownb-log[data-level=error]")
    page.locator(".flownb-logs [aria-label=level]").select_option("errors")
    others = ".flownb-log:not([data-level=error])"
    page.wait_for_function(f"() => !document.querySelector('{others}')")
    lines.locator("summary").first.click()
    assert "in check" in lines.locator("pre").first.inner_text()
    page.locator(".flownb-logs [aria-label=level]").select_option("everything")
    page.locator(".flownb-logs input").fill("DAY 3)")
    page.wait_for_function("() => document.querySelectorAll('.flownb-log').length === 0")
    page.locator(".flownb-logs input").fill("('DAY 3'")
    page.wait_for_function("() => document.querySelectorAll('.flownb-log mark').length === 1")

    run_cell(page, 3)
    page.locator(".flownb-logs input").fill("stopped")
    page.wait_for_selector(".flownb-log[data-level=state]:has-text('stopped')")
    assert errors == []
    assert page.evaluate("window.alerted") == 0
    assert page.locator(".flownb img").count() == 0


_LOOKS_BACK = """() => {
    document.querySelector('.flownb-timeline [aria-label=earlier]').click();
    const [, , , , follow] = document.querySelectorAll('.flownb-timeline .flownb-bar button');
    return follow.textContent === 'follow' && follow.getAttribute('aria-pressed') === 'false';
}"""
_INKED = """() => {
    const canvas = document.querySelector('.flownb-chart');
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    let found = 0;
    for (let i = 3; i < data.length; i += 4) found += data[i] > 128;
    return found;
}"""
