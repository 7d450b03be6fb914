"""What may be written as JSON, and how is the place of what may not be named?

The leaves of two walks: messages of a queue (`queues/payload.py`) and what runs keep
(`stores/codec.py`). What JSON would silently change or lose is refused: NaN, keys that
are no text, half a surrogate pair, numbers that Python will not read back.
"""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Any

# Python refuses to read back integers of more than 4300 digits.
_LONGEST_INT_BITS = 14_000
_SPOKEN_ADVICE = {
    "bytes": "decode it, or pass a path or key to where it is kept",
    "bytearray": "decode it, or pass a path or key to where it is kept",
    "set": "use a sorted list",
    "frozenset": "use a sorted list",
    "datetime": "use .isoformat()",
    "date": "use .isoformat()",
    "Decimal": "use str(...) or float(...)",
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


def scalar(value: Any) -> Any:
    """Give a text, number, bool or None that reads back the same; else `Refused`."""
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
            raise Refused("a lone surrogate is not text") from None
    return value


def _int(value: int) -> int:
    if value.bit_length() > _LONGEST_INT_BITS:
        raise Refused("an integer this long cannot be read back: use a string")
    return value


def _float(value: float) -> float:
    if not math.isfinite(value):
        name = "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        raise Refused(f"{name} is not JSON")
    return value


def key_text(key: Any) -> str:
    """Give a key that is text; JSON would turn others into text in silence."""
    if not isinstance(key, str):
        raise Refused(f"the key {key!r} is not a string: use {str(key)!r}")
    return _text(key)


def step(at: int | str) -> str:
    """Write one step of a path, as in `.days[0]`."""
    if isinstance(at, int):
        return f"[{at}]"
    return f".{at}" if re.fullmatch(r"[^\W\d]\w*", at) else f"[{at!a}]"


def advice(value: Any) -> str:
    """Say what to use instead of a value that is no JSON, or nothing."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return ": use dataclasses.asdict(...)"
    if hasattr(value, "tolist"):
        return ": use .tolist()"
    spoken = _SPOKEN_ADVICE.get(type(value).__name__)
    return f": {spoken}" if spoken else ""


def short_repr(value: Any) -> str:
    """Give the repr of anything as text that can be stored, at most 1,000 characters."""
    try:
        said = repr(value)
    except Exception as error:  # noqa: BLE001 - what made a node fail may fail at this too
        said = f"<{type(value).__name__}, whose repr raises {type(error).__name__}>"
    return said[:1000].encode(errors="backslashreplace").decode()
