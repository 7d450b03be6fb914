"""Which graphs run in this kernel? One generation of each name, so re-runs are harmless."""

from __future__ import annotations

import atexit
import sys
import threading
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakValueDictionary

from flownb.arguments import SECONDS, Named, checked
from flownb.engine.orchestrator.requests import Request, together
from flownb.records.events import ENDED

if TYPE_CHECKING:
    from flownb.records.metrics import Status


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
        if not _running:  # once, and not at import
            atexit.unregister(_tell_of_end)
            atexit.register(_tell_of_end)
        before = _running.get(run.name)
        _running[run.name] = run
    return before


def register_again(run: Generation) -> bool:
    """Make a generation that had ended the one of its name once more, unless another one is."""
    with _lock:
        free = _running.get(run.name) in {None, run}
        if free:
            _running[run.name] = run
    return free


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
    """Give the runs of this kernel by graph name, each an `Orchestrator`: when a handle is lost.

    >>> running()
    {}
    """
    with _lock:
        return Named(_running, "graph")


def stop_all(*, grace: float = 10.0) -> Request[dict[str, Status]]:
    """Stop all that runs in this kernel; what is in flight gets *grace* seconds.

    The request gives the `Status` of each graph, by its name.

    >>> stop_all().wait()
    {}
    """
    grace = checked("stop_all()", "grace", grace, SECONDS)
    return together("stop_all", {name: run.stop(grace=grace) for name, run in running().items()})


def _tell_of_end() -> None:
    """Say which loops the end of a script ends in the middle of their work."""
    if "IPython" in sys.modules and sys.modules["IPython"].get_ipython() is not None:
        return  # whoever ends a kernel means it
    for name, run in running().items():
        loops = [loop.loop for loop in run.status().loops if loop.state not in ENDED]
        if loops:
            which = f"loop {loops[0]!r} runs" if len(loops) == 1 else f"{len(loops)} loops run"
            print(  # noqa: T201
                f"flownb: the script ends while {which} (graph {name!r}), which ends with it: "
                "let it wait, orch.wait().wait() or await orch.wait()",
                file=sys.stderr,
            )
