"""Which graphs run in this kernel? One generation of each name, so re-runs are harmless."""

from __future__ import annotations

import threading
from typing import Any, Protocol
from weakref import WeakValueDictionary


class Generation(Protocol):
    """A run of a graph; an `Orchestrator`."""

    name: str


_running: dict[str, Any] = {}
_ended: WeakValueDictionary[str, Any] = WeakValueDictionary()
"""The last that has ended, by name, as long as somebody has it."""
_lock = threading.Lock()


def register(run: Generation) -> Any:
    """Make it the generation of its name; give the one before, or None."""
    with _lock:
        before = _running.get(run.name)
        _running[run.name] = run
    return before


def unregister(run: Generation) -> None:
    """Forget a generation that has ended."""
    with _lock:
        if _running.get(run.name) is run:
            del _running[run.name]
            _ended[run.name] = run


def last_ended(name: str) -> Any:
    """Give the last run of a graph that has ended, or None."""
    with _lock:
        return _ended.get(name)


def running() -> dict[str, Any]:
    """Give the orchestrators that run in this kernel, by graph name."""
    with _lock:
        return dict(_running)
