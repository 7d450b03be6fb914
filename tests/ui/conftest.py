"""What do browser tests share? A JupyterLab of their own, and one Chromium."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.machine import find_browser

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parent.parent.parent
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Give a headless Chromium, the system's own."""
    path = find_browser()
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=path, args=list(_FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """Give `open(notebook, theme, outputs=)`: the address of a copy of it in a JupyterLab."""
    pytest.importorskip("jupyterlab")
    home = tmp_path_factory.mktemp("lab")
    with _served(home) as address:

        def opened(notebook: Path, theme: str = "Light", *, outputs: bool = True) -> str:
            (home / notebook.name).write_text(_copy(notebook, outputs=outputs))
            _settings(home, "themes", f'{{"theme": "JupyterLab {theme}"}}')
            return f"{address}/lab/workspaces/{theme}/tree/{notebook.name}?reset"

        opened.home = home  # type: ignore[attr-defined]  # where it saves
        yield opened


def _copy(notebook: Path, *, outputs: bool) -> str:
    content = json.loads(notebook.read_text())
    for cell in content["cells"]:
        if cell["cell_type"] == "code" and not outputs:
            cell["outputs"] = []
    return json.dumps(content)


def _settings(home: Path, name: str, text: str, extension: str = "apputils") -> None:
    folder = home / "settings" / "@jupyterlab" / f"{extension}-extension"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.jupyterlab-settings").write_text(text)


@contextmanager
def _served(home: Path) -> Iterator[str]:
    # else a news pop-up covers the corner
    _settings(home, "notification", '{"fetchNews": "false", "checkForUpdates": false}')
    # else cells that are not in view are not there
    _settings(home, "tracker", '{"windowingMode": "none"}', "notebook")
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folders = {"CONFIG_DIR": "config", "DATA_DIR": "data", "RUNTIME_DIR": "run"}
    env = {**os.environ, "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"), "PYTHONPATH": str(ROOT)}
    env |= {f"JUPYTER_{k}": str(home / v) for k, v in folders.items()}
    command = [
        sys.executable, "-m", "jupyterlab", "--allow-root", "--no-browser", "--ip=127.0.0.1",
        f"--port={port}", "--ServerApp.port_retries=0", "--IdentityProvider.token=",
        f"--ServerApp.root_dir={home}",
    ]  # fmt: skip
    with (home / "log").open("w") as log:
        server = subprocess.Popen(command, env=env, stdout=log, stderr=log)
        try:
            _wait_for(port, server)
            yield f"http://127.0.0.1:{port}"
        finally:
            ended(server)


def ended(server: subprocess.Popen[Any]) -> None:
    """End a server, by force where it does not obey: seen on a busy machine."""
    server.terminate()
    try:
        server.wait(20)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    for _ in range(900):
        assert server.poll() is None, "JupyterLab ended at its start"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    pytest.fail("JupyterLab did not come up in 90 s")
