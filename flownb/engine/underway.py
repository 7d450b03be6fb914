"""What is going on right now? The calls and waits of a loop that have not ended yet.

The stream tells of a call when it has ended. A live view also wants those that have not:
here they are spans that end now. Reading changes nothing and may be done in any thread.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

from flownb.model.records import Span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flownb.engine.token import Token
    from flownb.model.records import SpanKind


def underway(loop: Any, most: int = 1_000) -> list[Span]:
    """Give what a loop has under way, at most *most* spans; *loop*: its manager or mirror."""
    found = open_spans(loop, most)
    now = loop.now() if found else 0.0
    ended = [span._replace(end=min(span.end, now)) for span in found]
    return [span for span in ended if span.end >= span.start]


def open_spans(loop: Any, most: int) -> list[Span]:
    """Give the same as spans without an end; of a loop elsewhere what it has last told."""
    told = getattr(loop, "underway", None)
    if told is not None:
        return list(told.values())[:most]
    tokens = list(getattr(loop, "calls", ()))[:most]
    found = [_of_call(loop, token) for token in tokens]
    items = list(getattr(loop, "items", {}).values())
    for item in items[: most - len(found)]:
        found += [_span(loop, t, "throttled", t.asked) for t in list(item.parked)]
    if items and not items[-1].released:
        found += _of_producer(loop, items[-1])
    return found


def _of_call(loop: Any, token: Token) -> Span:
    if token.at.gate is not None and not token.entered:
        return _span(loop, token, "limited", token.asked)
    if token.asked > token.start:  # the last attempt is over, the next has not begun
        return _span(loop, token, "retry", token.asked)
    return _span(loop, token, "work", token.start)


def _span(loop: Any, token: Token, kind: SpanKind, start: float) -> Span:
    attempt = token.attempt or 1
    return Span(loop.name, token.at.name, token.iteration, token.visit, kind, start, inf, attempt)


def _of_producer(loop: Any, item: Any) -> Iterator[Span]:
    """Give the producer's wait for its await set, then for a slot."""
    name, turn = loop.name, item.idle_since
    yield Span(name, name, item.iteration, 0, "wait", item.produced, inf if turn is None else turn)
    if turn is not None:
        yield Span(name, name, item.iteration, 0, "throttled", turn, inf)


def open_seconds(loop: Any) -> tuple[dict[str, float], dict[str, float]]:
    """Give the seconds that the stream does not know of yet: by node, and by kind of wait.

    Of the nodes their open calls, of the waits those of the producer.
    """
    nodes: dict[str, float] = {}
    kinds: dict[str, float] = {}
    for span in underway(loop):
        if span.kind == "work":
            nodes[span.node] = nodes.get(span.node, 0.0) + span.duration
        if span.node == loop.name:
            kinds[span.kind] = kinds.get(span.kind, 0.0) + span.duration
    return nodes, kinds
