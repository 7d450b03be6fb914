"""How does a loop push to a queue, read from it and settle what it read?

At least once: a message stays until it is acked, and the next reader gets first what
one that has died had not acked. Each host opens a manager of its own on its own event
loop; they meet in the server. While the server is away a `patient` manager waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from flownb.arguments import TEXT, TIMEOUT, Rule, checked, whole
from flownb.errors import QueueError
from flownb.queues.connection import Connection
from flownb.queues.payload import dumps, loads
from flownb.queues.receive.claims import LeaseRenewal
from flownb.queues.receive.inbox import Inbox
from flownb.queues.receive.reader import StreamReader, peeked
from flownb.queues.receive.survey import is_read
from flownb.queues.redis.groups import Groups, queue_stats
from flownb.queues.redis.jobs import (
    NOT_OURS,
    Job,
    Push,
    data_channel,
    dead_letter_job,
    forgotten,
    room_channel,
)
from flownb.queues.redis.streams import Keys, groups_of
from flownb.queues.send.dead_letters import DeadLetters, DeadLetterStream
from flownb.queues.send.posts import Posts
from flownb.queues.send.transaction import Transactions
from flownb.queues.servers.opening import open_server
from flownb.queues.spec import (
    MANUAL,
    Clock,
    Lease,
    Message,
    QueueSpec,
    QueueSpecs,
    QueueStats,
    Unread,
)

if TYPE_CHECKING:
    from flownb.model.policies import Prefetch

_COUNT = whole("messages", least=1)
_IDS = Rule(
    "give a list of message ids",
    lambda ids: isinstance(ids, Sequence) and not isinstance(ids, (str, bytes))
    and all(isinstance(one, str) for one in ids),
)  # fmt: skip
_GOODBYE = 1.0  # seconds that a server has for our last commands, less what it was silent
_LEAST, _WORD = 0.2, 0.05  # seconds that it has all the same, and for each part of them
_ONCE = 5.0  # seconds in which a lost queue is reported once
_UNHURRIED = 0.02  # seconds between looks whether all was given out, while it was not


class QueueManager:
    """The queues of one graph, for one event loop.

    `server` is what `open_server` returns or accepts. `consumer` is what this host is
    called in Redis. A `patient` manager waits while the server is away (`away` says so),
    any other raises QueueUnavailable.

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
        patient: bool = False,
    ) -> None:
        self._graph = graph
        self._specs = QueueSpecs(graph, specs)
        self._keys = Keys(namespace, graph)
        self._places: dict[str, tuple[QueueSpec, str, tuple[str, ...]]] = {}
        """What each push needs to know of its queue: the spec, the stream, its groups."""
        self._consumer = consumer
        self._replies_until = 0.0
        self._on_unread: Callable[[Unread], None] = lambda _: None
        self._virtual = bool(getattr(clock, "virtual", False))
        server = server if hasattr(server, "connect") else open_server(server)
        self._to = Connection(server, keys=self._keys, virtual=self._virtual, patient=patient)
        self._groups = Groups(self._to.create_groups)
        self._to.came_back = self._came_back
        self._on_lost: Callable[[str], None] = lambda _: None
        self._lost: dict[str, float] = {}
        self._streams: dict[tuple[str, str], StreamReader] = {}
        self._inboxes: dict[tuple[str, str], Inbox] = {}
        self._lease_renewal = LeaseRenewal(self._to, self._streams)
        self.posts = Posts(
            self._to, self._keys, self._specs, self._groups,
            clock=clock if self._virtual else None, hands=self._streams,
        )  # fmt: skip
        self._transactions = Transactions(
            self._to, common=self.posts.common, next_id=self.posts.next_id, spec=self._spec
        )
        self.dead_letters = DeadLetterStream(
            self._to, self._keys, hold=self.hold, transactions=self._transactions
        )

    @property
    def away(self) -> str:
        """Since when the server is away, in words; "" while it is there. From any thread."""
        return self._to.away

    def on_absence(self, callback: Callable[[str], None]) -> None:
        """Have `callback` called with the server's address when it goes, "" when it is back."""
        self._to.on_absence = callback

    def on_unread(self, callback: Callable[[Unread], None]) -> None:
        """Have `callback` called for each message that goes to the dead letters unread."""
        self._on_unread = callback

    def on_lost(self, callback: Callable[[str], None]) -> None:
        """Have `callback` called with a queue that the server has forgotten, with its backlog."""
        self._on_lost = callback

    def _report_lost(self, queue: str) -> None:
        """Once, though several may find it."""
        now = asyncio.get_running_loop().time()
        if now - self._lost.get(queue, -_ONCE) >= _ONCE:
            self._lost[queue] = now
            self._on_lost(queue)

    async def _came_back(self) -> None:
        """The server is there again: ask for all groups anew, and see which streams are not."""
        keys = self._groups.forget()
        there = await self._to.link.looks.exchange([("EXISTS", key) for key in keys])
        gone = {key for key, found in zip(keys, there, strict=True) if found == 0}
        for spec in self._specs.values():
            if self._keys.of(spec) in gone:
                self._report_lost(spec.name)

    def on_room(self, callback: Callable[[], None]) -> None:
        """Have `callback` called when there may be room in a queue that was full."""
        self.posts.on_room = self._transactions.on_room = callback

    @property
    def waits_for_room(self) -> str:
        """The name of a full queue that a push of ours waits for; "" if none does."""
        return self.posts.waits_for_room or self._transactions.waits_for_room

    def _report_unread(self, unread: Unread) -> None:
        self._on_unread(unread)

    async def push(self, queue: str, data: Any, *, meta: dict[str, Any] | None = None) -> str:
        """Push one message; its id, once Redis has acknowledged it.

        Pushes (and acks) of one manager share pipelines: one is on its way at a time,
        and what is pushed meanwhile, up to 100, goes with the next. That batches as
        much as a timer would and adds no latency. Returns "" for a message that
        `when_full="drop_newest"` dropped. Cancelled, or when the server went away, it may
        or may not be in the queue; a patient manager pushes it again, maybe twice (once into a
        queue with `maxlen`, unless it drops its oldest; "0-0" if its id was lost meanwhile).

        Raises QueueError for what is not JSON (with the path of the field), does not
        fit `model`, or, with `when_full="error"`, does not fit into the queue.
        """
        push = self.hold(queue, data, meta=meta)
        with self._to.errors(f"queue {queue!r}"):
            reply = await self.posts.submit(push)
        return reply.decode() if isinstance(reply, bytes) else str(reply)

    def hold(self, queue: str, data: Any, *, meta: dict[str, Any] | str | None = None) -> Push:
        """Check a message, and make it ready to go; `meta` may be its JSON text already."""
        if not isinstance(queue, str) or (place := self._places.get(queue)) is None:
            spec = self._spec(queue)
            place = self._places[queue] = spec, self._keys.of(spec), spec.known_groups
        spec, key, groups = place
        text = dumps(data, queue=queue, model=spec.model, codec=spec.codec)
        if isinstance(meta, dict):
            meta = dumps(meta, queue=queue, what="meta") if meta else None
        return Push(spec, key, text, meta, self._groups.missing(key, groups))

    def hold_back(self, queue: str, data: Any, *, meta: dict[str, Any] | None = None) -> Push:
        """Check a message now, for `settle` to push it with an ack; raises what `push` raises."""
        push = self.hold(queue, data, meta=meta)
        if push.spec.maxlen is not None and push.spec.when_full in {"error", "drop_oldest"}:
            raise QueueError(
                f"queue {queue!r}: a loop with transactional=True pushes when its item has "
                f"settled, too late for when_full={push.spec.when_full!r}: use 'block' or "
                f"'drop_newest'"
            )
        return push

    async def settle(
        self,
        message: Message,
        pushes: Sequence[Push],
        *,
        reader: str,
        also: Sequence[tuple[str, str]] = (),
    ) -> bool:
        """Push what an item held back and ack its message, and others, in one MULTI.

        `also` are further (queue, message id) to ack. False if one of them is not ours any
        more, because we were silent for longer than its lease: then nothing is pushed or acked,
        who has it now does that, and what is still ours is delivered to us again.
        """
        read = ((message.queue, message.id), *also)
        with self._to.errors(f"loop {reader!r}"):
            ack, undone = self._settling(message, reader)
            more = [self._owned_ack(queue, id_, reader) for queue, id_ in also]
            mine = await self._transactions.send(reader, pushes, [*more, ack], undone)
        for push in pushes if mine else ():
            self._groups.add(push)
        for queue, id_ in read:
            if not mine and (queue, reader) in self._streams:
                self._streams[queue, reader].lost([id_])
            self.posts.let_go(queue, [id_], reader)
        return mine

    def _settling(self, message: Message, reader: str) -> tuple[Job, Callable[[], Any]]:
        """What settles a message, and whether that is still to be done."""
        if message.letter:
            return self.dead_letters.settling(reader, message.id)
        stream = self._stream(self._spec(message.queue), reader)
        undone = partial(stream.is_pending, message.id)
        return self._owned_ack(message.queue, message.id, reader), undone

    def _owned_ack(self, queue: str, message_id: str, reader: str) -> Job:
        """What acks a message if it is still ours."""
        owns = self._stream(self._spec(queue), reader).owns([message_id])
        return replace(self.posts.ack_job(queue, [message_id], reader), owns=(owns,))

    async def pop(
        self,
        queue: str,
        timeout: float | None = None,
        *,
        reader: str = MANUAL,
        lease: Lease | None = None,
    ) -> Message | None:
        """One message, or None if there is none for `timeout` seconds (0: do not wait).

        It stays pending until it is acked. By hand from a cell, a broadcast queue is
        read beside its loops: what is popped there is missing nowhere else.
        """
        messages = await self.read(queue, reader=reader, count=1, timeout=timeout, lease=lease)
        return messages[0] if messages else None

    async def read(
        self,
        queue: str,
        *,
        reader: str,
        count: Prefetch,
        timeout: float | None,
        lease: Lease | None = None,
    ) -> list[Message]:
        """Up to `count` messages as soon as there is one, none after `timeout` seconds.

        "auto": as many as its reader can work on within its lease.

        May be cancelled at any moment: what had been on its way is kept for the next
        read. `reader` is the reading loop. While the server is away no timeout ends.
        """
        spec, where = self._spec(queue), f"queue {queue!r}"
        if count != "auto":
            count = checked(where, "count", count, _COUNT, QueueError)
        timeout = checked(where, "timeout", timeout, TIMEOUT, QueueError)
        with self._to.errors(f"queue {queue!r}"):
            await self._groups.make(
                self._keys.of(spec), (*spec.known_groups, spec.group_of(reader))
            )
            stream = self._stream(spec, reader)
            stream.lease = lease or stream.lease
            self._lease_renewal.start()
            most = stream.prefetch() if count == "auto" else count
            return await self._inboxes[queue, reader].take(most, timeout)

    async def drained(self, queue: str, *, reader: str) -> None:
        """Until the reader's group has been given everything and no other loop holds any of it."""
        spec = self._spec(queue)
        key = self._keys.of(spec)
        with self._to.errors(f"queue {queue!r}"):
            await self._groups.make(
                self._keys.of(spec), (*spec.known_groups, spec.group_of(reader))
            )
            others = self._stream(spec, reader).others_hold
            while True:
                # We listen before we look, so no ack in between is missed.
                with self._to.link.listen(room_channel(key)) as notifier:
                    stats = await self.stats(queue)
                    lag = sum(g.lag for g in stats.groups if g.group == spec.group_of(reader))
                    if not lag and not await self._to.retry_until_back(others):
                        return
                    if lag and not self._virtual:  # else each ack would have us look
                        await asyncio.sleep(_UNHURRIED)
                    await notifier.wait(self._to.link.drain_poll)

    async def ack(self, queue: str, message_ids: Sequence[str], *, reader: str = MANUAL) -> None:
        """Settle messages: they are deleted (broadcast: with the last group's ack)."""
        checked(f"queue {queue!r}", "message_ids", message_ids, _IDS, QueueError)
        if not message_ids:
            return
        with self._to.errors(f"queue {queue!r}"):
            await self.posts.common.submit(self.posts.ack_job(queue, message_ids, reader))
        self.posts.let_go(queue, message_ids, reader)

    async def dead_letter(
        self, message: Message | None, *, loop: str, record: dict[str, Any], reader: str = MANUAL
    ) -> str:
        """Keep a failed item in `<loop>.dead` and ack its message, in one MULTI.

        The item of a source loop has no message: `message=None` only keeps it. What
        of `record` is not JSON is kept as its repr. Returns the dead letter's id.
        """
        ack = undone = None
        with self._to.errors(f"loop {loop!r}"):
            if message is not None:
                ack, undone = self._settling(message, reader)
                if not message.letter:
                    item = self._as_pushed(message.queue, record.get("item"))
                    queue = {"queue": message.queue, "message_id": message.id}
                    record = record | queue | {"item": item}
            job = dead_letter_job(self._keys, loop, self.posts.next_id(), record, ack)
            reply = await self._transactions.submit(loop, replace(job, undone=undone))
        if message is not None:
            self.posts.let_go(message.queue, [message.id], reader)
        return "" if reply is NOT_OURS else str(reply.decode())

    def _as_pushed(self, queue: str, item: Any) -> Any:
        """An item as the JSON of its queue's model, which builds it again when it is replayed."""
        spec = self._specs.get(queue)
        if spec is None or spec.model is None:
            return item
        try:
            return loads(dumps(item, queue=queue, model=spec.model).encode())
        except (QueueError, ValueError):  # its nodes have changed it
            return item

    async def dead(self, loop: str, count: int = 100) -> DeadLetters:
        """The last `count` dead letters of a loop, oldest first, each with its `id`."""
        checked("dead()", "loop", loop, TEXT, QueueError)
        count = checked(f"dead({loop!r})", "count", count, _COUNT, QueueError)
        return await self.dead_letters.last(loop, count)

    def is_competing(self, queue: str | None) -> bool:
        """Whether there is such a queue, each message of which goes to one reader only."""
        spec = self._specs.get(queue or "")
        return spec is not None and spec.mode == "competing"

    def is_open(self, queue: str) -> bool:
        """Whether a queue takes any number of messages and needs nothing made for the next."""
        spec = self._spec(queue)
        return spec.maxlen is None and not self._groups.missing(
            self._keys.of(spec), spec.known_groups
        )

    async def stats(self, queue: str) -> QueueStats:
        """Depth, lag and pending of a queue, for each group too; see `QueueStats`."""
        spec = self._spec(queue)
        key = self._keys.of(spec)
        with self._to.errors(f"queue {queue!r}"):
            return await self._to.retry_until_back(
                lambda: queue_stats(self._to.link.looks, spec, key)
            )

    async def clear(self, queue: str) -> int:
        """Drop all messages, delivered ones too; how many there were."""
        key = self._keys.of(self._spec(queue))
        with self._to.errors(f"queue {queue!r}"):
            groups = await self._to.retry_until_back(lambda: groups_of(self._to.link.looks, key))
            commands: list[tuple[str, ...]] = [("XLEN", key), ("XTRIM", key, "MAXLEN", "0")]
            # A new group is the one way to forget what is pending in a single step.
            for name in [group.name for group in groups]:
                commands += [("XGROUP", "DESTROY", key, name), ("XGROUP", "CREATE", key, name, "$")]
            dropped: int = await self.posts.common.submit(
                Job(tuple(commands), (room_channel(key),))
            )
        for (name, reader), inbox in self._inboxes.items():
            if name == queue:
                inbox.forget()
                self._streams[name, reader].drop_all()
        return dropped

    async def peek(self, queue: str, count: int) -> list[Message]:
        """The oldest messages of a queue, whoever has them; what cannot be read is left out."""
        spec = self._spec(queue)
        count = checked(f"queue {queue!r}", "count", count, _COUNT, QueueError)
        with self._to.errors(f"queue {queue!r}"):
            return await self._to.retry_until_back(
                lambda: peeked(self._to.link.looks, spec, self._keys.of(spec), count)
            )

    async def forget(self, queue: str, reader: str) -> int:
        """Remove a reader of a broadcast queue, with what only it had still to read."""
        spec = self._spec(queue)
        checked(f"queue {queue!r}", "reader", reader, TEXT, QueueError)
        if spec.mode == "competing":
            raise QueueError(
                f"queue {queue!r}: its readers share one backlog, so none can be forgotten: "
                f"clear({queue!r}) drops all of it"
            )
        key, group = self._keys.of(spec), spec.group_of(reader)
        with self._to.errors(f"queue {queue!r}"):
            line = self._to.link.looks
            names = [found.name for found in await groups_of(line, key)]
            if group not in names:
                raise QueueError(
                    f"queue {queue!r}: nobody reads it as {reader!r}; there are "
                    f"{', '.join(map(repr, names)) or 'none'}"
                )
            if await is_read(line, key, group):
                raise QueueError(
                    f"queue {queue!r}: {reader!r} reads it: stop that loop before it is forgotten"
                )
            gone = await forgotten(line, key, group)
        self._groups.forget()
        self._to.notify(room_channel(key))
        return gone

    def update_specs(self, specs: Iterable[QueueSpec]) -> None:
        """Take in queues that were added to the graph, or changed, since."""
        specs = list(specs)
        self._specs.add(specs)
        self._places.clear()
        for spec in specs:
            self._to.notify(room_channel(self._keys.of(spec)))

    async def aclose(self) -> None:
        """Send what was submitted, give up waiting, close the connections.

        Reads that wait, and pushes that wait for room, fail with QueueError. What was
        read and not acked stays pending: the same consumer gets it again.
        """
        if self._to.closed:
            return
        reason = f"graph {self._graph!r}: its queues are closed here: start the graph again"
        now = asyncio.get_running_loop().time()
        self._replies_until = now + max(_LEAST, _GOODBYE - self._to.silent)
        await self._to.give_up(reason)
        await self._in_time(self._groups.aclose())
        await self.posts.give_up_room(reason)
        still = {name: await inbox.aclose(reason) for name, inbox in self._inboxes.items()}
        await self._lease_renewal.aclose()
        self.posts.flush()
        batchers = self.posts.common, self._transactions
        await self._in_time(
            asyncio.gather(*[batcher.aclose(reason, drain=True) for batcher in batchers])
        )
        for batcher in batchers:
            await batcher.aclose(reason, drain=False)
        goodbyes = [stream.leave(still=still[name]) for name, stream in self._streams.items()]
        await self._in_time(asyncio.gather(self.posts.leave(), *goodbyes))
        for queue, _ in self._inboxes:
            self._to.notify(data_channel(self._keys.of(self._specs[queue])))
        await self._to.aclose()

    async def _in_time(self, work: Awaitable[object]) -> None:
        """A server that hangs holds up no stop: what it does not get stays pending."""
        left = max(_WORD, self._replies_until - asyncio.get_running_loop().time())
        with suppress(TimeoutError):
            async with asyncio.timeout(None if self._virtual else left):
                await work

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        names = ", ".join(self._specs) or "none"
        return f"<QueueManager {self._graph!r} on {self._to.server.describe()}: {names}>"

    def _spec(self, queue: str) -> QueueSpec:
        return self._specs[queue] if isinstance(queue, str) else self._specs.__missing__(queue)

    def _stream(self, spec: QueueSpec, reader: str) -> StreamReader:
        """The reader's side of a queue; with it comes the inbox that looks through it."""
        if (spec.name, reader) in self._streams:
            return self._streams[spec.name, reader]
        link = self._to.link
        stream = self._streams[spec.name, reader] = StreamReader(
            link,
            self._to.availability,
            spec,
            self._keys,
            reader=reader,
            consumer=self._consumer,
            submit=self._transactions.submit,
            next_id=self.posts.next_id,
            on_unread=self._report_unread,
            on_lost=self._report_lost,
        )
        listen = partial(link.listen, data_channel(self._keys.of(spec)))
        inbox = Inbox(stream.look, rouse=stream.rouse, listen=listen, patience=link.patience)
        self._inboxes[spec.name, reader] = inbox
        return stream
