"""Which endpoints do the queues of a running graph have?"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Path, Query

from flownb.errors import UnknownName, did_you_mean
from flownb.server import serializers
from flownb.server.encoding import shown
from flownb.server.loop_routes import Running  # noqa: TC001 - FastAPI reads it
from flownb.server.problem_details import Problem
from flownb.server.schemas import (
    DeadLetterList,
    Dropped,
    MessageIn,
    MessageList,
    MessageOut,
    Name,
    PeekedMessage,
    QueueList,
    QueueOut,
    Replayed,
    ReplayIn,
    Words,
)
from flownb.server.services import Shared  # noqa: TC001 - FastAPI reads it

if TYPE_CHECKING:
    from flownb.engine.orchestrator.orchestrator import Orchestrator

router = APIRouter(tags=["queues"])
QueueName = Annotated[Name, Path(description="a queue of it", examples=["wet_days"])]
ReaderName = Annotated[Name, Path(description="a loop that read it", examples=["gone"])]
LoopPath = Annotated[Name, Path(description="a loop of it", examples=["days"])]


def _queues(orch: Orchestrator) -> list[str]:
    return [spec.name for spec in orch._live.specs]


def _known(orch: Orchestrator, queue: str) -> str:
    if queue not in (known := _queues(orch)):
        msg = f"graph {orch.name!r} has no queue {queue!r}{did_you_mean(queue, known)}"
        raise UnknownName(msg)
    return queue


@router.get("/queues", summary="List queues")
async def list_queues(
    services: Shared, graph: Annotated[Words | None, Query()] = None
) -> QueueList:
    """List the queues of all graphs that run here, with their figures."""
    return QueueList(
        queues=[
            QueueOut(**serializers.queue(name, await orch.queues.stats(queue)))
            for name, orch in services.running().items()
            if graph in {None, name}
            for queue in _queues(orch)
        ]
    )


@router.get("/queues/{graph}/{queue}", summary="Read the figures of a queue")
async def read_queue(graph: Running, queue: QueueName, services: Shared) -> QueueOut:
    """Give depth, lag and pending of a queue, for each group too."""
    orch = services.orchestrator(graph)
    return QueueOut(**serializers.queue(graph, await orch.queues.stats(_known(orch, queue))))


@router.post("/queues/{graph}/{queue}/messages", status_code=201, summary="Push a message")
async def push_message(
    graph: Running, queue: QueueName, given: MessageIn, services: Shared
) -> MessageOut:
    """Push one message; its id, once Redis has acknowledged it."""
    orch = services.orchestrator(graph)
    pushing = orch.queues.push(_known(orch, queue), given.data, meta=given.meta)
    try:
        return MessageOut(id=await asyncio.wait_for(pushing, services.patience(math.inf)))
    except TimeoutError:
        said = f"queue {queue!r} is full, and nobody takes anything out of it"
        raise Problem(429, said, headers={"Retry-After": "10"}) from None


@router.get("/queues/{graph}/{queue}/messages", summary="Look at messages")
async def peek_messages(
    graph: Running,
    queue: QueueName,
    services: Shared,
    count: Annotated[int, Query(ge=1, le=1_000)] = 10,
) -> MessageList:
    """Give the oldest messages of a queue; they stay in it, and are delivered as if unseen."""
    orch = services.orchestrator(graph)
    found = await orch.queues.peek(_known(orch, queue), count)
    return MessageList(
        messages=[
            PeekedMessage(id=one.id, data=shown(one.payload), meta=shown(one.meta)) for one in found
        ]
    )


@router.delete("/queues/{graph}/{queue}/messages", summary="Clear a queue")
async def clear_queue(graph: Running, queue: QueueName, services: Shared) -> Dropped:
    """Drop all messages of a queue, delivered ones too."""
    orch = services.orchestrator(graph)
    return Dropped(dropped=await orch.queues.clear(_known(orch, queue)))


@router.delete("/queues/{graph}/{queue}/readers/{reader}", summary="Forget a reader")
async def forget_reader(
    graph: Running, queue: QueueName, reader: ReaderName, services: Shared
) -> Dropped:
    """Remove a reader that is gone, with what only it had to read."""
    orch = services.orchestrator(graph)
    return Dropped(dropped=await orch.queues.forget(_known(orch, queue), reader))


def _loop(orch: Orchestrator, loop: str) -> str:
    known = [one.loop for one in orch.status().loops]
    if loop not in known:
        msg = f"graph {orch.name!r} has no loop {loop!r}{did_you_mean(loop, known)}"
        raise UnknownName(msg)
    return loop


@router.get("/loops/{graph}/{loop}/dead", summary="Read the dead letters of a loop")
async def read_dead(
    graph: Running,
    loop: LoopPath,
    services: Shared,
    count: Annotated[int, Query(ge=1, le=1_000)] = 100,
) -> DeadLetterList:
    """Give the last dead letters of a loop, oldest first."""
    orch = services.orchestrator(graph)
    letters: Any = await orch.queues.dead(_loop(orch, loop), count)
    return DeadLetterList(letters=[shown(dict(letter)) for letter in letters])


@router.post("/loops/{graph}/{loop}/dead/replay", summary="Offer dead letters again")
async def replay_dead(
    graph: Running, loop: LoopPath, given: ReplayIn, services: Shared
) -> Replayed:
    """Offer dead letters to their loop, or its queue, again: those of these ids, or all."""
    orch = services.orchestrator(graph)
    letters = await orch.queues.dead(_loop(orch, loop), 10_000)
    there = given.ids is None or {letter["id"] for letter in letters} & set(given.ids)
    return Replayed(replayed=await letters.replay(*(given.ids or ())) if there else 0)
