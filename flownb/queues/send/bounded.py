"""What does a push to a full queue do?

`block` waits for room, `error` and `drop_newest` refuse the message, `drop_oldest`
makes room. Depth is looked at under WATCH, so that several hosts pushing at once
cannot overfill the queue.

`drop_oldest` takes the oldest undelivered messages *as a reader does*: Redis then
cannot deliver them to anybody else, and what a reader holds is never dropped. So
when readers hold all of it, the queue goes over `maxlen` by that one message. Cut
short, it dies as a reader does: what it took and did not drop goes to the next reader.

What is dropped is counted at the server: in the MULTI that drops it, or, with `drop_newest`, in
a mark that each batch leaves in its MULTI. So is an answer that was lost: the mark says how
much of the batch is in the queue, and nothing of it is sent again.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

from flownb import liveness
from flownb.errors import QueueError
from flownb.queues.notify import Backoff
from flownb.queues.redis.exchange import ask
from flownb.queues.redis.jobs import Job, ack_job, counted, data_channel, room_channel, transact
from flownb.queues.redis.streams import (
    Group,
    count_dropped,
    create_groups,
    drops,
    entries_from,
    group_is_gone,
    groups_of,
    order,
    read,
)
from flownb.queues.redis.watch import Watch
from flownb.queues.send.batcher import Batcher

if TYPE_CHECKING:
    from flownb.queues.connection import Connection
    from flownb.queues.spec import QueueSpec

DROPPED = ""
"""What a push returns instead of an id when the message was dropped."""
SOME_ID = "0-0"
"""What it returns when it is in the queue, and the answer that had its id was lost."""


class _Mark(NamedTuple):
    """What a batch leaves in its MULTI: its number, how much of it was pushed, all drops so far."""

    batch: int = 0
    pushed: int = 0
    dropped: int = 0

    @classmethod
    def read(cls, said: bytes | None) -> _Mark:
        """The mark that stands at the server, if any does."""
        return cls(*map(int, (said or b"").split()))


class BoundedPush:
    """Pushes to one queue with `maxlen`, in a batcher of its own; `spec` says what it is now."""

    def __init__(
        self,
        to: Connection,
        key: str,
        spec: Callable[[], QueueSpec],
        on_room: Callable[[], None],
    ) -> None:
        self._to = to
        self._link = to.link
        self._line = self._link.looks
        self._spec_now = spec
        self._key, self._on_room = key, on_room
        self._room = 0
        """For how many more there was room after the last look."""
        self._guard, self._backoff = Watch(self._link.wire()), Backoff(self._link.room_poll)
        self._dropper = ""
        """By which name it takes what it drops."""
        self._me, self._batch = uuid4().hex, 0
        self.batcher: Batcher[Job, Any] = Batcher(self._send)

    @property
    def waits_for_room(self) -> bool:
        """Whether a push waits for room, or may have to."""
        return self._spec.when_full == "block" and len(self.batcher) > self._room

    @property
    def _spec(self) -> QueueSpec:
        return self._spec_now()

    @property
    def _maxlen(self) -> int:
        """What fits; who waits while the bound is taken away waits no more."""
        return sys.maxsize if self._spec.maxlen is None else self._spec.maxlen

    async def _send(self, jobs: Sequence[Job]) -> Sequence[Any]:
        self._batch += 1
        try:
            return await self._to.repeated(
                jobs, await self._to.retry_until_back(lambda: self._replies(jobs))
            )
        finally:
            self._on_room()

    async def _replies(self, jobs: Sequence[Job]) -> Sequence[Any]:
        """The replies to the first of `jobs`; those that must wait stay with the batcher."""
        jobs = jobs[: self._maxlen]  # more never fit at once
        if self._spec.when_full == "drop_oldest":
            return await self._push_dropping(jobs)
        # We listen before the depth is read, so no ack in between is missed.
        with self._link.listen(room_channel(self._key)) as notifier:
            sent = await self._push_what_fits(jobs)
            if sent:
                self._backoff.begin_anew()
            elif self._spec.when_full == "block":
                await self._backoff.wait(notifier)
        if self._spec.when_full != "error":
            return sent
        return [*sent, *[self._refusal() for _ in jobs[len(sent) :]]]

    def _refusal(self) -> Exception:
        return QueueError(
            f"queue {self._spec.name!r} is full ({self._maxlen} messages): read faster, "
            f"raise maxlen=, or choose when_full='block'"
        )

    async def _push_what_fits(self, jobs: Sequence[Job]) -> list[Any]:
        from redis.exceptions import WatchError

        looks = [("XLEN", self._key), ("HGET", drops(self._key), self._me)]
        dropping, mark = self._spec.when_full == "drop_newest", _Mark()

        def choose(looked: list[Any]) -> Sequence[Job]:
            nonlocal mark
            for reply in looked:
                if isinstance(reply, Exception):
                    raise reply
            mark = _Mark.read(looked[1])
            if mark.batch == self._batch:  # it was done, and the answer was lost
                return []
            room = max(0, self._maxlen - looked[0])
            self._room = max(0, room - len(jobs))
            fits = jobs[:room]
            if not fits and not dropping:
                return []
            over = len(jobs) - len(fits) if dropping else 0
            mark = _Mark(self._batch, len(fits), mark.dropped + over)
            said = " ".join(map(str, mark))
            return [*fits, Job((("HSET", drops(self._key), self._me, said),), ())]

        while True:
            # Else somebody pushed or acked meanwhile, so somebody got on.
            with suppress(WatchError):
                sent = await self._guard.send([self._key], looks, choose)
                if mark.pushed:
                    self._link.notify(data_channel(self._key))
                if sent and isinstance(sent[-1], Exception):  # the whole MULTI was refused
                    return sent[: max(1, mark.pushed)]
                if mark.batch != self._batch:
                    return []
                pushed = sent[:-1] or [SOME_ID] * mark.pushed
                return [*pushed, *[DROPPED] * (len(jobs) - mark.pushed if dropping else 0)]

    async def leave(self) -> None:
        """Add what we have dropped to the count of all, and take our mark away."""
        from redis.exceptions import RedisError

        with suppress(RedisError, OSError):
            mark = _Mark.read(await ask(self._line, "HGET", drops(self._key), self._me))
            gone = ("HDEL", drops(self._key), self._me)
            commands = [count_dropped(self._key, mark.dropped), gone] if mark.dropped else [gone]
            await self._line.exchange([("MULTI",), *commands, ("EXEC",)])

    async def _push_dropping(self, jobs: Sequence[Job]) -> list[Any]:
        from redis.exceptions import RedisError

        replies = await self._making_room(jobs, await self._over(len(jobs)))
        # Two that looked at one moment push too much between them: the last one drops it. Not of
        # a broadcast queue, where two that drop at one moment may count the same messages.
        if self._spec.mode == "competing":
            with suppress(RedisError, OSError):  # what was pushed is not pushed again for that
                if (over := await self._over(0)) > 0:
                    held = sum(group.pending for group in await groups_of(self._line, self._key))
                    older = over + self._maxlen - held - len(jobs)
                    await self._making_room((), min(over, older))
        return replies

    async def _over(self, more: int) -> int:
        """How many messages there would be too many."""
        return int(await ask(self._line, "XLEN", self._key)) + more - self._maxlen

    async def _making_room(self, jobs: Sequence[Job], over: int) -> list[Any]:
        if over <= 0:
            return await self._transact(jobs) if jobs else []
        self._dropper = self._dropper or liveness.begin("~dropper")
        try:
            dropping = await self._take_oldest(over)
            replies = await self._transact([*jobs, *dropping])
        except BaseException:
            self._give_back()
            raise
        if any(isinstance(reply, Exception) for reply in replies[len(jobs) :]):
            self._give_back()
        return replies[: len(jobs)]

    def _give_back(self) -> None:
        """What was taken and not dropped goes to the next reader."""
        liveness.end(self._dropper)
        self._link.depart()
        self._dropper = ""

    async def _transact(self, jobs: Sequence[Job]) -> list[Any]:
        return await transact(self._link.line, self._link.notify, jobs, self._to.sweep)

    async def _take_oldest(self, count: int) -> list[Job]:
        """Take what nobody holds from each group, the same messages from all."""
        groups = sorted(
            counted(await groups_of(self._line, self._key)), key=lambda group: order(group.cursor)
        )
        if not groups:
            return await self._cut_oldest(count)
        ids = await self._take(groups[0].name, count)
        first = self._drop(groups[0], ids)
        if ids:
            counting = count_dropped(self._key, len(ids))
            first = replace(first, commands=(counting, *first.commands), whole=True)
        dropping = [first]
        for group in groups[1:]:
            ahead = [entry_id for entry_id in ids if order(entry_id) > order(group.cursor)]
            dropping.append(self._drop(group, await self._take(group.name, len(ahead))))
        return [job for job in dropping if job.commands]

    async def _take(self, group: str, count: int) -> list[str]:
        from redis.exceptions import ResponseError

        if not count:
            return []
        try:
            entries = await read(self._line, self._key, group, self._dropper, count=count)
        except ResponseError as error:
            if not group_is_gone(error):
                raise
            await create_groups(self._line, self._key, [group])
            return []
        return [entry_id for entry_id, _ in entries]

    def _drop(self, group: Group, ids: list[str]) -> Job:
        if not ids:
            return Job((), (room_channel(self._key),))
        return ack_job(self._spec, self._key, group.name, ids)

    async def _cut_oldest(self, count: int) -> list[Job]:
        """Nobody reads this queue yet: nothing can be in anybody's hands."""
        from redis.exceptions import WatchError

        oldest = ("XRANGE", self._key, "-", "+", "COUNT", str(count))

        def choose(looked: list[Any]) -> Sequence[Job]:
            if isinstance(looked[0], Exception):
                raise looked[0]
            ids = [entry_id for entry_id, _ in entries_from(looked[0])]
            gone = ("XDEL", self._key, *ids)
            return [Job((count_dropped(self._key, len(ids)), gone), ())] if ids else []

        keys = [self._key, drops(self._key)]  # with fakeredis an XDEL aborts no WATCH
        with suppress(WatchError):  # somebody pushed or dropped meanwhile: it is looked at again
            await self._guard.send(keys, [oldest], choose)
            return []
        return await self._cut_oldest(count)
