"""What do all views of a run know of it? Its counters, rates, queues, from one `Monitor`.

Views that looked for themselves, each at its own moment, would show one loop with several
counts and rates. The depths of queues are asked for twice a second at most, and known when
Redis has replied.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final, NamedTuple
from weakref import WeakValueDictionary

from flownb.engine.observe.history import open_calls, open_seconds
from flownb.engine.runtime import running_loop
from flownb.notebook.live.alerts import Alert, Causes, alerts
from flownb.notebook.live.rates import RunRates, Sample
from flownb.notebook.live.series import RunSeries

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flownb.engine.orchestrator.orchestrator import Orchestrator
    from flownb.queues.spec import QueueStats
    from flownb.records.events import Span
    from flownb.records.metrics import Status

_EVERY: Final = 0.2  # seconds between two looks at the counters: figures stay calm
_QUEUES: Final = 0.5
_PATIENCE: Final = 2.0  # seconds for the last reply, when the run has ended
_monitors: WeakValueDictionary[int, Monitor] = WeakValueDictionary()


class Reading(NamedTuple):
    """What one look found; `spans` are the open calls of each loop, `says` what is wrong.

    `full` names the nodes whose queue is full: a push of theirs waits for room.
    """

    status: Status
    rates: RunRates
    spans: Mapping[str, list[Span]]
    over: bool
    says: list[Alert]
    full: frozenset[str] = frozenset()


class Monitor:
    """Looks at a run again and again, for all views of it; `series` is what it has seen so far."""

    def __init__(self, orch: Orchestrator) -> None:
        self._orch = orch
        self._rates, self.series = RunRates(), RunSeries()
        self._queues: dict[str, QueueStats] = {}
        self._asking: asyncio.Task[None] | None = None
        self._next = self._next_queues = 0.0
        self._over_at = float("inf")
        self._seen: tuple[object, ...] = ()
        self._reading: Reading | None = None

    def look(self) -> Reading:
        """Give the last reading; take one first if it is old, or a loop has changed its state."""
        runs, over = list(self._orch._live.loop_runs.values()), self._orch.is_over()
        seen = (over, *((run.name, run.state) for run in runs))
        if self._reading is None or seen != self._seen or time.monotonic() >= self._next:
            self._seen, self._next = seen, time.monotonic() + _EVERY
            self._reading = self._take(over=over)
        return self._reading

    def _take(self, *, over: bool) -> Reading:
        self._look_at_queues(over=over)
        runs, counted = list(self._orch._live.loop_runs.values()), self._orch.metrics()
        runs = [run for run in runs if run.name in counted]
        spans = {run.name: open_calls(run.manager) for run in runs}
        seconds = {name: open_seconds(name, calls) for name, calls in spans.items()}
        sample = Sample(
            time.monotonic(),
            counted,
            {name: nodes for name, (nodes, _) in seconds.items()},
            {name: kinds for name, (_, kinds) in seconds.items()},
            {run.name: run.manager.plan for run in runs},
            dict(self._queues),
            self._orch._live.heartbeat.busy,
        )
        self._rates.add(sample)
        self.series.add(sample)
        rates = self._rates.copy()
        status = self._orch._status(counted=counted)
        says = alerts(status, rates, self._orch._live.specs)
        causes = Causes(status, rates, self._orch._live.specs)
        queues = ((n.name, n.queue) for n in list(self._orch.workflow.nodes.values()))
        full = frozenset(name for name, queue in queues if queue and causes.is_full(queue.name))
        return Reading(status, rates, spans, over, says, full)

    def is_final(self) -> bool:
        """Whether a run that is over has told all: its queues are read once more at the end."""
        told = self._asking is None or self._asking.done()
        patient = time.monotonic() <= self._over_at + _PATIENCE
        return self._over_at < float("inf") and (told or not patient)

    def _look_at_queues(self, *, over: bool) -> None:
        """Ask the server now and then, one question at a time: it may be slow, or gone."""
        now = time.monotonic()
        if not over:
            self._over_at = float("inf")
        elif self._over_at > now:  # what was known is from before the end
            self._over_at, self._next_queues = now, 0.0
            self._queues.clear()
            self._asking = None
            if self._orch._live.home is not self._orch._live.kernel:
                return  # an event loop of its own ends with the run: no reply would come
        elif self._next_queues:
            return
        asking = self._asking is not None and not self._asking.done()
        if (
            asking
            or now < self._next_queues
            or not self._orch._live.specs
            or running_loop() is None
        ):
            return
        self._next_queues = now + _QUEUES
        self._asking = asyncio.get_running_loop().create_task(self._ask())

    async def _ask(self) -> None:
        for spec in list(self._orch._live.specs):
            try:
                self._queues[spec.name] = await self._orch.queues.stats(spec.name)
            except Exception:  # noqa: BLE001 - the server is away: the figures are no longer known
                self._queues.pop(spec.name, None)
        self._next = 0.0


class Noted:
    """The reading that a part tells of: one that it has noted, else that of now."""

    def __init__(self, orch: Orchestrator) -> None:
        self.monitor = monitor_of(orch)
        self._reading: Reading | None = None

    def note(self) -> None:
        """Note the reading of now for the next `take()`."""
        self._reading = self.monitor.look()

    def take(self) -> Reading:
        """Give what was noted, once."""
        reading, self._reading = self._reading or self.monitor.look(), None
        return reading


def monitor_of(orch: Orchestrator) -> Monitor:
    """Give the one monitor of a run; it lives as long as a view has it."""
    found = _monitors.get(id(orch))
    if found is None:
        found = _monitors[id(orch)] = Monitor(orch)
    return found
