"""How is a MULTI sent only if nothing has changed that it rests on? By `Watch`, an optimistic lock.

Redis does the rest of a MULTI when one of its commands fails: a message would be acked
though the push beside it was refused. So the keys are looked at first, under WATCH; if one of
them changes before the MULTI is there, nothing of it is done, and it is tried again. On a queue
that others push to all the time that would never end: after a few tries only what must not
change at all is watched, and a look within the same moment has to do for the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from flownb.queues.redis.jobs import replies_to
from flownb.queues.redis.refusals import is_away

if TYPE_CHECKING:
    from flownb.queues.redis.exchange import Command, Exchange
    from flownb.queues.redis.jobs import Job

_TRIES: Final = 3
Choose = Callable[[list[Any]], Sequence["Job"]]
"""Which jobs to send, given the reply to each look; a reply may be an error."""


class Watch:
    """Sends MULTIs over a connection of its own, one at a time."""

    def __init__(self, line: Exchange) -> None:
        self._line = line
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
            watched = list(dict.fromkeys([*keys, *busy]))
            if self._outrun >= _TRIES:
                watched = [*keys]
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
        # What was watched before, and not followed by a MULTI, is of no interest any more.
        watch = [("WATCH", *keys)] if keys else []
        _, *replies = await self._line.exchange([("UNWATCH",), *watch, *looks])
        session = self._line.session
        if keys and isinstance(watching := replies.pop(0), Exception):
            raise watching
        jobs = choose(_unless_away(replies))
        return await self._multi(jobs, session) if jobs else []

    async def _multi(self, jobs: Sequence[Job], session: int) -> list[Any]:
        """Send it in the session that watches, or not at all."""
        from redis.exceptions import WatchError

        commands = chain.from_iterable(job.commands for job in jobs)
        replies = await self._line.exchange([("MULTI",), *commands, ("EXEC",)], session=session)
        if replies[-1] is None:
            raise WatchError("a key has changed")
        if not isinstance(replies[-1], list):
            refusal = next(
                (reply for reply in replies if isinstance(reply, Exception)), replies[-1]
            )
            return [refusal for _ in jobs]
        return replies_to(jobs, replies[-1])


def _unless_away(replies: list[Any]) -> list[Any]:
    """Give the replies, unless the server had no time for us: then that is raised."""
    for reply in replies:
        if isinstance(reply, Exception) and is_away(reply):
            raise reply
    return replies
