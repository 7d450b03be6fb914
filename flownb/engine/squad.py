"""Does every sync node of a run need a thread of its own? Only one that takes its time.

A thread takes the next node when its own has ended, so that a hundred nodes that take
microseconds cost one thread, and the event loop hears of them together. Where a thread does
not get on within a millisecond, more are sent, soon one for each that waits; a node that
took its time when it was called last has one for itself at once. Of a run that is kept each node is
told of by itself: the next one must not be called before that is saved.
"""

from __future__ import annotations

import functools
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from flownb.engine.runtime import Runtime
    from flownb.engine.token import Token

    Job = Callable[[], Callable[[], None]]  # gives what tells the event loop of it

_PATIENCE: Final = 0.001  # seconds
_ON: Final = 4  # jobs that a thread must get done in that time
_MORE: Final = 4  # threads that are sent when it does not


class Squad:
    """The threads in which one run calls its sync nodes; *alone*: each call has its own."""

    def __init__(self, runtime: Runtime, *, alone: bool) -> None:
        self._runtime, self._alone = runtime, alone
        self.waiting: deque[tuple[Token, Job]] = deque()
        self._landed: deque[Callable[[], None]] = deque()
        self._at_work = 0  # threads that go on with what waits
        self._lot = 0  # those that were sent since the others turned out to be held up
        self._more = _MORE
        self._taken = self._before = 0
        self._told = self._timed = False

    def call(self, token: Token, job: Job) -> None:
        """Have a job done in some thread: at once if it is known to take time, or by `look`."""
        at, runtime = token.at, self._runtime
        if self._alone or at.memory.long or at.gate is not None:
            runtime.threads.submit(at.name, lambda: _telling(runtime, job()))
        else:
            self.waiting.append((token, job))

    def look(self) -> None:
        """See to it that somebody goes on with what waits."""
        count = len(self.waiting)
        if not count:
            return
        if not self._at_work:
            self._send()
            count -= 1  # one goes there
        if count and not self._timed:
            self._timed, self._before = True, self._taken
            self._runtime.event_loop.call_later(_PATIENCE, self._runtime.guard, self._check)

    def holds(self, token: Token) -> bool:
        """Whether a call has not begun yet."""
        return any(held is token for held, _ in self.waiting.copy())

    def _send(self) -> None:
        self._at_work += 1
        self._runtime.threads.submit("", functools.partial(self._work, self._lot))

    def _check(self) -> None:
        """Send more, and each time twice as many, if those at work do not get on."""
        self._timed = False
        if self.waiting and self._taken - self._before < _ON * self._at_work:
            self._lot, self._at_work = self._lot + 1, 0
            for _ in range(min(self._more, len(self.waiting))):
                self._send()
            self._more *= 2
        self.look()

    def _work(self, lot: int) -> Callable[[], None]:
        """Do one job after the other; give what tells that there are none left."""
        while self.waiting:
            try:
                token, job = self.waiting.popleft()
            except IndexError:  # another thread was quicker
                break
            if token.cancelled:
                continue
            self._taken += 1
            self._runtime.threads.label(token.at.name)
            token.start = self._runtime.now()
            self._landed.append(job())
            if self.waiting and not self._told:  # else it is told at the end
                self._told = True
                self._runtime.soon(self._land)
        return _telling(self._runtime, functools.partial(self._left, lot))

    def _land(self) -> None:
        self._told = False
        while self._landed:
            self._runtime.guard(self._landed.popleft())

    def _left(self, lot: int) -> None:
        if lot == self._lot:
            self._at_work -= 1
        if not self.waiting:
            self._more = _MORE
        self._land()
        self.look()


def _telling(runtime: Runtime, step: Callable[[], None]) -> Callable[[], None]:
    return functools.partial(runtime.soon, step)
