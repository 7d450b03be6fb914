"""How does a loop let go of what still runs? A loser is left behind; at the end everything is."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from flownb.engine.steering import Steered

if TYPE_CHECKING:
    from collections import deque

    from flownb.engine.crew import Crew
    from flownb.engine.inflight import Slots
    from flownb.engine.item import Item
    from flownb.engine.squad import Squad
    from flownb.engine.token import Token


class Leaving(Steered):
    """The part of `LoopManager` that ends calls whose outcome nobody wants any more."""

    calls: dict[Token, None]
    ready: deque[Token]
    crew: Crew
    squad: Squad
    slots: Slots
    items: dict[int, Item]
    abandoned: list[str]

    def __init__(self) -> None:
        super().__init__()
        self.cut: list[str] = []  # the nodes that were at work when it ended

    def abandon(self, token: Token) -> None:
        """End a call whose outcome nobody wants: cancel it, or leave a sync one behind."""
        token.cancelled = True
        token.disown()
        if token in self.ready:
            self.ready.remove(token)
        if token in token.item.parked:
            token.item.parked.remove(token)
        if token in self.crew.waiting:
            self.crew.waiting.remove(token)
            self.calls.pop(token, None)
            token.at.leave_gate(token)
            return
        if self.calls.pop(token, self) is self or self.squad.holds(token):
            return
        if token.task is not None:
            token.task.cancel()
            if not isinstance(token.task, asyncio.Task):
                token.at.leave_gate(token)
            if token.in_thread:
                self.runtime.event("abandoned", token.at.name, token.iteration)
        elif token.at.gate is not None and not token.entered:
            token.at.gate.forget(token.granted)
        else:
            self.runtime.event("abandoned", token.at.name, token.iteration)

    def cancel_all(self) -> None:
        """Cancel every call, and close the books on every item."""
        self.ready.clear()
        self.crew.waiting.clear()
        self.squad.waiting.clear()
        self.slots.clear()
        cancelled, calls = list(self.items.values()), list(self.calls)
        self.items.clear()
        self.calls.clear()
        self.cut = [token.at.name for token in calls]
        for token in calls:
            token.cancelled = True
            token.disown()
            if token.task is not None:
                token.task.cancel()
            elif token.at.gate is not None and not token.entered:
                token.at.gate.forget(token.granted)
        for item in cancelled:
            self.runtime.event("cancelled", self.runtime.name, item.iteration)
            self.runtime.event("settled", self.runtime.name, item.iteration)

    async def settle_tasks(self) -> None:
        """Cancel the tasks left, oldest first, and wait a moment for them to end."""
        left = [t for t in self.runtime.tasks if t is not asyncio.current_task()]
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=0.5)
            self.abandoned += [t.get_name() for t in left if not t.done()]
