"""What may cross a queue, and where exactly is the thing that may not?

JSON and nothing else: a queue can be on a shared Redis, and whoever unpickles
from a shared place runs other people's code. What JSON would silently change or
lose (NaN, integer keys, lone surrogates) is refused on push, with its path.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import lru_cache
from math import isfinite
from typing import Any, Final

from flownb.errors import QueueError
from flownb.model.jsonable import Refused, advice, key_text, scalar, short_repr, step

# Far from Python's recursion limit, so that what could be pushed can be popped.
_DEEPEST = 100
# Far more than a message should carry; a stranger's gigabyte must not fill a reader's memory.
_LARGEST = 16_000_000
_SMALL = 1 << 63  # integers up to here need no second look


def dumps(data: Any, *, queue: str, model: type | None = None, what: str = "payload") -> str:
    """The JSON text of `data`, or a `QueueError` that names the queue and the field.

    Tuples become lists and pydantic models are dumped, at any depth.

    >>> dumps({"days": (1, 2)}, queue="wet_days")
    '{"days":[1,2]}'
    >>> dumps({"days": [{"rain": float("nan")}]}, queue="wet_days")
    Traceback (most recent call last):
    flownb.errors.QueueError: queue 'wet_days': payload.days[0].rain: NaN is not JSON
    """
    try:
        value = data if model is None else _through(model, data)
        text = _encode(value if _is_plain(value) else _plain(value))
    except Refused as refused:
        raise QueueError(f"queue {queue!r}: {what}{refused.path}: {refused.reason}") from None
    if len(text) > _LARGEST:
        raise QueueError(
            f"queue {queue!r}: {what} has {len(text) / 1e6:.1f} million characters, more than "
            f"{_LARGEST / 1e6:g} million: pass a path or key to where it is kept"
        )
    return text


def loads(text: bytes, *, model: type | None = None) -> Any:
    """What `dumps` wrote, checked again: anybody may write to a shared Redis.

    Raises ValueError, with the path of the field, on anything else.

    >>> loads(b'{"days":[1,2]}')
    {'days': [1, 2]}
    """
    if len(text) > 4 * _LARGEST:  # bytes, of which a character has up to four
        raise ValueError(f"payload: {len(text)} bytes are too many")
    try:
        value = _decoded(text.decode())
        # 1e999 reads as infinity; an escape may say half of a surrogate pair.
        if not _is_plain(value):
            _plain(value)
        return value if model is None else _adapter(model).validate_json(text)
    except Refused as refused:
        raise ValueError(f"payload{refused.path}: {refused.reason}") from None
    except RecursionError:
        raise ValueError("payload: nested too deeply") from None


def lenient(record: dict[str, Any]) -> str:
    """The JSON text of a dead letter: what is not JSON is kept as its repr.

    A failure must never be lost because the item that failed cannot be written.

    >>> lenient({"loop": "days", "item": {1, }})
    '{"loop":"days","item":"{1}"}'
    """
    kept = {key: _plain_or_repr(value) for key, value in record.items()}
    return json.dumps(kept, ensure_ascii=False, separators=(",", ":"))


def _plain_or_repr(value: Any) -> Any:
    try:
        return _plain(value)
    except Refused:
        return short_repr(value)


def _no_constant(name: str) -> Any:
    raise Refused(f"{name} is not JSON")


_encode: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_decoder: Final = json.JSONDecoder(parse_constant=_no_constant)


def _decoded(text: str) -> Any:
    try:
        value, end = _decoder.raw_decode(text)
    except json.JSONDecodeError:
        end = -1
    # `decode` takes half as long again, for the white space that there may be around.
    return value if end == len(text) else _decoder.decode(text)


def _always(_: object) -> bool:
    return True


_LEAVES: Final[dict[type, Callable[[Any], bool]]] = {
    str: str.isascii,
    int: lambda value: -_SMALL < value < _SMALL,
    float: isfinite,
    bool: _always,
    type(None): _always,
}


def _is_plain(value: Any, depth: int = 0) -> bool:
    """Whether a quick look finds only what comes back the same; most of all payloads are so."""
    kind = type(value)
    if kind is dict:
        return depth < _DEEPEST and _are_names(value) and _are_plain(value.values(), depth + 1)
    if kind is list:
        return depth < _DEEPEST and _are_plain(value, depth + 1)
    return kind in _LEAVES and _LEAVES[kind](value)


def _are_plain(values: Iterable[Any], depth: int) -> bool:
    for value in values:  # a call for each leaf, or a generator, would cost twice as much
        check = _LEAVES.get(type(value))
        if not (_is_plain(value, depth) if check is None else check(value)):
            return False
    return True


def _are_names(keys: Iterable[Any]) -> bool:
    try:
        return "".join(keys).isascii()
    except TypeError:
        return False


def _plain(value: Any, depth: int = 0) -> Any:
    """`value` as JSON types only; raises `Refused` for what would not come back the same."""
    if value is None or isinstance(value, (bool, str, int, float)):
        return scalar(value)
    if isinstance(value, dict):
        return {key_text(key): _member(item, key, depth) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_member(item, at, depth) for at, item in enumerate(value)]
    return _plain(_dumped(value), depth)


def _member(value: Any, at: int | str, depth: int) -> Any:
    if depth == _DEEPEST:
        raise Refused(f"nested deeper than {_DEEPEST} levels, or inside itself")
    try:
        return _plain(value, depth + 1)
    except Refused as refused:
        raise refused.inside(at) from None


def _dumped(value: Any) -> Any:
    """A pydantic model as JSON types; everything else is refused, with advice."""
    if _is_model(value):
        return value.model_dump(mode="json", by_alias=True, round_trip=True)
    raise Refused(f"{type(value).__name__} is not JSON{advice(value)}")


def _is_model(value: Any) -> bool:
    # Asked of the class, so that pydantic is not imported for those who do not use it.
    return hasattr(type(value), "__pydantic_serializer__") and hasattr(value, "model_dump")


def _through(model: type, data: Any) -> Any:
    """`data` checked by the queue's model and dumped to JSON types."""
    from pydantic import ValidationError
    from pydantic_core import PydanticSerializationError

    adapter = _adapter(model)
    try:
        value = adapter.validate_python(data)
        return adapter.dump_python(value, mode="json", by_alias=True, round_trip=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        refused = Refused(f"{first['msg']} (model {_name(model)})")
        refused.path = "".join(map(step, first["loc"]))
        raise refused from None
    except PydanticSerializationError as error:
        raise Refused(f"{error} (model {_name(model)})") from None


def _name(model: type) -> str:
    return getattr(model, "__name__", str(model))


@lru_cache(maxsize=256)
def _adapter(model: type) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(model)
