"""What is a queue, what is a message, and what can be said about a queue's state?

Plain values: a `QueueSpec` travels in a loop's plan to another process, a
`QueueStats` travels back to the notebook.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Final, NamedTuple, Protocol, get_args

from flownb.arguments import NONE, TEXT, Rule, checked, shown, whole, word
from flownb.errors import QueueError, did_you_mean
from flownb.model.policies import Codec, QueueMode, WhenFull

_CALL: Final = (str, str, int, int)

_SPEC: Final[Mapping[str, Rule]] = {
    "name": TEXT,
    "mode": word(*get_args(QueueMode)),
    "maxlen": whole("messages", least=1) | NONE,
    "when_full": word(*get_args(WhenFull)),
    "key": TEXT | NONE,
    "codec": word(*get_args(Codec)),
}

MANUAL = "manual"
"""The reader that stands for a person who pops by hand from a cell."""


@dataclass(frozen=True, slots=True)
class QueueSpec:
    """How a queue behaves: one description, opened by every host on its own; `name` is its name.

    `mode`: "competing" gives each message to one reader, `"broadcast"` to each.
    A queue with `maxlen` holds that many messages; `when_full` says what a push
    to a full one does. `model` (a pydantic model, or any type pydantic can check)
    is checked on push and built on pop. `readers` names the loops of this graph
    that read a broadcast queue: they miss nothing pushed before they start. `key` is the
    stream itself, which other graphs may share; of its groups each of a broadcast queue
    carries the name of the `graph`, too. `codec` says how payloads are written.

    >>> QueueSpec("wet_days", maxlen=0)
    Traceback (most recent call last):
    flownb.errors.QueueError: queue 'wet_days': maxlen=0: give a whole number of messages, \
at least 1, or None
    """

    name: str
    mode: QueueMode = "competing"
    maxlen: int | None = None
    when_full: WhenFull = "block"
    model: type | None = None
    readers: tuple[str, ...] = ()
    key: str | None = None
    codec: Codec = "json"
    graph: str = ""

    def __post_init__(self) -> None:
        for option, rule in _SPEC.items():
            value = getattr(self, option)
            plain = checked(f"queue {self.name!r}", option, value, rule, QueueError)
            object.__setattr__(self, option, plain)

    def group_of(self, reader: str) -> str:
        """The consumer group `reader` reads in: the queue's one group, or its own.

        >>> QueueSpec("wet_days").group_of("rank")
        'wet_days'
        >>> QueueSpec("wet_days", mode="broadcast").group_of("rank")
        'rank'
        >>> QueueSpec("wet_days", mode="broadcast", key="rain", graph="weather").group_of("rank")
        '{weather}:rank'
        """
        if self.mode == "competing":
            return self.key or self.name
        return reader if self.key is None else f"{{{escaped(self.graph)}}}:{escaped(reader)}"

    def is_full(self, depth: int) -> bool:
        """Whether a queue of so many messages takes no more."""
        return self.maxlen is not None and depth >= self.maxlen

    @property
    def known_groups(self) -> tuple[str, ...]:
        """The groups that must exist before the first push, so that nobody misses it."""
        readers = ("",) if self.mode == "competing" else self.readers
        return tuple(map(self.group_of, readers))


def is_by_hand(group: str) -> bool:
    """Whether it is the group of a person who pops from a broadcast queue."""
    return group == MANUAL or (group.startswith("{") and group.endswith(f"}}:{MANUAL}"))


@lru_cache(maxsize=10_000)
def escaped(name: str) -> str:
    """A name as a part of a key: no two names make the same key.

    >>> escaped("eu:orders"), escaped("{50%}")
    ('eu%3Aorders', '%7B50%25%7D')
    """
    for sign in "%:{}~":
        name = name.replace(sign, f"%{ord(sign):02X}")
    return name


class QueueSpecs(dict[str, QueueSpec]):
    """The queues of one graph, by name."""

    def __init__(self, graph: str, specs: Iterable[QueueSpec]) -> None:
        super().__init__()
        self.graph = graph
        self.add(specs)

    def add(self, specs: Iterable[QueueSpec]) -> None:
        """Take in queues that are new, or changed."""
        self.update((spec.name, replace(spec, graph=self.graph)) for spec in specs)

    def __missing__(self, queue: object) -> QueueSpec:
        have = ", ".join(map(repr, self)) or "none"
        near = did_you_mean(queue, self) if isinstance(queue, str) else ""
        raise QueueError(
            f"queue {shown(queue)}: not in graph {self.graph!r}, which has {have}"
            f"{near if near.startswith(':') else ''}"
        )


@dataclass(frozen=True, slots=True)
class Lease:
    """For how long a reader may keep a message, and what happens when it does not settle it.

    It begins when Redis delivers the message (`queues/redis/streams.read`). A host that works
    renews its leases; who was silent for `visibility_timeout` seconds loses what it holds to
    the next reader. After `max_deliveries` a message is dead. A reader that is `careful` takes
    what was delivered before one message at a time, with nothing else in hand, so that a
    message that kills its reader takes no other with it.
    """

    visibility_timeout: float = 30.0
    max_deliveries: int = 5
    careful: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """One message in a reader's hands, to be acked when its item has settled.

    `id` is what `ack` takes, `queue` where it was, `payload` what was pushed.
    `deliveries` is 1 the first time, more when an earlier reader did not ack it.
    `meta` is what the pusher said about itself, say loop, node and iteration. A `letter`
    is a dead letter whose item was offered again: to settle it is to throw it away.
    """

    id: str
    queue: str
    payload: Any
    deliveries: int = 1
    meta: dict[str, Any] = field(default_factory=dict)
    letter: bool = False

    @property
    def hops(self) -> int:
        """How many loops it went through, one after the other, before the one that pushed it."""
        hops = self.meta.get("hops")
        return hops if type(hops) is int else 0

    @property
    def origin(self) -> tuple[str, str, int, int] | None:
        """The call that pushed it, as (loop, node, iteration, visit); None for one by hand."""
        meta = self.meta
        call = meta.get("loop"), meta.get("node"), meta.get("iteration"), meta.get("visit")
        return call if tuple(map(type, call)) == _CALL else None  # type: ignore[return-value]


class Unread(NamedTuple):
    """A message that went to the dead letters of its reader, and never became an item.

    `error` says why; what a model's own validator raised is its cause.
    """

    queue: str
    item: Any
    deliveries: int
    error: QueueError


@dataclass(frozen=True, slots=True)
class GroupStats:
    """What one `group` still has to do: `lag` not yet delivered, `pending` not yet acked."""

    group: str
    lag: int
    pending: int

    @property
    def backlog(self) -> int:
        """Messages this group has still to settle."""
        return self.lag + self.pending


@dataclass(frozen=True, slots=True)
class QueueStats:
    """The figures of a `queue` at one moment.

    `depth` is the number of messages kept. `lag` and `pending` are those of the
    group that is furthest behind (a competing queue has only one), so that
    `backlog` never exceeds `depth` and reaches 0 when every group is done. The
    figures of each group are in `groups`; the by-hand group of a broadcast queue
    is listed there but holds nobody up. `pushed` counts since the queue began (Redis
    7 or newer, else 0), and so does `dropped`: what a full queue did not take, or gave up.

    >>> QueueStats("q", depth=3, lag=2, pending=1).backlog
    3
    """

    queue: str
    depth: int = 0
    lag: int = 0
    pending: int = 0
    groups: tuple[GroupStats, ...] = ()
    pushed: int = 0
    dropped: int = 0

    @property
    def backlog(self) -> int:
        """Messages the furthest-behind group has still to settle."""
        return self.lag + self.pending

    @property
    def removed(self) -> int:
        """Messages that have left the queue: acked by all, dropped or cleared."""
        return max(0, self.pushed - self.depth)


class Clock(Protocol):
    """Seconds; a clock with a true attribute `virtual` also numbers the messages."""

    def time(self) -> float:
        """Seconds since the loop began."""

    async def sleep(self, seconds: float) -> object:
        """Wait that long."""
