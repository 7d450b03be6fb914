"""When is a checkpoint of a loop due, and what does it hold?

It is due `persistence_interval` after the last one, as soon as no item is under way, or when
twice that is over; with 0, whenever an item has settled. So it is when acks wait for it and
nothing else happens, and at the end. Taking them may use a twentieth of the time. It holds what
`Snapshot` says, and goes to the thread of the `CheckpointWriter`.
"""

from __future__ import annotations

import contextlib
import json
import pickle
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from flownb.engine.checkpoints.record import FORMAT, Position, Snapshot, loop_shape, read
from flownb.errors import StoreError
from flownb.stores.codec import encode

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from flownb.engine.checkpoints.record import Kept
    from flownb.flow.item import Item

_SHARE: Final = 20  # taking checkpoints may take this part of the time
_PATIENCE: Final = 5.0  # seconds for the last one of a loop that has completed
_LAST: Final = 0.5  # the same when the grace of a stop is over
_MOST_OWED: Final = 10_000  # acks that wait for a store that is away, before reading stops
_TRIES: Final = 5
_TICK: Final = 1e-6
_NOTHING: Final = "{}"


class Checkpointer:
    """The checkpoints of one attempt of a loop; lives on the loop's own event loop."""

    def __init__(self, loop: Kept, kept: str) -> None:
        self.loop, self._runtime = loop, loop.runtime
        self._interval = loop.plan.options.persistence_interval
        self.position = Position()
        self._before: dict[int, str] = {}  # the producer's state before it made an open item
        self._owed: list[Callable[[], Any]] = []
        self._sent: deque[tuple[int, list[Callable[[], Any]]]] = deque()
        self._number = self._kept = 0
        self._changed = False
        self._due = self._soonest = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._shape: tuple[Any, str] = (None, "")
        self.restored = False
        self.under_way = 0  # items that were, when the checkpoint was taken
        if kept:
            self._restore(read(kept, loop.runtime.name))

    # -- going on --------------------------------------------------------------

    def _restore(self, found: dict[str, Any]) -> None:
        loop, self.restored = self.loop, True
        self.position = Position(found["position"], found["beyond"])
        pulled = found["made"] - found["again"]
        self.under_way = pulled - found["position"] - sum(b - a for a, b in found["beyond"])
        for name, state in found["states"]:
            loop.memory.of(name).state.update(state)
        reads = loop.plan.reads is not None
        loop.made = found["made"] if reads else self.position.first + found["again"]

    # -- what happens ----------------------------------------------------------

    def before(self, number: int) -> None:
        """The producer is about to make that item: remember what it knew before."""
        if self.loop.source.may_keep_state:
            with self._telling():
                name = self._runtime.name
                own = self.loop.memory.of(name).kept
                self._before[number] = self._state_text(name, own) if own else _NOTHING

    def made_nothing(self, number: int) -> None:
        """The producer had nothing, or failed."""
        self._before.pop(number, None)

    def settled(self, item: Item, *, done: bool) -> None:
        """An item has settled; one that is not *done* is to be made again after a crash."""
        if done and item.index is not None:
            self.position.done(item.index)
            self._before.pop(item.index, None)
        self._changed = True
        self._look()

    def passed(self, start: int, stop: int) -> None:
        """Many items went through the fast path."""
        self.position.done(start, stop)
        self._changed = True
        self._look()

    def renewed(self) -> None:
        """Another source begins at its first item."""
        self.position = Position()
        self._before.clear()

    def when_kept(self, ack: Callable[[], Any]) -> None:
        """Have *ack* called when what is known now is kept: at once where no node keeps state."""
        if self.loop.memory.kept():
            self._owed.append(ack)
        else:
            ack()

    @property
    def unacked(self) -> int:
        """How many acks wait for a checkpoint."""
        return len(self._owed) + sum(len(acks) for _, acks in self._sent)

    @property
    def holds_back(self) -> bool:
        """Whether no new item should be made before the store has answered."""
        waits = self._interval == 0 and (self._changed or self._number > self._kept)
        return waits or self.unacked >= _MOST_OWED

    def rows_allowed(self, upto: int) -> bool:
        """Whether items from that one on may take the fast path."""
        return self._interval > 0 and self.position.end <= upto

    # -- when ------------------------------------------------------------------

    @property
    def _quiet(self) -> bool:
        return not self.loop.items

    @property
    def _idles(self) -> bool:
        return self.loop.control.stopping or self.loop.source.idles

    def _look(self) -> None:
        """Take a checkpoint if it is time."""
        now = self._runtime.now()
        if self._interval == 0:
            if self._number == self._kept:
                self.take()
        elif (now >= self._due and (self._quiet or now >= self._due + self._interval)) or (
            self._quiet and self._owed and now >= self._soonest and self._idles
        ):
            self.take()
        elif self._timer is None:
            wait = self._due - now if now < self._due else self._due + self._interval - now
            self._timer = self._runtime.event_loop.call_later(max(wait, 0.001), self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._changed:
            self._runtime.guard(self._look)

    def hurry(self) -> None:
        """Nothing more will come, or not for a while: keep what there is."""
        if self._changed or self._owed:
            self.take()

    def take(self, status: str = "") -> None:
        """Take a checkpoint, and send it to the writer."""
        with self._telling():
            start = self._runtime.event_loop.time()
            content = self._content()
            self._changed, self._number = False, self._number + 1
            self._sent.append((self._number, self._owed))
            self._owed = []
            status, first = status or self.loop.control.state, self.position.first
            snapshot = Snapshot(self._number, status, first, content)
            self._runtime.stream.publish("on_checkpoint", snapshot)
            now, cost = self._runtime.now(), self._runtime.event_loop.time() - start
            self._soonest = now + _SHARE * cost
            self._due = now + max(self._interval, _SHARE * cost)

    @contextlib.contextmanager
    def _telling(self) -> Any:
        """What cannot be kept ends the loop: it would not be there after a crash."""
        try:
            yield
        except StoreError as error:
            self._runtime.crash(error)

    def kept(self, number: int, taken: str = "") -> None:
        """The store has all up to that checkpoint; or somebody else goes on with the loop."""
        if taken:
            self._runtime.crash(StoreError(taken))
            self._owed, self._number = [], number
            self._sent.clear()
        self._kept = number
        while self._sent and self._sent[0][0] <= number:
            for ack in self._sent.popleft()[1]:
                ack()
        if self._interval == 0 and self._changed and self._number == number:
            self.take()
        self._runtime.wake()

    async def close(self, status: str) -> None:
        """Keep how the loop ended, and wait a moment until that is in the store."""
        if self._timer is not None:
            self._timer.cancel()
        self.take(status)
        deadline = max(self.loop.control.deadline, self._runtime.now() + _LAST)
        end = min(self._runtime.now() + _PATIENCE, deadline)
        while self._kept < self._number and self._runtime.now() < end - _TICK:
            await self._runtime.wait(end)

    # -- what ------------------------------------------------------------------

    def _content(self) -> str:
        loop, first = self.loop, self.position.first
        name, kept = self._runtime.name, loop.memory.kept()
        own, mine = kept.pop(name, {}), self._before.get(first)
        states = {node: self._state_text(node, state) for node, state in kept.items()}
        if mine is None and own:
            mine = self._state_text(name, own)
        if mine is not None and mine != _NOTHING:
            states[name] = mine
        listed = ",".join(f"[{json.dumps(name)},{text}]" for name, text in states.items())
        again = max(0, loop.made - loop.source.pulled)
        # a producer that has state goes on from there, and makes what is beyond again
        beyond = [] if own else self.position.beyond
        facts = {
            "format": FORMAT, "position": first, "beyond": beyond,
            "made": loop.made, "again": again,
        }  # fmt: skip
        head = json.dumps(facts)[:-1]
        return f'{head}, "shape": {self._shape_text()}, "states": [{listed}]}}'

    def _shape_text(self) -> str:
        if self._shape[0] is not self.loop.plan:
            where = f"loop {self._runtime.name!r}"
            self._shape = self.loop.plan, encode(loop_shape(self.loop.plan), where)
        return self._shape[1]

    def _state_text(self, name: str, state: dict[str, Any]) -> str:
        where = f"node {name!r} (loop {self._runtime.name!r}): its ctx.state cannot be kept"
        return encode(_still(state), where)


def _still(state: dict[str, Any]) -> dict[str, Any]:
    """Copy a state that a node's thread may be changing just now.

    Pickle does it without letting that thread in between, if there is nothing in it but
    what can be kept.
    """
    for _ in range(_TRIES):
        with contextlib.suppress(RuntimeError):  # it changed its size meanwhile
            try:
                copied: dict[str, Any] = pickle.loads(pickle.dumps(state))  # noqa: S301 - our own
            except RuntimeError:
                raise
            except Exception:  # noqa: BLE001 - what cannot be pickled: encode says why
                return state
            return copied
    return state
