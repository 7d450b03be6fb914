"""How does a graph without a producer run? Once: as a loop of a single item.

A root that stands before the entry points offers the item, and everything is awaited.
It is the same plan, so the same engine runs it; only here may a graph have cycles.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Final, get_args

from flownb.arguments import NONE, Rule, whole, word
from flownb.errors import GraphError
from flownb.model.edges import Edge
from flownb.model.policies import StartRule
from flownb.model.state_schema import Schema
from flownb.model.topology import entries, only_named, reached
from flownb.model.workflow import Workflow
from flownb.plan.compiler import compile_plan
from flownb.plan.loop_plan import Once

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flownb.model.policies import RunOnError
    from flownb.plan.loop_plan import LoopPlan

MOST: Final = 1000
RUN: Final[Mapping[str, Rule]] = {
    "start_rule": word(*get_args(StartRule)),
    "max_concurrency": whole("nodes at work", least=1) | NONE,
    "max_iterations": whole("runs of a node", least=1) | NONE,
    "on_error": word("stop", "continue"),
}
"""What may be said of a run."""


def root_name(workflow: Workflow) -> str:
    """Name the root: as the graph, unless a node has that name."""
    name = workflow.name
    while name in workflow.nodes:
        name += "'"
    return name


def compile_once(
    workflow: Workflow,
    *,
    start_rule: StartRule = "dataflow",
    max_concurrency: int | None = None,
    max_iterations: int | None = None,
    on_error: RunOnError = "stop",
) -> LoopPlan:
    """Compile a graph without producers; *max_concurrency* nodes work at a time.

    A node runs at most *max_iterations* times, by default what the environment's
    FLOWNB_MAX_ITERATIONS says, or 1000. Raises GraphError when the graph has producers.
    """
    _check(workflow)
    root, first = root_name(workflow), entries(workflow)
    rooted = Workflow(workflow.name).add_producer(root)
    rooted.nodes.update(workflow.nodes)
    rooted.edges.update(workflow.edges)
    rooted.edges.update({(root, name): Edge(root, name) for name in first})
    rooted.set_loop(root, await_policy="all", start_rule=start_rule, on_error="stop")
    plan = compile_plan(rooted, root, may_go_round=True)
    schema, most = Schema(workflow.state_model, workflow.reducers), _most(max_iterations)
    once = Once(schema, _cycles(plan), most, on_error)
    return replace(plan, version=workflow.version, max_concurrency=max_concurrency, once=once)


def without_root(plan: LoopPlan) -> Workflow:
    """Give back the graph that *plan* was made of, as far as it is drawn."""
    names = [n.name for n in plan.nodes]
    drawn = Workflow(plan.graph)
    drawn.nodes = {n.name: n.node for n in plan.nodes[1:]}
    for edge in (e for n in plan.nodes[1:] for e in n.outs):
        pair = (names[edge.source], names[edge.target])
        drawn.edges[pair] = Edge(*pair, when=edge.when, condition=edge.condition)
    return drawn


def unreached(workflow: Workflow) -> list[str]:
    """Name the nodes that no entry point leads to."""
    seen = reached(workflow, entries(workflow)) | only_named(workflow)
    return [name for name in workflow.nodes if name not in seen]


def _check(workflow: Workflow) -> None:
    if workflow.producers:
        loops = ", ".join(map(repr, workflow.producers))
        msg = (
            f"graph {workflow.name!r} has a producer ({loops}), so it is a loop and does not run "
            "once: use start(), or simulate()"
        )
        raise GraphError(msg)


def _most(given: int | None) -> int:
    if given is not None:
        return given
    text = os.environ.get("FLOWNB_MAX_ITERATIONS", str(MOST))
    given = int(text) if text.strip().isdecimal() else 0
    if given < 1:
        msg = f"FLOWNB_MAX_ITERATIONS={text}: give a whole number, at least 1"
        raise GraphError(msg)
    return given


def _cycles(plan: LoopPlan) -> tuple[tuple[int, ...], ...]:
    found: dict[int, list[int]] = {}
    for node in plan.nodes:
        if node.cycle >= 0:
            found.setdefault(node.cycle, []).append(node.index)
    return tuple(tuple(found.get(k, ())) for k in range(max(found, default=-1) + 1))
