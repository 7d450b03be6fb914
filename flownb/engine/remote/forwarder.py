"""How does a loop elsewhere forward spans and events to its notebook? In batches, by one pipe.

A `Forwarder` subscribes to the loop's stream as metrics and history do at home, keeps
records for a few milliseconds and sends them in one message. The last outputs go with them,
unless they are costly: then they are sent so seldom that they cost 5 % at most. The open calls
go with them ten times a second, if they have changed.

A loop elsewhere never waits for its notebook, which may be busy in C code, or suspended.
So its records are kept in a `Backlog` up to a bound; beyond that the oldest are forgotten. What
they report is counted here already, and a message begins with what was counted since the one
before, so the metrics stay right; the timeline and the events have a gap, of which
`LoopMetrics.missed` gives the length. By then far newer records wait than a history keeps, so
a timeline would have forgotten them, too.
"""

from __future__ import annotations

import pickle
import threading
import time
from array import array
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from flownb.engine.observe.history import Outputs, open_spans
from flownb.engine.observe.meter import Meter
from flownb.engine.remote.pickling import PortableValue, pack, portable_failure
from flownb.errors import Failure
from flownb.records.events import NOTHING, Batch, Event, Span

if TYPE_CHECKING:
    from collections.abc import Callable

    from flownb.engine.checkpoints.record import Snapshot
    from flownb.engine.loop.loop_manager import LoopManager

GATHER: Final = 0.01
LOOK: Final = 0.1
_SPANS: Final = 200  # under way, at most: 15 kB
_SHARE: Final = 20  # outputs may take this part of the time
_URGENT: Final = frozenset({"state", "applied", "stepped"})


class Forwarder:
    """The one subscriber of a loop that lives elsewhere; it sends from a thread of its own.

    *name*: of the loop; *watched*: observers in the notebook want to see the output of every call.
    *mark* is called with the number of records so far: who sees the last mark knows what was lost
    with the process.
    """

    def __init__(
        self,
        name: str,
        send: Callable[[bytes], Any],
        keep: dict[str, int],
        *,
        watched: bool,
        mark: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._send, self._watched = send, watched
        self.outputs = Outputs(keep)
        self.loop: LoopManager | None = None
        self._backlog = Backlog(name, mark=mark)
        self._some, self._urgent = threading.Event(), threading.Event()
        self._closed = self._asked = False  # asked: somebody waits for this, and will look
        self._next_outputs = 0.0
        self._stale = False
        self._next_look = 0.0
        self._looking = False
        self._open_calls: list[tuple[Any, ...]] = []
        self._thread = threading.Thread(target=self._work, name="flownb forwarder", daemon=True)
        self._thread.start()

    # -- what the loop publishes -----------------------------------------------

    def on_span(self, span: Span, output: Any) -> None:
        """Note a span."""
        self.outputs.on_span(span, output)
        shown = pack(output) if self._watched and output is not NOTHING else NOTHING
        self._note(("span", tuple(span), shown), shown)

    def on_status(self, event: Event) -> None:
        """Note what a node does, if an observer in the notebook wants it."""
        if self._watched:
            self._note(("status", tuple(event)), None)

    def on_event(self, event: Event) -> None:
        """Note an event; a change of state is sent at once."""
        data = event.data
        if event.kind in _URGENT:
            self._asked = True  # before it is noted, so that both go together
        if isinstance(data, Failure):
            data = pack(portable_failure(data))
        elif not isinstance(data, tuple):
            data = pack(data)
        self._note(("event", (*event[:5], data)), data)
        if event.kind in _URGENT:
            self._urgent.set()

    def on_batch(self, batch: Batch) -> None:
        """Note many short iterations; their outputs travel apart."""
        self.outputs.on_batch(batch)
        times = array("q", batch.times)
        self._note(("batch", batch._replace(times=times, outputs=[])), times)

    def on_checkpoint(self, snapshot: Snapshot) -> None:
        """Pass a checkpoint on, in its place among the events; the notebook keeps it."""
        self._note(("checkpoint", snapshot), snapshot.content)
        self._urgent.set()

    def _note(self, record: tuple[Any, ...], content: Any) -> None:
        self._backlog.add(record, _size(content))
        if not self._some.is_set():
            self._some.set()

    # -- what travels ----------------------------------------------------------

    def _work(self) -> None:
        while not self._closed:
            self._some.wait(self._pause())
            self._urgent.wait(GATHER)
            self._some.clear()
            self._urgent.clear()
            if not self._flush():
                return

    def _pause(self) -> float | None:
        """Give the seconds until there is something to report although nothing happens."""
        due = [self._next_outputs] if self._stale else []
        due += [self._next_look] if self._looking else []
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _flush(self, *, last: tuple[Any, ...] = ()) -> bool:
        """Send what was noted; False when nobody listens any more."""
        records = self._backlog.take()
        self._stale = self._stale or bool(records)
        asked, self._asked = self._asked, False
        outputs = self._packed_outputs(now=bool(last) or asked)  # never older than the events
        records += [] if self.loop is None or last else self._look()
        if outputs:
            records.insert(0, ("outputs", outputs))  # an event may wake a caller that reads them
        if not records and not last:
            return True
        if self.loop is not None:
            slots = self.loop.slots
            records.append(("slots", slots.held, slots.peak, slots.size))
        try:
            self._send(pickle.dumps([*records, *last], pickle.HIGHEST_PROTOCOL))
        except OSError:
            return False
        return True

    def _look(self) -> list[tuple[Any, ...]]:
        """Give what is under way, ten times a second while something is, if it has changed."""
        now = time.monotonic()
        if now < self._next_look:
            self._looking = True
            return []
        found = [tuple(span) for span in open_spans(self.loop, _SPANS)]
        self._next_look, self._looking = now + LOOK, bool(found)
        same, self._open_calls = found == self._open_calls, found
        return [] if same else [("open_calls", found)]

    def _packed_outputs(self, *, now: bool) -> dict[str, list[Any]]:
        if not now and (not self._stale or time.monotonic() < self._next_outputs):
            return {}
        start = time.thread_time()  # what others of a busy machine take is no cost of outputs
        kept = {name: [pack(x) for x in list(q)] for name, q in self.outputs.kept.items() if q}
        self._next_outputs = time.monotonic() + _SHARE * (time.thread_time() - start)
        self._stale = False
        return kept

    def close(self, *last: tuple[Any, ...]) -> None:
        """Send everything, and *last* as the last records."""
        self._closed = True
        self._some.set()
        self._urgent.set()
        self._thread.join()
        self._flush(last=last)


def _size(content: Any) -> int:
    """Give the bytes of what a record carries, about."""
    if isinstance(content, PortableValue):
        content = content.content
    elif isinstance(content, array):
        return content.itemsize * len(content)
    elif isinstance(content, tuple):
        content = str(content[-1])  # the text of a log line, the reason of a state
    return len(content) if isinstance(content, (bytes, str)) else 0


MOST: Final = 8_000_000  # bytes, about: 20,000 spans
_RECORD: Final = 400  # bytes of a span or event in memory, about
_RARE: Final = 4  # what is rare, as failures and log lines, has this part of the room
_FREQUENT: Final = frozenset({"produced", "released", "settled", "received"})


class Backlog:
    """What a loop has reported and nobody has fetched: at most *most* bytes, about, and counters.

    The state of the loop is not counted here: the notebook learns it from the events, later where
    it has to know why.
    """

    def __init__(
        self, loop: str, most: int = MOST, mark: Callable[[int], None] = lambda _: None
    ) -> None:
        self._most, self._mark = most, mark
        self._noted = self._taken = 0  # spans and events so far, and at the last fetch
        self._lock = threading.Lock()
        self._meter = Meter(loop)
        self._early: Meter | None = None  # what was counted before a forgotten checkpoint
        self._records: deque[tuple[int, tuple[Any, ...]]] = deque()
        self._rare: deque[tuple[int, tuple[Any, ...]]] = deque()
        self._states: deque[tuple[Any, ...]] = deque()
        self._checkpoint: deque[tuple[Any, ...]] = deque(maxlen=1)
        self._size = self._rare_size = 0

    def add(self, record: tuple[Any, ...], size: int = 0) -> None:
        """Count a record and keep it, with a content of *size* bytes.

        This may cost the oldest its place.
        """
        kind, told, size = record[0], record[1], size + _RECORD
        with self._lock:
            if kind == "event":
                if told[1] != "state":
                    self._meter.on_event(told)
                self._noted += 1
            elif kind == "span":
                self._meter.on_span(told)
                self._noted += 1
            elif kind == "batch":
                self._meter.on_batch(told)
                self._noted += _spans_or_events(record)
            elif kind == "checkpoint":
                record = (*record, self._meter.take())  # what was counted until then
            else:  # the status of a node
                self._noted += 1
            self._mark(self._noted)
            self._records.append((size, record))
            self._size += size
            while self._size > self._most:
                self._make_room()

    def _make_room(self) -> None:
        size, record = self._records.popleft()
        self._size -= size
        if record[0] == "checkpoint":
            self._early = self._early or Meter(self._meter.loop)
            self._early.merge(record[2])
            self._checkpoint.append(record[:2])  # instead of the one before
        elif record[0] != "event" or record[1][1] in _FREQUENT:
            self._meter.missed += _spans_or_events(record)
        elif record[1][1] == "state":
            self._states.append(record)
        else:
            self._rare.append((size, record))
            self._rare_size += size
            while self._rare_size > self._most // _RARE:
                size, record = self._rare.popleft()
                self._rare_size -= size
                self._meter.missed += _spans_or_events(record)

    def take(self) -> list[tuple[Any, ...]]:
        """Give everything, the oldest first, and keep nothing.

        The counters stand before what was counted: a caller that an event wakes may read them.
        """
        with self._lock:
            if self._taken == self._noted and not (self._records or self._checkpoint):
                return []
            self._taken = self._noted
            early = [] if self._early is None else [("meter", self._early.take())]
            found: list[tuple[Any, ...]] = [*early, *self._checkpoint]
            counted = [*self._states, *(record for _, record in self._rare)]
            for _, record in self._records:
                if record[0] == "checkpoint":
                    found += [("meter", record[2]), *counted, record[:2]]
                    counted = []
                else:
                    counted.append(record)
            found += [("meter", self._meter.take() | {"noted": self._noted}), *counted]
            self._early, self._size, self._rare_size = None, 0, 0
            for kept in (self._states, self._rare, self._checkpoint, self._records):
                kept.clear()
        return found


def _spans_or_events(record: tuple[Any, ...]) -> int:
    """Count the spans or events of a record; the status of a node is neither."""
    if record[0] == "status":
        return 0
    return record[1].iterations * len(record[1].nodes) if record[0] == "batch" else 1
