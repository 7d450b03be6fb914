"""Which endpoints do the loops of a running graph have, and its queues?"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Path, Query

from flownb.errors import UnknownName, did_you_mean
from flownb.records.events import LoopState  # noqa: TC001 - FastAPI reads it
from flownb.server.problem_details import Problem
from flownb.server.schemas import (
    DeadLetterList,
    Dropped,
    FailureOut,
    Failures,
    LoopList,
    LoopOut,
    MessageIn,
    MessageList,
    MessageOut,
    MetricsOut,
    Name,
    PeekedMessage,
    QueueList,
    QueueOut,
    Replayed,
    ReplayIn,
    RunningGraph,
    Seconds,
    Words,
    metrics_of,
    shown,
)
from flownb.server.services import Shared, aside

if TYPE_CHECKING:
    from flownb.engine.orchestrator.orchestrator import Orchestrator
    from flownb.server.services import Services

router, of_queues = APIRouter(tags=["loops"]), APIRouter(tags=["queues"])
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
        LoopOut.of(loop, graph=name)
        for name, orch in services.running().items()
        if graph in {None, name}
        for loop in orch.status().loops
    ]
    return LoopList(loops=[loop for loop in found if state in {None, loop.state}])


@router.get("/loops/{graph:name}", summary="Read where the loops of a graph stand")
def read_loops(graph: Running, services: Shared) -> RunningGraph:
    """Say where each loop of a graph stands."""
    return RunningGraph.of_status(services.orchestrator(graph).status())


@router.get("/loops/{graph:name}/metrics", summary="Read the counters of loops and nodes")
def read_metrics(graph: Running, services: Shared) -> MetricsOut:
    """Give the counters of each loop and node; reading them never stops a loop."""
    return MetricsOut(**shown(metrics_of(graph, services.orchestrator(graph).metrics())))


@router.get("/loops/{graph:name}/failures", summary="Read the items that failed")
def read_failures(
    graph: Running,
    services: Shared,
    loop: LoopName = None,
    last: Annotated[int, Query(ge=1, le=1_000)] = 100,
) -> Failures:
    """Give the last items that failed, oldest first."""
    found = services.orchestrator(graph).failures(loop, last=last)
    return Failures(failures=[FailureOut.of_failure(one) for one in found])


@router.get("/loops/{graph:name}/logs", summary="Read what nodes printed")
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


@router.post("/loops/{graph:name}/stop", summary="Stop loops")
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
        f"/loops/{{graph:name}}/{verb}", ask, methods=["POST"], summary=summary, description=said,
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
        return RunningGraph.of_status(orch.status(), done=False)
    return RunningGraph.of_status(orch.status())


async def _of(request: Any) -> Any:
    return await request


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


@of_queues.get("/queues", summary="List queues")
async def list_queues(
    services: Shared, graph: Annotated[Words | None, Query()] = None
) -> QueueList:
    """List the queues of all graphs that run here, with their figures."""
    return QueueList(
        queues=[
            QueueOut.of_stats(name, await orch.queues.stats(queue))
            for name, orch in services.running().items()
            if graph in {None, name}
            for queue in _queues(orch)
        ]
    )


@of_queues.get("/queues/{graph:name}/{queue:name}", summary="Read the figures of a queue")
async def read_queue(graph: Running, queue: QueueName, services: Shared) -> QueueOut:
    """Give depth, lag and pending of a queue, for each group too."""
    orch = services.orchestrator(graph)
    return QueueOut.of_stats(graph, await orch.queues.stats(_known(orch, queue)))


@of_queues.post(
    "/queues/{graph:name}/{queue:name}/messages", status_code=201, summary="Push a message"
)
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


@of_queues.get("/queues/{graph:name}/{queue:name}/messages", summary="Look at messages")
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


@of_queues.delete("/queues/{graph:name}/{queue:name}/messages", summary="Clear a queue")
async def clear_queue(graph: Running, queue: QueueName, services: Shared) -> Dropped:
    """Drop all messages of a queue, delivered ones too."""
    orch = services.orchestrator(graph)
    return Dropped(dropped=await orch.queues.clear(_known(orch, queue)))


@of_queues.delete(
    "/queues/{graph:name}/{queue:name}/readers/{reader:name}", summary="Forget a reader"
)
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


@of_queues.get("/loops/{graph:name}/{loop:name}/dead", summary="Read the dead letters of a loop")
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


@of_queues.post("/loops/{graph:name}/{loop:name}/dead/replay", summary="Offer dead letters again")
async def replay_dead(
    graph: Running, loop: LoopPath, given: ReplayIn, services: Shared
) -> Replayed:
    """Offer dead letters to their loop, or its queue, again: those of these ids, or all."""
    orch = services.orchestrator(graph)
    letters = await orch.queues.dead(_loop(orch, loop), 10_000)
    there = given.ids is None or {letter["id"] for letter in letters} & set(given.ids)
    return Replayed(replayed=await letters.replay(*(given.ids or ())) if there else 0)
