"""Who claims the messages that a consumer will never ack, and who renews leases? The next reader.

It claims them at once when the consumer is known to be dead, else when it has been silent for
longer than the visibility timeout. Redis cannot claim "if it still belongs to X", so each claim
is made under WATCH on a key that every claim writes: of two readers that take the same message
one does it all again.

One task beside the loop renews the leases of all its readers while the nodes work, but only
where leases run out: inside one process the dead are known for certain.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from flownb.liveness import is_dead
from flownb.queues.notify import ended
from flownb.queues.redis.streams import (
    Held,
    at_one_moment,
    entries_from,
    held_by,
    held_from,
    name_of,
)
from flownb.queues.spec import MANUAL, Lease

if TYPE_CHECKING:
    from flownb.queues.connection import Connection
    from flownb.queues.receive.reader import StreamReader
    from flownb.queues.redis.exchange import Entry

_GUARD_LIFE = 60_000  # milliseconds; no claim takes longer
_LONG_SINCE = 10**11  # milliseconds
_SLACK = 20  # milliseconds by which servers differ in what they call idle


class Claims:
    """The view of one reader, `me`, on the other consumers of its group."""

    def __init__(self, client: Any, key: str, group: str, me: str, *, leases: bool) -> None:
        self._client, self._key, self._group, self._me = client, key, group, me
        self._leases = leases
        """Whether leases run out here; inside one process the dead are known for certain."""
        self._fallen: set[str] = set()
        """Who was known to be dead when the last round was over."""

    @property
    def _guard(self) -> str:
        return f"{self._key}~claims"

    async def orphans(self, lease: Lease) -> list[Held]:
        """The oldest message of each consumer that has lost its own, oldest first."""
        holders, names = await self._others()
        # Not those who have just died: Redis may still find in their sockets that they asked
        # for a message, and a name that is removed takes what it holds with it.
        await self._remove_consumers(name for name in names if name in self._fallen - set(holders))
        self._fallen = {name for name in names if is_dead(name)}
        lost = [name for name in holders if self._leases or is_dead(name)]
        if not lost:
            return []
        pipe = self._client.pipeline(transaction=False)
        for name in lost:
            pipe.xpending_range(
                self._key, self._group, min="-", max="+", count=1, consumername=name,
                idle=None if is_dead(name) else self._patience(lease),
            )  # fmt: skip
        rows = [held_from(row) for page in await pipe.execute() for row in page]
        return sorted(rows, key=lambda row: tuple(map(int, row.id.split("-"))))

    def _patience(self, lease: Lease) -> int:
        return round(lease.visibility_timeout * 1000)

    async def _others(self) -> tuple[list[str], list[str]]:
        """The other consumers that hold something, and all there are, from one moment."""
        at = self._key, self._group
        summary, consumers = await at_one_moment(
            self._client, lambda pipe: pipe.xpending(*at).xinfo_consumers(*at)
        )
        for reply in (summary, consumers):
            if isinstance(reply, Exception):
                raise reply
        holders = [name_of(row["name"]) for row in summary["consumers"]]
        names = [name_of(row["name"]) for row in consumers]
        return [n for n in holders if n != self._me], [n for n in names if n != self._me]

    async def _remove_consumers(self, names: Iterable[str]) -> None:
        """Remove the names of the dead that hold nothing: they can get nothing any more."""
        pipe = self._client.pipeline(transaction=False)
        for name in names:
            pipe.xgroup_delconsumer(self._key, self._group, name)
        if len(pipe):
            await pipe.execute()

    async def claim(self, orphan: Held, lease: Lease) -> tuple[Held, Entry] | None:
        """Make an orphan ours; None if somebody was faster."""
        from redis.exceptions import WatchError

        async with self._client.pipeline(transaction=True) as pipe:
            await pipe.watch(self._guard)
            rows = await pipe.xpending_range(
                self._key, self._group, min=orphan.id, max=orphan.id, count=1
            )
            if not rows or held_from(rows[0]).consumer != orphan.consumer:
                return None
            idle = 0 if is_dead(orphan.consumer) else self._patience(lease) - _SLACK
            pipe.multi()
            pipe.set(self._guard, self._me, px=_GUARD_LIFE)
            pipe.xclaim(self._key, self._group, self._me, max(0, idle), [orphan.id])
            pipe.xpending_range(self._key, self._group, min=orphan.id, max=orphan.id, count=1)
            try:
                _, claimed, rows = await pipe.execute()
            except WatchError:
                return None
        return await self._taken(orphan, list(entries_from(claimed)), rows)

    async def _taken(
        self, orphan: Held, entries: Sequence[Entry], rows: Sequence[Any]
    ) -> tuple[Held, Entry] | None:
        if entries:
            return held_from(rows[0]), entries[0]
        # Its entry was deleted while it was pending (newer servers forget it then by
        # themselves), or its reader has renewed its lease at this very moment.
        if rows and not await self._client.xrange(self._key, orphan.id, orphan.id):
            await self._client.xack(self._key, self._group, orphan.id)
        return None

    async def pending_of_me(self) -> list[Held]:
        """What Redis says that we hold."""
        return await held_by(self._client, self._key, self._group, self._me)

    async def renew(self) -> set[str]:
        """Let our leases begin anew; the ids of what is still ours."""
        return await self._claim_own()

    async def give_up(self) -> None:
        """Let our leases be over long since: others may live where nobody knows that we left."""
        if self._leases:
            await self._claim_own(idle=_LONG_SINCE)

    async def _claim_own(self, *, idle: int | None = None) -> set[str]:
        from redis.exceptions import WatchError

        while True:
            async with self._client.pipeline(transaction=True) as pipe:
                await pipe.watch(self._guard)
                ids = [row.id for row in await self.pending_of_me()]
                if not ids:
                    return set()
                pipe.multi()
                pipe.xclaim(self._key, self._group, self._me, 0, ids, idle=idle, justid=True)
                try:
                    await pipe.execute()
                    return set(ids)
                except WatchError:
                    continue  # somebody claimed, maybe one of them

    async def still_mine(self, entry_id: str) -> bool:
        """Whether we hold this message now."""
        rows = await held_by(
            self._client, self._key, self._group, self._me, first=entry_id, last=entry_id
        )
        return bool(rows)

    async def others_hold(self) -> int:
        """How many messages other loops hold; what a person popped by hand does not count."""
        summary = await self._client.xpending(self._key, self._group)
        held = {name_of(row["name"]): row["pending"] for row in summary["consumers"]}
        return sum(n for name, n in held.items() if name != self._me and not _by_hand(name))

    async def fetch(self, ids: Sequence[str]) -> list[Entry]:
        """The entries of messages that are ours already, but whose delivery was lost."""
        pipe = self._client.pipeline(transaction=False)
        for entry_id in ids:
            pipe.xrange(self._key, entry_id, entry_id)
        found = {e[0]: e for page in await pipe.execute() for e in entries_from(page)}
        return [found.get(entry_id, (entry_id, {})) for entry_id in ids]

    async def leave(self) -> None:
        """Take our own name out of the group, if we hold nothing; nobody reads by it any more."""
        summary = await self._client.xpending(self._key, self._group)
        if self._me not in {name_of(row["name"]) for row in summary["consumers"]}:
            await self._client.xgroup_delconsumer(self._key, self._group, self._me)


def _by_hand(name: str) -> bool:
    return name.rpartition("@")[0].endswith(f"/{MANUAL}")


_LONGEST_NAP = 1.0  # seconds; a reader with a shorter lease may come at any time
_CLOCKS = [getattr(time, name, None) for name in ("CLOCK_BOOTTIME", "CLOCK_MONOTONIC")]


def _works(clock: int) -> bool:
    with suppress(OSError):  # in a browser there are clocks that say nothing
        return time.clock_gettime(clock) >= 0
    return False


_CLOCK = next((clock for clock in _CLOCKS if clock is not None and _works(clock)), None)


def lease_time() -> float:
    """Seconds on a clock that goes on, as the server's does, while this machine sleeps.

    `time.monotonic` stands still then: who wakes up would believe that it was never silent.

    >>> 0 <= lease_time() <= lease_time()
    True
    """
    return time.monotonic() if _CLOCK is None else time.clock_gettime(_CLOCK)


class LeaseRenewal:
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
                # Flushed, or out of memory: the reader will meet it and report it. We try again.
                with suppress(RedisError):
                    await self._to.retry_until_back(stream.renew)

    async def aclose(self) -> None:
        """End it."""
        if self._task is not None:
            await ended(self._task)
