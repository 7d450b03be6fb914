"""Which workers does a Dask cluster have at this moment? Asked of its scheduler.

A client's own list lags behind by seconds. All loops of one client share the question, so
a cluster is asked at most twice a second however many loops live on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from collections.abc import MutableMapping

PAUSE: Final = 0.5
_ANSWER: Final = 5.0  # seconds after which a scheduler counts as silent
_known: MutableMapping[Any, Workers] = WeakKeyDictionary()


class Workers:
    """The workers of one cluster; `most`: how many there were at once, at best."""

    def __init__(self) -> None:
        self.most = 0
        self._there: frozenset[str] | None = None
        self._since = float("-inf")
        self._asking = asyncio.Lock()

    async def look(self, client: Any) -> frozenset[str] | None:
        """Give the addresses of all that are there, or None if the scheduler does not say."""
        async with self._asking:
            if time.monotonic() > self._since + PAUSE / 2:
                self._there = await _asked(client)
                self._since = time.monotonic()
                self.most = max(self.most, len(self._there or ()))
        return self._there

    def counted(self, there: frozenset[str]) -> str:
        """Say how many are there.

        >>> workers = Workers()
        >>> workers.most = 2
        >>> workers.counted(frozenset())
        '0 of 2 left'
        """
        if len(there) < self.most:
            return f"{len(there)} of {self.most} left"
        return f"{len(there)} there" if there else "none has come yet"


async def _asked(client: Any) -> frozenset[str] | None:
    with contextlib.suppress(Exception):  # it is gone, or very busy
        return frozenset(await asyncio.wait_for(client.scheduler.ncores(), _ANSWER))
    return None


def workers_of(client: Any) -> Workers:
    """Give what is known of a client's cluster, the same object each time."""
    return _known.setdefault(client, Workers())
