"""How is a value written so that a resumed run finds exactly what the first one had?

As JSON, which anybody can read and nobody can run. Tuples are marked, as JSON has none;
everything else that would come back different is refused with its path: NaN, keys that
are no text, sets, arrays, objects, members of an enum. Most values need no look at each of
their parts: they are read back once and compared with their types, which happens in C.
"""

from __future__ import annotations

import json
import marshal
from typing import Any, Final

from flownb.errors import StoreError
from flownb.jsonable import Refused, Walk, short_repr, writer

MAX_BYTES: Final = 64 * 2**20
_TUPLE: Final = "$tuple"
_read = json.JSONDecoder().decode


_write = writer(ascii_only=True)


def encode(value: Any, where: str, *, max_bytes: int = MAX_BYTES) -> str:
    """Write *value* as JSON text; `decode` gives back what equals it, or StoreError says why not.

    >>> encode({"days": (1, 2)}, "output of node 'read'")
    '{"days":{"$tuple":[1,2]}}'
    >>> encode({"days": [{"rain": float("nan")}]}, "output of node 'read'")
    Traceback (most recent call last):
    flownb.errors.StoreError: output of node 'read': .days[0].rain: NaN is not JSON
    """
    text = _same_again(value)
    if text is None:
        text = _walked(value, where)
    if len(text) > max_bytes:
        raise StoreError(
            f"{where}: {len(text):,} bytes of JSON, at most {max_bytes:,} are kept: put large "
            "data into a file or a database and pass its path or key on, or raise max_bytes="
        )
    return text


def decode(text: str | bytes) -> Any:
    """Read back what `encode` wrote.

    >>> decode('{"days":{"$tuple":[1,2]}}')
    {'days': (1, 2)}
    """
    words = text.decode() if isinstance(text, bytes) else text
    return json.loads(words, object_hook=_unmarked) if '"$' in words else _read(words)


def lenient(value: Any, *, max_bytes: int = MAX_BYTES) -> str:
    """Write what explains a failure: parts that are not JSON as their repr, too large ones not.

    >>> lenient({"table": {1}, "n": 2})
    '{"table":"{1}","n":2}'
    """
    try:
        parts = value
        if type(value) is dict:
            parts = {k if type(k) is str else short_repr(k): _or_repr(v) for k, v in value.items()}
        return encode(parts, "", max_bytes=max_bytes)
    except StoreError:
        return encode(short_repr(value), "")


def _or_repr(value: Any) -> Any:
    try:
        encode(value, "")
    except StoreError:
        return short_repr(value)
    return value


def _same_again(value: Any) -> str | None:
    """The text of *value* if reading it gives the same again; else it has to be walked."""
    try:
        text = _write(value)
        # "$" may look like a mark, "\\ud" like half a surrogate pair: then look at each part
        plain = '"$' not in text and "\\ud" not in text
        return text if plain and _exactly(_read(text)) == _exactly(value) else None
    except (TypeError, ValueError, RecursionError):
        return None


def _exactly(value: Any) -> bytes:
    """Give what tells 1 from 1.0 and True; ValueError for what is only derived from a plain type.

    The second version of marshal's format tells nothing but types and values.
    """
    return marshal.dumps(value, 2)


def _walked(value: Any, where: str) -> str:
    try:
        return _write(_Marked().plain(value))
    except Refused as refused:
        path = refused.path
        raise StoreError(f"{where}: {path + ': ' if path else ''}{refused.reason}") from None


class _Marked(Walk):
    """The walk through what is kept: tuples get a mark."""

    def other(self, value: Any, depth: int) -> Any:
        if type(value) is tuple:
            return {_TUPLE: self.row(value, depth)}
        return super().other(value, depth)

    def key(self, key: Any) -> str:
        """Give the key; one that could be taken for a mark gets another "$"."""
        text = super().key(key)
        return f"${text}" if text.startswith("$") else text


def _unmarked(found: dict[str, Any]) -> Any:
    if len(found) == 1 and _TUPLE in found:
        return tuple(found[_TUPLE])
    return {k.removeprefix("$"): v for k, v in found.items()}
