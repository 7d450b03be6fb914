"""What does a history keep of a loop? Its last spans, events and outputs, and the open calls.

The stream reports a call when it has ended. A live view also wants the open calls: here they
are spans that end now. Reading changes nothing and may be done in any thread.
"""

from __future__ import annotations

from collections import Counter, deque
from itertools import islice
from math import inf
from typing import TYPE_CHECKING, Any, Final, TypeVar

from flownb.errors import Failure
from flownb.records.events import NOTHING, Batch, Event, LogLine, Span

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from flownb.records.events import SpanKind

_T = TypeVar("_T")
_FIRST_LOOK: Final = 64  # records: what a view finds new each time


class History:
    """The last spans and events of a run, and the last failures and log lines."""

    def __init__(self, size: int = 10_000, *, failures: int = 100, logs: int = 1_000) -> None:
        self.size = size
        self.records: deque[Span | Batch] = deque()
        self._held = 0
        self.events: deque[Event] = deque(maxlen=size)
        self.failures: deque[Failure] = deque(maxlen=failures)
        self.logs: deque[LogLine] = deque(maxlen=logs)

    def on_span(self, span: Span, _: Any) -> None:
        """Keep the span."""
        self.records.append(span)
        self._held += 1
        if self._held > self.size:
            self._held -= _count(self.records.popleft())

    def on_event(self, event: Event) -> None:
        """Keep the event; failures and log lines also in rings of their own."""
        if event.kind == "log":
            self.logs.append(event.data)
            return
        self.events.append(event)
        if isinstance(event.data, Failure):
            self.failures.append(event.data)

    def on_batch(self, batch: Batch) -> None:
        """Keep the last rows that fit, unexpanded: most are never looked at."""
        self.records.append(batch.last(max(1, self.size // len(batch.nodes))))
        self._held += _count(self.records[-1])
        while self._held - _count(self.records[0]) >= self.size:
            self._held -= _count(self.records.popleft())

    def spans(self) -> list[Span]:
        """Give the kept spans, oldest first."""
        return list(_expanded(list(self.records)))[-self.size :]


def newer(ring: deque[_T], last: _T | None) -> tuple[list[_T], bool]:
    """Give what came into a ring behind the record *last*, and whether nothing is missing.

    Records are distinguished by identity, so the loop that fills the ring counts nothing, and
    may go on filling it in its own thread.

    >>> ring = deque(["a", "b", "c"], maxlen=3)
    >>> newer(ring, "b"), newer(ring, "x"), newer(ring, None)
    ((['c'], True), (['a', 'b', 'c'], False), (['a', 'b', 'c'], True))
    """
    size = _FIRST_LOOK
    while True:
        found = _newest(ring, size)
        for i, record in enumerate(found):
            if record is last:
                return found[:i][::-1], True
        if len(found) < size:
            return found[::-1], last is None
        size *= 8


def _newest(ring: deque[_T], most: int) -> list[_T]:
    """Give the newest records, the newest first."""
    try:
        return list(islice(reversed(ring), most))
    except RuntimeError:  # its loop wrote in between; a whole copy is one step for any thread
        return list(ring)[-most:][::-1]


def _count(record: Span | Batch) -> int:
    return record.iterations * len(record.nodes) if isinstance(record, Batch) else 1


def _expanded(records: Sequence[Span | Batch]) -> Iterator[Span]:
    for record in records:
        if isinstance(record, Batch):
            yield from record.spans()
        else:
            yield record


class Outputs:
    """The last outputs of each node, as many as its `keep=` says."""

    def __init__(self, keep: dict[str, int]) -> None:
        self.kept = {name: deque[Any](maxlen=n) for name, n in keep.items()}

    def on_span(self, span: Span, output: Any) -> None:
        """Keep what a node call returned."""
        if output is not NOTHING and (kept := self.kept.get(span.node)) is not None:
            kept.append(output)

    def on_batch(self, batch: Batch) -> None:
        """Keep the outputs of the batch's last iteration."""
        for node, output in zip(batch.nodes, batch.outputs, strict=False):
            if (kept := self.kept.get(node)) is not None:
                kept.append(output)

    def grow(self, keep: dict[str, int]) -> None:
        """Take in the nodes of a new generation, from any thread; what was kept stays."""
        self.kept = {name: self._resized(name, most) for name, most in keep.items()}

    def _resized(self, name: str, most: int) -> deque[Any]:
        kept = self.kept.get(name)
        if kept is not None and kept.maxlen == most:
            return kept
        return deque(() if kept is None else kept.copy(), maxlen=most)  # a copy is one step

    def replace(self, kept: dict[str, list[Any]]) -> None:
        """Take over what a loop elsewhere has kept."""
        for name, values in kept.items():
            if name in self.kept:
                self.kept[name] = deque(values, maxlen=self.kept[name].maxlen)


def open_calls(loop: Any, most: int = 1_000) -> list[Span]:
    """Give the open calls of a loop, at most *most* spans; *loop*: its manager or proxy."""
    found = open_spans(loop, most)
    now = loop.now() if found else 0.0
    ended = [span._replace(end=min(span.end, now)) for span in found]
    return [span for span in ended if span.end >= span.start]


def open_spans(loop: Any, most: int) -> list[Span]:
    """Give the same as spans without an end; of a loop elsewhere what it has last reported."""
    reported = getattr(loop, "open_calls", None)
    if reported is not None:
        return list(reported.values())[:most]
    tokens = list(getattr(loop, "calls", ()))[:most]
    found = [_of_call(loop, token) for token in tokens]
    items = list(getattr(loop, "items", {}).values())
    for item in items[: most - len(found)]:
        found += [_span(loop, t, "throttled", t.asked) for t in list(item.parked)]
    if items and not items[-1].released:
        found += _of_producer(loop, items[-1])
    return found


def at_work(loop: Any) -> Counter[str]:
    """Count the calls that are at work now, by node."""
    return Counter(span.node for span in open_spans(loop, 1_000) if span.kind == "work")


def _of_call(loop: Any, token: Any) -> Span:
    if token.at.gate is not None and not token.entered:
        return _span(loop, token, "limited", token.asked)
    if token.asked > token.start:  # the last attempt is over, the next has not begun
        return _span(loop, token, "retry", token.asked)
    return _span(loop, token, "work", token.start)


def _span(loop: Any, token: Any, kind: SpanKind, start: float) -> Span:
    attempt = token.attempt or 1
    return Span(loop.name, token.at.name, token.iteration, token.visit, kind, start, inf, attempt)


def _of_producer(loop: Any, item: Any) -> Iterator[Span]:
    """Give the producer's wait for its await set, then for a slot."""
    name, turn = loop.name, item.idle_since
    yield Span(name, name, item.iteration, 0, "wait", item.produced, inf if turn is None else turn)
    if turn is not None:
        yield Span(name, name, item.iteration, 0, "throttled", turn, inf)


def open_seconds(loop: str, calls: Iterable[Span]) -> tuple[dict[str, float], dict[str, float]]:
    """Give the seconds of the open *calls* of a loop: by node, and by kind of wait.

    Of the nodes their open calls, of the waits those of the producer.
    """
    nodes: dict[str, float] = {}
    kinds: dict[str, float] = {}
    for span in calls:
        if span.kind == "work":
            nodes[span.node] = nodes.get(span.node, 0.0) + span.duration
        if span.node == loop:
            kinds[span.kind] = kinds.get(span.kind, 0.0) + span.duration
    return nodes, kinds
