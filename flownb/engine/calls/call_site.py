"""Where is a call made? At a node of one loop: what all calls of it share, and how they report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flownb.engine.calls.signature import EXHAUSTED
from flownb.engine.observe.stream import traceparent
from flownb.records.events import NOTHING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from flownb.engine.calls.call import Call
    from flownb.engine.calls.node_memory import Memory
    from flownb.engine.runtime import Runtime
    from flownb.model.nodes import Node
    from flownb.plan.loop_plan import PlanNode
    from flownb.queues.spec import Message
    from flownb.records.events import SpanKind


@dataclass(frozen=True, slots=True)
class CallSite:
    """One node of one loop.

    *next_item* gives the number of the item that a producer makes next; *tell_position* does
    so for a source that begins there by itself.
    """

    plan: PlanNode
    node: Node
    name: str
    graph: str
    runtime: Runtime
    memory: Memory
    config: Any
    takes_context: bool
    next_item: Callable[[], int]
    tell_position: Callable[[], int]

    def meta(self, token: Call) -> Mapping[str, Any]:
        """Say where a payload comes from, for class nodes and contexts."""
        message = getattr(token.item, "message", None)
        return self.about(token.iteration, message, visit=token.visit, attempt=token.attempt or 1)

    def about(
        self, iteration: int, message: Message | None, *, visit: int = 0, attempt: int = 1
    ) -> Mapping[str, Any]:
        """Say where the payload of a call comes from."""
        meta = {"loop": self.runtime.name, "node": self.name, "iteration": iteration}
        meta |= {"visit": visit, "attempt": attempt}
        if message is not None:
            meta |= {"message_id": message.id, "deliveries": message.deliveries}
            meta["hops"] = message.hops + 1
        if (trace := self.runtime.trace) is not None:
            came = None if message is None else traceparent(message.meta)
            meta["traceparent"] = trace.parent(iteration, came)
        if self.node.kind == "producer" and not self.plan.index:
            meta["position"] = self.next_item()
        return meta

    def span(
        self, token: Call, kind: SpanKind, start: float, output: Any = NOTHING, end: Any = None
    ) -> None:
        """Publish a span of this node that ends now; finding a source at its end is no call."""
        if output is EXHAUSTED:
            return
        if output is None and self.node.kind == "producer":
            output = NOTHING  # it had nothing now
        runtime, iteration, attempt = self.runtime, token.item.iteration, token.attempt or 1
        end = runtime.now() if end is None else end
        span = (runtime.name, self.name, iteration, token.visit, kind, start, end, attempt)
        runtime.stream.span(span, output)

    def answered(self, token: Call, output: Any) -> None:
        """Publish a call of which there was no attempt: somebody knew the answer."""
        runtime = self.runtime
        place = (runtime.name, self.name, token.iteration, token.visit)
        runtime.stream.span((*place, "work", token.start, runtime.now(), 0), output)
