"""How does a MULTI go only if the keys that it writes to are as they should be?

Redis does the rest of a MULTI when one of its commands fails: a message would be acked though
the push beside it was refused. So the keys are looked at first, under WATCH; if one of them
changes before the MULTI is there, nothing of it is done, and it is tried again. On a queue that
others push to all the time that would never end: after a few tries only what must not change at
all is watched, and a look within the same moment has to do for the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from flownb.queues.settle import Job, execute, said_to
from flownb.queues.streams import is_away

if TYPE_CHECKING:
    from flownb.queues.server import Link
    from flownb.queues.wire import Command, Wire

_TRIES: Final = 3
Choose = Callable[[list[Any]], Sequence[Job]]
"""Which jobs to send, after what was said to each look; an error may be what was said."""


class Guard:
    """Sends MULTIs over a connection of its own, one at a time."""

    def __init__(self, link: Link) -> None:
        self._client, self._wire = link.client, link.wire()
        self._alone = asyncio.Lock()
        self._outrun = 0  # how often in a row somebody else was faster

    async def send(
        self,
        keys: Sequence[str],
        looks: Sequence[Command],
        choose: Choose,
        *,
        busy: Sequence[str] = (),
    ) -> list[Any]:
        """Look, and send what `choose` then gives in one MULTI; the reply to each job.

        Raises WatchError, and nothing was done, when one of `keys` has changed since the look,
        or one of `busy`, which may change if that comes too often.
        """
        from redis.exceptions import WatchError

        async with self._alone:
            watched = [*keys, *busy]
            if self._outrun >= _TRIES:
                watched = [*keys] or [f"{busy[0]}~"]  # that is never there
            try:
                replies = await self._guarded(watched, looks, choose)
            except WatchError:
                self._outrun += 1
                raise
            self._outrun = 0
            return replies

    async def _guarded(
        self, keys: Sequence[str], looks: Sequence[Command], choose: Choose
    ) -> list[Any]:
        if self._wire is None:
            return await self._by_client(keys, looks, choose)
        return await self._by_wire(self._wire, keys, looks, choose)

    async def _by_wire(
        self, wire: Wire, keys: Sequence[str], looks: Sequence[Command], choose: Choose
    ) -> list[Any]:
        # What was watched before, and not followed by a MULTI, is of no interest any more.
        _, watching, *said = await wire.exchange([("UNWATCH",), ("WATCH", *keys), *looks])
        if isinstance(watching, Exception):
            raise watching
        jobs = choose(_told(said))
        return await self._multi(wire, jobs) if jobs else []

    async def _multi(self, wire: Wire, jobs: Sequence[Job]) -> list[Any]:
        from redis.exceptions import WatchError

        commands = chain.from_iterable(job.commands for job in jobs)
        said = await wire.exchange([("MULTI",), *commands, ("EXEC",)])
        if said[-1] is None:
            raise WatchError("a key has changed")
        if not isinstance(said[-1], list):
            refusal = next((reply for reply in said if isinstance(reply, Exception)), said[-1])
            return [refusal for _ in jobs]
        return said_to(jobs, said[-1])

    async def _by_client(
        self, keys: Sequence[str], looks: Sequence[Command], choose: Choose
    ) -> list[Any]:
        async with self._client.pipeline(transaction=True) as pipe:
            await pipe.watch(*keys)
            jobs = choose(_told([await _look(pipe, look) for look in looks]))
            if not jobs:
                return []
            pipe.multi()
            return await execute(pipe, jobs)


async def _look(pipe: Any, look: Command) -> Any:
    from redis.exceptions import ResponseError

    try:
        return await pipe.execute_command(*look)
    except ResponseError as error:
        return error


def _told(said: list[Any]) -> list[Any]:
    """What was said, unless the server had no time for us: then that is raised."""
    for reply in said:
        if isinstance(reply, Exception) and is_away(reply):
            raise reply
    return said
