"""How does a queue with `codec="msgpack"` write a payload? As MessagePack, by msgspec.

Beside what JSON knows it takes bytes, datetimes, dates, times, timedeltas, UUIDs, Decimals, NumPy
arrays and numbers, Arrow tables, and what `register_type` was told of. Each comes back as it was.
Nothing that is read names code to run: a type that was not registered here is refused.
"""

from __future__ import annotations

import datetime
import decimal
import math
import uuid
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, NamedTuple

from flownb.arguments import TEXT, checked
from flownb.errors import QueueError
from flownb.jsonable import Refused, Walk, adapter_of, compare, is_model, refusal, why

_CODE: Final = 1  # of all our extensions: their content says which type it is
_LONGEST_INT: Final = 64


class _Type(NamedTuple):
    kind: type
    name: str
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]


_by_kind: dict[type, _Type] = {}
_by_name: dict[str, _Type] = {}


def register_type(
    kind: type, name: str, encode: Callable[[Any], bytes], decode: Callable[[bytes], Any]
) -> None:
    """Have queues with `codec="msgpack"` carry values of a class, and of no subclass of it.

    `encode` makes bytes of a value, `decode` the value of them; `name` is what stands in the
    queue, so whoever reads it registers the same name.

    >>> register_type(complex, "complex", lambda c: repr(c).encode(), lambda b: complex(b.decode()))
    >>> loads(dumps({"z": 1 + 2j}))
    {'z': (1+2j)}
    """
    checked("register_type()", "name", name, TEXT, QueueError)
    taken = _by_name.get(name)
    if taken is not None and (taken.kind.__module__, taken.kind.__qualname__) != (
        kind.__module__, kind.__qualname__,
    ):  # fmt: skip
        raise QueueError(f"register_type(): {name!r} stands for {taken.kind.__name__} already")
    _by_kind[kind] = _by_name[name] = _Type(kind, name, encode, decode)


def _register_text(kind: type, name: str, encode: Callable[[Any], str], decode: Any) -> None:
    register_type(kind, name, lambda v: encode(v).encode(), lambda data: decode(data.decode()))


_register_text(
    datetime.datetime, "datetime", lambda v: v.isoformat(), datetime.datetime.fromisoformat
)
_register_text(datetime.date, "date", lambda v: v.isoformat(), datetime.date.fromisoformat)
_register_text(datetime.time, "time", lambda v: v.isoformat(), datetime.time.fromisoformat)
_register_text(decimal.Decimal, "decimal", str, decimal.Decimal)
register_type(uuid.UUID, "uuid", lambda v: v.bytes, lambda data: uuid.UUID(bytes=data))
_register_text(
    datetime.timedelta, "timedelta", lambda v: f"{v.days} {v.seconds} {v.microseconds}",
    lambda text: datetime.timedelta(*map(int, text.split())),
)  # fmt: skip


def dumps(value: Any, *, model: type | None = None) -> bytes:
    """The bytes of a value; `Refused`, with its path, for what would not come back the same."""
    if model is not None:
        value = _of_model(model, value)
    return bytes(_msgspec().msgpack.encode(_walk.plain(value)))


def loads(data: bytes, *, model: type | None = None) -> Any:
    """What `dumps` wrote; ValueError for anything else."""
    msgspec = _msgspec()
    try:
        value = msgspec.msgpack.decode(data, ext_hook=_read)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"payload: {error}") from None
    if model is None:
        return value
    try:
        return adapter_of(model).validate_python(value)
    except Exception as error:
        refused = refusal(error, f"model {model.__name__}")
        raise ValueError(f"payload{refused.path}: {refused.reason}") from error


def _of_model(model: type, value: Any) -> Any:
    """What a model makes of a value, if the model makes the same of that again."""
    name, adapter = getattr(model, "__name__", str(model)), adapter_of(model)
    try:
        went = adapter.validate_python(value)
        plain = adapter.dump_python(went, by_alias=True, round_trip=True, warnings=False)
        came = adapter.validate_python(plain)
    except Exception as error:
        raise refusal(error, f"model {name}") from error
    compare(went, came)
    return plain


class _Packed(Walk):
    """The walk through a payload: what MessagePack does not know becomes an extension."""

    int_bits = _LONGEST_INT - 1

    def scalar(self, value: Any) -> Any:
        if type(value) is float and not math.isfinite(value):
            return value  # it comes back as it was
        return super().scalar(value)

    def other(self, value: Any, depth: int) -> Any:  # noqa: ARG002 - nothing is inside
        kind = type(value)
        if kind is bytes:
            return value
        known = _by_kind.get(kind) or _library_type(kind)
        if known is None:
            if is_model(kind):
                raise Refused(f"{kind.__name__} comes back as a dict: give the queue model=")
            said = why(value).replace("is not JSON", "is not known to it")
            raise Refused(f"{said}, or register_type({kind.__name__}, ...)")
        try:
            data = known.encode(value)
            compare(value, known.decode(data))
        except Refused:
            raise
        except Exception as error:
            raise Refused(f"a {kind.__name__} cannot be written: {error}") from error
        msgspec = _msgspec()
        return msgspec.msgpack.Ext(_CODE, msgspec.msgpack.encode([known.name, data]))


_walk: Final = _Packed()


def _read(code: int, data: memoryview) -> Any:
    """The value of an extension."""
    if code != _CODE:
        raise ValueError(f"extension {code} is none of ours")
    name, text = _msgspec().msgpack.decode(bytes(data))
    known = _by_name.get(name) or _library_name(name)
    if known is None:
        raise ValueError(f"type {name!r} is not registered here: register_type() it")
    return known.decode(text)


def _library_type(kind: type) -> _Type | None:
    """NumPy and Arrow register themselves with their first value."""
    root = kind.__module__.partition(".")[0]
    if root in {"numpy", "pyarrow"}:
        _register_library(root)
    return _by_kind.get(kind)


def _library_name(name: str) -> _Type | None:
    root = name.partition(".")[0]
    if root in {"numpy", "pyarrow"}:
        _register_library(root)
    return _by_name.get(name)


@lru_cache
def _register_library(root: str) -> None:
    if root == "numpy":
        import numpy as np

        register_type(np.ndarray, "numpy.ndarray", _array_bytes, _array)
        for kind in {np.dtype(code).type for code in "?bBhHiIlLqQefdFD"}:
            name = f"numpy.{kind.__name__}"
            register_type(kind, name, _array_bytes, lambda data: _array(data)[()])
    else:
        import pyarrow

        register_type(pyarrow.Table, "pyarrow.Table", _table_bytes, _table)


def _array_bytes(value: Any) -> bytes:
    import io

    import numpy as np

    out = io.BytesIO()
    np.save(out, value, allow_pickle=False)
    return out.getvalue()


def _array(data: bytes) -> Any:
    import io

    import numpy as np

    return np.load(io.BytesIO(data), allow_pickle=False)


def _table_bytes(table: Any) -> bytes:
    import pyarrow

    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return bytes(sink.getvalue())


def _table(data: bytes) -> Any:
    import pyarrow

    return pyarrow.ipc.open_stream(data).read_all()


def _msgspec() -> Any:
    try:
        import msgspec
    except ImportError:
        raise QueueError("codec='msgpack' needs msgspec: pip install 'flownb[msgpack]'") from None
    return msgspec
