"""How do the answers of an orchestrator and of a store read over HTTP?"""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from flownb.errors import told
from flownb.server.encoding import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flownb.engine.orchestrator.orchestrator import Orchestrator
    from flownb.errors import Failure
    from flownb.queues.spec import QueueStats
    from flownb.records.metrics import Status
    from flownb.stores.base import RunRecord, Step


def loops(status: Status) -> list[dict[str, Any]]:
    """Say where each loop stands."""
    return [{"graph": status.graph, **asdict(loop)} for loop in status.loops]


def running(status: Status, *, done: bool = True) -> dict[str, Any]:
    """Say where all loops of a graph stand."""
    return {
        "graph": status.graph,
        "loops": loops(status),
        "kernel_busy": status.kernel_busy,
        "unapplied": status.unapplied,
        "server": status.server,
        "failed": status.failed,
        "errors": status.errors,
        "done": done,
    }


def metrics(orch: Orchestrator) -> dict[str, Any]:
    """Give the counters of each loop, and of its nodes."""
    return {"graph": orch.name, "loops": {n: _metrics(m) for n, m in orch.metrics().items()}}


def _metrics(found: Any) -> dict[str, Any]:
    told_ = {f.name: getattr(found, f.name) for f in fields(found) if f.name != "nodes"}
    nodes = {name: {**asdict(node), "mean": node.mean} for name, node in found.nodes.items()}
    return {**told_, "rate": found.rate, "nodes": nodes}


def failure(found: Failure) -> dict[str, Any]:
    """Tell of an item that failed."""
    return {
        "loop": found.loop,
        "node": found.node,
        "iteration": found.iteration,
        "attempts": found.attempts,
        "error": told(found.error),
        "traceback": found.traceback[-8_000:],
        "time": found.time,
        "item": shown(found.item),
    }


def queue(graph: str, stats: QueueStats) -> dict[str, Any]:
    """Give the figures of a queue."""
    return {"graph": graph, **asdict(stats), "backlog": stats.backlog}


def head(run: RunRecord) -> dict[str, Any]:
    """Give what lists show of a run."""
    return {
        "run_id": run.run_id,
        "graph": run.graph,
        "status": run.status,
        "created": run.created,
        "updated": run.updated,
        "attempt": max(1, run.attempt),
        "error": run.error,
    }


def step(found: Step) -> dict[str, Any]:
    """Tell what happened to a node of a run."""
    return {
        "seq": found.seq,
        "node": found.node,
        "visit": found.visit,
        "kind": found.kind,
        "start": found.start,
        "end": found.end,
        "attempts": found.attempts,
        "output": shown(found.value),
        "error": found.error,
    }


def visited(run: RunRecord) -> list[str]:
    """Name the nodes that ran, once for each visit; a call that a crash cut off counts once."""
    return list(_visits(run))


def _visits(run: RunRecord) -> Iterator[str]:
    seen = set()
    for found in run.steps:
        visit = found.node, found.visit
        if visit not in seen:
            seen.add(visit)
            yield found.node
