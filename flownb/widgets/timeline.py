"""Who works and who waits, right now? A Gantt chart that grows while loops run."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar, Final

from flownb.engine.observe.history import newer, open_calls
from flownb.notebook.gantt import chart
from flownb.notebook.gantt.rows import LOOKS as BARS
from flownb.notebook.gantt.span_feed import KINDS, ROOM, UNIT, Call, Rows, call_of, pieces, portion
from flownb.notebook.picture.shapes import INKS, LOOKS
from flownb.notebook.picture.text import clean, rounded
from flownb.notebook.repr import page
from flownb.records.events import Span
from flownb.widgets.monitor import Noted
from flownb.widgets.part import Part
from flownb.widgets.sending import Feed

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

    from flownb.engine.orchestrator.loop_run import LoopRun
    from flownb.engine.orchestrator.orchestrator import Orchestrator
    from flownb.errors import Failure
    from flownb.records.events import Event
    from flownb.widgets.part import Command

_EVERY: Final = 0.2  # seconds between two portions
_MOST: Final = 600  # spans in a portion: 3,000 a second
_PAST: Final = 3_000  # spans that a new page gets
_FULL: Final = 2.0  # seconds for which a queue that was full is taken for it: it is read rarely
_WAITED: Final = 0.02  # seconds: a longer push to it has waited for room
_HOPS: Final = 40  # messages in a portion: more arrows tell nothing
_STILL: Final = 10.0  # seconds that the picture that stays shows,
_STILL_SPANS: Final = 250  # and how many spans: it is sent again now and then
_NAME: Final = 200
_LOOKS: Final = (
    "work", "away", "bad", "thin-work", "thin-away", "thin-wait", "thin-bad", "waiting",
    "hatch", "bar-number", "away-number", "grid", "axis", "tick", "hop",
)  # fmt: skip


class TimelineView(Part):
    """The spans of a run, as they end."""

    name: ClassVar[str] = "timeline"

    def __init__(self, orch: Orchestrator) -> None:
        self._orch, self._live, self._noted = orch, orch._live, Noted(orch)
        self._feed, self._rows = Feed(), Rows()
        self._last: dict[LoopRun, Any] = {}
        self._last_failure: dict[LoopRun, Failure | None] = {}
        self._last_event: dict[LoopRun, Event | None] = {}
        self._full_at: dict[str, float] = {}  # when the queue of a node was last seen full
        self._pushes: dict[Call, None] = {}  # that have waited for room, the last ones
        self._next = 0.0
        self._state: dict[str, Any] = {}

    def version(self) -> Hashable:
        """Change with the nodes, and when a page asks for what was before."""
        plans = tuple(t.manager.plan.version for t in self._live.loop_runs.values())
        return tuple(self._live.loop_runs), plans, self._feed.version

    def commands(self) -> Mapping[str, Callable[[Command], Any]]:
        """Let a page ask for what was before it was opened."""
        return {"recall_timeline": self._feed.recall}

    # -- what is drawn ---------------------------------------------------------

    def scene(self) -> dict[str, Any]:
        """Give the rows, the looks of bars, and the spans up to now."""
        self._gather()
        share = max(20, _PAST // (len(self._live.loop_runs) or 1))
        records = [
            r for t in self._live.loop_runs.values() for r in list(t.history.records)[-share:]
        ]
        # (a batch is a block for each node: as many numbers as a few spans)
        found = pieces(records, self._rows, self._pushes)
        past = portion(sorted(found, key=lambda p: p.end), _PAST)
        looks = {name: _look({**LOOKS, **BARS}[name]) for name in _LOOKS}
        marks = [
            m for t in self._live.loop_runs.values() for m in self._marks(t, t.history.failures)
        ]
        past |= {"f": marks} if marks else {}
        every = [e for t in self._live.loop_runs.values() for e in list(t.history.events)]
        past |= self._hops(every, 5 * _HOPS)
        facts = {"unit": UNIT, "kinds": KINDS, "looks": looks, "rows": self._row_facts()}
        return facts | self._feed.past(past)

    def _row_facts(self) -> list[dict[str, Any]]:
        return [
            {
                "id": self._rows[loop_run.name, node.name],
                "loop": clean(loop_run.name, _NAME),
                "node": clean(node.name, _NAME),
                "away": node.detached,
            }
            for loop_run in list(self._live.loop_runs.values())
            for node in loop_run.manager.plan.nodes
        ]

    # -- what is new -----------------------------------------------------------

    def look(self) -> None:
        """Take the reading that says which queues are full."""
        self._noted.note()

    def state(self) -> dict[str, Any]:
        """Give the clock, what is under way, and the spans that have ended since the last time."""
        now = time.monotonic()
        if now >= self._next or self._orch.is_over():  # then nobody asks once more
            self._next = now + _EVERY
            self._full_at |= dict.fromkeys(self._noted.take().full, now)
            self._gather()
            self._state = {"now": self._now(), "open": self._open()}
        return self._state | self._feed.state()

    def _gather(self) -> None:
        records: list[Any] = []
        marks: list[list[float]] = []
        events: list[Event] = []
        for loop_run in list(self._live.loop_runs.values()):
            fresh, _ = newer(loop_run.history.records, self._last.get(loop_run))
            if fresh:
                self._last[loop_run] = fresh[-1]
                records += fresh
            failed, _ = newer(loop_run.history.failures, self._last_failure.get(loop_run))
            if failed:
                self._last_failure[loop_run] = failed[-1]
                marks += self._marks(loop_run, failed)
            told, _ = newer(loop_run.history.events, self._last_event.get(loop_run))
            if told:
                self._last_event[loop_run] = told[-1]
                events += told
        if records or marks:
            self._mark(r for r in records if isinstance(r, Span))
            content = portion(list(pieces(records, self._rows, self._pushes)), _MOST)
            hops = self._hops(events, _HOPS)
            self._feed.add(content | ({"f": marks} if marks else {}) | hops)

    def _marks(self, loop_run: LoopRun, failures: Any) -> list[list[float]]:
        """Give [row, iteration, second] of items that failed."""
        return [
            [self._rows[loop_run.name, f.node], f.iteration, round(f.time, 4)]
            for f in list(failures)
        ]

    def _hops(self, events: Sequence[Event], most: int) -> dict[str, Any]:
        """Give who pushed what whom and when: [row, iteration, reader's row and iteration, s]."""
        found = [e for e in events if e.kind == "received" and e.data is not None]
        hops = []
        for e in sorted(found, key=lambda e: e.time)[-most:]:
            loop, node, iteration, *_ = e.data
            read = self._rows[e.loop, e.node]
            hops.append([self._rows[loop, node], iteration, read, e.iteration, round(e.time, 4)])
        return {"h": hops} if hops else {}

    def _now(self) -> list[Any]:
        """Give the second of the run, and whether its clock goes on."""
        times = [t.manager.now() for t in self._live.loop_runs.values() if not t.has_ended]
        if times:
            return [round(max(times), 3), True]
        ends = [t.meter.ended or 0.0 for t in self._live.loop_runs.values()]
        return [round(max(ends, default=0.0), 3), False]

    def _open(self) -> list[list[float]]:
        """Give [row, iteration, start, kind] of what is under way for some time already."""
        found = [s for t in self._live.loop_runs.values() for s in open_calls(t.manager, 50)]
        found = [s for s in found if s.duration > _EVERY / 2]
        self._mark(found)
        return [
            [self._rows[s.loop, s.node], s.iteration, round(s.start, 4), self._kind(s)]
            for s in found
        ]

    def _mark(self, spans: Iterable[Span]) -> None:
        """Note which pushes wait, or have waited, for room in a queue that is full."""
        now = time.monotonic()
        full = {node for node, at in self._full_at.items() if now - at < _FULL}
        for s in spans if full else ():
            if s.kind == "work" and s.node in full and s.duration > _WAITED:
                self._pushes[call_of(s)] = None
        for old in list(self._pushes)[:-_PAST]:
            del self._pushes[old]

    def _kind(self, span: Span) -> int:
        """Say what an open call is: a push to a full queue waits for room."""
        return ROOM if call_of(span) in self._pushes else KINDS.index(span.kind)

    # -- what stays ------------------------------------------------------------

    def still(self) -> str:
        """Give the last seconds as the static picture, and its table."""
        whole = self._orch.timeline()
        part = whole.of(since=max(whole.start, whole.end - _STILL)) if len(whole) else whole
        if len(part) > _STILL_SPANS:  # the newest, not the first
            part = part.of(since=sorted(s.start for s in part)[-_STILL_SPANS])
        with rounded():
            folded = [("as a table", chart.twin(part))] if len(part) else []
            return page(chart.draw(part), folded)


def _look(look: Any) -> list[Any]:
    """Give fill, stroke, width, dash and size of text, the inks as CSS variables."""
    return [_ink(look.fill), _ink(look.stroke), look.width, list(look.dash), look.size]


def _ink(name: str) -> str:
    return f"--fnb-{name}" if name in INKS else name
