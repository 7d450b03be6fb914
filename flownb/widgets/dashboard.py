"""Is it keeping up, and who holds it back? The dashboard: figures of every loop and queue, live."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar, Final

from flownb.notebook.live.dashboard import DashboardFigures
from flownb.notebook.repr import page
from flownb.widgets.monitor import Noted, Reading
from flownb.widgets.part import Command, Part

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

    from flownb.engine.orchestrator.orchestrator import Orchestrator


_PAST_EVERY: Final = 3.0  # seconds: a history is sent whole


class Dashboard(Part):
    """The loops and queues of a run, in figures."""

    name: ClassVar[str] = "dashboard"

    def __init__(self, orch: Orchestrator) -> None:
        self._orch, self._live, self._noted = orch, orch._live, Noted(orch)
        self._names: list[str] = []
        self._reading: Reading | None = None
        self._figures: dict[str, Any] = {}
        self._past: dict[str, Any] = {}
        self._past_at: float | None = None  # None: nobody has unfolded it

    def version(self) -> Hashable:
        """Change with the loops and queues that there are."""
        return tuple(self._live.loop_runs), tuple(self._live.specs)

    def scene(self) -> dict[str, Any]:
        """Name the loops and queues."""
        frame = self._board(self._noted.take()).frame()
        self._names = [loop["name"] for loop in frame["loops"]]
        return frame

    def look(self) -> None:
        """Take the reading that `state()` or `still()` tells of."""
        self._noted.note()

    def state(self) -> dict[str, Any]:
        """Give states and figures: those of the last reading."""
        reading = self._noted.take()
        if reading is not self._reading:
            self._reading, board = reading, self._board(reading)
            self._figures = board.states() | board.figures()
            if self._past_at is not None and (reading.over or time.monotonic() >= self._past_at):
                self._past_at = time.monotonic() + _PAST_EVERY
                self._past = board.history(self._noted.monitor.series)
        return self._figures | self._past

    def states(self) -> dict[str, Any]:
        """Give the state of each loop, and how many items it has released."""
        found: dict[str, Any] = {}
        for i, (name, m) in enumerate(self._orch.metrics().items()):
            known = self._figures.get(f"l{i}.items")
            if known and name in self._names[i : i + 1]:
                found[f"l{i}.state"] = [m.state, ""]
                found[f"l{i}.items"] = [m.released, m.done, m.failed, m.dropped, m.overruns]
        return found

    def commands(self) -> Mapping[str, Callable[[Command], Any]]:
        """Let a page unfold the history."""
        return {"history": self._unfold}

    def _unfold(self, command: Command) -> None:
        self._past_at = 0.0 if command.get("on") else None
        self._past, self._reading = {}, None

    def is_final(self) -> bool:
        """Whether the queues have told how they stand at the end."""
        return self._noted.monitor.is_final()

    def still(self) -> str:
        """Give the figures as tables."""
        return page(None, [("", self._board(self._noted.take()).html())])

    def _board(self, reading: Reading) -> DashboardFigures:
        return DashboardFigures(reading.status, reading.rates, self._live.specs, reading.says)
