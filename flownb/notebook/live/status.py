"""How do the results of running show themselves? As one line, and as a table.

Static on purpose: what ends a cell is a picture of that moment. The words for the
states come with a glyph each, so that colour says nothing alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from flownb.notebook.picture.table import table
from flownb.notebook.picture.text import brief, duration, in_all, seconds, took

if TYPE_CHECKING:
    from flownb.engine.simulation.simulate import Simulation
    from flownb.records.events import LoopState
    from flownb.records.metrics import LoopMetrics, LoopStatus, Status

_ROOM: Final = 200  # characters of an error in one line
_GLYPH: Final[dict[LoopState, str]] = {
    "created": "○",
    "starting": "○",
    "running": "▶",
    "pausing": "‖",
    "paused": "‖",
    "stopping": "■",
    "stopped": "■",
    "completed": "✓",
    "error": "✕",
}


def state_word(state: LoopState) -> str:
    """Give a state as glyph and word.

    >>> state_word("paused")
    '‖ paused'
    """
    return f"{_GLYPH[state]} {state}"


def status_line(status: Status, kind: str) -> str:
    """Say in one line where all loops stand; it ends with the errors."""
    loops = ", ".join(f"{s.loop} {s.state} {s.iterations:,}" for s in status.loops)
    edits = f"; {_count(status.unapplied, 'edit')} not applied" if status.unapplied else ""
    unsent = sum(s.unsent for s in status.loops)
    lost = f"; {_count(unsent, 'record')} lost with a process" if unsent else ""
    timed = "; timed out" if status.timed_out else ""
    errors = [told for s in status.loops if (told := _last_error(s))]
    last = f", last: {brief(errors[-1], _ROOM)}" if errors else ""
    found = _count(status.errors, "error") + last
    reasons = (s.reason for s in status.loops)
    away = next((f"; {reason}" for reason in reasons if reason.startswith("redis is away")), "")
    return f"{kind}({status.graph!r}: {loops}{edits}{timed}{lost}{away}; {found})"


def _last_error(s: LoopStatus) -> str:
    """Give the last failure of a loop, or what ended it: that need not be a node's."""
    return s.last_error or (f"{s.loop}: {s.reason}" if s.state == "error" else "")


def status_tables(status: Status) -> list[tuple[str, str]]:
    """Give the table of the loops, and what else there is to know."""
    columns = ["loop", "state", "where", "items", "failed", "in flight", "note"]
    rows = [_row(s) for s in status.loops]
    return [(_summary(status), table(columns, rows))]


def _row(s: LoopStatus) -> list[Any]:
    note = s.reason or s.last_error
    return [
        s.loop,
        state_word(s.state),
        s.pool,
        in_all(s.iterations, s.iterations / s.rate if s.rate else 0.0),
        s.failed,
        s.in_flight,
        note,
    ]


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _summary(status: Status) -> str:
    inside = status.server.startswith("fakeredis in ")
    where = status.server.replace("fakeredis in", "inside", 1) if inside else f"on {status.server}"
    parts = [f"{status.graph}: {len(status.loops)} loops", f"queues {where}"]
    if status.unapplied:
        parts.append(f"{_count(status.unapplied, 'edit')} not applied: orch.apply()")
    if status.kernel_busy:
        parts.append(f"the kernel was busy for {duration(status.kernel_busy)}")
    return " · ".join(parts)


def simulation_tables(sim: Simulation) -> list[tuple[str, str]]:
    """Give the counters of each loop and node of a simulation."""
    loops = [
        "loop",
        "state",
        "items",
        "done",
        "failed",
        "waits",
        "waits for a slot",
        "ticks missed",
    ]
    nodes = ["loop", "node", "calls", "failed", "retries", "mean", "longest"]
    found = sim.metrics.values()
    return [
        (f"{sim.name}: {seconds(sim.duration)} s simulated", table(loops, map(_loop_row, found))),
        ("every node", table(nodes, [row for m in found for row in _node_rows(m)])),
    ]


def _loop_row(m: LoopMetrics) -> list[Any]:
    waits = [took(round(m.waiting, 3)), took(round(m.throttled, 3))]
    return [m.loop, state_word(m.state), m.released, m.done, m.failed, *waits, m.overruns]


def _node_rows(m: LoopMetrics) -> list[list[Any]]:
    return [
        [m.loop, n.node, n.calls, n.failed, n.retries, took(n.mean), took(n.longest)]
        for n in m.nodes.values()
    ]
