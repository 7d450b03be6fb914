"""What does the notebook know of a loop that lives elsewhere? Its `LoopProxy`.

What is asked is sent to the loop as it is, and what the loop reports is replayed into its stream
here, so that timelines, logs and observers read the same as for a loop in the kernel. What it
counts comes as counters.
"""

from __future__ import annotations

import pickle
import time
from typing import TYPE_CHECKING, Any, Final

from flownb.engine.checkpoints.record import Beginning
from flownb.engine.loop.control import Lifecycle
from flownb.engine.loop.slots import Slots
from flownb.engine.observe.stream import Stream
from flownb.engine.remote.pickling import unpack, unpack_error
from flownb.records.events import ENDED, LogLine, Span

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from flownb.engine.checkpoints.record import Snapshot
    from flownb.engine.observe.history import Outputs
    from flownb.engine.observe.meter import Meter
    from flownb.plan.loop_plan import LoopPlan
    from flownb.records.events import LoopState


class LoopProxy:
    """One loop that lives elsewhere, as the notebook sees it."""

    def __init__(
        self, plan: LoopPlan, meter: Meter, subscribers: Sequence[Any], outputs: Outputs
    ) -> None:
        self.name, self.plan, self.outputs, self._meter = plan.loop, plan, outputs, meter
        self.stream = Stream([meter, *subscribers])
        self._replayed = Stream(subscribers)  # what the loop itself has counted
        self.life = Lifecycle(self._publish)
        self.error: BaseException | None = None
        self.abandoned: list[str] = []
        self.slots = Slots(plan.options.max_in_flight)
        self.made = 0
        self.beginning = Beginning()
        self.has_reported_end = self._has_warned = False
        self.send: Callable[..., None] = _nowhere
        self._origin: float | None = None
        self._plans = {plan.version: plan}
        self._last: tuple[Any, ...] | None = None
        self._noted = 0  # spans and events that it has reported
        self.open_calls: dict[tuple[Any, ...], Span] = {}
        self._takes: Final[dict[str, Callable[..., None]]] = {
            "span": self._span,
            "event": self._event,
            "status": self._replayed.tell,
            "batch": self._replayed.batch,
            "outputs": self._outputs,
            "slots": self._slots,
            "open_calls": self._open_calls,
            "meter": self._count,
            "checkpoint": self._checkpoint,
            "ended": self._ended,
        }

    def begin(self, origin: float) -> None:
        """Count seconds from *origin*, on the monotonic clock of this process."""
        self._origin = origin

    def now(self) -> float:
        """Seconds since the run began."""
        return 0.0 if self._origin is None else time.monotonic() - self._origin

    # -- what is asked of it ---------------------------------------------------

    def command(self, verb: str, *args: Any) -> None:
        """Send one of `VERBS` to the loop."""
        if verb == "stop":
            self.life.stopping = True
        elif verb == "apply":
            if self.life.has_ended:
                return
            self._plans[args[0].version] = args[0]
        self.send(verb, *args)

    # -- what it reports -------------------------------------------------------

    def take(self, message: bytes) -> None:
        """Replay one message of the loop's forwarder."""
        for kind, *rest in pickle.loads(message):  # noqa: S301 - from our own child
            self._takes[kind](*rest)

    def _span(self, span: tuple[Any, ...], output: Any) -> None:
        if self.open_calls:
            self.open_calls.pop(span[1:5], None)  # it is over
        self._replayed.span(span, unpack(output))

    def _open_calls(self, spans: list[tuple[Any, ...]]) -> None:
        self.open_calls = {span[1:5]: Span._make(span) for span in spans}

    def _count(self, counted: dict[str, Any]) -> None:
        """Take in what the loop has counted since its last message."""
        self.made += counted["counts"].get("produced", 0)
        self._noted = counted.get("noted", self._noted)
        self._meter.merge(counted)
        if counted["missed"] and not self._has_warned:
            self._has_warned = True
            self._warn("the notebook did not keep up: its timeline of this loop has a gap")

    def _event(self, event: tuple[Any, ...]) -> None:
        at, kind, loop, node, iteration, data = event
        if kind == "state" and data[0] in ENDED and not self.has_reported_end:
            self._last = event  # shown when it is known why
            return
        data, stream = unpack(data), self._replayed
        if kind == "state":
            (self.life.state, self.life.reason), stream = data, self.stream
        elif kind == "applied" and data in self._plans:
            self.plan = self._plans[data]
            self._plans = {v: p for v, p in self._plans.items() if v >= data}
        stream.event((at, kind, loop, node, iteration, data))

    def _outputs(self, kept: dict[str, list[Any]]) -> None:
        self.outputs.replace({name: [unpack(x) for x in values] for name, values in kept.items()})

    def _slots(self, held: int, peak: int, size: int) -> None:
        self.slots.held, self.slots.peak, self.slots.size = held, peak, size

    def _checkpoint(self, snapshot: Snapshot) -> None:
        self._replayed.publish("on_checkpoint", snapshot)

    def _ended(self, abandoned: list[str], error: Any) -> None:
        self.abandoned += abandoned
        self.error = self.error or unpack_error(error)
        self.has_reported_end = True
        if self._last is not None and (self.error is None or not self.life.may_restart(self.error)):
            self._event(self._last)

    def wait_for(self, what: str, *, warn: bool = False) -> None:
        """Say what the loop waits for before it can start; *warn*: in its log, too."""
        if what != self.life.reason and not self.has_reported_end:
            self.life.set("starting", what)
            if warn:
                self._warn(what)

    def _warn(self, text: str) -> None:
        self.event("log", data=LogLine(self.now(), self.name, "", -1, "warning", text))

    # -- how it ends -----------------------------------------------------------

    def cut_off(self, noted: int | None) -> None:
        """Tell what was lost with its process; *noted*: spans and events it had, if known."""
        unsent = None if noted is None else noted - self._noted
        if unsent != 0:
            what = "calls, events and log lines were lost: its process had not sent them"
            self._warn(f"nobody knows how many {what}" if unsent is None else f"{unsent:,} {what}")
            self.event("unsent", data=unsent)
        if open_items := len(self._meter.began):
            again = "; their messages are read again" if self.plan.reads else ""
            items = "1 item was" if open_items == 1 else f"{open_items:,} items were"
            self._warn(f"{items} under way when its process ended{again}")

    def lose(self) -> None:
        """Count what was open when its process ended as cancelled: nobody works on it."""
        self.slots.held = 0
        self.open_calls = {}
        for iteration, began in list(self._meter.began.items()):
            if began is not None:
                self.event("cancelled", self.name, iteration)
            self.event("settled", self.name, iteration)

    def conclude(self, error: BaseException | None = None) -> None:
        """See to it that the loop is in a final state."""
        self.lose()
        self.error = self.error or error
        if self.life.has_ended:
            return
        if self.error is not None:
            self.life.give_up(self.error)
        else:
            self.life.set("stopped")

    def _publish(self, state: LoopState, reason: str) -> None:
        self.life.reason = reason
        self.event("state", data=(state, reason))

    def event(self, kind: str, node: str = "", iteration: int = -1, data: Any = None) -> None:
        """Publish an event of this loop, now."""
        self.stream.event((self.now(), kind, self.name, node, iteration, data))


def _nowhere(*_: Any) -> None:
    """Stand for a way to a loop that has not begun."""
