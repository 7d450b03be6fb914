"""What is one job at Redis? A push, an ack or a transaction: its commands, and what it notifies.

An ack in a competing queue: one reader deletes the entry, and acks it. Not in a MULTI, which
Redis refuses when it is full, and acks are what gives it its memory back; what is cut off in
between is an entry that is pending and gone, which the next reader acks. In a broadcast queue
each group acks, and who acks last deletes. Who is last is seen *after* the own ack, so that of
two readers that ack at once at least one sees itself as the last.

A `Watch` sends a MULTI only if the keys that it writes to are as they should be (optimistic
lock). Redis does the rest of a MULTI when one of its commands fails: a message would be acked
though the push beside it was refused. So the keys are looked at first, under WATCH; if one of
them changes before the MULTI is there, nothing of it is done, and it is tried again. On a queue
that others push to all the time that would never end: after a few tries only what must not
change at all is watched, and a look within the same moment has to do for the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final

from flownb.queues.redis.streams import (
    Group,
    group_exists,
    groups_of,
    is_away,
    order,
    pending,
    refuses_for_now,
)
from flownb.queues.spec import MANUAL, QueueSpec

if TYPE_CHECKING:
    from flownb.queues.redis.exchange import Command, Exchange
    from flownb.queues.servers.link import Link


def data_channel(key: str) -> str:
    """What a reader of a stream listens to."""
    return f"data {key}"


def room_channel(key: str) -> str:
    """The channel of a push that waits for room."""
    return f"room {key}"


Sweep = Callable[[Sequence["Job"]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Job:
    """Commands that go out together, whom to wake then, and what to sweep."""

    commands: tuple[tuple[str, ...], ...]
    channels: tuple[str, ...]
    sweeps: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """(stream, entry ids) that are deleted if this was the last ack they waited for."""
    undone: Callable[[], Awaitable[bool]] | None = None
    """For what must not happen twice: whether it is still to be done, after a lost reply."""
    whole: bool = True
    """Whether the commands are done together or not at all."""
    apart: bool = False
    """Many commands that have nothing to do with each other, and a reply for each."""
    answered: tuple[Any, ...] = ()
    """For those: the replies before this, None for each command that is left."""
    into: tuple[str, ...] = ()
    """Streams that it pushes to beside an ack: one that is none any more would refuse only that."""

    @property
    def is_alone(self) -> bool:
        """Whether it needs no MULTI."""
        return self.apart or not self.whole or len(self.commands) == 1


def ack_job(spec: QueueSpec, key: str, group: str, ids: Sequence[str]) -> Job:
    """What settles messages in one group."""
    ack = ("XACK", key, group, *ids)
    if spec.mode == "broadcast":
        return Job((ack,), (room_channel(key),), sweeps=((key, tuple(ids)),))
    return Job((("XDEL", key, *ids), ack), (room_channel(key),), whole=False)


def left_of(job: Job, reply: Any) -> Job:
    """What of a job is to be sent again when some of it was refused for now."""
    if not job.apart:
        return job
    answered = tuple(None if is_refused_for_now(one) else one for one in reply)
    sent = [at for at, before in enumerate(job.answered or [None] * len(reply)) if before is None]
    left = [c for at, c in zip(sent, job.commands, strict=True) if answered[at] is None]
    return replace(job, commands=tuple(left), answered=answered)


def is_refused_for_now(reply: Any) -> bool:
    """Whether a reply says that later the server may do it, or one of many does."""
    if isinstance(reply, list):
        return any(is_refused_for_now(one) for one in reply)
    return isinstance(reply, Exception) and refuses_for_now(reply)


async def transact(link: Link, jobs: Sequence[Job], swept: Sweep) -> list[Any]:
    """Send all jobs in one go, and have `swept` sweep; the reply to each is to its first command.

    A job one of whose commands was refused has that exception as its reply, one that goes
    `apart` a list of all replies.
    """
    try:
        answers = await _send(link, jobs)
        await swept(jobs)
        return answers
    finally:
        # Also after an error: Redis may have done it all the same.
        for channel in dict.fromkeys(channel for job in jobs for channel in job.channels):
            link.notify(channel)


async def _send(link: Link, jobs: Sequence[Job]) -> list[Any]:
    if link.line is not None:
        return _answers(jobs, iter(await link.line.exchange(list(_wrapped(jobs)))))
    if len(jobs) > 1 or len(jobs[0].commands) > 1:
        together = not all(job.is_alone for job in jobs)
        return await execute(link.client.pipeline(transaction=together), jobs)
    # One command is a transaction already, and cheaper without MULTI around it.
    return [_reply_to(jobs[0], [await link.client.execute_command(*jobs[0].commands[0])])]


def _wrapped(jobs: Iterable[Job]) -> Iterator[tuple[str, ...]]:
    """The commands of all jobs, each job that has several in a MULTI of its own."""
    for job in jobs:
        if job.is_alone:
            yield from job.commands
        else:
            yield ("MULTI",)
            yield from job.commands
            yield ("EXEC",)


def _answers(jobs: Iterable[Job], replies: Iterator[Any]) -> list[Any]:
    return [
        _reply_to(job, list(islice(replies, len(job.commands))))
        if job.is_alone
        else _executed(job, list(islice(replies, len(job.commands) + 2)))
        for job in jobs
    ]


def _executed(job: Job, replies: list[Any]) -> Any:
    """The reply to what was sent in a MULTI: +OK, +QUEUED for each, then what EXEC says."""
    if isinstance(replies[-1], list):
        return _reply_to(job, replies[-1])
    return next((reply for reply in replies if isinstance(reply, Exception)), replies[-1])


async def execute(pipe: Any, jobs: Sequence[Job]) -> list[Any]:
    """Run the jobs on a redis-py pipeline; one reply for each."""
    for command in (command for job in jobs for command in job.commands):
        pipe.execute_command(*command)
    return replies_to(jobs, await pipe.execute(raise_on_error=False))


def replies_to(jobs: Sequence[Job], replies: Sequence[Any]) -> list[Any]:
    """The reply to each job, out of a reply for each command."""
    left = iter(replies)
    return [_reply_to(job, [next(left) for _ in job.commands]) for job in jobs]


def _reply_to(job: Job, replies: list[Any]) -> Any:
    if job.apart:
        left = iter(replies)
        return [next(left) if one is None else one for one in job.answered] or replies
    return next((reply for reply in replies if _is_refusal(reply)), replies[0])


def _is_refusal(reply: object) -> bool:
    return isinstance(reply, Exception) and not group_exists(reply)


async def sweep(client: Any, jobs: Iterable[Job]) -> None:
    """Delete what was acked by all."""
    acked: dict[str, list[str]] = {}
    for key, ids in (sweep for job in jobs for sweep in job.sweeps):
        acked.setdefault(key, []).extend(ids)
    for key, waiting in acked.items():
        done = await _settled_by_all(client, key, waiting)
        if done:
            await client.xdel(key, *done)


async def _settled_by_all(client: Any, key: str, ids: list[str]) -> list[str]:
    """Those of `ids` that were delivered to each group and are pending in none."""
    groups = counted(await groups_of(client, key))
    horizon = min((order(group.cursor) for group in groups), default=(0, 0))
    done = {entry_id for entry_id in ids if order(entry_id) <= horizon}
    for group in groups:
        if done and group.pending:
            first, last = min(done, key=order), max(done, key=order)
            done -= (await pending(client, key, group.name, first, last)).keys()
    return sorted(done, key=order)


async def trim_settled(client: Any, key: str) -> None:
    """Delete what a host that died between its ack and its sweep left behind.

    Below the first entry that some group has still to get or to ack, all is settled.
    """
    floors = [await _floor(client, key, group) for group in counted(await groups_of(client, key))]
    if floors:
        milliseconds, sequence = min(floors)
        await client.xtrim(key, minid=f"{milliseconds}-{sequence}", approximate=False)


async def _floor(client: Any, key: str, group: Group) -> tuple[int, int]:
    if group.pending:
        first = (await client.xpending(key, group.name))["min"]
        if first is not None:
            return order(first.decode())
    milliseconds, sequence = order(group.cursor)
    return milliseconds, sequence + 1


def counted(groups: list[Group]) -> list[Group]:
    """The groups that hold a message back.

    Who pops by hand from a broadcast queue looks on: a forgotten cell must not make
    the stream grow for ever. Where nobody else reads, it is the reader.
    """
    return [group for group in groups if group.name != MANUAL] or groups


_TRIES: Final = 3
Choose = Callable[[list[Any]], Sequence[Job]]
"""Which jobs to send, given the reply to each look; a reply may be an error."""


class Watch:
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
        self, wire: Exchange, keys: Sequence[str], looks: Sequence[Command], choose: Choose
    ) -> list[Any]:
        # What was watched before, and not followed by a MULTI, is of no interest any more.
        _, watching, *replies = await wire.exchange([("UNWATCH",), ("WATCH", *keys), *looks])
        if isinstance(watching, Exception):
            raise watching
        jobs = choose(_unless_away(replies))
        return await self._multi(wire, jobs) if jobs else []

    async def _multi(self, wire: Exchange, jobs: Sequence[Job]) -> list[Any]:
        from redis.exceptions import WatchError

        commands = chain.from_iterable(job.commands for job in jobs)
        replies = await wire.exchange([("MULTI",), *commands, ("EXEC",)])
        if replies[-1] is None:
            raise WatchError("a key has changed")
        if not isinstance(replies[-1], list):
            refusal = next(
                (reply for reply in replies if isinstance(reply, Exception)), replies[-1]
            )
            return [refusal for _ in jobs]
        return replies_to(jobs, replies[-1])

    async def _by_client(
        self, keys: Sequence[str], looks: Sequence[Command], choose: Choose
    ) -> list[Any]:
        async with self._client.pipeline(transaction=True) as pipe:
            await pipe.watch(*keys)
            jobs = choose(_unless_away([await _look(pipe, look) for look in looks]))
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


def _unless_away(replies: list[Any]) -> list[Any]:
    """Give the replies, unless the server had no time for us: then that is raised."""
    for reply in replies:
        if isinstance(reply, Exception) and is_away(reply):
            raise reply
    return replies
