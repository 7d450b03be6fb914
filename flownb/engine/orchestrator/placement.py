"""Where are the loops of a graph placed, and their queues? By pool, cluster and Redis.

A graph started with `cluster=` puts the loops for which no pool was set there. Loops in
other processes need a Redis that they reach, those on a cluster one that was given. What cannot
be done, though each part of it is in order, is an error at the start and never ignored.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from flownb.engine.links import uses_queues
from flownb.engine.single_thread import has_threads
from flownb.errors import GraphError
from flownb.model.nodes import OwnLimit
from flownb.model.policies import REMOTE_POOLS
from flownb.plan.await_sets import Flow
from flownb.plan.compiler import compile_plan
from flownb.plan.traversal import reach
from flownb.validate.check import check

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from flownb.engine.orchestrator.loop_run import LoopRun
    from flownb.model.workflow import Workflow
    from flownb.plan.loop_plan import LoopPlan
    from flownb.queues.servers.link import Server

_NO_REDIS: Final = (
    "loops on a Dask cluster hand data on through a Redis that all workers reach: give its "
    "address, graph.start(cluster=..., redis='redis://host:6379')"
)


def placed(workflow: Workflow, loop: str, cluster: Any) -> LoopPlan:
    """Compile a loop; on the cluster if one was given and no pool was set.

    Without threads its pool is "asyncio".
    Of the store only that there is one travels: a `CheckpointWriter` in the notebook writes to it.
    """
    plan = compile_plan(workflow, loop)
    if not has_threads():
        plan = replace(plan, options=replace(plan.options, pool="asyncio"))
    if plan.options.checkpoint is not None:
        plan = replace(plan, options=replace(plan.options, checkpoint="kept"))
    if cluster is None or "pool" in workflow.options.get(loop, {}):
        return plan
    return replace(plan, options=replace(plan.options, pool="dask"))


def check_applicable(workflow: Workflow, loop_runs: Mapping[str, LoopRun], cluster: Any) -> None:
    """Raise GraphError for mistakes, and for a loop that runs and would have to move."""
    check(workflow)
    check_supported(workflow, live=True)
    for loop, loop_run in loop_runs.items():
        if loop not in workflow.producers or loop_run.has_ended or loop_run.removed:
            continue
        move = _move(loop_run, placed(workflow, loop, cluster))
        if move:
            msg = (
                f"loop {loop!r} {move} on its way: "
                f"stop it before (await orch.stop({loop!r})), or start the graph again"
            )
            raise GraphError(msg)


def _move(loop_run: LoopRun, plan: LoopPlan) -> str:
    """Say where a loop would have to go that can only begin there; "" if it need not.

    A reader that turned to another queue would leave what it has fetched from the old one
    in its hands, where nobody works on it.
    """
    pool, queue = loop_run.host.pool, loop_run.manager.plan.reads
    if pool != plan.options.pool:
        return f"runs in pool {pool!r} and cannot move to {plan.options.pool!r}"
    if queue is not None and queue != plan.reads:
        turn = f"turn to {plan.reads!r}" if plan.reads else "become a producer"
        return f"reads queue {queue!r} and cannot {turn}"
    return ""


def server_for(plans: Sequence[LoopPlan], redis: Any) -> Server:
    """Open the server that all these loops reach."""
    from flownb.queues.servers.opening import open_server

    pools, needed = {plan.options.pool for plan in plans}, uses_queues(plans)
    if "dask" in pools and needed and redis is None:
        raise GraphError(_NO_REDIS)
    return open_server(redis, need_other_process=needed and bool(pools & set(REMOTE_POOLS)))


def client_for(plans: Sequence[LoopPlan], cluster: Any) -> Any:
    """Give the Dask client, if a loop needs one."""
    if not any(plan.options.pool == "dask" for plan in plans):
        return None
    from flownb.engine.hosts.dask import client_of

    return client_of(cluster)


def check_supported(workflow: Workflow, *, live: bool) -> None:
    """Raise one GraphError that names every option that cannot be honoured."""
    problems = list(_nodes(workflow))
    if live:
        problems += _limits(workflow)
        problems += [] if has_threads() else _needs_threads(workflow)
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


def _needs_threads(workflow: Workflow) -> Iterator[str]:
    """Find what cannot be had where there are no threads, as in a browser."""
    for loop in workflow.producers:
        options = workflow.loop_options(loop)
        wanted = {
            f"pool={options.pool!r}": options.pool in REMOTE_POOLS,
            "checkpoint=": options.checkpoint is not None,
            "restart='on_crash'": options.restart == "on_crash",
        }
        for option in (name for name, is_wanted in wanted.items() if is_wanted):
            yield f"loop {loop!r}: {option} needs threads, and none can be started here: drop it"


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
        away = [x for x in loops if workflow.loop_options(x).pool in REMOTE_POOLS]
        if away and len(loops) > 1:
            names = dict.fromkeys(name for found in loops.values() for name in found)
            yield (
                f"nodes {_listed(names)} share one Limit, but loops {_listed(loops)} do not live "
                "in one process, where it could be held: give each loop a Limit of its own, or "
                "pool='thread'"
            )


def _listed(names: Iterable[str]) -> str:
    return " and ".join(map(repr, names))
