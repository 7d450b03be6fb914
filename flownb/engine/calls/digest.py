"""When are two inputs of a node equal, and is its function still the same one?

Both are decided by a digest. A value's is made of its content, so dicts, models, arrays and
tables will do, hashable or not. A function's is made of its code and of all that it reads,
see `flownb.plan.reads`. So one that is redefined in a cell or reloaded is another one,
also if only a constant or a function that it calls was. What the function itself writes (a
counter) does not count.
"""

from __future__ import annotations

import functools
import hashlib
import pickle
import sys
from collections.abc import Container, Iterable
from enum import Enum
from io import BytesIO
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, Final

from pydantic import BaseModel

from flownb.plan.reads import PLAIN, Reads

_PROTOCOL: Final = 4
_MOST_ENTRIES: Final = 10_000  # of lists, dicts and sets that a function reads, in all
_BY_IDENTITY: Final[Any] = object.__eq__


def digest(*values: Any) -> bytes:
    """Give a digest of values, equal where they are; raises what copying one would raise.

    Equal is meant strictly: 1, 1.0 and True are three values; the order of a dict is none.

    >>> digest({"a": [1], "b": 2}) == digest({"b": 2, "a": [1]})
    True
    >>> digest([1]) == digest([1.0]) or digest([1]) == digest((1,))
    False
    """
    digester = Digester()
    for value in values:
        digester.value(value)
    return digester.digest()


class Digester:
    """A digest being made; `held` is what it knows by its identity, to be kept as long as it."""

    def __init__(self, held: list[Any] | None = None, own: Container[int] = ()) -> None:
        self._hash = hashlib.blake2b(digest_size=20)
        self.held: list[Any] = [] if held is None else held
        self.reading = Reads()
        self.containers: dict[int, tuple[Any, bytes]] = {}
        """What of lists, dicts and sets was read, by id."""
        self._own = own  # ids of those that the function itself changes
        self._kinds: dict[int, bytes] = {}
        self._entries = [0]

    def digest(self) -> bytes:
        """Give the digest of what was added so far."""
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
        if kind in PLAIN:
            self._plain(value)
        elif kind is list or kind is tuple:
            self._row(kind.__name__, value)
        elif kind is dict:
            self._heap("dict", (self._of(k, v) for k, v in value.items()))
        elif kind is set or kind is frozenset:
            self._heap(kind.__name__, map(self._of, value))
        elif isinstance(value, Enum):
            self._kind(kind)
            self.value(value.value)
        elif isinstance(value, BaseModel):
            self._kind(kind)
            parts = value.__dict__, value.__pydantic_extra__, value.__pydantic_private__
            self._row("model", parts)
        elif isinstance(value, (type, FunctionType, BuiltinFunctionType, MethodType, ModuleType)):
            self._kind(value)
        elif not (self._numpy(value) or self._pandas(value)):
            self._reduced(value)

    def _plain(self, value: Any) -> None:
        text = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
        content = text if isinstance(text, bytes) else repr(text).encode()
        self._add(type(value).__name__, content)

    def _row(self, tag: str, values: Iterable[Any]) -> None:
        values = list(values)
        self._add(f"{tag} {len(values)}")
        if len(values) > 1000 and PLAIN.issuperset(map(type, values)):  # noqa: PLR2004
            self._add("plain", _pickled(values))
            return
        for value in values:
            self.value(value)

    def _heap(self, tag: str, digests: Iterable[bytes]) -> None:
        """Take in what has no order."""
        content = b"".join(sorted(digests))
        self._add(tag, content)

    def _of(self, *values: Any) -> bytes:
        part = self._part()
        for value in values:
            part.value(value)
        return part.digest()

    def _part(self) -> Digester:
        """Begin a digest of a part; what was found out is shared."""
        part = Digester(self.held, self._own)
        part.containers, part._kinds = self.containers, self._kinds
        part._entries = self._entries
        part.reading.pending = self.reading.pending
        part.reading.changing = self.reading.changing
        return part

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
        self._kind(make)
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
        self._kind(type(value))
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

    def reads(self, value: Any) -> None:
        """Take in what is called, and all that it reads: see `flownb.plan.reads`."""
        for tag, part in self.reading.of(value):
            if tag == "plain":
                self._plain(part)
            elif tag == "name":
                self._add("name", part.encode("utf-8", "surrogatepass"))
            elif tag == "code":
                self._add("code", _code(part))
            elif tag == "id" or id(part) in self._own or self._is_too_much(part):
                self._itself(part)
            else:
                self._add("container", self._container(part))

    def _is_too_much(self, container: Any) -> bool:
        """Whether there are too many entries in all to look at them each time."""
        if id(container) in self.containers:
            return False
        self._entries[0] += len(container)
        return self._entries[0] > _MOST_ENTRIES

    def _container(self, value: Any) -> bytes:
        """Give a digest of a list, dict or set that a function reads."""
        known = self.containers.get(id(value))
        if known is None:
            self.containers[id(value)] = value, b""  # it may hold itself
            inside = self._part()
            inside.reads(type(value).__name__)
            if isinstance(value, set):
                inside._heap("set", (self._read(part) for part in value))  # noqa: SLF001
            for part in value.items() if isinstance(value, dict) else value:
                if not isinstance(value, set):
                    inside.reads(part)
            known = self.containers[id(value)] = value, inside.digest()
        return known[1]

    def _read(self, value: Any) -> bytes:
        part = self._part()
        part.reads(value)
        return part.digest()

    def _kind(self, kind: Any) -> None:
        """Take in a class or function that a value is of; once for many values."""
        if id(kind) not in self._kinds:
            self._kinds[id(kind)] = self._read(kind)
        self._add("kind", self._kinds[id(kind)])


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


@functools.lru_cache(maxsize=4096)
def _code(code: CodeType) -> bytes:
    """Give a digest of code: what it does, not where it stands."""
    made = Digester()
    counts = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags
    names = code.co_names, code.co_varnames, code.co_freevars
    made.value((code.co_code, code.co_exceptiontable, *counts, *names))
    for const in code.co_consts:
        made.value(_code(const) if isinstance(const, CodeType) else const)
    return made.digest()
