"""How do the runs of a store show themselves? As a list with pictures, and two compared."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from flownb.errors import StoreError
from flownb.notebook.gantt import stack
from flownb.notebook.gantt.strip import strip
from flownb.notebook.graph.thumbnail import image
from flownb.notebook.picture.table import table, text_table
from flownb.notebook.picture.text import brief, duration, xml
from flownb.records.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flownb.notebook.picture.shapes import Picture
    from flownb.records.workflow_run import RunStatus
    from flownb.stores.base import RunComparison, RunRecord, Store

_MOST: Final = 20  # runs
_GLYPH: Final[dict[RunStatus, str]] = {
    "pending": "○",
    "running": "▶",
    "completed": "✓",
    "failed": "✕",
    "cancelled": "■",
}
_COLUMNS: Final = ("graph", "run", "status", "began", "took", "calls", "error")


def listed(store: Store) -> list[tuple[str, str]]:
    """Give the newest runs as a table, each with its picture; those of one graph on one scale."""
    try:
        heads = store.runs.list(limit=_MOST + 1)
        runs = [store.runs.load(head.run_id) for head in heads[:_MOST]]
    except StoreError as error:
        return [(f"{store.where}: {brief(error, 200)}", "")]
    if not runs:
        return [(f"no run is kept in {store.where}", "")]
    more = f"the {_MOST} newest" if len(heads) > _MOST else f"{len(runs)}"
    said = f"{store.where}: {more} run{'s' * (len(runs) > 1)}"
    return [(said, _with_pictures(table(_COLUMNS, map(_row, runs)), runs))]


def _row(run: RunRecord) -> list[Any]:
    again = f", attempt {run.attempt}" if run.attempt > 1 else ""
    return [
        run.graph, run.run_id, f"{_GLYPH[run.status]} {run.status}{again}",
        time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(run.created)),
        duration(run.updated - run.created), f"{len(run.timeline):,}", run.error or "",
    ]  # fmt: skip


def _with_pictures(html: str, runs: Sequence[RunRecord]) -> str:
    """Put a picture at the end of each row."""
    until: dict[str, float] = {}
    for run in runs:
        until[run.graph] = max(until.get(run.graph, 0.0), run.timeline.end)
    head, *rows = html.split("</tr>")
    parts = [f'{head}<th scope="col">calls of each node</th>']
    for row, run in zip(rows, runs, strict=False):
        words = f"{run.run_id}: {', '.join(dict.fromkeys(s.node for s in run.timeline))}"
        picture = image(strip(run.timeline, until[run.graph]), brief(words, 300))
        parts.append(f"{row}<td>{picture}</td>")
    return "</tr>".join([*parts, *rows[len(runs) :]])


# -- two compared --------------------------------------------------------------------


def draw(compared: RunComparison) -> Picture:
    """Draw the runs above each other, on one time axis."""
    return stack.draw(Timeline.compare({_name(run): run.timeline for run in compared.runs}))


def _name(run: RunRecord) -> str:
    return f"{_GLYPH[run.status]} {run.run_id}"


def line(compared: RunComparison) -> str:
    """Give the line that stands for a comparison."""
    runs = ", ".join(f"{brief(run.run_id)} {run.status}" for run in compared.runs)
    return f"RunComparison({runs})"


def lines(compared: RunComparison) -> str:
    """Give the table as lines of text."""
    return text_table(*_table(compared))


def tables(compared: RunComparison) -> list[tuple[str, str]]:
    """Give how long each node took in each run, and how the runs ended."""
    errors = "".join(
        f"<li>{xml(f'{run.run_id}: {run.error}')}</li>" for run in compared.runs if run.error
    )
    return [("", table(*_table(compared)) + f"<ul>{errors}</ul>" * bool(errors))]


def _table(compared: RunComparison) -> tuple[list[str], list[list[str]]]:
    """Give a row for each node; of two runs also what is different."""
    two = len(compared.runs) == 2  # noqa: PLR2004
    columns = ["node", *(brief(run.run_id) for run in compared.runs), *["difference"] * two]
    rows = []
    for node, took in {**compared.seconds, "in all": _whole(compared)}.items():
        row = [node, *("not called" if s is None else duration(s) for s in took)]
        rows.append([*row, _difference(took[0], took[1])] if two else row)
    return columns, rows


def _whole(compared: RunComparison) -> list[float | None]:
    return [run.timeline.duration for run in compared.runs]


def _difference(before: float | None, after: float | None) -> str:
    if before is None or after is None:
        return ""
    more = after - before
    sign = "+" if more > 0 else "\N{MINUS SIGN}"
    return "0 s" if duration(abs(more)) == "0 s" else f"{sign}{duration(abs(more))}"
