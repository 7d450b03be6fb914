"""Does a value come back from JSON as it went, and if not, where not and what instead?

One walk for all that is written: messages of a queue (`queues/payload`), what runs keep
(`stores/codec`) and documents (`model/document`). Whatever would come back as something
else is refused with its place: NaN, keys that are no text, half a surrogate pair, a tuple,
an enum member, a NumPy number. Equal is not enough: True is not 1, 1 is not 1.0.
"""

from __future__ import annotations

import dataclasses
import json
import json.encoder
import math
import re
from collections import deque
from collections.abc import Callable
from datetime import timezone
from enum import Enum
from functools import lru_cache
from typing import Any, ClassVar, Final

from flownb.errors import GraphError, told

_SMALL: Final = 1 << 63  # integers up to here need no second look
_BY_IDENTITY: Final[Any] = object.__eq__
MAX_VALUES: Final = 1_000_000
# Python refuses to read back integers of more than 4300 digits.
_LONGEST_INT_BITS = 14_000
_BASES: Final[tuple[type, ...]] = (str, int, float, dict, list, tuple)
_SPOKEN_ADVICE = {
    "bytes": "decode it, or pass a path or key to where it is kept",
    "bytearray": "decode it, or pass a path or key to where it is kept",
    "set": "use a sorted list",
    "frozenset": "use a sorted list",
    "datetime": "use .isoformat()",
    "date": "use .isoformat()",
    "time": "use .isoformat()",
    "timedelta": "use .total_seconds()",
    "Decimal": "use str(...) or float(...)",
    "UUID": "use str(...)",
}


class Refused(Exception):
    """A value that is not JSON; `path` grows as the error leaves each container."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path = ""

    def inside(self, at: int | str) -> Refused:
        """Add the step at which the container holds it."""
        self.path = step(at) + self.path
        return self


class Walk:
    """Goes through a value once; a subclass says what becomes of what is not plain JSON."""

    deepest: ClassVar[int] = 100
    int_bits: ClassVar[int] = _LONGEST_INT_BITS

    def plain(self, value: Any) -> Any:
        """Give *value* as JSON types only; `Refused` names what would not come back the same."""
        return self.part(value, 0)

    def part(self, value: Any, depth: int) -> Any:
        """Give one part of it, *depth* containers deep."""
        kind = type(value)
        if kind is dict:
            return {self.key(key): self.member(item, key, depth) for key, item in value.items()}
        if kind is list:
            return self.row(value, depth)
        if value is None or kind is bool or kind is str or kind is int or kind is float:
            return self.scalar(value)
        return self.other(value, depth)

    def row(self, values: Any, depth: int) -> list[Any]:
        """Give the parts of a list."""
        return [self.member(item, at, depth) for at, item in enumerate(values)]

    def member(self, value: Any, at: int | str, depth: int) -> Any:
        """Give what a container holds at a place."""
        if depth == self.deepest:
            raise Refused(f"nested deeper than {self.deepest} levels, or inside itself")
        try:
            return self.part(value, depth + 1)
        except Refused as refused:
            raise refused.inside(at) from refused.__cause__

    def key(self, key: Any) -> str:
        """Give a key that is text; JSON would turn others into text in silence."""
        if type(key) is not str:
            if isinstance(key, str):
                raise Refused(f"the key {short_repr(key, 80)}: {why(key)}")
            plain = key is None or isinstance(key, (int, float))
            cure = f"use {str(key)!r}" if plain else "give it a name"
            raise Refused(f"the key {short_repr(key, 80)} is not a string: {cure}")
        return _text(key)

    def scalar(self, value: Any) -> Any:
        """Give a text, number, bool or None that reads back the same."""
        if type(value) is str:
            return _text(value)
        if type(value) is float:
            return _float(value)
        if type(value) is int and value.bit_length() > self.int_bits:
            raise Refused("an integer this long cannot be read back: use a string")
        return value

    def other(self, value: Any, depth: int) -> Any:  # noqa: ARG002
        """Give what stands for a value that is no JSON."""
        raise Refused(why(value))


class _Document(Walk):
    """The walk through a document: it comes from files, browsers and strangers."""

    deepest = 64
    int_bits = 1024  # beyond about 300 digits even printing a number is an attack

    def __init__(self) -> None:
        self._left = MAX_VALUES

    def part(self, value: Any, depth: int) -> Any:
        self._left -= 1
        if self._left < 0:
            raise Refused(f"more than {MAX_VALUES:,} values")
        return super().part(value, depth)


def check_plain(value: object, where: str) -> None:
    """Raise GraphError that names the place of the first value that is not plain JSON.

    >>> check_plain({"a": [1, None, "x"]}, "config")
    >>> check_plain({"a": [1, {2}]}, "config")
    Traceback (most recent call last):
    flownb.errors.GraphError: config.a[1]: set is not JSON: use a sorted list
    """
    try:
        _Document().plain(value)
    except Refused as refused:
        msg = f"{where}{refused.path}: {refused.reason}"
        raise GraphError(msg) from None


def _text(value: str) -> str:
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise Refused("a lone surrogate is not text") from None
    return value


def _float(value: float) -> float:
    if not math.isfinite(value):
        name = "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        raise Refused(f"{name} is not JSON")
    return value


def step(at: int | str) -> str:
    """Write one step of a path, as in `.days[0]`."""
    if isinstance(at, int):
        return f"[{at}]"
    return f".{at}" if re.fullmatch(r"[^\W\d]\w*", at) else f"[{at!a}]"


def _always(_: object) -> bool:
    return True


_LEAVES: Final[dict[type, Callable[[Any], bool]]] = {
    str: str.isascii,
    int: lambda value: -_SMALL < value < _SMALL,
    float: math.isfinite,
    bool: _always,
    type(None): _always,
}


def is_plain(value: Any, depth: int = 0) -> bool:
    """Say whether a quick look finds only what comes back the same; most of all payloads are so.

    A call for each leaf, or a generator, would cost twice as much.
    """
    kind = type(value)
    leaf = _LEAVES.get(kind)
    if leaf is not None:
        return leaf(value)
    if depth == Walk.deepest or not (kind is list or (kind is dict and _are_names(value))):
        return False
    depth += 1
    for item in value if kind is list else value.values():
        check = _LEAVES.get(type(item))
        if not (is_plain(item, depth) if check is None else check(item)):
            return False
    return True


def _are_names(keys: dict[Any, Any]) -> bool:
    for key in keys:  # quicker than a set of their types where they are few
        if type(key) is not str:
            return False
    return "".join(keys).isascii()


def writer(*, ascii_only: bool) -> Callable[[Any], str]:
    """Give what writes JSON: Python's own, which it otherwise makes anew for each value."""
    encoder = json.JSONEncoder(
        ensure_ascii=ascii_only, allow_nan=False, check_circular=False, separators=(",", ":")
    )
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return encoder.encode
    module = json.encoder
    escape = module.encode_basestring_ascii if ascii_only else module.encode_basestring
    parts = make(None, encoder.default, escape, None, ":", ",", False, False, False)
    return lambda value: "".join(parts(value, 0))


# -- why not -----------------------------------------------------------------------------


def why(value: Any) -> str:
    """Say why a value would not come back as it is, and what to use instead.

    >>> why((1, 2)), why({1})
    ('a tuple comes back as a list: use list(...)', 'set is not JSON: use a sorted list')
    """
    kind = type(value)
    cure, base = _cure(kind), _base(kind)
    if hasattr(kind, "get_secret_value"):
        reason = f"a {kind.__name__} is not written"
    elif base is tuple:
        reason = f"a {kind.__name__} comes back as a list"
    elif base is not None:
        reason = f"{kind.__name__} comes back as {base.__name__}"
    else:
        reason = f"{kind.__name__} is not JSON"
    return f"{reason}: {cure}" if cure else reason


def _base(kind: type) -> type | None:
    return next((base for base in _BASES if issubclass(kind, base)), None)


def _cure(kind: type) -> str:
    """Say what to use instead of a value of that class, or nothing.

    Only the class is asked: what an instance answers may be anything.
    """
    base = _base(kind)
    if hasattr(kind, "get_secret_value"):
        cure = "let the node read it where it is needed"
    elif issubclass(kind, Enum):
        cure = "use .value"
    elif base is tuple:
        cure = f"use {'._asdict() or ' if hasattr(kind, '_asdict') else ''}list(...)"
    elif base is not None:
        cure = f"use {'.item()' if hasattr(kind, 'item') else f'{base.__name__}(...)'}"
    elif dataclasses.is_dataclass(kind):
        cure = "use dataclasses.asdict(...)"
    else:
        verbs = [verb for verb in ("tolist", "model_dump") if hasattr(kind, verb)]
        cure = f"use .{verbs[0]}()" if verbs else _SPOKEN_ADVICE.get(kind.__name__, "")
    return cure


def short_repr(value: Any, limit: int = 1000) -> str:
    """Give the repr of anything as text that can be stored, at most *limit* characters."""
    try:
        said = repr(value)
    except BaseException as error:  # noqa: BLE001 - what made a node fail may fail at this too
        said = f"<{type(value).__name__}, whose repr raises {type(error).__name__}>"
    return said[:limit].encode(errors="backslashreplace").decode()


# -- what came back ----------------------------------------------------------------------


def compare(went: Any, came: Any) -> None:
    """Raise `Refused` with the place at which what came back is not what went.

    Types count: what a model builds of its own JSON may be equal and something else.

    >>> compare({"n": [1, 2]}, {"n": [1, 2]})
    >>> compare({"n": [1, 2]}, {"n": [1, 2.0]})
    Traceback (most recent call last):
    flownb.jsonable.Refused: 2 comes back as 2.0
    """
    kind = type(went)
    if hasattr(kind, "get_secret_value"):
        if kind is not type(came) or went.get_secret_value() != came.get_secret_value():
            raise Refused(why(went))
        return
    if kind is not type(came):
        raise Refused(_changed(went, came))
    parts = _parts(went)
    if parts is None:
        if not _alike(went, came):
            raise Refused(_changed(went, came))
        return
    there = _parts(came) or {}
    if list(map(_typed, parts)) != list(map(_typed, there)):
        raise Refused(_changed(went, came))
    for at, part in parts.items():
        _inside(at, part, there[at])


def _inside(at: Any, went: Any, came: Any) -> None:
    if went is came:
        return
    try:
        compare(went, came)
    except Refused as refused:
        place = at if isinstance(at, (int, str)) else short_repr(at, 80)
        raise refused.inside(place) from refused.__cause__


def _typed(key: Any) -> tuple[type, Any]:
    return type(key), key


def _parts(value: Any) -> dict[Any, Any] | None:
    """Give what a value is made of; None of one that says by itself what it equals."""
    kind = type(value)
    if isinstance(value, dict):
        return dict(value)
    if isinstance(value, (list, tuple, deque)):
        return dict(enumerate(value))
    if is_model(kind):
        own = value.__dict__
        fields = {name: own[name] for name in kind.model_fields if name in own}
        return fields | (value.__pydantic_extra__ or {}) | (value.__pydantic_private__ or {})
    if dataclasses.is_dataclass(kind):
        return {f.name: getattr(value, f.name, None) for f in dataclasses.fields(kind)}
    if kind.__eq__ is _BY_IDENTITY and hasattr(value, "__dict__"):
        return dict(vars(value))
    return None


def is_model(kind: type) -> bool:
    """Whether that is a class of pydantic models; pydantic itself is not asked, nor imported."""
    return hasattr(kind, "__pydantic_serializer__") and hasattr(kind, "model_dump")


def _alike(went: Any, came: Any) -> bool:
    if isinstance(went, (float, complex)):
        return repr(went) == repr(came)  # -0.0 is not 0.0, and NaN is NaN
    if isinstance(went, (set, frozenset)):
        return set(map(_typed, went)) == set(map(_typed, came))
    try:
        if hasattr(type(went), "tolist"):
            went, came = (went.dtype, went.tolist()), (came.dtype, came.tolist())
        same = went.equals(came) if hasattr(type(went), "equals") else went == came
        zone = getattr(went, "tzinfo", None)
        return bool(same or went != went) and (zone is None or _fixed(zone, came.tzinfo))  # noqa: PLR0124
    except Exception as error:
        what = f"a {type(went).__name__} cannot be compared with what comes back"
        raise Refused(f"{what}: {told(error)}") from error


def _fixed(zone: Any, came: Any) -> bool:
    """Whether a time zone is no more than its offset; one with a name has its summer time."""
    return isinstance(zone, timezone) or type(zone) is type(came)


def _changed(went: Any, came: Any) -> str:
    zone, kind = getattr(went, "tzinfo", None), type(went)
    if zone is not None and zone != getattr(came, "tzinfo", None) and went == came:
        return f"the time zone {zone} is lost: use .astimezone(datetime.timezone.utc)"
    if is_model(kind) and is_model(type(came)):
        name = kind.__name__
        return f"a {name} comes back as a {type(came).__name__}: annotate it as {name}"
    a, b = short_repr(went, 80), short_repr(came, 80)
    if a == b:
        a, b = f"{a} ({kind.__name__})", f"{b} ({type(came).__name__})"
    cure = "" if kind is type(came) or kind in {int, float, str, bool} else _cure(kind)
    return f"{a} comes back as {b}{cure and f': {cure}'}"


# -- models: their validators and serializers are the user's code ------------------------

_text_of: Final = writer(ascii_only=False)


def written(adapter: Any, value: Any, name: str) -> Any:
    """Give *value* as JSON types, out of which its model makes the same again; else `Refused`.

    What the model's own validators and serializers raise is its cause.
    """
    plain = _dumped(adapter, value, name)
    text = _text_of(plain if is_plain(plain) else Walk().plain(plain))
    try:
        came = adapter.validate_json(text)
    except Exception as error:
        refused = refusal(error, f"model {name}")
        refused.reason = f"{name} cannot read what it writes: {refused.reason}"
        raise refused from error
    try:
        compare(value, came)
    except Refused as refused:
        refused.reason += f" (model {name})"
        raise
    return plain


def _dumped(adapter: Any, value: Any, name: str) -> Any:
    try:
        return adapter.dump_python(
            value, mode="json", by_alias=True, round_trip=True, warnings=False
        )
    except Exception as error:  # noqa: BLE001 - a serializer may raise anything
        said = told(error).removeprefix("PydanticSerializationError: ")
        refused = Refused(f"{said} (model {name})")
        refused.path = _guilty(value)
        raise refused from error.__cause__ or error


def _guilty(value: Any) -> str:
    """Give the path of the part of a model that cannot be written."""
    from pydantic_core import to_jsonable_python

    if is_model(type(value)):
        fields = {name: value.__dict__.get(name) for name in type(value).model_fields}
        parts = list({**fields, **(value.__pydantic_extra__ or {})}.items())
    elif isinstance(value, (list, tuple)):
        parts = list(enumerate(value))
    else:
        parts = list(value.items()) if isinstance(value, dict) else []
    for at, part in parts:
        try:
            if is_model(type(value)):
                value.model_dump(mode="json", include={at}, round_trip=True, warnings=False)
            else:
                to_jsonable_python(part, round_trip=True)
        except Exception:  # noqa: BLE001 - it is reported already
            place = at if isinstance(at, (int, str)) else short_repr(at, 80)
            return step(place) + _guilty(part)
    return ""


def refusal(error: BaseException, who: str) -> Refused:
    """Tell what a validator said, at the place where it said it."""
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return Refused(f"{told(error)} ({who})")
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    refused = Refused(f"{first['msg']} ({who})")
    refused.path = "".join(map(step, first["loc"]))
    return refused


@lru_cache(maxsize=256)
def adapter_of(model: type) -> Any:
    """Give what checks, reads and writes values of a type that pydantic knows."""
    from pydantic import TypeAdapter

    return TypeAdapter(model)
