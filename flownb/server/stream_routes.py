"""How does one listen to loops and runs? By Server-Sent Events, or over a WebSocket.

Both carry the same records. An event of a stream has an id; who comes back with the last one
(`Last-Event-ID`, or `?last_event_id=`) goes on behind it. A record of kind "missed" says how
many records are gone because they were not taken in time, or null where nobody counted them.

A client that takes nothing for a while is let go; until then it costs no more than its place
in the ring and what the operating system holds for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import APIRouter, Query, Request, WebSocket
from starlette.responses import Response, StreamingResponse
from starlette.websockets import WebSocketDisconnect

from flownb.errors import FlowError
from flownb.server.graph_routes import Run  # noqa: TC001 - FastAPI reads it
from flownb.server.problem_details import Problem
from flownb.server.schemas import RunId  # noqa: TC001 - FastAPI reads it
from flownb.server.services import Shared, aside

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterable

    from starlette.types import Receive, Scope, Send

    from flownb.server.feed import Feed, Record
    from flownb.server.security import Caps
    from flownb.server.services import Services

router = APIRouter(tags=["streams"])
BEAT: Final = 15.0  # seconds between two signs of life where nothing happens
AGAIN_LATER, NOT_FOUND, _TOO_SLOW = 1013, 4404, 4408  # WebSocket close codes

Graph = Annotated[str, Query(max_length=200, description="one graph; without it all that run")]
Detail = Annotated[bool, Query(description="every item and every call, too")]
Kinds = Annotated[
    str,
    Query(max_length=400, description="only these kinds, with commas between: state,log,failed"),
]
LastId = Annotated[str | None, Query(max_length=60, description="as the header Last-Event-ID")]
_ANSWER: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "a stream of events", "content": {"text/event-stream": {}}}
}


@router.get("/stream", responses=_ANSWER, response_class=Response, summary="Follow loops")
async def follow_loops(
    request: Request,
    services: Shared,
    graph: Graph = "",
    detail: Detail = False,  # noqa: FBT002 - a query has no keywords
    kinds: Kinds = "",
    last_event_id: LastId = None,
    limit: Annotated[int | None, Query(ge=0, description="end after so many events")] = None,
) -> Response:
    """Follow states, log lines, failures and metrics (once a second) of loops, as they come.

    "behind" tells that a loop begins to miss its ticks.
    """
    if graph:
        services.orchestrator(graph)
    feed = services.loop_feed(graph, detail=detail)
    return _sse(request, services, feed, kinds, last_event_id, limit)


@router.get(
    "/runs/{run_id:name}/stream", responses=_ANSWER, response_class=Response, summary="Follow a run"
)
async def follow_run(
    request: Request,
    run_id: Run,
    services: Shared,
    kinds: Kinds = "",
    last_event_id: LastId = None,
    limit: Annotated[int | None, Query(ge=0, description="end after so many events")] = None,
) -> Response:
    """Follow the nodes, calls and log lines of a run from its beginning; it ends with the run."""
    await aside(services.store.runs.load, run_id)
    feed = services.run_feed(run_id)
    return _sse(request, services, feed, kinds, last_event_id or _BEGINNING, limit)


_BEGINNING: Final = "begin"


def _sse(
    request: Request,
    services: Services,
    feed: Feed,
    kinds: str,
    last_id: str | None,
    limit: int | None,
) -> Response:
    given = request.headers.get("last-event-id") or last_id
    if services.streams >= services.caps.max_streams:
        raise _full(services)
    wanted = frozenset(filter(None, kinds.split(",")))
    return _EventStream(services, feed, wanted, given, limit)


def _full(services: Services) -> Problem:
    said = f"{services.caps.max_streams} clients listen already"
    return Problem(429, said, headers={"Retry-After": "10"})


class _EventStream(StreamingResponse):
    """An answer that goes on: as a client takes it, and no longer than it does."""

    def __init__(
        self,
        services: Services,
        feed: Feed,
        kinds: frozenset[str],
        last_id: str | None,
        limit: int | None,
    ) -> None:
        self._services, self._limit = services, limit
        content = self._portions(feed, kinds, last_id)
        super().__init__(content, media_type="text/event-stream")
        self.headers["X-Accel-Buffering"] = "no"  # else nginx keeps it back

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._services.streams += 1
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._services.streams -= 1

    async def _portions(
        self, feed: Feed, kinds: frozenset[str], last_id: str | None
    ) -> AsyncIterator[bytes]:
        yield b"retry: 2000\n\n"
        left = self._limit
        if left == 0:
            return
        lifetime = self._services.caps.lifetime
        async with contextlib.aclosing(_followed(feed, last_id, lifetime)) as portions:
            async for missed, records in portions:
                chosen = [r for r in records if not kinds or r[1] in kinds]
                chosen = chosen if left is None else chosen[:left]
                said = [] if missed == 0 else [_missed(feed, missed)]
                said += [_event(feed.log.name, record) for record in chosen]
                yield "".join(said).encode() if said else b": still here\n\n"
                if left is not None:
                    left -= len(chosen)
                    if left <= 0:
                        return


async def _followed(
    feed: Feed, last_id: str | None, lifetime: float
) -> AsyncGenerator[tuple[int | None, list[Record]], None]:
    beginning = last_id == _BEGINNING
    last = f"{feed.log.name}-0" if beginning else last_id
    until = time.monotonic() + lifetime
    async with contextlib.aclosing(feed.follow(last, beat=min(BEAT, lifetime))) as portions:
        async for portion in portions:
            yield portion
            if time.monotonic() >= until:
                return


def _event(log: str, record: Record) -> str:
    number, kind, data = record
    return f"id: {log}-{number}\nevent: {kind}\ndata: {data}\n\n"


def _missed(feed: Feed, count: int | None) -> str:
    return f"event: missed\ndata: {json.dumps({'count': count, 'log': feed.log.name})}\n\n"


# -- over a WebSocket ----------------------------------------------------------


@router.websocket("/ws")
async def socket_of_loops(
    socket: WebSocket,
    services: Shared,
    graph: Graph = "",
    detail: Detail = False,  # noqa: FBT002 - a query has no keywords
    kinds: Kinds = "",
    last_event_id: LastId = None,
) -> None:
    """Follow loops: each message is a JSON array of {"id", "kind", "data"}."""
    try:
        if graph:
            services.orchestrator(graph)
    except FlowError:
        await refuse(socket, NOT_FOUND)
        return
    feed = services.loop_feed(graph, detail=detail)
    await _serve(socket, services, feed, kinds, last_event_id)


@router.websocket("/runs/{run_id:name}/ws")
async def socket_of_run(
    socket: WebSocket,
    run_id: RunId,
    services: Shared,
    kinds: Kinds = "",
    last_event_id: LastId = None,
) -> None:
    """Follow a run from its beginning, or from behind the last id; it ends with the run."""
    try:
        await aside(services.store.runs.load, run_id)
    except FlowError:
        await refuse(socket, NOT_FOUND)
        return
    feed = services.run_feed(run_id)
    await _serve(socket, services, feed, kinds, last_event_id or _BEGINNING)


async def refuse(socket: WebSocket, code: int) -> None:
    """Say why a socket is closed: a browser hears a code only of one that was open."""
    await socket.accept()
    await socket.close(code)


async def _serve(
    socket: WebSocket, services: Services, feed: Feed, kinds: str, last_id: str | None
) -> None:
    if services.streams >= services.caps.max_streams:
        await refuse(socket, AGAIN_LATER)
        return
    wanted = frozenset(filter(None, kinds.split(",")))
    await socket.accept()
    await carry(
        socket, services, _send(socket, feed, wanted, last_id, services.caps), _until_gone(socket)
    )


async def carry(
    socket: WebSocket, services: Services, sending: Coroutine[Any, Any, Any], *more: Any
) -> None:
    """Do what a socket is there for until a part of it ends; then close it."""
    services.streams += 1
    tasks = [asyncio.ensure_future(work) for work in (sending, *more)]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        services.streams -= 1
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        code = _TOO_SLOW if isinstance(ended[0], TimeoutError) else 1000
        with contextlib.suppress(RuntimeError, WebSocketDisconnect, TimeoutError):
            await asyncio.wait_for(socket.close(code), 1.0)


async def _send(
    socket: WebSocket, feed: Feed, kinds: frozenset[str], last_id: str | None, caps: Caps
) -> None:
    async with contextlib.aclosing(_followed(feed, last_id, caps.lifetime)) as portions:
        async for missed, records in portions:
            said = _messages(feed, missed, [r for r in records if not kinds or r[1] in kinds])
            if said:
                await asyncio.wait_for(socket.send_text(f"[{','.join(said)}]"), caps.stall)


def _messages(feed: Feed, missed: int | None, records: Iterable[Record]) -> list[str]:
    said = []
    if missed != 0:
        said.append(json.dumps({"id": None, "kind": "missed", "data": {"count": missed}}))
    name = feed.log.name
    said += [
        f'{{"id":"{name}-{number}","kind":{json.dumps(kind)},"data":{data}}}'
        for number, kind, data in records
    ]
    return said


async def _until_gone(socket: WebSocket) -> None:
    """Wait until the client leaves; what it says meanwhile means nothing."""
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):
        while (await socket.receive())["type"] != "websocket.disconnect":
            pass
