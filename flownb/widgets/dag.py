"""How does the graph look while it runs? Its own picture, with what happens on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from flownb.notebook.draw import draw
from flownb.notebook.repr import page
from flownb.notebook.scene import scene
from flownb.widgets.part import Part, shapes

if TYPE_CHECKING:
    from flownb.engine.orchestrator import Orchestrator


class Dag(Part):
    """The graph of a run."""

    name: ClassVar[str] = "dag"

    def __init__(self, orch: Orchestrator) -> None:
        self._orch = orch

    def version(self) -> int:
        """Change with every edit of the graph."""
        return self._orch.workflow.version

    def scene(self) -> dict[str, Any]:
        """Give the picture, and the names behind the ids of its boxes."""
        found = scene(self._orch.workflow)
        self._names = {box.id: box.name for box in found.boxes}
        return {"picture": shapes(draw(found))}

    def state(self) -> dict[str, Any]:
        """Give [state, calls, failed] of each box."""
        found: dict[str, Any] = {}
        meters = {n: m for t in self._orch.tracks.values() for n, m in t.meter.nodes.items()}
        for box, name in self._names.items():
            if (meter := meters.get(name)) is not None:
                found[box] = [meter.state, meter.times.count, meter.failed]
        return found

    def still(self) -> str:
        """Give the picture of the graph."""
        return page(draw(scene(self._orch.workflow)), [])
