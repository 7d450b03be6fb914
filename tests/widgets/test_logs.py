"""Does the log view show every line, failure and state, once, and stay bounded?"""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from flownb.widgets import logs
from flownb.widgets.logs import Logs
from tests.support.live import live, one, until
from tests.support.widgets import noted

pytestmark = pytest.mark.wallclock


class Page:
    """What a browser would know after each state: (level, text)."""

    def __init__(self, part):
        self.part, scene = part, part.scene()
        self.seen, self.entries = scene["upto"], list(scene["past"]["e"])

    def look(self):
        state = self.part.state()
        for key in sorted(state, key=lambda k: int(k[1:])):
            if int(key[1:]) > self.seen:
                self.seen = int(key[1:])
                self.entries += state[key]["e"]
        return self.entries

    def texts(self, level):
        return [text for _, _, _, found, text, _ in self.look() if found == level]


@live
async def test_prints_failures_and_states_arrive_once_and_a_late_page_gets_them_too():
    def check(item):
        print(f"item {item}")
        if item == 3:
            raise ValueError("no third")

    orch = one(range(5), fn=check, every=0.02).start()
    part = Logs(orch)
    page = Page(part)
    while not orch.is_over():
        page.look()
        await asyncio.sleep(0.03)
    for found in (page, Page(part)):
        await until(lambda found=found: len(found.texts("print")) == 5)
        assert found.texts("print") == [f"item {i}" for i in range(5)]
        assert found.texts("error") == ["ValueError: no third"]
        assert found.texts("state")[-1] == "✓ completed"
        (trace,) = [x[5] for x in found.entries if x[3] == "error"]
        assert "in check" in trace


@live
async def test_the_last_words_of_a_run_are_told_however_soon_they_come(monkeypatch):
    monkeypatch.setattr(logs, "_EVERY", 1000)
    async with one(every=0.01).start() as orch:
        page = Page(Logs(orch))
        page.look()
    await until(orch.is_over)
    assert page.texts("state")[-1].endswith("stopped")


@live
async def test_a_flood_of_prints_is_cut_and_counted():
    def shout(_):
        for i in range(500):
            print("x" * 1_000, i)

    async with one(fn=shout, every=0.01).start() as orch:
        view = orch.logs_view()
        sent = noted(view)
        begin = time.monotonic()
        view.start()
        await asyncio.sleep(1)
        view.close()
        seconds = time.monotonic() - begin
    assert len(sent) <= 10 * seconds + 3
    assert sum(len(json.dumps(m)) for m in sent) < 100_000 * seconds + 30_000
    assert any(
        value and value.get("left")
        for message in sent
        for key, value in (message.get("patch") or message["state"]).items()
        if key.startswith("logs/c")
    )


@live
async def test_the_names_of_who_speaks_are_there_before_they_speak():
    async with one(every=0.01).start() as orch:
        view = orch.logs_view()
        found = {(r["loop"], r["node"]) for r in view.scene["logs"]["rows"]}
        assert found >= {("days", "days"), ("days", "check")}
        view.close()


@live
async def test_what_stays_is_a_table_of_the_last_lines():
    orch = one([1], fn=lambda _: print("<b>hello</b>")).start()
    view = orch.logs_view()
    await orch.wait(timeout=30)
    await until(lambda: "&lt;b&gt;hello&lt;/b&gt;" in view.still())
    view.close()
