"""Which graphs run in this kernel? One generation of each name, so re-runs are harmless."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flownb.engine.orchestrator import Orchestrator

_running: dict[str, Orchestrator] = {}
_lock = threading.Lock()


def register(orchestrator: Orchestrator) -> Orchestrator | None:
    """Make it the generation of its name; give the one before, if that still runs."""
    with _lock:
        before = _running.get(orchestrator.name)
        _running[orchestrator.name] = orchestrator
    return before


def unregister(orchestrator: Orchestrator) -> None:
    """Forget a generation that has ended."""
    with _lock:
        if _running.get(orchestrator.name) is orchestrator:
            del _running[orchestrator.name]


def running() -> dict[str, Orchestrator]:
    """Give the orchestrators that run in this kernel, by graph name."""
    with _lock:
        return dict(_running)
