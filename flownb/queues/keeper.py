"""Who renews the leases while the nodes work? One task beside the loop, for all its readers.

Only where leases run out: inside one process the dead are known for certain.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from flownb.queues.tasks import ended

if TYPE_CHECKING:
    from flownb.queues.connection import Connection
    from flownb.queues.reader import StreamReader

_LONGEST_NAP = 1.0  # seconds; a reader with a shorter lease may come at any time
_CLOCK = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", None))


def lease_time() -> float:
    """Seconds on a clock that goes on, as the server's does, while this machine sleeps.

    `time.monotonic` stands still then: who wakes up would believe that it was never silent.

    >>> 0 <= lease_time() <= lease_time()
    True
    """
    return time.monotonic() if _CLOCK is None else time.clock_gettime(_CLOCK)


class Keeper:
    """Renews what the readers of one manager hold, a third of the lease before it is half over."""

    def __init__(self, to: Connection, streams: Mapping[Any, StreamReader]) -> None:
        self._to, self._streams = to, streams
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, if it has not begun and leases run out here."""
        if self._task is None and self._to.link.leases:
            self._task = asyncio.create_task(self._keep())

    async def _keep(self) -> None:
        from redis.exceptions import RedisError

        while True:
            shortest = min(s.lease.visibility_timeout for s in self._streams.values())
            await asyncio.sleep(min(_LONGEST_NAP, shortest / 6))
            for stream in list(self._streams.values()):
                # Flushed, or out of memory: the reader will meet it and tell. We try again.
                with suppress(RedisError):
                    await self._to.insist(stream.renew)

    async def aclose(self) -> None:
        """End it."""
        if self._task is not None:
            await ended(self._task)
