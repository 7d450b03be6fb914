"""Who may run now? A `Limit` that loops share; each call has a `Place` in it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final, TypeVar
from weakref import WeakKeyDictionary

from flownb.flow.limiter import Limiter
from flownb.model.nodes import OwnLimit

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

    from flownb.model.policies import Limit

    Whose = tuple[int, str]  # the run, and the loop

Made = TypeVar("Made")


class Place:
    """The place of one call in a `Limit`: waited for, held, left once; from any thread.

    `at_once`: the call may start; else *granted* is called on *event_loop* when it may.
    """

    __slots__ = (
        "_limit",
        "_over",
        "_works",
        "at_once",
        "event_loop",
        "granted",
        "is_held",
        "whose",
    )

    def __init__(
        self, limit: SharedLimit, whose: Whose, event_loop: Any, granted: Callable[[], None]
    ) -> None:
        self._limit, self.whose = limit, whose
        self.event_loop, self.granted = event_loop, granted
        self.at_once = self.is_held = self._works = self._over = False

    def leave(self) -> None:
        """Let the next call in: this one has ended, or waits no more."""
        self._limit.leave(self)

    def kept_by(self, call: Callable[[], Made]) -> Callable[[], Made]:
        """Have the place kept until *call*, which a thread is about to make, has really ended."""
        self._works = True

        def kept() -> Made:
            try:
                return call()
            finally:
                self._works = False
                if self._over:
                    self.leave()

        return kept

    def give_up(self) -> None:
        """Leave, or as soon as the call that a thread still makes has ended."""
        self._over = True
        if not self._works:
            self.leave()


class SharedLimit:
    """A `Limit` that loops share, in whichever threads they run: a `Limiter` behind a lock."""

    def __init__(self, limit: Limit) -> None:
        gap = None if limit.per_second is None else 1 / limit.per_second
        self._limiter: Limiter[Place] = Limiter(limit.concurrency, gap)
        self._lock = threading.Lock()

    def enter(
        self, whose: Whose, iteration: int, event_loop: Any, granted: Callable[[], None]
    ) -> Place:
        """Give a place: held at once, or when it is our turn."""
        place = Place(self, whose, event_loop, granted)
        with self._lock:
            if not self._started(place):
                self._limiter.wait(place, whose, iteration)
                self._admit()
        return place

    def enter_now(self, whose: Whose, event_loop: Any) -> Place | None:
        """Give a place that is held; None where it would have to be waited for."""
        place = Place(self, whose, event_loop, _nobody_waits)
        with self._lock:
            return place if self._started(place) else None

    def _started(self, place: Place) -> bool:
        place.at_once = place.is_held = self._limiter.start(place.event_loop.time())
        return place.at_once

    def leave(self, place: Place) -> None:
        """End a call, or its wait; the loop whose turn it is goes next."""
        with self._lock:
            if place.is_held:
                place.is_held = False
                self._limiter.end()
                self._admit()
            else:
                self._limiter.forget(place, place.whose)

    def _admit(self) -> None:
        limiter = self._limiter
        while (first := limiter.first) is not None:
            if first.event_loop.is_closed():
                limiter.forget(first, first.whose)
            elif limiter.is_full:
                return
            else:
                place, due = limiter.start_next(first.event_loop.time())
                place.is_held = True
                _post(place.event_loop, due, place.granted)


def _post(loop: Any, when: float, granted: Callable[[], None]) -> None:
    """Call *granted* on its own event loop at second *when*, from whatever thread this is."""
    loop.call_soon_threadsafe(
        lambda: loop.call_at(when, granted) if when > loop.time() else granted()
    )


def _nobody_waits() -> None:
    """Tell nobody: the place was held from the first moment."""


class LimitHandle:
    """A limit, seen from one loop."""

    __slots__ = ("_limit", "_whose")

    def __init__(self, limit: SharedLimit, whose: Whose) -> None:
        self._limit, self._whose = limit, whose

    def enter(self, iteration: int, event_loop: Any, granted: Callable[[], None]) -> Place:
        """Give a place; *granted* is called on *event_loop* if it is not held at once."""
        return self._limit.enter(self._whose, iteration, event_loop, granted)

    def enter_now(self, event_loop: Any) -> Place | None:
        """Give a place that is held; None where it would have to be waited for."""
        return self._limit.enter_now(self._whose, event_loop)


OF_PROCESS: Final[MutableMapping[Limit, SharedLimit]] = WeakKeyDictionary()
"""The limits at work in real time in this process: one for each `Limit` object."""
_lock = threading.Lock()


class Limits:
    """The limits of one run: one for each `Limit` object, shared by all its loops.

    *shared* are those that others have, too: live runs share all of this process. Only the
    limit that a class node has by itself is each loop's own, as the node's instance and state are.
    """

    def __init__(self, shared: MutableMapping[Limit, SharedLimit] | None = None) -> None:
        self._shared = {} if shared is None else shared
        self._own: dict[tuple[Limit, str], SharedLimit] = {}

    def gate(self, limit: Limit | None, loop: str) -> LimitHandle | None:
        """Give a loop's door to a limit, to the same one each time."""
        if limit is None:
            return None
        with _lock:
            made = SharedLimit(limit)
            if isinstance(limit, OwnLimit):
                made = self._own.setdefault((limit, loop), made)
            else:
                made = self._shared.setdefault(limit, made)
        return LimitHandle(made, (id(self), loop))
