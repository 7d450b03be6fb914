"""What happened when? The spans of a run, in the order of their start.

Spans alone say who worked and who waited. Two more things come with them: the events
that a picture marks (a release, a message that was received), and what the plan knows
of each node (`Lane`), so that a wait can say for whom and a bar whether it is awaited.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Self

from flownb.arguments import known
from flownb.model.records import Hop
from flownb.model.shown import Tabled

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from flownb.model.records import Event, Lane, Span

_MARKED: Final = frozenset({"released", "received"})


@dataclass(frozen=True, slots=True, repr=False)
class Timeline(Tabled):
    """Node calls and waits of a run; times are seconds on the run's clock.

    `spans` are in the order of their start; `events` are the releases and received messages;
    `lanes` say what the plan knows of each node; `window` is the stretch (from, to) that `of`
    cut out, else None.

    >>> from flownb.model.records import Span
    >>> timeline = Timeline((Span("days", "check", 0, 0, "work", 0.5, 2.0),))
    >>> timeline
    Timeline(1 span, 1 node, 0.5..2 s)
    >>> print(timeline)
    loop  node   iteration  what   start  end
    days  check          0  works    0.5    2
    """

    spans: tuple[Span, ...] = ()
    events: tuple[Event, ...] = ()
    lanes: tuple[Lane, ...] = ()
    window: tuple[float, float] | None = None

    @classmethod
    def of_spans(
        cls, spans: Iterable[Span], events: Iterable[Event] = (), lanes: Iterable[Lane] = ()
    ) -> Self:
        """Collect spans; those that start together keep the order they came in.

        Of *events* the releases and the received messages are kept.

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
        from flownb.model.trace import chrome_trace
        from flownb.model.waits import Reasons

        reasons = Reasons(self.spans, self.lanes, self.detached)
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
