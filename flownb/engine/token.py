"""What is a token? One node call of one item: to come, running, or waiting at a join."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flownb.engine.capture import Printing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flownb.engine.scheduler import NodeRunner


class Token(Printing):
    """One node call to come, running, or waiting at a join; one attempt or several."""

    __slots__ = (
        "admitted", "asked", "at", "attempt", "before", "buffer", "cancelled", "contexts",
        "entered", "gathering", "granted", "in_thread", "item", "mask", "noted", "outbox",
        "payload", "pushes", "said", "start", "state", "task", "visit",
    )  # fmt: skip

    def __init__(self, item: Any, at: NodeRunner, payload: Any, mask: int, visit: int = 0) -> None:
        self.item = item
        self.at = at
        self.payload = payload
        self.mask = mask
        self.visit = visit
        self.attempt, self.buffer = 0, ""
        self.start = self.asked = 0.0
        self.task: Any = None
        self.before: Any = None
        self.granted: Any = None
        self.state: Any = None
        self.gathering: Any = None
        self.said: Any = None
        self.noted: Any = None
        self.admitted = self.entered = self.cancelled = self.in_thread = False
        self.pushes: Sequence[Any] = ()  # hardly any call has these three
        self.outbox: Sequence[Any] = ()
        self.contexts: Sequence[Any] = ()

    @property
    def iteration(self) -> int:
        """The iteration of its item."""
        return int(self.item.iteration)

    def disown(self) -> None:
        """Let its attempts so far reach nothing any more: what they still do is discarded."""
        for context in self.contexts:
            context._alive = False
        for push in self.pushes:
            push.close()
        self.contexts = self.pushes = ()

    def where(self) -> tuple[str, int]:
        """Say where a print of this call belongs."""
        return self.at.name, self.item.iteration

    def write_line(self, node: str, iteration: int, level: str, text: str) -> None:
        """Log a line that this call printed."""
        self.at.runtime.write_line(node, iteration, level, text)
