"""Are two values the same, whatever their `==` does?

A table compares cell by cell, NaN is not equal to itself, and some `==` raise. Here every
answer is True or False: containers are compared part by part, arrays and tables as a whole.
"""

from __future__ import annotations

import types
from typing import Any, Final

_ITSELF: Final = (type, types.FunctionType, types.BuiltinFunctionType, types.ModuleType)
_DEPTH: Final = 200


def equal(a: Any, b: Any) -> bool:
    """Whether the two are equal; objects without an `==` of their own only to themselves.

    >>> equal({"a": [1, float("nan")]}, {"a": [1, float("nan")]}), equal(1, True)
    (True, False)
    """
    return _Comparison(inside=False).same(a, b, 0)


def unchanged(now: Any, before: Any) -> bool:
    """Whether a value is as its deep copy *before* is: objects are compared by what they hold."""
    return _Comparison(inside=True).same(now, before, 0)


class _Comparison:
    """One comparison of two values; *inside*: of objects, too, by their attributes."""

    def __init__(self, *, inside: bool) -> None:
        self.inside = inside
        self._met: set[tuple[int, int]] = set()  # pairs being compared: a value may hold itself

    def same(self, a: Any, b: Any, depth: int) -> bool:
        if a is b or type(a) is not type(b):
            return a is b
        if isinstance(a, float):
            return bool(a == b) or (a != a and b != b)  # noqa: PLR0124 - that is what NaN is
        pair = (id(a), id(b))
        if pair in self._met or depth > _DEPTH:
            return True
        self._met.add(pair)
        if isinstance(a, dict):
            return len(a) == len(b) and all(k in b and self.same(a[k], b[k], depth + 1) for k in a)
        if isinstance(a, (list, tuple)):
            return len(a) == len(b) and all(map(self.same, a, b, [depth + 1] * len(a)))
        return self._whole(a, b, depth + 1)

    def _whole(self, a: Any, b: Any, depth: int) -> bool:
        """Compare two values that are no containers of Python's own."""
        if isinstance(a, _ITSELF):
            return False
        if not (self.inside and not _compares(a)):
            for ask in (_arrays, _tables, _asked):
                if (answer := ask(a, b)) is not None:
                    return answer
        if not self.inside:
            return False
        # what has no attributes is taken as unchanged: nobody can see a change
        return self.same(_attributes(a), _attributes(b), depth)


def _compares(value: object) -> bool:
    """Whether its class says what `==` means."""
    return any("__eq__" in vars(base) for base in type(value).__mro__[:-1])


def _arrays(a: Any, b: Any) -> bool | None:
    """Compare arrays of NumPy and its kin, NaN being equal to NaN; None: they are none."""
    if not (hasattr(a, "dtype") and hasattr(a, "tobytes") and hasattr(a, "tolist")):
        return None
    try:
        if a.shape != b.shape or a.dtype != b.dtype:
            return False
        if a.dtype.hasobject:
            return unchanged(a.tolist(), b.tolist())
        return bool(a.tobytes() == b.tobytes())
    except Exception:  # noqa: BLE001 - whatever it is, it is no array of NumPy
        return None


def _tables(a: Any, b: Any) -> bool | None:
    """Compare what has a verb for it: pandas, polars, pyarrow (`equals`), torch (`equal`)."""
    for verb in ("equals", "equal"):
        compare = getattr(type(a), verb, None)
        answer = None if compare is None else _tried(compare, a, b)
        if isinstance(answer, bool):
            return answer and _tried(_labels, a) == _tried(_labels, b)
    return None


def _labels(table: Any) -> str:
    """Give the names and types of a table's columns, which `equals` need not look at."""
    columns = list(getattr(table, "columns", ()))
    return repr((columns, str(getattr(table, "dtypes", "")), getattr(table, "attrs", "")))


def _asked(a: Any, b: Any) -> bool | None:
    """Ask `==`; None where it raises, or gives something that is neither true nor false."""
    answer = _tried(lambda: a == b)
    every = getattr(answer, "all", None)
    if callable(every):
        answer = _tried(every)
    try:
        return None if answer is None or answer is NotImplemented else bool(answer)
    except Exception:  # noqa: BLE001 - the user's own __bool__
        return None


def _tried(call: Any, *args: Any) -> Any:
    try:
        return call(*args)
    except Exception:  # noqa: BLE001 - the user's own __eq__
        return None


def _attributes(value: Any) -> dict[str, Any]:
    found = dict(getattr(value, "__dict__", None) or {})
    for base in type(value).__mro__:
        slots = base.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in {"__dict__", "__weakref__"} and hasattr(value, name):
                found[name] = getattr(value, name)
    return found
