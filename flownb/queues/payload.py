"""Which payloads may cross a queue? JSON values; an error gives the path to any other.

JSON and nothing else: a queue can be on a shared Redis, and whoever unpickles
from a shared place runs other people's code. What JSON would silently change or
lose (NaN, integer keys, lone surrogates, tuples) is refused on push, with its path. What a
model writes is read back at once: what its class would make of it has to be the same.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from pydantic_core import from_json, to_json

from flownb.errors import QueueError
from flownb.jsonable import (
    Refused,
    Walk,
    adapter_of,
    is_model,
    is_plain,
    refusal,
    short_repr,
    why,
    written,
)
from flownb.queues import msgpack

if TYPE_CHECKING:
    from flownb.model.policies import Codec

FIELDS: Final[dict[Codec, str]] = {"json": "data", "msgpack": "msgpack"}
"""The field of an entry that holds its payload, by the codec that wrote it."""

_CODECS: Final[dict[bytes, Codec]] = {name.encode(): codec for codec, name in FIELDS.items()}

# Far more than a message should carry; a stranger's gigabyte must not fill a reader's memory.
_LARGEST = 16_000_000


def dumps(
    data: Any, *, queue: str, model: type | None = None, codec: Codec = "json",
    what: str = "payload",
) -> str:  # fmt: skip
    """The JSON text of `data`, or a `QueueError` that names the queue and the field.

    Of the codec "msgpack" the bytes, as text that goes to Redis as those bytes.

    Without `model` a pydantic model, at any depth, becomes a dict, out of which its class
    makes the same again. What a model's own code raises is the error's cause.

    >>> dumps({"days": [1, 2]}, queue="wet_days")
    '{"days":[1,2]}'
    >>> dumps({"days": [{"rain": float("nan")}]}, queue="wet_days")
    Traceback (most recent call last):
    flownb.errors.QueueError: queue 'wet_days': payload.days[0].rain: NaN is not JSON
    >>> dumps({"days": (1, 2)}, queue="wet_days", model=dict[str, tuple[int, int]])
    '{"days":[1,2]}'
    """
    try:
        if codec == "msgpack":
            text = msgpack.dumps(data, model=model).decode(errors="surrogateescape")
        else:
            if model is not None:
                checked = _checked(model, data)
                data = written(adapter_of(model), checked, _name(model))
            text = to_json(data if is_plain(data) else _walk.plain(data)).decode()
    except Refused as refused:
        msg = f"queue {queue!r}: {what}{refused.path}: {refused.reason}"
        raise QueueError(msg) from refused.__cause__
    if len(text) > _LARGEST:
        raise QueueError(
            f"queue {queue!r}: {what} has {len(text) / 1e6:.1f} million characters, more than "
            f"{_LARGEST / 1e6:g} million: pass a path or key to where it is kept"
        )
    return text


def read_meta(fields: dict[bytes, bytes]) -> dict[str, Any]:
    """What the pusher of an entry said of itself; ValueError if that is no JSON object."""
    if (text := fields.get(b"meta")) is None:
        return {}
    try:
        meta = _decoded(text)
    except (Refused, RecursionError) as error:
        raise ValueError(f"meta: {error}") from None
    if not isinstance(meta, dict):
        raise ValueError("the field 'meta' is not a JSON object")  # noqa: TRY004 - it was read
    return meta


def read_fields(fields: dict[bytes, bytes], *, model: type | None = None) -> Any:
    """The payload of an entry, whichever codec wrote it; ValueError if it is none of ours."""
    for name, codec in _CODECS.items():
        if (data := fields.get(name)) is not None:
            return loads(data, model=model, codec=codec)
    raise ValueError("no field 'data': this was not pushed by flownb")


def loads(text: bytes, *, model: type | None = None, codec: Codec = "json") -> Any:
    """What `dumps` wrote, checked again: anybody may write to a shared Redis.

    Raises ValueError, with the path of the field, on anything else; what a model's own
    validator raises, whatever that is, is its cause.

    >>> loads(b'{"days":[1,2]}')
    {'days': [1, 2]}
    """
    if len(text) > 4 * _LARGEST:  # bytes, of which a character has up to four
        raise ValueError(f"payload: {len(text)} bytes are too many")
    if codec == "msgpack":
        return msgpack.loads(text, model=model)
    try:
        value = _decoded(text)
        # 1e999 reads as infinity; an escape may say half of a surrogate pair.
        if not is_plain(value):
            _walk.plain(value)
        return value if model is None else _read(adapter_of(model), text, _name(model))
    except Refused as refused:
        raise ValueError(f"payload{refused.path}: {refused.reason}") from refused.__cause__
    except RecursionError:
        raise ValueError("payload: nested too deeply") from None


def lenient(record: dict[str, Any]) -> str:
    """The JSON text of a dead letter; `lossy` says that its item is not in it as it was.

    What is not JSON is kept as its repr: a failure must never be lost because the item that
    failed cannot be written.

    >>> lenient({"loop": "days", "item": {1, }})
    '{"loop":"days","item":"{1}","lossy":true}'
    """
    kept = {key: _plain_or_repr(value) for key, value in record.items()}
    if not _is_exact(record.get("item")):
        kept["lossy"] = True
    return json.dumps(kept, ensure_ascii=False, separators=(",", ":"))


def _is_exact(value: Any) -> bool:
    try:
        Walk().plain(value)
    except Refused:
        return False
    return True


def _plain_or_repr(value: Any) -> Any:
    """What a person can still read: tuples as lists, models as dicts, all else as its repr."""
    try:
        return _Loose().plain(value)
    except Exception:  # noqa: BLE001 - a model's own code
        return short_repr(value)


def _no_constant(name: str) -> Any:
    raise Refused(f"{name} is not JSON")


_decoder: Final = json.JSONDecoder(parse_constant=_no_constant)


def _decoded(text: bytes) -> Any:
    """The value of a JSON text; `json` says best what is wrong with one that is none."""
    try:
        return from_json(text, allow_inf_nan=False, cache_strings="keys")
    except ValueError:
        return _decoder.decode(text.decode())


class _Payload(Walk):
    """The walk through a payload: models become dicts."""

    def other(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if is_model(kind):
            model: Any = kind
            return self.part(written(adapter_of(model), value, kind.__name__), depth)
        reason = why(value)
        raise Refused(f"{reason}, or give the queue model=" if "comes back" in reason else reason)


class _Loose(Walk):
    """The walk through what a person is to read."""

    def other(self, value: Any, depth: int) -> Any:
        if type(value) is tuple:
            return self.row(value, depth)
        if is_model(type(value)):
            return self.part(value.model_dump(mode="json", by_alias=True, warnings=False), depth)
        return super().other(value, depth)


_walk: Final = _Payload()


def _checked(model: type, data: Any) -> Any:
    """What a queue's model makes of what is pushed."""
    try:
        return adapter_of(model).validate_python(data)
    except Exception as error:
        raise refusal(error, f"model {_name(model)}") from error


def _read(adapter: Any, text: str | bytes, name: str) -> Any:
    """What a model makes of JSON."""
    try:
        return adapter.validate_json(text)
    except BaseException as error:
        raise refusal(error, f"model {name}") from error


def _name(model: type) -> str:
    return getattr(model, "__name__", str(model))
