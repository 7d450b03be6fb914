"""Where does Prometheus look? At `/metrics`, if the extra `prometheus` is there."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from fastapi import APIRouter
from starlette.responses import PlainTextResponse, Response

from flownb.server.problem_details import Problem
from flownb.server.services import Shared, aside

if TYPE_CHECKING:
    from flownb.queues.spec import QueueStats
    from flownb.server.services import Services

router = APIRouter(tags=["health"])
_PATIENCE = 2.0  # seconds for the figures of all queues of a graph


@router.get(
    "/metrics", response_class=PlainTextResponse, summary="Read all counters as Prometheus does"
)
async def read_prometheus(services: Shared) -> Response:
    """Give the counters of loops, nodes and queues as Prometheus text."""
    try:
        from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest

        from flownb.exporters.prometheus import LoopCollector
    except ImportError:
        raise Problem(
            404, 'there is no prometheus_client: pip install "flownb[prometheus]"'
        ) from None
    queues = {name: await _stats(services, name) for name in services.running()}
    registry = CollectorRegistry()
    registry.register(
        LoopCollector(lambda: services.running().values(), lambda graph: queues.get(graph, ()))
    )
    for name, said, value in (
        ("flownb_server_open_runs", "One-shot runs that wait or work.", services.runs.open_runs),
        ("flownb_server_streams", "Clients that listen.", services.streams),
    ):
        Gauge(name, said, registry=registry).set(value)
    return Response(await aside(generate_latest, registry), media_type=CONTENT_TYPE_LATEST)


async def _stats(services: Services, graph: str) -> list[QueueStats]:
    orch = services.orchestrator(graph)
    found: list[QueueStats] = []
    with contextlib.suppress(Exception):  # its Redis is away: what is not known is not told
        async with asyncio.timeout(_PATIENCE):
            for spec in orch._live.specs:
                found.append(await orch.queues.stats(spec.name))  # noqa: PERF401 - some are better than none
    return found
