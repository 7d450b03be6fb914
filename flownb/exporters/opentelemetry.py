"""How do node calls become OpenTelemetry spans? One span a call, one trace an item.

The trace of an item begins with the call of its producer. What is pushed names it in its meta
(`traceparent`, as W3C's Trace Context writes it), so what another loop reads from the queue goes
on in it, wherever that loop lives: in another process, another notebook, another program. A
message that a program pushed by hand with a `traceparent` goes on in the trace of that program;
`ctx.meta["traceparent"]` is what a node sends along when it asks a service.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, Status, StatusCode, TraceFlags

from flownb.engine.observe.stream import Observer, Trace
from flownb.records.events import NOTHING

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

    from flownb.records.events import Event, Span

_REMEMBERED: Final = 50_000  # items whose trace is known
_LATE: Final = 1_000  # items that wait for word of where their message came from
_KNOWN: Final = frozenset({"received", "produced", "released", "settled"})

Item = tuple[str, int, int]  # loop, life, iteration


class CallSpans(Observer):
    """An observer that reports each node call to OpenTelemetry.

    `graph.use(CallSpans())` before the graph is started, one for each graph; *tracer_provider* is
    the global one unless another is given. Attributes: `flownb.loop`, `flownb.node`,
    `flownb.iteration`, `flownb.visit`, `flownb.attempt`; never a payload.
    """

    traces = True

    def __init__(self, tracer_provider: TracerProvider | None = None) -> None:
        self._tracer = trace.get_tracer("flownb", tracer_provider=tracer_provider)
        self._ids = _planned_ids(self._tracer)
        self._lives: dict[str, tuple[int, Trace]] = {}
        self._numbers = count(1)
        self._came: OrderedDict[Item, str] = OrderedDict()
        self._begun: OrderedDict[Item, None] = OrderedDict()
        self._early: OrderedDict[Item, list[tuple[Span, bool]]] = OrderedDict()
        self._offsets: dict[str, float] = {}
        self._lock = threading.Lock()

    def on_event(self, event: Event) -> None:
        """Learn in which trace an item came, and report what waited for that."""
        with self._lock:
            if event.kind == "began":
                self._lives[event.loop] = next(self._numbers), Trace(event.data)
            elif event.kind == "traced":
                _keep(self._came, self._item(event), event.data, _REMEMBERED)
            elif event.kind in _KNOWN:
                self._flush(self._item(event))

    def _item(self, of: Event | Span) -> Item:
        number, _ = self._lives[of.loop]
        return of.loop, number, of.iteration

    def on_span(self, span: Span, output: Any) -> None:
        """Report a call; the first ones of an item wait until it is known where it came from."""
        if span.kind != "work":
            return
        with self._lock:
            item, failed = self._item(span), output is NOTHING
            if item in self._begun:
                self._report(item, span, failed=failed)
                return
            self._early.setdefault(item, []).append((span, failed))
            while len(self._early) > _LATE:
                self._flush(next(iter(self._early)))

    def _flush(self, item: Item) -> None:
        for span, failed in self._early.pop(item, ()):
            self._report(item, span, failed=failed)

    def _report(self, item: Item, span: Span, *, failed: bool) -> None:
        came = self._came.get(item)
        first = self._context(self._lives[span.loop][1].parent(span.iteration, came))
        parent: SpanContext | None = first
        if item not in self._begun:
            _keep(self._begun, item, None, _REMEMBERED)
            parent = None if came is None else self._context(came)
            self._ids.following = first
        offset = self._offsets.setdefault(span.loop, time.time() - span.end)
        attributes: dict[str, str | int] = {
            "flownb.loop": span.loop,
            "flownb.node": span.node,
            "flownb.iteration": span.iteration,
            "flownb.visit": span.visit,
            "flownb.attempt": span.attempt,
        }
        context = None if parent is None else trace.set_span_in_context(NonRecordingSpan(parent))
        made = self._tracer.start_span(
            span.node, context=context, attributes=attributes,
            start_time=int((offset + span.start) * 1e9),
        )  # fmt: skip
        self._ids.following = None
        if failed:
            made.set_status(Status(StatusCode.ERROR))
        made.end(int((offset + span.end) * 1e9))

    def _context(self, traceparent: str) -> SpanContext:
        """Read a `traceparent`; who samples a share of all traces samples the same everywhere."""
        _, trace_id, span_id, flags = traceparent.split("-")
        number, sampled = int(trace_id, 16), bool(int(flags, 16) & TraceFlags.SAMPLED)
        if sampled and (sampler := getattr(self._tracer, "sampler", None)) is not None:
            sampled = sampler.should_sample(None, number, "flownb").decision.is_sampled()
        flag = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
        return SpanContext(number, int(span_id, 16), is_remote=True, trace_flags=flag)


class _PlannedIds:
    """Gives the next span of this thread the ids that messages name already, if it has such."""

    def __init__(self, others: Any) -> None:
        self._others, self._planned = others, threading.local()

    @property
    def following(self) -> SpanContext | None:
        return getattr(self._planned, "context", None)

    @following.setter
    def following(self, context: SpanContext | None) -> None:
        self._planned.context = context

    def generate_trace_id(self) -> int:
        following = self.following
        return int(self._others.generate_trace_id()) if following is None else following.trace_id

    def generate_span_id(self) -> int:
        following = self.following
        return int(self._others.generate_span_id()) if following is None else following.span_id

    def __getattr__(self, name: str) -> Any:
        return getattr(self._others, name)


def _planned_ids(tracer: Any) -> _PlannedIds:
    """Have a tracer take planned ids; one that makes its ids elsewhere keeps its own."""
    ids = getattr(tracer, "id_generator", None)
    if not isinstance(ids, _PlannedIds):
        ids = _PlannedIds(ids)
        if hasattr(tracer, "id_generator"):
            tracer.id_generator = ids
    return ids


def _keep(known: OrderedDict[Any, Any], key: Any, value: Any, most: int) -> None:
    known[key] = value
    while len(known) > most:
        known.popitem(last=False)
