"""How is a user's function called? By its signature, decided once, never by arity.

A node function is `fn(payload)`, or has a parameter named `ctx` (or annotated
`Context` or `SyncContext`). A producer's source is a callable, a generator function
or an iterable, sync or async; it ends by running out or with StopIteration.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Generator, Iterable
from types import AsyncGeneratorType, FunctionType, GeneratorType
from typing import Any, Final, NamedTuple, NoReturn

from flownb.arguments import is_async
from flownb.errors import FAILS, RunError

_CONTEXTS: Final = ("Context", "SyncContext")


class _Exhausted:
    def __repr__(self) -> str:
        return "EXHAUSTED"


EXHAUSTED: Final = _Exhausted()

# With these a coroutine is ended from outside: they are no failure of a user's function.
ENDS: Final = (asyncio.CancelledError, GeneratorExit)


def context_parameter(fn: Any) -> str | None:
    """Give the name of the parameter that takes the context, if there is one."""
    if _surely_takes_none(fn):
        return None
    for name, parameter in _parameters(fn).items():
        note = parameter.annotation
        text = note if isinstance(note, str) else getattr(note, "__name__", "")
        if name == "ctx" or str(text).split(".")[-1] in _CONTEXTS:
            return name
    return None


def _surely_takes_none(fn: Any) -> bool:
    """Whether that shows at a glance: a look at a whole signature costs as much as ten calls."""
    return (
        isinstance(fn, FunctionType)
        and not fn.__annotations__
        and not fn.__dict__  # no wrapper of another function
        and "ctx" not in fn.__code__.co_varnames
    )


def _parameters(fn: Any) -> dict[str, inspect.Parameter]:
    try:
        return dict(inspect.signature(fn).parameters)
    except (TypeError, ValueError):  # some builtins have none
        return {}


def bound(fn: Callable[..., Any], ctx_name: str | None) -> Callable[[Any, Any], Any]:
    """Make `call(payload, ctx)` of a function that takes a context."""
    positional = [
        name
        for name, p in _parameters(fn).items()
        if p.kind in {p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD}
    ]
    free = [name for name in positional if name != ctx_name]
    if not free:
        return lambda _, ctx: fn(**{str(ctx_name): ctx})
    if free[0] == positional[0]:
        return lambda payload, ctx: fn(payload, **{str(ctx_name): ctx})
    return lambda payload, ctx: fn(**{free[0]: payload, str(ctx_name): ctx})


class Puller(NamedTuple):
    """How a producer's source is called: `pull()` gives the next item, None, or EXHAUSTED.

    `ctx_name` is the parameter that takes the context, if there is one; `close` ends the
    generator that `pull` has begun, if it has.
    """

    pull: Callable[..., Any]
    ctx_name: str | None = None
    close: Callable[[], None] | None = None


def puller(source: Any) -> Puller:
    """Say how a producer's source is called; TypeError if it is none."""
    if source is None:
        return Puller(_counter())
    if callable(source) and not isinstance(source, (Iterable, AsyncIterable)):
        ctx = context_parameter(source)
        if inspect.isgeneratorfunction(source) or inspect.isasyncgenfunction(source):
            return _generated(source, ctx)
        return Puller(until_stop(source), ctx)
    if isinstance(source, AsyncIterable):
        return Puller(_next_async(aiter(source)))
    if isinstance(source, Iterable):
        return Puller(functools.partial(next, iter(source), EXHAUSTED))
    msg = f"a producer's source is a callable or an iterable, not {type(source).__name__}"
    raise TypeError(msg)


# To read one of these, or to count where there is none, runs no code of the user's.
_PLAIN: Final = (type(None), range, list, tuple, str, bytes, dict)


def calls_nobody(source: Any) -> bool:
    """Whether the next item of a producer's source comes without a call of the user's code.

    >>> calls_nobody([1, 2]), calls_nobody(n for n in [1, 2])
    (True, False)
    """
    return type(source) in _PLAIN


def can_be_replayed(source: Any) -> bool:
    """Whether a producer's source, begun anew, gives the same items again.

    A function is asked for the next one, whatever that is.
    """
    if source is None or isinstance(source, (Iterable, AsyncIterable)):
        return True
    return inspect.isgeneratorfunction(source) or inspect.isasyncgenfunction(source)


def is_generator(source: Any) -> bool:
    """Whether a source is a generator, or makes one: that is dead once it has raised."""
    made = isinstance(source, (Generator, AsyncGenerator))
    return made or inspect.isgeneratorfunction(source) or inspect.isasyncgenfunction(source)


def begun_anew(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make `pull()` of a generator function with a context whose calls may be made again.

    A generator that has raised, or still runs after its time was up, is left; the next pull
    begins another one, which goes on from `ctx.position`.
    """
    made: Any = None

    def begun(**given: Any) -> Any:
        nonlocal made
        if made is None or getattr(made, "gi_running", False) or getattr(made, "ag_running", False):
            made = function(**given)
        return made

    def left() -> None:
        nonlocal made
        made = None

    def pull(**given: Any) -> Any:
        try:
            return next(begun(**given), EXHAUSTED)
        except BaseException:
            left()
            raise

    async def pull_async(**given: Any) -> Any:
        try:
            return await anext(begun(**given), EXHAUSTED)
        except BaseException:
            left()
            raise

    return pull_async if inspect.isasyncgenfunction(function) else pull


class LastFailure:
    """What the last call of a source raised, if it has given nothing since."""

    error: BaseException | None = None


def remembering(pull: Callable[..., Any], last: LastFailure) -> Callable[..., Any]:
    """Make a `pull()` that notes its failures: an end right behind one may be its doing.

    What iterates over a generator, as `map` does, says that it is over when that has died.
    """

    def took(item: Any) -> Any:
        if item is not EXHAUSTED:
            last.error = None
        return item

    def again(**given: Any) -> Any:
        try:
            return took(pull(**given))
        except FAILS as error:
            last.error = error
            raise

    async def again_async(**given: Any) -> Any:
        try:
            return took(await pull(**given))
        except ENDS:
            raise
        except FAILS as error:
            last.error = error
            raise

    return again_async if is_async(pull) else again


def _counter() -> Callable[[], int]:
    count = iter(range(1 << 62))
    return lambda: next(count)


def until_stop(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Let *fn* give EXHAUSTED where it raises StopIteration (StopAsyncIteration if async).

    A generator that it gives would be one item, which nobody means: that raises RunError.
    """
    return _ended_async(fn) if is_async(fn) else _ended(fn)


def _ended(fn: Callable[..., Any]) -> Callable[..., Any]:
    def pull(*data: Any, **given: Any) -> Any:
        try:
            item = fn(*data, **given)
        except StopIteration:
            return EXHAUSTED
        return item if type(item) not in _GENERATORS else _refuse()

    return pull


def _ended_async(fn: Callable[..., Any]) -> Callable[..., Any]:
    async def pull(*data: Any, **given: Any) -> Any:
        try:
            item = await fn(*data, **given)
        except StopAsyncIteration:
            return EXHAUSTED
        return item if type(item) not in _GENERATORS else _refuse()

    return pull


_GENERATORS: Final = frozenset({GeneratorType, AsyncGeneratorType})


def _refuse() -> NoReturn:
    msg = (
        "the source is a function that gives a generator: give the function that yields, or the "
        "generator; then each of what it yields is an item"
    )
    raise RunError(msg)


def _next_async(iterator: Any) -> Callable[[], Any]:
    async def pull() -> Any:
        return await anext(iterator, EXHAUSTED)

    return pull


def _generated(function: Callable[..., Any], ctx: str | None) -> Puller:
    """Start the generator at the first pull, when there is a context to give it."""
    begun: list[tuple[Any, Callable[[], Any]]] = []

    def first(**given: Any) -> Callable[[], Any]:
        made = function(**(given if ctx else {}))
        begun.append((made, puller(made).pull))
        return begun[0][1]

    def pull(**given: Any) -> Any:
        return (begun[0][1] if begun else first(**given))()

    async def pull_async(**given: Any) -> Any:
        return await (begun[0][1] if begun else first(**given))()

    def close() -> None:
        for made, _ in begun:
            made.close()

    if inspect.isasyncgenfunction(function):
        return Puller(pull_async, ctx)
    return Puller(pull, ctx, close)
