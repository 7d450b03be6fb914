"""What is the app? `create_app` gives it: an ASGI app for uvicorn, or to be mounted in another."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import sys
from typing import TYPE_CHECKING, Any, Final

from fastapi import APIRouter, FastAPI
from starlette.responses import PlainTextResponse, Response

from flownb.arguments import TEXT, checked
from flownb.errors import ArgumentError
from flownb.model.tools import checked_tools
from flownb.model.tools import tools as global_tools
from flownb.server import (
    graph_routes,
    loop_routes,
    page_routes,
    problem_details,
    stream_routes,
)
from flownb.server.problem_details import Problem
from flownb.server.run_manager import Graphs, RunManager
from flownb.server.schemas import Health, ProblemOut
from flownb.server.security import Caps, Guard, cookie_name
from flownb.server.services import Services, Shared, aside
from flownb.stores import Store, open_store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from os import PathLike

    from flownb.engine.orchestrator.orchestrator import Orchestrator
    from flownb.graph import Graph
    from flownb.model.tools import ToolRegistry
    from flownb.queues.spec import QueueStats

_SHORTEST: Final = 8
# Where flownb is only on the path its metadata is not there; an import of it would go round.
_VERSION: Final[str] = sys.modules["flownb"].__version__
_PROBLEM: Final[dict[str, Any]] = {
    "model": ProblemOut,
    "content": {problem_details.MEDIA_TYPE: {}},
}
_REFUSALS: Final[dict[int | str, dict[str, Any]]] = {
    code: {**_PROBLEM, "description": said}
    for code, said in {
        400: "the body cannot be read",
        401: "a token is needed",
        403: "asked by the page of another site",
        404: "there is no such thing",
        409: "it cannot be done as things stand",
        413: "too large",
        422: "not valid",
        429: "too many",
        503: "a store or a queue is away",
    }.items()
}
_DESCRIPTION: Final = """\
Workflow loops and one-shot runs, over HTTP.

Every change needs the token that the server printed: `Authorization: Bearer ...`. So does each
look from another machine. Errors are `application/problem+json`.
"""

home = APIRouter(tags=["health"])


def create_app(
    *orchestrators: Orchestrator,
    graphs: Sequence[Graph] = (),
    store: str | PathLike[str] | Store | None = None,
    tools: ToolRegistry | None = None,
    token: str | None = None,
    caps: Caps | None = None,
    name: str = "http",
    root_path: str = "",
) -> FastAPI:
    """Make the app that serves running graphs, one-shot runs and a store.

    *orchestrators* are what `graph.start()` gave; without any, every graph that runs in this
    process is served. *graphs* may be run once by their name, beside those in *store* (a path,
    a URL, what `open_store` gave; None: in memory, until the app ends), which name functions
    in *tools* only. *token* is what each change needs (None: a new one, `app.state.token`),
    *caps* how much is taken. *name*: a server takes up the runs that the last one of this name
    has left in the store, so two that share a store need two names. *root_path* is where a
    proxy has put the app.

    Raises StoreError for what is no address, ArgumentError for a token that is too short.

    >>> from flownb import Graph
    >>> app = create_app(graphs=[Graph("sums").add_node("keep")], token="a-long-secret")
    >>> app.title
    'flownb'
    """
    token = secrets.token_urlsafe(24) if token is None else token
    if not isinstance(token, str) or len(token) < _SHORTEST:
        raise ArgumentError(f"create_app(): token: give at least {_SHORTEST} characters, or None")
    checked("create_app()", "name", name, TEXT)
    registry = checked_tools("create_app()", tools) or global_tools
    caps = Caps() if caps is None else caps
    opened = store if isinstance(store, Store) else open_store(store or "memory://")
    kept = Graphs(opened, registry, {graph.name: graph for graph in graphs})
    runs = RunManager(opened, kept, registry, caps, server=name)
    services = Services(
        opened, registry, kept, runs, caps, {orch.name: orch for orch in orchestrators},
        serves_all=not orchestrators,
    )  # fmt: skip

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        runs.start()
        try:
            yield
        finally:
            services.close_feeds()
            await runs.close()
            if opened is not store:
                opened.close()

    app = FastAPI(
        title="flownb", version=_VERSION, description=_DESCRIPTION, lifespan=lifespan,
        responses=_REFUSALS, telemetry=_QUIET, docs_url=None, redoc_url=None,
        redirect_slashes=False,
    )  # fmt: skip
    app.state.services, app.state.token = services, token
    app.state.cookie = cookie_name(token)
    problem_details.install(app)
    for routes in (
        home, graph_routes.router, graph_routes.of_tools, graph_routes.of_runs,
        graph_routes.in_other_words,
        loop_routes.router, loop_routes.of_queues, stream_routes.router, page_routes.router,
    ):  # fmt: skip
        app.include_router(routes)
    app.add_middleware(Guard, token=token, caps=caps, root_path=root_path)
    return app


# FastAPI is told to report nothing by itself: what it would report holds what was sent.
_QUIET: Final[Any] = {
    "tracing": False, "metrics": False, "logs": False, "operation_spans": False,
    "auto_configure": False,
}  # fmt: skip


@home.get("/health", summary="Whether the server works")
def read_health(services: Shared) -> Health:
    """Say that the server works, and for whom."""
    return Health(
        status="ok",
        version=_VERSION,
        graphs=sorted(services.running()),
        open_runs=services.runs.open_runs,
        streams=services.streams,
    )


_PATIENCE = 2.0  # seconds for the figures of all queues of a graph


@home.get(
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
