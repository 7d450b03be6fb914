"""What does a child say past Python? C code and processes of its own write to its streams.

Those of the kernel would show it in whichever cell runs. So the child's streams lead into
a pipe that the host reads: what comes there goes to the loop's log, the last words of a
child that dies, too. No node is named, for nobody tells which one it was.
"""

from __future__ import annotations

import contextlib
import faulthandler
import functools
import os
import re
import sys
from typing import TYPE_CHECKING, Any, Final

from flownb.engine.capture import HERE, shown

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

_MOST: Final = 65_536  # bytes at a time, and of a line
ROOM: Final = 2**20  # bytes in the pipe
_STDERR: Final = 2  # the highest number of a stream
_OURS: Final = re.compile(r'  File ".*/(flownb/engine/\w+|threading)\.py", line')  # in a last trace


class Overheard:
    """The kernel's end: what a child says, line by line."""

    def __init__(self, pipe: Connection, write_line: Callable[[str], None]) -> None:
        self.pipe, self._write_line = pipe, write_line
        self._begun = b""
        self.open, self.spoke = True, False

    def take(self) -> None:
        """Log what there is; to be called when there is something, or nobody writes any more."""
        try:
            said = os.read(self.pipe.fileno(), _MOST)
        except OSError:
            said = b""
        self.open = bool(said)
        *lines, self._begun = (self._begun + said).split(b"\n")
        if self._begun and (not said or len(self._begun) > _MOST):
            lines.append(self._begun)
            self._begun = b""
        for line in lines:
            self._tell(line.decode(errors="replace"))

    def _tell(self, line: str) -> None:
        self.spoke = True
        if not (line.startswith("Extension modules: ") or _OURS.match(line)):
            self._write_line(shown(line))

    def end(self) -> None:
        """Log what is left of a child that has ended; its own children may live on."""
        with contextlib.suppress(OSError):
            while self.open and self.pipe.poll():
                self.take()
        if self._begun:
            self._tell(self._begun.decode(errors="replace"))


def speak(pipe: Connection, *others: Connection) -> None:
    """Lead this process's streams into a pipe, for good; called in the child.

    Not where a kernel without streams has given their numbers to pipes.
    """
    if os.name != "posix" or min(p.fileno() for p in (pipe, *others)) <= _STDERR:
        sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123
        return
    _widen(pipe)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, fd in enumerate((nothing, pipe.fileno(), pipe.fileno())):
        os.dup2(fd, number)
    if nothing > _STDERR:
        os.close(nothing)
    pipe.close()
    out: Any = open(1, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    sys.stdout = sys.stderr = out
    faulthandler.enable(2, all_threads=False)  # says where a crash was
    os.register_at_fork(after_in_child=functools.partial(HERE.set, None))  # a copy has no log


def _widen(pipe: Connection) -> None:
    """Let much be said before who says it waits for a kernel that is busy in C code."""
    with contextlib.suppress(ImportError, AttributeError, OSError):  # not on Linux, or forbidden
        import fcntl

        fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, ROOM)
