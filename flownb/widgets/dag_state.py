"""What is the live state of a graph's picture? Every loop at this moment, and its rates.

`Rates` says how fast something counts at present: over the last two seconds, not since the
start.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from typing import TYPE_CHECKING, Final

from flownb.engine.observe.history import open_calls
from flownb.notebook.graph.live_state import LoopNow, NodeNow, Now, Wait
from flownb.widgets.dashboard import QueueGauges

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from flownb.engine.observe.meter import NodeMeter
    from flownb.engine.orchestrator.loop_run import LoopRun
    from flownb.engine.orchestrator.orchestrator import Orchestrator
    from flownb.records.events import NodeState, Span

_LOOKS: Final = 15  # how many of the last looks decide who is waited for
_SHARE: Final = 0.15  # of the time: a shorter wait is not worth a word
_WORST: Final[tuple[NodeState, ...]] = ("failing", "retrying", "healthy", "idle")


class DagState:
    """Looks at a run again and again; rates are of the last two seconds."""

    def __init__(self, orch: Orchestrator) -> None:
        self._orch, self._live = orch, orch._live
        self._rates = Rates()
        self._queue_gauges = QueueGauges(orch)
        self._holders: dict[str, deque[tuple[str, ...]]] = {}

    def now(self) -> Now:
        """Look at every loop once."""
        loop_runs = list(self._live.loop_runs.values())
        spans = {loop_run.name: open_calls(loop_run.manager) for loop_run in loop_runs}
        rates = self._rates.take(dict(_counters(loop_runs, spans)))
        if self._orch.is_over():
            rates = dict.fromkeys(rates, 0.0)
        waits = (self._wait(loop_run, spans[loop_run.name], rates) for loop_run in loop_runs)
        return Now(
            _nodes(loop_runs, spans, rates),
            {t.name: _loop(t, rates) for t in loop_runs},
            self._queues(),
            tuple(sorted(filter(None, waits), key=lambda w: -w.seconds)),
        )

    def _queues(self) -> dict[str, tuple[int, int, int]]:
        known, found = self._queue_gauges.read(), {}
        for node in list(self._orch.workflow.nodes.values()):
            stats = known.get(node.queue.name) if node.queue else None
            if node.queue is not None and stats is not None:
                found[node.name] = (stats.depth, stats.pending, node.queue.maxlen or 0)
        return found

    def _wait(self, loop_run: LoopRun, spans: list[Span], rates: dict[str, float]) -> Wait | None:
        """Say for whom a producer waits and how long for each item; None if it hardly does."""
        name = loop_run.name
        mine = {s.kind: s for s in spans if s.node == name and s.kind != "work"}
        looks = self._holders.setdefault(name, deque(maxlen=_LOOKS))
        if "wait" in mine and "throttled" not in mine:
            looks.append(_holders(loop_run, spans, mine["wait"].iteration))
        kind = max(("wait", "throttled"), key=lambda k: rates[f"{k} {name}"])
        share, items = rates[f"{kind} {name}"], rates[f"items {name}"]
        if loop_run.state != "running" or share < _SHARE or (kind == "wait" and not looks):
            return None
        length = max(share / items if items else 0.0, mine[kind].duration if kind in mine else 0.0)
        nodes = Counter(looks).most_common(1)[0][0] if kind == "wait" else ()
        return Wait(name, nodes, length, kind)


def _counters(
    loop_runs: Sequence[LoopRun], spans: dict[str, list[Span]]
) -> Iterator[tuple[str, float]]:
    """Count up everything whose rate is wanted; what is under way counts as far as it is."""
    for loop_run in loop_runs:
        name = loop_run.name
        for node, meter in list(loop_run.meter.nodes.items()):
            yield f"calls {name}/{node}", meter.times.count
        yield f"items {name}", loop_run.meter.counts["released"]
        for kind in ("wait", "throttled"):
            open_now = sum(s.duration for s in spans[name] if s.node == name and s.kind == kind)
            yield f"{kind} {name}", loop_run.meter.seconds[kind] + open_now


def _nodes(
    loop_runs: Sequence[LoopRun], spans: dict[str, list[Span]], rates: dict[str, float]
) -> dict[str, NodeNow]:
    """Count what each node did and does, in all loops it belongs to."""
    meters: dict[str, dict[str, NodeMeter]] = {}
    for loop_run in loop_runs:
        for node, meter in list(loop_run.meter.nodes.items()):
            meters.setdefault(node, {})[loop_run.name] = meter
    running = Counter(s.node for each in spans.values() for s in each if s.kind == "work")
    return {
        node: NodeNow(
            min((m.state for m in of.values()), key=_WORST.index),
            sum(m.times.count for m in of.values()),
            sum(m.failed for m in of.values()),
            sum(rates[f"calls {loop}/{node}"] for loop in of),
            running[node],
            sum(m.retries for m in of.values()),
        )
        for node, of in meters.items()
    }


def _loop(loop_run: LoopRun, rates: dict[str, float]) -> LoopNow:
    counts, slots = loop_run.meter.counts, loop_run.manager.slots
    rate = rates[f"items {loop_run.name}"]
    return LoopNow(
        loop_run.state, counts["released"], rate, slots.held, slots.size, counts["item_failed"]
    )


def _holders(loop_run: LoopRun, spans: list[Span], iteration: int) -> tuple[str, ...]:
    """Name the awaited nodes that are at work for an item."""
    away = {n.name for n in loop_run.manager.plan.nodes if n.detached}
    names = (s.node for s in spans if s.iteration == iteration and s.node != loop_run.name)
    return tuple(dict.fromkeys(name for name in names if name not in away))


_WINDOW: Final = 2.0  # seconds
_STEP: Final = 0.2  # seconds between two readings that are kept


class Rates:
    """Rates of many counters, read at a few moments that all share.

    >>> now = [0.0]
    >>> rates = Rates(clock=lambda: now[0])
    >>> for second in range(5):
    ...     now[0] = float(second)
    ...     found = rates.take({"check": 10 * second})
    >>> found
    {'check': 10.0}
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._readings: deque[tuple[float, dict[str, float]]] = deque()

    def take(self, counters: dict[str, float]) -> dict[str, float]:
        """Take a reading; give what each counter gains a second, 0 for a new one."""
        now = self._clock()
        if not self._readings or now - self._readings[-1][0] >= _STEP:
            self._readings.append((now, counters))
        while len(self._readings) > 1 and now - self._readings[1][0] >= _WINDOW:
            self._readings.popleft()
        then, before = self._readings[0]
        span = now - then
        if span <= 0:
            return dict.fromkeys(counters, 0.0)
        return {
            name: _tidy((value - before.get(name, value)) / span)
            for name, value in counters.items()
        }


def _tidy(rate: float) -> float:
    """Keep three digits: more would only flicker."""
    return float(f"{max(0.0, rate):.3g}")
