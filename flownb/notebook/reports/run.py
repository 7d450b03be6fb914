"""How does a one-shot run show itself? The way it took, its end, and its state.

No times and no run id: what a cell shows is the same every time it is run. They are in
`run.logs`, `run.table()` and `run.timeline`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from flownb.errors import told
from flownb.notebook.graph.scene import draw as draw_scene
from flownb.notebook.graph.scene import scene
from flownb.notebook.picture.table import table
from flownb.records.workflow_run import summary

if TYPE_CHECKING:
    from flownb.notebook.picture.shapes import Picture
    from flownb.records.workflow_run import NodeStatus, WorkflowRun

_MOST: Final = 300  # nodes: of a larger graph the tables say more
_ROWS: Final = 1_000  # of a table: `run.logs` and `run.nodes` have all


def draw(run: WorkflowRun) -> Picture | None:
    """Draw the graph; in each box stands how often the node ran, or why it did not."""
    workflow = run.workflow
    if workflow is None or len(workflow.nodes) > _MOST:
        return None
    shapes, visits, nodes = scene(workflow), Counter(run.visited), run.nodes
    called = run._called
    words = {
        name: _word(status, visits[name], called=name in called) for name, status in nodes.items()
    }
    boxes = tuple(replace(box, word=words[box.name]) for box in shapes.boxes)
    drawn = draw_scene(replace(shapes, boxes=boxes))
    said = ", ".join(f"{name}: {word}" for name, word in words.items())
    return replace(drawn, description=f"{drawn.description} {said}.")


def _word(status: NodeStatus, visits: int, *, called: bool) -> str:
    if status != "completed":
        return status
    if not called:
        return "cached"
    return "ran" if visits == 1 else f"ran {visits} times"


def run_line(run: WorkflowRun) -> str:
    """Give the line that stands for a run."""
    calls, cached = run.calls, run.cached
    parts = [run.status, f"{calls:,} call{'' if calls == 1 else 's'}"]
    if cached:
        parts.append(f"{cached:,} cached")
    if run.error is not None:
        parts.append(told(run.error).splitlines()[0])
    parts.append(f"state {summary(run.state)}")
    return f"WorkflowRun({run.graph!r}: {', '.join(parts)})"


def run_tables(run: WorkflowRun) -> list[tuple[str, str]]:
    """Give the final state, the way the run took, and where each node stands."""
    state = run.state if isinstance(run.state, dict) else {"result": run.state}
    more = run.calls + run.cached - _ROWS
    rows = [*map(_row, run._first_logs(_ROWS)), *([[f"... {more:,} more"] + [""] * 4] * (more > 0))]
    nodes: list[list[str]] = [[name, status] for name, status in run.nodes.items()]
    left = [[f"... {len(nodes) - _ROWS:,} more", ""]] * (len(nodes) > _ROWS)
    return [
        (run_line(run), table(["key", "value"], [[k, summary(v)] for k, v in state.items()])),
        ("calls", table(["node", "visit", "attempt", "status", "gave"], rows)),
        ("nodes", table(["node", "status"], nodes[:_ROWS] + left)),
    ]


def _row(entry: Any) -> list[Any]:
    return [entry.node, entry.visit, entry.attempt, entry.status, entry.error or entry.output]
