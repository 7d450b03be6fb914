"""How does a timeline become a trace that other tools open?

The Trace Event Format of Chrome, which Perfetto reads too: a process for each loop, a
thread for each node, an "X" event for each span, arrows for messages between loops.
Calls of one node that overlap get threads of their own, since a thread may only nest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from flownb.model.records import lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from flownb.model.records import Event, Hop, Span
    from flownb.model.waits import Reasons

_MICRO: Final = 1e6
_Place = tuple[int, int]


def chrome_trace(
    spans: Sequence[Span],
    rows: Iterable[tuple[str, str]],
    hops: Iterable[Hop],
    releases: Iterable[Event],
    reasons: Reasons,
) -> dict[str, Any]:
    """Give the trace as plain JSON; times are microseconds, with three decimals."""
    places, names = _places(spans, rows)
    events = [*names, *_spans(spans, places, reasons), *_hops(spans, hops, places)]
    events += _releases(releases, places)
    return {"traceEvents": events, "displayTimeUnit": "ms"}


def _places(
    spans: Sequence[Span], rows: Iterable[tuple[str, str]]
) -> tuple[dict[Span, _Place], list[dict[str, Any]]]:
    """Number loops and nodes from 1; name them."""
    places: dict[Span, _Place] = {}
    named: list[dict[str, Any]] = []
    by_row: dict[tuple[str, str], list[Span]] = {row: [] for row in rows}
    for span in spans:
        by_row[span.loop, span.node].append(span)
    pids: dict[str, int] = {}
    tid = 0
    for (loop, node), mine in by_row.items():
        if loop not in pids:
            pids[loop] = len(pids) + 1
            named += _named("process", pids[loop], 0, f"loop {loop}")
        taken = lines(mine)
        places |= {s: (pids[loop], tid + 1 + n) for s, n in zip(mine, taken, strict=True)}
        for n in range(max(taken) + 1):
            tid += 1
            named += _named("thread", pids[loop], tid, f"{node} ({n + 1})" if n else node)
    return places, named


def _named(what: str, pid: int, tid: int, name: str) -> Iterator[dict[str, Any]]:
    key = {"pid": pid, "tid": tid, "ph": "M"}
    yield {**key, "name": f"{what}_name", "args": {"name": name}}
    yield {**key, "name": f"{what}_sort_index", "args": {"sort_index": tid or pid}}


def _spans(
    spans: Sequence[Span], places: dict[Span, _Place], reasons: Reasons
) -> Iterator[dict[str, Any]]:
    for span in spans:
        pid, tid = places[span]
        start, said = _us(span.start), reasons.of(span)
        yield {
            "name": f"{span.node} {span.iteration}" if span.kind == "work" else said,
            "cat": span.kind, "ph": "X", "pid": pid, "tid": tid,
            "ts": start, "dur": round(_us(span.end) - start, 3),
            "args": {
                "iteration": span.iteration, "visit": span.visit, "attempt": span.attempt,
                "what": said,
            },
        }  # fmt: skip


def _hops(
    spans: Sequence[Span], hops: Iterable[Hop], places: dict[Span, _Place]
) -> Iterator[dict[str, Any]]:
    """Give two ends of an arrow for each message, each inside the slice it belongs to."""
    readers = {(s.loop, s.node, s.iteration): s for s in reversed(spans) if s.kind == "work"}
    for number, hop in enumerate(hops, 1):
        reader = readers.get((hop.loop, hop.node, hop.iteration))
        if reader is None:
            continue
        both = {"name": "message", "cat": "queue", "id": number}
        (pid, tid), (to_pid, to_tid) = places[hop.push], places[reader]
        yield {**both, "ph": "s", "pid": pid, "tid": tid, "ts": _us(hop.push.start)}
        end = {"ph": "f", "bp": "e", "pid": to_pid, "tid": to_tid, "ts": _us(reader.start)}
        yield {**both, **end}


def _releases(releases: Iterable[Event], places: dict[Span, _Place]) -> Iterator[dict[str, Any]]:
    producers = {s.loop: place for s, place in reversed(places.items()) if s.node == s.loop}
    for e in releases:
        if e.loop in producers:
            pid, tid = producers[e.loop]
            yield {
                "name": f"{e.loop} {e.iteration} released", "cat": "released", "ph": "i",
                "s": "t", "pid": pid, "tid": tid, "ts": _us(e.time),
            }  # fmt: skip


def _us(time: float) -> float:
    return round(time * _MICRO, 3)
