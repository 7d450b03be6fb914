"""What is one job at Redis? A push, an ack or a transaction: its commands, whom it notifies.

An ack in a competing queue: one reader deletes the entry, and acks it. Not in a MULTI, which
Redis refuses when it is full, and acks are what gives it its memory back; what is cut off in
between is an entry that is pending and gone, which the next reader acks. In a broadcast queue
each group acks, and who acks last deletes. Who is last is seen *after* the own ack, so that of
two readers that ack at once at least one sees itself as the last.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from flownb.queues.payload import FIELDS, lenient
from flownb.queues.redis.exchange import ask
from flownb.queues.redis.refusals import refuses_for_now
from flownb.queues.redis.streams import (
    Group,
    Keys,
    create_group,
    entries_from,
    group_exists,
    groups_of,
    order,
    pending,
    xadd,
)
from flownb.queues.spec import QueueSpec, is_by_hand

if TYPE_CHECKING:
    from flownb.queues.redis.exchange import Command, Exchange

MOST: Final = 100_000
"""Dead letters that a loop keeps, about: a loop that fails all day must not fill Redis."""


_PAGE: Final = "1000"
NOT_OURS: Final = object()
"""The reply to what was to settle a message that others have now, or had."""
GONE: Final = object()
"""The reply to what was to move an entry that is not there any more."""


def data_channel(key: str) -> str:
    """What a reader of a stream listens to."""
    return f"data {key}"


def room_channel(key: str) -> str:
    """The channel of a push that waits for room."""
    return f"room {key}"


Sweep = Callable[[Sequence["Job"]], Awaitable[None]]


class Push(NamedTuple):
    """A message that was checked, ready to go."""

    spec: QueueSpec
    key: str
    text: str
    meta: str | None
    groups: tuple[str, ...]
    """Those that may have to be made with it, so that no reader misses it."""

    def commands(self, entry_id: str) -> list[Command]:
        """What pushes it."""
        push = xadd(self.key, entry_id, FIELDS[self.spec.codec], self.text, self.meta)
        return [push, *(create_group(self.key, group) for group in self.groups)]


class Ownership(NamedTuple):
    """What a job rests on: that a consumer of a group still has some messages of a stream."""

    key: str
    group: str
    consumer: str
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Job:
    """Commands that go out together, whom to wake then, and what to sweep."""

    commands: tuple[Command, ...]
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
    owns: tuple[Ownership, ...] = ()
    """What must be ours when it is sent with a push."""

    @property
    def is_alone(self) -> bool:
        """Whether it needs no MULTI."""
        return self.apart or not self.whole or len(self.commands) == 1


class RetryMarker(NamedTuple):
    """In place of a reply: this, what is left of the work, is to be sent once more."""

    work: Any


def push_job(push: Push, entry_id: str) -> Job:
    """What pushes one message.

    The groups are made in the same MULTI. A round trip of its own before the first push
    would let the pushes behind it overtake it.
    """
    return Job(tuple(push.commands(entry_id)), (data_channel(push.key),))


def ack_job(spec: QueueSpec, key: str, group: str, ids: Sequence[str]) -> Job:
    """What settles messages in one group."""
    ack = ("XACK", key, group, *ids)
    if spec.mode == "broadcast":
        return Job((ack,), (room_channel(key),), sweeps=((key, tuple(ids)),))
    return Job((("XDEL", key, *ids), ack), (room_channel(key),), whole=False)


def dead_letter_job(
    keys: Keys, loop: str, entry_id: str, record: dict[str, Any], ack: Job | None
) -> Job:
    """Keep a failed item, and settle its message (`ack`) in the same MULTI."""
    key = keys.dead(loop)
    add = ("XADD", key, "MAXLEN", "~", str(MOST), entry_id, "data", lenient(record))
    if ack is None:
        return Job((add,), (key,))
    return replace(ack, commands=(add, *ack.commands), whole=True, into=(key,))


def joined(pushes: Sequence[Push], acks: Sequence[Job], entry_id: str) -> Job:
    """The one MULTI that pushes and acks."""
    commands = [command for push in pushes for command in push.commands(entry_id)]
    commands += [command for ack in acks for command in ack.commands]
    channels = [data_channel(push.key) for push in pushes] + [
        channel for ack in acks for channel in ack.channels
    ]
    sweeps = tuple(sweep for ack in acks for sweep in ack.sweeps)
    return Job(tuple(commands), tuple(dict.fromkeys(channels)), sweeps)


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
        return any(is_refused_for_now(one) for one in reply if type(one) is not bytes)
    return isinstance(reply, Exception) and refuses_for_now(reply)


async def transact(
    line: Exchange, notify: Callable[[str], None], jobs: Sequence[Job], swept: Sweep
) -> list[Any]:
    """Send all jobs in one go, and have `swept` sweep; the reply to each is to its first command.

    A job one of whose commands was refused has that exception as its reply, one that goes
    `apart` a list of all replies.
    """
    try:
        answers = _answers(jobs, iter(await line.exchange(list(_wrapped(jobs)))))
        await swept(jobs)
        return answers
    finally:
        # Also after an error: Redis may have done it all the same.
        for channel in dict.fromkeys(channel for job in jobs for channel in job.channels):
            notify(channel)


def _wrapped(jobs: Iterable[Job]) -> Iterator[Command]:
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


async def sweep(line: Exchange, jobs: Iterable[Job]) -> None:
    """Delete what was acked by all."""
    acked: dict[str, list[str]] = {}
    for key, ids in (sweep for job in jobs for sweep in job.sweeps):
        acked.setdefault(key, []).extend(ids)
    for key, waiting in acked.items():
        done = await _settled_by_all(line, key, waiting)
        if done:
            await ask(line, "XDEL", key, *done)


async def _settled_by_all(line: Exchange, key: str, ids: list[str]) -> list[str]:
    """Those of `ids` that were delivered to each group and are pending in none."""
    groups = counted(await groups_of(line, key))
    horizon = min((order(group.cursor) for group in groups), default=(0, 0))
    done = {entry_id for entry_id in ids if order(entry_id) <= horizon}
    for group in groups:
        if done and group.pending:
            first, last = min(done, key=order), max(done, key=order)
            done -= (await pending(line, key, group.name, first, last)).keys()
    return sorted(done, key=order)


async def forgotten(line: Exchange, key: str, group: str) -> int:
    """Remove a group, and delete what all others have settled; how many entries that were."""
    before: int = await ask(line, "XLEN", key)
    await ask(line, "XGROUP", "DESTROY", key, group)
    after = "-"
    while page := entries_from(await ask(line, "XRANGE", key, after, "+", "COUNT", _PAGE)):
        if done := await _settled_by_all(line, key, [entry_id for entry_id, _ in page]):
            await ask(line, "XDEL", key, *done)
        after = f"({page[-1][0]}"
    left: int = await ask(line, "XLEN", key)
    return max(0, before - left)


async def trim_settled(line: Exchange, key: str) -> None:
    """Delete what a host that died between its ack and its sweep left behind.

    Below the first entry that some group has still to get or to ack, all is settled.
    """
    floors = [await _floor(line, key, group) for group in counted(await groups_of(line, key))]
    if floors:
        milliseconds, sequence = min(floors)
        await ask(line, "XTRIM", key, "MINID", f"{milliseconds}-{sequence}")


async def _floor(line: Exchange, key: str, group: Group) -> tuple[int, int]:
    if group.pending:
        first = (await ask(line, "XPENDING", key, group.name))[1]
        if first is not None:
            return order(first.decode())
    milliseconds, sequence = order(group.cursor)
    return milliseconds, sequence + 1


def counted(groups: list[Group]) -> list[Group]:
    """The groups that hold a message back.

    Who pops by hand from a broadcast queue looks on: a forgotten cell must not make
    the stream grow for ever. Where nobody else reads, it is the reader.
    """
    return [group for group in groups if not is_by_hand(group.name)] or groups
