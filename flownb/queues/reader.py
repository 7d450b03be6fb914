"""What does a reading loop get, in which order, and what happens to garbage?

First what an earlier life of the same consumer left un-acked, then what is new.
What cannot be decoded goes to the dead letters of the reading loop, and reading
goes on: a stranger's message must not stop a graph.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from flownb.queues.payload import lenient, loads
from flownb.queues.settle import Job, ack_job, trim_settled
from flownb.queues.spec import Message, QueueSpec
from flownb.queues.streams import (
    Entry,
    Keys,
    create_groups,
    group_is_gone,
    pending,
    read,
    xadd,
)

if TYPE_CHECKING:
    from flownb.queues.server import Link


class StreamReader:
    """One reader of one queue; `look` is made for an `Inbox`."""

    def __init__(
        self,
        link: Link,
        spec: QueueSpec,
        keys: Keys,
        *,
        reader: str,
        consumer: str,
        submit: Callable[[Job], Awaitable[Any]],
        next_id: Callable[[], str],
    ) -> None:
        self._client = link.client
        self._spec = spec
        self._keys = keys
        self._key = keys.queue(spec.name)
        self._reader = reader
        self._group = spec.group_of(reader)
        # Two loops of one host must not take each other's messages for their own.
        self._consumer = f"{consumer}/{reader}"
        self._submit = submit
        self._next_id = next_id
        self._left_behind: str | None = "0"
        """Up to where the own un-acked entries were read again; None when all were."""

    async def look(self, count: int, patience: float) -> tuple[bool, list[Message]]:
        """Up to `count` messages; False if there was nothing at all."""
        from redis.exceptions import ResponseError

        try:
            deliveries, entries = await self._left_over(count)
            if not entries:
                entries = await self._read(">", count, patience)
        except ResponseError as error:
            if not group_is_gone(error):
                raise
            await create_groups(self._client, self._key, (*self._spec.known_groups, self._group))
            return True, []
        messages = [await self._open(entry, deliveries.get(entry[0], 1)) for entry in entries]
        return bool(entries), [message for message in messages if message is not None]

    async def _read(self, after: str, count: int, patience: float = 0) -> list[Entry]:
        return await read(
            self._client,
            self._key,
            self._group,
            self._consumer,
            after=after,
            count=count,
            patience=patience,
        )

    async def _left_over(self, count: int) -> tuple[dict[str, int], list[Entry]]:
        """What this consumer was given before it was last closed, and how often."""
        if self._left_behind is None:
            return {}, []
        if self._left_behind == "0" and self._spec.mode == "broadcast":
            await trim_settled(self._client, self._key)
        entries = await self._read(self._left_behind, count)
        if not entries:
            self._left_behind = None
            return {}, []
        first, last = entries[0][0], entries[-1][0]
        self._left_behind = last
        return await pending(self._client, self._key, self._group, first, last), entries

    async def _open(self, entry: Entry, deliveries: int) -> Message | None:
        entry_id, fields = entry
        if not fields:
            # Dropped or cleared while it was pending: only our claim is left of it.
            await self._submit(ack_job(self._spec, self._key, self._group, [entry_id]))
            return None
        try:
            return self._message(entry_id, fields, deliveries)
        except Exception as error:  # noqa: BLE001  a model's validators may raise anything
            await self._bury(entry_id, fields, deliveries, error)
            return None

    def _message(self, entry_id: str, fields: dict[bytes, bytes], deliveries: int) -> Message:
        if b"data" not in fields:
            raise ValueError("no field 'data': this was not pushed by flownb")
        payload = loads(fields[b"data"], model=self._spec.model)
        meta = loads(fields[b"meta"]) if b"meta" in fields else {}
        if not isinstance(meta, dict):
            raise TypeError("the field 'meta' is not a JSON object")
        return Message(entry_id, self._spec.name, payload, deliveries, meta)

    async def _bury(
        self, entry_id: str, fields: dict[bytes, bytes], deliveries: int, error: Exception
    ) -> None:
        record = {
            "loop": self._reader,
            "node": None,
            "iteration": None,
            "item": fields.get(b"data", repr(fields).encode()).decode(errors="backslashreplace"),
            "attempts": deliveries,
            "error": f"queue {self._spec.name!r}, message {entry_id}: {error}",
            "traceback": "",
        }
        ack = ack_job(self._spec, self._key, self._group, [entry_id])
        await self._submit(dead_letter_job(self._keys, self._reader, self._next_id(), record, ack))


def dead_letter_job(
    keys: Keys, loop: str, entry_id: str, record: dict[str, Any], ack: Job | None
) -> Job:
    """Keep a failed item, and settle its message (`ack`) in the same MULTI."""
    key = keys.dead(loop)
    add = xadd(key, entry_id, lenient(record), None)
    if ack is None:
        return Job((add,), key)
    return Job((add, *ack.commands), ack.ring, ack.sweep)


def dead_letter(entry: Entry) -> dict[str, Any]:
    """The record of a dead letter, with its `id`."""
    entry_id, fields = entry
    try:
        record = json.loads(fields[b"data"])
        return {"id": entry_id, **record}
    except (KeyError, TypeError, ValueError, RecursionError):
        return {"id": entry_id, "item": repr(fields), "error": "not a dead letter of flownb"}
