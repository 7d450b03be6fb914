"""Is it keeping up, and who holds it back? The dashboard: figures of every loop and queue, live."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from flownb.notebook.live.dashboard import DashboardFigures
from flownb.notebook.repr import page
from flownb.widgets.monitor import Reading, monitor_of
from flownb.widgets.part import Part

if TYPE_CHECKING:
    from collections.abc import Hashable

    from flownb.engine.orchestrator.orchestrator import Orchestrator


class Dashboard(Part):
    """The loops and queues of a run, in figures."""

    name: ClassVar[str] = "dashboard"

    def __init__(self, orch: Orchestrator) -> None:
        self._live, self._monitor = orch._live, monitor_of(orch)
        self._reading: Reading | None = None
        self._figures: dict[str, Any] = {}

    def version(self) -> Hashable:
        """Change with the loops and queues that there are."""
        return tuple(self._live.loop_runs), tuple(self._live.specs)

    def scene(self) -> dict[str, Any]:
        """Name the loops and queues."""
        return self._board(self._monitor.look()).frame()

    def state(self) -> dict[str, Any]:
        """Give states and figures: those of the last reading."""
        reading = self._monitor.look()
        if reading is not self._reading:
            self._reading, board = reading, self._board(reading)
            self._figures = board.states() | board.figures()
        return self._figures

    def is_final(self) -> bool:
        """Whether the queues have told how they stand at the end."""
        return self._monitor.is_final()

    def still(self) -> str:
        """Give the figures as tables."""
        return page(None, [("", self._board(self._monitor.look()).html())])

    def _board(self, reading: Reading) -> DashboardFigures:
        rates, specs = self._monitor.rates, self._live.specs
        return DashboardFigures(reading.status, rates, specs, reading.says)
