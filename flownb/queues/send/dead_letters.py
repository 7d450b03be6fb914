"""Where are failed items kept, and how do they come back? In the dead letters of their loop.

Each loop has a stream of dead letters, `<loop>.dead`. A letter is written in the MULTI
that acks its message, and leaves the stream in the MULTI that pushes its item again. A loop
keeps its last 100,000, about; what is older is dropped.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from flownb.errors import QueueError
from flownb.queues.redis.exchange import ask, ask_all
from flownb.queues.redis.jobs import Job
from flownb.queues.redis.streams import Keys, entries_from

if TYPE_CHECKING:
    from flownb.queues.connection import Connection
    from flownb.queues.redis.exchange import Entry, Exchange
    from flownb.queues.redis.jobs import Push
    from flownb.queues.send.transaction import Transactions

_PAGE: Final = 1000

Replay = Callable[[list[dict[str, Any]]], Awaitable[int]]


class DeadLetters(list[dict[str, Any]]):
    """The dead letters of a loop, oldest first.

    Each is a dict with `id`, `loop`, `node`, `iteration`, `item`, `attempts`, `error` and
    `traceback`; one that came through a queue also says `queue` and `message_id`. `lossy`
    marks an item that was not JSON: what is kept of it is a text, or lists in place of tuples.
    """

    def __init__(self, loop: str, letters: list[dict[str, Any]], replay: Replay) -> None:
        super().__init__(letters)
        self._loop, self._replay = loop, replay

    async def replay(self, *ids: str) -> int:
        """Offer the items of these letters (default: all in this list) to their loop again.

        Returns how many: a letter that is gone is not offered again. It is gone when its item
        was pushed to the queue it came from; for a loop that makes its items itself, or reads
        a broadcast queue, when the item has settled. Waits for room in a full queue. Raises
        QueueError, and offers none, if one of them cannot be offered.
        """
        wanted = set(ids)
        chosen = [letter for letter in self if not ids or letter["id"] in wanted]
        lossy = [letter["id"] for letter in chosen if letter.get("lossy")]
        if lossy:
            raise QueueError(
                f"loop {self._loop!r}: dead letters {', '.join(lossy)} hold a text in place of "
                f"an item that was not JSON: name the ids to replay, as in replay({lossy[0]!r})"
            )
        return await self._replay(chosen)


class DeadLetterStream:
    """The dead letters of one graph's loops."""

    def __init__(
        self, to: Connection, keys: Keys, *, hold: Callable[..., Push], transactions: Transactions
    ) -> None:
        self._to, self._keys, self._hold, self._transactions = to, keys, hold, transactions

    async def last(self, loop: str, count: int) -> DeadLetters:
        """The last `count` dead letters of a loop, oldest first."""
        key = self._keys.dead(loop)
        with self._to.errors(f"loop {loop!r}"):
            newest = await self._to.retry_until_back(
                lambda: ask(self._line, "XREVRANGE", key, "+", "-", "COUNT", str(count))
            )
        letters = [dead_letter(entry) for entry in entries_from(reversed(newest))]
        return DeadLetters(loop, letters, partial(self.replay, loop))

    async def replay(self, loop: str, letters: Sequence[dict[str, Any]]) -> int:
        """Push the items of letters to the queues they came from; how many there still were.

        Each leaves the dead letters in the MULTI that pushes it; one that has left is not
        pushed again. Raises QueueError for an item that came from no queue of this graph.
        """
        pushes = [self._hold(letter.get("queue") or "", letter["item"]) for letter in letters]
        moves = [self._move(loop, *pair) for pair in zip(letters, pushes, strict=True)]
        with self._to.errors(f"loop {loop!r}"):
            moved = await asyncio.gather(*moves, return_exceptions=True)
            for result in moved:
                if isinstance(result, BaseException):
                    raise result
        return moved.count(True)

    async def _move(self, loop: str, letter: dict[str, Any], push: Push) -> bool:
        forget, undone = self.settling(loop, letter["id"])
        entry = self._keys.dead(loop), letter["id"]
        return await self._transactions.move(loop, entry, push, forget, undone)

    async def still_there(self, loop: str, ids: Sequence[str]) -> set[str]:
        """Which letters have not left the dead letters of their loop."""
        there: set[str] = set()
        with self._to.errors(f"loop {loop!r}"):
            for first in range(0, len(ids), _PAGE):
                some = ids[first : first + _PAGE]
                there |= await self._to.retry_until_back(partial(self._those_there, loop, some))
        return there

    async def _those_there(self, loop: str, ids: Sequence[str]) -> set[str]:
        key = self._keys.dead(loop)
        found = await ask_all(self._line, [("XRANGE", key, id_, id_) for id_ in ids])
        return {letter_id for letter_id, entry in zip(ids, found, strict=True) if entry}

    async def forget(self, loop: str, letter_id: str) -> None:
        """Take a letter out of the dead letters of a loop."""
        with self._to.errors(f"loop {loop!r}"):
            job, undone = self.settling(loop, letter_id)
            await self._transactions.send(loop, [], [job], undone)

    def settling(self, loop: str, letter_id: str) -> tuple[Job, Callable[[], Awaitable[bool]]]:
        """What takes a letter out of the stream, and whether that is still to be done."""
        key = self._keys.dead(loop)
        undone = partial(self._is_there, loop, letter_id)
        return Job((("XDEL", key, letter_id),), (key,)), undone

    async def _is_there(self, loop: str, letter_id: str) -> bool:
        return bool(await ask(self._line, "XRANGE", self._keys.dead(loop), letter_id, letter_id))

    @property
    def _line(self) -> Exchange:
        return self._to.link.looks


def dead_letter(entry: Entry) -> dict[str, Any]:
    """The record of a dead letter, with its `id`."""
    entry_id, fields = entry
    try:
        record = json.loads(fields[b"data"])
        return {"id": entry_id, **record}
    except (KeyError, TypeError, ValueError, RecursionError):
        return {
            "id": entry_id,
            "item": repr(fields),
            "error": "not a dead letter of flownb",
            "lossy": True,
        }
