"""What if the server is a node of a Redis Cluster? Each key is asked for where its slot is.

The keys of a graph lie in one slot, so this is one node, mostly. A node that does not have a
slot says who has it: that is remembered, and what it refused goes there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from flownb.queues.servers.wire import Wire

if TYPE_CHECKING:
    from flownb.queues.redis.exchange import Command

_TRIES: Final = 5
_TWO_WORDS: Final = frozenset({"XGROUP", "XINFO"})
_KEYLESS: Final = frozenset({"MULTI", "EXEC", "UNWATCH", "CLIENT", "INFO", "CLUSTER", "CONFIG"})
Node = tuple[str, int]
Block = list[int]
"""The places of commands that belong together: one, or a MULTI with its EXEC."""


class NodeWires:
    """One connection to each node that is asked, for one exchange at a time.

    `owners` holds the node of each slot that is not at the first one; all wires of a link share it.
    """

    def __init__(self, options: dict[str, Any], owners: dict[int, Node]) -> None:
        self._options, self._owners = options, owners
        self._home = self._last = Wire(options)
        self._others: dict[Node, Wire] = {}

    @property
    def session(self) -> int:
        """That of the connection which was used last."""
        return self._last.session

    @property
    def number(self) -> int | None:
        """What the first node calls its connection, if that was used last."""
        return self._home.number if self._last is self._home else None

    @property
    def silent(self) -> float:
        """For how many seconds an answer has been missing."""
        return max(wire.silent for wire in (self._home, *self._others.values()))

    async def exchange(
        self, commands: Sequence[Command], *, patience: float = 0.0, session: int | None = None
    ) -> list[Any]:
        """Send commands, give a reply for each; see `Exchange`."""
        if not self._owners:
            self._last = self._home
            replies = await self._home.exchange(commands, patience=patience, session=session)
            if not any(map(_is_elsewhere, replies)):
                return replies
            self._learn(replies, session)
        else:
            replies = [None] * len(commands)
        blocks = list(_blocks(commands))
        moved = [b for b in blocks if replies[b[0]] is None or _moved(replies, b)]
        for _ in range(_TRIES):
            for wire, places in self._by_node(commands, moved).items():
                self._last = wire
                some = [commands[at] for at in places]
                for at, reply in zip(
                    places, await wire.exchange(some, patience=patience, session=session),
                    strict=True,
                ):  # fmt: skip
                    replies[at] = reply
            self._learn(replies, session)
            moved = [block for block in moved if _moved(replies, block)]
            if not moved:
                break
        return replies

    def _learn(self, replies: Iterable[Any], session: int | None) -> None:
        """Remember who has which slot."""
        from redis.exceptions import ConnectionError as Gone

        for reply in filter(_is_elsewhere, replies):
            host = reply.host or self._options.get("host", "localhost")
            self._owners[reply.slot_id] = (host, int(reply.port))
            if session is not None:
                raise Gone("the slot has moved to another node")

    def _by_node(self, commands: Sequence[Command], blocks: Iterable[Block]) -> dict[Wire, Block]:
        found: dict[Wire, Block] = {}
        for block in blocks:
            key = next(filter(None, (_key(commands[at]) for at in block)), None)
            found.setdefault(self._wire(key), []).extend(block)
        return found

    def _wire(self, key: str | None) -> Wire:
        from redis.crc import key_slot

        node = None
        if key is not None:
            node = self._owners.get(key_slot(key.encode(errors="surrogateescape")))
        if node is None:
            return self._home
        if node not in self._others:
            self._others[node] = Wire({**self._options, "host": node[0], "port": node[1]})
        return self._others[node]

    async def aclose(self) -> None:
        """Let go of all connections."""
        for wire in (self._home, *self._others.values()):
            await wire.aclose()


def _is_elsewhere(reply: Any) -> bool:
    if not isinstance(reply, Exception):
        return False
    from redis.exceptions import MovedError

    return isinstance(reply, MovedError)


def _moved(replies: Sequence[Any], block: Block) -> bool:
    return any(_is_elsewhere(replies[at]) for at in block)


def _blocks(commands: Sequence[Command]) -> Iterable[Block]:
    """What must go to one node: a MULTI whole, and what has no key with what follows it.

    What is looked at under a WATCH goes where that goes.
    """
    block: Block = []
    is_open = watches = False
    for at, command in enumerate(commands):
        block.append(at)
        is_open = command[0] == "MULTI" or (is_open and command[0] != "EXEC")
        watches |= command[0] == "WATCH"
        if not (is_open or watches or (command[0] == "UNWATCH")):
            yield block
            block = []
    if block:
        yield block


def _key(command: Command) -> str | None:
    """The key of a command; None if it has none.

    >>> _key(("XLEN", "q")), _key(("XINFO", "GROUPS", "q")), _key(("MULTI",))
    ('q', 'q', None)
    """
    name = command[0]
    if name in _KEYLESS:
        return None
    if name == "XREADGROUP":
        return command[command.index("STREAMS") + 1]
    at = 2 if name in _TWO_WORDS else 1
    return command[at] if len(command) > at else None
