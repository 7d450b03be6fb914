"""Is it keeping up, and who holds it back? The dashboard: figures of every loop and queue, live.

The depths of queues are asked for once a second at most, and shown when Redis replies.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, ClassVar, Final

from flownb.engine.observe.history import open_seconds
from flownb.notebook.live.dashboard import DashboardFigures
from flownb.notebook.live.rates import RunRates, Sample
from flownb.notebook.repr import page
from flownb.widgets.part import Part

if TYPE_CHECKING:
    from collections.abc import Hashable

    from flownb.engine.orchestrator.orchestrator import Orchestrator
    from flownb.queues.spec import QueueStats

_SAMPLE: Final = 0.25  # seconds between two looks at the counters: figures stay calm
_QUEUES: Final = 1.0


class Dashboard(Part):
    """The loops and queues of a run, in figures."""

    name: ClassVar[str] = "dashboard"

    def __init__(self, orch: Orchestrator) -> None:
        self._orch, self._live = orch, orch._live
        self.rates = RunRates()
        self._queues: dict[str, QueueStats] = {}
        self._asking: asyncio.Task[None] | None = None
        self._next = self._next_queues = 0.0
        self._figures: dict[str, Any] = {}
        self._states: tuple[str, ...] = ()
        self._sample()

    def version(self) -> Hashable:
        """Change with the loops and queues that there are."""
        return tuple(self._live.loop_runs), tuple(self._live.specs)

    def scene(self) -> dict[str, Any]:
        """Name the loops and queues."""
        self._sample()
        return self._board().frame()

    def state(self) -> dict[str, Any]:
        """Give states at once, figures a few times a second."""
        now, states = time.monotonic(), tuple(t.state for t in self._live.loop_runs.values())
        if now >= self._next or states != self._states:
            self._next, self._states = now + _SAMPLE, states
            self._sample()
            self._figures = self._board().states() | self._board().figures()
        return self._figures

    def still(self) -> str:
        """Give the figures as tables."""
        self._sample()
        return page(None, [("", self._board().html())])

    def _board(self) -> DashboardFigures:
        return DashboardFigures(self._orch.status(), self.rates, self._live.specs)

    # -- looking ---------------------------------------------------------------

    def _sample(self) -> None:
        self._look_at_queues()
        loop_runs = list(self._live.loop_runs.values())
        open_now = {t.name: open_seconds(t.manager) for t in loop_runs}
        sample = Sample(
            time.monotonic(),
            {t.name: t.metrics() for t in loop_runs},
            {name: nodes for name, (nodes, _) in open_now.items()},
            {name: kinds for name, (_, kinds) in open_now.items()},
            {t.name: _awaited(t.manager.plan) for t in loop_runs},
            dict(self._queues),
            self._live.heartbeat.busy,
        )
        self.rates.add(sample)

    def _look_at_queues(self) -> None:
        """Ask the server now and then, one question at a time: it may be slow, or gone."""
        now = time.monotonic()
        asking = self._asking is not None and not self._asking.done()
        if asking or now < self._next_queues or not self._live.specs or not _has_event_loop():
            return
        self._next_queues = now + _QUEUES
        self._asking = asyncio.get_running_loop().create_task(self._ask())

    async def _ask(self) -> None:
        for spec in list(self._live.specs):
            try:
                self._queues[spec.name] = await self._orch.queues.stats(spec.name)
            except Exception:  # noqa: BLE001 - the server is away: the figures are no longer known
                self._queues.pop(spec.name, None)


def _has_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _awaited(plan: Any) -> frozenset[str]:
    return frozenset(n.name for n in plan.nodes if not n.detached)


_EVERY: Final = 0.5


class QueueGauges:
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
