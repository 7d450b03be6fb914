"""What happens while the Redis server is away? Everybody waits, and goes on when it is back.

One probe asks for it, ever more slowly, up to twice a second; who had something to do
does it again then. A manager that is not `patient` (a person in a cell) gets the error.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from flownb.errors import QueueError
from flownb.queues.streams import is_away, located
from flownb.queues.tasks import ended

T = TypeVar("T")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.5  # seconds between two questions


class Presence:
    """Whether a server is there, as one event loop sees it.

    `ask` has it do something; `back` is called whenever it has come back; `tell` hears of
    each absence that lasts, where the server is, and "" when it is over.
    """

    def __init__(
        self,
        ask: Callable[[], Awaitable[object]],
        *,
        where: str,
        patient: bool,
        back: Callable[[], None],
        tell: Callable[[str], None],
        closed: str = "",
    ) -> None:
        self._ask, self._where, self._patient = ask, where, patient
        self._back, self._tell = back, tell
        self._since: float | None = None
        self._told = ""
        self._probing: asyncio.Task[None] | None = None
        self._closed = closed  # why nobody waits any more

    async def insist(self, work: Callable[[], Awaitable[T]]) -> T:
        """The result of `work`, begun again after each absence of the server."""
        while True:
            try:
                return await work()
            except Exception as error:
                if not is_away(error):
                    raise
                await self.outlast(error)

    async def outlast(self, error: Exception, *, at_most: float | None = None) -> None:
        """Wait until the server answers again; raises `error` when that is not wanted.

        `at_most` so many seconds.
        """
        if self._closed:
            raise QueueError(self._closed) from None
        if not self._patient:
            raise error
        if self._probing is None or self._probing.done():
            self._probing = asyncio.create_task(self._probe())
        await asyncio.wait({self._probing}, timeout=at_most)
        if self._closed:
            raise QueueError(self._closed) from None

    async def _probe(self) -> None:
        begun, pause = time.monotonic(), _FIRST_PAUSE
        self._since = begun
        self._told = ""
        while True:
            # Jitter: a hundred loops shall not knock at the same moment.
            await asyncio.sleep(pause * random.uniform(0.5, 1))
            try:
                await self._ask()
                break
            except Exception as error:  # noqa: BLE001  a refusal is an answer: it is there
                if not is_away(error):
                    break
                if not self._told:
                    self._told = located(self._where, error)
                    self._tell(self._told)
            pause = min(2 * pause, _LONGEST_PAUSE)
        self._since = None
        if self._told:
            self._tell("")
        self._back()

    @property
    def away(self) -> str:
        """Since when the server is away, in words; "" while it is there. From any thread."""
        since = self._since
        if since is None:
            return ""
        return f"redis is away since {time.monotonic() - since:.0f} s ({self._told or self._where})"

    async def aclose(self, reason: str) -> None:
        """Whoever waits gets a QueueError."""
        self._closed = reason
        if self._probing is not None and not self._probing.done():
            await ended(self._probing)
        self._since = None
