"""How many items may be in flight, and what if all slots are taken? `when_full` says."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from flownb.errors import InFlightFull

if TYPE_CHECKING:
    from collections.abc import Callable

    from flownb.engine.calls.call import Call
    from flownb.engine.runtime import Runtime
    from flownb.flow.item import Item
    from flownb.model.policies import WhenFull


class Slots:
    """`max_in_flight` slots, given in the order in which items asked."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.held = 0
        self.peak = 0
        self._waiting: deque[Callable[[], None]] = deque()

    def take(self, granted: Callable[[], None]) -> bool:
        """Take a slot now, or have *granted* called when one is ours; say which."""
        if self.held < self.size:
            self.hold()
            return True
        self._waiting.append(granted)
        return False

    @property
    def free(self) -> int:
        """How many can be taken now."""
        return self.size - self.held

    @property
    def figures(self) -> tuple[int, int, int]:
        """Give how many are held, were held at most, and can be."""
        return self.held, self.peak, self.size

    def hold(self, count: int = 1) -> None:
        """Take free slots."""
        self.held += count
        self.peak = max(self.peak, self.held)

    def give_back(self, count: int = 1) -> None:
        """Give slots back; the next waiting item has one at once."""
        self.held -= count
        self._serve()

    def clear(self) -> None:
        """Take all slots back and serve nobody any more: the loop has ended."""
        self.held = 0
        self._waiting.clear()

    def resize(self, size: int) -> None:
        """Change the number of slots; items over it finish first."""
        self.size = size
        self._serve()

    def _serve(self) -> None:
        while self._waiting and self.held < self.size:
            self.hold()
            self._waiting.popleft()()


class InFlight:
    """Gives the slots of one loop to its items; *items* are those that have not settled."""

    when_full: WhenFull = "block"

    def __init__(
        self, runtime: Runtime, slots: Slots, items: dict[int, Item],
        report: Callable[[Any, BaseException], None],
    ) -> None:  # fmt: skip
        self._runtime, self._slots, self._items, self._report = runtime, slots, items, report

    def may_start(self, token: Call) -> bool:
        """Whether a detached token may start now; else it has been parked, dropped or failed."""
        item = token.item
        if item.slot or (not item.throttled and self._take(item)):
            return True
        if self.when_full == "block":
            token.asked = self._runtime.now()
            item.parked.append(token)
        elif self.when_full == "error":
            item.failed(token, self._full())
        else:
            self._shed(item)
            item.check()
        return False

    def may_release(self, item: Item) -> bool:
        """Whether an item of which something is still open may let its producer go on."""
        if not item.open or item.slot:
            return True
        if item.throttled:
            return False
        if self._take(item):
            return True
        if self.when_full == "block":
            return False
        if self.when_full == "error":
            self._fail_open(item)
        else:
            self._shed(item, whole=True)
        return True

    def _take(self, item: Item) -> bool:
        """Take a slot for *item*; under "drop_oldest" from the oldest item that holds one."""
        slots = self._slots
        if self.when_full == "block":
            item.slot = slots.take(item.granted)
            item.throttled = not item.slot
            return item.slot
        if self.when_full == "drop_oldest":
            self._make_room(item)
        item.slot = slots.held < slots.size and slots.take(item.granted)
        return item.slot

    def _make_room(self, item: Item) -> None:
        """Drop the oldest items that hold a slot until one is free: several, if fewer remain."""
        for oldest in [i for i in self._items.values() if i.slot and i is not item]:
            if self._slots.held < self._slots.size:
                return
            self._shed(oldest, whole=True)
            oldest.check()

    def _shed(self, item: Item, *, whole: bool = False) -> None:
        """Drop an item's detached part, or (it is released) all that is open; count it once."""
        if not item.shed:
            item.shed = True
            self._runtime.event("dropped", self._runtime.name, item.iteration)
        item.lose([r.plan.index for r in item.runners if whole or r.plan.detached])

    def _fail_open(self, item: Item) -> None:
        """At its release an item finds no slot: the first node still open fails, the others end."""
        token = next(iter(item.open))
        item.errors.append((token, self._full()))
        self._report(token, item.errors[-1][1])
        item.lose([r.plan.index for r in item.runners])

    def _full(self) -> InFlightFull:
        name, size = self._runtime.name, self._slots.size
        return InFlightFull(f"loop {name!r} has max_in_flight={size} items in flight already")
