"""Which endpoints do graphs, their one-shot runs, and tools have?

Programs that were written for a plain graph engine know other paths: `/graph/create` is
`POST /graphs`, `/graph/run` is `POST /runs` with a wait, `/graph/state` is `GET /runs/{run_id}`
with its logs; `/tools` is the same in both.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Path, Query, Response

from flownb.errors import GraphError, StoreError
from flownb.model.document.schema import parse
from flownb.notebook.picture.text import brief
from flownb.records.workflow_run import RunStatus  # noqa: TC001 - FastAPI reads it
from flownb.server.problem_details import Problem
from flownb.server.run_manager import TooManyRuns
from flownb.server.schemas import (
    Cursor,
    DrawingIn,
    GraphCreated,
    GraphIn,
    GraphList,
    GraphOut,
    GraphRunIn,
    GraphStateOut,
    LineOut,
    Moment,
    Name,
    RunHead,
    RunId,
    RunIn,
    RunList,
    RunLogs,
    RunOut,
    Seconds,
    StepOut,
    ToolList,
    ToolOut,
    Visited,
    Words,
    is_name,
    shown,
    visited_of,
)
from flownb.server.services import (
    Shared,
    aside,
)
from flownb.stores.codec import encode

if TYPE_CHECKING:
    from flownb.graph import Graph
    from flownb.server.services import Services
    from flownb.stores.base import RunRecord

router, of_tools = APIRouter(tags=["graphs"]), APIRouter(tags=["tools"])
of_runs = APIRouter(tags=["runs"])
in_other_words = APIRouter(prefix="/graph", tags=["other words for the same"])
GraphName = Annotated[Name, Path(description="the graph's name", examples=["sums"])]


def keep(services: Services, given: GraphIn) -> GraphOut:
    """Check a graph and keep it; an unchanged one keeps its version."""
    graph = _made(services, given)
    wrong = [p for p in graph.validate() if p.level == "error"]
    if wrong:
        raise Problem(409, str(wrong[0]), problems=[str(p) for p in wrong[:100]])
    if graph.name in services.graphs.given:
        raise Problem(409, f"graph {graph.name!r} is given in Python here: choose another name")
    if not is_name(graph.name):
        said = "over HTTP a name is not '..', has no control character and at most 200 characters"
        raise Problem(409, f"graph {brief(graph.name)!r}: {said}")
    record = services.store.graphs.save(graph.to_dict(tools=services.tools))
    return GraphOut.of(record, document=None, **_checked(graph))


def _made(services: Services, given: GraphIn) -> Graph:
    from flownb.graph import Graph

    if isinstance(given, DrawingIn):
        graph = Graph.from_react_flow(given.react_flow, tools=services.tools)
        graph.name = given.name or graph.name
        return graph
    try:
        parse(given.document)
    except GraphError as error:
        problems = list(error.problems[:100])
        raise Problem(422, problems[0], problems=problems) from None
    return services.graphs.make(given.document)


def _checked(graph: Graph) -> dict[str, Any]:
    return {"problems": [str(p) for p in graph.validate()], "loops": list(graph.producers)}


@router.post("/graphs", status_code=201, summary="Keep a graph")
def create_graph(given: GraphIn, services: Shared) -> GraphOut:
    """Keep a graph, in a new version if it has changed.

    A document names functions that are registered here (`GET /tools`); it never contains code.
    """
    return keep(services, given)


@router.get("/graphs", summary="List graphs")
def list_graphs(
    services: Shared,
    prefix: Annotated[Words, Query(description="names begin with this")] = "",
    kind: Annotated[str | None, Query(pattern="^(given|kept)$")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> GraphList:
    """List the newest version of each graph that is kept, and those given in Python."""
    found: list[GraphOut] = []
    if kind != "kept":
        found += [GraphOut(name=n, **_checked(g)) for n, g in services.graphs.given.items()]
    if kind != "given":
        kept = services.store.graphs.list()
        found += [GraphOut.of(r, document=None) for r in kept]
    return GraphList(graphs=[g for g in found if g.name.startswith(prefix)][:limit])


@router.get("/graphs/{name:name}", summary="Read a graph")
def read_graph(
    name: GraphName,
    services: Shared,
    version: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
) -> GraphOut:
    """Give a version of a graph, the newest if none is named, with its document."""
    if version is None and name in services.graphs.given:
        return GraphOut(name=name, **_checked(services.graphs.given[name]))
    record = services.store.graphs.load(name, version)
    return GraphOut.of(record, document=dict(record.document))


@router.get("/graphs/{name:name}/versions", summary="List the versions of a graph")
def list_versions(name: GraphName, services: Shared) -> GraphList:
    """List all versions that are kept, newest first."""
    found = services.store.graphs.list(name=name)
    if not found:
        services.store.graphs.load(name)  # says that there is none
    versions = [GraphOut.of(r, document=None) for r in found]
    return GraphList(graphs=versions)


@of_tools.get("/tools", summary="List tools")
def list_tools(services: Shared) -> ToolList:
    """List the functions that documents may name."""
    return ToolList(
        tools=[
            ToolOut(name=t.name, signature=t.signature, description=t.description)
            for t in services.tools.listing()
        ]
    )


Run = Annotated[RunId, Path(description="the run's id", examples=["http.example"])]
Wait = Annotated[Seconds, Query(description="seconds to wait for its end")]


async def start(services: Services, given: RunIn, wait: float) -> tuple[str, bool]:
    """Begin a run, and wait for its end for a while."""
    try:
        encode(given.state, "state", max_bytes=services.store.runs.max_bytes)
    except StoreError as error:
        raise Problem(422, str(error)) from None
    try:
        run_id, is_new = await aside(
            services.runs.submit,
            given.graph, given.version, given.state, given.options.model_dump(), given.key,
        )  # fmt: skip
    except TooManyRuns:
        most = services.caps.max_open_runs
        said = f"{most:,} runs wait already: ask again when some have ended"
        raise Problem(429, said, headers={"Retry-After": "5"}) from None
    await services.runs.wait(run_id, services.patience(wait))
    return run_id, is_new


def whole(services: Services, record: RunRecord) -> RunOut:
    """Tell all of a run: what is kept, and what is known of one that works."""
    run = services.runs.live(record.run_id)
    state, nodes = record.state, {}
    if run is not None:
        nodes = dict(run.nodes)
        if services.runs.is_open(record.run_id) and run.behind:
            state = list(run.behind.values())[-1]
    return RunOut.of(record, state=shown(state), visited=visited_of(record), nodes=nodes)


async def read(services: Services, run_id: str) -> RunOut:
    """Read a run from the store."""
    record = await aside(services.store.runs.load, run_id)
    return whole(services, record)


@of_runs.post(
    "/runs", status_code=202, summary="Start a run",
    responses={200: {"model": RunOut, "description": "a run of this key is known already"}},
)  # fmt: skip
async def start_run(given: RunIn, services: Shared, response: Response, wait: Wait = 0.0) -> RunOut:
    """Keep a run, and carry it out: once this is answered, it is not lost when the server dies.

    The answer comes at once, or after `wait` seconds, or when the run has ended.
    """
    run_id, is_new = await start(services, given, wait)
    response.headers["Location"] = f"runs/{run_id}"
    if not is_new:
        response.status_code = 200
    return await read(services, run_id)


@of_runs.get("/runs", summary="List runs")
def list_runs(
    services: Shared,
    graph: Annotated[Words | None, Query(min_length=1)] = None,
    status: RunStatus | None = None,
    since: Annotated[Moment | None, Query()] = None,
    until: Annotated[Moment | None, Query()] = None,
    cursor: Annotated[Cursor | None, Query(description="`next` of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> RunList:
    """List runs, newest first, page by page."""
    created, last = until, ""
    if cursor is not None:
        time, _, last = cursor.partition("~")
        created = math.nextafter(float.fromhex(time), math.inf)
    asked = {"graph": graph, "status": status, "since": since, "until": created}
    found = _behind(services, asked, last, limit + 1)
    page, more = found[:limit], len(found) > limit
    following = f"{page[-1].created.hex()}~{page[-1].run_id}" if more else None
    return RunList(runs=[RunHead.of(run) for run in page], next=following)


def _behind(services: Services, asked: Any, last: str, most: int) -> list[RunRecord]:
    """Give runs from *asked* on, behind the one called *last*: several may be equally old."""
    size = most
    while True:
        size *= 2
        found = services.store.runs.list(**asked, limit=size)
        at = next((i for i, run in enumerate(found) if run.run_id == last), -1) if last else -1
        rest = found[at + 1 :]
        if len(rest) >= most or len(found) < size:
            return rest[:most]


@of_runs.get("/runs/{run_id:name}", summary="Read a run")
async def read_run(run_id: Run, services: Shared, wait: Wait = 0.0) -> RunOut:
    """Give the state of a run so far, at last the final one; its nodes and its error."""
    await services.runs.wait(run_id, services.patience(wait))
    return await read(services, run_id)


@of_runs.get("/runs/{run_id:name}/logs", summary="Read what happened in a run")
def read_logs(
    run_id: Run,
    services: Shared,
    after: Annotated[int, Query(ge=-1, le=2**53, description="only steps behind this one")] = -1,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1_000,
) -> RunLogs:
    """Give the steps of a run, in order, and what its nodes printed."""
    record, run = services.store.runs.load(run_id), services.runs.live(run_id)
    steps = [s for s in record.steps if s.seq > after][:limit]
    lines = [] if run is None else run.lines
    return RunLogs(
        run_id=run_id,
        steps=[StepOut.of_step(step) for step in steps],
        lines=[
            LineOut(time=x.time, node=shown(x.node), level=x.level, text=shown(x.text))
            for x in lines[-limit:]
        ],
    )


@of_runs.get("/runs/{run_id:name}/visited", summary="Name the nodes that ran")
def read_visited(run_id: Run, services: Shared) -> Visited:
    """Name the nodes that ran, once for each visit, in the order of their starts."""
    record = services.store.runs.load(run_id)
    return Visited(run_id=run_id, visited=visited_of(record))


@of_runs.post("/runs/{run_id:name}/cancel", summary="Cancel a run")
async def cancel_run(run_id: Run, services: Shared, wait: Wait = 5.0) -> RunOut:
    """End a run that waits or works; what it did is kept, and `resume` goes on from there.

    A run that has ended stays as it is.
    """
    record = await aside(services.store.runs.load, run_id)
    if services.runs.cancel(run_id) is None:
        if record.status in {"pending", "running"} and not services.runs.is_open(run_id):
            record = await aside(services.store.runs.load, run_id)
            if record.status in {"pending", "running"}:
                raise Problem(409, f"run {run_id!r} is carried out elsewhere, not by this server")
    else:
        await services.runs.wait(run_id, services.patience(wait))
    return await read(services, run_id)


@of_runs.post("/runs/{run_id:name}/resume", status_code=202, summary="Resume a run")
async def resume_run(run_id: Run, services: Shared, wait: Wait = 0.0) -> RunOut:
    """Go on with a run that failed or was cancelled; nodes that ended do not run again."""
    record = await aside(services.store.runs.load, run_id)
    if record.status == "completed":
        raise Problem(409, f"run {run_id!r} is completed: there is nothing to resume")
    if record.status in {"pending", "running"} and not services.runs.is_open(run_id):
        raise Problem(409, f"run {run_id!r} is carried out elsewhere, not by this server")
    await aside(services.runs.resume, run_id)
    await services.runs.wait(run_id, services.patience(wait))
    return await read(services, run_id)


@in_other_words.post("/create", summary="As POST /graphs")
def create(given: GraphIn, services: Shared) -> GraphCreated:
    """Keep a graph: as `POST /graphs`."""
    kept = keep(services, given)
    said = f"graph {kept.name!r} is kept as version {kept.version}"
    return GraphCreated(graph_id=kept.name, version=kept.version or 1, message=said)


@in_other_words.post("/run", summary="As POST /runs?wait=")
async def run(given: GraphRunIn, services: Shared) -> GraphStateOut:
    """Carry out a run and wait for its end, for as long as an answer may take to begin."""
    asked = RunIn(graph=given.graph_id, state=given.initial_state)
    run_id, _ = await start(services, asked, services.caps.timeout)
    return await _state(services, run_id)


@in_other_words.get("/state/{run_id:name}", summary="As GET /runs/{run_id}")
async def state(run_id: Run, services: Shared) -> GraphStateOut:
    """Give the state of a run, the nodes that it visited, and its log."""
    return await _state(services, run_id)


async def _state(services: Services, run_id: str) -> GraphStateOut:
    record = await aside(services.store.runs.load, run_id)
    found = await read(services, run_id)
    return GraphStateOut(
        run_id=run_id, graph_id=found.graph, status=found.status, state=found.state,
        visited_nodes=found.visited, error=found.error,
        logs=[StepOut.of_step(s) for s in record.steps],
    )  # fmt: skip
