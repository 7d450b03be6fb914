"""Where does a node's print go? To its loop's log, never into some cell.

While any graph runs, `sys.stdout` and `sys.stderr` are stand-ins. What is written where a node
is being called goes, line by line, to that node's log; everything else passes through to the
stream that stood there before. Who puts a stream of their own there, a cell (`%%capture`) or a
node (`redirect_stdout`), gets all that is written while it stands, by nodes in this process too.
"""

from __future__ import annotations

import io
import sys
import threading
from collections import deque
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from flownb.engine.observe.logging import turn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Printing:
    """What prints: a `Spot`, or a single call."""

    __slots__ = ()  # `buffer`, `write_line`, and `where`: gives node and iteration

    def write(self: Any, text: str, level: str) -> None:
        """Log the complete lines of *text*; keep the rest for the next write."""
        node, iteration = self.where() if self.where else ("", -1)
        text = self.buffer + text
        *lines, self.buffer = text.split("\n")
        if "\r" in text:  # a progress bar
            self.buffer = self.buffer[self.buffer.rstrip("\r").rfind("\r") + 1 :]
            lines = [shown(line) for line in lines]
        for line in lines:
            self.write_line(node, iteration, level, line)

    def end(self: Any) -> None:
        """Log what was printed without a line end."""
        if self.buffer:
            self.write("\n", "print")


def shown(line: str) -> str:
    r"""Give a line as a terminal leaves it: without what a carriage return has overwritten.

    >>> shown("10 %\r20 %\r")
    '20 %'
    """
    return line.rstrip("\r").rpartition("\r")[2]


class Spot(Printing):
    """Where in a loop the code that now runs belongs: asked when something prints."""

    __slots__ = ("buffer", "slept", "where", "write_line")

    def __init__(self, write_line: Callable[[str, int, str, str], None]) -> None:
        self.write_line = write_line
        self.where: Callable[[], tuple[str, int]] | None = None
        self.buffer = ""
        self.slept = 0.0

    @contextmanager
    def at(self, node: str) -> Iterator[None]:
        """Log what is printed meanwhile under *node*."""
        self.where = lambda: (node, -1)
        try:
            yield
        finally:
            self.end()
            self.where = None


HERE: Final[ContextVar[Any]] = ContextVar("flownb_here", default=None)


def who() -> str:
    """Name the node whose code now runs, for an error that it has caused."""
    spot = HERE.get()
    node, iteration = spot.where() if spot is not None and spot.where is not None else ("", -1)
    return f"node {node!r} (iteration {iteration})" if node else "the graph"


class _Router:
    """A text stream that sends a node's writes to its log."""

    def __init__(self, real: Any, level: str) -> None:
        self._real = _nowhere if real is None else real
        self._level = level

    def write(self, text: str) -> int:
        spot = HERE.get()
        if spot is None:
            return int(self._real.write(text) or 0)
        spot.write(text, self._level)
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class _Nowhere(io.TextIOBase):
    """Where a program that has no streams prints to."""

    def write(self, text: str) -> int:
        return len(text)


_LEVELS: Final = {"stdout": "print", "stderr": "stderr"}
_lock = threading.Lock()
_users = 0

# `print` holds sys.stdout without a reference of its own (CPython before 3.14), so a stand-in
# that is taken down by another thread in the middle of a print must outlive that print.
_outlive: Final[deque[_Router]] = deque(maxlen=100)
_nowhere: Final = _Nowhere()


@contextmanager
def captured() -> Iterator[None]:
    """Route prints for the duration; nests, and the last to leave takes the stand-ins away."""
    capture()
    try:
        yield
    finally:
        release()


def capture() -> None:
    """Put the stand-ins up; see `renew`."""
    global _users  # noqa: PLW0603 - sys.stdout is global too
    with _lock:
        _users += 1
        for name in _LEVELS:
            _put_up(name)


def renew() -> None:
    """Put the stand-ins up again where a cell that captured has put back what was there.

    Only in the main thread: elsewhere a cell may just be about to put something there. And
    only for what shows in a cell or a terminal: any other stream is somebody's own.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    with _lock:
        for name in _LEVELS if _users else ():
            stream = getattr(sys, name)
            kernel = type(stream).__module__.startswith("ipykernel.")
            if kernel or stream is getattr(sys, f"__{name}__"):
                _put_up(name)


def _put_up(name: str) -> None:
    stream = getattr(sys, name)
    if not isinstance(stream, _Router):
        _outlive.append(_Router(stream, _LEVELS[name]))
        setattr(sys, name, _outlive[-1])
        turn(stream, _outlive[-1])


def release() -> None:
    """Take the stand-ins down when nobody needs them any more."""
    global _users  # noqa: PLW0603
    with _lock:
        _users -= 1
        for name in _LEVELS:
            stream = getattr(sys, name)
            # what a cell keeps to put it back later passes everything on by then
            if _users == 0 and isinstance(stream, _Router):
                setattr(sys, name, stream._real)  # noqa: SLF001
                turn(stream, stream._real)  # noqa: SLF001
