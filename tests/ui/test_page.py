"""Is the page at `/` the notebook's view, on a phone and a desk, in the light and the dark?"""

from __future__ import annotations

import time

import pytest

from flownb import Graph
from tests.support.served import TOKEN, run_of, serving, sums

pytestmark = [pytest.mark.browser, pytest.mark.wallclock]


@pytest.fixture
def served():
    graph = (
        Graph("weather").add_producer("days", every=0.1).add_node("check", lambda day: day)
        .add_node("audit", lambda day: day, kind="non_blocking")
        .add_edge("days", "check").add_edge("days", "audit")
    )  # fmt: skip
    orch = graph.start(control="thread")
    with serving(orch) as client:
        yield orch, client.server
    orch.stop().wait(20)


def opened(browser, url, width=1400, scheme="light"):
    """Open a page; give it, and what its console complains of."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page, said = context.new_page(), []
    page.on("console", lambda m: m.type in {"error", "warning"} and said.append(m.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(url)
    page.wait_for_selector(".flownb-dag svg", timeout=60_000)
    return page, said


def shows(page, part, text):
    page.locator(f".flownb-{part}", has_text=text).first.wait_for(timeout=30_000)


@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_says_nothing_on_the_console_and_follows_the_theme(
    browser, served, width, scheme
):
    page, said = opened(browser, served[1].url, width, scheme)
    shows(page, "dashboard", "/s")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    ink = page.evaluate("getComputedStyle(document.querySelector('.flownb')).color")
    assert (ink == "rgb(17, 17, 17)") is (scheme == "light")
    assert TOKEN not in page.url
    assert said == []
    page.context.close()


def test_a_pause_clicked_on_the_page_reaches_the_loop_and_the_notebook_s_view(browser, served):
    orch, server = served
    view = orch.dashboard()
    page, _ = opened(browser, server.url)
    page.locator("[data-do=pause]").first.click()
    until = time.monotonic() + 30
    while orch.status()["days"].state != "paused":
        assert time.monotonic() < until
        page.wait_for_timeout(50)
    view.refresh()
    assert "paused" in str(view.state)
    page.reload()  # the cookie takes the token's place
    page.wait_for_selector(".flownb-dag svg", timeout=60_000)
    page.locator("[data-do=resume]").first.click()
    while orch.status()["days"].state != "running":
        assert time.monotonic() < until
        page.wait_for_timeout(50)
    view.close()
    page.context.close()


def test_without_the_token_one_may_look_and_not_touch(browser, served):
    orch, server = served
    page, _ = opened(browser, server.address)
    page.wait_for_selector("#words:not([hidden])")
    page.locator("[data-do=pause]").first.click()
    page.wait_for_selector(".flownb-error:not([hidden])")
    assert "to look at only" in page.locator(".flownb-error").inner_text()
    assert orch.status()["days"].state == "running"
    page.context.close()


def test_a_page_finds_its_graph_again_when_it_was_started_again(browser, served):
    orch, server = served
    page, _ = opened(browser, server.url)
    orch.stop().wait(20)
    shows(page, "dag", "stopped")
    orch.start().wait(20)
    shows(page, "dag", "running")
    page.context.close()


def test_the_page_lists_the_last_runs_and_shows_what_came_of_one(browser, served, tmp_path):
    orch, _ = served
    with serving(orch, graphs=[sums()], store=str(tmp_path / "runs.sqlite")) as client:
        page, said = opened(browser, client.server.url, width=400)
        assert page.locator("#runs").is_hidden()
        run = run_of(client, {"value": 21}, graph="sums")
        page.get_by_role("button", name=run["run_id"]).click()
        shown = page.locator("#runs pre")
        shown.get_by_text("visited: double").wait_for()
        assert '"value": 42' in shown.inner_text()
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        failed = run_of(client, {}, graph="sums")
        page.get_by_role("button", name=failed["run_id"]).click()
        shown.get_by_text("KeyError").wait_for()
        assert page.get_by_role("cell", name="failed").count() == 1
        assert said == []
        page.context.close()
