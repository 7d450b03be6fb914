"""How are commands sent to a real Redis? Over a `Wire`, read and written by hiredis.

redis-py makes its TLS context and knows the names of its errors. Commands of an exchange are
packed together and their replies are parsed as they arrive, without a coroutine for each.

`NodeWires` is one `Wire` for each node that is asked: if the server is a node of a Redis Cluster,
each key is asked for where its slot is. The keys of a graph lie in one slot, so this is one node,
mostly. A node that does not have a slot says who has it: that is remembered, and what it refused
goes there.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from flownb.queues.redis.exchange import encoded

if TYPE_CHECKING:
    from flownb.queues.redis.exchange import Command

TIMEOUT: Final = 5.0
"""Seconds until an answer is given up: long where a server thinks, short where it is gone."""
_NOT_YET: Final = object()
_SESSIONS: Final = count(1)


class Wire:
    """One connection to the server that redis-py's `options` name, for one exchange at a time."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options
        self._limit: float | None = options.get("socket_timeout", TIMEOUT)
        self._line: _Line | None = None
        self.session = 0
        self.number: int | None = None
        self._busy = asyncio.Lock()
        self._owed: float | None = None
        """Since when an answer is to be there."""

    async def exchange(
        self, commands: Sequence[Command], *, patience: float = 0.0, session: int | None = None
    ) -> list[Any]:
        """Send commands, give a reply for each; see `Exchange`."""
        from redis.exceptions import ConnectionError as Gone

        async with self._busy:
            self._owed = asyncio.get_running_loop().time() + patience
            try:
                line = self._line
                if line is None or line.lost is not None:
                    if session is not None:
                        raise Gone("the connection was lost")
                    line = await self._connect()
                if session is not None and session != self.session:
                    raise Gone("the connection is a new one")
                return await self._say(line, commands, patience)
            finally:
                self._owed = None

    @property
    def silent(self) -> float:
        """For how many seconds an answer has been missing."""
        if self._owed is None:
            return 0.0
        return max(0.0, asyncio.get_running_loop().time() - self._owed)

    async def _say(
        self, line: _Line, commands: Sequence[Command], patience: float = 0.0
    ) -> list[Any]:
        try:
            async with asyncio.timeout(self._limit and self._limit + patience):
                return await line.say(commands)
        except BaseException as error:
            self._drop()  # half an exchange is left on it
            raise _as_redis_says(error) from error

    async def _connect(self) -> _Line:
        self._drop()
        options = self._options
        try:
            async with asyncio.timeout(options.get("socket_connect_timeout", TIMEOUT)):
                line = self._line = await self._open()
        except BaseException as error:
            raise _as_redis_says(error) from error
        self.session = next(_SESSIONS)
        greetings = await _greetings(options)
        *replies, number = await self._say(line, [*greetings, ("CLIENT", "ID")])
        for reply in replies:
            if isinstance(reply, Exception):
                self._drop()
                raise reply
        self.number = number if isinstance(number, int) else None
        return line

    async def _open(self) -> _Line:
        loop, options = asyncio.get_running_loop(), self._options
        if "path" in options:
            _, line = await loop.create_unix_connection(_Line, options["path"])
            return line
        host, port = options.get("host", "localhost"), options.get("port", 6379)
        tls = _tls(options) if options.get("ssl") else None
        transport, line = await loop.create_connection(_Line, host, port, ssl=tls)
        if options.get("socket_keepalive"):
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return line

    def _drop(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.abort()

    async def aclose(self) -> None:
        """Let go of the connection."""
        line, self._line = self._line, None
        if line is not None:
            await line.aclose()


class _Line(asyncio.Protocol):
    """The replies of one connection, as they arrive."""

    def __init__(self) -> None:
        import hiredis
        from redis.asyncio.connection import DefaultParser

        self._reader = hiredis.Reader(replyError=DefaultParser.parse_error, notEnoughData=_NOT_YET)
        self._pack = hiredis.pack_command
        self._transport: Any = None
        self._replies: deque[Any] = deque()
        self._wanted = 0
        self._waiter: asyncio.Future[None] | None = None
        self._closed = asyncio.get_running_loop().create_future()
        self.lost: Exception | None = None
        """Why nothing comes any more."""

    async def say(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands, wait for a reply to each."""
        from redis.exceptions import ConnectionError as Gone

        self._transport.write(self._packed(commands))
        self._wanted = len(commands)
        if len(self._replies) < self._wanted:
            if self.lost is not None:
                raise self.lost
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        replies = [self._replies.popleft() for _ in commands]
        for reply in replies:
            if isinstance(reply, Gone):  # "it is loading its data", or somebody closed us
                raise reply
        return replies

    def _packed(self, commands: Sequence[Any]) -> bytes:
        try:
            return b"".join(map(self._pack, commands))
        except UnicodeEncodeError:  # a word stands for any bytes
            return b"".join(map(self._pack, map(encoded, commands)))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what writes."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Take what has come in; the last reply that is waited for wakes who waits."""
        self._reader.feed(data)
        replies, gets = self._replies, self._reader.gets
        try:
            reply = gets()
            while reply is not _NOT_YET:
                replies.append(reply)
                reply = gets()
        except Exception as error:  # noqa: BLE001 - who waits gets it
            self._lose(error)
            self._transport.abort()
            return
        if self._waiter is not None and len(replies) >= self._wanted and not self._waiter.done():
            self._waiter.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        """Nothing comes any more."""
        self._lose(error or ConnectionResetError("the server closed the connection"))
        if not self._closed.done():
            self._closed.set_result(None)

    def _lose(self, error: Exception) -> None:
        self.lost = self.lost or error
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)

    def abort(self) -> None:
        """Close it at once."""
        self._transport.abort()

    async def aclose(self) -> None:
        """Close it, and wait until it is."""
        self._transport.abort()
        await asyncio.wait({self._closed}, timeout=1)


async def _greetings(options: Mapping[str, Any]) -> list[Command]:
    """Who we are, and which database we want."""
    user, password = options.get("username"), options.get("password")
    said: list[Command] = []
    if (provider := options.get("credential_provider")) is not None:
        said.append(("AUTH", *await provider.get_credentials_async()))
    elif user or password:
        said.append(("AUTH", *((user,) if user else ()), password or ""))
    if name := options.get("client_name"):
        said.append(("CLIENT", "SETNAME", name))
    if database := options.get("db"):
        said.append(("SELECT", str(database)))
    return said


def _tls(options: Mapping[str, Any]) -> Any:
    from redis.asyncio.connection import SSLConnection

    wanted = {name: value for name, value in options.items() if name.startswith("ssl_")}
    return SSLConnection(**wanted).ssl_context.get()


def _as_redis_says(error: BaseException) -> BaseException:
    from redis import exceptions

    if isinstance(error, TimeoutError):
        return exceptions.TimeoutError("the server did not answer in time")
    if isinstance(error, OSError):
        return exceptions.ConnectionError(str(error))
    return error


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
