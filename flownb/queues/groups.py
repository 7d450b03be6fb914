"""Which consumer groups have been made? Each once per manager, before it is needed.

A group that is lost later is made again by the reader that misses it; when the server
was away, all are asked for again: without persistence it has forgotten them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

from flownb.queues.streams import Keys, create_groups

if TYPE_CHECKING:
    from flownb.queues.connection import Connection
    from flownb.queues.outbox import Push
    from flownb.queues.spec import QueueSpec


class Groups:
    """The groups that one manager knows to be there, as (queue, group)."""

    def __init__(self, to: Connection, keys: Keys) -> None:
        self._to, self._keys = to, keys
        self._known: set[tuple[str, str]] = set()
        self._openings: set[asyncio.Future[None]] = set()

    def missing(self, spec: QueueSpec, groups: Iterable[str]) -> tuple[str, ...]:
        """Those that may have to be made."""
        return tuple([group for group in groups if (spec.name, group) not in self._known])

    def learn(self, push: Push) -> None:
        """Remember those that were made with a push."""
        if push.groups:
            self._known |= {(push.spec.name, group) for group in push.groups}

    def forget(self) -> None:
        """Ask for all of them again."""
        self._known.clear()

    async def make(self, spec: QueueSpec, groups: Iterable[str]) -> None:
        """Make those that are missing."""
        missing = self.missing(spec, groups)
        if missing:
            # shielded: redis-py may swallow a cancellation that hits it while it connects
            key = self._keys.queue(spec.name)
            work = self._to.insist(lambda: create_groups(self._to.link.client, key, missing))
            opening = asyncio.ensure_future(work)
            self._openings.add(opening)
            opening.add_done_callback(self._opened)
            await asyncio.shield(opening)
            self._known |= {(spec.name, group) for group in missing}

    def _opened(self, opening: asyncio.Future[None]) -> None:
        self._openings.discard(opening)
        if not opening.cancelled():
            opening.exception()  # whoever waited has met it

    async def aclose(self) -> None:
        """Wait for what is just being made."""
        if self._openings:
            await asyncio.wait(self._openings)
