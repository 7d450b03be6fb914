"""How does a loop push and ack without waiting? It posts, and a callback gets the outcome.

No task for each message: what is posted is sent soon. Acks that come together, as those of a
batch of short items, leave as one command.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from flownb.queues.redis.jobs import Job, ack_job, data_channel, push_job
from flownb.queues.send.batcher import Batcher
from flownb.queues.send.bounded import BoundedPush

if TYPE_CHECKING:
    from flownb.queues.connection import Connection
    from flownb.queues.redis.groups import Groups
    from flownb.queues.redis.jobs import Push
    from flownb.queues.redis.streams import Keys
    from flownb.queues.send.batcher import Posted
    from flownb.queues.spec import Clock, QueueSpec, QueueSpecs

OnDone = Callable[[Exception | None], None]
"""Called once Redis has done it, or with the error."""


class Hand(Protocol):
    """What a reader has in hand."""

    def settled(self, ids: Sequence[str]) -> None:
        """These messages are out of it."""


class Posts:
    """The pushes and acks of one manager: batched, each queue with `maxlen` for itself."""

    def __init__(
        self,
        to: Connection,
        keys: Keys,
        specs: QueueSpecs,
        groups: Groups,
        *,
        clock: Clock | None,
        hands: Mapping[tuple[str, str], Hand],
    ) -> None:
        self._to, self._keys, self._specs, self._groups = to, keys, specs, groups
        self._clock, self._hands = clock, hands
        self.common: Batcher[Job, Any] = Batcher(to.transact)
        """For all but what may have to wait for room."""
        self._bounded: dict[str, BoundedPush] = {}
        self.on_room: Callable[[], None] = _silent
        """Called when there may be room in a queue that was full."""
        self._acks: dict[tuple[str, str], list[tuple[Sequence[str], OnDone]]] = {}

    def next_id(self) -> str:
        """Redis numbers messages by its own clock, in virtual time by ours."""
        if self._clock is None:
            return "*"
        return f"{int(round(self._clock.time() * 1000, 3))}-*"

    def batcher(self, spec: QueueSpec) -> Batcher[Job, Any]:
        """A full queue must hold up neither acks nor pushes to other queues."""
        if spec.maxlen is None:
            return self.common
        if spec.name not in self._bounded:
            spec_now = partial(self._specs.__getitem__, spec.name)
            key = self._keys.of(spec)
            self._bounded[spec.name] = BoundedPush(self._to, key, spec_now, self._has_room)
        return self._bounded[spec.name].batcher

    def _has_room(self) -> None:
        self.on_room()

    @property
    def waits_for_room(self) -> str:
        """The name of a queue that a push waits for; "" if none does."""
        return next((name for name, q in self._bounded.items() if q.waits_for_room), "")

    async def submit(self, push: Push) -> Any:
        """Push a message that was checked, and wait for the reply."""
        reply = await self.batcher(push.spec).submit(push_job(push, self.next_id()))
        self._groups.add(push)
        return reply

    def push(self, push: Push, on_done: OnDone) -> Posted[Job, Any]:
        """Push a message that was checked; what is returned can be cancelled until it is sent."""
        self._to.check_open()
        job = push_job(push, self.next_id())
        return self.batcher(push.spec).post(job, partial(self._pushed, push, on_done))

    def _pushed(self, push: Push, on_done: OnDone, reply: Any) -> None:
        if isinstance(reply, Exception):
            on_done(self._to.cleared(reply, f"queue {push.spec.name!r}"))
        else:
            self._groups.add(push)
            on_done(None)

    def push_all(
        self, pushes: Sequence[Push], on_done: Callable[[list[Exception | None]], None]
    ) -> None:
        """Push messages of queues without `maxlen` whose groups are there, in one pipeline."""
        self._to.check_open()
        entry_id = self.next_id()
        commands = tuple(command for push in pushes for command in push.commands(entry_id))
        channels = dict.fromkeys(data_channel(push.key) for push in pushes)
        job = Job(commands, tuple(channels), apart=True)
        self.common.post(job, partial(self._all_pushed, pushes, on_done))

    def _all_pushed(
        self, pushes: Sequence[Push], on_done: Callable[[list[Exception | None]], None], reply: Any
    ) -> None:
        replies = [reply] * len(pushes) if isinstance(reply, Exception) else reply
        on_done([self._refused(push, said) for push, said in zip(pushes, replies, strict=True)])

    def _refused(self, push: Push, reply: Any) -> Exception | None:
        if not isinstance(reply, Exception):
            return None
        return self._to.cleared(reply, f"queue {push.spec.name!r}")

    # -- acks ------------------------------------------------------------------

    def ack_job(self, queue: str, ids: Sequence[str], reader: str) -> Job:
        """What settles messages of a queue for a reader."""
        spec = self._specs[queue]
        return ack_job(spec, self._keys.of(spec), spec.group_of(reader), ids)

    def let_go(self, queue: str, ids: Sequence[str], reader: str) -> None:
        """Take settled messages out of the reader's hand."""
        if (queue, reader) in self._hands:
            self._hands[queue, reader].settled(ids)

    def ack(self, queue: str, ids: Sequence[str], reader: str, on_done: OnDone) -> None:
        """Settle messages, together with others that are settled now."""
        self._to.check_open()
        if not self._acks:
            asyncio.get_running_loop().call_soon(self.flush)
        self._acks.setdefault((queue, reader), []).append((ids, on_done))

    def flush(self) -> None:
        """Send the acks that have come together."""
        acks, self._acks = self._acks, {}
        for (queue, reader), groups in acks.items():
            ids = [message_id for some, _ in groups for message_id in some]
            job = self.ack_job(queue, ids, reader)
            on_reply = partial(self._acked, queue, reader, ids, [on_done for _, on_done in groups])
            self.common.post(job, on_reply)

    def _acked(
        self, queue: str, reader: str, ids: Sequence[str], waiting: Sequence[OnDone], reply: Any
    ) -> None:
        error = None
        if isinstance(reply, Exception):
            error = self._to.cleared(reply, f"queue {queue!r}")
        else:
            self.let_go(queue, ids, reader)
        for on_done in waiting:
            on_done(error)

    async def give_up_room(self, reason: str) -> None:
        """Fail what waits for room."""
        for bounded in self._bounded.values():
            await bounded.batcher.aclose(reason, drain=False)

    async def leave(self) -> None:
        """Leave what was dropped to the count of all."""
        for bounded in self._bounded.values():
            await bounded.leave()


def _silent() -> None:
    """Do nothing."""
