"""How does a loop that lives elsewhere tell what happens? In batches, through one pipe.

A `Relay` subscribes to the loop's stream as metrics and history do at home, keeps what
it hears for a few milliseconds and sends it in one message; what nobody fetches is added
up after a while (see `missed`). The last outputs ride along, unless they are costly: then
they are sent so seldom that they cost 5 % at most. What is under way rides along ten times
a second, if it has changed.
"""

from __future__ import annotations

import pickle
import threading
import time
from array import array
from typing import TYPE_CHECKING, Any, Final

from flownb.engine.missed import Backlog
from flownb.engine.observe import Outputs
from flownb.engine.parcels import Parcel, pack, portable_failure
from flownb.engine.underway import open_spans
from flownb.errors import Failure
from flownb.model.records import NOTHING, Batch, Event, LogLine, Span

if TYPE_CHECKING:
    from collections.abc import Callable

    from flownb.engine.checkpoint import Snapshot
    from flownb.engine.loop import LoopManager

GATHER: Final = 0.01
LOOK: Final = 0.1
_SPANS: Final = 200  # under way, at most: 15 kB
_SHARE: Final = 20  # outputs may take this part of the time
_URGENT: Final = frozenset({"state", "applied", "stepped"})


class Relay:
    """The one subscriber of a loop that lives elsewhere; it sends from a thread of its own.

    *name*: of the loop; *watched*: observers in the notebook want to see the output of every call.
    """

    def __init__(
        self, name: str, send: Callable[[bytes], Any], keep: dict[str, int], *, watched: bool
    ) -> None:
        self._send, self._watched = send, watched
        self.outputs = Outputs(keep)
        self.loop: LoopManager | None = None
        self._backlog = Backlog(name)
        self._some, self._urgent = threading.Event(), threading.Event()
        self._closed = self._asked = False  # asked: somebody waits for this, and will look
        self._next_outputs = 0.0
        self._stale = False
        self._next_look = 0.0
        self._looking = False
        self._underway: list[tuple[Any, ...]] = []
        self._thread = threading.Thread(target=self._work, name="flownb relay", daemon=True)
        self._thread.start()

    # -- what the loop publishes -----------------------------------------------

    def on_span(self, span: Span, output: Any) -> None:
        """Note a span."""
        self.outputs.on_span(span, output)
        shown = pack(output) if self._watched and output is not NOTHING else None
        has_output = self._watched and output is not NOTHING
        self._note(("span", tuple(span), has_output, shown), shown)

    def on_event(self, event: Event) -> None:
        """Note an event; a change of state is sent at once."""
        data = event.data
        if event.kind in _URGENT:
            self._asked = True  # before it is noted, so that both go together
        if isinstance(data, Failure):
            data = pack(portable_failure(data))
        elif isinstance(data, LogLine):
            data = tuple(data)
        elif not isinstance(data, tuple):
            data = pack(data)
        self._note(("event", (*event[:5], data)), data)
        if event.kind in _URGENT:
            self._urgent.set()

    def on_batch(self, batch: Batch) -> None:
        """Note many short iterations; their outputs travel apart."""
        self.outputs.on_batch(batch)
        times = array("q", batch.times).tobytes()
        head = batch.loop, batch.nodes, batch.first, batch.origin
        self._note(("batch", head, times, batch.released), times)

    def on_checkpoint(self, snapshot: Snapshot) -> None:
        """Pass a checkpoint on, in its place among the events; the notebook keeps it."""
        self._note(("checkpoint", tuple(snapshot)), snapshot.content)
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
        """Give the seconds until there is something to tell although nothing happens."""
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
            records.insert(0, ("outputs", outputs))  # an event may wake who looks at them
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
        same, self._underway = found == self._underway, found
        return [] if same else [("underway", found)]

    def _packed_outputs(self, *, now: bool) -> dict[str, list[Any]]:
        start = time.monotonic()
        if not now and (not self._stale or start < self._next_outputs):
            return {}
        kept = {name: [pack(x) for x in list(q)] for name, q in self.outputs.kept.items() if q}
        end = time.monotonic()
        self._next_outputs = end + _SHARE * (end - start)
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
    if isinstance(content, Parcel):
        content = content.content
    elif isinstance(content, tuple):
        content = str(content[-1])  # the text of a log line, the reason of a state
    return len(content) if isinstance(content, (bytes, str)) else 0
