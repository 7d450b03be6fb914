"""How does a one-shot run show itself? Its end, its state, and which way it took.

No times and no run id: what a cell shows is the same every time it is run. They are in
`run.logs`, `run.table()` and `run.timeline`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flownb.model.run import summary
from flownb.notebook.table import table

if TYPE_CHECKING:
    from flownb.model.run import WorkflowRun


def run_line(run: WorkflowRun) -> str:
    """Give the line that stands for a run."""
    calls = len(run.logs)
    parts = [run.status, f"{calls:,} call{'' if calls == 1 else 's'}"]
    if run.error is not None:
        parts.append(f"{type(run.error).__name__}: {run.error}".splitlines()[0])
    parts.append(f"state {summary(run.state)}")
    return f"WorkflowRun({run.graph!r}: {', '.join(parts)})"


def run_tables(run: WorkflowRun) -> list[tuple[str, str]]:
    """Give the final state, the way the run took, and where each node stands."""
    state = run.state if isinstance(run.state, dict) else {"result": run.state}
    found: list[tuple[str, str]] = [
        (run_line(run), table(["key", "value"], [[k, summary(v)] for k, v in state.items()])),
        ("calls", table(["node", "visit", "attempt", "status", "gave"], map(_row, run.logs))),
    ]
    nodes = [[name, status] for name, status in run.nodes.items()]
    return [*found, ("nodes", table(["node", "status"], nodes))]


def _row(entry: Any) -> list[Any]:
    return [entry.node, entry.visit, entry.attempt, entry.status, entry.error or entry.output]
