"""What does a dashboard say? For each loop and queue a few figures, as JSON by key.

The keys begin with an id of ours, never with a name: names are the user's. A live view
sends only keys that have changed; a still shows the same figures as a table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from flownb.notebook.live.alerts import Causes, alerts
from flownb.notebook.live.rates import three_digits, two_digits
from flownb.notebook.live.status import state_word
from flownb.notebook.picture.table import table
from flownb.notebook.picture.text import brief, clean, duration, in_all, xml
from flownb.records.events import ENDED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flownb.notebook.live.alerts import Alert
    from flownb.notebook.live.rates import RunRates
    from flownb.notebook.live.series import RunSeries
    from flownb.queues.spec import QueueSpec
    from flownb.records.metrics import LoopMetrics, LoopStatus, Status

LOOP_COLUMNS: Final = (
    "loop", "state", "per second", "items", "failed", "retries", "in flight", "works", "waits",
    "for", "waits for a slot", "p50", "p99",
)  # fmt: skip
QUEUE_COLUMNS: Final = ("queue", "depth", "not delivered", "not acked", "grows per second")
_NAME: Final = 200  # characters of a name that travel


class DashboardFigures:
    """Says how a run is doing, from its status and its rates."""

    def __init__(
        self,
        status: Status,
        rates: RunRates,
        specs: Sequence[QueueSpec] = (),
        says: Sequence[Alert] | None = None,
    ) -> None:
        self.status, self.rates, self.specs = status, rates, specs
        self.says = alerts(status, rates, specs) if says is None else says
        self._causes = Causes(status, rates, specs)
        self.loops = [s for s in status.loops if s.loop in rates.last.loops]

    # -- for a live view -------------------------------------------------------

    def frame(self) -> dict[str, Any]:
        """Name what there is: rows of loops and of queues, by id."""
        return {
            "graph": clean(self.status.graph, _NAME),
            "loops": [
                {"id": f"l{i}", "name": s.loop, "shown": clean(s.loop, _NAME), "pool": s.pool}
                for i, s in enumerate(self.loops)
            ],
            "queues": [
                {"id": f"q{i}", "shown": clean(q.name, _NAME), "mode": q.mode, "maxlen": q.maxlen}
                for i, q in enumerate(self.specs)
            ],
        }

    def states(self) -> dict[str, Any]:
        """Give the state of each loop, and why it is in it: [state, reason]."""
        return {
            f"l{i}.state": [s.state, clean(s.reason, 2 * _NAME)] for i, s in enumerate(self.loops)
        }

    def figures(self) -> dict[str, Any]:
        """Give all other figures, shortened to what can be read."""
        found: dict[str, Any] = {}
        for i, s in enumerate(self.loops):
            found |= self._of_loop(f"l{i}", s)
        for i, spec in enumerate(self.specs):
            found |= self._of_queue(f"q{i}", spec)
        found["says"] = [[a.level, clean(a.text, 3 * _NAME), a.loop] for a in self.says]
        found["busy"] = round(self.rates.busy(), 2)
        found["unapplied"] = self.status.unapplied
        return found

    def history(self, series: RunSeries) -> dict[str, Any]:
        """Give how rates, items in flight, failures and depths have gone, and for how long."""
        found: dict[str, Any] = {"past": round(series.seconds)}
        for i, s in enumerate(self.loops):
            rates = [two_digits(rate) for rate in series.rates(s.loop)]
            found[f"l{i}.past"] = [rates, series.in_flight(s.loop), series.failed(s.loop)]
        for i, spec in enumerate(self.specs):
            found[f"q{i}.past"] = [series.depths(spec.name)]
        return found

    def _of_loop(self, key: str, s: LoopStatus) -> dict[str, Any]:
        m = self.rates.last.loops[s.loop]
        rate, shares = self._now(s)
        ended = [m.released, three_digits(m.elapsed)] if s.state in ENDED else None
        return {
            f"{key}.rate": [two_digits(rate), ended],
            f"{key}.ring": [two_digits(r) for r in self.rates.ring(s.loop)],
            f"{key}.split": [round(100 * share) for share in shares],
            f"{key}.held": clean(self.rates.held_by(s.loop), _NAME),
            f"{key}.room": clean(self._causes.room(s.loop), _NAME) * (shares[2] > 0),
            f"{key}.items": [m.released, m.done, m.failed, m.dropped, m.overruns],
            f"{key}.retries": sum(n.retries for n in m.nodes.values()),
            f"{key}.slots": [m.in_flight, m.max_in_flight],
            f"{key}.takes": [three_digits(m.p50), three_digits(m.p99)],
            f"{key}.error": clean(s.last_error, 2 * _NAME),
        }

    def _now(self, s: LoopStatus) -> tuple[float | None, tuple[float, float, float]]:
        """Give rate and shares: of the last seconds, of the whole run once it has ended."""
        rate = self.rates.rate(s.loop, s.state)
        if s.state in ENDED:
            return rate, self._shares_of_all(self.rates.last.loops[s.loop])
        return rate, self.rates.split(s.loop)

    def _shares_of_all(self, m: LoopMetrics) -> tuple[float, float, float]:
        whole = max(m.elapsed, m.working + m.waiting + m.throttled) or 1.0
        return m.working / whole, m.waiting / whole, m.throttled / whole

    def _of_queue(self, key: str, spec: QueueSpec) -> dict[str, Any]:
        stats = self.rates.last.queues.get(spec.name)
        if stats is None:
            return {}
        return {f"{key}.now": [stats.depth, stats.lag, stats.pending, self._growth(spec.name)]}

    def _growth(self, queue: str) -> float:
        """Give by how much a queue grows a second; nothing grows when all loops have ended."""
        over = all(s.state in ENDED for s in self.status.loops)
        return 0.0 if over else two_digits(self.rates.growth(queue))

    # -- for what stays --------------------------------------------------------

    def html(self) -> str:
        """Write the same as tables, and what is wrong as a list."""
        wrong = "".join(f"<li>{xml(a.text)}</li>" for a in self.says)
        queues = [self._queue_row(spec) for spec in self.specs]
        parts = [
            table(LOOP_COLUMNS, [self._loop_row(s) for s in self.loops]),
            table(QUEUE_COLUMNS, queues) if queues else "",
            f"<ul>{wrong}</ul>" if wrong else "",
        ]
        return "".join(parts)

    def _loop_row(self, s: LoopStatus) -> list[Any]:
        m = self.rates.last.loops[s.loop]
        rate, shares = self._now(s)
        said = in_all(m.released, m.elapsed) if s.state in ENDED else two_digits(rate)
        return [
            brief(s.loop), state_word(s.state), said, m.released, m.failed,
            sum(n.retries for n in m.nodes.values()), f"{m.in_flight} of {m.max_in_flight}",
            *(f"{share:.0%}" for share in shares[:2]), brief(self.rates.held_by(s.loop)),
            f"{shares[2]:.0%}", duration(m.p50), duration(m.p99),
        ]  # fmt: skip

    def _queue_row(self, spec: QueueSpec) -> list[Any]:
        stats = self.rates.last.queues.get(spec.name)
        if stats is None:
            return [brief(spec.name), None, None, None, None]
        grows = self._growth(spec.name)
        return [brief(spec.name), stats.depth, stats.lag, stats.pending, grows]
