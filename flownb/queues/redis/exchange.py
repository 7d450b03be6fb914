"""How is a pipeline of commands sent to Redis fast? Packed and parsed in one go, on one connection.

redis-py connects, speaks TLS and knows who we are. What it does for each command of a
pipeline costs more than the command, so here commands are packed in one go, and replies
are read out of what has arrived without a coroutine for each.

A hundred replies of one form are parsed at the price of a few. A reply names the length of each
text. So what has come is cut at every line end, and if all lengths are right it was cut where a
parser would have cut it, one value after the other. Whatever looks different is left to the
parser.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

_LINE: Final = b"\r\n"
_named: Final = b"$%d".__mod__
_NAMES: Final = {8: (b"data",), 12: (b"data", b"meta")}
"""The fields of our own entries, by the number of lines that one takes."""


def batch_of_texts(data: bytes, count: int) -> list[bytes] | None:
    r"""Read that many texts, and nothing else.

    >>> batch_of_texts(b"$3\r\n1-0\r\n$3\r\n1-1\r\n", 2), batch_of_texts(b":1\r\n:2\r\n", 2)
    ([b'1-0', b'1-1'], None)
    """
    if data[:1] != b"$":
        return None
    lines = data.split(_LINE)
    if len(lines) != 2 * count + 1 or lines.pop():
        return None
    return _texts(lines[::2], lines[1::2])


def _texts(lengths: Sequence[bytes], found: list[bytes]) -> list[bytes] | None:
    return found if list(map(_named, map(len, found))) == lengths else None


def batch_of_entries(data: bytes, _: int = 1) -> list[list[Entry]] | None:
    r"""Read what XREADGROUP gives of one stream, if we have pushed all of it.

    >>> batch_of_entries(
    ...     b"*1\r\n*2\r\n$1\r\nq\r\n*1\r\n*2\r\n$3\r\n1-0\r\n*2\r\n$4\r\ndata\r\n$1\r\n7\r\n"
    ... )
    [[('1-0', {b'data': b'7'})]]
    """
    lines = data.split(_LINE)
    # RESP3 has a map of streams, RESP2 a list of pairs.
    start = 4 if lines[0] == b"%1" else 5 if lines[:2] == [b"*1", b"*2"] else 0
    if not start or len(lines) <= start or lines.pop():
        return None
    if _texts([lines[start - 3]], [lines[start - 2]]) is None:
        return None
    count, width = (len(lines) - start), (8 if lines[start + 3 : start + 4] == [b"*2"] else 12)
    if count % width or lines[start - 1] != b"*%d" % (count // width):
        return None
    found = _rows([lines[start + i :: width] for i in range(width)], count // width)
    return None if found is None else [found]


def _rows(columns: list[list[bytes]], rows: int) -> list[Entry] | None:
    """The entries of which each line is in a column: *2, $, id, *4, $4, data, $, text, ..."""
    names = _NAMES[len(columns)]
    same = {0: b"*2", 3: b"*%d" % (2 * len(names))}
    for i, name in enumerate(names):
        same |= {4 + 4 * i: _named(len(name)), 5 + 4 * i: name}
    if any(columns[at].count(line) != rows for at, line in same.items()):
        return None
    varied = [_texts(columns[at - 1], columns[at]) for at in (2, *range(7, len(columns), 4))]
    if any(column is None for column in varied):
        return None
    ids, *values = (column for column in varied if column is not None)
    return [
        (id_.decode(), dict(zip(names, fields, strict=True)))
        for id_, fields in zip(ids, zip(*values, strict=True), strict=True)
    ]


Command = tuple[str, ...]
BatchParser = Callable[[bytes, int], list[Any] | None]
"""Reads that many replies at once, if they have a certain form."""
_CHUNK: Final = 1 << 18
_NUMBER: Final = ("CLIENT ID",)
_FEW: Final = b"*%d\r\n"
_BULK: Final = b"$%d\r\n%b\r\n"


def pack(commands: Iterable[Command]) -> bytes:
    r"""Write commands as a server reads them; a name may have two words, as "XGROUP CREATE".

    >>> pack([("XLEN", "q")])
    b'*2\r\n$4\r\nXLEN\r\n$1\r\nq\r\n'
    """
    parts: list[bytes] = []
    known: dict[str, bytes] = {}  # names and keys come again and again
    for command in commands:
        words = (*command[0].split(), *command[1:]) if " " in command[0] else command
        parts.append(_FEW % len(words))
        for word in words:
            bulk = known.get(word)
            if bulk is None:
                data = word.encode(errors="surrogateescape")
                bulk = known[word] = _BULK % (len(data), data)
            parts.append(bulk)
    return b"".join(parts)


class Short(Exception):
    """The reply goes on: it ends when there are `need` bytes, or later."""

    def __init__(self, need: int) -> None:
        super().__init__(need)
        self.need = need


def parse(data: bytes, at: int, refusal: Callable[[str], Exception]) -> tuple[Any, int]:
    r"""Read the reply that begins at a byte: what it says, and where the next one begins.

    An error is no exception here but a value, made by `refusal` of its text. Raises
    `Short` if the end has not come yet.

    >>> parse(b"*2\r\n$1\r\nq\r\n:7\r\n", 0, ValueError)
    ([b'q', 7], 15)
    """
    end = data.find(b"\r\n", at)
    if end < 0:
        raise Short(len(data) + 1)
    kind, text, after = data[at], data[at + 1 : end], end + 2
    if kind in _TEXTS:
        return _bulk(data, after, int(text))
    if kind in _MANY:
        return _many(data, after, int(text) * _MANY[kind], refusal)
    if kind == _REFUSAL:
        return refusal(text.decode(errors="replace")), after
    if kind == _LONG_REFUSAL:
        said, after = _bulk(data, after, int(text))
        return refusal(said.decode(errors="replace")), after
    return _PLAIN.get(kind, bytes)(text), after


def _bulk(data: bytes, start: int, size: int) -> tuple[Any, int]:
    if size < 0:
        return None, start
    end = start + size
    if len(data) < end + 2:
        raise Short(end + 2)
    return data[start:end], end + 2


def _many(
    data: bytes, at: int, count: int, refusal: Callable[[str], Exception]
) -> tuple[list[Any] | None, int]:
    if count < 0:
        return None, at
    found = []
    for _ in range(count):
        value, at = parse(data, at, refusal)
        found.append(value)
    return found, at


_TEXTS: Final = frozenset(b"$=")
_REFUSAL, _LONG_REFUSAL = ord("-"), ord("!")
_MANY: Final = {ord("*"): 1, ord("~"): 1, ord(">"): 1, ord("%"): 2}
"""What holds several values, and how many for each that it counts; a map is read flat."""
_PLAIN: Final[dict[int, Callable[[bytes], Any]]] = {
    ord(":"): int,
    ord("("): int,
    ord(","): float,
    ord("#"): lambda text: text == b"t",
    ord("_"): lambda _: None,
}


class Exchange:
    """One connection of a client, for one exchange at a time."""

    def __init__(self, client: Any, *, limit: float | None) -> None:
        self._pool, self._limit = client.connection_pool, limit
        self._connection: Any = None
        self.number: int | None = None
        """What the server calls this connection; None if it does not say."""
        self._busy = asyncio.Lock()
        self._owed: float | None = None
        """Since when an answer is to be there."""

    async def exchange(
        self,
        commands: Sequence[Command],
        *,
        patience: float = 0.0,
        parse_batch: BatchParser = batch_of_texts,
    ) -> list[Any]:
        """Send commands, give a reply for each; an error of one is its reply.

        Raises what redis-py raises when the server is away: then they may have been done or
        not. `patience` is how long the server was asked to wait (seconds). Replies of the
        form that `parse_batch` reads are read by it.
        """
        async with self._busy:
            self._owed = asyncio.get_running_loop().time() + patience
            try:
                await self._connect()
                return await self._send(commands, patience, parse_batch)
            finally:
                self._owed = None

    @property
    def silent(self) -> float:
        """For how many seconds an answer has been missing."""
        if self._owed is None:
            return 0.0
        return max(0.0, asyncio.get_running_loop().time() - self._owed)

    async def _connect(self) -> None:
        if self._connection is None:
            self._connection = await self._pool.get_connection()
        elif not self._connection.is_connected:
            await self._connection.connect()
        else:
            return
        number = (await self._send([_NUMBER], 0.0, batch_of_texts))[0]
        self.number = number if isinstance(number, int) else None

    async def _send(
        self, commands: Sequence[Command], patience: float, parse_batch: BatchParser
    ) -> list[Any]:
        try:
            async with asyncio.timeout(self._limit and self._limit + patience):
                self._connection._writer.write(pack(commands))  # noqa: SLF001  see the module
                return await self._replies(len(commands), parse_batch)
        except BaseException as error:
            # Half an exchange is left on the line.
            await self._connection.disconnect(nowait=True)
            raise _as_redis_says(error) from error

    async def _replies(self, count: int, parse_batch: BatchParser) -> list[Any]:
        from redis._parsers import BaseParser
        from redis.exceptions import ConnectionError as Gone

        reader, refusal = self._connection._reader, BaseParser.parse_error  # noqa: SLF001
        data, at = await _more(reader, b"", 1), 0
        found = parse_batch(data, count) or []
        while len(found) < count:
            try:
                news = data[at : at + 1] == b">"
                reply, at = parse(data, at, refusal)
            except Short as short:
                data, at = await _more(reader, data[at:], short.need - at), 0
                continue
            if isinstance(reply, Gone):  # "it is loading its data", or somebody closed us
                raise reply
            if not news:
                found.append(reply)
        return found

    async def aclose(self) -> None:
        """Let go of the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)
            await self._pool.release(connection)


async def _more(reader: asyncio.StreamReader, data: bytes, need: int) -> bytes:
    """`data` and what came behind it, at least `need` bytes together."""
    parts, size = [data], len(data)
    while size < need:
        part = await reader.read(_CHUNK)
        if not part:
            raise ConnectionResetError("the server closed the connection")
        parts.append(part)
        size += len(part)
    return b"".join(parts)


def _as_redis_says(error: BaseException) -> BaseException:
    from redis import exceptions

    if isinstance(error, TimeoutError):
        return exceptions.TimeoutError("the server did not answer in time")
    if isinstance(error, OSError):
        return exceptions.ConnectionError(str(error))
    return error


Entry = tuple[str, dict[bytes, bytes]]
