"""Must a loop that waits in virtual time be put to sleep and woken? Only if others have a say.

A task that waits costs a future and two turns of the event loop. While nobody else is ready,
the waiting task may as well take the event loop's turns itself, until one of them wakes it;
everything happens in the same order. That is a tenth of a simulation's time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

    from flownb.engine.clock import VirtualLoop


class Nap:
    """One wait of a loop in virtual time; `set_result` ends it, as if it were a future."""

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

    async def take(self) -> None:
        """Wait."""
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
