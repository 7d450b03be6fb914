"""Can the argument have this value? Checked where it is given, in one way for all verbs.

A *rule* says what an argument may be and what to give instead. `checked` reads one value by
its rule; what does not fit is an `ArgumentError` with the argument's name and the value.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from numbers import Integral, Real
from typing import Any, Final, TypeVar

from flownb.errors import ArgumentError, FlowError, UnknownName, did_you_mean

T = TypeVar("T")

MOST_SECONDS: Final = 9e9
"""285 years: more is no time that a clock of whole microseconds can tell."""
_SHOWN: Final = 80


@dataclass(frozen=True, slots=True)
class Rule:
    """What an argument may be: `advice` is what to give, `more` what to say of a wrong value."""

    advice: str
    fits: Callable[[Any], bool]
    plain: Callable[[Any], Any] = lambda value: value
    more: Callable[[Any], str] = lambda _: ""

    def __or__(self, other: Rule) -> Rule:
        """Allow what one of the two allows."""
        return Rule(
            f"{self.advice}, or {other.advice.removeprefix('give ')}",
            lambda value: self.fits(value) or other.fits(value),
            lambda value: (self if self.fits(value) else other).plain(value),
            lambda value: self.more(value) or other.more(value),
        )


def checked(
    where: str, name: str, value: Any, rule: Rule, error: type[FlowError] = ArgumentError
) -> Any:
    """Give the value as the engine uses it; *error* says what is wrong with it.

    >>> checked("stop()", "grace", 3, SECONDS)
    3
    >>> checked("stop()", "grace", "3", SECONDS)
    Traceback (most recent call last):
    flownb.errors.ArgumentError: stop(): grace='3': give a number of seconds, at least 0
    """
    if not rule.fits(value):
        raise error(f"{where}: {name}={shown(value)}: {rule.advice}{rule.more(value)}")
    return rule.plain(value)


def all_checked(
    where: str,
    rules: Mapping[str, Rule],
    given: Mapping[str, Any],
    error: type[FlowError] = ArgumentError,
) -> dict[str, Any]:
    """Read those of the given values that have a rule."""
    return {
        name: checked(where, name, value, rules[name], error) if name in rules else value
        for name, value in given.items()
    }


def shown(value: object) -> str:
    """Write a wrong value in one short line, whatever its `repr` does."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # noqa: BLE001 - the user's own __repr__
        text = f"<{type(value).__name__}>"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def known(what: str, name: object, names: Iterable[str]) -> str:
    """Give the name back if there is such a node, loop or queue, else say which was meant.

    >>> known("node", "chekc", ["check", "audit"])
    Traceback (most recent call last):
    flownb.errors.UnknownName: there is no node 'chekc': did you mean "check"?
    """
    names = list(names)
    if not isinstance(name, str) or name not in names:
        near = did_you_mean(name, names) if isinstance(name, str) else ": give its name, a str"
        raise UnknownName(f"there is no {what} {shown(name)}{near}")
    return name


class Named(dict[str, T]):
    """A dict of answers by name; a name that is not there is told with the nearest one."""

    def __init__(
        self, values: Mapping[str, T] | Iterable[tuple[str, T]] = (), what: str = "name"
    ) -> None:
        super().__init__(values)
        self.what = what

    def __missing__(self, name: object) -> T:
        known(self.what, name, self)
        raise KeyError(name)

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel as what it was made of."""
        return type(self), (dict(self), self.what)


def newest(found: Iterable[T], last: int | None, where: str) -> list[T]:
    """Give the last so many of what was found; None: all.

    >>> newest([1, 2, 3], 2, "outputs()"), newest([1, 2, 3], 0, "outputs()")
    ([2, 3], [])
    """
    last, kept = checked(where, "last", last, LAST), list(found)
    return kept if last is None else kept[len(kept) - min(last, len(kept)) :]


# -- numbers -------------------------------------------------------------------


def number(
    unit: str,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float = math.inf,
    infinite: bool = False,
) -> Rule:
    """Allow a number of *unit*; one of NumPy's too, no bool, no text, no NaN."""
    return Rule(
        f"give a number of {unit}{_bounds(least, above, most)}",
        lambda value: (
            _is_real(value) and _within(float(value), least, above, most, infinite=infinite)
        ),
        _plain,
        lambda value: _more_of(value, unit),
    )


def whole(unit: str = "", *, least: int | None = 0, most: float = math.inf) -> Rule:
    """Allow a whole number of *unit*; one of NumPy's too."""
    of = f" of {unit}" if unit else ""
    return Rule(
        f"give a whole number{of}{_bounds(least, None, most)}",
        lambda value: _is_whole(value) and _within(value, least, None, most, infinite=False),
        _plain,
        _more_of_whole,
    )


def _bounds(least: float | None, above: float | None, most: float) -> str:
    low = f"at least {least:g}" if least is not None else ""
    low = f"above {above:g}" if above is not None else low
    high = "" if most in {math.inf, MOST_SECONDS} else f"at most {most:g}"
    return "".join(f", {bound}" for bound in (low, high) if bound)


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_real(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    try:
        float(value)
    except (OverflowError, ValueError):  # a whole number of a thousand digits
        return False
    return True


def _within(
    value: Any, least: float | None, above: float | None, most: float, *, infinite: bool
) -> bool:
    if value == math.inf and infinite:
        return True
    low = (least is None or value >= least) and (above is None or value > above)
    return bool(low and -math.inf < value < math.inf and value <= most)


def _plain(value: Any) -> Any:
    """Give one of NumPy's numbers, or a fraction, as Python's own."""
    if type(value) in {int, float}:
        return value
    return int(value) if isinstance(value, Integral) else float(value)


def _more_of(value: Any, unit: str) -> str:
    if isinstance(value, timedelta):
        return f": {value.total_seconds():g}, its .total_seconds()"
    if _is_real(value) and "seconds" in unit and value > MOST_SECONDS:
        return "; what has no limit is left out" if value == math.inf else " and at most 9e9"
    return ""


def _more_of_whole(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        return f": {value:.0f}"
    return ""


# -- words, texts, flags, functions --------------------------------------------


def word(*choices: str) -> Rule:
    """Allow one of these words."""
    return Rule(
        f"choose one of {', '.join(choices)}",
        lambda value: isinstance(value, str) and value in choices,
        more=lambda value: _nearest(value, choices),
    )


def _nearest(value: object, choices: Collection[str]) -> str:
    near = did_you_mean(value, choices) if isinstance(value, str) else ""
    return near if near.startswith(":") else ""


def instance(advice: str, *types: type) -> Rule:
    """Allow what is of one of these types."""
    return Rule(advice, lambda value: isinstance(value, types))


def _is_text(value: object) -> bool:
    if not isinstance(value, str) or not value.strip():
        return False
    return not any("\ud800" <= char <= "\udfff" for char in value)


def _more_of_text(value: object) -> str:
    lone = isinstance(value, str) and value.strip()
    return "; half a surrogate pair is no text" if lone else ""


def is_flag(value: object) -> bool:
    """Whether it is True or False, also NumPy's."""
    return isinstance(value, bool) or type(value).__name__ in {"bool", "bool_"}


NONE: Final = Rule("None", lambda value: value is None)
TEXT: Final = Rule("give a text that is not empty", _is_text, more=_more_of_text)
FLAG: Final = Rule("give True or False", is_flag, bool)
FUNCTION: Final = Rule("give a function", callable)


def answering(of_what: str) -> Rule:
    """Allow a function whose answer is asked for at once: nobody awaits what an async one gives.

    >>> async def late(payload): ...
    >>> checked("add_edge()", "condition", late, answering("the payload"))
    Traceback (most recent call last):
    flownb.errors.ArgumentError: add_edge(): condition=<function late at 0x...>: give a function ...
    """
    return Rule(
        f"give a function{of_what and f' of {of_what}'}",
        lambda value: callable(value) and not is_async(value),
        more=lambda value: ": def, not async def; nobody awaits it" if is_async(value) else "",
    )


def at_once(answer: T) -> T:
    """Give the answer of such a function; TypeError for a coroutine."""
    if inspect.iscoroutine(answer):
        answer.close()
        msg = "it gave a coroutine, which nobody awaits here"
        raise TypeError(msg)
    return answer


def is_async(fn: Any) -> bool:
    """Whether calling *fn* gives a coroutine; sees through partials and `__call__`."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    called = getattr(type(fn), "__call__", None)  # noqa: B004 - its kind, not whether it is
    return inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(called)


SECONDS: Final = number("seconds", least=0, most=MOST_SECONDS)
SECONDS_ABOVE: Final = number("seconds", above=0, most=MOST_SECONDS)
TIMEOUT: Final = SECONDS | NONE
LAST: Final = whole("entries") | Rule("None for all", lambda value: value is None)
