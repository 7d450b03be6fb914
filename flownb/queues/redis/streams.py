"""How is a queue written down in Redis? As a stream with a consumer group for each reading loop.

A dead letter is an entry of the stream `<loop>.dead`. What all parts need of Redis' commands is
here; those of one job are in `jobs`, `bounded` and `dead_letters`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flownb.errors import QueueError, QueueUnavailable
from flownb.queues.redis.exchange import batch_of_entries
from flownb.redaction import redacted, scrub

if TYPE_CHECKING:
    from flownb.queues.redis.exchange import Entry, Exchange

_PAGE = 1000


# What Redis, Valkey and fakeredis say when a group or its stream has gone, also
# to a reader that was blocked on it at that moment.
_GROUP_GONE = ("NOGROUP", "UNBLOCKED", "requires the key to exist")


# A full disk, too few replicas, a script that runs and runs.
_FOR_NOW = ("MISCONF ", "NOREPLICAS ", "BUSY ")


@dataclass(frozen=True, slots=True)
class Keys:
    """The names of one graph's streams.

    >>> Keys("flownb", "weather").queue("wet_days")
    'flownb:weather:wet_days'
    >>> Keys("flownb", "weather").dead("rank")
    'flownb:weather:rank.dead'
    """

    namespace: str
    graph: str

    def queue(self, name: str) -> str:
        """The stream of a queue."""
        return f"{self.namespace}:{self.graph}:{name}"

    def dead(self, loop: str) -> str:
        """The stream of a loop's dead letters."""
        return self.queue(f"{loop}.dead")

    @property
    def probe(self) -> str:
        """What is never there: a write to it that needs it shows whether writes are taken."""
        return f"{self.namespace}:{self.graph}~probe"


@dataclass(frozen=True, slots=True)
class Group:
    """A consumer group as XINFO GROUPS shows it."""

    name: str
    pending: int
    cursor: str
    """The id of the last entry that was delivered to it."""


def name_of(raw: bytes) -> str:
    """The name of a group or consumer, as it goes back to Redis: a stranger's may be any bytes."""
    return raw.decode(errors="surrogateescape")


def order(entry_id: str) -> tuple[int, int]:
    """What entry ids are sorted by; as text, "9-0" would come after "10-0"."""
    milliseconds, _, sequence = entry_id.partition("-")
    return int(milliseconds), int(sequence)


async def create_groups(client: Any, key: str, groups: Iterable[str]) -> None:
    """Make sure the groups exist, from the first entry that is still there."""
    from redis.exceptions import ResponseError

    for group in groups:
        try:
            await client.xgroup_create(key, group, id="0", mkstream=True)
        except ResponseError as error:
            if not group_exists(error):
                raise


def create_group(key: str, group: str) -> tuple[str, ...]:
    """The command that makes a group of everything that is still in the stream."""
    return ("XGROUP CREATE", key, group, "0", "MKSTREAM")


def group_exists(error: Exception) -> bool:
    """Whether creating a group failed only because it was there."""
    return "BUSYGROUP" in str(error)


def group_is_gone(error: Exception) -> bool:
    """Whether the stream was flushed or deleted under us: then start again at 0."""
    return any(sign in str(error) for sign in _GROUP_GONE)


async def groups_of(client: Any, key: str) -> list[Group]:
    """The groups of a stream, none if there is no stream."""
    from redis.exceptions import ResponseError

    try:
        return [group_from(info) for info in await client.xinfo_groups(key)]
    except ResponseError as error:
        if "no such key" not in str(error):
            raise
        return []


def group_from(info: dict[str, Any]) -> Group:
    """One row of XINFO GROUPS."""
    return Group(name_of(info["name"]), info["pending"], info["last-delivered-id"].decode())


async def read(
    client: Any,
    key: str,
    group: str,
    consumer: str,
    *,
    after: str,
    count: int,
    patience: float = 0,
    wire: Exchange | None = None,
) -> list[Entry]:
    """XREADGROUP: new entries (`after=">"`), or our own un-acked ones after an id.

    Waits at the server at most `patience` seconds. It never says BLOCK 0, which
    would wait for ever, nor BLOCK to fakeredis, which loses messages by it.
    """
    block = max(1, round(patience * 1000)) if patience else None
    if wire is not None:
        where = ("STREAMS", key, after)
        wait = () if block is None else ("BLOCK", str(block))
        command = ("XREADGROUP", "GROUP", group, consumer, "COUNT", str(count), *wait, *where)
        return _read_from(
            (await wire.exchange([command], patience=patience, parse_batch=batch_of_entries))[0]
        )
    reply = await client.xreadgroup(group, consumer, {key: after}, count=count, block=block)
    streams = reply.values() if isinstance(reply, dict) else (part[1] for part in reply or ())
    return [entry for stream in streams for entry in entries_from(stream)]


def _read_from(reply: Any) -> list[Entry]:
    """The entries of an answer as it came over a wire."""
    if isinstance(reply, Exception):
        raise reply
    if not reply:
        return []
    if isinstance(reply[0], tuple):  # parsed as a batch
        return list(reply)
    # RESP3 has a map of streams, read flat; RESP2 a list of pairs.
    stream = reply[1] if isinstance(reply[0], bytes) else reply[0][1]
    return [(entry_id.decode(), _fields(flat)) for entry_id, flat in stream]


def _fields(flat: list[bytes] | None) -> dict[bytes, bytes]:
    return dict(zip(flat[::2], flat[1::2], strict=True)) if flat else {}


def entries_from(stream: Iterable[Any]) -> Iterator[Entry]:
    """The entries of a reply; one that was deleted while pending has no fields."""
    for part in stream:
        # RESP3 answers of a stream are nested once more.
        for entry_id, fields in [part] if isinstance(part, tuple) else part:
            if entry_id is not None:  # claimed and gone: Redis 6.2
                yield entry_id.decode(), fields or {}


@dataclass(frozen=True, slots=True)
class Held:
    """An entry that was delivered to a consumer and is not acked, as XPENDING shows it."""

    id: str
    consumer: str
    deliveries: int


async def at_one_moment(client: Any, ask: Callable[[Any], object]) -> list[Any]:
    """Replies or errors, all from one moment; a full Redis takes no MULTI: then from nearly one."""
    from redis.exceptions import OutOfMemoryError

    try:
        return await _asked(client.pipeline(transaction=True), ask)
    except OutOfMemoryError:
        return await _asked(client.pipeline(transaction=False), ask)


async def _asked(pipe: Any, ask: Callable[[Any], object]) -> list[Any]:
    ask(pipe)
    replies: list[Any] = await pipe.execute(raise_on_error=False)
    return replies


async def pending(client: Any, key: str, group: str, first: str, last: str) -> dict[str, int]:
    """{id: deliveries} of the entries from `first` to `last` that a group has not acked."""
    rows = await held_by(client, key, group, None, first=first, last=last)
    return {row.id: row.deliveries for row in rows}


async def held_by(
    client: Any, key: str, group: str, consumer: str | None, *, first: str = "-", last: str = "+"
) -> list[Held]:
    """What a consumer, or all of the group, was given and has not acked, oldest first."""
    found: list[Held] = []
    while True:
        page = await client.xpending_range(
            key, group, min=first, max=last, count=_PAGE, consumername=consumer
        )
        found += map(held_from, page)
        if len(page) < _PAGE:
            return found
        first = f"({found[-1].id}"


def held_from(row: dict[str, Any]) -> Held:
    """One row of XPENDING."""
    return Held(row["message_id"].decode(), name_of(row["consumer"]), row["times_delivered"])


def xadd(key: str, entry_id: str, text: str, meta: str | None) -> tuple[str, ...]:
    """The command that pushes one message."""
    fields = ("data", text) if meta is None else ("data", text, "meta", meta)
    return ("XADD", key, entry_id, *fields)


def is_away(error: BaseException) -> bool:
    """Whether the server did not answer, or cannot just now: later it may."""
    from redis import exceptions

    if isinstance(error, exceptions.AuthenticationError | exceptions.AuthorizationError):
        return False
    away = exceptions.ConnectionError | exceptions.TimeoutError | OSError
    return isinstance(error, away) or refuses_for_now(error)


def refuses_for_now(error: BaseException) -> bool:
    """Whether the server is there and takes no writes until somebody has helped it."""
    from redis import exceptions

    kinds = exceptions.ReadOnlyError | exceptions.OutOfMemoryError
    return isinstance(error, kinds) or _words(error).startswith(_FOR_NOW)


def located(where: str, error: BaseException) -> str:
    """Say where a server is that is away, and what it says if it is there after all."""
    return f"{where}, which says: {_words(error)}" if refuses_for_now(error) else where


def _words(error: BaseException) -> str:
    """The server's own words; redis-py puts before them which command of a pipeline it was."""
    return redacted(str(error).rpartition("of pipeline caused error: ")[2].strip("(),'\""))


def _way(error: BaseException) -> str:
    """Name the kind of a failed connection, with what the server or TLS said of it."""
    below, name = error.__cause__ or error.__context__, type(error).__name__
    is_said = str(error) and (below is None or "SSL" in type(below).__name__)
    return f"{name}: {_words(error)}" if is_said else name


@contextmanager
def clear_errors(subject: str, where: str) -> Iterator[None]:
    """Say which server does not answer or refuses, and what to do about it."""
    from redis.exceptions import RedisError

    try:
        yield
    except (RedisError, OSError) as error:
        raise cleared(error, subject, where) from error


def cleared(error: Exception, subject: str, where: str) -> QueueError:
    """The error to raise for one of Redis, or of the way to it; no password is in either."""
    scrub(error)
    if refuses_for_now(error):
        return QueueUnavailable(
            f"{subject}: {where} takes no writes just now: {_words(error)} "
            f"Give it memory, disk or its role back, or another one in redis="
        )
    if is_away(error):
        return QueueUnavailable(
            f"{subject}: no usable Redis at {where} ({_way(error)}): start it there, "
            f"correct redis=, or omit it to use the one inside this kernel"
        )
    return QueueError(f"{subject}: {where} refused: {redacted(error)}")
