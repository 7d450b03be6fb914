"""What does a child process do that runs one loop? It ends, too, when the kernel has died.

It ignores the interrupts of the kernel's process group, and it ends when nobody holds the
other end of its pipes any more: a thread sees the end of the command pipe, and where a
node keeps Python busy in C code, the operating system's own signal ends the process.
"""

from __future__ import annotations

import contextlib
import mmap
import multiprocessing
import os
import pickle
import signal
import sys
from typing import TYPE_CHECKING, Any, Final

from flownb.engine.observe.logging import set_up
from flownb.engine.prints import capture
from flownb.engine.remote.environment import prepare_builtins
from flownb.engine.remote.loop_server import LoopServer, refuse, unload
from flownb.engine.remote.pickling import send_by_value

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from flownb.engine.checkpoints.record import Beginning


MARK: Final = 8


class Pipe:
    """The channel of a process loop: one pipe, and eight bytes of a file that both have open."""

    def __init__(self, connection: Connection, path: str) -> None:
        self._connection = connection
        with open(path, "r+b") as file:  # noqa: PTH123
            self._marked = memoryview(mmap.mmap(file.fileno(), MARK)).cast("Q")
        with contextlib.suppress(OSError):  # not where a file is held by its name
            os.unlink(path)  # noqa: PTH108

    def send(self, message: bytes) -> None:
        """Send a message to the kernel; waits while the pipe is full."""
        self._connection.send_bytes(message)

    def mark(self, records: int) -> None:
        """Leave the number of records where the kernel sees it when this process is gone."""
        self._marked[0] = records

    def receive(self) -> tuple[Any, ...]:
        """Wait for what the kernel asks."""
        asked: tuple[Any, ...] = pickle.loads(self._connection.recv_bytes())  # noqa: S301
        return asked


def main(
    ways: tuple[Connection, Connection, str], beginning: Beginning, origin: float, method: str
) -> None:
    """Run one loop; called in the child. *method*: in which the kernel starts processes.

    *ways*: the pipe, one that ends with the kernel, and the path of the file of `Pipe.mark`.
    """
    connection, lifeline, path = ways
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _unblock_interrupts()
    _end_with(lifeline)
    # Nodes may start processes of their own; multiprocessing forbids it to daemons.
    multiprocessing.current_process().daemon = False
    multiprocessing.set_start_method(method, force=True)
    if method != "fork":
        send_by_value()
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123 - for good
    capture()
    prepare_builtins()
    pipe = Pipe(connection, path)
    try:
        pickled = unload(connection.recv_bytes())
        set_up(pickled.logs)
        server = LoopServer(pickled, pipe, beginning=beginning, on_orphaned=_vanish)
    except Exception as error:  # noqa: BLE001 - e.g. a module that cannot be imported here
        refuse(pipe, error)
        return
    server.run(origin)


def _unblock_interrupts() -> None:
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _vanish() -> None:
    """The kernel is gone: nobody is left to report to, and what is pending in Redis stays there."""
    os._exit(0)


def _end_with(lifeline: Connection) -> None:
    """Have the operating system end this process when the kernel's end of a pipe closes.

    SIGIO ends a process also while C code keeps Python's lock. Nothing is ever written to
    this pipe.
    """
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import fcntl

        fd = lifeline.fileno()
        signal.signal(signal.SIGIO, signal.SIG_DFL)
        fcntl.fcntl(fd, fcntl.F_SETOWN, os.getpid())
        flags = fcntl.fcntl(fd, fcntl.F_GETFL)
        fcntl.fcntl(fd, fcntl.F_SETFL, flags | os.O_ASYNC)
