"""What of a loop outlives a crash? A record: where it stood in its source, and its nodes' state."""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from flownb.errors import StoreError, told
from flownb.plan.loop_plan import Shape, shape_of
from flownb.stores.codec import decode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flownb.engine.calls.node_memory import Memories
    from flownb.engine.runtime import Runtime
    from flownb.flow.item import Item
    from flownb.plan.loop_plan import LoopPlan
    from flownb.records.events import LoopState

FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class Beginning:
    """Where an attempt of a loop begins: items made before, and the checkpoint, if there is one."""

    made: int = 0
    kept: str = ""


class Snapshot(NamedTuple):
    """One checkpoint on its way to the writer; `number` counts those of one attempt."""

    number: int
    status: str
    position: int
    content: str


def loop_shape(plan: LoopPlan) -> Shape:
    """Describe what of a loop must be the same for it to go on."""
    shape, source = shape_of(plan), plan.nodes[0].node
    reads = "producer" if source.reader is None else f"reader of {source.reader.queue!r}"
    edges = {
        f"{plan.loop}{name}" if name.startswith(" -> ") else name: facts
        for name, facts in shape["edges"].items()
    }
    return {"nodes": {plan.loop: [reads], **shape["nodes"]}, "edges": edges}


def read(text: str, loop: str) -> dict[str, Any]:
    """Open what a checkpoint keeps; StoreError if it is broken or of a newer flownb."""
    again = "graph.start(fresh=True) begins anew"
    try:
        found: dict[str, Any] = decode(text)
        form = found["format"]
        if form == FORMAT:
            Position(0, found["beyond"])
            dict(found["states"])
            return found
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        why = told(error)
        msg = f"loop {loop!r}: its checkpoint is broken ({why}): {again}"
        raise StoreError(msg) from None
    msg = (
        f"loop {loop!r}: its checkpoint was kept by another version of flownb (format {form!r}, "
        f"this one reads {FORMAT}): use that version, or {again}"
    )
    raise StoreError(msg)


class KeptSource(Protocol):
    """What the checkpoints of a loop ask of its source."""

    pulled: int
    """The number of the next item."""

    @property
    def may_keep_state(self) -> bool:
        """Whether what makes items has a `ctx.state`."""

    @property
    def idles(self) -> bool:
        """Whether nothing more comes, or nothing just now."""


class KeptControl(Protocol):
    """What they ask of its control."""

    @property
    def state(self) -> LoopState:
        """The state of the loop."""

    @property
    def stopping(self) -> bool:
        """Whether no new item may be made."""

    @property
    def deadline(self) -> float:
        """The second at which the grace of a stop is over."""


class Kept(Protocol):
    """What they ask of the loop itself."""

    runtime: Runtime
    plan: LoopPlan
    memory: Memories
    items: dict[int, Item]
    made: int

    @property
    def source(self) -> KeptSource:
        """What makes its items."""

    @property
    def control(self) -> KeptControl:
        """What is asked of it, and its state."""


class Position:
    """The items of a source that are done, by their number from 0.

    >>> position = Position()
    >>> for number in (0, 2, 3, 1, 7): position.done(number)
    >>> position.first, position.beyond
    (4, [(7, 8)])
    """

    __slots__ = ("beyond", "first")

    def __init__(self, first: int = 0, beyond: Iterable[Iterable[int]] = ()) -> None:
        self.first = first
        """The frontier: every item below it is done, this one is not."""
        self.beyond = [(start, stop) for start, stop in beyond]
        """Half-open ranges of items that are done beyond it, in order."""

    def done(self, start: int, stop: int | None = None) -> None:
        """Note that item *start* is done, or all from *start* up to *stop*."""
        end = start + 1 if stop is None else stop
        if start != self.first:
            self._insert(start, end)
            return
        self.first = end
        while self.beyond and self.beyond[0][0] == self.first:
            self.first = self.beyond.pop(0)[1]

    def _insert(self, start: int, stop: int) -> None:
        at = bisect.bisect(self.beyond, (start, stop))
        if at < len(self.beyond) and self.beyond[at][0] == stop:
            stop = self.beyond.pop(at)[1]
        if at and self.beyond[at - 1][1] == start:
            start = self.beyond.pop(at - 1)[0]
            at -= 1
        self.beyond.insert(at, (start, stop))

    def covers(self, number: int) -> bool:
        """Whether that item is done."""
        return number < self.first or any(start <= number < stop for start, stop in self.beyond)

    @property
    def end(self) -> int:
        """The number behind the last item that is done."""
        return self.beyond[-1][1] if self.beyond else self.first
