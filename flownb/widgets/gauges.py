"""How full are the queues? Asked once a second at most, and answered when Redis answers."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from flownb.engine.orchestrator import Orchestrator
    from flownb.queues.spec import QueueStats

_EVERY: Final = 0.5


class Gauges:
    """The last known figures of every queue of a run; reading them never waits.

    Read on the event loop of the orchestrator: that is where the question is asked.
    """

    def __init__(self, orch: Orchestrator) -> None:
        self._orch, self._live = orch, orch._live
        self._known: dict[str, QueueStats] = {}
        self._next = 0.0
        self._asking: asyncio.Task[None] | None = None

    def read(self) -> dict[str, QueueStats]:
        """Give what is known, and ask again if that is old."""
        idle = self._asking is None or self._asking.done()
        if self._live.specs and idle and time.monotonic() >= self._next and not self._over():
            self._next = time.monotonic() + _EVERY
            self._asking = asyncio.ensure_future(self._ask())
        return self._known

    def _over(self) -> bool:
        return self._orch.is_over() or _running() is not self._live.home

    async def _ask(self) -> None:
        for spec in list(self._live.specs):
            try:
                self._known[spec.name] = await self._orch.queues.stats(spec.name)
            except Exception:  # noqa: BLE001 - Redis is away: what was known last stays
                return


def _running() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
