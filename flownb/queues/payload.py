"""What may cross a queue, and where exactly is the thing that may not?

JSON and nothing else: a queue can be on a shared Redis, and whoever unpickles
from a shared place runs other people's code. What JSON would silently change or
lose (NaN, integer keys, lone surrogates) is refused on push, with its path.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from functools import lru_cache
from typing import Any

from flownb.errors import QueueError

# Python refuses to read back integers of more than 4300 digits.
_LONGEST_INT_BITS = 14_000
# Far from Python's recursion limit, so that what could be pushed can be popped.
_DEEPEST = 100
_SPOKEN_ADVICE = {
    "bytes": "decode it, or pass a path or key to where it is kept",
    "bytearray": "decode it, or pass a path or key to where it is kept",
    "set": "use a sorted list",
    "frozenset": "use a sorted list",
    "datetime": "use .isoformat()",
    "date": "use .isoformat()",
    "Decimal": "use str(...) or float(...)",
}


class _Refused(Exception):
    """A value that is not JSON; `path` grows as the error leaves each container."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path = ""

    def inside(self, at: int | str) -> _Refused:
        self.path = _step(at) + self.path
        return self


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
        plain = _plain(data if model is None else _through(model, data))
    except _Refused as refused:
        raise QueueError(f"queue {queue!r}: {what}{refused.path}: {refused.reason}") from None
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":"))


def loads(text: bytes, *, model: type | None = None) -> Any:
    """What `dumps` wrote, checked again: anybody may write to a shared Redis.

    Raises ValueError, with the path of the field, on anything else.

    >>> loads(b'{"days":[1,2]}')
    {'days': [1, 2]}
    """
    try:
        value = json.loads(text.decode(), parse_constant=_no_constant)
        # Escapes are the one way to write what UTF-8 itself cannot carry; 1e999 reads as infinity.
        _plain(value)
        return value if model is None else _adapter(model).validate_json(text)
    except _Refused as refused:
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
    except _Refused:
        return _repr(value)[:1000].encode(errors="backslashreplace").decode()


def _repr(value: Any) -> str:
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001  the item of a failed node may fail at this too
        return f"<{type(value).__name__}, whose repr raises {type(error).__name__}>"


def _no_constant(name: str) -> Any:
    raise _Refused(f"{name} is not JSON")


def _plain(value: Any, depth: int = 0) -> Any:
    """`value` as JSON types only; raises `_Refused` for what would not come back the same."""
    if value is None or isinstance(value, (bool, str, int, float)):
        return _scalar(value)
    if isinstance(value, dict):
        return {_key(key): _member(item, key, depth) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_member(item, at, depth) for at, item in enumerate(value)]
    return _plain(_dumped(value), depth)


def _member(value: Any, at: int | str, depth: int) -> Any:
    if depth == _DEEPEST:
        raise _Refused(f"nested deeper than {_DEEPEST} levels, or inside itself")
    try:
        return _plain(value, depth + 1)
    except _Refused as refused:
        raise refused.inside(at) from None


def _scalar(value: Any) -> Any:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, float):
        return _float(value)
    return _int(value) if isinstance(value, int) else value


def _text(value: str) -> str:
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise _Refused("a lone surrogate is not text") from None
    return value


def _int(value: int) -> int:
    if value.bit_length() > _LONGEST_INT_BITS:
        raise _Refused("an integer this long cannot be read back: use a string")
    return value


def _float(value: float) -> float:
    if not math.isfinite(value):
        name = "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        raise _Refused(f"{name} is not JSON")
    return value


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise _Refused(f"the key {key!r} is not a string: use {str(key)!r}")
    return _text(key)


def _step(at: int | str) -> str:
    if isinstance(at, int):
        return f"[{at}]"
    return f".{at}" if re.fullmatch(r"[^\W\d]\w*", at) else f"[{at!a}]"


def _dumped(value: Any) -> Any:
    """A pydantic model as JSON types; everything else is refused, with advice."""
    if _is_model(value):
        return value.model_dump(mode="json", by_alias=True, round_trip=True)
    raise _Refused(f"{type(value).__name__} is not JSON{_advice(value)}")


def _is_model(value: Any) -> bool:
    # Asked of the class, so that pydantic is not imported for those who do not use it.
    return hasattr(type(value), "__pydantic_serializer__") and hasattr(value, "model_dump")


def _advice(value: Any) -> str:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return ": use dataclasses.asdict(...), or give the queue model="
    if hasattr(value, "tolist"):
        return ": use .tolist()"
    spoken = _SPOKEN_ADVICE.get(type(value).__name__)
    return f": {spoken}" if spoken else ""


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
        refused = _Refused(f"{first['msg']} (model {_name(model)})")
        refused.path = "".join(map(_step, first["loc"]))
        raise refused from None
    except PydanticSerializationError as error:
        raise _Refused(f"{error} (model {_name(model)})") from None


def _name(model: type) -> str:
    return getattr(model, "__name__", str(model))


@lru_cache(maxsize=256)
def _adapter(model: type) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(model)
