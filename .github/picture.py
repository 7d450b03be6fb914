#!/usr/bin/env python3
"""Take README's picture of the present view: `python .github/picture.py`, with the extra `dev`.

A graph runs here and is served as a page; the system's Chromium takes the picture.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))  # the flownb of this checkout

from playwright.async_api import async_playwright  # noqa: E402

import flownb  # noqa: E402

WIDE, SECONDS, BAD = 1320, 20, 23
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def check(day: int) -> int:
    """Give a day back; now and then there is no reading."""
    time.sleep(0.05)
    if day % BAD == 0:
        msg = f"day {day} has no reading"
        raise ValueError(msg)
    return day


def rank(day: int) -> int:
    """Take longer than wet days come."""
    time.sleep(0.4)
    return day


def weather() -> flownb.Graph:
    """Give the graph of README, with a reader that is too slow."""
    return (
        flownb.Graph("weather")
        .add_producer("days", every=0.2)
        .add_node("check", check)
        .add_node("audit", lambda _: time.sleep(0.3), kind="non_blocking")
        .add_if("wet?", lambda day: day % 3 > 0)
        .add_queue("wet_days", maxlen=8)
        .add_edge("days", "check", "wet?")
        .add_edge("wet?", "wet_days", when=True)
        .add_edge("days", "audit")
        .add_queue_reader("storms", queue="wet_days")
        .add_node("rank", rank)
        .add_edge("storms", "rank")
    )


async def main() -> None:
    """Run, look, save, stop."""
    path = next(found for name in BROWSERS if (found := shutil.which(name)))
    orch = weather().start()
    server = await flownb.serve(orch, port=0)
    async with async_playwright() as started:
        chromium = await started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = await chromium.new_page(viewport={"width": WIDE, "height": 930})
        await page.goto(server.url)
        await page.wait_for_selector(".flownb-dag svg")
        await page.click(".flownb-tab:text-is('timeline')")
        await asyncio.sleep(SECONDS)
        await page.locator(".flownb").screenshot(path=HERE / "view.png")
        await chromium.close()
    await server.stop()
    await orch.stop()


if __name__ == "__main__":
    asyncio.run(main())
