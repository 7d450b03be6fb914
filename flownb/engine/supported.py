"""What cannot be done, though each part of it is in order? Said at the start, never ignored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flownb.analysis.paths import Flow, reach
from flownb.engine.links import AWAY
from flownb.errors import GraphError
from flownb.model.making import OwnLimit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from flownb.model.workflow import Workflow


def check_supported(workflow: Workflow, *, live: bool) -> None:
    """Raise one GraphError that names every option that cannot be honoured."""
    problems = list(_nodes(workflow))
    if live:
        problems += _limits(workflow)
    if not workflow.producers and (live or not workflow.nodes):
        problems.append(
            f"graph {workflow.name!r} has no producer, so there is no loop to run: add_producer()"
        )
    if problems:
        raise GraphError(*problems)


def _nodes(workflow: Workflow) -> Iterator[str]:
    loops = set(workflow.producers)
    for node in workflow.nodes.values():
        if node.name in loops and node.reader is not None and node.reader.timeout is not None:
            yield (
                f"node {node.name!r} drives a loop, so timeout= has no meaning: it waits for the "
                "next message; a reader in the middle of a loop gives up after timeout= seconds"
            )


def _limits(workflow: Workflow) -> Iterator[str]:
    """Find limits that nodes of loops in different processes share."""
    users: dict[int, dict[str, list[str]]] = {}
    for loop in workflow.producers:
        flow = Flow.of(workflow)
        inside = reach(flow.succ, [flow.index[loop]])
        for name in (flow.names[v] for v, here in enumerate(inside) if here):
            limit = workflow.nodes[name].limit
            if limit is not None and not isinstance(limit, OwnLimit):
                users.setdefault(id(limit), {}).setdefault(loop, []).append(name)
    for loops in users.values():
        away = [x for x in loops if workflow.loop_options(x).pool in AWAY]
        if away and len(loops) > 1:
            names = dict.fromkeys(name for found in loops.values() for name in found)
            yield (
                f"nodes {_listed(names)} share one Limit, but loops {_listed(loops)} do not live "
                "in one process, where it could be held: give each loop a Limit of its own, or "
                "pool='thread'"
            )


def _listed(names: Iterable[str]) -> str:
    return " and ".join(map(repr, names))
