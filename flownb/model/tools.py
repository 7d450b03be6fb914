"""Which functions may a document name?

A graph that comes as data (JSON, React Flow, HTTP) names its functions; it never
imports or evaluates anything. A `ToolRegistry` is the list of names that mean
something, and of nothing else. `tools` is the one that is used when none is given.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import BuiltinMethodType, FunctionType, MethodType, ModuleType
from typing import Any, Final, TypeVar, overload

from flownb.arguments import Rule, checked
from flownb.errors import GraphError, did_you_mean
from flownb.model.nodes import node_name

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Tool:
    """One registered callable: a function, a class node, a pydantic model, an exception.

    `name` is what documents call it, `fn` the callable, `description` a line about it.
    """

    name: str
    fn: Callable[..., Any]
    description: str = ""

    @property
    def signature(self) -> str:
        """How it is called, as text; "(...)" when Python does not say."""
        try:
            text = str(inspect.signature(self.fn))
        except (TypeError, ValueError):
            return "(...)"
        return re.sub(r" at 0x[0-9a-fA-F]+", "", text)  # an address differs in every run

    def __str__(self) -> str:
        return f"{self.name}{self.signature}{self.description and f': {self.description}'}"


class ToolRegistry:
    """Callables by name, in the order in which they were registered.

    A name means one thing: a cell that is run twice registers its functions anew, but a
    name that is taken is refused for anything else.

    >>> tools = ToolRegistry()
    >>> @tools.register
    ... def double(x):
    ...     '''Twice as much.'''
    ...     return 2 * x
    >>> tools.call("double", 21), [str(tool) for tool in tools.listing()]
    (42, ['double(x): Twice as much.'])
    """

    def __init__(self) -> None:
        self._tools: dict[str, Tool] = {}

    @overload
    def register(self, name: F, /, *, replace: bool = False) -> F: ...
    @overload
    def register(self, name: str, fn: F, description: str = "", *, replace: bool = False) -> F: ...
    @overload
    def register(
        self, name: str | None = None, *, description: str = "", replace: bool = False
    ) -> Callable[[F], F]: ...
    def register(
        self,
        name: str | F | None = None,
        fn: F | None = None,
        description: str = "",
        *,
        replace: bool = False,
    ) -> F | Callable[[F], F]:
        """Register a callable; also a decorator: `@register`, `@register("name")`.

        Without *description* it is the first line of the docstring. Returns the callable.
        What is known already may be registered again, also edited: a function or class of
        the same module and qualified name, or a lambda or local function with the same
        code. GraphError when the name is taken by anything else; *replace* gives it away.

        >>> tools = ToolRegistry()
        >>> _ = tools.register("size", len)
        >>> tools.register("size", sum)
        Traceback (most recent call last):
        flownb.errors.GraphError: tool 'size' is len already: give sum another name, or ...
        """
        if name is not None and not isinstance(name, str):
            return self._put(node_name(name), name, description, replace=replace)
        if fn is not None:
            known = node_name(fn) if name is None else name
            return self._put(known, fn, description, replace=replace)

        def decorate(made: F) -> F:
            known = node_name(made) if name is None else name
            return self._put(known, made, description, replace=replace)

        return decorate

    def _put(self, name: str, fn: F, description: str, *, replace: bool) -> F:
        if not name.strip() or not callable(fn):
            msg = f"tool {name!r}: give a name that is not empty and a callable, not {fn!r}"
            raise GraphError(msg)
        old = self._tools.get(name)
        if old is not None and not replace and not redefines(fn, old.fn):
            msg = (
                f"tool {name!r} is {_called(old.fn)} already: give {_called(fn)} another name, "
                f"or register it with replace=True"
            )
            raise GraphError(msg)
        self._tools[name] = Tool(name, fn, description or _first_line(fn))
        return fn

    def get(self, name: str) -> Callable[..., Any]:
        """Give the callable of this name; GraphError says which name was meant."""
        if name not in self._tools:
            msg = f"there is no tool {name!r}{did_you_mean(name, self._tools)}"
            raise GraphError(msg)
        return self._tools[name].fn

    def call(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        """Call a tool; what an async one returns is to be awaited."""
        return self.get(name)(*args, **kwargs)

    def name_of(self, fn: object) -> str | None:
        """Give the first name under which *fn*, or the same definition run anew, is registered."""
        each = self._tools.values()
        exact = next((t.name for t in each if t.fn is fn), None)
        return exact or next((t.name for t in each if alike(t.fn, fn)), None)

    def listing(self) -> tuple[Tool, ...]:
        """Give all tools, each with its signature and description."""
        return tuple(self._tools.values())

    def __contains__(self, name: object) -> bool:
        return name in self._tools

    def __iter__(self) -> Iterator[str]:
        return iter(self._tools)

    def __len__(self) -> int:
        return len(self._tools)

    def __bool__(self) -> bool:
        return True  # an empty registry is a registry that knows nothing, not a missing one

    def __repr__(self) -> str:
        shown = ", ".join(list(self._tools)[:_SHOWN]) + (", ..." if len(self) > _SHOWN else "")
        return f"ToolRegistry({len(self)} tools{shown and f': {shown}'})"


# -- when are two callables one? -----------------------------------------------


def alike(a: Any, b: Any) -> bool:
    """Whether both do the same: one object, or one unchanged definition that was run twice.

    >>> def times(k):
    ...     return lambda x: k * x
    >>> alike(times(2), times(2)), alike(times(2), times(3))
    (True, False)
    """
    return _alike(a, b, _DEEP)


def redefines(new: Any, old: Any) -> bool:
    """Whether *new* is what a cell makes of *old* when it is run again, maybe edited."""
    named = origin(new)
    return alike(new, old) or (not is_nameless(new) and named == origin(old))


def origin(fn: Any) -> tuple[str, str]:
    """Give the module and the qualified name that a callable says it has; else empty texts."""
    name = getattr(fn, "__qualname__", None) or getattr(fn, "__name__", "")
    return str(getattr(fn, "__module__", None) or ""), str(name)


def is_nameless(fn: Any) -> bool:
    """Whether the name of a callable leads back to no single one.

    So it is with a lambda, with what was defined inside a function, and with a method of
    some object: there may be many of that name.

    >>> is_nameless(len), is_nameless(lambda x: x), is_nameless([].append)
    (False, True, True)
    """
    owner = getattr(fn, "__self__", None)
    bound = owner is not None and not isinstance(owner, (ModuleType, type))
    name = origin(fn)[1]
    return bound or not name or "<" in name or (isinstance(owner, type) and is_nameless(owner))


def _alike(a: Any, b: Any, depth: int) -> bool:
    if a is b or type(a) is not type(b) or depth == 0:
        return a is b
    if isinstance(a, FunctionType):
        same = a.__code__ == b.__code__ and a.__module__ == b.__module__
        return same and _held_alike(_held(a), _held(b), depth)
    if isinstance(a, (MethodType, BuiltinMethodType)):
        return a.__self__ is b.__self__ and a.__name__ == b.__name__
    if isinstance(a, functools.partial):
        return _alike(a.func, b.func, depth) and _held_alike(_bound(a), _bound(b), depth)
    if isinstance(a, type):
        return origin(a) == origin(b) and not is_nameless(a)
    return type(a) in _PLAIN and bool(a == b)


def _held(fn: FunctionType) -> list[Any]:
    """Give what a function carries: its defaults and what it took from around it."""
    words = sorted((fn.__kwdefaults__ or {}).items())
    cells = [cell.cell_contents for cell in fn.__closure__ or () if _is_filled(cell)]
    return [*(fn.__defaults__ or ()), *(value for _, value in words), *cells]


def _is_filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018 - an empty one raises
    except ValueError:
        return False
    return True


def _bound(fn: functools.partial[Any]) -> list[Any]:
    return [*fn.args, *(part for pair in sorted(fn.keywords.items()) for part in pair)]


def _held_alike(a: list[Any], b: list[Any], depth: int) -> bool:
    return len(a) == len(b) and all(_alike(x, y, depth - 1) for x, y in zip(a, b, strict=True))


def _called(fn: Any) -> str:
    """Say which callable it is, never with an address."""
    module, name = origin(fn)
    if not name:
        return f"a {type(fn).__name__}"
    return name if module in {"", "builtins", "__main__"} else f"{module}.{name}"


def _first_line(fn: object) -> str:
    # A class without a docstring inherits one that says nothing about it.
    text = vars(fn).get("__doc__") if isinstance(fn, type) else getattr(fn, "__doc__", None)
    return inspect.cleandoc(text).split("\n", 1)[0] if isinstance(text, str) else ""


def checked_tools(where: str, given: Any) -> ToolRegistry | None:
    """Give the registry that a verb was given, if it is one."""
    registry: ToolRegistry | None = checked(where, "tools", given, _REGISTRY)
    return registry


_REGISTRY: Final = Rule(
    "give a ToolRegistry", lambda value: value is None or isinstance(value, ToolRegistry)
)
_SHOWN: Final = 8
_DEEP: Final = 4  # a closure may hold a function whose closure holds one, and itself
_PLAIN: Final = (str, bytes, int, float, complex, bool)
tools: Final = ToolRegistry()
