"""How is a simulated node kept inside the simulation? By its thread.

On a simulation's thread `time.sleep` adds to the node's virtual length, and sockets,
child processes and new threads are refused. Other threads see nothing of it.
"""

from __future__ import annotations

import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

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
}
_inside: set[int] = set()
_lock = threading.Lock()
_real_sleep = time.sleep
_hooked = False


def _sleep(seconds: float) -> None:
    """Stand in for time.sleep while a simulation runs."""
    if threading.get_ident() in _inside:
        add_sleep(seconds)
    else:
        _real_sleep(seconds)


def _audit(event: str, _: Any) -> None:
    if event in _REFUSED and threading.get_ident() in _inside:
        msg = f"a simulated node tried to open {_REFUSED[event]}: give the node fake="
        raise SimulationError(msg)


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
        time.sleep = _sleep  # type: ignore[assignment]
        names = [(g, k) for g in spaces for k, v in list(g.items()) if v is _real_sleep]
        for space, name in names:
            space[name] = _sleep
    try:
        yield
    finally:
        with _lock:
            _inside.discard(me)
            for space, name in names:
                space[name] = _real_sleep
            if not _inside:
                time.sleep = _real_sleep


def _hook() -> None:
    """Install the audit hook, once and for all: Python has no way to take one off."""
    global _hooked  # noqa: PLW0603
    with _lock:
        if not _hooked:
            sys.addaudithook(_audit)
            _hooked = True


def _spaces(functions: Iterable[Any]) -> list[dict[str, Any]]:
    found = {id(g): g for f in functions if isinstance(g := getattr(f, "__globals__", None), dict)}
    return list(found.values())
