"""Who claims the messages that a consumer will never ack? The next reader; here leases are renewed.

It claims them at once when the consumer is known to be dead, else when it has been silent for
longer than the visibility timeout. Redis cannot claim "if it still belongs to X", so each claim
is made under WATCH on a key that every claim writes: of two readers that take the same message
one does it all again.

A lease has no key of its own: it is for how long a message has been idle in the list of pending
messages that Redis keeps of its group. It begins when Redis delivers the message, and anew when
its consumer claims what it holds. One task beside the loop renews the leases of all its readers
so while the nodes work, but only where leases run out: inside one process the dead are known for
certain.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from flownb.liveness import is_dead
from flownb.queues.notify import ended
from flownb.queues.redis.exchange import ask, ask_all, at_one_moment, pairs
from flownb.queues.redis.jobs import Job
from flownb.queues.redis.streams import (
    Held,
    entries_from,
    held_by,
    held_from,
    holders,
    holders_from,
    name_of,
    takeovers,
)
from flownb.queues.redis.watch import Watch
from flownb.queues.spec import MANUAL, Lease

if TYPE_CHECKING:
    from flownb.queues.connection import Connection
    from flownb.queues.redis.exchange import Entry
    from flownb.queues.servers.link import Link

_GUARD_LIFE = "60000"  # milliseconds; no claim takes longer
_LONG_SINCE = "100000000000"  # milliseconds
_MOST = 100_000  # messages of one reader whose lease is renewed at a time
_SLACK = 20  # milliseconds by which servers differ in what they call idle


class Claims:
    """The view of one reader, `me`, on the other consumers of its group."""

    def __init__(self, link: Link, key: str, group: str, me: str) -> None:
        self._line, self._watch = link.looks, Watch(link.wire())
        self._key, self._group, self._me = key, group, me
        self._leases = link.leases
        """Whether leases run out here; inside one process the dead are known for certain."""
        self._fallen: set[str] = set()
        """Who was known to be dead when the last round was over."""

    async def orphans(self, lease: Lease) -> list[Held]:
        """The oldest message of each consumer that has lost its own, oldest first."""
        holders, names = await self._others()
        # Not those who have just died: Redis may still find in their sockets that they asked
        # for a message, and a name that is removed takes what it holds with it.
        await self._remove_consumers(name for name in names if name in self._fallen - set(holders))
        self._fallen = {name for name in names if is_dead(name)}
        lost = [name for name in holders if self._leases or is_dead(name)]
        looks = [self._oldest(name, 0 if is_dead(name) else self._patience(lease)) for name in lost]
        rows = [held_from(row) for page in await ask_all(self._line, looks) for row in page]
        return sorted(rows, key=lambda row: tuple(map(int, row.id.split("-"))))

    def _oldest(self, name: str, idle: int) -> tuple[str, ...]:
        silent = ("IDLE", str(idle)) if idle else ()
        return ("XPENDING", self._key, self._group, *silent, "-", "+", "1", name)

    def _patience(self, lease: Lease) -> int:
        return round(lease.visibility_timeout * 1000)

    async def _others(self) -> tuple[list[str], list[str]]:
        """The other consumers that hold something, and all there are, from one moment."""
        at = self._key, self._group
        replies = await at_one_moment(self._line, [("XPENDING", *at), ("XINFO", "CONSUMERS", *at)])
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        holding = holders_from(replies[0])
        names = [name_of(pairs(row)[b"name"]) for row in replies[1]]
        return [n for n in holding if n != self._me], [n for n in names if n != self._me]

    async def _remove_consumers(self, names: Iterable[str]) -> None:
        """Remove the names of the dead that hold nothing: they can get nothing any more."""
        await ask_all(
            self._line, [("XGROUP", "DELCONSUMER", self._key, self._group, name) for name in names]
        )

    async def claim(self, orphan: Held, lease: Lease) -> tuple[Held, Entry] | None:
        """Make an orphan ours; None if somebody was faster."""
        from redis.exceptions import WatchError

        idle = 0 if is_dead(orphan.consumer) else self._patience(lease) - _SLACK
        look = ("XPENDING", self._key, self._group, orphan.id, orphan.id, "1")
        take = ("XCLAIM", self._key, self._group, self._me, str(max(0, idle)), orphan.id)

        def choose(looked: list[Any]) -> list[Job]:
            if isinstance(looked[0], Exception):
                raise looked[0]
            if not looked[0] or held_from(looked[0][0]).consumer != orphan.consumer:
                return []
            return [self._takeover(take, look)]

        try:
            replies = await self._watch.send([takeovers(self._key)], [look], choose)
        except WatchError:
            return None
        return await self._taken(orphan, *_unrefused(replies)[1:]) if replies else None

    def _takeover(self, *commands: tuple[str, ...]) -> Job:
        """Who settles beside it sees that something has a new owner."""
        mark = ("SET", takeovers(self._key), self._me, "PX", _GUARD_LIFE)
        return Job((mark, *commands), (), apart=True)

    async def _taken(
        self, orphan: Held, claimed: Sequence[Any], rows: Sequence[Any]
    ) -> tuple[Held, Entry] | None:
        if entries := entries_from(claimed):
            return held_from(rows[0]), entries[0]
        # Its entry was deleted while it was pending (newer servers forget it then by
        # themselves), or its reader has renewed its lease at this very moment.
        if rows and not await ask(self._line, "XRANGE", self._key, orphan.id, orphan.id):
            await ask(self._line, "XACK", self._key, self._group, orphan.id)
        return None

    async def pending_of_me(self) -> list[Held]:
        """What Redis says that we hold."""
        return await held_by(self._line, self._key, self._group, self._me)

    async def renew(self) -> set[str]:
        """Let our leases begin anew; the ids of what is still ours."""
        return await self._claim_own()

    async def give_up(self) -> None:
        """Let our leases be over long since: others may live where nobody knows that we left."""
        if self._leases:
            await self._claim_own("IDLE", _LONG_SINCE)

    async def _claim_own(self, *idle: str) -> set[str]:
        from redis.exceptions import WatchError

        look = ("XPENDING", self._key, self._group, "-", "+", str(_MOST), self._me)
        own: list[str] = []

        def choose(looked: list[Any]) -> list[Job]:
            if isinstance(looked[0], Exception):
                raise looked[0]
            own[:] = [held_from(row).id for row in looked[0]]
            again = ("XCLAIM", self._key, self._group, self._me, "0", *own, *idle, "JUSTID")
            return [Job((again,), (), apart=True)] if own else []

        while True:
            try:
                replies = await self._watch.send([takeovers(self._key)], [look], choose)
            except WatchError:
                continue  # somebody claimed, maybe one of them
            if replies:
                _unrefused(replies)
            return set(own)

    async def still_mine(self, entry_id: str) -> bool:
        """Whether we hold this message now."""
        rows = await held_by(
            self._line, self._key, self._group, self._me, first=entry_id, last=entry_id
        )
        return bool(rows)

    async def others_hold(self) -> int:
        """How many messages other loops hold; what a person popped by hand does not count."""
        held = await holders(self._line, self._key, self._group)
        return sum(n for name, n in held.items() if name != self._me and not _by_hand(name))

    async def fetch(self, ids: Sequence[str]) -> list[Entry]:
        """The entries of messages that are ours already, but whose delivery was lost."""
        pages = await ask_all(self._line, [("XRANGE", self._key, id_, id_) for id_ in ids])
        found = {entry[0]: entry for page in pages for entry in entries_from(page)}
        return [found.get(entry_id, (entry_id, {})) for entry_id in ids]

    async def leave(self) -> None:
        """Take our own name out of the group, if we hold nothing; nobody reads by it any more."""
        if self._me not in await holders(self._line, self._key, self._group):
            await self._remove_consumers([self._me])


def _unrefused(replies: list[Any]) -> list[Any]:
    """The replies to the commands of one job that was sent under a watch."""
    (said,) = replies
    for reply in said if isinstance(said, list) else [said]:
        if isinstance(reply, Exception):
            raise reply
    return list(said)


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


class Leased(Protocol):
    """A reader, as far as its leases go."""

    lease: Lease

    async def renew(self) -> None:
        """Keep what is in hand."""


class LeaseRenewal:
    """Renews each lease of one manager's readers once a third of it is over."""

    def __init__(self, to: Connection, streams: Mapping[Any, Leased]) -> None:
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
