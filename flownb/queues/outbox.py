"""How do the pushes of an item leave together with its ack?

All in one MULTI: the item's messages are in their queues if and only if the message it
came from is settled. A full queue holds the whole MULTI back; depth is looked at under
WATCH, as for a single push.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from flownb.queues.settle import Job, data_bell, execute, room_bell, sweep
from flownb.queues.streams import create_group, xadd

if TYPE_CHECKING:
    from flownb.queues.connection import Connection
    from flownb.queues.server import Link
    from flownb.queues.spec import QueueSpec


class Push(NamedTuple):
    """A message that was checked and is held back until its item settles."""

    spec: QueueSpec
    key: str
    text: str
    meta: str | None
    groups: tuple[str, ...]
    """Those that may have to be made with it, so that no reader misses it."""

    def commands(self, entry_id: str) -> list[tuple[str, ...]]:
        """What pushes it."""
        make = [create_group(self.key, group) for group in self.groups]
        return [xadd(self.key, entry_id, self.text, self.meta), *make]


def joined(pushes: Sequence[Push], acks: Sequence[Job], entry_id: str) -> Job:
    """The one MULTI that pushes and acks."""
    commands = [command for push in pushes for command in push.commands(entry_id)]
    commands += [command for ack in acks for command in ack.commands]
    rings = [data_bell(push.key) for push in pushes] + [bell for ack in acks for bell in ack.rings]
    sweeps = tuple(sweep for ack in acks for sweep in ack.sweeps)
    return Job(tuple(commands), tuple(dict.fromkeys(rings)), sweeps)


class Outbox:
    """Sends pushes and acks together, in the lane of one manager when nothing can be full."""

    def __init__(
        self,
        to: Connection,
        *,
        submit: Callable[[Job], Awaitable[Any]],
        next_id: Callable[[], str],
    ) -> None:
        self._to, self._submit, self._next_id = to, submit, next_id

    async def send(
        self,
        pushes: Sequence[Push],
        acks: Sequence[Job],
        undone: Callable[[], Awaitable[bool]],
    ) -> None:
        """Push and ack in one MULTI; `undone` is asked after a lost answer."""
        if all(push.spec.maxlen is None for push in pushes):
            await self._submit(replace(joined(pushes, acks, self._next_id()), undone=undone))
            return
        bounded = _BoundedOutbox(self._to.link, pushes)
        await self._to.once(lambda: bounded.send(acks, self._next_id()), undone)

    async def move(
        self, entry: tuple[str, str], push: Push, ack: Job, undone: Callable[[], Awaitable[bool]]
    ) -> bool:
        """Push what an entry (stream, id) held, and ack, in one MULTI; False if it is gone.

        Of several who do it at once, one does. Whatever `when_full` says, it waits for room:
        the entry must not be lost on its way.
        """
        bounded = _BoundedOutbox(self._to.link, [push], entry)
        return await self._to.once(lambda: bounded.send([ack], self._next_id()), undone)


class _BoundedOutbox:
    """Sends what belongs together when it fits into the queues that have a `maxlen`.

    What an item pushes to one queue beyond its `maxlen` can never fit at once: then an
    empty queue is room enough. What moves an entry (stream, id) is not sent if that is gone.
    """

    def __init__(
        self, link: Link, pushes: Sequence[Push], entry: tuple[str, str] | None = None
    ) -> None:
        self._link = link
        self._pushes, self._entry = pushes, entry
        self._bounds = {p.key: p.spec for p in pushes if p.spec.maxlen is not None}

    async def send(self, acks: Sequence[Job], entry_id: str) -> bool:
        """Wait for room where `when_full` says so, then push and ack; False if it is gone."""
        from redis.exceptions import WatchError

        full = ""
        while True:
            # The bell hangs before the depth is read, so no ack in between is missed.
            with self._link.listen(room_bell(full)) if full else nullcontext() as bell:
                try:
                    found = await self._try(acks, entry_id)
                except WatchError:
                    continue  # somebody pushed or acked meanwhile, so somebody got on
                if not found:
                    return found is not None
                if bell is not None and found == full:
                    await bell.wait(self._link.room_poll)
            full = found

    async def _try(self, acks: Sequence[Job], entry_id: str) -> str | None:
        """Send all; the queue that is too full for it, "" when it is sent, None if it is gone."""
        async with self._link.client.pipeline(transaction=True) as pipe:
            await pipe.watch(*self._bounds, *(self._entry or ())[:1])
            if self._entry is not None and not await pipe.xrange(*self._entry, self._entry[1]):
                return None
            room = {
                key: (spec.maxlen or 0) - await pipe.xlen(key) for key, spec in self._bounds.items()
            }
            for key, wanted in Counter(push.key for push in self._pushes).items():
                if key in room and self._must_wait(key, wanted, room[key]):
                    return key
            job = joined(self._kept(room), acks, entry_id)
            pipe.multi()
            (reply,) = await execute(pipe, [job])
        await sweep(self._link.client, [job])
        for bell in job.rings:
            self._link.ring(bell)
        if isinstance(reply, Exception):
            raise reply
        return ""

    def _must_wait(self, key: str, wanted: int, room: int) -> bool:
        spec = self._bounds[key]
        waits = spec.when_full == "block" or self._entry is not None
        return waits and room < min(wanted, spec.maxlen or wanted)

    def _kept(self, room: dict[str, int]) -> list[Push]:
        """All but what a queue drops when it is full."""
        kept = []
        for push in self._pushes:
            if push.spec.when_full == "drop_newest" and push.key in room:
                room[push.key] -= 1
                if room[push.key] < 0:
                    continue
            kept.append(push)
        return kept
