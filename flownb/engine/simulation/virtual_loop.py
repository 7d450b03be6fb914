"""How does time pass in a simulation? On a `VirtualLoop`, which jumps to the next timer.

Everything time-like goes through the event loop: `loop.time()`, `call_later`,
`asyncio.sleep`. A `VirtualLoop` is an asyncio event loop whose time jumps to the
next timer whenever nothing is ready, so a simulation runs the same engine as a live
run. Time is kept in whole microseconds, equal times fire first come, first served.
It has no selector and no sockets: it never sees the outside world. (So it takes turns
in its own way, half the price of asyncio's, which has to look outside. asyncio has no public way
to do so: `_run_once` is that of `BaseEventLoop`.)
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
from asyncio import base_events
from collections import deque
from collections.abc import Callable, Generator
from contextvars import copy_context
from typing import Any, Final

from flownb.engine.prints import who
from flownb.errors import DeadlockError, RunError, SimulationError

MICRO: Final = 1_000_000
EPOCH: Final = 946_684_800
"""What `time.time()` says in a node when a simulation begins: 2000-01-01, 0:00 UTC."""
_LAST_TURNS: Final = 100_000
_CLOSED: Final = "Event loop is closed"  # as asyncio says it


class Turn:
    """What is to be called, now or later: asyncio's handles cost twice as much."""

    __slots__ = ("_args", "_callback", "_context", "_loop", "_us", "is_cancelled")

    def __init__(self, loop: VirtualLoop, us: int, callback: Any, args: Any, context: Any) -> None:
        self._loop, self._us = loop, us
        self._callback, self._args = callback, args
        self._context = copy_context() if context is None else context
        self.is_cancelled = False

    def when(self) -> float:
        """Give the virtual second at which it is due."""
        return self._us / MICRO

    def cancelled(self) -> bool:
        """Whether it will not be called any more."""
        return self.is_cancelled

    def cancel(self) -> None:
        """See to it that it is not called; what it holds is let go."""
        if not self.is_cancelled:
            self.is_cancelled = True
            self._callback = self._args = None
            self._loop.turn_cancelled()

    def run(self) -> None:
        """Call it; what it raises is reported as asyncio does."""
        try:
            self._context.run(self._callback, *self._args)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001 - it belongs to nobody who could catch it
            message = f"Exception in callback {self._callback!r}"
            self._loop.call_exception_handler({"message": message, "exception": error})


class VirtualLoop(base_events.BaseEventLoop):
    """An asyncio event loop in virtual time; run it in a thread of its own.

    >>> import asyncio
    >>> loop = VirtualLoop()
    >>> loop.run_until_complete(asyncio.sleep(3600)), loop.time()
    (None, 3600.0)
    >>> loop.close()
    """

    def __init__(self) -> None:
        super().__init__()
        self.us = 0
        self.aborted = False
        self.horizon = math.inf
        self.on_horizon: Callable[[], None] | None = None
        self.on_idle: Callable[[], None] | None = None
        self._turns: deque[Turn] = deque()
        self._timers: list[tuple[int, int, Turn]] = []
        self._is_ending = False
        self._order = itertools.count()
        self._cancelled = 0
        self._last_turns = _LAST_TURNS

    def abort(self, end: Callable[[], Any]) -> None:
        """Call *end* soon, and let no node sleep any more; from any thread."""
        self.aborted = True
        self._run_once = self._last_turn  # type: ignore[method-assign]
        if not self.is_closed():
            self.call_soon(end)

    def _last_turn(self) -> None:
        """Take one of the turns that are left after an interrupt."""
        self._last_turns -= 1
        if self._last_turns < 0:
            msg = "the simulation was interrupted, and somebody goes on all the same"
            raise RunError(msg)
        VirtualLoop._run_once(self)

    def run_forever(self) -> None:
        """Run until `stop` is called."""
        try:
            super().run_forever()
        finally:
            self._is_ending = False

    def stop(self) -> None:
        """End after the next turn, in which no time passes."""
        self._is_ending = True
        super().stop()

    def close(self) -> None:
        """Forget what was still to be called."""
        super().close()
        self._turns.clear()
        self._timers.clear()

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self.us / MICRO

    def call_at(  # type: ignore[override]
        self, when: float, callback: Any, *args: Any, context: Any = None
    ) -> Any:
        """Schedule *callback* at virtual second *when*, rounded to microseconds."""
        return self._plan(round(when * MICRO), callback, args, context)

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Any, *args: Any, context: Any = None
    ) -> Any:
        """Schedule *callback* in *delay* virtual seconds."""
        us = round((self.us / MICRO + delay) * MICRO)
        return self._plan(us, callback, args, context)

    def _plan(self, us: int, callback: Any, args: Any, context: Any) -> Turn:
        if self.is_closed():
            raise RuntimeError(_CLOSED)
        turn = Turn(self, us, callback, args, context)
        heapq.heappush(self._timers, (us, next(self._order), turn))
        return turn

    def call_soon(  # type: ignore[override]
        self, callback: Any, *args: Any, context: Any = None
    ) -> Any:
        """Schedule *callback* for the next turn."""
        if self.is_closed():
            raise RuntimeError(_CLOSED)
        turn = Turn(self, self.us, callback, args, context)
        self._turns.append(turn)
        return turn

    call_soon_threadsafe = call_soon  # type: ignore[assignment] # nobody sleeps: none to wake

    def skip(self, until: float | None = None) -> bool:
        """Let time pass at once, to second *until* (None: not at all), if nobody has a say.

        That is when nothing is ready and no timer is due by then: a task that would wait
        may go on instead, with the same outcome, and spares turns of the event loop.
        """
        us = self.us if until is None else round(until * MICRO)
        timers = self._timers
        if (
            self._turns
            or (timers and timers[0][0] <= us)
            or us >= self.horizon * MICRO
            or self.aborted
        ):
            return False
        self.us = max(us, self.us)
        return True

    def new_waiter(self) -> VirtualWait:
        """Give what a loop waits for, instead of a future."""
        return VirtualWait(self)

    def reaches(self, slept: float) -> bool:
        """Whether the simulation still goes on *slept* seconds from now."""
        return not self.aborted and self.us + round(slept * MICRO) <= self.horizon * MICRO

    @property
    def others(self) -> bool:
        """Whether anything is ready to be called."""
        return bool(self._turns)

    @property
    def due(self) -> bool:
        """Whether a timer is due that has not fired yet."""
        return bool(self._timers) and self._timers[0][0] <= self.us

    def step(self) -> bool:
        """Let the next timers fire, for a task that waits (see `VirtualWait`).

        False: others are ready, or time cannot go on, so that the task must really wait.
        """
        timers = self._timers
        while timers and timers[0][2].is_cancelled:
            heapq.heappop(timers)
        if self._turns or not timers or self.aborted or self._is_ending:
            return False
        us = timers[0][0]
        if us > self.horizon * MICRO:
            return False
        self.us, fire = us, []
        while timers and timers[0][0] <= us:
            fire.append(heapq.heappop(timers)[2])
        for turn in fire:
            if not turn.is_cancelled:
                turn.run()
        return True

    def next_turn(self) -> None:
        """Call at once what was made ready last."""
        self._turns.pop().run()

    def _run_once(self) -> None:
        """Take one turn: move the time if nothing is ready, then call what is."""
        ready, timers = self._turns, self._timers
        while timers and timers[0][2].is_cancelled:
            heapq.heappop(timers)
        if not ready and not self._is_ending:
            if timers:
                self.jump(timers[0][0])
            else:
                self.idle()
        while timers and timers[0][0] <= self.us:
            ready.append(heapq.heappop(timers)[2])
        for _ in range(len(ready)):
            turn = ready.popleft()
            if not turn.is_cancelled:
                turn.run()

    def turn_cancelled(self) -> None:
        """Forget cancelled timers when they are most of all: far ones would pile up."""
        self._cancelled += 1
        if self._cancelled > len(self._timers) // 2 + 50:
            self._timers = [t for t in self._timers if not t[2].is_cancelled]
            heapq.heapify(self._timers)
            self._cancelled = 0

    def jump(self, us: int) -> None:
        """Move time to the next timer; called when nothing is ready."""
        if us > self.horizon * MICRO and self.on_horizon is not None:
            self.us = round(self.horizon * MICRO)
            self.on_horizon()
        else:
            self.us = us

    def idle(self) -> None:
        """Nothing is ready and no timer is set: nothing can ever happen again."""
        if self.on_idle is None:
            msg = "in virtual time nothing can ever happen again: somebody waits without a timer"
            raise DeadlockError(msg)
        self.on_idle()

    def run_in_executor(  # type: ignore[override]
        self,
        executor: Any,  # noqa: ARG002
        func: Any,  # noqa: ARG002
        *args: Any,  # noqa: ARG002
    ) -> Any:
        """Refuse: virtual time cannot wait for a real thread."""
        msg = f"{who()} tried to use an executor (threads) in a simulation: give it fake="
        raise SimulationError(msg)

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """There is none."""


class VirtualWait:
    """One wait of a loop in virtual time; `set_result` ends it, as if it were a future.

    A task that waits costs a future and two turns of the event loop. While nobody else is
    ready, the waiting task takes the event loop's turns itself, until one of them wakes it;
    everything happens in the same order. That is a tenth of a simulation's time.
    """

    __slots__ = ("_event_loop", "_future", "_over")

    def __init__(self, event_loop: VirtualLoop) -> None:
        self._event_loop = event_loop
        self._future: asyncio.Future[None] | None = None  # for which the task really waits
        self._over = False

    def done(self) -> bool:
        """Whether the wait is over."""
        return self._over or (self._future is not None and self._future.done())

    def set_result(self, _: None) -> None:
        """End the wait."""
        self._over = True
        if self._future is not None:
            self._future.set_result(None)
        elif self._event_loop.others:
            self._queue()

    def __await__(self) -> Generator[Any, None, None]:
        """Wait."""
        return self._take().__await__()

    async def _take(self) -> None:
        event_loop = self._event_loop
        while not self._over and event_loop.step():
            pass
        if self._over and self._future is None and not event_loop.due:
            return
        await (self._future or (self._queue() if self._over else self._sleep()))

    def _sleep(self) -> asyncio.Future[None]:
        self._future = self._event_loop.create_future()
        return self._future

    def _queue(self) -> asyncio.Future[None]:
        """Go on when all that was ready before has had its turn."""
        self._event_loop.call_soon(self._go_on)
        return self._sleep()

    def _go_on(self) -> None:
        if self._future is not None and not self._future.done():  # it may have been cancelled
            self._future.set_result(None)
            self._event_loop.next_turn()
