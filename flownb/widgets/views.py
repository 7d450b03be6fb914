"""Which views of a run are there, and what may be asked in every one of them?

`Orchestrator.dag()` and its sisters end here, through the door in `display.py`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakValueDictionary

from flownb.engine.orchestrator.generations import running
from flownb.engine.runtime import running_loop
from flownb.widgets.base import Live
from flownb.widgets.canvas import Canvas
from flownb.widgets.dag import Dag
from flownb.widgets.dashboard import Dashboard
from flownb.widgets.explore import Explore
from flownb.widgets.logs import Logs
from flownb.widgets.snapshot import Snapshot
from flownb.widgets.timeline import TimelineView

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from flownb.engine.orchestrator.orchestrator import Orchestrator
    from flownb.model.workflow import Workflow
    from flownb.widgets.part import Command, Part

_PARTS: Final[Mapping[str, tuple[type[Part], ...]]] = {
    "dag": (Dag,),
    "dashboard": (Dashboard,),
    "timeline": (TimelineView,),
    "logs": (Logs,),
    "view": (Dag, Dashboard, TimelineView, Logs),
}
_VERBS: Final = ("pause", "resume", "step", "stop", "cancel")
VIEW: Final = tuple(part.name for part in _PARTS["view"])
_in_cell: WeakValueDictionary[tuple[str, str, str], Live] = WeakValueDictionary()


def open_view(orch: Orchestrator, kind: str, **options: Any) -> Live:
    """Make a live view of a run; in a cell that made one before, it takes its place.

    *options* go to each part.
    """
    live = Live(
        parts_of(orch, kind, **options), home=orch._live.home, over=orch.is_over,
        verbs=verbs(orch), chores=chores(orch), title=orch.name,
    )  # fmt: skip
    orch._live.followers.add(live)
    _replace(live, orch.name, kind)
    return live


def parts_of(orch: Orchestrator, kind: str, **options: Any) -> list[Part]:
    """Make the parts of a view; *options* go to each."""
    return [part(orch, **options) for part in _PARTS[kind]]  # type: ignore[call-arg]


def snapshot(orch: Orchestrator) -> Snapshot:
    """Freeze what `view()` would show now."""
    parts = parts_of(orch, "view")
    for part in parts:
        part.scene()
    for part in parts:
        part.look()
    return Snapshot(repr(orch), "".join(part.still() for part in parts))


def open_explorer(graph: Workflow) -> Live:
    """Make an explorer of a graph; it does not tick, it answers."""
    live = Live([Explore(graph)], home=running_loop(), over=lambda: True, title=graph.name)
    _replace(live, graph.name, "explore")
    return live


def open_canvas(graph: Workflow) -> Live:
    """Make a canvas of a graph: it follows what is edited in code, and what runs."""
    live = Live(
        [Canvas(graph)], home=running_loop(), title=graph.name,
        verbs={name: partial(_ask_what_runs, graph, name) for name in _VERBS},
    )  # fmt: skip
    _replace(live, graph.name, "canvas")
    return live


def _ask_what_runs(graph: Workflow, verb: str, command: Command) -> None:
    orch = running().get(graph.name)
    if orch is not None and orch.workflow is graph:
        _ask(getattr(orch, verb), command)


def verbs(orch: Orchestrator) -> dict[str, Callable[[Command], Any]]:
    """Give what may be asked in any thread: each only posts to the mailbox of a loop."""
    return {name: partial(_ask, getattr(orch, name)) for name in _VERBS}


def chores(orch: Orchestrator) -> dict[str, Callable[[Command], Any]]:
    """Give what may be asked at the view's event loop only."""
    return {"start": partial(_ask, orch.start)}


def _ask(verb: Callable[[str | None], Any], command: Command) -> None:
    verb(command.get("loop") or None)


def _replace(live: Live, graph: str, kind: str) -> None:
    cell = _cell()
    if not cell:
        return
    before = _in_cell.get((cell, graph, kind))
    if before is not None:
        before.close()
    _in_cell[cell, graph, kind] = live


def _cell() -> str:
    """Name the cell that runs, where the front end says which."""
    from IPython.core.getipython import get_ipython

    kernel: Any = getattr(get_ipython(), "kernel", None)
    if not hasattr(kernel, "get_parent"):
        return ""
    return str(kernel.get_parent().get("metadata", {}).get("cellId") or "")
