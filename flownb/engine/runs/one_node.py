"""How is one node tried by itself? On an item, or on what its upstream gave last.

The node runs through the engine, as in a whole run: retry, timeout, `ctx` and prints. What
it gave is remembered, so that the node behind it can be tried next.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flownb.arguments import known
from flownb.engine.runs.console import RunDisplay, run_in_thread
from flownb.engine.runs.execution import Execution
from flownb.engine.runs.run_queues import RunQueue
from flownb.errors import RunError
from flownb.model.tools import checked_tools
from flownb.model.workflow import Workflow
from flownb.plan.compiler import compile_once
from flownb.records.events import NOTHING

if TYPE_CHECKING:
    from flownb.model.nodes import Node
    from flownb.model.tools import ToolRegistry

_NOT_ALONE = ("producer", "queue", "queue_reader")


def step(graph: Any, name: str, item: Any, tools: ToolRegistry | None) -> Any:
    """Call node *name* once; give what it returned, of an if its verdict."""
    checked_tools("step()", tools)
    node = graph.nodes[known("node", name, graph.nodes)]
    if node.kind in _NOT_ALONE:
        raise RunError(
            f"step({name!r}): a {node.kind.replace('_', ' ')} does nothing by itself; "
            "step() is for nodes and ifs"
        )
    entry = upstream(graph, name) if item is NOTHING else item
    execution = _called(graph, node, entry, tools)
    graph._stepped[name] = execution.run.behind[name]
    if node.over is not None:
        return execution.run.behind[name][node.into or name]
    return [output for span, output, _ in execution.trail.calls() if span.kind == "work"][-1]


def _called(graph: Any, node: Node, entry: Any, tools: ToolRegistry | None) -> Execution:
    alone = Workflow(graph.name, state_model=graph.state_model, reducers=graph.reducers)
    alone.nodes[node.name] = replace(node, join="all", on_error=None)
    plan = compile_once(alone)
    if plan.once is not None:  # items of a loop are payloads, also if they are dicts
        plan = replace(plan, once=replace(plan.once, on_state=not graph.producers))
    made: list[Execution] = []

    def make(**showing: Any) -> Execution:
        outlet = RunQueue(plan, among=graph)
        showing |= {"using": graph._using, "tools": tools, "outlet": outlet, "told_at": ""}
        made.append(Execution(plan, entry, **showing))
        return made[0]

    run_in_thread(make, RunDisplay(graph.name, 1, progress=False))
    return made[0]


def upstream(graph: Any, name: str) -> Any:
    """Find what the nodes before this one gave last: in a step, a run, or a loop."""
    sources = [e.source for e in graph.flow_edges() if e.target == name]
    found = {source: _last(graph, source) for source in sources}
    missing = [source for source, last in found.items() if last is NOTHING]
    if missing or not found:
        what = f"{missing[0]!r} has given nothing yet" if missing else "nothing comes before it"
        raise RunError(
            f"step({name!r}): {what}: give an item, step({name!r}, item), or run the graph first"
        )
    if len(found) == 1:
        return found[sources[0]]
    return found if graph.producers else _merged(found)


def _merged(states: dict[str, Any]) -> Any:
    """Give one state of several; where they differ, as the later ones say."""
    if not all(isinstance(state, dict) for state in states.values()):
        return states
    return {key: value for state in states.values() for key, value in state.items()}


def _last(graph: Any, source: str) -> Any:
    if source in graph._stepped:
        return graph._stepped[source]
    if graph.last_run is not None and source in graph.last_run.behind:
        return graph.last_run.behind[source]
    loops = graph._last_start
    outputs = [] if loops is None else loops.outputs(source, last=1)
    return outputs[-1] if outputs else NOTHING
