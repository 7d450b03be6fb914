"""How does a value travel between a loop in another process and the notebook?

Plain values as they are, others as one cloudpickle each, so that a value which cannot
travel spoils nothing but itself: a stand-in that shows what it was takes its place.
"""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from flownb.engine.cells import dumps_value
from flownb.errors import RunError, told

if TYPE_CHECKING:
    from flownb.model.records import Failure

_PLAIN: Final = frozenset({type(None), bool, int, float, str})
_LONGEST: Final = 200


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
    except Exception:  # noqa: BLE001 - a lock, a socket, a __reduce__ that raises
        return Parcel(pickle.dumps(LeftBehind(_shown(value))))


def unpack(value: Any) -> Any:
    """Give what was packed."""
    return value.open() if isinstance(value, Parcel) else value


def pack_error(error: BaseException | None) -> Any:
    """Make an error ready to travel with its cause; one that cannot, as its text."""
    if error is None:
        return None
    cause = None if error.__cause__ is None else portable_error(error.__cause__)
    return pack((portable_error(error), cause))


def unpack_error(packed: Any) -> BaseException | None:
    """Give the error that was packed."""
    pair = unpack(packed)
    if not isinstance(pair, tuple):
        return pair if pair is None else RunError(repr(pair))
    error: BaseException = pair[0]
    error.__cause__ = pair[1]
    return error


def portable_failure(failure: Failure) -> Failure:
    """Give a failure of which every part can travel."""
    return replace(
        failure,
        item=failure.item if _travels(failure.item) else LeftBehind(_shown(failure.item)),
        error=portable_error(failure.error),
        errors=tuple((name, portable_error(error)) for name, error in failure.errors),
    )


def portable_error(error: BaseException) -> BaseException:
    """Give the error itself, or, if it would not arrive, one with its text."""
    return error if _travels(error) else RunError(told(error))


def _travels(value: Any) -> bool:
    """Whether it can be packed and opened: an exception with arguments often cannot."""
    if type(value) in _PLAIN:
        return True
    try:
        pickle.loads(dumps_value(value))  # noqa: S301 - pickled one line above
    except Exception:  # noqa: BLE001 - see pack()
        return False
    return True


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - the user's __repr__
        text = object.__repr__(value)
    return text[:_LONGEST]
