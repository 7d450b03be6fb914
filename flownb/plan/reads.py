"""What does a function read besides its arguments, as far as that can be followed?

Its code, defaults and closure, the global names that it reads, the attributes of modules
that it names, imports inside it; and of each function, class and object found there the
same again. So far in the user's own modules: what is installed is known by its name and
version. Who asks gets a flat row of parts; `unseen` says what could not be followed.
"""

from __future__ import annotations

import dis
import functools
import importlib.util
import sys
from collections import deque
from dataclasses import dataclass, field, fields
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    MappingProxyType,
    MethodType,
    ModuleType,
)
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from flownb.errors import GraphError
from flownb.tracebacks import is_own

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Part: TypeAlias = tuple[str, Any]
"""A tag and what it is: "plain", "code", "name" and "container" by content, "id" by identity."""

PLAIN: Final = frozenset({str, int, float, bool, bytes, complex, type(None)})
CONTAINERS: Final = frozenset({list, dict, set})
MOST_ENTRIES: Final = 1_000
_MOST: Final = 10_000  # functions, classes, modules and objects
_Cached: Final = type(functools.lru_cache(len))
_DYNAMIC: Final = frozenset({"eval", "exec", "globals", "__import__", "import_module"})
_CHANGING: Final = frozenset(
    {name for kind in (list, dict, set) for name in dir(kind) if not name.startswith("_")}
    - {"copy", "count", "index", "get", "items", "keys", "values", "fromkeys", "union"}
    - {"difference", "intersection", "isdisjoint", "issubset", "issuperset"}
    - {"symmetric_difference"}
)
_MAKING: Final = frozenset(
    {"__init__", "__new__", "__post_init__", "__setstate__", "model_post_init", "setup"}
)


Names: TypeAlias = dict[Any, None]  # a set that keeps its order


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """What can be said of code by looking at it, the code inside it included."""

    reads: Names = field(default_factory=dict)
    """Global names."""
    writes: Names = field(default_factory=dict)
    """Outer names that it assigns to."""
    names: Names = field(default_factory=dict)
    """All names of attributes and globals."""
    sets: Names = field(default_factory=dict)
    """Names of attributes that it assigns to."""
    changes: Names = field(default_factory=dict)
    """Names of lists, dicts and sets that it may change in place."""
    imports: Names = field(default_factory=dict)
    """Modules that it imports: the name, and the level of a relative import."""

    def note(self, code: CodeType) -> None:
        """Look at code, but not at the code inside it."""
        self.names.update(dict.fromkeys(code.co_names))
        before, level = "", 0
        for instruction in dis.get_instructions(code):
            name, opcode = instruction.argval, instruction.opname
            if opcode in _READS:
                self.reads[name] = None
            elif opcode in _WRITES:
                self.writes[name] = None
            elif opcode in {"STORE_ATTR", "DELETE_ATTR"}:
                self.sets[name] = None
            elif opcode == "IMPORT_NAME":
                self.imports[name, level] = None
            elif opcode in {"STORE_SUBSCR", "DELETE_SUBSCR", "STORE_SLICE"}:
                # it is hard to say of which one
                self.changes.update(dict.fromkeys((*code.co_names, *code.co_freevars)))
            elif name in _CHANGING and opcode in {"LOAD_METHOD", "LOAD_ATTR"}:
                self.changes[before] = None
            if type(name) is int and opcode.startswith("LOAD_"):
                level = name  # the constant before the last, of an import
            before = name if isinstance(name, str) else ""

    def add(self, inner: Facts) -> None:
        """Add what is said of code inside."""
        for part in fields(self):
            getattr(self, part.name).update(getattr(inner, part.name))


_READS: Final = frozenset({"LOAD_GLOBAL", "LOAD_NAME"})
_WRITES: Final = frozenset({"STORE_GLOBAL", "DELETE_GLOBAL", "STORE_DEREF"})


@functools.lru_cache(maxsize=4096)
def facts(code: CodeType) -> Facts:
    """Look at code, once."""
    found = Facts()
    found.note(code)
    for const in code.co_consts:
        if isinstance(const, CodeType):
            found.add(facts(const))
    return found


_NONE: Final = Facts()


_PARTS: Final[dict[type, Callable[[Any], tuple[Any, ...]]]] = {
    functools.partial: lambda p: (p.func, *p.args, *p.keywords.items()),
    functools.partialmethod: lambda p: (p.func, *p.args, *p.keywords.items()),
    functools.cached_property: lambda p: (p.func,),
    property: lambda p: (p.fget, p.fset, p.fdel),
    staticmethod: lambda m: (m.__wrapped__,),
    classmethod: lambda m: (m.__wrapped__,),
    _Cached: lambda c: (c.__wrapped__,),
    BuiltinFunctionType: lambda f: (f"{f.__module__}.{f.__qualname__}", f.__self__),
}
"""What wraps something, and what it is made of."""


class Reads:
    """Follows what functions read; everything is followed once."""

    def __init__(self) -> None:
        self.unseen: dict[str, None] = {}
        """What was not followed, in words."""
        self.pending: dict[str, None] = {}
        """Modules that an import inside a function will load."""
        self.changing: set[int] = set()
        """Lists, dicts and sets, by id, that what reads them may change in place."""
        self._met: dict[Any, tuple[int, Any]] = {}
        self._queue: deque[tuple[Any, Facts]] = deque()
        self._objects = 0

    def of(self, value: Any) -> Iterator[Part]:
        """Give all that a value is made of, in an order that is the same each time."""
        yield from self._read(value, _NONE, "")
        while self._queue:
            thing, near = self._queue.popleft()
            if isinstance(thing, FunctionType):
                yield from self._function(thing)
            elif isinstance(thing, ModuleType):
                yield from self._module(thing, near)
            elif isinstance(thing, type):
                yield from self._class(thing, near)
            else:
                yield from self._object(thing, near)

    def _read(self, value: Any, near: Facts, name: str) -> Iterator[Part]:  # noqa: C901, PLR0912 - case by case
        """Give one value that code reads; *near* says what else that code does."""
        kind = type(value)
        if kind in PLAIN:
            yield "plain", value
        elif kind is tuple:
            yield "name", f"tuple {len(value)}"
            for part in value:
                yield from self._read(part, near, name)
        elif kind is frozenset and PLAIN.issuperset(map(type, value)):
            yield "name", f"frozenset {len(value)}"
            for part in sorted(value, key=lambda part: (type(part).__name__, repr(part))):
                yield "plain", part
        elif kind in CONTAINERS:
            if len(value) > MOST_ENTRIES:
                self._miss(name, value)
                yield "id", value
            else:
                if name in near.changes:
                    self.changing.add(id(value))
                yield "container", value
        elif kind is MappingProxyType:
            yield from self._read(tuple(value.items()), near, name)
        elif kind in _PARTS:
            yield from self._row(kind.__name__, _PARTS[kind](value))
        elif kind is MethodType:
            yield from self._row("method", (value.__func__,))
            code = getattr(value.__func__, "__code__", None)
            yield from self._read(value.__self__, facts(code) if code else _NONE, name)
        elif kind is FunctionType:
            yield self._later(value, value, near)
        elif isinstance(value, ModuleType):
            yield self._later((value, near), value, near)
        elif isinstance(value, type):
            yield "id", value
            if is_own(value.__module__):
                yield self._later(value, value, near)
        elif is_own(kind.__module__):
            yield "id", value
            self._objects += 1
            if self._objects <= MOST_ENTRIES or id(value) in self._met:
                yield self._later(id(value), value, near)
            else:
                self._miss(name, value)
        else:
            if hasattr(kind, "__setitem__"):
                self._miss(name, value)
            yield "id", value

    def _row(self, tag: str, values: Iterable[Any]) -> Iterator[Part]:
        yield "name", tag
        for value in values:
            yield from self._read(value, _NONE, "")

    def _named(self, values: Iterable[tuple[str, Any]], near: Facts) -> Iterator[Part]:
        for name, value in values:
            yield "name", name
            yield from self._read(value, near, name)

    def _miss(self, name: str, value: Any) -> None:
        kind = type(value).__name__
        what = f"{name!r} ({kind})" if name else f"an object ({kind})"
        self.unseen[f"changes inside {what}"] = None

    def _later(self, key: Any, thing: Any, near: Facts) -> Part:
        """Note what is to be followed, and give its number."""
        if key not in self._met:
            if len(self._met) >= _MOST:
                msg = f"it reads more than {_MOST:,} functions, classes and objects"
                raise GraphError(msg)
            self._met[key] = len(self._met), thing
            self._queue.append((thing, near))
        return "name", f"no. {self._met[key][0]}"

    # -- what is followed ------------------------------------------------------

    def _function(self, fn: FunctionType) -> Iterator[Part]:
        code, near = fn.__code__, facts(fn.__code__)
        yield "code", code
        yield from self._row("defaults", fn.__defaults__ or ())
        yield from self._named((fn.__kwdefaults__ or {}).items(), near)
        cells = zip(code.co_freevars, map(_content, fn.__closure__ or ()), strict=True)
        yield from self._named((pair for pair in cells if pair[0] not in near.writes), near)
        own = (pair for pair in fn.__dict__.items() if pair[0] not in near.sets)
        yield from self._named(own, near)
        space = fn.__globals__
        if not is_own(space.get("__name__", "")):
            return
        known = (n for n in near.reads if n in space and n not in near.writes)
        yield from self._named(((name, space[name]) for name in known), near)
        for name in near.names:
            if name in _DYNAMIC and name not in space:
                self.unseen[f"what {name}() in {fn.__name__!r} reads"] = None
        for name, level in near.imports:
            yield from self._import(name, level, space, near)

    def _import(self, name: str, level: int, space: Any, near: Facts) -> Iterator[Part]:
        yield "name", f"import {name}"
        if level:
            try:
                name = importlib.util.resolve_name("." * level + name, space["__package__"])
            except (ImportError, KeyError):  # the import will say so itself
                return
        for found in dict.fromkeys((name, name.partition(".")[0])):
            module = sys.modules.get(found)
            if module is None:
                self.pending[found] = None
            else:
                yield from self._read(module, near, found)

    def _module(self, module: ModuleType, near: Facts) -> Iterator[Part]:
        """Give what code names of a module; of an installed one what a user has put there."""
        name, space = module.__name__, vars(module)
        own = is_own(name)
        yield "name", name if own else f"{name} {_version(name)}"
        everything = (key for key in space if own and not key.startswith("__"))
        for attribute in everything if near is _NONE else near.names:
            if attribute in space and attribute not in near.sets:
                value = space[attribute]
                if own or type(value) in PLAIN or _is_of_own(value):
                    yield from self._named([(attribute, value)], near)

    def _class(self, kind: type, near: Facts) -> Iterator[Part]:
        for base in kind.__mro__[1:]:
            yield from self._read(base, near, "")
        methods = _of_methods(kind, near)
        for name, value in vars(kind).items():
            hidden = name.startswith("__") and not isinstance(value, _CALLED)
            if not hidden and name not in methods.sets and name not in near.sets:
                yield from self._named([(name, value)], methods)

    def _object(self, value: Any, near: Facts) -> Iterator[Part]:
        """Give an object of an own class: the class, and what is set when it is made."""
        kind = type(value)
        yield from self._read(kind, near, "")
        methods = _of_methods(kind, near)
        slots = (slot for c in kind.__mro__ for slot in vars(c).get("__slots__", ()))
        known = dict.fromkeys((*getattr(value, "__dict__", ()), *slots))
        for name in known:
            if name not in methods.sets | near.sets and hasattr(value, name):
                yield from self._named([(name, getattr(value, name))], methods)


_CALLED: Final = (FunctionType, classmethod, staticmethod, property)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # it is filled later
        return None


def _of_methods(kind: type, near: Facts) -> Facts:
    """Say what the methods do that code may call, directly or through others.

    Those that an object is made with do not count, and those that nobody here names.
    """
    found, names = Facts(), {**near.names, "run": None}
    methods = {
        name: fn
        for base in reversed(kind.__mro__)
        for name, value in vars(base).items()
        if isinstance(fn := getattr(value, "__func__", getattr(value, "fget", value)), FunctionType)
        and name not in _MAKING
    }
    while called := [name for name in methods if name in names or name.startswith("__")]:
        for name in called:
            said = facts(methods.pop(name).__code__)
            names.update(said.names)
            found.add(said)
    return found


def _is_of_own(value: Any) -> bool:
    if isinstance(value, FunctionType):
        return is_own(value.__globals__.get("__name__", ""))
    return isinstance(value, type) and is_own(value.__module__)


def _version(name: str) -> str:
    version = getattr(sys.modules.get(name.partition(".")[0]), "__version__", "")
    return version if isinstance(version, str) else ""
