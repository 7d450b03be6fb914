"""How does a loop push to a queue, read from it and settle what it read?

At least once: a message stays until it is acked, and who re-opens a queue under
the same consumer name first gets what it had not acked. Each host opens a manager
of its own on its own event loop; they meet in the server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Protocol, Self

from flownb.errors import QueueError
from flownb.queues.bounded import BoundedPush
from flownb.queues.figures import figures
from flownb.queues.inbox import Inbox
from flownb.queues.lane import Lane
from flownb.queues.payload import dumps
from flownb.queues.reader import StreamReader, dead_letter, dead_letter_job
from flownb.queues.server import Link, open_server
from flownb.queues.settle import Job, ack_job, data_bell, room_bell, transact
from flownb.queues.spec import MANUAL, Message, QueueSpec, QueueStats
from flownb.queues.streams import (
    Keys,
    clear_errors,
    create_group,
    create_groups,
    entries_from,
    groups_of,
    xadd,
)

_BATCH = 100


class Clock(Protocol):
    """Seconds; a clock with a true attribute `virtual` also numbers the messages."""

    def time(self) -> float:
        """Seconds since the loop began."""

    async def sleep(self, seconds: float) -> object:
        """Wait that long."""


class QueueManager:
    """The queues of one graph, for one event loop.

    `server` is what `open_server` returns or accepts. `consumer` names this host
    towards Redis: unique among hosts that run at once, the same after a restart.

    >>> async def cell():
    ...     async with QueueManager(graph="g", specs=[QueueSpec("q")], consumer="me") as queues:
    ...         await queues.push("q", {"rain": 3})
    ...         message = await queues.pop("q")
    ...         await queues.ack("q", [message.id])
    ...         return message.payload
    >>> asyncio.run(cell())
    {'rain': 3}
    """

    def __init__(
        self,
        server: Any = None,
        *,
        graph: str,
        specs: Iterable[QueueSpec],
        namespace: str = "flownb",
        consumer: str,
        clock: Clock | None = None,
    ) -> None:
        self._server = server if hasattr(server, "connect") else open_server(server)
        self._graph = graph
        self._specs = {spec.name: spec for spec in specs}
        self._keys = Keys(namespace, graph)
        self._consumer = consumer
        self._clock = clock
        self._virtual = bool(getattr(clock, "virtual", False))
        self._link: Link | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = ""
        self._openings: set[asyncio.Future[None]] = set()
        self._calls = 0
        self._idle = asyncio.Event()
        self._groups: set[tuple[str, str]] = set()
        self._common: Lane[Job, Any] = Lane(self._transact, limit=_BATCH)
        self._bounded: dict[str, Lane[Job, Any]] = {}
        self._inboxes: dict[tuple[str, str], Inbox] = {}

    async def push(self, queue: str, data: Any, *, meta: dict[str, Any] | None = None) -> str:
        """Push one message; its id, once Redis has acknowledged it.

        Pushes (and acks) of one manager share pipelines: one is on its way at a time,
        and what is pushed meanwhile, up to 100, goes with the next. That batches as
        much as a timer would and adds no latency. Returns "" for a message that
        `when_full="drop_newest"` dropped. Cancelled, or when the server went away, it may
        or may not be in the queue.

        Raises QueueError for what is not JSON (with the path of the field), does not
        fit `model`, or, with `when_full="error"`, does not fit into the queue.
        """
        spec = self._spec(queue)
        text = dumps(data, queue=queue, model=spec.model)
        about = dumps(meta, queue=queue, what="meta") if meta else None
        with self._clear_errors(f"queue {queue!r}"):
            key = self._keys.queue(queue)
            add = xadd(key, self._next_id(), text, about)
            # The groups are made in the same MULTI. A round trip of its own before the
            # first push would let the pushes behind it overtake it.
            make = [create_group(key, group) for group in self._not_open(spec, spec.known_groups)]
            reply = await self._lane(spec).submit(Job((add, *make), data_bell(key)))
            self._groups |= {(queue, group) for group in spec.known_groups}
        return reply.decode() if isinstance(reply, bytes) else str(reply)

    async def pop(
        self, queue: str, timeout: float | None = None, *, reader: str = MANUAL
    ) -> Message | None:
        """One message, or None if there is none for `timeout` seconds (0: do not wait).

        It stays pending until it is acked. By hand from a cell, a broadcast queue is
        read beside its loops: what is popped there is missing nowhere else.
        """
        messages = await self.read(queue, reader=reader, count=1, timeout=timeout)
        return messages[0] if messages else None

    async def read(
        self, queue: str, *, reader: str, count: int, timeout: float | None
    ) -> list[Message]:
        """Up to `count` messages as soon as there is one, none after `timeout` seconds.

        May be cancelled at any moment: what had been on its way is kept for the next
        read. `reader` is the reading loop.
        """
        spec = self._spec(queue)
        if count < 1:
            raise QueueError(f"queue {queue!r}: count={count}: read at least 1 message")
        with self._clear_errors(f"queue {queue!r}"):
            await self._open(spec, (*spec.known_groups, spec.group_of(reader)))
            return await self._inbox(spec, reader).take(count, timeout)

    async def ack(self, queue: str, message_ids: Sequence[str], *, reader: str = MANUAL) -> None:
        """Settle messages: they are deleted (broadcast: with the last group's ack)."""
        spec = self._spec(queue)
        if not message_ids:
            return
        with self._clear_errors(f"queue {queue!r}"):
            await self._common.submit(self._ack_job(spec, message_ids, reader))

    async def dead_letter(
        self,
        queue: str | None,
        message: Message | None,
        *,
        loop: str,
        record: dict[str, Any],
        reader: str = MANUAL,
    ) -> str:
        """Keep a failed item in `<loop>.dead` and ack its message, in one MULTI.

        The item of a source loop has no message: `message=None` only keeps it. What
        of `record` is not JSON is kept as its repr. Returns the dead letter's id.
        """
        ack = None
        if message is not None:
            ack = self._ack_job(self._spec(queue or message.queue), [message.id], reader)
        with self._clear_errors(f"loop {loop!r}"):
            job = dead_letter_job(self._keys, loop, self._next_id(), record, ack)
            reply: bytes = await self._common.submit(job)
        return reply.decode()

    async def dead(self, loop: str, count: int = 100) -> list[dict[str, Any]]:
        """The last `count` dead letters of a loop, oldest first, each with its `id`."""
        with self._clear_errors(f"loop {loop!r}"):
            newest = await self._client().xrevrange(self._keys.dead(loop), count=count)
        return [dead_letter(entry) for entry in entries_from(reversed(newest))]

    async def stats(self, queue: str) -> QueueStats:
        """Depth, lag and pending of a queue, for each group too; see `QueueStats`."""
        spec = self._spec(queue)
        with self._clear_errors(f"queue {queue!r}"):
            return await figures(self._client(), spec, self._keys.queue(queue))

    async def clear(self, queue: str) -> int:
        """Drop all messages, delivered ones too; how many there were."""
        key = self._keys.queue(self._spec(queue).name)
        with self._clear_errors(f"queue {queue!r}"):
            groups = [group.name for group in await groups_of(self._client(), key)]
            commands: list[tuple[str, ...]] = [("XLEN", key), ("XTRIM", key, "MAXLEN", "0")]
            # A new group is the one way to forget what is pending in a single step.
            for group in groups:
                commands += [("XGROUP DESTROY", key, group), ("XGROUP CREATE", key, group, "$")]
            dropped: int = await self._common.submit(Job(tuple(commands), room_bell(key)))
        for (name, _), inbox in self._inboxes.items():
            if name == queue:
                inbox.forget()
        return dropped

    def know(self, specs: Iterable[QueueSpec]) -> None:
        """Take in queues that were added to the graph, or changed, since."""
        self._specs.update((spec.name, spec) for spec in specs)

    async def aclose(self) -> None:
        """Send what was submitted, give up waiting, close the connections.

        Reads that wait, and pushes that wait for room, fail with QueueError. What was
        read and not acked stays pending: the same consumer gets it again.
        """
        if self._closed:
            return
        reason = f"graph {self._graph!r}: its queues are closed here: start the graph again"
        self._closed = reason
        if self._openings:
            await asyncio.wait(self._openings)
        for lane in self._bounded.values():
            await lane.aclose(reason, drain=False)
        for (queue, _), inbox in self._inboxes.items():
            await inbox.aclose(reason)
            self._ring(data_bell(self._keys.queue(queue)))
        await self._common.aclose(reason, drain=True)
        await self._let_calls_end()
        if self._link is not None:
            await self._link.client.aclose()

    async def _let_calls_end(self) -> None:
        """A call that is just connecting would leave its connection open behind us."""
        if self._calls:
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._idle.wait()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        names = ", ".join(self._specs) or "none"
        return f"<QueueManager {self._graph!r} on {self._server.describe()}: {names}>"

    def _spec(self, queue: str) -> QueueSpec:
        spec = self._specs.get(queue)
        if spec is None:
            known = ", ".join(map(repr, self._specs)) or "none"
            raise QueueError(f"queue {queue!r}: not in graph {self._graph!r}, which has {known}")
        return spec

    def _client(self) -> Any:
        return self._linked().client

    def _linked(self) -> Link:
        loop = asyncio.get_running_loop()
        if self._closed:
            raise QueueError(self._closed)
        if self._link is None:
            self._link, self._loop = self._connect(), loop
        if self._loop is not loop:
            raise QueueError(
                f"graph {self._graph!r}: this manager belongs to another event loop: "
                f"open one with server.manager(...)"
            )
        return self._link

    def _connect(self) -> Link:
        link: Link = self._server.connect()
        if self._virtual and not link.can_be_virtual:
            raise QueueError(
                f"graph {self._graph!r}: {link.where} cannot follow virtual time: omit redis="
            )
        return link

    @contextmanager
    def _clear_errors(self, subject: str) -> Iterator[None]:
        where = self._linked().where
        self._calls += 1
        try:
            with clear_errors(subject, where):
                yield
        except Exception:
            # Closing breaks the connection of who is still at it: that is the reason then.
            if self._closed:
                raise QueueError(self._closed) from None
            raise
        finally:
            self._calls -= 1
            if self._closed and not self._calls:
                self._idle.set()

    async def _open(self, spec: QueueSpec, groups: Iterable[str]) -> None:
        """Create the groups once per manager; later losses are seen by the readers."""
        missing = self._not_open(spec, groups)
        if missing:
            # shielded: redis-py may swallow a cancellation that hits it while it connects
            work = create_groups(self._client(), self._keys.queue(spec.name), missing)
            opening = asyncio.ensure_future(work)
            self._openings.add(opening)
            opening.add_done_callback(self._opened)
            await asyncio.shield(opening)
            self._groups |= {(spec.name, group) for group in missing}

    def _opened(self, opening: asyncio.Future[None]) -> None:
        self._openings.discard(opening)
        if not opening.cancelled():
            opening.exception()  # whoever waited has met it

    def _not_open(self, spec: QueueSpec, groups: Iterable[str]) -> list[str]:
        return [group for group in groups if (spec.name, group) not in self._groups]

    def _next_id(self) -> str:
        """Redis numbers messages by its own clock, in virtual time by ours."""
        if self._clock is None or not self._virtual:
            return "*"
        return f"{int(round(self._clock.time() * 1000, 3))}-*"

    async def _transact(self, jobs: Sequence[Job]) -> list[Any]:
        return await transact(self._linked_for_closing(), jobs)

    def _linked_for_closing(self) -> Link:
        return self._link if self._link is not None else self._linked()

    def _ring(self, bell: str) -> None:
        if self._link is not None:
            self._link.ring(bell)

    def _ack_job(self, spec: QueueSpec, ids: Sequence[str], reader: str) -> Job:
        return ack_job(spec, self._keys.queue(spec.name), spec.group_of(reader), ids)

    def _lane(self, spec: QueueSpec) -> Lane[Job, Any]:
        """A full queue must hold up neither acks nor pushes to other queues."""
        if spec.maxlen is None:
            return self._common
        if spec.name not in self._bounded:
            push = BoundedPush(self._linked(), spec, self._keys.queue(spec.name), spec.maxlen)
            self._bounded[spec.name] = Lane(push.send, limit=min(_BATCH, spec.maxlen))
        return self._bounded[spec.name]

    def _inbox(self, spec: QueueSpec, reader: str) -> Inbox:
        if (spec.name, reader) not in self._inboxes:
            self._inboxes[spec.name, reader] = self._new_inbox(spec, reader)
        return self._inboxes[spec.name, reader]

    def _new_inbox(self, spec: QueueSpec, reader: str) -> Inbox:
        link = self._linked()
        stream = StreamReader(
            link,
            spec,
            self._keys,
            reader=reader,
            consumer=self._consumer,
            submit=self._common.submit,
            next_id=self._next_id,
        )
        listen = partial(link.listen, data_bell(self._keys.queue(spec.name)))
        return Inbox(stream.look, listen=listen, patience=link.patience)
