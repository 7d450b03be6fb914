"""Which call holds an event loop? An async one that does not await: it is named.

One thread of this process asks all event loops of loops ten times a second for an answer. One
that does not answer is held; the stack of its thread says by which call. A loop that is asked to
stop meanwhile cannot obey: who asked is told when the grace is over, and leaves it behind.
"""

from __future__ import annotations

import math
import sys
import threading
import time
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from flownb.engine.single_thread import has_threads
from flownb.flow.token import Token
from flownb.records.events import LogLine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flownb.engine.runtime import Runtime

STALL: Final = 0.5
_LOOK: Final = 0.1
_LATE: Final = 0.2  # when a stop is overdue
_watches: Final[dict[StallWatch, None]] = {}
_changed: Final = threading.Condition()
_ADVICE: Final = (
    f"has held the event loop of its loop for over {STALL:g} s: let it await what takes time, or "
    "make it sync: then it has a thread"
)


def call_in(thread: int) -> Token | None:
    """Give the call of a node that is at work in a thread; None between two calls."""
    frame: Any = sys._current_frames().get(thread)  # noqa: SLF001 - documented: for debugging
    while frame is not None:
        token = frame.f_locals.get("token")
        if isinstance(token, Token):
            return token
        frame = frame.f_back
    return None


class StallWatch:
    """Watches the event loop of one loop while that runs."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._thread = 0
        self._asked, self._looks = 0.0, 0
        self._answered = True
        self._held: Token | None = None
        self._told: set[str] = set()
        self._deadline = math.inf
        self._leave: Callable[[str], None] | None = None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch the event loop that runs in this thread."""
        if not has_threads():
            yield
            return
        self._thread = threading.get_ident()
        with _changed:
            if not _watches:
                threading.Thread(target=_watch, name="flownb stalls", daemon=True).start()
            _watches[self] = None
        try:
            yield
        finally:
            with _changed:
                _watches.pop(self, None)
                _changed.notify_all()

    def stop_by(self, grace: float, leave: Callable[[str], None]) -> None:
        """Call *leave* if the event loop is held when *grace* seconds are over.

        It is told by what, and is called in another thread; once.
        """
        self._deadline, self._leave = min(self._deadline, time.monotonic() + grace), leave

    # -- in the thread that watches --------------------------------------------

    def look(self, now: float) -> Callable[[], None] | None:
        """Ask for an answer, or see who holds the event loop that owes one.

        Give what is to be called if it is to be left behind.
        """
        if self._answered:
            self._answered, self._asked, self._looks = False, now, 0
            with suppress(RuntimeError):  # it has just closed
                self._runtime.event_loop.call_soon_threadsafe(self._answer)
            return None
        self._looks += 1
        silent = self._looks * _LOOK  # a process that stands still looks at nobody
        is_due = now >= self._deadline and self._leave is not None
        if silent < (_LATE if is_due else STALL):
            return None
        found: Any = call_in(self._thread)
        token = found if found is not None and found.at.runtime is self._runtime else None
        if token is not None and token is not self._held and silent >= STALL:
            self._held = token
            self._tell(token)
        if not is_due or (token is None and silent < STALL):
            return None
        leave, self._leave = self._leave, None
        name = self._runtime.name if token is None else token.at.name
        return None if leave is None else partial(leave, f"{name}, which holds its event loop")

    def _tell(self, token: Token) -> None:
        """Publish it from here: the loop's own thread cannot."""
        runtime, name, now = self._runtime, token.at.name, self._runtime.now()
        if name not in self._told:
            self._told.add(name)
            line = LogLine(now, runtime.name, name, token.iteration, "warning", _ADVICE)
            runtime.stream.event((now, "log", runtime.name, name, token.iteration, line))
        runtime.stream.event((now, "stalled", runtime.name, name, token.iteration, None))

    # -- on the event loop -----------------------------------------------------

    def _answer(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            seconds = time.monotonic() - self._asked
            self._runtime.event("stalled", held.at.name, held.iteration, seconds)
        self._answered = True


def _watch() -> None:
    while True:
        with _changed:
            _changed.wait(_LOOK)
            if not _watches:
                return
            found = [watch.look(time.monotonic()) for watch in list(_watches)]
        for leave in filter(None, found):
            leave()
