"""Which consumer groups are there, and how far behind is each? `Groups`, and `queue_stats`.

Each group is made once per manager, before it is needed. One that is lost later is made again by
the reader that misses it; when the server was away, all are asked for again: without persistence
it has forgotten them.

Redis' own `lag` is a guess once entries have been deleted, and differs between
servers, so we count. A stream holds nothing that everybody has settled: in a
competing queue what is not pending is not yet delivered. In a broadcast queue the
group furthest behind is counted that way and the others from there, at the cost of
the distance between them. Depth, pending, and whether lag is 0 come from one
moment; a lag above 0 may be off by what moves while it is counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any

from flownb.queues.redis.exchange import ask, at_one_moment, pairs
from flownb.queues.redis.jobs import Push, counted
from flownb.queues.redis.streams import (
    Group,
    dropped,
    drops,
    entries_from,
    group_from,
    order,
    pending,
)
from flownb.queues.spec import GroupStats, QueueSpec, QueueStats

if TYPE_CHECKING:
    from flownb.queues.redis.exchange import Command, Exchange


class Groups:
    """The groups that one manager knows to be there, as (stream, group)."""

    def __init__(self, create: Callable[[str, tuple[str, ...]], Awaitable[None]]) -> None:
        self._create = create
        """Makes groups of a stream, however long the server is away."""
        self._known: set[tuple[str, str]] = set()
        self._openings: set[asyncio.Future[None]] = set()

    def missing(self, key: str, groups: Iterable[str]) -> tuple[str, ...]:
        """Those of a stream that may have to be made."""
        return tuple([group for group in groups if (key, group) not in self._known])

    def add(self, push: Push) -> None:
        """Remember those that were made with a push."""
        if push.groups:
            self._known |= {(push.key, group) for group in push.groups}

    def forget(self) -> list[str]:
        """Ask for all of them again; the streams that had one."""
        keys = dict.fromkeys(sorted(key for key, _ in self._known))
        self._known.clear()
        return list(keys)

    async def make(self, key: str, groups: Iterable[str]) -> None:
        """Make those that are missing."""
        missing = self.missing(key, groups)
        if missing:
            # shielded: who is cancelled must not cut short what others wait for
            opening = asyncio.ensure_future(self._create(key, missing))
            self._openings.add(opening)
            opening.add_done_callback(self._opened)
            await asyncio.shield(opening)
            self._known |= {(key, group) for group in missing}

    def _opened(self, opening: asyncio.Future[None]) -> None:
        self._openings.discard(opening)
        if not opening.cancelled():
            opening.exception()  # whoever waited has met it

    async def aclose(self) -> None:
        """Wait for what is just being made."""
        if self._openings:
            await asyncio.wait(self._openings)


_PAGE = 1000
_NO_STREAM = (b"length", 0, b"last-entry", None, b"entries-added", 0)


async def queue_stats(line: Exchange, spec: QueueSpec, key: str) -> QueueStats:
    """The state of one queue; an unknown stream is an empty queue."""
    looks: list[Command] = [("XINFO", "STREAM", key), ("XINFO", "GROUPS", key)]
    if spec.maxlen is not None:
        looks.append(("HGETALL", drops(key)))
    about, rows, *counts = await at_one_moment(line, looks)
    for reply in (*counts, about, rows):
        if isinstance(reply, Exception):
            if "no such key" not in str(reply):
                raise reply
            about, rows = _NO_STREAM, []
    stream = pairs(about)
    stream[b"dropped"] = sum(dropped(pairs(fields)) for fields in counts)
    groups = _with_known(spec, [group_from(row) for row in rows])
    if spec.mode == "competing":
        return _competing(spec, stream, groups)
    return await _broadcast(line, spec, key, stream, groups)


def _with_known(spec: QueueSpec, groups: list[Group]) -> list[Group]:
    """Looking creates nothing: a group not yet made has everything before it."""
    names = {group.name for group in groups}
    missing = [Group(name, 0, "0-0") for name in spec.known_groups if name not in names]
    return sorted([*groups, *missing], key=lambda group: group.name)


def _competing(spec: QueueSpec, stream: dict[bytes, Any], groups: list[Group]) -> QueueStats:
    depth = stream[b"length"]
    held = next((group.pending for group in groups if group.name == spec.group_of("")), 0)
    mine = GroupStats(spec.group_of(""), max(0, depth - held), held)
    return _stats(spec, stream, mine, (mine,))


async def _broadcast(
    line: Exchange, spec: QueueSpec, key: str, stream: dict[bytes, Any], groups: list[Group]
) -> QueueStats:
    if not groups:
        return _stats(spec, stream, GroupStats("", stream[b"length"], 0), ())
    lags = await _Lags(line, key, stream, groups).all()
    figures = tuple(GroupStats(group.name, lags[group.name], group.pending) for group in groups)
    names = {group.name for group in counted(groups)}
    behind = max(
        (figure for figure in figures if figure.group in names),
        key=lambda figure: (figure.backlog, figure.lag),
    )
    return _stats(spec, stream, behind, figures)


def _stats(
    spec: QueueSpec, stream: dict[bytes, Any], worst: GroupStats, groups: tuple[GroupStats, ...]
) -> QueueStats:
    return QueueStats(
        spec.name,
        depth=stream[b"length"],
        lag=worst.lag,
        pending=worst.pending,
        groups=groups,
        pushed=stream.get(b"entries-added", 0),
        dropped=stream[b"dropped"],
    )


class _Lags:
    """Counts how many entries lie behind the cursor of each group of one stream."""

    def __init__(
        self, line: Exchange, key: str, stream: dict[bytes, Any], groups: list[Group]
    ) -> None:
        self._line = line
        self._key = key
        self._depth: int = stream[b"length"]
        self._groups = groups
        last = stream[b"last-entry"]
        self._last = order(last[0].decode()) if last else (0, 0)

    async def all(self) -> dict[str, int]:
        """{group: entries not yet delivered to it}."""
        if all(self._is_done(group) for group in self._groups):
            return {group.name: 0 for group in self._groups}
        slowest = min(counted(self._groups), key=lambda group: order(group.cursor))
        base = await self._behind(slowest)
        return {group.name: await self._lag(group, slowest, base) for group in self._groups}

    def _is_done(self, group: Group) -> bool:
        return order(group.cursor) >= self._last

    async def _behind(self, slowest: Group) -> int:
        """Up to the slowest cursor everybody was served: what is still there is pending."""
        held: set[str] = set()
        for group in counted(self._groups):
            if group.pending:
                held |= (
                    await pending(self._line, self._key, group.name, "-", slowest.cursor)
                ).keys()
        return max(0, self._depth - len(held))

    async def _lag(self, group: Group, slowest: Group, base: int) -> int:
        if self._is_done(group):
            return 0
        if order(group.cursor) >= order(slowest.cursor):
            return max(0, base - await self._between(slowest.cursor, group.cursor))
        return base + await self._between(group.cursor, slowest.cursor)

    async def _between(self, cursor: str, end: str) -> int:
        """How many entries come after `cursor`, up to `end`."""
        count = 0
        while cursor != end:
            page = entries_from(
                await ask(self._line, "XRANGE", self._key, f"({cursor}", end, "COUNT", str(_PAGE))
            )
            count += len(page)
            if len(page) < _PAGE:
                break
            cursor = page[-1][0]
        return count
