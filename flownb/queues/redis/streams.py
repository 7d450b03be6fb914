"""How is a queue kept in Redis? As a stream with a consumer group for each reading loop.

A dead letter is an entry of the stream `<loop>.dead`. What all parts need of Redis' commands is
here; those of one job are in `jobs`, `bounded` and `dead_letters`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from flownb.queues.redis.exchange import ask, pairs
from flownb.queues.spec import QueueSpec, escaped

if TYPE_CHECKING:
    from flownb.queues.redis.exchange import Command, Entry, Exchange

_PAGE = 1000


# What Redis, Valkey and fakeredis say when a group or its stream has gone, also
# to a reader that was blocked on it at that moment.
_GROUP_GONE = ("NOGROUP", "UNBLOCKED", "requires the key to exist")


@dataclass(frozen=True, slots=True)
class Keys:
    """The names of one graph's streams.

    All lie in one slot of a Redis Cluster; `~` is in no name, so a helper is no queue.

    >>> Keys("flownb", "weather").queue("wet_days")
    'flownb:{weather}:wet_days'
    >>> Keys("flownb", "weather").dead("rank")
    'flownb:{weather}:rank~dead'
    """

    namespace: str
    graph: str

    @property
    def _prefix(self) -> str:
        return f"{self.namespace}:{{{escaped(self.graph)}}}"

    def of(self, spec: QueueSpec) -> str:
        """The stream of a queue: the one that its `key` names, or one of this graph's own."""
        return self.queue(spec.name) if spec.key is None else spec.key

    def queue(self, name: str) -> str:
        """The stream of a queue without a key of its own."""
        return f"{self._prefix}:{escaped(name)}"

    def dead(self, loop: str) -> str:
        """The stream of a loop's dead letters."""
        return f"{self.queue(loop)}~dead"

    def named(self, key: str) -> tuple[str, str]:
        """What is in a stream, "message" or "dead letter", and of which queue or loop.

        >>> Keys("flownb", "weather").named("flownb:{weather}:eu%3Arank~dead")
        ('dead letter', 'eu:rank')
        """
        name, _, helper = key.removeprefix(f"{self._prefix}:").partition("~")
        return "dead letter" if helper else "message", unquote(name)

    @property
    def probe(self) -> str:
        """What is never there: a write to it that needs it shows whether writes are taken."""
        return f"{self._prefix}~probe"


def takeovers(key: str) -> str:
    """What every claim of a message of this stream writes, in its MULTI.

    >>> takeovers("flownb:{weather}:wet_days"), takeovers("rain")
    ('flownb:{weather}:wet_days~claims', '{rain}~claims')
    """
    return _beside(key, "claims")


def drops(key: str) -> str:
    """The hash that counts what was dropped of this stream, because it was full.

    In "all" what was counted in the MULTI that dropped it. Each manager that pushes has a field of
    its own beside that: its last batch, how much of that is in the stream, what it dropped in all.
    """
    return _beside(key, "drops")


def dropped(fields: dict[bytes, bytes]) -> int:
    """The sum of what that hash says.

    >>> dropped({b"all": b"3", b"1f6a": b"17 5 4"})
    7
    """
    return sum(int(said.split()[-1]) for said in fields.values())


def count_dropped(key: str, count: int) -> Command:
    """What counts messages in the MULTI that drops them."""
    return ("HINCRBY", drops(key), "all", str(count))


def _beside(key: str, what: str) -> str:
    """The name of a helper, in the slot of its stream."""
    tagged = key.partition("{")[2].find("}") > 0
    return f"{key}~{what}" if tagged else f"{{{key}}}~{what}"


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


async def create_groups(line: Exchange, key: str, groups: Iterable[str]) -> None:
    """Make sure the groups exist, from the first entry that is still there."""
    for reply in await line.exchange([create_group(key, group) for group in groups]):
        if isinstance(reply, Exception) and not group_exists(reply):
            raise reply


def create_group(key: str, group: str) -> Command:
    """The command that makes a group of everything that is still in the stream."""
    return ("XGROUP", "CREATE", key, group, "0", "MKSTREAM")


def group_exists(error: Exception) -> bool:
    """Whether creating a group failed only because it was there."""
    return "BUSYGROUP" in str(error)


def group_is_gone(error: Exception) -> bool:
    """Whether the stream was flushed or deleted under us: then start again at 0."""
    return any(sign in str(error) for sign in _GROUP_GONE)


async def groups_of(line: Exchange, key: str) -> list[Group]:
    """The groups of a stream, none if there is no stream."""
    (reply,) = await line.exchange([("XINFO", "GROUPS", key)])
    if isinstance(reply, Exception):
        if "no such key" not in str(reply):
            raise reply
        return []
    return [group_from(row) for row in reply]


def group_from(row: Sequence[Any]) -> Group:
    """One row of XINFO GROUPS."""
    info = pairs(row)
    return Group(name_of(info[b"name"]), info[b"pending"], info[b"last-delivered-id"].decode())


async def read(
    line: Exchange, key: str, group: str, consumer: str, *, count: int, patience: float = 0
) -> list[Entry]:
    """XREADGROUP: new entries. Waits at the server at most `patience` seconds.

    It never says BLOCK 0, which would wait for ever, nor BLOCK to fakeredis, which loses
    messages by it.
    """
    wait = ("BLOCK", str(max(1, round(patience * 1000)))) if patience else ()
    command = ("XREADGROUP", "GROUP", group, consumer, "COUNT", str(count), *wait, "STREAMS", key)
    (reply,) = await line.exchange([(*command, ">")], patience=patience)
    if isinstance(reply, Exception):
        raise reply
    return entries_from(reply[0][1]) if reply else []


def entries_from(rows: Iterable[Any] | None) -> list[Entry]:
    """Entries of a reply; one that was deleted has no fields."""
    return [(row[0].decode(), pairs(row[1])) for row in rows or () if row and row[0]]


@dataclass(frozen=True, slots=True)
class Held:
    """A message that was delivered to a consumer and is not acked, as XPENDING shows it."""

    id: str
    consumer: str
    deliveries: int


async def pending(line: Exchange, key: str, group: str, first: str, last: str) -> dict[str, int]:
    """{id: deliveries} of the entries from `first` to `last` that a group has not acked."""
    rows = await held_by(line, key, group, None, first=first, last=last)
    return {row.id: row.deliveries for row in rows}


async def held_by(
    line: Exchange, key: str, group: str, consumer: str | None, *, first: str = "-", last: str = "+"
) -> list[Held]:
    """What a consumer, or all of the group, was given and has not acked, oldest first."""
    found: list[Held] = []
    whose = () if consumer is None else (consumer,)
    while True:
        page = await ask(line, "XPENDING", key, group, first, last, str(_PAGE), *whose)
        found += map(held_from, page)
        if len(page) < _PAGE:
            return found
        first = f"({found[-1].id}"


def held_from(row: Sequence[Any]) -> Held:
    """One row of XPENDING."""
    return Held(row[0].decode(), name_of(row[1]), row[3])


async def holders(line: Exchange, key: str, group: str) -> dict[str, int]:
    """{consumer: messages that it was given and has not acked}."""
    return holders_from(await ask(line, "XPENDING", key, group))


def holders_from(summary: Sequence[Any]) -> dict[str, int]:
    """The consumers in the summary that XPENDING gives."""
    return {name_of(name): int(count) for name, count in summary[3] or ()}


def xadd(key: str, entry_id: str, field: str, text: str, meta: str | None) -> Command:
    """The command that pushes one message."""
    fields = (field, text) if meta is None else (field, text, "meta", meta)
    return ("XADD", key, entry_id, *fields)
