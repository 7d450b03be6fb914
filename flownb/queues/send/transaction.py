"""How do the pushes of an item leave together with its ack?

All in one MULTI: the item's messages are in their queues if and only if the message it
came from is settled. So a full queue holds it back, and so does a key that holds no stream
any more: a stranger has replaced it, the push would be refused and the ack done. Items that
settle together share a look at the keys, and the MULTI.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from flownb.errors import QueueError
from flownb.queues.notify import Backoff
from flownb.queues.redis.jobs import GONE, NOT_OURS, Job, Ownership, Push, joined, room_channel
from flownb.queues.redis.refusals import is_away
from flownb.queues.redis.streams import (
    count_dropped,
    group_is_gone,
    held_from,
    order,
    takeovers,
)
from flownb.queues.redis.watch import Watch
from flownb.queues.send.batcher import Batcher

if TYPE_CHECKING:
    from flownb.queues.connection import Connection
    from flownb.queues.redis.exchange import Command
    from flownb.queues.spec import QueueSpec


@dataclass(frozen=True, slots=True)
class Transaction:
    """What leaves together: pushes and acks of a loop; `undone` is asked after a lost answer.

    One that settles messages is sent only if all are still ours, one that moves an `entry`
    (stream, id) only if that is still there.
    """

    loop: str
    pushes: Sequence[Push]
    acks: Sequence[Job]
    undone: Callable[[], Awaitable[bool]] | None
    entry: tuple[str, str] | None = None
    apart: bool = False

    @property
    def owns(self) -> list[Ownership]:
        """What must be ours."""
        return [own for ack in self.acks for own in ack.owns]

    @property
    def targets(self) -> list[str]:
        """The streams that it pushes to."""
        into = (key for ack in self.acks for key in ack.into)
        return list(dict.fromkeys([*(push.key for push in self.pushes), *into]))


class Transactions:
    """Sends pushes and acks together; what waits for room holds up nothing for other queues."""

    def __init__(
        self,
        to: Connection,
        *,
        common: Batcher[Job, Any],
        next_id: Callable[[], str],
        spec: Callable[[str], QueueSpec],
    ) -> None:
        self._to, self._common, self._next_id, self._spec = to, common, next_id, spec
        self._batchers: dict[tuple[str, ...], Batcher[Transaction, Any]] = {}
        self._guard: Watch | None = None
        self._full: dict[tuple[str, ...], str] = {}
        """By batcher, the name of a queue that its items wait for."""
        self.on_room: Callable[[], None] = lambda: None

    @property
    def waits_for_room(self) -> str:
        """The name of a queue that an item waits for to settle; "" if none does."""
        return next(iter(self._full.values()), "")

    async def submit(self, loop: str, job: Job) -> Any:
        """The reply to a job of a loop, which may push to a stream beside its ack."""
        if not job.into:
            return await self._common.submit(job)
        return await self._submit(Transaction(loop, (), (job,), job.undone))

    async def send(
        self,
        loop: str,
        pushes: Sequence[Push],
        acks: Sequence[Job],
        undone: Callable[[], Awaitable[bool]],
    ) -> bool:
        """Push and ack in one MULTI; False if what is acked is not ours any more."""
        if pushes:
            return await self._submit(Transaction(loop, pushes, acks, undone)) is not NOT_OURS
        job = replace(joined((), acks, ""), whole=False, undone=undone)
        await self._common.submit(job)
        return True

    async def move(
        self,
        loop: str,
        entry: tuple[str, str],
        push: Push,
        ack: Job,
        undone: Callable[[], Awaitable[bool]],
    ) -> bool:
        """Push what an entry (stream, id) held, and ack, in one MULTI; False if it is gone.

        Of several who do it at once, one does. Whatever `when_full` says, it waits for room:
        the entry must not be lost on its way.
        """
        return await self._submit(Transaction(loop, [push], [ack], undone, entry)) is not GONE

    async def _submit(self, transaction: Transaction) -> Any:
        self._to.check_open()
        bounded = tuple(sorted(self._bounds([transaction])))
        if bounded not in self._batchers:
            backoff = Backoff(self._to.link.room_poll)
            self._batchers[bounded] = Batcher(partial(self._send, backoff))
        return await self._batchers[bounded].submit(transaction)

    def _bounds(self, transactions: Iterable[Transaction]) -> dict[str, QueueSpec]:
        """The queues with a `maxlen` among those that are pushed to, as they are now."""
        specs = {push.key: self._spec(push.spec.name) for p in transactions for push in p.pushes}
        return {key: spec for key, spec in specs.items() if spec.maxlen is not None}

    async def _send(self, backoff: Backoff, transactions: Sequence[Transaction]) -> Sequence[Any]:
        return await self._to.send(transactions, partial(self._try, backoff))

    async def _try(self, backoff: Backoff, transactions: Sequence[Transaction]) -> list[Any]:
        """The replies to the first of `transactions`; none, a while later, if they must wait."""
        from redis.exceptions import ResponseError, WatchError

        link, bounds = self._to.link, self._bounds(transactions)
        self._guard = self._guard or Watch(link.wire())
        choice = _Choice(transactions, bounds, self._next_id, where=link.where)
        # We listen before the depth is read, so no ack in between is missed.
        with link.listen(*map(room_channel, bounds)) as notifier:
            try:
                replies = await self._guard.send(
                    choice.keys, choice.looks, choice.choose, busy=choice.busy
                )
            except ResponseError as error:  # it does not say of which item
                choice.jobs.clear()
                if is_away(error):
                    raise
                return (
                    [error]
                    if len(transactions) == 1
                    else await self._try(backoff, transactions[:1])
                )
            except WatchError:  # somebody pushed or acked meanwhile, so somebody got on
                choice.jobs.clear()
                return []
            finally:
                for name in dict.fromkeys(name for job in choice.jobs for name in job.channels):
                    link.notify(name)
            if not choice.replies:
                self._full[tuple(sorted(bounds))] = next(iter(bounds.values())).name
                await backoff.wait(notifier)
                return []
        backoff.begin_anew()
        if self._full.pop(tuple(sorted(bounds)), ""):
            self.on_room()
        await self._to.sweep(choice.jobs)
        return choice.all_replies(replies)

    async def aclose(self, reason: str, *, drain: bool) -> None:
        """Take no more; let what need not wait for room go out (`drain`), and fail the rest."""
        for bounded, batcher in list(self._batchers.items()):
            await batcher.aclose(reason, drain=drain and not bounded)


class _Choice:
    """Which transactions can go now, in order: the first that must wait holds up the rest.

    What an item pushes to one queue beyond its `maxlen` can never fit at once: then an
    empty queue is room enough.
    """

    def __init__(
        self,
        transactions: Sequence[Transaction],
        bounds: dict[str, QueueSpec],
        next_id: Callable[[], str],
        *,
        where: str,
    ) -> None:
        self._wanted, self._bounds, self._next_id = transactions, bounds, next_id
        self._where = where
        self._targets = list(dict.fromkeys(key for p in transactions for key in p.targets))
        self._entries = list(dict.fromkeys(p.entry for p in transactions if p.entry is not None))
        self._owned = _owned(own for p in transactions for own in p.owns)
        self.replies: list[Any] = []
        """The reply to each transaction that need not wait: an error, or the job that goes."""
        self.jobs: list[Job] = []

    @property
    def keys(self) -> list[str]:
        """What must not change before they go."""
        owners = (takeovers(key) for key, _, _ in self._owned)
        return list(dict.fromkeys([*self._bounds, *(key for key, _ in self._entries), *owners]))

    @property
    def busy(self) -> list[str]:
        """What should not change: it may be pushed to, but has to stay a stream."""
        return [key for key in self._targets if key not in self._bounds]

    @property
    def looks(self) -> list[Command]:
        """What has to be known of the keys."""
        return [
            *(("TYPE", key) for key in self._targets),
            *(("XLEN", key) for key in self._bounds),
            *(("XRANGE", key, id_, id_) for key, id_ in self._entries),
            *(_held(*whose, ids) for whose, ids in self._owned.items()),
        ]

    def choose(self, looked: list[Any]) -> list[Job]:
        """The jobs that go, given the reply to each look."""
        found = iter(looked)
        kinds = {key: next(found) for key in self._targets}
        room = {key: _room(spec, next(found)) for key, spec in self._bounds.items()}
        gone: set[Any] = {entry for entry in self._entries if not next(found)}
        ours = {whose: _ids(next(found), ids) for whose, ids in self._owned.items()}
        for transaction in self._wanted:
            wrong = next((key for key in transaction.targets if kinds[key] not in _FINE), None)
            if wrong is not None:
                self.replies.append(self._not_a_queue(transaction.loop, wrong, kinds[wrong]))
            elif transaction.entry is not None and transaction.entry in gone:
                self.replies.append(GONE)
            elif not all(ours[own[:3]].issuperset(own.ids) for own in transaction.owns):
                self.replies.append(NOT_OURS)
            elif self._must_wait(transaction, room):
                break
            else:
                kept = self._kept(transaction, room)
                job = joined(kept, transaction.acks, self._next_id())
                self._take(_counting(job, transaction.pushes, kept))
                gone.add(transaction.entry)
        return self.jobs

    def _take(self, job: Job) -> None:
        self.jobs.append(job)
        self.replies.append(job)

    def all_replies(self, sent: Sequence[Any]) -> list[Any]:
        """The reply to each transaction, with the replies to the jobs that went."""
        left = iter(sent)
        return [next(left) if isinstance(reply, Job) else reply for reply in self.replies]

    def _not_a_queue(self, loop: str, key: str, kind: Any) -> Exception:
        if isinstance(kind, Exception):
            return kind
        return QueueError(
            f"loop {loop!r}: the key {key!r} at {self._where} holds a {kind.decode()}, no stream "
            f"any more: nothing was pushed, and the message is kept: delete or rename that key, "
            f"then orch.start({loop!r})"
        )

    def _must_wait(self, transaction: Transaction, room: dict[str, int]) -> bool:
        wanted = Counter(push.key for push in transaction.pushes if push.key in room)
        return any(
            room[key] < min(count, self._bounds[key].maxlen or count)
            for key, count in wanted.items()
            if self._bounds[key].when_full == "block" or transaction.entry is not None
        )

    def _kept(self, transaction: Transaction, room: dict[str, int]) -> list[Push]:
        """All but what a queue drops when it is full."""
        kept = []
        for push in transaction.pushes:
            if push.key in room:
                drops = self._bounds[push.key].when_full == "drop_newest"
                if drops and transaction.entry is None and room[push.key] <= 0:
                    continue
                room[push.key] -= 1
            kept.append(push)
        return kept


def _counting(job: Job, pushes: Sequence[Push], kept: Sequence[Push]) -> Job:
    """The job, and what counts the pushes that were dropped."""
    left = Counter(push.key for push in pushes) - Counter(push.key for push in kept)
    return replace(
        job, commands=(*job.commands, *(count_dropped(key, n) for key, n in left.items()))
    )


_Whose = tuple[str, str, str]
"""A stream, a group of it, a consumer of that."""


def _owned(owns: Iterable[Ownership]) -> dict[_Whose, set[str]]:
    found: dict[_Whose, set[str]] = {}
    for own in owns:
        found.setdefault(own[:3], set()).update(own.ids)
    return found


def _held(key: str, group: str, consumer: str, ids: set[str]) -> Command:
    """What is asked of the messages that a consumer believes to have."""
    first, last = min(ids, key=order), max(ids, key=order)
    return ("XPENDING", key, group, first, last, _MOST, consumer)


def _ids(reply: Any, asked: set[str]) -> set[str]:
    """Those that it has. A server that has forgotten the group has forgotten all owners, too."""
    if isinstance(reply, Exception):
        if not group_is_gone(reply):
            raise reply
        return asked
    return {held_from(row).id for row in reply}


_MOST: Final = "100000"  # messages in the hands of one consumer
_FINE: Final = (b"stream", b"none")


def _room(spec: QueueSpec, depth: Any) -> int:
    """How many more fit; where there is no depth there is no queue, and that is the error then."""
    return (spec.maxlen or 0) - depth if isinstance(depth, int) else 0
