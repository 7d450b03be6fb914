"""Which messages does a run find on its server, or leave there? Its log has a line for each."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from flownb.errors import GraphError
from flownb.queues.receive.survey import is_cluster, survey
from flownb.queues.spec import QueueSpecs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from flownb.plan.loop_plan import LoopPlan
    from flownb.queues.redis.streams import Keys
    from flownb.queues.servers.link import Server
    from flownb.queues.spec import QueueSpec

_LONGEST = 2.0  # seconds that a start waits for it


def found(
    server: Server,
    keys: Keys,
    specs: Sequence[QueueSpec],
    plans: Sequence[LoopPlan],
    *,
    alone: bool,
) -> list[str]:
    """Say what a start finds on a server that was there before it; nothing if that takes long.

    Raises GraphError for loops whose streams cannot be written to together there.
    """
    if not (server.outlives and specs):
        return []
    lines: list[str] = []
    problems: list[str] = []
    by_name = QueueSpecs(keys.graph, specs)

    async def look() -> None:
        link = server.connect()
        try:
            async with asyncio.timeout(_LONGEST):
                if await is_cluster(link.looks):
                    problems.extend(_across(plans, by_name, keys))
                loops = [plan.loop for plan in plans]
                lines.extend(await survey(link.looks, keys, by_name, loops, alone=alone))
        finally:
            await link.aclose()

    def run() -> None:
        with suppress(Exception):  # the loops meet it, and report it better
            asyncio.run(look())

    # not on the event loop of the kernel, which runs: the start is not awaited
    thread = threading.Thread(target=run, name="flownb survey", daemon=True)
    thread.start()
    thread.join(_LONGEST)
    if problems:
        raise GraphError(*problems)
    return list(lines)


def _across(plans: Iterable[LoopPlan], specs: QueueSpecs, keys: Keys) -> Iterator[str]:
    """Find what a loop would have to write in one MULTI to several slots of a Redis Cluster."""
    from redis.crc import key_slot

    for plan in plans:
        if plan.reads is None:
            continue
        written = sorted(plan.writes) if plan.options.transactional else []
        streams = [keys.dead(plan.loop), *(keys.of(specs[q]) for q in (plan.reads, *written))]
        if len({key_slot(key.encode()) for key in streams}) > 1:
            yield (
                f"loop {plan.loop!r}: on a Redis Cluster what it settles and writes together has "
                f"to lie in one slot: give key= a name with {{{keys.graph}}} in it"
            )


def left(server: Server, keys: Keys, then: str) -> list[str]:
    """Say how many messages are left in each queue of a server that ends with its run."""
    lines = []
    for key, count in server.left().items():
        what, name = keys.named(key)
        noun = what if count == 1 else f"{what}s"
        verb = "is" if count == 1 else "are"
        lines.append(f"{noun_of(what, name)}: {count} {noun} {verb} {then}")
    return lines


def noun_of(what: str, name: str) -> str:
    """Name a queue, or the loop of dead letters."""
    return f"queue {name!r}" if what == "message" else f"loop {name!r}"
