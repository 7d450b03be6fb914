"""What if all in-flight slots are taken? What the loop's `when_full` says.

"block": the node waits for a slot, and so does the producer. "drop_newest": the
detached part of this item is dropped. "drop_oldest": that of the oldest item that holds
a slot is dropped, and its slot goes to this one. "error": the node fails with
InFlightFull. What is dropped does not start; where it runs already it is cancelled, a
sync call is left behind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flownb.errors import InFlightFull

if TYPE_CHECKING:
    from flownb.engine.item import Item, Token
    from flownb.engine.loop import LoopManager


def has_place(loop: LoopManager, token: Token) -> bool:
    """Whether a detached token may start now; else it has been parked, dropped or failed."""
    item = token.item
    if item.slot or (not item.throttled and take_slot(loop, item)):
        return True
    if loop.when_full == "block":
        token.asked = loop.now()
        item.parked.append(token)
    elif loop.when_full == "error":
        item.failed(token, _full(loop))
    else:
        _shed(loop, item)
        item.check()
    return False


def may_release(loop: LoopManager, item: Item) -> bool:
    """Whether an item of which something is still open may let its producer go on."""
    if not item.open or item.slot:
        return True
    if item.throttled:
        return False
    if take_slot(loop, item):
        return True
    if loop.when_full == "block":
        return False
    if loop.when_full == "error":
        _fail_open(loop, item)
    else:
        _shed(loop, item, whole=True)
    return True


def take_slot(loop: LoopManager, item: Item) -> bool:
    """Take a slot for *item*; under "drop_oldest" from the oldest item that holds one."""
    if loop.when_full == "block":
        item.slot = loop.slots.take(item.granted)
        item.throttled = not item.slot
        return item.slot
    if loop.when_full == "drop_oldest":
        _make_room(loop, item)
    item.slot = loop.slots.held < loop.slots.size and loop.slots.take(item.granted)
    return item.slot


def _make_room(loop: LoopManager, item: Item) -> None:
    """Drop the oldest items that hold a slot until one is free: several, if there are fewer now."""
    for oldest in [i for i in loop.items.values() if i.slot and i is not item]:
        if loop.slots.held < loop.slots.size:
            return
        _shed(loop, oldest, whole=True)
        oldest.check()


def _shed(loop: LoopManager, item: Item, *, whole: bool = False) -> None:
    """Drop an item's detached part, or (it is released) all that is open; count it once."""
    if not item.shed:
        item.shed = True
        loop.event("dropped", loop.name, item.iteration)
    item.lose([r.plan.index for r in item.runners if whole or r.plan.detached])


def _fail_open(loop: LoopManager, item: Item) -> None:
    """At its release an item finds no slot: the first node still open fails, the others end."""
    token = next(iter(item.open))
    item.errors.append((token, _full(loop)))
    loop.ending.node_failed(token, item.errors[-1][1])
    item.lose([r.plan.index for r in item.runners])


def _full(loop: LoopManager) -> InFlightFull:
    return InFlightFull(
        f"loop {loop.name!r} has max_in_flight={loop.slots.size} items in flight already"
    )
