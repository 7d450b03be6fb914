"""Which node of a simulation does not return, and how does an interrupt end it?

Virtual time stands still while a node computes. So the caller's thread looks now and then at
the simulation's: one call that has used 5 s of the processor is named, and an interrupt raises
`Ended` in it, so that no thread goes on burning.
"""

from __future__ import annotations

import ctypes
import sys
import time
import warnings
from typing import TYPE_CHECKING, Any, Final

from flownb.engine.calls.runner import Runner
from flownb.engine.simulation.simulated_world import Ended, leave

if TYPE_CHECKING:
    import threading

PATIENCE: Final = 5.0  # seconds of the processor
_LOOK: Final = 0.25
_GIVE_UP: Final = 2.0  # seconds of real time for a call that does not react to the interrupt


def join(thread: threading.Thread, over: threading.Event) -> None:
    """Wait for a simulation; name each node that computes for long.

    For its event: after an interrupted `join` Python 3.11 takes a thread for ended that is not.
    """
    over.wait(PATIENCE)
    call, since, told = "", 0.0, set[str]()
    while not over.is_set():
        now, used = _call(thread), _used(thread)
        if now != call:
            call, since = now, used
        elif now and now not in told and used - since >= PATIENCE:
            told.add(now)
            text = (
                f"simulation: {now} has computed for {PATIENCE:g} s and has not returned; virtual "
                "time stands still until it sleeps or returns: interrupt, or give it fake="
            )
            warnings.warn(text, RuntimeWarning, stacklevel=5)
        over.wait(_LOOK)
    thread.join()


def end(thread: threading.Thread, over: threading.Event) -> str:
    """End the call that is at work after an interrupt; say which one it is."""
    until, first = time.monotonic() + _GIVE_UP, _call(thread)
    while not over.is_set() and time.monotonic() < until:
        if thread.ident is not None and _call(thread):
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(thread.ident), ctypes.py_object(Ended)
            )
        over.wait(0.02)
    if thread.ident is not None:
        leave(thread.ident)
    return f"{first}, which does not come back" if first and not over.is_set() else first


def _call(thread: threading.Thread) -> str:
    """Name the node whose code now runs; "" between two calls."""
    frame: Any = sys._current_frames().get(thread.ident or 0)  # noqa: SLF001
    while frame is not None:
        runner, token = (frame.f_locals.get(name) for name in ("self", "token"))
        if isinstance(runner, Runner) and token is not None:
            loop, number = runner.runtime.name, token.iteration
            return f"node {runner.name!r} (loop {loop!r}, iteration {number})"
        frame = frame.f_back
    return ""


def _used(thread: threading.Thread) -> float:
    """Seconds of the processor that a thread has used; of all, where nobody says."""
    clock = getattr(time, "pthread_getcpuclockid", None)
    if clock is None:
        return time.process_time()
    try:
        return time.clock_gettime(clock(thread.ident or 0))
    except OSError:  # it has just ended
        return 0.0
