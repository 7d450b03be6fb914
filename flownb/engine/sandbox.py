"""How is a simulated node kept inside the simulation? By its thread.

On a simulation's thread `time.sleep` adds to the node's virtual length, and sockets,
child processes and new threads are refused. Other threads see nothing of it.
"""

from __future__ import annotations

import functools
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from flownb.engine.capture import who
from flownb.engine.world import add_sleep
from flownb.errors import SimulationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_REFUSED: Final = {
    "socket.__new__": "a socket",
    "socket.connect": "a socket",
    "subprocess.Popen": "a child process",
    "os.system": "a child process",
    "os.fork": "a child process",
    "os.posix_spawn": "a child process",
    "os.exec": "a child process",
    "_thread.start_new_thread": "a thread",
    "_thread.start_joinable_thread": "a thread",
}
_inside: set[int] = set()
_refusals: dict[int, SimulationError] = {}
_lock = threading.Lock()
_real_sleep = time.sleep
_real_start = threading.Thread.start
_hooked = False
# (module, name) of each `from time import sleep`, and how many simulations stand in for it
_stand_ins: dict[tuple[int, str], int] = {}


def _sleep(seconds: float) -> None:
    """Stand in for time.sleep while a simulation runs."""
    if threading.get_ident() in _inside:
        add_sleep(seconds)
    else:
        _real_sleep(seconds)


def _is_sleep(value: Any) -> bool:
    return value is _real_sleep or value is _sleep


def _start(thread: threading.Thread) -> None:
    """Stand in for Thread.start: before Python 3.12 a new thread is no audit event."""
    _audit("_thread.start_new_thread", None)
    _real_start(thread)


def _audit(event: str, _: Any) -> None:
    if event in _REFUSED and threading.get_ident() in _inside:
        msg = f"{who()} tried to open {_REFUSED[event]} in a simulation: give it fake="
        # the node may swallow it: the simulation is told all the same
        raise _refusals.setdefault(threading.get_ident(), SimulationError(msg))


@contextmanager
def sandboxed(functions: Iterable[Any]) -> Iterator[None]:
    """Keep this thread inside the simulation; *functions* are the node functions.

    `from time import sleep` in the module or cell of a node function is seen too.
    """
    _hook()
    me = threading.get_ident()
    spaces = _spaces(functions)
    with _lock:
        _inside.add(me)
        time.sleep, threading.Thread.start = _sleep, _start  # type: ignore[assignment]
        names = [(g, k) for g in spaces for k, v in list(g.items()) if _is_sleep(v)]
        for space, name in names:
            space[name] = _sleep
            _stand_ins[id(space), name] = _stand_ins.get((id(space), name), 0) + 1
    try:
        yield
        if me in _refusals:
            raise _refusals[me]
    finally:
        with _lock:
            _leave(me, names)


def _leave(me: int, names: list[tuple[dict[str, Any], str]]) -> None:
    """Put back what no other simulation needs any more."""
    _inside.discard(me)
    _refusals.pop(me, None)
    for space, name in names:
        _stand_ins[id(space), name] -= 1
        if not _stand_ins[id(space), name]:
            del _stand_ins[id(space), name]
            if space.get(name) is _sleep:
                space[name] = _real_sleep
    if not _inside:
        time.sleep, threading.Thread.start = _real_sleep, _real_start  # type: ignore[method-assign]


def _hook() -> None:
    """Install the audit hook, once and for all: Python has no way to take one off."""
    global _hooked  # noqa: PLW0603
    with _lock:
        if not _hooked:
            sys.addaudithook(_audit)
            _hooked = True


def _spaces(functions: Iterable[Any]) -> list[dict[str, Any]]:
    found = {id(g): g for f in functions for g in _globals(f) if isinstance(g, dict)}
    return [g for g in found.values() if g is not vars(time)]


def _globals(fn: Any) -> Iterator[Any]:
    """Give the global names that a function, generator, object or class node sees."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    frame = getattr(fn, "gi_frame", None) or getattr(fn, "ag_frame", None)
    if frame is not None:
        yield frame.f_globals
    if hasattr(fn, "__globals__"):
        yield fn.__globals__
        yield getattr(getattr(fn, "__wrapped__", None), "__globals__", None)
        return
    for base in type(fn).__mro__:
        yield from (getattr(member, "__globals__", None) for member in vars(base).values())
