"""What time is it? The event loop's time; in a simulation, virtual time.

Everything time-like goes through the event loop: `loop.time()`, `call_later`,
`asyncio.sleep`. A `VirtualLoop` is an asyncio event loop whose time jumps to the
next timer whenever nothing is ready, so a simulation runs the same engine as a live
run. Time is kept in whole microseconds, equal times fire first come, first served.
It has no selector and no sockets: it never sees the outside world.
"""

from __future__ import annotations

import heapq
import itertools
import math
from asyncio import base_events, events
from collections.abc import Callable
from typing import Any, Final

from flownb.errors import DeadlockError, RunError, SimulationError

_DAY: Final = 24 * 3600 * 1_000_000
MICRO: Final = 1_000_000


class _Timer(events.TimerHandle):
    """A timer that keeps first come, first served among equal times."""

    __slots__ = ("order",)
    order: int

    def __lt__(self, other: Any) -> bool:
        return (self._when, self.order) < (other._when, other.order)  # type: ignore[attr-defined]


class _Jump:
    """Stands where a selector would: instead of sleeping it moves the time."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            self.loop.idle()
        elif timeout > 0:
            self.loop.jump()
        return []

    def close(self) -> None:
        """Nothing to close: there never was a file."""


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
        self._clock_resolution = 0.5e-6
        self._selector = _Jump(self)
        self._order = itertools.count()

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self.us / MICRO

    def call_at(  # type: ignore[override]
        self, when: float, callback: Any, *args: Any, context: Any = None
    ) -> Any:
        """Schedule *callback* at virtual second *when*, rounded to microseconds."""
        self._check_closed()  # type: ignore[attr-defined]
        timer = _Timer(round(when * MICRO) / MICRO, callback, args, self, context)
        timer.order = next(self._order)
        heapq.heappush(self._scheduled, timer)  # type: ignore[attr-defined]
        timer._scheduled = True  # type: ignore[attr-defined]  # noqa: SLF001
        return timer

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Any, *args: Any, context: Any = None
    ) -> Any:
        """Schedule *callback* in *delay* virtual seconds."""
        return self.call_at(self.us / MICRO + delay, callback, *args, context=context)

    def skip(self, until: float | None = None) -> bool:
        """Let time pass at once, to second *until* (None: not at all), if nobody has a say.

        That is when nothing is ready and no timer is due by then: a task that would wait
        may go on instead, with the same outcome, and spares turns of the event loop.
        """
        us = self.us if until is None else round(until * MICRO)
        timers = self._scheduled  # type: ignore[attr-defined]
        if (
            self._ready  # type: ignore[attr-defined]
            or self.aborted
            or us >= min(self.horizon * MICRO, self.us + _DAY)
            or (timers and timers[0]._when * MICRO <= us + 0.5)  # noqa: SLF001
        ):
            return False
        self.us = max(us, self.us)
        return True

    def jump(self) -> None:
        """Move time to the next timer; called when nothing is ready."""
        if self.aborted:
            msg = "the simulation was interrupted"
            raise RunError(msg)
        when: float = self._scheduled[0]._when  # type: ignore[attr-defined]  # noqa: SLF001
        if when > self.horizon and self.on_horizon is not None:
            self.us = round(self.horizon * MICRO)
            self.on_horizon()
            return
        # asyncio never looks further than a day ahead, so neither does a jump
        self.us = min(round(when * MICRO), self.us + _DAY)

    def idle(self) -> None:
        """Nothing is ready and no timer is set: nothing can ever happen again."""
        if self.on_idle is None:
            msg = "in virtual time nothing can ever happen again: somebody waits without a timer"
            raise DeadlockError(msg)
        self.on_idle()

    def _process_events(self, event_list: list[Any]) -> None:
        """No events: there is no selector."""

    def _write_to_self(self) -> None:
        """Nobody sleeps in a selector, so nobody needs waking."""

    def run_in_executor(  # type: ignore[override]
        self,
        executor: Any,  # noqa: ARG002
        func: Any,  # noqa: ARG002
        *args: Any,  # noqa: ARG002
    ) -> Any:
        """Refuse: virtual time cannot wait for a real thread."""
        msg = "a simulated node tried to use an executor (threads): give the node fake="
        raise SimulationError(msg)

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """There is none."""
