"""What do browser tests share? A JupyterLab, and a Chromium."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.machine import find_browser

if TYPE_CHECKING:
    from collections.abc import Iterator

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


_lab = pytest.StashKey["Lab"]()


@pytest.fixture(scope="session")
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Give the JupyterLab of this worker: it takes long to start."""
    pytest.importorskip("jupyterlab")
    lab = request.config.stash[_lab] = Lab(tmp_path_factory.mktemp("lab"))
    lab.start()
    yield lab
    del request.config.stash[_lab]
    lab.stop()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Start another JupyterLab where a test has killed it; no test's census counts it as new."""
    lab = item.config.stash.get(_lab, None)
    if lab is not None and not lab.runs and "lab" in item.fixturenames:
        lab.start()


@pytest.fixture(autouse=True)
def kernels_end(request: pytest.FixtureRequest) -> Iterator[None]:
    """End the kernels that a test has started in the JupyterLab."""
    if "lab" not in request.fixturenames:
        yield
        return
    with request.getfixturevalue("lab").kernels_end():
        yield


class Lab:
    """A JupyterLab, and the kernels in it.

    `lab(notebook, theme, outputs=)` puts a copy of a notebook into a new folder, which is then
    its `folder`, and gives the address.
    """

    def __init__(self, home: Path) -> None:
        self.folder = self._home = home
        self._count = 0
        self._address = ""
        self.server: subprocess.Popen[bytes] | None = None
        # else a news pop-up covers the corner
        self._set("notification", '{"fetchNews": "false", "checkForUpdates": false}')
        # else cells that are not in view are not there
        self._set("tracker", '{"windowingMode": "none"}', "notebook")

    def __call__(self, notebook: Path, theme: str = "Light", *, outputs: bool = True) -> str:
        self._count += 1
        self.folder = self._home / str(self._count)
        self.folder.mkdir()
        (self.folder / notebook.name).write_text(_copy(notebook, outputs=outputs))
        self._set("themes", f'{{"theme": "JupyterLab {theme}"}}')
        path = f"{self._count}/tree/{self._count}/{notebook.name}"
        return f"{self._address}/lab/workspaces/{path}?reset"

    def start(self) -> None:
        """Start it; return when it answers."""
        with closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        folders = {"CONFIG_DIR": "config", "DATA_DIR": "data", "RUNTIME_DIR": "run"}
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        env |= {"JUPYTERLAB_SETTINGS_DIR": str(self._home / "settings")}
        env |= {f"JUPYTER_{k}": str(self._home / v) for k, v in folders.items()}
        command = [
            sys.executable, "-m", "jupyterlab", "--allow-root", "--no-browser", "--ip=127.0.0.1",
            f"--port={port}", "--ServerApp.port_retries=0", "--IdentityProvider.token=",
            "--ServerApp.disable_check_xsrf=True", f"--ServerApp.root_dir={self._home}",
        ]  # fmt: skip
        with (self._home / "log").open("a") as log:
            self.server = subprocess.Popen(command, env=env, stdout=log, stderr=log)
        self._address = f"http://127.0.0.1:{port}"
        try:
            _wait_for(port, self.server)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End it, and its kernels."""
        if self.server is not None:
            ended(self.server)

    @property
    def runs(self) -> bool:
        """Whether its process runs."""
        return self.server is not None and self.server.poll() is None

    @contextmanager
    def kernels_end(self) -> Iterator[None]:
        """End the kernels that are started meanwhile."""
        before = self.kernels()
        yield
        for kernel in self.kernels() - before:
            self.ask("DELETE", f"/{kernel}")

    def kernels(self) -> set[str]:
        """Give the ids of the kernels that run in it."""
        return {kernel["id"] for kernel in json.loads(self.ask("GET"))} if self.runs else set()

    def ask(self, method: str, path: str = "", data: bytes | None = None) -> bytes:
        """Ask its server something about kernels."""
        request = urllib.request.Request(
            f"{self._address}/api/kernels{path}", method=method, data=data
        )
        with urllib.request.urlopen(request, timeout=60) as reply:
            return reply.read()

    def _set(self, name: str, text: str, extension: str = "apputils") -> None:
        folder = self._home / "settings" / "@jupyterlab" / f"{extension}-extension"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.jupyterlab-settings").write_text(text)


def _copy(notebook: Path, *, outputs: bool) -> str:
    content = json.loads(notebook.read_text())
    for cell in content["cells"]:
        if cell["cell_type"] == "code" and not outputs:
            cell["outputs"] = []
    return json.dumps(content)


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
