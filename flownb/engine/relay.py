"""How does a loop that lives elsewhere tell what happens? In batches, through one pipe.

A `Relay` subscribes to the loop's stream as metrics and history do at home, keeps what
it hears for a few milliseconds and sends it in one message. The last outputs ride along,
unless they are costly: then they are sent so seldom that they cost 5 % at most.
"""

from __future__ import annotations

import pickle
import threading
import time
from array import array
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from flownb.engine.observe import Outputs
from flownb.engine.parcels import pack, portable_failure
from flownb.model.records import NOTHING, Batch, Event, Failure, LogLine, Span

if TYPE_CHECKING:
    from collections.abc import Callable

    from flownb.engine.loop import LoopManager

GATHER: Final = 0.01
_SHARE: Final = 20  # outputs may take this part of the time
_URGENT: Final = frozenset({"state", "applied", "stepped"})


class Relay:
    """The one subscriber of a loop that lives elsewhere; it sends from a thread of its own.

    *watched*: observers in the notebook want to see the output of every call.
    """

    def __init__(
        self, send: Callable[[bytes], Any], keep: dict[str, int], *, watched: bool
    ) -> None:
        self._send, self._watched = send, watched
        self.outputs = Outputs(keep)
        self.loop: LoopManager | None = None
        self._records: deque[tuple[Any, ...]] = deque()
        self._some, self._urgent = threading.Event(), threading.Event()
        self._closed = False
        self._next_outputs = 0.0
        self._stale = False
        self._thread = threading.Thread(target=self._work, name="flownb relay", daemon=True)
        self._thread.start()

    # -- what the loop publishes -----------------------------------------------

    def on_span(self, span: Span, output: Any) -> None:
        """Note a span."""
        self.outputs.on_span(span, output)
        shown = pack(output) if self._watched and output is not NOTHING else None
        has_output = self._watched and output is not NOTHING
        self._note(("span", tuple(span), has_output, shown))

    def on_event(self, event: Event) -> None:
        """Note an event; a change of state is sent at once."""
        data = event.data
        if isinstance(data, Failure):
            data = pack(portable_failure(data))
        elif isinstance(data, LogLine):
            data = tuple(data)
        elif not isinstance(data, tuple):
            data = pack(data)
        self._note(("event", (*event[:5], data)))
        if event.kind in _URGENT:
            self._urgent.set()

    def on_batch(self, batch: Batch) -> None:
        """Note many short iterations; their outputs travel apart."""
        self.outputs.on_batch(batch)
        times = array("q", batch.times).tobytes()
        self._note(("batch", batch.loop, batch.nodes, batch.first, batch.origin, times))

    def _note(self, record: tuple[Any, ...]) -> None:
        self._records.append(record)
        if not self._some.is_set():
            self._some.set()

    # -- what travels ----------------------------------------------------------

    def _work(self) -> None:
        while not self._closed:
            self._some.wait()
            self._urgent.wait(GATHER)
            self._some.clear()
            self._urgent.clear()
            if not self._flush():
                return

    def _flush(self, *, last: bool = False) -> bool:
        """Send what was noted; False when nobody listens any more."""
        records = [self._records.popleft() for _ in range(len(self._records))]
        self._stale = self._stale or bool(records)
        outputs = self._packed_outputs(now=last)  # behind the events, so never older than they
        if self.loop is not None:
            slots = self.loop.slots
            records.append(("slots", slots.held, slots.peak, slots.size))
        if outputs:
            records.append(("outputs", outputs))
        try:
            self._send(pickle.dumps(records, pickle.HIGHEST_PROTOCOL))
        except OSError:
            return False
        if self._stale and not outputs:
            self._some.set()  # come back for the outputs
        return True

    def _packed_outputs(self, *, now: bool) -> dict[str, list[Any]]:
        start = time.monotonic()
        if start < self._next_outputs and not now:
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
        self._records += last
        self._flush(last=True)
