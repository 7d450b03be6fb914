"""How does a value travel between a loop in another process and the notebook?

Plain values as they are, others as one cloudpickle each, so that a value which cannot
travel spoils nothing but itself: a stand-in that shows what it was takes its place.
"""

from __future__ import annotations

import pickle
import traceback
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from flownb.engine.cells import dumps_value
from flownb.errors import RunError, caused, noted, told
from flownb.model.jsonable import short_repr
from flownb.redaction import redacted
from flownb.tracebacks import fold

if TYPE_CHECKING:
    from flownb.errors import Failure

_PLAIN: Final = frozenset({type(None), bool, int, float, str})
_LONGEST: Final = 200
_MOST_CAUSES: Final = 20


class Parcel(NamedTuple):
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
        return Parcel(dumps_value(value))
    except BaseException:  # noqa: BLE001 - a lock, a socket, a __reduce__ that raises
        return Parcel(pickle.dumps(LeftBehind(_shown(value))))


def unpack(value: Any) -> Any:
    """Give what was packed."""
    return value.open() if isinstance(value, Parcel) else value


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
