"""How is what a run holds written as JSON for people? Whatever it is, and never too much of it.

Unlike in a store or a queue nobody builds the value again from it: what JSON has no word for
is shown as text.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final

from flownb.jsonable import Refused, Walk, short_repr

_MOST: Final = 100_000  # values


def shown(value: Any) -> Any:
    """Give a value as plain JSON types.

    >>> shown({"day": (1, float("nan")), 2: {3}})
    {'day': [1, 'nan'], '2': [3]}
    """
    try:
        return _Shown().plain(value)
    except (Refused, RuntimeError):  # too deep, too many, or changing at this very moment
        return short_repr(value)


def dumps(value: Any) -> str:
    """Write JSON text: ASCII, on one line."""
    return json.dumps(shown(value), separators=(",", ":"))


class _Shown(Walk):
    def __init__(self) -> None:
        self._left = _MOST

    def part(self, value: Any, depth: int) -> Any:
        self._left -= 1
        if self._left < 0:
            raise Refused("too many values")
        return super().part(value, depth)

    def key(self, key: Any) -> str:
        return _text(key) if type(key) is str else short_repr(key, 200)

    def scalar(self, value: Any) -> Any:
        if type(value) is str:
            return _text(value)
        if type(value) is float and not math.isfinite(value):
            return repr(value)
        if type(value) is int and value.bit_length() > self.int_bits:
            return short_repr(value, 200)
        return value

    def other(self, value: Any, depth: int) -> Any:
        if isinstance(value, Mapping):
            return self.part(dict(value), depth)
        if isinstance(value, (tuple, set, frozenset)):
            return self.row(value, depth)
        if isinstance(value, (str, float)) and type(value) not in {str, float}:
            return self.scalar(str(value) if isinstance(value, str) else float(value))
        return _text(short_repr(value, 2_000))


def _text(value: str) -> str:
    return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()
