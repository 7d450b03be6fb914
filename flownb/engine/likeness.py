"""When are two inputs of a node equal, and is its function still the same one?

Both are told by a digest. A value's is made of its content, so dicts, models, arrays and
tables will do, hashable or not. A function's is made of its code and of what it reads:
defaults, closure, global names. So one that is redefined in a cell is another one, also if
only a constant or a function that it calls was. What can change in place (a list, a
client) counts there as the object that it is, and what the function itself writes (a
counter) does not count.
"""

from __future__ import annotations

import dis
import functools
import hashlib
import pickle
import sys
from collections.abc import Iterable
from enum import Enum
from io import BytesIO
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, Final

from pydantic import BaseModel

_PLAIN: Final = frozenset({str, int, float, bool, bytes, complex, type(None)})
_PROTOCOL: Final = 4
_BY_IDENTITY: Final[Any] = object.__eq__


def digest(*values: Any) -> bytes:
    """Give a digest of values, equal where they are; raises what copying one would raise.

    Equal is meant strictly: 1, 1.0 and True are three values; the order of a dict is none.

    >>> digest({"a": [1], "b": 2}) == digest({"b": 2, "a": [1]})
    True
    >>> digest([1]) == digest([1.0]) or digest([1]) == digest((1,))
    False
    """
    likeness = Likeness()
    for value in values:
        likeness.value(value)
    return likeness.digest()


class Likeness:
    """A digest being made; `held` is what it knows by its identity, to be kept as long as it."""

    def __init__(self, held: list[Any] | None = None) -> None:
        self._hash = hashlib.blake2b(digest_size=20)
        self.held: list[Any] = [] if held is None else held
        self._functions: dict[FunctionType, None] = {}

    def digest(self) -> bytes:
        """Give the digest of what was told so far."""
        return self._hash.digest()

    def _add(self, tag: str, content: bytes | memoryview = b"") -> None:
        self._hash.update(f"{tag} {len(content)}:".encode("utf-8", "surrogatepass"))
        self._hash.update(content)

    def _itself(self, value: Any) -> None:
        self.held.append(value)
        self._add(f"id {id(value)}")

    # -- values ----------------------------------------------------------------

    def value(self, value: Any) -> None:
        """Take in a value by its content."""
        kind = type(value)
        if kind in _PLAIN:
            self._plain(value)
        elif kind is list or kind is tuple:
            self._row(kind.__name__, value)
        elif kind is dict:
            self._heap("dict", (self._of(k, v) for k, v in value.items()))
        elif kind is set or kind is frozenset:
            self._heap(kind.__name__, map(self._of, value))
        elif isinstance(value, Enum):
            self.reads(kind)
            self.value(value.value)
        elif isinstance(value, BaseModel):
            self.reads(kind)
            parts = value.__dict__, value.__pydantic_extra__, value.__pydantic_private__
            self._row("model", parts)
        elif isinstance(value, (type, FunctionType, BuiltinFunctionType, MethodType, ModuleType)):
            self.reads(value)
        elif not (self._numpy(value) or self._pandas(value)):
            self._reduced(value)

    def _plain(self, value: Any) -> None:
        text = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
        content = text if isinstance(text, bytes) else repr(text).encode()
        self._add(type(value).__name__, content)

    def _row(self, tag: str, values: Iterable[Any]) -> None:
        values = list(values)
        self._add(f"{tag} {len(values)}")
        if len(values) > 1000 and _PLAIN.issuperset(map(type, values)):  # noqa: PLR2004
            self._add("plain", _pickled(values))
            return
        for value in values:
            self.value(value)

    def _heap(self, tag: str, digests: Iterable[bytes]) -> None:
        """Take in what has no order."""
        content = b"".join(sorted(digests))
        self._add(tag, content)

    def _of(self, *values: Any) -> bytes:
        part = Likeness(self.held)
        for value in values:
            part.value(value)
        return part.digest()

    def _reduced(self, value: Any) -> None:
        """Take in any other object, as `copy` sees it."""
        parts = value.__reduce_ex__(_PROTOCOL)
        if isinstance(parts, str):
            self._add(f"{type(value).__module__}.{parts}")
            return
        make, args, *more = parts
        state, items, pairs = (*more, None, None, None)[:3]
        rest: list[Any] = [
            state or None if type(state) is dict else state,
            list(items or ()),
            list(pairs or ()),
        ]
        if _is_bare(value, make, args, rest):
            self._itself(value)
            return
        self.reads(make)
        self._row("object", [*args, rest[0], rest[1], dict(rest[2])])

    def _numpy(self, value: Any) -> bool:
        np: Any = sys.modules.get("numpy")
        if np is None or not isinstance(value, (np.ndarray, np.generic)):
            return False
        if type(value) is not np.ndarray and isinstance(value, np.ndarray):
            return False  # a masked array, say, is more than its cells
        dtype = value.dtype.descr if value.dtype.names else value.dtype
        self._add(f"{type(value).__name__} {dtype} {value.shape}")
        if value.dtype.hasobject:
            self._row("cells", np.asarray(value).ravel().tolist())
        else:
            self._add("bytes", np.asarray(value).tobytes())
        return True

    def _pandas(self, value: Any) -> bool:
        pd: Any = sys.modules.get("pandas")
        if pd is None or not isinstance(value, (pd.DataFrame, pd.Series, pd.Index)):
            return False
        self.reads(type(value))
        if isinstance(value, pd.DataFrame):
            self._row("table", [value.attrs, value.index, value.columns])
            for place in range(value.shape[1]):
                self._column(value.iloc[:, place])
        elif isinstance(value, pd.Series):
            self._row("series", [value.attrs, value.index, value.name])
            self._column(value)
        elif isinstance(value, pd.RangeIndex):
            self._row("range", [value.start, value.stop, value.step, value.name])
        else:
            self._row("index", list(value.names))
            self._column(value)
        return True

    def _column(self, column: Any) -> None:
        """Take in a column or an index: numbers as they lie in memory, the rest one by one."""
        np, dtype = sys.modules["numpy"], column.dtype
        if isinstance(dtype, np.dtype):
            self._numpy(column.to_numpy())
            return
        self._add(f"dtype {dtype}")
        if hasattr(dtype, "categories") and hasattr(column, "array"):
            self._row("categories", [column.array.codes, dtype.categories, dtype.ordered])
        else:
            self._row("cells", column.astype(object).tolist())

    # -- functions -------------------------------------------------------------

    def _function(self, fn: FunctionType, followed: set[str]) -> None:
        if fn in self._functions:
            self._add(f"again {list(self._functions).index(fn)}")
            return
        self._functions[fn] = None
        self._code(fn.__code__)
        for value in (*(fn.__defaults__ or ()), *(fn.__kwdefaults__ or {}).items()):
            self.reads(value, followed)
        reads, writes = _names(fn.__code__)
        for name, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True):
            if name not in writes:
                self._add(name)
                self.reads(_content(cell), followed)
        for name in reads if fn.__module__ in followed else ():
            if name in fn.__globals__ and name not in writes:
                self._add(name)
                self.reads(fn.__globals__[name], followed)

    def _code(self, code: CodeType) -> None:
        self._add("code", code.co_code)
        for part in (code.co_names, code.co_varnames, code.co_freevars, code.co_flags):
            self.value(part)
        for const in code.co_consts:
            if isinstance(const, CodeType):
                self._code(const)
            else:
                self.value(const)

    def reads(self, value: Any, followed: set[str] | None = None) -> None:
        """Take in what a function reads: what cannot change by its content, else by identity."""
        kind = type(value)
        if kind in _PLAIN:
            self._plain(value)
        elif kind is tuple:
            self._add(f"tuple {len(value)}")
            for part in value:
                self.reads(part, followed)
        elif kind is FunctionType:
            self._function(value, followed or {"__main__", value.__module__})
        elif kind is functools.partial:
            self.reads((value.func, *value.args, *value.keywords.items()), followed)
        elif kind is MethodType:
            self.reads(value.__func__, followed)
            self.reads(value.__self__)
        elif kind is BuiltinFunctionType:
            self._add(f"{value.__module__}.{value.__qualname__}")
            self.reads(value.__self__)
        elif isinstance(value, ModuleType):
            self._add(f"module {value.__name__}")
        else:
            self._itself(value)


def _is_bare(value: Any, make: Any, args: tuple[Any, ...], rest: list[Any]) -> bool:
    """Whether nothing but its identity tells an object from others of its class."""
    new = getattr(make, "__name__", "") == "__newobj__" and len(args) == 1
    return new and rest[0] is None and not any(rest[1:]) and type(value).__eq__ is _BY_IDENTITY


def _pickled(values: list[Any]) -> memoryview:
    """Write plain values in one go; without a memo, which would tell equal texts apart."""
    out = BytesIO()
    pickler = pickle.Pickler(out, _PROTOCOL)
    pickler.fast = True
    pickler.dump(values)
    return out.getbuffer()


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # it is filled later
        return None


@functools.lru_cache(maxsize=512)
def _names(code: CodeType) -> tuple[tuple[str, ...], frozenset[str]]:
    """Give the global names that code reads, in order, and the outer ones that it writes."""
    reads: dict[str, None] = {}
    writes: set[str] = set()
    for instruction in dis.get_instructions(code):
        name = instruction.argval
        if instruction.opname in {"LOAD_GLOBAL", "LOAD_NAME"}:
            reads[name] = None
        elif instruction.opname.startswith(("STORE_GLOBAL", "DELETE_GLOBAL", "STORE_DEREF")):
            writes.add(name)
    for const in code.co_consts:
        if isinstance(const, CodeType):
            inner, written = _names(const)
            reads.update(dict.fromkeys(inner))
            writes |= written
    return tuple(reads), frozenset(writes)
