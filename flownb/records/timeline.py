"""What happened when, and who waited for whom? A `Timeline`: the spans of a run, by their start.

Spans alone say who worked and who waited. Two more things come with them: the events
that a picture marks (a release, a message that was received), and what the plan knows
of each node (`Swimlane`), so that a wait can say for whom and a bar whether it is awaited.

`Reasons` says of a wait for whom it was. A producer's wait ends when the last awaited node of
that item ends, so whoever ended last before the release is the one it waited for. Where the
spans do not hold the answer (a history that lost its beginning) the words stay general.

`chrome_trace` writes a timeline in the Trace Event Format of Chrome, which Perfetto reads too:
a process for each loop, a thread for each node, an "X" event for each span, arrows for messages
between loops. Calls of one node that overlap get threads of their own, since a thread may only
nest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Self

from flownb.arguments import known
from flownb.display import Tabled
from flownb.records.events import Hop, lines

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from flownb.records.events import Event, Span, Swimlane

_IN_VAIN: Final = {"failed": "failed", "retry": "failed", "timeout": "timed out"}
_MARKED: Final = frozenset({"released", "received", "failed", "retry", "timeout"})


@dataclass(frozen=True, slots=True, repr=False)
class Timeline(Tabled):
    """Node calls and waits of a run; times are seconds on the run's clock.

    `spans` are in the order of their start; `events` are the releases, the received messages,
    and what ended an attempt in vain ("failed", "retry", "timeout"); `lanes` say what the plan
    knows of each node; `window` is the stretch (from, to) that `of` cut out, else None.

    >>> from flownb.records.events import Span
    >>> timeline = Timeline((Span("days", "check", 0, 0, "work", 0.5, 2.0),))
    >>> timeline
    Timeline(1 span, 1 node, 0.5..2 s)
    >>> print(timeline)
    loop  node   iteration  what   start  end
    days  check          0  works    0.5    2
    """

    spans: tuple[Span, ...] = ()
    events: tuple[Event, ...] = ()
    lanes: tuple[Swimlane, ...] = ()
    window: tuple[float, float] | None = None

    @classmethod
    def of_spans(
        cls, spans: Iterable[Span], events: Iterable[Event] = (), lanes: Iterable[Swimlane] = ()
    ) -> Self:
        """Collect spans; those that start together keep the order they came in.

        Of *events* those that a picture marks are kept: releases, received messages, attempts
        that failed.

        >>> Timeline.of_spans([]).duration
        0.0
        """
        marked = sorted((e for e in events if e.kind in _MARKED), key=lambda e: e.time)
        return cls(tuple(sorted(spans, key=lambda s: s.start)), tuple(marked), tuple(lanes))

    # -- when ------------------------------------------------------------------

    @property
    def start(self) -> float:
        """When the first span starts."""
        return min((s.start for s in self.spans), default=0.0)

    @property
    def end(self) -> float:
        """When the last span ends."""
        return max((s.end for s in self.spans), default=0.0)

    @property
    def duration(self) -> float:
        """Seconds from the first start to the last end."""
        return self.end - self.start

    # -- who -------------------------------------------------------------------

    @property
    def rows(self) -> tuple[tuple[str, str], ...]:
        """The (loop, node) pairs that occur, loop by loop, as in the plan or as they appear."""
        known = {(lane.loop, lane.node): None for lane in self.lanes}
        found = {(s.loop, s.node): None for s in self.spans}
        pairs = [pair for pair in {**known, **found} if pair in found]
        loops = dict.fromkeys(loop for loop, _ in pairs)
        return tuple(pair for loop in loops for pair in pairs if pair[0] == loop)

    @property
    def detached(self) -> frozenset[tuple[str, str]]:
        """The (loop, node) pairs that nobody waits for."""
        return frozenset((lane.loop, lane.node) for lane in self.lanes if lane.detached)

    @property
    def releases(self) -> tuple[Event, ...]:
        """When the producers of the loops shown here went on: `.time`, `.loop`, `.iteration`."""
        loops = {loop for loop, _ in self.rows}
        return tuple(e for e in self.events if e.kind == "released" and e.loop in loops)

    @property
    def failed(self) -> dict[Span, str]:
        """The attempts that ended in vain: "failed", or "timed out".

        >>> from flownb.records.events import Event, Span
        >>> spans = [Span("p", "a", 0, 0, "work", n, n + 0.5, n) for n in (1, 2)]
        >>> list(Timeline.of_spans(spans, [Event(1.5, "retry", "p", "a", 0)]).failed.values())
        ['failed']
        """
        told = [e for e in self.events if e.kind in _IN_VAIN]
        calls: dict[tuple[str, str, int], list[Span]] = {}
        for s in self.spans if told else ():
            if s.kind == "work":
                calls.setdefault((s.loop, s.node, s.iteration), []).append(s)
        found: dict[Span, str] = {}
        for e in told:  # a call that has timed out is told of first, and then as the others
            near = [
                (abs(s.end - e.time), found.get(s) == "failed", s.start, s)
                for s in calls.get((e.loop, e.node, e.iteration), ())
            ]
            if near:
                found.setdefault(min(near)[-1], _IN_VAIN[e.kind])
        return found

    @property
    def hops(self) -> tuple[Hop, ...]:
        """The messages between loops whose push and whose reader are both among the spans.

        A message says who pushed it, so this is exact for any number of readers and for
        messages that are delivered twice. It says nothing of what was pushed by hand.
        """
        pushes: dict[Any, list[Span]] = {}
        for s in self.spans:
            if s.kind == "work":
                pushes.setdefault((s.loop, s.node, s.iteration, s.visit), []).append(s)
        rows = set(self.rows)
        found = []
        for e in self.events:
            if e.kind == "received" and (e.loop, e.node) in rows:
                attempts = [s for s in pushes.get(e.data, ()) if s.start <= e.time]
                if attempts:
                    found.append(Hop(attempts[-1], e.loop, e.node, e.iteration, e.time))
        return tuple(found)

    # -- parts and stacks ------------------------------------------------------

    def of(
        self,
        *,
        loop: str | None = None,
        node: str | None = None,
        since: float | None = None,
        until: float | None = None,
    ) -> Timeline:
        """Give the part that belongs to a *loop*, to a *node*, to the seconds *since* to *until*.

        A span that reaches into the stretch is kept whole; its picture is cut there.
        """
        spans = [s for s in self.spans if loop in {None, s.loop} and node in {None, s.node}]
        events = [e for e in self.events if loop in {None, e.loop}]
        window = self.window
        if since is not None or until is not None:
            a, b = window or (self.start, self.end)
            window = a, b = (a if since is None else since), (b if until is None else until)
            spans = [s for s in spans if s.start <= b and s.end >= a]
            events = [e for e in events if a <= e.time <= b]
        return replace(self, spans=tuple(spans), events=tuple(events), window=window)

    @staticmethod
    def compare(timelines: Mapping[str, Timeline]) -> Timelines:
        """Put several timelines of one graph above each other, each with its name."""
        return Timelines(tuple(timelines.items()))

    def to_chrome_trace(self) -> dict[str, Any]:
        """Give the timeline in the Trace Event Format, as plain JSON.

        Write it with `json.dump` and open the file in ui.perfetto.dev or chrome://tracing.
        """
        reasons = Reasons(self.spans, self.lanes, self.detached, self.failed)
        return chrome_trace(self.spans, self.rows, self.hops, self.releases, reasons)

    def __len__(self) -> int:
        return len(self.spans)

    def __iter__(self) -> Iterator[Span]:
        return iter(self.spans)


@dataclass(frozen=True, slots=True, repr=False)
class Timelines(Tabled, Mapping[str, Timeline]):
    """Several timelines of one graph, say under several await policies, by name.

    A mapping; `named` holds the same as pairs (name, timeline).

    >>> Timeline.compare({"path": Timeline(), "all": Timeline()})
    Timelines(path, all)
    """

    named: tuple[tuple[str, Timeline], ...] = ()

    def __getitem__(self, name: str) -> Timeline:
        by_name = dict(self.named)
        return by_name[known("timeline", name, by_name)]

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self.named)

    def __len__(self) -> int:
        return len(self.named)


def is_full(span: Span) -> bool:
    """Whether this is the stretch for which a queue had no room for its loop."""
    return span.kind == "throttled" and not span.attempt and span.node != span.loop


def room_waits(spans: Sequence[Span]) -> dict[Span, Span | None]:
    """Say which spans of full queues are told otherwise than they were recorded.

    A push that mostly waited for room was not at work: it is told as that wait, and the queue's
    own wait beside it is not told (None).

    >>> from flownb.records.events import Span
    >>> push = Span("cam", "shots", 1, 0, "work", 1.0, 2.0)
    >>> room = Span("cam", "shots", 1, 0, "throttled", 1.1, 2.0, 0)
    >>> [span and span.kind for span in room_waits([push, room]).values()]
    ['throttled', None]
    """
    rooms: dict[tuple[str, str], list[Span]] = {}
    for s in spans:
        if is_full(s):
            rooms.setdefault((s.loop, s.node), []).append(s)
    found: dict[Span, Span | None] = {}
    for push in spans if rooms else ():
        own = rooms.get((push.loop, push.node), ()) if push.kind == "work" else ()
        beside = [s for s in own if s.start < push.end and push.start < s.end]
        together = sum(min(s.end, push.end) - max(s.start, push.start) for s in beside)
        if beside and together >= push.duration / 2:
            found[push] = push._replace(kind="throttled", attempt=0)
            found |= dict.fromkeys(beside)
    return found


_SAME: Final = 1e-9  # seconds
_NAMES: Final = 3


class Reasons:
    """Says of each span of a timeline what it is: work, or a wait and for whom."""

    def __init__(
        self,
        spans: Iterable[Span],
        lanes: Iterable[Swimlane] = (),
        detached: Collection[tuple[str, str]] = (),
        failed: Mapping[Span, str] = MappingProxyType({}),
    ) -> None:
        self._failed = failed
        self._lanes = {(lane.loop, lane.node): lane for lane in lanes}
        self._detached = detached
        self._work: dict[tuple[str, int], list[Span]] = {}
        self._full: dict[tuple[str, float], str] = {}
        for span in spans:
            if is_full(span):
                self._full[span.loop, span.start] = span.node
            pair = (span.loop, span.node)
            if span.kind == "work" and pair not in self._detached:
                self._work.setdefault((span.loop, span.iteration), []).append(span)

    def of(self, span: Span) -> str:
        """Say what a span is.

        >>> from flownb.records.events import Span
        >>> check = Span("days", "check", 0, 0, "work", 1.0, 4.0)
        >>> wait = Span("days", "days", 0, 0, "wait", 1.0, 4.0)
        >>> Reasons((check, wait)).of(wait)
        'waits for check'
        """
        lane = self._lanes.get((span.loop, span.node))
        if span.kind == "wait":
            return f"waits for {self.awaited(span)}"
        if span.kind == "throttled":
            if not span.attempt:
                queue = span.node if is_full(span) else self._full.get((span.loop, span.start), "")
                return f"waits for room in {queue}" if queue else "waits for room in a queue"
            return "waits for a slot" + (f": {_items(lane.slots)} in flight" if lane else "")
        if span.kind == "limited":
            return f"waits for {lane.limit if lane and lane.limit else 'a limit'}"
        if span.kind == "retry":
            return f"waits {span.duration:.6g} s for its next attempt"
        return self._works(span)

    def _works(self, span: Span) -> str:
        again = f", visit {span.visit}" if span.visit else ""
        again += f", attempt {span.attempt}" if span.attempt > 1 else ""
        away = ", the producer does not wait" if (span.loop, span.node) in self._detached else ""
        bad = f", {self._failed[span]}" if span in self._failed else ""
        return f"works{away}{again}{bad}"

    def awaited(self, wait: Span) -> str:
        """Name who ended last before this wait of a producer ended."""
        others = [
            s
            for s in self._work.get((wait.loop, wait.iteration), ())
            if s.node != wait.node and wait.start - _SAME <= s.end <= wait.end + _SAME
        ]
        last = max((s.end for s in others), default=0.0)
        final = [s for s in others if s.end >= last - _SAME]
        busy = [s for s in final if s.duration]  # a push that took no time held nobody up
        names = list(dict.fromkeys(s.node for s in busy or final))
        if not names:
            return "its await set"
        if len(names) > _NAMES:
            names[_NAMES:] = [f"{len(names) - _NAMES} more"]
        return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _items(count: int) -> str:
    return "1 item" if count == 1 else f"{count} items"


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
