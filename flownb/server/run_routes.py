"""Which endpoints do one-shot runs have?"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Path, Query, Response

from flownb.errors import StoreError
from flownb.records.workflow_run import RunStatus  # noqa: TC001 - FastAPI reads it
from flownb.server import serializers
from flownb.server.encoding import shown
from flownb.server.problem_details import Problem
from flownb.server.run_manager import TooManyRuns
from flownb.server.schemas import (
    Cursor,
    LineOut,
    Moment,
    RunHead,
    RunId,
    RunIn,
    RunList,
    RunLogs,
    RunOut,
    Seconds,
    StepOut,
    Visited,
    Words,
)
from flownb.server.services import Shared, aside
from flownb.stores.codec import encode

if TYPE_CHECKING:
    from flownb.server.services import Services
    from flownb.stores.base import RunRecord

router = APIRouter(tags=["runs"])
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
    return RunOut(
        **serializers.head(record), state=shown(state), visited=serializers.visited(record),
        nodes=nodes,
    )  # fmt: skip


async def read(services: Services, run_id: str) -> RunOut:
    """Read a run from the store."""
    record = await aside(services.store.runs.load, run_id)
    return whole(services, record)


@router.post(
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


@router.get("/runs", summary="List runs")
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
    return RunList(runs=[RunHead(**serializers.head(run)) for run in page], next=following)


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


@router.get("/runs/{run_id}", summary="Read a run")
async def read_run(run_id: Run, services: Shared, wait: Wait = 0.0) -> RunOut:
    """Give the state of a run so far, at last the final one; its nodes and its error."""
    await services.runs.wait(run_id, services.patience(wait))
    return await read(services, run_id)


@router.get("/runs/{run_id}/logs", summary="Read what happened in a run")
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
        steps=[StepOut(**serializers.step(step)) for step in steps],
        lines=[
            LineOut(time=x.time, node=shown(x.node), level=x.level, text=shown(x.text))
            for x in lines[-limit:]
        ],
    )


@router.get("/runs/{run_id}/visited", summary="Name the nodes that ran")
def read_visited(run_id: Run, services: Shared) -> Visited:
    """Name the nodes that ran, once for each visit, in the order of their starts."""
    record = services.store.runs.load(run_id)
    return Visited(run_id=run_id, visited=serializers.visited(record))


@router.post("/runs/{run_id}/cancel", summary="Cancel a run")
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


@router.post("/runs/{run_id}/resume", status_code=202, summary="Resume a run")
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
