"""What would happen if? The graph to play with: policies, kinds, durations."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

from flownb.model.policies import AWAIT_POLICIES
from flownb.notebook.gantt import chart
from flownb.notebook.graph import awaited
from flownb.notebook.graph.scene import Scene, draw, scene
from flownb.notebook.picture.table import table
from flownb.notebook.picture.text import brief, clean, rounded, took
from flownb.notebook.repr import page
from flownb.widgets.part import Command, Part, shapes
from flownb.widgets.what_if import LONGEST, Answered, WhatIf

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

    from flownb.model.workflow import Workflow
    from flownb.notebook.picture.shapes import Picture

_ARMS = 12  # sentences of a loop


class Explore(Part):
    """A sketch of a graph in the browser."""

    name: ClassVar[str] = "explore"

    def __init__(self, graph: Workflow) -> None:
        self.sketch = WhatIf(graph)
        self._first = {a.loop: a for a in self.sketch.answers()}
        self._told = ""

    def version(self) -> Hashable:
        """Change with whatever is tried."""
        return self.sketch.version, self._told

    def commands(self) -> Mapping[str, Callable[[Command], Any]]:
        """Take what is tried."""
        return {
            "flip": lambda c: self._try(self.sketch.flip, self._name(c)),
            "take": lambda c: self._try(self.sketch.take, self._name(c), _seconds(c)),
            "policy": lambda c: self._try(
                self.sketch.await_policy, str(c.get("policy")), str(c.get("loop") or "")
            ),
            "reset": lambda _: self._try(self.sketch.reset),
            "apply": lambda _: self._apply(),
        }

    def _try(self, what: Callable[..., None], *args: Any) -> None:
        self._told = ""
        what(*args)

    def _apply(self) -> None:
        self._told = self.sketch.apply()
        self._first = {a.loop: a for a in self.sketch.answers()}

    def file(self, kind: str) -> tuple[str, str] | None:
        """Give the sketch as Python."""
        return (self.sketch.python(), "text/x-python") if kind == "py" else None

    def _name(self, command: Command) -> str:
        """Give the name of the node whose box was meant."""
        boxes = {box.id: box.name for box in self._shapes().boxes}
        return boxes.get(str(command.get("box")), str(command.get("box")))

    def _shapes(self) -> Scene:
        return scene(self.sketch.why.workflow)

    def scene(self) -> dict[str, Any]:
        """Give the graph with its await set and critical chain, and what follows."""
        with rounded():  # a sketch is no measurement
            return self._scene()

    def _scene(self) -> dict[str, Any]:
        found = self._shapes()
        ids = {box.name: box.id for box in found.boxes}
        return {
            "title": brief(self.sketch.graph.name),
            "picture": shapes(self._picture(found)),
            "boxes": [self._box(box) for box in found.boxes],
            "lines": [{"source": ids[n.source], "target": ids[n.target]} for n in found.lines],
            "policies": list(AWAIT_POLICIES),
            "loops": [self._loop(answered) for answered in self.sketch.answers()],
            "gantt": self._gantt(),
            "edits": [clean(words, 200) for words in self.sketch.edits],
            "told": self._told,
            "longest": LONGEST,
        }

    def _picture(self, found: Scene) -> Picture:
        return awaited.draw(self.sketch.why) or draw(found)

    def _box(self, box: Any) -> dict[str, Any]:
        node = self.sketch.nodes.get(box.name)
        takes = node.takes if node is not None else None
        return {
            "id": box.id,
            "name": brief(box.name),
            "kind": box.kind,
            "takes": takes if isinstance(takes, (int, float)) else None,
            "may_flip": box.kind in {"blocking", "non_blocking"},
            "x": box.frame.x,
            "y": box.frame.y,
            "width": box.frame.width,
            "height": box.frame.height,
            "why": self._why(box.name),
        }

    def _why(self, name: str) -> str:
        if name not in self.sketch.nodes or name in self.sketch.why.loops:
            return ""
        return clean(self.sketch.why.why(name), 600)

    def _loop(self, now: Answered) -> dict[str, Any]:
        first = self._first.get(now.loop, now)
        return {
            "loop": now.loop,
            "policy": now.policy,
            "release": [_finite(first.release), _finite(now.release)],
            "ceiling": [_finite(first.ceiling), _finite(now.ceiling)],
            "awaited": [brief(name) for name in now.awaited[:_ARMS]],
            "detached": [brief(name) for name in now.detached[:_ARMS]],
            "given": clean(now.given, 300),
            "arms": [[waits, clean(because, 600)] for waits, because in now.arms[:_ARMS]],
        }

    def _gantt(self) -> dict[str, Any]:
        found = self.sketch.timeline()
        if isinstance(found, str):
            return {"words": clean(found, 600)}
        return {"picture": shapes(chart.draw(found))}

    def still(self) -> str:
        """Give the picture of the sketch, and what follows as a table."""
        with rounded():
            return self._still()

    def _still(self) -> str:
        rows = [
            [
                a.loop,
                a.policy,
                took(a.release),
                _finite(a.ceiling),
                ", ".join(map(brief, a.awaited)),
            ]
            for a in self.sketch.answers()
        ]
        columns = ["loop", "await policy", "released after", "items per second", "waits for"]
        return page(self._picture(self._shapes()), [("", table(columns, rows))])


def _seconds(command: Command) -> float:
    value = command.get("seconds")
    return float(value) if isinstance(value, (int, float)) else math.nan


def _finite(value: float) -> float | None:
    """Give a number as JSON knows it; None for an unlimited rate."""
    return float(f"{value:.4g}") if math.isfinite(value) else None
