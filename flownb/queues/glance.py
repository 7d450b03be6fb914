"""How are a hundred replies of one form read at the price of a few?

A reply names the length of each text. So what has come is cut at every line end, and if
all lengths are right it was cut where a parser would have cut it, one value after the
other. Whatever looks different is left to the parser.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from flownb.queues.streams import Entry

_LINE: Final = b"\r\n"
_named: Final = b"$%d".__mod__
_NAMES: Final = {8: (b"data",), 12: (b"data", b"meta")}
"""The fields of our own entries, by the number of lines that one takes."""


def texts(data: bytes, count: int) -> list[bytes] | None:
    r"""Read that many texts, and nothing else.

    >>> texts(b"$3\r\n1-0\r\n$3\r\n1-1\r\n", 2), texts(b":1\r\n:2\r\n", 2)
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


def entries(data: bytes, _: int = 1) -> list[list[Entry]] | None:
    r"""Read what XREADGROUP gives of one stream, if we have pushed all of it.

    >>> entries(
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
