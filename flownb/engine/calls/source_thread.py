"""Where is a sync source called? In a thread and a context of its own, for its whole life.

So a generator may hold what is bound to a thread, as a sqlite3 connection. A call that does not
come back keeps the thread and the generator: nobody calls either meanwhile. A loop need not wait
for it; what it gives is the next item, or is dropped and told of when the loop is over.
"""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, Any

from flownb.engine.prints import HERE, Spot
from flownb.errors import FAILS, RunError, told
from flownb.records.events import LogLine

if TYPE_CHECKING:
    from collections.abc import Callable

    from flownb.engine.calls.turn import Turn
    from flownb.engine.runtime import Runtime

# The sources that a loop of this process has called and left: id -> source, and since when.
_away: dict[int, tuple[Any, float]] = {}


def check_at_home(source: Any, loop: str) -> None:
    """Raise RunError when an iterator still works for a loop that has left it."""
    found = _away.get(id(source))
    if found is not None:
        seconds = time.monotonic() - found[1]
        raise RunError(
            f"loop {loop!r}: its source, a {type(source).__name__}, has been at work for "
            f"{seconds:.1f} s, since before the last stop: wait until that call comes back, or "
            "give a new one"
        )


class SourceThread:
    """The thread of one source; *turn* is what it is at work on."""

    def __init__(self, runtime: Runtime, close: Callable[[], None] | None) -> None:
        self._runtime, self._close_source = runtime, close
        self._thread = runtime.threads.own(runtime.name)
        self._spot = Spot(runtime.write_line)
        self._context = runtime.context.copy()
        self._context.run(HERE.set, self._spot)
        self.turn: Turn | None = None
        self._ended = False

    def within(self, pull: Callable[[], Any]) -> Callable[[], Any]:
        """Give what calls the source in its own context."""
        return functools.partial(self._context.run, pull)

    def begin(self, turn: Turn, where: Callable[[], tuple[str, int]]) -> None:
        """Have the rows of a turn called; *where* says what is at work."""
        self.turn = turn
        context, spot = self._runtime.context.copy(), self._spot
        context.run(HERE.set, spot)
        self._thread.submit(where()[0], functools.partial(self._work, turn, context, spot, where))

    def label(self, node: str) -> None:
        """Say what the thread does now, for who asks what was abandoned."""
        thread = self._thread.thread
        if thread is not None and thread in self._runtime.threads.running:
            self._runtime.threads.running[thread] = node

    def _work(self, turn: Turn, context: Any, spot: Spot, where: Any) -> Callable[[], None]:
        spot.where = where
        context.run(turn.work)
        spot.end()
        spot.where = None
        return functools.partial(self._report, turn)

    def _report(self, turn: Turn) -> None:
        try:
            self._runtime.soon(self._over, turn)
        except RuntimeError:  # the event loop has closed
            self._late(turn)

    def _over(self, turn: Turn) -> None:
        """Take note that a turn is over; the loop looks what it has brought."""
        turn.over = True
        turn.end()
        if self._ended:
            self._late(turn)
        self._runtime.wake()

    # -- its end ---------------------------------------------------------------

    def leave(self, source: Any) -> None:
        """End the thread behind what it is at work on, and close the generator there."""
        self._ended = True
        turn = self.turn
        if turn is not None and not turn.over:
            turn.take()
            if hasattr(source, "__next__"):
                _away[id(source)] = source, time.monotonic()
        self._thread.submit(self._runtime.name, functools.partial(self._close, source))

    def _close(self, source: Any) -> Callable[[], None]:
        _away.pop(id(source), None)
        if self._close_source is not None:
            try:
                self._within(self._close_source)
            except FAILS as error:  # the user's `finally`
                why = f"its generator failed when it was closed: {told(error)}"
                self._runtime.log(self._runtime.name, -1, "error", why)
        return _nothing

    def _within(self, call: Callable[[], Any]) -> Any:
        """Call something of the source's in its context; what it prints goes to its log."""
        self._spot.where = lambda: (self._runtime.name, -1)
        try:
            return self._context.run(call)
        finally:
            self._spot.end()
            self._spot.where = None

    def submit(self, label: str, call: Callable[[], Callable[[], None]]) -> None:
        """Run *call* in the thread, then what it returns, its report."""
        self._thread.submit(label, call)

    def renew(self) -> None:
        """Leave the thread to a call that was given up: another one is made beside it."""
        self._thread.end()
        self._thread = self._runtime.threads.own(self._runtime.name)
        self._spot = Spot(self._runtime.write_line)
        self._context.run(HERE.set, self._spot)

    def leave_to(self, turn: Turn) -> None:
        """Leave the thread to a turn whose call was given up."""
        if self.turn is turn and not turn.over:
            self.turn = None
            self.renew()

    def call(self, work: Callable[[], Any], report: Callable[[Any], None]) -> None:
        """Do something with the source, then report what that gave on the event loop."""

        def made() -> Callable[[], None]:
            return functools.partial(self._runtime.soon, report, self._within(work))

        self._thread.submit(self._runtime.name, made)

    def _late(self, turn: Turn) -> None:
        """Tell of an item that came when nobody waited for it any more."""
        values, name = turn.row[0], self._runtime.name
        if self.turn is not turn or len(values) != 1:  # else it is known what became of its rows
            return
        now = self._runtime.now()
        text = "its source gave an item after the loop had ended: it was dropped"
        line = LogLine(now, name, name, -1, "warning", text)
        self._runtime.stream.event((now, "log", name, name, -1, line))
        self._runtime.stream.event((now, "dropped", name, name, -1, None))


def _nothing() -> None:
    """Report nothing: nobody waits for it."""
