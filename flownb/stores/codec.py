"""How is a value written so that a resumed run finds exactly what the first one had?

As JSON, which anybody can read and nobody can run. Tuples are marked, as JSON has none;
everything else that would come back different is refused with its path: NaN, keys that
are no text, sets, arrays, objects. Most values need no look at each of their parts: they
are read back once and compared, which happens in C.
"""

from __future__ import annotations

import json
import json.encoder
from collections.abc import Callable
from typing import Any, Final

from flownb.errors import StoreError
from flownb.model.jsonable import Refused, advice, key_text, scalar, short_repr

MAX_BYTES: Final = 64 * 2**20
_DEEPEST: Final = 100
_TUPLE: Final = "$tuple"
_SECRETS: Final = ("SecretStr", "SecretBytes", "Secret")
_encoder = json.JSONEncoder(allow_nan=False, separators=(",", ":"))
_read = json.JSONDecoder().decode


def _writer() -> Callable[[Any], str]:
    """Give what writes JSON: Python's own, which it otherwise makes anew for each value."""
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return _encoder.encode
    escape = json.encoder.encode_basestring_ascii
    parts = make(None, _encoder.default, escape, None, ":", ",", False, False, False)
    return lambda value: "".join(parts(value, 0))


_write = _writer()


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
        parts = {str(k): _or_repr(v) for k, v in value.items()} if type(value) is dict else value
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
    """The text of *value* if reading it gives an equal value; else it has to be walked."""
    try:
        text = _write(value)
        # "$" may look like a mark, "\\ud" like half a surrogate pair: then look at each part
        plain = '"$' not in text and "\\ud" not in text
        return text if plain and _read(text) == value else None
    except (TypeError, ValueError, RecursionError):
        return None


def _walked(value: Any, where: str) -> str:
    try:
        return _write(_marked(value, 0))
    except Refused as refused:
        path = refused.path.replace(f"['{_TUPLE}']", "")
        raise StoreError(f"{where}: {path + ': ' if path else ''}{refused.reason}") from None


def _marked(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, (bool, str, int, float)):
        return scalar(value)
    if depth == _DEEPEST:
        raise Refused(f"nested deeper than {_DEEPEST} levels, or inside itself")
    if isinstance(value, dict):
        return {_key(key): _member(item, key, depth) for key, item in value.items()}
    if isinstance(value, list):
        return [_member(item, at, depth) for at, item in enumerate(value)]
    if type(value) is tuple:
        return {_TUPLE: [_member(item, at, depth) for at, item in enumerate(value)]}
    raise Refused(_reason(value))


def _member(value: Any, at: int | str, depth: int) -> Any:
    try:
        return _marked(value, depth + 1)
    except Refused as refused:
        raise refused.inside(at) from None


def _key(key: Any) -> str:
    """Give the key; one that could be taken for a mark gets another "$"."""
    text = key_text(key)
    return f"${text}" if text.startswith("$") else text


def _reason(value: Any) -> str:
    name = type(value).__name__
    if name in _SECRETS:
        return f"a {name} is not stored: let the node read it where it is needed"
    if hasattr(value, "model_dump"):
        return f"{name} is not JSON: use .model_dump()"
    return f"{name} is not JSON{advice(value)}"


def _unmarked(found: dict[str, Any]) -> Any:
    if len(found) == 1 and _TUPLE in found:
        return tuple(found[_TUPLE])
    return {k.removeprefix("$"): v for k, v in found.items()}
