"""Who hears what happens? Every subscriber of the one stream of spans and events.

Metrics, history, outputs, failures, logs and user observers all subscribe here;
nothing else reports. A subscriber implements the hooks it wants; hooks are looked
up once, so an unused one costs nothing. An observer sees everything and changes
nothing: one that raises is logged and switched off.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeVar

from flownb.errors import FAILS, Failure
from flownb.model.nodes import Node, NodeData
from flownb.model.records import NOTHING, Batch, Event, LogLine, Span

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

log = logging.getLogger("flownb")
_T = TypeVar("_T")
Fields = tuple[Any, ...]
CallNext = Callable[[NodeData], Awaitable[Any]]
Middleware = Callable[[CallNext, Node, NodeData], Awaitable[Any]]
_made: Final = tuple.__new__  # twice as fast as by name
_FIRST_LOOK: Final = 64  # records: what a view finds new each time


class Observer:
    """Subclass it, implement the hooks you want, and give it to `graph.use(...)`.

    Hooks run on the loop's own thread and should be quick.

    >>> class Slow(Observer):
    ...     def on_span(self, span, output):
    ...         if span.duration > 1: print(f"{span.node} took {span.duration:g} s")
    """

    def on_span(self, span: Span, output: Any) -> None:
        """Called at the end of each node call and each wait."""

    def on_event(self, event: Event) -> None:
        """Called for each event; `Event` lists the kinds."""


class Stream:
    """One loop's stream: what is published reaches every subscriber, in order."""

    def __init__(self, subscribers: Iterable[Any] = ()) -> None:
        self._all: list[Any] = list(subscribers)
        self._spans: list[Callable[[Span, Any], None]] = []
        self._events: list[Callable[[Event], None]] = []
        self._find_hooks()

    def _find_hooks(self) -> None:
        self._spans = [s.on_span for s in self._all if _implements(s, "on_span")]
        self._events = [s.on_event for s in self._all if _implements(s, "on_event")]

    def span(self, fields: Fields, output: Any = NOTHING) -> None:
        """Publish a span, given by its fields; *output* is what a node call returned."""
        span = _made(Span, fields)
        for hook in self._spans:
            hook(span, output)

    def event(self, fields: Fields) -> None:
        """Publish an event, given by its fields."""
        event = _made(Event, fields)
        for hook in self._events:
            hook(event)

    def batch(self, batch: Batch) -> None:
        """Publish many short iterations; who has no `on_batch` gets the spans one by one."""
        for subscriber in self._all:
            take = getattr(subscriber, "on_batch", None)
            if take is not None:
                take(batch)
            elif _implements(subscriber, "on_span"):
                for span in batch.spans():
                    subscriber.on_span(span, NOTHING)

    def publish(self, hook: str, record: Any) -> None:
        """Publish what is rare, to those who have that hook."""
        for subscriber in self._all:
            take = getattr(subscriber, hook, None)
            if take is not None:
                take(record)

    @property
    def watched(self) -> bool:
        """Whether a user observer wants each call as it happens."""
        return any(isinstance(s, Guarded) for s in self._all)


def _implements(subscriber: Any, hook: str) -> bool:
    own = getattr(type(subscriber), hook, None)
    return own is not None and own is not getattr(Observer, hook)


def check_extension(extension: object) -> None:
    """Raise TypeError for what is neither an observer nor can be middleware."""
    if isinstance(extension, Observer) or (callable(extension) and not isinstance(extension, type)):
        return
    msg = (
        f"use({extension!r}): give an observer, made of a subclass of Observer, or middleware: "
        "async def mw(call_next, node, data)"
    )
    raise TypeError(msg)


class Guarded:
    """A user's observer, behind a guard: it can fail, but it cannot hurt the run."""

    def __init__(self, observer: Observer) -> None:
        self.observer: Observer | None = observer

    def on_span(self, span: Span, output: Any) -> None:
        """Pass the span on."""
        self._pass("on_span", span, output)

    def on_event(self, event: Event) -> None:
        """Pass the event on."""
        self._pass("on_event", event)

    def _pass(self, hook: str, *args: Any) -> None:
        if self.observer is None:
            return
        try:
            getattr(self.observer, hook, _ignore)(*args)
        except FAILS:
            name = type(self.observer).__name__
            log.exception("observer %s raised in %s and is switched off", name, hook)
            self.observer = None


def _ignore(*_: Any) -> None:
    """Stand in for a hook the observer does not have."""


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

    Records are told apart by identity, so the loop that fills the ring counts nothing, and
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
        if output is not NOTHING and span.node in self.kept:
            self.kept[span.node].append(output)

    def on_batch(self, batch: Batch) -> None:
        """Keep the outputs of the batch's last iteration."""
        for node, output in zip(batch.nodes, batch.outputs, strict=False):
            if node in self.kept:
                self.kept[node].append(output)

    def grow(self, keep: dict[str, int]) -> None:
        """Take in the nodes of a new generation; what was kept stays."""
        self.kept = {name: deque(self.kept.get(name, ()), maxlen=n) for name, n in keep.items()}

    def replace(self, kept: dict[str, list[Any]]) -> None:
        """Take over what a loop elsewhere has kept."""
        for name, values in kept.items():
            if name in self.kept:
                self.kept[name] = deque(values, maxlen=self.kept[name].maxlen)
