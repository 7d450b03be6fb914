"""Which messages does a reading loop get, in which order, and what of those it cannot read?

First what another consumer was given and will never ack, one message at a time, then
what is new. What cannot be decoded, or was delivered too often, goes to the dead letters
of the reading loop, and reading goes on: a stranger's message must not stop a graph.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from flownb import liveness
from flownb.errors import QueueError
from flownb.queues.payload import read_fields, read_meta
from flownb.queues.receive.claims import Claims, lease_time
from flownb.queues.redis.exchange import ask
from flownb.queues.redis.jobs import (
    NOT_OURS,
    Job,
    Ownership,
    ack_job,
    data_channel,
    dead_letter_job,
    trim_settled,
)
from flownb.queues.redis.refusals import is_away
from flownb.queues.redis.streams import (
    Keys,
    create_groups,
    entries_from,
    group_is_gone,
    groups_of,
    pending,
    read,
)
from flownb.queues.spec import MANUAL, Lease, Message, QueueSpec, Unread

if TYPE_CHECKING:
    from flownb.queues.connection import Availability
    from flownb.queues.redis.exchange import Entry, Exchange
    from flownb.queues.servers.link import Link

_ROUND = 0.5  # seconds between two looks for the messages of others, on average

_FETCHED = 16  # messages at once where no lease runs out

_LONGEST_TEXT = 100_000  # characters of a message that cannot be read, in its dead letter

Found = tuple[bool, list[Message]]


class StreamReader:
    """One reader of one queue; `look` is made for an `Inbox`."""

    def __init__(
        self,
        link: Link,
        presence: Availability,
        spec: QueueSpec,
        keys: Keys,
        *,
        reader: str,
        consumer: str,
        submit: Callable[[str, Job], Awaitable[Any]],
        next_id: Callable[[], str],
        on_unread: Callable[[Unread], None],
        on_lost: Callable[[str], None],
    ) -> None:
        self.lease = Lease()
        self._link, self._availability = link, presence
        self._spec = spec
        self._keys = keys
        self._key = keys.of(spec)
        self._reader = reader
        self._group = spec.group_of(reader)
        # Two loops of one host must not take each other's messages for their own.
        self.name = liveness.begin(f"{consumer}/{reader}")
        self._claims = Claims(link, self._key, self._group, self.name)
        self._wire = link.wire()
        self._submit = submit
        self._next_id, self._on_unread, self._on_lost = next_id, on_unread, on_lost
        self.hand: dict[str, None] = {}
        """The messages that were delivered to us and are not settled."""
        self._pace = Pace()
        self._empty = asyncio.Event()
        self._renewed = lease_time()
        self._unsure = self._orphaned = False
        self._next_round = -1.0
        self._departures = -1

    def prefetch(self) -> int:
        """How many messages to fetch at once where nobody said it."""
        leases = self._link.leases
        return self._pace.count(self.lease.visibility_timeout) if leases else _FETCHED

    # -- looking ---------------------------------------------------------------

    async def look(self, count: int, patience: float) -> Found:
        """Up to `count` messages; False if there was nothing at all."""
        return await self._availability.retry_until_back(lambda: self._look(count, patience))

    async def rouse(self) -> bool:
        """Have the server answer a look that waits there; False if none does.

        True also where that cannot be had: then the look ends by itself, a little later.
        """
        from redis.exceptions import RedisError

        number = self._wire.number
        if number is None:
            return True
        try:
            return bool(await ask(self._link.looks, "CLIENT", "UNBLOCK", str(number)))
        except (RedisError, OSError):
            return True

    async def _look(self, count: int, patience: float) -> Found:
        from redis.exceptions import ResponseError

        try:
            return await self._next(count, patience)
        except ResponseError as error:
            if not group_is_gone(error):
                raise
            self._on_lost(self._spec.name)
            await create_groups(
                self._link.looks, self._key, (*self._spec.known_groups, self._group)
            )
            return True, []
        except Exception as error:
            self._unsure |= is_away(error)
            raise

    async def _next(self, count: int, patience: float) -> Found:
        if self._unsure and (lost := await self._lost_replies()):
            return True, lost
        if self._is_time_for_a_round() and (taken := await self._from_others(patience)):
            return taken
        entries = await read(
            self._wire, self._key, self._group, self.name, count=count, patience=patience
        )
        return bool(entries), await self._opened((entry, 1) for entry in entries)

    async def _opened(self, delivered: Iterable[tuple[Entry, int]]) -> list[Message]:
        entries = list(delivered)
        if not self.hand:
            self._pace.began(lease_time())
        self.hand |= dict.fromkeys(entry[0] for entry, _ in entries)
        try:
            messages = [
                self._read_well(entry, deliveries) or await self._open(entry, deliveries)
                for entry, deliveries in entries
            ]
        except Exception:
            self._unsure = True
            self.settled(entry[0] for entry, _ in entries)
            raise
        return [message for message in messages if message is not None]

    async def _lost_replies(self) -> list[Message]:
        """What was delivered in a reply that was lost with its connection."""
        known = set(self.hand)  # now: what is settled before the reply comes was in hand, too
        rows = [row for row in await self._claims.pending_of_me() if row.id not in known]
        entries = await self._claims.fetch([row.id for row in rows]) if rows else []
        self._unsure = False
        return await self._opened(zip(entries, (row.deliveries for row in rows), strict=True))

    # -- what others leave -----------------------------------------------------

    def _is_time_for_a_round(self) -> bool:
        """Every half second where leases run out, else when somebody here has closed."""
        if self._orphaned:
            return True
        if self._link.leases:
            return lease_time() >= self._next_round
        return self._departures != self._link.departures

    async def _from_others(self, patience: float) -> Found | None:
        """One message of the dead; None if there is none."""
        if self._departures < 0 and self._spec.mode == "broadcast":
            await trim_settled(self._link.looks, self._key)
        # Jitter: the readers of a group shall not all find the same message.
        self._next_round = lease_time() + _ROUND * random.uniform(0.5, 1.5)
        self._departures = self._link.departures
        orphans = await self._claims.orphans(self.lease)
        self._orphaned = bool(orphans)
        if not orphans:
            return None
        if self.lease.careful and self.hand:
            await self._until_hand_is_empty(patience)
            return False, []
        claimed = await self._claims.claim(orphans[0], self.lease)
        if claimed is None:
            return True, []
        held, entry = claimed
        return True, await self._opened([(entry, held.deliveries)])

    async def _until_hand_is_empty(self, patience: float) -> None:
        """Wait until all messages in hand are settled, at most `patience` seconds."""
        self._empty.clear()
        if patience:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), patience)

    def settled(self, ids: Iterable[str]) -> None:
        """These messages are out of our hands."""
        before = len(self.hand)
        for entry_id in ids:
            self.hand.pop(entry_id, None)
        self._pace.settled(before - len(self.hand), lease_time())
        if not self.hand:
            self._empty.set()
            if self._orphaned:
                self._link.notify(data_channel(self._key))

    def drop_all(self) -> None:
        """The queue was cleared."""
        self.settled(tuple(self.hand))

    # -- leases ----------------------------------------------------------------

    async def renew(self) -> None:
        """Keep what is in hand, when a third of the lease is over."""
        due = self._renewed + self.lease.visibility_timeout / 3
        if not self.hand or lease_time() < due:
            return
        begun, before = lease_time(), set(self.hand)
        ours = await self._claims.renew()
        self._renewed = begun
        # What is ours and not in hand came in a reply that was lost, or comes just now.
        self._unsure |= not ours <= self.hand.keys()
        self.settled(before - ours)

    def owns(self, ids: Sequence[str]) -> Ownership:
        """What must hold for messages to be settled by us."""
        return Ownership(self._key, self._group, self.name, tuple(ids))

    def lost(self, ids: Iterable[str]) -> None:
        """These are not all ours any more; what is will be delivered to us once more."""
        self.settled(ids)
        self._unsure = True

    async def is_pending(self, entry_id: str) -> bool:
        """Whether Redis says that we hold a message, or has forgotten everybody who holds any."""
        from redis.exceptions import ResponseError

        try:
            return await self._claims.still_mine(entry_id)
        except ResponseError as error:
            if not group_is_gone(error):
                raise
            return True

    async def others_hold(self) -> int:
        """How many messages of the group other loops hold."""
        return await self._claims.others_hold()

    async def leave(self, *, still: bool) -> None:
        """Read no more: what we hold is there for others at once.

        What a person popped is not: that person is still there, as long as this process is.

        Our name goes with us if nothing can be delivered to it any more (`still`), else the
        next reader removes it.
        """
        from redis.exceptions import RedisError

        kept = self.hand and self._reader == MANUAL
        if not kept:
            liveness.end(self.name)
        self._link.depart()
        with suppress(RedisError, OSError):
            if self.hand and not kept:
                await self._claims.give_up()
            if still:
                await self._claims.leave()

    # -- opening ---------------------------------------------------------------

    def _read_well(self, entry: Entry, deliveries: int) -> Message | None:
        """The message of an entry, None if there is anything special about it."""
        if deliveries > self.lease.max_deliveries or not entry[1]:
            return None
        try:
            return self._message(*entry, deliveries)
        except Exception:  # noqa: BLE001 - it is read once more, and told
            return None

    async def _open(self, entry: Entry, deliveries: int) -> Message | None:
        entry_id, fields = entry
        if not fields:
            # Dropped or cleared while it was pending: only our claim is left of it.
            gone = ack_job(self._spec, self._key, self._group, [entry_id])
            await self._submit(self._reader, gone)
            self.settled([entry_id])
            return None
        try:
            message = self._message(entry_id, fields, deliveries)
        except Exception as error:  # noqa: BLE001  a stranger may write anything
            refused = self._refused(entry_id, str(error))
            refused.__cause__ = error.__cause__
            item, lossy = _as_it_came(fields)
            await self._dead_letter(entry_id, item, deliveries, refused, lossy=lossy)
            return None
        if deliveries > self.lease.max_deliveries:
            why = f"delivered {deliveries - 1} times and never settled: its readers died of it"
            item = read_fields(fields)  # as it was pushed: the model builds it again
            await self._dead_letter(entry_id, item, deliveries - 1, self._refused(entry_id, why))
            return None
        return message

    def _message(self, entry_id: str, fields: dict[bytes, bytes], deliveries: int) -> Message:
        return _message(self._spec, entry_id, fields, deliveries)

    def _refused(self, entry_id: str, why: str) -> QueueError:
        return QueueError(f"queue {self._spec.name!r}, message {entry_id}: {why}")

    async def _dead_letter(
        self, entry_id: str, item: Any, deliveries: int, error: QueueError, *, lossy: bool = False
    ) -> None:
        record = {
            "loop": self._reader,
            "node": None,
            "iteration": None,
            "item": item,
            "attempts": deliveries,
            "error": str(error),
            "traceback": "",
            "queue": self._spec.name,
            "message_id": entry_id,
        }
        if lossy:
            record["lossy"] = True
        ack = ack_job(self._spec, self._key, self._group, [entry_id])
        ack = replace(ack, owns=(self.owns([entry_id]),))
        letter = dead_letter_job(self._keys, self._reader, self._next_id(), record, ack)
        undone = partial(self.is_pending, entry_id)
        reply = await self._submit(self._reader, replace(letter, undone=undone))
        self.settled([entry_id])
        if reply is not NOT_OURS:
            self._on_unread(Unread(self._spec.name, item, deliveries, error))


def _message(
    spec: QueueSpec, entry_id: str, fields: dict[bytes, bytes], deliveries: int
) -> Message:
    payload = read_fields(fields, model=spec.model)
    return Message(entry_id, spec.name, payload, deliveries, read_meta(fields))


async def peeked(line: Exchange, spec: QueueSpec, key: str, count: int) -> list[Message]:
    """The oldest messages that can be read; nothing is delivered by that."""
    entries = entries_from(await ask(line, "XRANGE", key, "-", "+", "COUNT", str(count)))
    deliveries: dict[str, int] = {}
    for group in await groups_of(line, key) if entries else ():
        held = await pending(line, key, group.name, entries[0][0], entries[-1][0])
        deliveries |= {id_: max(n, deliveries.get(id_, 0)) for id_, n in held.items()}
    found = []
    for entry_id, fields in entries:
        with suppress(Exception):  # a stranger may write anything, and a model refuse it
            found.append(_message(spec, entry_id, fields, deliveries.get(entry_id, 0)))
    return found


def _as_it_came(fields: dict[bytes, bytes]) -> tuple[Any, bool]:
    """What a message that its model refused holds; of one that is no JSON a text, which says True.

    When the model is mended the first kind can be replayed.
    """
    try:
        return read_fields(fields), False
    except ValueError:
        text = fields.get(b"data", repr(fields).encode()).decode(errors="backslashreplace")
        return text[:_LONGEST_TEXT], True


_MOST: Final = 500  # messages; more make no exchange cheaper
_MOMENT: Final = 0.1  # seconds; an exchange takes a hundredth of it
_NEWS: Final = 0.2  # how much the last measurement counts


class Pace:
    """How many messages a reader fetches at once: what keeps it busy for a moment.

    A reader that knows nothing yet fetches one, then twice as many each time, up to 500. How long
    it works on a message is measured: what it fetches takes it a tenth of a second at most, so
    that other readers find something too, and half its lease at most. Times are seconds, `now`
    is a clock's.

    >>> pace = Pace()
    >>> pace.began(0.0)
    >>> [pace.count(30) for _ in range(3)]
    [1, 2, 4]
    >>> pace.settled(4, 0.1)
    >>> pace.count(30)
    4
    """

    def __init__(self) -> None:
        self._next, self._each = 1, 0.0
        self._since: float | None = None

    def began(self, now: float) -> None:
        """Messages came into an empty hand."""
        self._since = now

    def settled(self, count: int, now: float) -> None:
        """So many are out of it."""
        if self._since is None or not count:
            return
        each = (now - self._since) / count
        self._each = each if not self._each else self._each + _NEWS * (each - self._each)
        self._since = now

    def count(self, lease: float) -> int:
        """How many to fetch now."""
        fits = _MOST if not self._each else int(min(lease / 2, _MOMENT) / self._each)
        count = max(1, min(self._next, _MOST, fits))
        self._next = min(2 * self._next, _MOST)
        return count
