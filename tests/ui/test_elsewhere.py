"""Does the live graph move and obey in front ends other than JupyterLab?"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import socket
import subprocess
import sys
import textwrap
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.notebooks import PATIENCE, new_page, written
from tests.ui.conftest import ROOT, ended

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.browser,
    pytest.mark.wallclock,
    pytest.mark.nightly,
    pytest.mark.timeout(300),
]

GRAPH = """
from flownb import Graph
graph = Graph("weather").add_producer("days", every=0.1).add_node("check").add_edge("days", "check")
orch = graph.start()
view = orch.dag()
"""
APP = """
import marimo
app = marimo.App()

@app.cell
def _():
{graph}
    return (view,)

@app.cell
def _(view):
    view
    return
"""
NODE = ".flownb-node[aria-label^='check']"


@contextmanager
def serving(home: Path, *command: str) -> Iterator[str]:
    """Serve a folder; `{port}` stands for the port; give the address."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folders = {"CONFIG_DIR": "config", "DATA_DIR": "data", "RUNTIME_DIR": "run"}
    env = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(home)}
    env |= {f"JUPYTER_{k}": str(home / v) for k, v in folders.items()}
    with (home / "log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", *(word.format(port=port) for word in command)],
            cwd=home, env=env, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            for _ in range(600):
                assert server.poll() is None, (home / "log").read_text()
                with closing(socket.socket()) as door:
                    if door.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}"
        finally:
            ended(server)


def needs(front_end: str) -> None:
    """Skip where it is not installed; importing it here would open its logs here."""
    if importlib.util.find_spec(front_end) is None:
        pytest.skip(f"{front_end} is not installed")


def calls(page: Any) -> int:
    """How often the page says `check` was called; it looks into shadow roots, too."""
    label = page.locator(NODE).get_attribute("aria-label")
    return int(re.search(r"(\d+) calls", label)[1])


def moves_and_obeys(page: Any) -> None:
    page.locator(NODE).wait_for()
    page.locator(f"{NODE}[aria-label*=' calls']").wait_for()
    before = calls(page)
    for _ in range(PATIENCE // 100):
        page.wait_for_timeout(100)
        if calls(page) > before + 3:
            break
    assert calls(page) > before + 3
    page.locator("[aria-label='pause days']").click()
    page.locator(".flownb-loop:has-text('paused')").wait_for()


def test_notebook_7(browser: Any, tmp_path: Path) -> None:
    needs("notebook")
    written(tmp_path / "live.ipynb", GRAPH + "view")
    command = ["notebook", "--allow-root", "--no-browser", "--ip=127.0.0.1", "--port={port}"]
    token = ["--ServerApp.port_retries=0", "--IdentityProvider.token="]
    with serving(tmp_path, *command, *token) as address:
        page = new_page(browser, height=1000)
        page.goto(f"{address}/notebooks/live.ipynb", wait_until="domcontentloaded")
        page.locator(".jp-CodeCell .cm-content").first.wait_for()
        for _ in range(10):  # it swallows keys until its kernel is there
            page.locator(".jp-CodeCell .cm-content").first.click()
            page.keyboard.press("Control+Enter")
            with contextlib.suppress(Exception):  # a TimeoutError of Playwright's own
                page.locator(NODE).wait_for(timeout=5_000)
                break
        moves_and_obeys(page)
        assert not any(still.is_visible() for still in page.locator(".flownb-still").all())
        page.close()


def test_voila(browser: Any, tmp_path: Path) -> None:
    needs("voila")
    written(tmp_path / "live.ipynb", GRAPH + "view")
    command = ["voila", "live.ipynb", "--no-browser", "--Voila.ip=127.0.0.1", "--port={port}"]
    with serving(tmp_path, *command) as address:
        page = new_page(browser, height=1000)
        page.goto(address, wait_until="domcontentloaded")
        moves_and_obeys(page)
        page.close()


def test_marimo(browser: Any, tmp_path: Path) -> None:
    needs("marimo")
    code = APP.format(graph=textwrap.indent(GRAPH.strip(), "    "))
    (tmp_path / "app.py").write_text(code)
    command = ["marimo", "run", "app.py", "--headless", "--no-token", "--port", "{port}"]
    with serving(tmp_path, *command) as address:
        page = new_page(browser, height=1000)
        page.goto(address, wait_until="domcontentloaded")
        moves_and_obeys(page)
        page.close()
