"""Which endpoints do the loops of a running graph have?"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query

from flownb.records.events import LoopState  # noqa: TC001 - FastAPI reads it
from flownb.server import serializers
from flownb.server.encoding import shown
from flownb.server.schemas import (
    Failures,
    LoopList,
    LoopOut,
    MetricsOut,
    Name,
    RunningGraph,
    Seconds,
    Verb,
)
from flownb.server.services import Shared, aside

router = APIRouter(tags=["loops"])
Running = Annotated[Name, Path(description="a graph that runs", examples=["live"])]
LoopName = Annotated[
    str | None, Query(min_length=1, max_length=200, description="one loop; without it all")
]


@router.get("/loops", summary="List loops")
def list_loops(
    services: Shared,
    graph: Annotated[str | None, Query(max_length=200)] = None,
    state: LoopState | None = None,
) -> LoopList:
    """List the loops of all graphs that run here."""
    found = [
        LoopOut(**loop)
        for name, orch in services.running().items()
        if graph in {None, name}
        for loop in serializers.loops(orch.status())
    ]
    return LoopList(loops=[loop for loop in found if state in {None, loop.state}])


@router.get("/loops/{graph}", summary="Read where the loops of a graph stand")
def read_loops(graph: Running, services: Shared) -> RunningGraph:
    """Say where each loop of a graph stands."""
    return RunningGraph(**serializers.running(services.orchestrator(graph).status()))


@router.get("/loops/{graph}/metrics", summary="Read the counters of loops and nodes")
def read_metrics(graph: Running, services: Shared) -> MetricsOut:
    """Give the counters of each loop and node; reading them never stops a loop."""
    return MetricsOut(**shown(serializers.metrics(services.orchestrator(graph))))


@router.get("/loops/{graph}/failures", summary="Read the items that failed")
def read_failures(
    graph: Running,
    services: Shared,
    loop: LoopName = None,
    last: Annotated[int, Query(ge=1, le=1_000)] = 100,
) -> Failures:
    """Give the last items that failed, oldest first."""
    found = services.orchestrator(graph).failures(loop, last=last)
    return Failures(failures=[shown(serializers.failure(one)) for one in found])


@router.get("/loops/{graph}/logs", summary="Read what nodes printed")
def read_lines(
    graph: Running,
    services: Shared,
    loop: LoopName = None,
    node: Annotated[str | None, Query(min_length=1, max_length=200)] = None,
    last: Annotated[int, Query(ge=1, le=1_000)] = 100,
) -> list[dict[str, Any]]:
    """Give the last lines that nodes printed or logged, oldest first."""
    found = services.orchestrator(graph).logs(loop=loop, node=node, last=last)
    return [shown(line._asdict()) for line in found]


@router.post("/loops/{graph}/{verb}", summary="Start, pause, resume, step, stop or cancel loops")
async def ask_loops(
    graph: Running,
    verb: Annotated[Verb, Path(description="what to do", examples=["pause"])],
    services: Shared,
    loop: LoopName = None,
    grace: Annotated[Seconds, Query(description="seconds that `stop` gives what works")] = 10.0,
    wait: Annotated[Seconds, Query(description="seconds to wait until it is done")] = 1.0,
) -> RunningGraph:
    """Ask something of one loop or all; `done` says whether it has happened yet."""
    orch = services.orchestrator(graph)
    options = {"grace": grace} if verb == "stop" else {}
    request = await aside(getattr(orch, verb), loop, **options)
    try:
        await asyncio.wait_for(_of(request), services.patience(wait))
    except TimeoutError:
        return RunningGraph(**serializers.running(orch.status(), done=False))
    return RunningGraph(**serializers.running(orch.status()))


async def _of(request: Any) -> Any:
    return await request
