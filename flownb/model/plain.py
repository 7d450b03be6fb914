"""Is a value plain JSON, and if not, where not?

Documents come from files, browsers and strangers. They are walked once, without
recursion, before anything else looks at them: lists nested 100,000 deep, NaN, an
object that is no JSON or a list that contains itself end here, with their place.
"""

from __future__ import annotations

import math
from typing import Any, Final

from flownb.errors import GraphError

MAX_DEPTH: Final = 64
MAX_VALUES: Final = 1_000_000
_MAX_BITS: Final = 1024  # beyond about 300 digits even printing a number is an attack


def check_plain(value: object, where: str) -> None:
    """Raise GraphError that names the place of the first value that is not plain JSON.

    >>> check_plain({"a": [1, None, "x"]}, "config")
    >>> check_plain({"a": [1, {2}]}, "config")
    Traceback (most recent call last):
    flownb.errors.GraphError: config.a[1]: a set is not JSON
    """
    stack: list[tuple[Any, str, int]] = [(value, where, 0)]
    for seen in range(MAX_VALUES):
        if not stack:
            return
        item, place, depth = stack.pop()
        problem = _problem(item, depth)
        if problem:
            msg = f"{place}: {problem}"
            raise GraphError(msg)
        # A place is only text; 64 levels of it are short.
        stack.extend(reversed([(v, place + p, depth + 1) for p, v in _inside(item)]))
        if seen + len(stack) > MAX_VALUES:
            break
    msg = f"{where}: more than {MAX_VALUES:,} values"
    raise GraphError(msg)


def _inside(item: object) -> list[tuple[str, object]]:
    if isinstance(item, dict):
        return [(f".{key}", value) for key, value in item.items()]
    if isinstance(item, list):
        return [(f"[{i}]", value) for i, value in enumerate(item)]
    return []


def _problem(item: object, depth: int) -> str:
    if type(item) is dict or type(item) is list:
        if depth >= MAX_DEPTH:
            return f"nested more than {MAX_DEPTH} deep"
        return _key_problem(item) if isinstance(item, dict) else ""
    return _scalar_problem(item)


def _scalar_problem(item: object) -> str:
    if isinstance(item, str):
        return "" if _is_text(item) else "text with half a surrogate pair cannot be stored"
    if isinstance(item, int):
        return "" if item.bit_length() <= _MAX_BITS else "a number of more than 300 digits"
    if isinstance(item, float):
        return "" if math.isfinite(item) else f"{item} is not JSON"
    return "" if item is None else f"a {type(item).__name__} is not JSON"


def _key_problem(item: dict[Any, Any]) -> str:
    bad = next((k for k in item if not isinstance(k, str) or not _is_text(k)), None)
    return "" if bad is None else f"the key {bad!r:.60} is not text"


def _is_text(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= c <= "\udfff" for c in text)
