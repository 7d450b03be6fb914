"""Who observes what happens? Every subscriber of the one stream of spans and events.

Metrics, history, outputs, failures, logs and user observers all subscribe here;
nothing else reports. A subscriber implements the hooks it wants; hooks are looked
up once, so an unused one costs nothing. An observer sees everything and changes
nothing: one that raises is logged and switched off.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from flownb.errors import FAILS
from flownb.model.nodes import Node, NodeData
from flownb.records.events import NOTHING, Batch, Event, Span

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

log = logging.getLogger("flownb")
Fields = tuple[Any, ...]
CallNext = Callable[[NodeData], Awaitable[Any]]
Middleware = Callable[[CallNext, Node, NodeData], Awaitable[Any]]
_made: Final = tuple.__new__  # twice as fast as by name


class Observer:
    """Subclass it, implement the hooks you want, and give it to `graph.use(...)`.

    Hooks run on the loop's own thread and should be quick.

    >>> class Slow(Observer):
    ...     def on_span(self, span, output):
    ...         if span.duration > 1: print(f"{span.node} took {span.duration:g} s")
    """

    traces: bool = False
    """Whether what a loop pushes names, in its meta, the trace of its item (`traceparent`)."""

    def on_span(self, span: Span, output: Any) -> None:
        """Called at the end of each node call and each wait."""

    def on_event(self, event: Event) -> None:
        """Called for each event; `Event` lists the kinds."""


class Stream:
    """One loop's stream: what is published reaches every subscriber, in order."""

    def __init__(self, subscribers: Iterable[Any] = ()) -> None:
        self._all: list[Any] = list(subscribers)
        self.watched = any(isinstance(s, Guarded) for s in self._all)
        """Whether a user observer wants each call as it happens."""
        self.traced = any(isinstance(s, Guarded) and s.traces for s in self._all)
        """Whether one wants messages to name the trace of their item."""
        self._started: dict[int, set[str]] = {}  # by open iteration: the nodes that have started
        self._spans: list[Callable[[Span, Any], None]] = []
        self._events: list[Callable[[Event], None]] = []
        self._find_hooks()

    def _find_hooks(self) -> None:
        self._spans = [s.on_span for s in self._all if _implements(s, "on_span")]
        self._events = [s.on_event for s in self._all if _implements(s, "on_event")]

    def close(self) -> None:
        """Reach nobody any more."""
        self._all = []
        self._find_hooks()

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
        """Publish many short iterations; without `on_batch` a subscriber gets spans one by one."""
        for subscriber in self._all:
            take = getattr(subscriber, "on_batch", None)
            if take is not None:
                take(batch)
            elif _implements(subscriber, "on_span"):
                for span in batch.spans():
                    subscriber.on_span(span, NOTHING)

    def publish(self, hook: str, record: Any) -> None:
        """Publish a rare record, to the subscribers that have that hook."""
        for subscriber in self._all:
            take = getattr(subscriber, hook, None)
            if take is not None:
                take(record)

    # -- events that only users' observers get ----------------------------------

    def started(self, fields: Fields) -> None:
        """Tell that a call of a node starts."""
        self.seen(fields[4], fields[3])
        self.tell(fields)

    def seen(self, iteration: int, node: str) -> None:
        """Note that a node of an open iteration is not bypassed."""
        self._started.setdefault(iteration, set()).add(node)

    def bypassed(self, loop: str, iteration: int, nodes: Iterable[str], now: float) -> None:
        """Tell which of its *nodes* an item that has settled was not sent to."""
        started = self._started.pop(iteration, set())
        for node in nodes:
            if node not in started:
                self.tell((now, "bypassed", loop, node, iteration, None))

    def tell(self, fields: Fields) -> None:
        """Tell of a node's status."""
        self.publish("on_status", _made(Event, fields))


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
        self.traces = observer.traces

    def on_span(self, span: Span, output: Any) -> None:
        """Pass the span on."""
        self._pass("on_span", span, output)

    def on_event(self, event: Event) -> None:
        """Pass the event on."""
        self._pass("on_event", event)

    def on_status(self, event: Event) -> None:
        """Pass on what a node does, which is no event of the loop's history."""
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


class Trace:
    """The trace of each item of one life of a loop, in the words of W3C's Trace Context.

    It is the same wherever it is worked out from the same *life*: where the loop lives, and
    where its observers are. An item that came as a message goes on in the trace that its meta
    names (*came*).

    >>> Trace("life").parent(0)
    '00-a7ed4ca62b4112bbd287a9a193965ac4-10634eb81e066c30-01'
    """

    def __init__(self, life: str) -> None:
        from hashlib import blake2b

        self.life, self._digest = life, blake2b

    def parent(self, iteration: int, came: str | None = None) -> str:
        """Give the `traceparent` of what an item does: its trace, and its first span."""
        made = self._digest(f"{self.life}:{iteration}".encode(), digest_size=24).hexdigest()
        return f"00-{came[3:35] if came else made[:32]}-{made[32:]}-01"


_TRACEPARENT: Final = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def traceparent(meta: Mapping[str, Any]) -> str | None:
    """Give the trace that the meta of a message names, None if it names none."""
    found = meta.get("traceparent")
    return found if isinstance(found, str) and _TRACEPARENT.fullmatch(found) else None
