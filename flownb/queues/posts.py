"""How does a loop push and ack without waiting, and without a task for each message?

What is posted is sent soon, and who posted it hears of it in a call. Acks that come
together, as those of a batch of short items, leave as one command.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from flownb.queues.settle import Job, data_bell

if TYPE_CHECKING:
    from flownb.queues.connection import Connection
    from flownb.queues.lane import Lane, Posted
    from flownb.queues.outbox import Push
    from flownb.queues.spec import QueueSpec

Heard = Callable[[Exception | None], None]
"""Called once Redis has done it, or with what it said instead."""


class Ways(NamedTuple):
    """What posts need of their manager."""

    lane: Callable[[QueueSpec], Lane[Job, Any]]
    common: Lane[Job, Any]
    next_id: Callable[[], str]
    learn: Callable[[Push], None]
    ack_job: Callable[[str, Sequence[str], str], Job]
    let_go: Callable[[str, Sequence[str], str], None]


class Posts:
    """The pushes and acks of one manager that nobody awaits."""

    def __init__(self, to: Connection, ways: Ways) -> None:
        self._to, self._ways = to, ways
        self._acks: dict[tuple[str, str], list[tuple[Sequence[str], Heard]]] = {}

    def push(self, push: Push, heard: Heard) -> Posted[Job, Any]:
        """Push a message that was checked; what is returned can be cancelled until it is sent."""
        self._to.check_open()
        job = push_job(push, self._ways.next_id())
        return self._ways.lane(push.spec).post(job, partial(self._pushed, push, heard))

    def _pushed(self, push: Push, heard: Heard, reply: Any) -> None:
        if isinstance(reply, Exception):
            heard(self._to.cleared(reply, f"queue {push.spec.name!r}"))
        else:
            self._ways.learn(push)
            heard(None)

    def push_all(
        self, pushes: Sequence[Push], heard: Callable[[list[Exception | None]], None]
    ) -> None:
        """Push messages of queues without `maxlen` whose groups are there, in one pipeline."""
        self._to.check_open()
        entry_id = self._ways.next_id()
        commands = tuple(command for push in pushes for command in push.commands(entry_id))
        bells = dict.fromkeys(data_bell(push.key) for push in pushes)
        job = Job(commands, tuple(bells), apart=True)
        self._ways.common.post(job, partial(self._all_pushed, pushes, heard))

    def _all_pushed(
        self, pushes: Sequence[Push], heard: Callable[[list[Exception | None]], None], reply: Any
    ) -> None:
        replies = [reply] * len(pushes) if isinstance(reply, Exception) else reply
        heard([self._refused(push, said) for push, said in zip(pushes, replies, strict=True)])

    def _refused(self, push: Push, reply: Any) -> Exception | None:
        if not isinstance(reply, Exception):
            return None
        return self._to.cleared(reply, f"queue {push.spec.name!r}")

    def ack(self, queue: str, ids: Sequence[str], reader: str, heard: Heard) -> None:
        """Settle messages, together with others that are settled now."""
        self._to.check_open()
        if not self._acks:
            asyncio.get_running_loop().call_soon(self.flush)
        self._acks.setdefault((queue, reader), []).append((ids, heard))

    def flush(self) -> None:
        """Send the acks that have come together."""
        acks, self._acks = self._acks, {}
        for (queue, reader), groups in acks.items():
            ids = [message_id for some, _ in groups for message_id in some]
            job = self._ways.ack_job(queue, ids, reader)
            told = partial(self._acked, queue, reader, ids, [heard for _, heard in groups])
            self._ways.common.post(job, told)

    def _acked(
        self, queue: str, reader: str, ids: Sequence[str], told: Sequence[Heard], reply: Any
    ) -> None:
        error = None
        if isinstance(reply, Exception):
            error = self._to.cleared(reply, f"queue {queue!r}")
        else:
            self._ways.let_go(queue, ids, reader)
        for heard in told:
            heard(error)


def push_job(push: Push, entry_id: str) -> Job:
    """What pushes one message.

    The groups are made in the same MULTI. A round trip of its own before the first push
    would let the pushes behind it overtake it.
    """
    return Job(tuple(push.commands(entry_id)), (data_bell(push.key),))
