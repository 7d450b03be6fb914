"""How is a loop pickled for another process? As one cloudpickle of all it needs: `PickledLoop`.

Functions that were defined in a cell are pickled by value. A later plan refers to what is
there already: a node that was not edited keeps its state, its instance and its place in
its source, as it would in the kernel.

With the functions go the lines of the notebook's cells, which no file has: a traceback shows
them. And the names that `__main__` has for them: there a node finds them that pickles something
itself, say for a pool of its own. A function behind `functools.lru_cache` is pickled here too;
cloudpickle would send its name only.

A value between the loop and the notebook (`PortableValue`) goes as it is if it is plain, else as
one cloudpickle of its own, so that a value which cannot be pickled spoils nothing but itself: a
stand-in that shows what it was takes its place.
"""

from __future__ import annotations

import functools
import io
import linecache
import os
import pickle
import sys
import traceback
from dataclasses import dataclass, field, replace
from itertools import pairwise
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from flownb.errors import GraphError, RunError, caused, noted, told
from flownb.jsonable import short_repr
from flownb.redaction import redacted
from flownb.tracebacks import fold
from flownb.validate.picklable import stuck

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from flownb.engine.observe.logging import Logs
    from flownb.errors import Failure
    from flownb.plan.loop_plan import LoopPlan
    from flownb.queues.spec import QueueSpec


@dataclass(frozen=True, slots=True)
class PickledLoop:
    """Everything a loop needs where it will live."""

    plan: LoopPlan
    server: Any
    specs: Sequence[QueueSpec]
    namespace: str = "flownb"
    tools: Any = None
    middleware: tuple[Any, ...] = ()
    watched: bool = False
    traced: bool = False
    environ: Mapping[str, str] = field(default_factory=dict)
    logs: tuple[Logs, ...] = ()


class Shared:
    """Numbers what both sides have: the nodes and limits of all plans sent so far."""

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}
        self._things: list[Any] = []

    def add_plan(self, plan: LoopPlan) -> None:
        """Number what is new in a plan, in the same order on both sides."""
        for node in plan.nodes:
            self._add(node.node)
            if node.node.limit is not None:
                self._add(node.node.limit)

    def _add(self, thing: Any) -> None:
        if id(thing) not in self._numbers:
            self._numbers[id(thing)] = len(self._things)
            self._things.append(thing)

    def number(self, thing: Any) -> int | None:
        """Give the number of what the other side has, too."""
        return self._numbers.get(id(thing))

    def thing(self, number: int) -> Any:
        """Give what has that number."""
        return self._things[number]


def load(pickled: PickledLoop, where: str) -> bytes:
    """Pickle all a loop needs; raises GraphError that names what cannot travel."""
    try:
        return dumps(pickled)
    except Exception as failure:  # a __reduce__ may raise anything
        raise GraphError(_complaint(pickled, where, failure)) from failure


def _complaint(pickled: PickledLoop, where: str, failure: Exception) -> str:
    import cloudpickle

    loop, why = pickled.plan.loop, told(failure)
    for what, value in (("tools=", pickled.tools), *((_name(m), m) for m in pickled.middleware)):
        try:
            cloudpickle.dumps(value)
        except Exception:  # noqa: BLE001 - as above
            return f"loop {loop!r}: {what} cannot move to {where} ({why}); use pool='thread'"
    for node in pickled.plan.nodes:
        if why_not := stuck(node.node.fn, where):
            return f"loop {loop!r}, node {node.name!r}: {why_not}"
    return f"loop {loop!r} cannot move to {where} ({why}); use pool='thread'"


def _name(middleware: Any) -> str:
    return f"middleware {getattr(middleware, '__name__', type(middleware).__name__)!r}"


def environment() -> dict[str, str]:
    """Give the environment as a cell may have changed it since this process began."""
    return dict(os.environ)


def dump_plan(plan: LoopPlan, specs: Sequence[QueueSpec], shared: Shared) -> bytes:
    """Pickle a later plan; what *shared* knows travels as a number."""
    content = dumps((plan, tuple(specs)), shared.number)
    shared.add_plan(plan)
    return content


def load_plan(content: bytes, shared: Shared) -> tuple[LoopPlan, tuple[QueueSpec, ...]]:
    """Open what `dump_plan` made."""
    plan, specs = loads(content, shared.thing)
    shared.add_plan(plan)
    return plan, specs


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
    _qualified(names)
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


def _qualified(names: dict[str, Any]) -> None:
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


_PLAIN: Final = frozenset({type(None), bool, int, float, str})
_LONGEST: Final = 200
_MOST_CAUSES: Final = 20


class PortableValue(NamedTuple):
    """A pickled value, opened where it arrives."""

    content: bytes

    def open(self) -> Any:
        """Give the value, or a stand-in when it cannot be made here."""
        try:
            return pickle.loads(self.content)  # noqa: S301 - from our own child
        except Exception as error:  # noqa: BLE001 - a __setstate__ may raise anything
            return LeftBehind(f"a value that cannot be read here: {told(error)}")


class LeftBehind:
    """Stands for a value that could not leave its loop's process."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return f"LeftBehind({self._text})"


def pack(value: Any) -> Any:
    """Make a value ready to travel; never raises."""
    if type(value) in _PLAIN:
        return value
    try:
        return PortableValue(dumps_value(value))
    except BaseException:  # noqa: BLE001 - a lock, a socket, a __reduce__ that raises
        return PortableValue(pickle.dumps(LeftBehind(_shown(value))))


def unpack(value: Any) -> Any:
    """Give what was packed."""
    return value.open() if isinstance(value, PortableValue) else value


def pack_error(error: BaseException | None) -> Any:
    """Make an error ready to travel with its causes; one that cannot, as its text."""
    return None if error is None else pack(portable_error(error, frames=True))


def unpack_error(packed: Any) -> BaseException | None:
    """Give the error that was packed."""
    found = unpack(packed)
    if found is None or isinstance(found, BaseException):
        return found
    return RunError(repr(found))


def portable_failure(failure: Failure) -> Failure:
    """Give a failure of which every part can travel."""
    return replace(
        failure,
        item=failure.item if _travels(failure.item) else LeftBehind(_shown(failure.item)),
        error=portable_error(failure.error),
        errors=tuple((name, portable_error(error)) for name, error in failure.errors),
    )


def portable_error(error: BaseException, *, frames: bool = False) -> Any:
    """Give what arrives as the error with its causes, or, if it cannot, as one with its text.

    With *frames* each cause has a note of where it was raised: frames do not travel.
    """
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and len(chain) < _MOST_CAUSES and all(link is not one for one in chain):
        chain.append(link)
        link = link.__cause__
    portable = [one if _travels(one) else RunError(told(one)) for one in chain]
    if frames:
        for one, carried in zip(chain[1:], portable[1:], strict=True):
            _note_frames(one, carried)
    return _Chain(portable)


def _note_frames(error: BaseException, carried: BaseException) -> None:
    fold(error)
    if error.__traceback__ is not None:
        lines = "".join(traceback.format_tb(error.__traceback__))
        noted(carried, redacted(f"In its process, most recent call last:\n{lines}".rstrip()))


class _Chain:
    """Errors, each caused by the next one: pickle leaves out what caused an error."""

    def __init__(self, errors: list[BaseException]) -> None:
        self._errors = errors

    def __reduce__(self) -> Any:
        return _linked, (self._errors,)


def _linked(errors: list[BaseException]) -> BaseException:
    for error, cause in pairwise(errors):
        caused(error, cause)
    return errors[0]


def _travels(value: Any) -> bool:
    """Whether it can be packed and opened: an exception with arguments often cannot."""
    if type(value) in _PLAIN:
        return True
    try:
        pickle.loads(dumps_value(value))  # noqa: S301 - pickled one line above
    except BaseException:  # noqa: BLE001 - see pack()
        return False
    return True


def _shown(value: Any) -> str:
    return short_repr(value, _LONGEST)
