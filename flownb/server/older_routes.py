"""Which paths do programs know that were written for a plain graph engine? The same, in its words.

`/graph/create` is `POST /graphs`, `/graph/run` is `POST /runs` with a wait, `/graph/state` is
`GET /runs/{run_id}` with its logs; `/tools` is the same in both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter

from flownb.server import serializers
from flownb.server.graph_routes import keep
from flownb.server.run_routes import Run, read, start
from flownb.server.schemas import (
    GraphCreated,
    GraphIn,
    GraphRunIn,
    GraphStateOut,
    RunIn,
    StepOut,
)
from flownb.server.services import Shared, aside

if TYPE_CHECKING:
    from flownb.server.services import Services

router = APIRouter(prefix="/graph", tags=["other words for the same"])


@router.post("/create", summary="As POST /graphs")
def create(given: GraphIn, services: Shared) -> GraphCreated:
    """Keep a graph: as `POST /graphs`."""
    kept = keep(services, given)
    said = f"graph {kept.name!r} is kept as version {kept.version}"
    return GraphCreated(graph_id=kept.name, version=kept.version or 1, message=said)


@router.post("/run", summary="As POST /runs?wait=")
async def run(given: GraphRunIn, services: Shared) -> GraphStateOut:
    """Carry out a run and wait for its end, for as long as an answer may take to begin."""
    asked = RunIn(graph=given.graph_id, state=given.initial_state)
    run_id, _ = await start(services, asked, services.caps.timeout)
    return await _state(services, run_id)


@router.get("/state/{run_id}", summary="As GET /runs/{run_id}")
async def state(run_id: Run, services: Shared) -> GraphStateOut:
    """Give the state of a run, the nodes that it visited, and its log."""
    return await _state(services, run_id)


async def _state(services: Services, run_id: str) -> GraphStateOut:
    record = await aside(services.store.runs.load, run_id)
    found = await read(services, run_id)
    return GraphStateOut(
        run_id=run_id, graph_id=found.graph, status=found.status, state=found.state,
        visited_nodes=found.visited, error=found.error,
        logs=[StepOut(**serializers.step(s)) for s in record.steps],
    )  # fmt: skip
