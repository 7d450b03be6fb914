"""What must a process know of a notebook's cells besides the functions that travel?

Their lines, which no file has: a traceback shows them. And which names `__main__` has for
what travels: there a node finds it that pickles something itself, say for a pool of its own.
A function behind `functools.lru_cache` travels here too; cloudpickle would send its name only.
"""

from __future__ import annotations

import functools
import io
import linecache
import os
import pickle
import sys
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_Cached: Final = type(functools.lru_cache(len))
_Named: Final = (FunctionType, type, _Cached)
_ours: Final[set[str]] = set()  # names that `__main__` has from here


def dumps(value: Any, number: Callable[[Any], int | None] | None = None) -> bytes:
    """Pickle *value* and what there is to know of the cells it comes from.

    *number* gives the number of what the other side has already.
    """
    names: dict[str, Any] = {}
    lines: dict[str, Any] = {}

    class Pickler(_pickler()):  # type: ignore[misc]
        def reducer_override(self, thing: Any) -> Any:
            if isinstance(thing, CodeType):
                lines.update(_lines(thing.co_filename))
            elif isinstance(thing, _Named) and thing.__module__ == "__main__":
                names.update(_named(thing))
                if isinstance(thing, _Cached):
                    return _reduced(thing)
            return super().reducer_override(thing)

    class Numbering(Pickler):
        def persistent_id(self, thing: Any) -> int | None:
            return None if number is None else number(thing)

    buffer = io.BytesIO()
    pickler = (Pickler if number is None else Numbering)(buffer)  # to ask for numbers takes time
    pickler.dump(value)
    pickler.dump((names, lines))
    return buffer.getvalue()


def dumps_value(value: Any) -> bytes:
    """Pickle a value for `pickle.loads` where the lines and names of its cell are: at home."""
    buffer = io.BytesIO()
    _pickler()(buffer).dump(value)
    return buffer.getvalue()


@functools.cache
def _pickler() -> Any:
    import cloudpickle

    class Pickler(cloudpickle.CloudPickler):  # type: ignore[misc]
        """Lets code keep the name of its file, which cloudpickle leaves out since 3.1.3."""

        def reducer_override(self, thing: Any) -> Any:
            if isinstance(thing, CodeType):
                return _placed, (thing.co_filename, *self.dispatch_table[CodeType](thing))
            return super().reducer_override(thing)

    return Pickler


def _placed(file: str, make: Callable[..., CodeType], args: tuple[Any, ...]) -> CodeType:
    return make(*args).replace(co_filename=file)


def loads(content: bytes, thing: Callable[[int], Any] | None = None) -> Any:
    """Open what `dumps` made; *thing* gives what has a number."""

    class Unpickler(pickle.Unpickler):
        def persistent_load(self, number: int) -> Any:
            return None if thing is None else thing(number)

    unpickler = Unpickler(io.BytesIO(content))
    value = unpickler.load()
    names, lines = unpickler.load()
    linecache.cache.update({k: v for k, v in lines.items() if k not in linecache.cache})
    _name(names)
    return value


def send_by_value() -> None:
    """Have what cells define travel whole to processes that this one starts.

    For those that are no copies of this one, whose `__main__` has other names.
    """
    from multiprocessing.reduction import ForkingPickler

    ForkingPickler.reducer_override = _whole  # type: ignore[method-assign]


def _whole(_: Any, thing: Any) -> Any:
    if isinstance(thing, _Named) and _named(thing):
        return loads, (dumps(thing),)
    return NotImplemented


def _name(names: dict[str, Any]) -> None:
    """Give `__main__` these names, but none that it had before."""
    main = vars(sys.modules["__main__"])
    _ours.update(names.keys() - main.keys())
    main.update({name: named for name, named in names.items() if name in _ours})


def _named(thing: Any) -> dict[str, Any]:
    """Give the name under which `__main__` has it, if it has."""
    name = thing.__qualname__
    return {name: thing} if vars(sys.modules["__main__"]).get(name) is thing else {}


def _lines(file: str) -> dict[str, Any]:
    """Give the lines of a cell as `linecache` has them; a file on a disk has its own."""
    known = linecache.cache.get(file)
    return {} if known is None or len(known) == 1 or os.path.exists(file) else {file: known}  # noqa: PTH110


# -- functions with a cache ----------------------------------------------------


class _Behind:
    """Stands in the cache for the function, which may know the cache: it comes later."""

    fn: Any

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.fn(*args, **kwargs)


def _reduced(cached: Any) -> tuple[Any, ...]:
    size, typed = cached.cache_parameters().values()
    return _cache, (size, typed), cached.__wrapped__, None, None, _fill


def _cache(maxsize: int | None, typed: bool) -> Any:  # noqa: FBT001 - as it was pickled
    return functools.lru_cache(maxsize, typed)(_Behind())


def _fill(cached: Any, fn: Any) -> None:
    cached.__wrapped__.fn = fn
    functools.update_wrapper(cached, fn)
