"""Which metrics does a loop have? Counters and latency histograms, folded from its stream.

Buckets grow by 2 ** (1/8), so a quantile is at most 9 % too high, and two
histograms merge by adding. Reading takes a snapshot and never stops the loop.

Counters travel as plain data that `Meter.merge` adds: from a loop elsewhere what it has counted
since it last sent, through a restart, as JSON, all of them. Calls that were open at a restart are
left out there: they are made again, and counted when they end.
"""

from __future__ import annotations

import json
import operator
from collections import Counter
from itertools import pairwise
from math import ceil, log2
from typing import TYPE_CHECKING, Any, Final

from flownb.arguments import Named
from flownb.errors import StoreError
from flownb.records.metrics import LoopMetrics, NodeMetrics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from flownb.engine.observe.stream import Fields
    from flownb.records.events import Batch, LoopState, NodeState

_FINE: Final = 8
_NANO: Final = 1e-9
_NANOS: Final = log2(1e9) * _FINE  # how many buckets a nanosecond is below a second
_ZERO: Final = -240  # the bucket of what is too short to measure
_ALIKE: Final = 2000  # nanoseconds; calls shorter than that often take equally long


class Histogram:
    """Durations in seconds, counted in buckets that grow by 9 %.

    >>> h = Histogram()
    >>> for ms in range(1, 101): h.add(ms / 1000)
    >>> h.count, round(h.quantile(0.5), 3), h.longest
    (100, 0.053, 0.1)
    """

    __slots__ = ("_bucket", "_last", "buckets", "count", "longest", "total")

    def __init__(self) -> None:
        self.buckets: dict[int, int] = {}
        self.count = 0
        self.total = 0.0
        self.longest = 0.0
        self._last, self._bucket = 0.0, _ZERO

    def add(self, seconds: float, times: int = 1) -> None:
        """Count a duration *times* times."""
        if seconds != self._last:  # in virtual time the same lengths come again and again
            self._last = seconds
            self._bucket = ceil(log2(seconds) * _FINE) if seconds > _NANO else _ZERO
        self.buckets[self._bucket] = self.buckets.get(self._bucket, 0) + times
        self.count += times
        self.total += seconds * times
        self.longest = max(self.longest, seconds)

    def add_many(self, nanoseconds: Sequence[int]) -> None:
        """Count many durations, at a third of the price of one by one.

        Of very short ones many are alike to the nanosecond: each length is looked at once.
        """
        total = sum(nanoseconds)
        lengths = Counter(nanoseconds) if total < len(nanoseconds) * _ALIKE else None
        buckets = [
            ceil(log2(ns) * _FINE - _NANOS) if ns > 1 else _ZERO for ns in lengths or nanoseconds
        ]
        counted = (
            zip(buckets, lengths.values(), strict=True) if lengths else Counter(buckets).items()
        )
        for bucket, times in counted:
            self.buckets[bucket] = self.buckets.get(bucket, 0) + times
        self.count += len(nanoseconds)
        self.total += total * _NANO
        self.longest = max(self.longest, max(lengths or nanoseconds, default=0) * _NANO)

    def plain(self) -> list[Any]:
        """Give all that was counted as plain data."""
        return [self.count, self.total, self.longest, list(self.buckets.items())]

    def merge(self, plain: Sequence[Any]) -> None:
        """Add what another has counted."""
        count, total, longest, buckets = plain
        for bucket, times in buckets:
            self.buckets[bucket] = self.buckets.get(bucket, 0) + times
        self.count += count
        self.total += total
        self.longest = max(self.longest, longest)

    def quantile(self, q: float) -> float:
        """Give the duration that a share *q* of all did not exceed; 0 when there is none."""
        return self.quantiles(q)[0]

    def quantiles(self, *shares: float) -> list[float]:
        """Give the same for several shares, the smallest first, at the price of one."""
        buckets, found, seen = iter(sorted(self.buckets.copy().items())), [], 0
        bucket: int | None = _ZERO
        for q in shares:
            while bucket is not None and (seen == 0 or seen < q * self.count):
                bucket, times = next(buckets, (None, 0))
                seen += times
            found.append(self._length(bucket))
        return found

    def _length(self, bucket: int | None) -> float:
        if bucket is None:
            return self.longest
        return min(2 ** (bucket / _FINE), self.longest) if bucket > _ZERO else 0.0


_OF_NODE: Final = ("failed", "retries", "timeouts", "abandoned", "backoff", "cached")


class NodeMeter:
    """The counters of one node."""

    __slots__ = (
        "abandoned", "backoff", "cached", "failed", "name", "retries", "state", "timeouts", "times",
    )  # fmt: skip

    def __init__(self, name: str) -> None:
        self.name = name
        self.state: NodeState = "idle"
        self.times = Histogram()
        self.backoff = 0.0
        self.failed = self.retries = self.timeouts = self.abandoned = self.cached = 0

    def plain(self) -> list[Any]:
        """Give the counters as plain data."""
        return [self.name, self.times.plain(), *(getattr(self, name) for name in _OF_NODE)]

    def merge(self, times: Sequence[Any], counts: Iterable[float]) -> None:
        """Add what another has counted of the same node."""
        self.times.merge(times)
        for name, count in zip(_OF_NODE, counts, strict=True):
            setattr(self, name, getattr(self, name) + count)

    def snapshot(self, running: int = 0) -> NodeMetrics:
        """Freeze what is known now; *running*: so many calls are at work."""
        t = self.times
        p50, p99 = t.quantiles(0.5, 0.99)
        return NodeMetrics(
            self.name, self.state, t.count, self.failed, self.retries, self.timeouts,
            self.abandoned, running, total=t.total, p50=p50, p99=p99,
            longest=t.longest, backoff=self.backoff, cached=self.cached,
        )  # fmt: skip


class Meter:
    """The counters of one loop; a subscriber of its stream."""

    def __init__(self, loop: str, nodes: Iterable[str] = ()) -> None:
        self.loop = loop
        self.nodes = {name: NodeMeter(name) for name in nodes}
        self.items = Histogram()
        self.began: dict[int, float | None] = {}  # open items; None: cancelled, of no length
        self.state: LoopState = "created"
        self.counts: Counter[str] = Counter()
        self.seconds = {"work": 0.0, "wait": 0.0, "throttled": 0.0}
        self.started = self.before = 0.0  # `before`: the seconds it ran before a restart
        self.ended: float | None = None
        self.missed = self.unsent = 0
        self._on: dict[str, Callable[[Fields], None]] = {
            "state": self._on_state,
            "produced": self._on_produced,
            "settled": self._on_settled,
            "cancelled": self._on_cancelled,
            "failed": self._on_failed,
            "retry": self._on_retry,
            "timeout": self._on_timeout,
            "abandoned": self._on_abandoned,
            "unsent": self._on_unsent,
        }

    def node(self, name: str) -> NodeMeter:
        """Give the counters of a node, new ones at its first appearance."""
        meter = self.nodes.get(name)
        if meter is None:
            meter = self.nodes[name] = NodeMeter(name)
        return meter

    def on_span(self, span: Fields, _: Any = None) -> None:
        """Count a call or the producer's wait."""
        _, node, _, _, kind, start, end, attempt = span
        if kind == "work":
            meter = self.nodes.get(node) or self.node(node)
            meter.state = "healthy"
            if attempt:
                meter.times.add(end - start)
            else:
                meter.cached += 1
        elif kind == "retry":
            self.node(node).backoff += end - start
        if node == self.loop and kind in self.seconds:
            self.seconds[kind] += end - start

    def on_event(self, event: Fields) -> None:
        """Count an event by its kind."""
        kind = event[1]
        self.counts[kind] += 1
        handler = self._on.get(kind)
        if handler is not None:
            handler(event)

    def on_batch(self, batch: Batch) -> None:
        """Count many short iterations in one go."""
        n = batch.iterations
        for kind in ("produced", "released", "settled"):
            self.counts[kind] += n
        ends = batch.columns()
        for name, (start, end) in zip(batch.nodes, pairwise(ends), strict=True):
            meter = self.node(name)
            meter.times.add_many(list(map(operator.sub, end, start)))
            meter.state = "healthy"
        self.items.add_many(list(map(operator.sub, ends[-1], ends[1])))
        self.seconds["work"] += (sum(ends[1]) - sum(ends[0])) * _NANO
        self.seconds["wait"] += (sum(ends[batch.released]) - sum(ends[1])) * _NANO

    def plain(self) -> dict[str, Any]:
        """Give the counters as plain data."""
        return {
            "counts": dict(self.counts),
            "seconds": self.seconds.copy(),
            "items": self.items.plain(),
            "nodes": [node.plain() for node in list(self.nodes.values())],
        }

    def take(self) -> dict[str, Any]:
        """Give as plain data what was counted since the last time, and how things stand now."""
        states = {name: node.state for name, node in self.nodes.items() if node.state != "idle"}
        found = self.plain() | {"missed": self.missed, "began": self.began.copy(), "states": states}
        self.counts.clear()
        self.seconds = dict.fromkeys(self.seconds, 0.0)
        self.items, self.nodes, self.missed = Histogram(), {}, 0
        return found

    def merge(self, plain: Mapping[str, Any]) -> None:
        """Add what another meter of the same loop has counted."""
        self.counts.update(plain["counts"])
        for kind, seconds in plain["seconds"].items():
            self.seconds[kind] += seconds
        self.items.merge(plain["items"])
        for name, times, *counts in plain["nodes"]:
            self.node(name).merge(times, counts)
        for name, state in plain.get("states", {}).items():
            self.node(name).state = state
        self.missed += plain.get("missed", 0)
        self.began = plain.get("began", self.began)

    def _on_state(self, event: Fields) -> None:
        time, (self.state, _) = event[0], event[-1]
        if self.state == "starting" and not self.started:  # not anew after a crash
            self.started = time - self.before
        if self.state in {"stopped", "completed", "error"}:
            self.ended = time

    def _on_produced(self, event: Fields) -> None:
        self.began[event[4]] = event[0]

    def _on_settled(self, event: Fields) -> None:
        time, _, _, _, iteration, _ = event
        made = self.began.pop(iteration, None)
        if made is not None:
            self.items.add(time - made)

    def _on_cancelled(self, event: Fields) -> None:
        if event[4] in self.began:
            self.began[event[4]] = None

    def _on_failed(self, event: Fields) -> None:
        meter = self.node(event[3])
        meter.failed += 1
        meter.state = "failing"

    def _on_retry(self, event: Fields) -> None:
        meter = self.node(event[3])
        meter.retries += 1
        meter.state = "retrying"

    def _on_timeout(self, event: Fields) -> None:
        meter = self.node(event[3])
        meter.timeouts += 1
        meter.abandoned += bool(event[5])

    def _on_abandoned(self, event: Fields) -> None:
        self.node(event[3]).abandoned += 1

    def _on_unsent(self, event: Fields) -> None:
        self.unsent += event[5] or 0

    def snapshot(
        self, now: float, slots: tuple[int, int, int], running: Mapping[str, int] | None = None
    ) -> LoopMetrics:
        """Freeze what is known at second *now*; *slots*: held, held at most, and how many.

        *running* says how many calls of a node are at work.
        """
        at_work, nodes = running or {}, self.nodes.copy()
        in_flight, peak, size = slots
        c, s = self.counts, self.seconds
        p50, p99 = self.items.quantiles(0.5, 0.99)
        failed, dropped, cancelled = c["item_failed"], c["dropped"], c["cancelled"]
        return LoopMetrics(
            self.loop, self.state, c["produced"], c["released"], c["settled"] - failed - cancelled,
            failed, dropped, cancelled, c["produced"] - c["settled"],
            in_flight=in_flight, peak_in_flight=peak, max_in_flight=size,
            overruns=c["overrun"], failed_ticks=c["tick_failed"], restarts=c["restarted"],
            missed=self.missed, unread=c["unread"], unsent=self.unsent,
            working=s["work"], waiting=s["wait"], throttled=s["throttled"],
            elapsed=(now if self.ended is None else self.ended) - self.started,
            p50=p50, p99=p99,
            nodes=Named({n: m.snapshot(at_work.get(n, 0)) for n, m in nodes.items()}, "node"),
        )  # fmt: skip


_KEPT: Final = (
    "produced", "released", "settled", "item_failed", "dropped", "overrun", "restarted",
    "tick_failed", "unread",
)  # fmt: skip


def dump(meter: Meter, now: float) -> str:
    """Write the counters of a loop as they are at second *now*."""
    counts = meter.counts
    settled = counts["settled"] - counts["cancelled"]
    kept = {kind: counts[kind] for kind in _KEPT if counts[kind]}
    kept |= {"settled": settled, "produced": settled, "released": min(counts["released"], settled)}
    return json.dumps(meter.plain() | {"counts": kept, "elapsed": max(0.0, now - meter.started)})


def load(meter: Meter, text: str) -> None:
    """Have the counters of a loop go on from what was kept; StoreError if that is broken."""
    if not text:
        return
    try:
        found = json.loads(text)
        kept = {kind: int(found["counts"].get(kind, 0)) for kind in _KEPT}
        meter.merge(found | {"counts": kept})
        meter.before = float(found["elapsed"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        msg = f"loop {meter.loop!r}: the counters in its checkpoint cannot be read: {error!r}"
        raise StoreError(msg) from None
