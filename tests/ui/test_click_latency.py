"""How soon is a click shown, after its loop has obeyed? 32 clicks, idle and beside a busy cell.

It prints the figures; with FLOWNB_STRICT=1, on a quiet machine, it holds them to their limits.
"""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.machine import STRICT
from tests.support.notebooks import new_page, opened, run_cell, written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.browser, pytest.mark.wallclock, pytest.mark.nightly, pytest.mark.timeout(400),
]  # fmt: skip

GRAPH = """
import time
from flownb import Graph, Observer

class Obeyed(Observer):
    seen = []
    def on_event(self, event):
        if event.kind in {"state", "stepped"}:
            word = event.data[0] if event.kind == "state" else "stepped"
            self.seen.append((word, time.time()))

graph = Graph("clicked").add_producer("days", every=0.05)
graph.add_node("check", lambda day: time.sleep(0.002)).add_edge("days", "check").use(Obeyed())
orch = graph.start()
view = orch.view()
view
"""
TOLD = "import json; json.dumps(Obeyed.seen)"
BUSY = "time.sleep(12)"  # a cell that holds the kernel while one clicks
# Notes when the page shows another state, and another count of items.
WATCH = """() => {
    window.shown = [];
    const state = document.querySelector('.flownb-dashboard .flownb-loops .flownb-c-state');
    const items = document.querySelector('.flownb-dashboard .flownb-loops .flownb-c-rate .flownb-dim');
    const note = (word) => window.shown.push([word, Date.now() / 1000]);
    new MutationObserver(() => note(state.dataset.state)).observe(
        state, { attributes: true, attributeFilter: ['data-state'] });
    new MutationObserver(() => note('items')).observe(items, { childList: true, characterData: true, subtree: true });
}"""  # noqa: E501
WORDS = {"pause": "paused", "resume": "running", "step": "stepped", "stop": "stopped"}
SHOWN = {**WORDS, "step": "items"}
ROUND = ("pause", "step", "resume", "stop")
WITHIN = 0.2, 0.5  # seconds: 9 of 10, all


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    page = new_page(browser)
    yield page
    page.close()


def click(page: Any, verb: str, begun: float) -> tuple[str, float]:
    """Press a button of the view's head, wait until what it does is shown; say when it was."""
    page.locator(f".flownb-dag .flownb-bar [data-do='{verb}']").first.click(timeout=20_000)
    said = SHOWN.get(verb, "running")
    shown = f"() => window.shown.find(([word, at]) => word === '{said}' && at >= {begun})"
    return said, page.wait_for_function(shown, timeout=30_000).json_value()[1]


def clicks(page: Any, *, busy: bool) -> list[tuple[str, float, float]]:
    """Pause, step, resume and stop four times: (verb, when it was pressed, when it was shown)."""
    found = []
    for _ in range(4):
        if busy:  # else a start would wait for the end of a longer cell
            run_cell(page, 1)
            page.wait_for_timeout(500)
        for verb in ROUND:
            page.wait_for_timeout(300)
            begun = time.time()
            _, at = click(page, verb, begun)
            found.append((verb, begun, at))
        page.wait_for_selector("text=| Idle")
        click(page, "start", time.time())
        page.wait_for_timeout(300)
    return found


def late(
    found: list[tuple[str, float, float]], told: list[tuple[str, float]]
) -> list[tuple[float, str]]:
    """Say how long after its loop had obeyed each click was shown, the shortest first."""
    obeyed = [
        next(at for word, at in told if word == WORDS[verb] and at >= begun)
        for verb, begun, _ in found
    ]
    return sorted((max(0.0, at - t), verb) for (verb, _, at), t in zip(found, obeyed, strict=True))


def test_32_clicks_are_shown_soon_after_the_loop_has_obeyed(
    page: Any, lab: Callable[..., str], tmp_path: Path, capsys: Any
) -> None:
    book = written(tmp_path / "clicks.ipynb", GRAPH, "time.sleep(4)", TOLD)
    assert opened(page, lab(book)) == []
    run_cell(page, 0, ".flownb-dashboard .flownb-c-state")
    page.evaluate(WATCH)
    idle, beside = clicks(page, busy=False), clicks(page, busy=True)
    said = run_cell(page, 2, ".jp-OutputArea-output").inner_text()
    told = json.loads(re.search(r"\[\[.*\]\]", said, re.DOTALL)[0])
    every = {"idle": late(idle, told), "beside a busy cell": late(beside, told)}
    for name, found in every.items():
        (half, _), (most, _), (longest, verb) = found[8], found[14], found[-1]
        figures = f"median {half:.3f} s, 9 of 10 {most:.3f} s, longest {longest:.3f} s ({verb})"
        with capsys.disabled():
            print(f"\n16 clicks, {name}, shown after the loop obeyed: {figures}")
        if STRICT:
            assert most <= WITHIN[0], figures
            assert longest <= WITHIN[1], figures
