"""How does a graph without a producer run? Once: as a loop of a single item.

A root that stands before every node without in-edges offers the item, and everything is
awaited. It is the same plan, so the same engine runs it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flownb.analysis.plan import compile_plan
from flownb.errors import GraphError
from flownb.model.workflow import Workflow

if TYPE_CHECKING:
    from flownb.analysis.plan import LoopPlan
    from flownb.model.policies import StartRule


def root_name(workflow: Workflow) -> str:
    """Name the root: as the graph, unless a node has that name."""
    name = workflow.name
    while name in workflow.nodes:
        name += "'"
    return name


def compile_once(
    workflow: Workflow,
    payload: Any = None,
    *,
    start_rule: StartRule = "dataflow",
    max_concurrency: int | None = None,
) -> LoopPlan:
    """Compile a graph without producers; *max_concurrency* nodes work at a time.

    Raises GraphError when it has cycles or no node to begin with.
    """
    if max_concurrency is not None and max_concurrency < 1:
        msg = f"max_concurrency={max_concurrency}: at least 1 node must be allowed to work"
        raise GraphError(msg)
    root = root_name(workflow)
    item = {} if payload is None else payload
    rooted = Workflow(workflow.name).add_producer(root, [item]).include(workflow)
    fed = {e.target for e in workflow.flow_edges()}
    for name in workflow.nodes:
        if name not in fed:
            rooted.add_edge(root, name)
    if not rooted.edges.keys() - workflow.edges.keys():
        msg = f"graph {workflow.name!r} has no node to begin with: every node has an in-edge"
        raise GraphError(msg)
    rooted.set_loop(root, await_policy="all", start_rule=start_rule, on_error="stop")
    return replace(compile_plan(rooted, root), max_concurrency=max_concurrency)
