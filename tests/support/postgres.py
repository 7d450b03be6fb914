"""Where do tests get a real PostgreSQL from? A server of our own, for a module of tests."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from tests.support.machine import missing


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
