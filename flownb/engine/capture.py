"""Where does a node's print go? To its loop's log, never into some cell.

While any graph runs, `sys.stdout` and `sys.stderr` are stand-ins, also for what a cell puts
there to catch its own output. What is written where a node is being called goes, line by line,
to that node's log; everything else passes through to the stream that stood there before.
A node that puts a stream there itself (`redirect_stdout`) gets what it writes.
"""

from __future__ import annotations

import importlib
import io
import sys
import threading
from collections import deque
from contextlib import contextmanager
from contextvars import ContextVar
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from flownb.engine.logs import turn

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

    def __init__(self, real: Any, level: str, owner: Any = None) -> None:
        self._real, self._level, self._owner = real, level, owner

    def write(self, text: str) -> int:
        spot = HERE.get()
        if spot is None or spot is self._owner:
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


class _Watched(ModuleType):
    """`sys` while any graph runs: a stream that a cell puts there (`%%capture`) gets a stand-in.

    To look from time to time what stands there would be too late for some prints.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        level = _LEVELS.get(name)
        if level is not None and not isinstance(value, _Router):
            value = _stand_in(_Passing, value, level, HERE.get())
        super().__setattr__(name, value)

    def __reduce__(self) -> Any:  # for cloudpickle, which knows modules by their exact type
        return importlib.import_module, (self.__name__,)


_LEVELS: Final = {"stdout": "print", "stderr": "stderr"}
_lock = threading.Lock()
_users = 0

# `print` holds sys.stdout without a reference of its own (CPython before 3.14), so a stand-in
# that is taken down by another thread in the middle of a print must outlive that print.
_outlive: Final[deque[_Router]] = deque(maxlen=100)
_shells: Final[deque[_Router]] = deque(maxlen=100)
_nowhere: Final = _Nowhere()


class _Passing(_Router):
    """The stand-in of what a cell or a node puts there: keeps it no longer than they do."""

    def __del__(self, nowhere: Any = _nowhere, shells: deque[_Router] = _shells) -> None:
        self._real, self._owner = nowhere, None
        shells.append(self)  # for a print that still holds it; Python calls this once only


@contextmanager
def captured() -> Iterator[None]:
    """Route prints for the duration; nests, and the last to leave takes the stand-ins away."""
    capture()
    try:
        yield
    finally:
        release()


def capture() -> None:
    """Put the stand-ins up, and see to it that they stay there."""
    global _users  # noqa: PLW0603 - sys.stdout is global too
    with _lock:
        _users += 1
        if _users == 1 and type(sys) is ModuleType:
            sys.__class__ = _Watched
        for name, level in _LEVELS.items():
            stream = getattr(sys, name)
            if not isinstance(stream, _Router):  # else a cell may just be about to change it
                _outlive.append(_stand_in(_Router, stream, level))
                setattr(sys, name, _outlive[-1])


def _stand_in(kind: type[_Router], stream: Any, level: str, owner: Any = None) -> _Router:
    router = kind(_nowhere if stream is None else stream, level, owner)
    if owner is None:
        turn(stream, router)
    return router


def release() -> None:
    """Take the stand-ins down when nobody needs them any more."""
    global _users  # noqa: PLW0603
    with _lock:
        _users -= 1
        if _users == 0 and type(sys) is _Watched:
            sys.__class__ = ModuleType  # type: ignore[assignment]
        for name in _LEVELS:
            stream = getattr(sys, name)
            # what a cell keeps to put it back later passes everything on by then
            if _users == 0 and isinstance(stream, _Router):
                setattr(sys, name, stream._real)  # noqa: SLF001
                turn(stream, stream._real)  # noqa: SLF001
