"""What becomes of the messages that a consumer was given and will never ack?

The next reader takes them over: at once when the consumer is known to be dead, else
when it has been silent for longer than the visibility timeout. Redis cannot claim "if
it still belongs to X", so each claim is made under WATCH on a key that every claim
writes: of two readers that take the same message one does it all again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from flownb.queues.lives import is_dead
from flownb.queues.spec import MANUAL, Lease
from flownb.queues.streams import (
    Entry,
    Held,
    at_one_moment,
    entries_from,
    held_by,
    held_from,
    name_of,
)

_GUARD_LIFE = 60_000  # milliseconds; no claim takes longer
_LONG_SINCE = 10**11  # milliseconds
_SLACK = 20  # milliseconds by which servers differ in what they call idle


class Rescue:
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
        await self._bury(name for name in names if name in self._fallen - set(holders))
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

    async def _bury(self, names: Iterable[str]) -> None:
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

    async def mine(self) -> list[Held]:
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
                ids = [row.id for row in await self.mine()]
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
        """The entries of messages that are ours already, whose delivery we never heard of."""
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
