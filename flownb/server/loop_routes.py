"""Which endpoints do the loops of a running graph have?"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

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
    Words,
)
from flownb.server.services import Shared, aside

if TYPE_CHECKING:
    from flownb.server.services import Services

router = APIRouter(tags=["loops"])
Running = Annotated[Name, Path(description="a graph that runs", examples=["live"])]
LoopName = Annotated[Words | None, Query(min_length=1, description="one loop; without it all")]


@router.get("/loops", summary="List loops")
def list_loops(
    services: Shared,
    graph: Annotated[Words | None, Query()] = None,
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
    node: Annotated[Words | None, Query(min_length=1)] = None,
    last: Annotated[int, Query(ge=1, le=1_000)] = 100,
) -> list[dict[str, Any]]:
    """Give the last lines that nodes printed or logged, oldest first."""
    found = services.orchestrator(graph).logs(loop=loop, node=node, last=last)
    return [shown(line._asdict()) for line in found]


Wait = Annotated[Seconds, Query(description="seconds to wait until it is done")]
Grace = Annotated[Seconds, Query(description="seconds that what works has to end")]


@router.post("/loops/{graph}/stop", summary="Stop loops")
async def stop_loops(
    graph: Running, services: Shared, loop: LoopName = None, grace: Grace = 10.0, wait: Wait = 1.0
) -> RunningGraph:
    """Make no new item, give what is in flight some seconds, then cancel it."""
    return await _asked(services, graph, "stop", loop, wait, grace=grace)


def _verb(verb: str, summary: str, said: str) -> None:
    """Give a verb its path: `done` in the answer says whether it has happened yet."""

    async def ask(
        graph: Running, services: Shared, loop: LoopName = None, wait: Wait = 1.0
    ) -> RunningGraph:
        return await _asked(services, graph, verb, loop, wait)

    router.add_api_route(
        f"/loops/{{graph}}/{verb}", ask, methods=["POST"], summary=summary, description=said,
        operation_id=f"{verb}_loops",
    )  # fmt: skip


_verb("start", "Start loops", "Start loops that have ended once more.")
_verb("pause", "Pause loops", "Make no new item; what is in flight goes on.")
_verb("resume", "Resume loops", "Go on after a pause.")
_verb("step", "Step loops", "Let paused loops make exactly one item each.")
_verb("cancel", "Cancel loops", "Stop without waiting for what is in flight.")


async def _asked(
    services: Services, graph: str, verb: str, loop: str | None, wait: float, **options: Any
) -> RunningGraph:
    orch = services.orchestrator(graph)
    request = await aside(getattr(orch, verb), loop, **options)
    try:
        await asyncio.wait_for(_of(request), services.patience(wait))
    except TimeoutError:
        return RunningGraph(**serializers.running(orch.status(), done=False))
    return RunningGraph(**serializers.running(orch.status()))


async def _of(request: Any) -> Any:
    return await request
