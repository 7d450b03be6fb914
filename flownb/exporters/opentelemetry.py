"""How do node calls become OpenTelemetry spans? One span a call, one trace an item.

The trace of an item begins with the call of its producer. What a loop reads from a queue
goes on in the trace of the item that was pushed: the message's meta names the call that
pushed it, so a reader's item finds the trace of its writer's.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import trace
from opentelemetry.trace import Status, StatusCode

from flownb.engine.observe.stream import Observer
from flownb.records.events import NOTHING

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import TracerProvider

    from flownb.records.events import Event, Span

_REMEMBERED: Final = 50_000  # items whose trace is known
_LATE: Final = 1_000  # items that wait for word of where their message came from
_KNOWN: Final = frozenset({"received", "produced", "released", "settled"})

Item = tuple[str, int]


class CallSpans(Observer):
    """An observer that reports each node call to OpenTelemetry.

    `graph.use(CallSpans())` before the graph is started; *tracer_provider* is the global one
    unless another is given. Attributes: `flownb.loop`, `flownb.node`, `flownb.iteration`,
    `flownb.visit`, `flownb.attempt`; never a payload.
    """

    def __init__(self, tracer_provider: TracerProvider | None = None) -> None:
        self._tracer = trace.get_tracer("flownb", tracer_provider=tracer_provider)
        self._items: OrderedDict[Item, Context] = OrderedDict()
        self._origins: OrderedDict[Item, Context | None] = OrderedDict()
        self._early: OrderedDict[Item, list[tuple[Span, bool]]] = OrderedDict()
        self._offsets: dict[str, float] = {}
        self._lock = threading.Lock()

    def on_event(self, event: Event) -> None:
        """Remember from which item a message came, and report what waited for that."""
        if event.kind in _KNOWN:
            with self._lock:
                item = event.loop, event.iteration
                if event.kind == "received" and event.data is not None:
                    origin = self._items.get((event.data[0], event.data[2]))
                    _keep(self._origins, item, origin, _REMEMBERED)
                self._flush(item)

    def on_span(self, span: Span, output: Any) -> None:
        """Report a call; the first ones of an item wait until it is known where it came from."""
        if span.kind != "work":
            return
        with self._lock:
            item, failed = (span.loop, span.iteration), output is NOTHING
            if item in self._items:
                self._report(span, failed=failed)
                return
            self._early.setdefault(item, []).append((span, failed))
            while len(self._early) > _LATE:
                self._flush(next(iter(self._early)))

    def _flush(self, item: Item) -> None:
        for span, failed in self._early.pop(item, ()):
            self._report(span, failed=failed)

    def _report(self, span: Span, *, failed: bool) -> None:
        item = span.loop, span.iteration
        parent = self._items.get(item, self._origins.get(item))
        offset = self._offsets.setdefault(span.loop, time.time() - span.end)
        attributes: dict[str, str | int] = {
            "flownb.loop": span.loop,
            "flownb.node": span.node,
            "flownb.iteration": span.iteration,
            "flownb.visit": span.visit,
            "flownb.attempt": span.attempt,
        }
        made = self._tracer.start_span(
            span.node, context=parent, attributes=attributes,
            start_time=int((offset + span.start) * 1e9),
        )  # fmt: skip
        if failed:
            made.set_status(Status(StatusCode.ERROR))
        made.end(int((offset + span.end) * 1e9))
        if item not in self._items:
            _keep(self._items, item, trace.set_span_in_context(made), _REMEMBERED)


def _keep(known: OrderedDict[Any, Any], key: Any, value: Any, most: int) -> None:
    known[key] = value
    while len(known) > most:
        known.popitem(last=False)
