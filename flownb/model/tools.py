"""Which functions may a document name?

A graph that comes as data (JSON, React Flow, HTTP) names its functions; it never
imports or evaluates anything. A `ToolRegistry` is the list of names that mean
something, and of nothing else. `tools` is the one that is used when none is given.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeVar, overload

from flownb.errors import GraphError
from flownb.model.edges import did_you_mean
from flownb.model.nodes import node_name

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Tool:
    """One registered callable: a function, a class node, a pydantic model, an exception."""

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
    def register(self, name: F, /) -> F: ...
    @overload
    def register(self, name: str, fn: F, description: str = "") -> F: ...
    @overload
    def register(self, name: str | None = None, *, description: str = "") -> Callable[[F], F]: ...
    def register(
        self, name: str | F | None = None, fn: F | None = None, description: str = ""
    ) -> F | Callable[[F], F]:
        """Register a callable; also a decorator: `@register`, `@register("name")`.

        Without *description* it is the first line of the docstring. Registering a
        name again replaces it, so a cell can be run twice. Returns the callable.
        """
        if name is not None and not isinstance(name, str):
            return self._put(node_name(name), name, description)
        if fn is not None:
            return self._put(node_name(fn) if name is None else name, fn, description)
        return lambda made: self._put(node_name(made) if name is None else name, made, description)

    def _put(self, name: str, fn: F, description: str) -> F:
        if not name.strip() or not callable(fn):
            msg = f"tool {name!r}: give a name that is not empty and a callable, not {fn!r}"
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
        """Give the first name under which *fn* is registered."""
        return next((t.name for t in self._tools.values() if t.fn is fn), None)

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


def _first_line(fn: object) -> str:
    # A class without a docstring inherits one that says nothing about it.
    text = vars(fn).get("__doc__") if isinstance(fn, type) else getattr(fn, "__doc__", None)
    return inspect.cleandoc(text).split("\n", 1)[0] if isinstance(text, str) else ""


_SHOWN: Final = 8
tools: Final = ToolRegistry()
