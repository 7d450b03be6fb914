"""What is a call? A token that is called: one attempt or several, its prints, pushes, contexts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from flownb.engine.prints import Printing
from flownb.flow.scheduler import NodeRunner
from flownb.flow.token import Token

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flownb.engine.calls.node_memory import Memory
    from flownb.engine.runtime import Runtime


class CallNode(NodeRunner, Protocol):
    """A node that can be called, as its runner knows it."""

    gate: Any
    """Where its calls wait for a `Limit`."""
    memory: Memory
    runtime: Runtime

    def run(self, token: Any) -> None:
        """Call the node for a token; the outcome reaches its item, maybe later."""

    def leave_gate(self, token: Any) -> None:
        """Let the next call through the node's `Limit`."""


class CallRow(Protocol):
    """The row in which a thread calls a node, and what follows."""

    @property
    def node_at_work(self) -> str:
        """The name of the node that is called just now."""

    due: float
    """The second of the run at which somebody is to look at it."""

    def look(self) -> None:
        """See to it that the item goes on, on the event loop: the row takes its time."""

    def leave(self) -> None:
        """Enter what has ended by now into the books: nobody waits for the rest."""


class Call(Token, Printing):
    """One node call to come, running, or waiting at a join; one attempt or several."""

    __slots__ = (
        "asked", "before", "buffer", "contexts", "entered", "held_back", "in_thread", "noted",
        "place", "pushes", "start", "task", "walk",
    )  # fmt: skip

    at: CallNode

    def __init__(self, item: Any, at: CallNode, payload: Any, mask: int, visit: int = 0) -> None:
        self.item = item  # as a token is made: calling that would cost a tenth of a short call
        self.at = at
        self.payload = payload
        self.mask = mask
        self.visit = visit
        self.attempt, self.buffer = 0, ""
        self.start = self.asked = 0.0
        self.state: Any = None
        self.returned: Any = None
        self.gathering: Any = None
        self.task: Any = None
        self.before: Any = None
        self.noted: Any = None
        self.place: Any = None
        """Its `Place` in the node's `Limit`: `entered` once it is held."""
        self.walk: CallRow | None = None
        """The row in which a thread calls it, and what follows, just now."""
        self.admitted = self.entered = self.cancelled = self.in_thread = False
        self.pushes: Sequence[Any] = ()  # hardly any call has these three
        self.held_back: Sequence[Any] = ()
        self.contexts: Sequence[Any] = ()

    def disown(self) -> None:
        """Let its attempts so far reach nothing any more: what they still do is discarded."""
        for context in self.contexts:
            context._alive = False
        for push in self.pushes:
            push.close()
        self.contexts = self.pushes = ()

    @property
    def node_at_work(self) -> str:
        """The name of the node that is called just now."""
        return self.at.name if self.walk is None else self.walk.node_at_work

    def where(self) -> tuple[str, int]:
        """Say where a print of this call belongs."""
        return self.at.name, self.item.iteration

    def write_line(self, node: str, iteration: int, level: str, text: str) -> None:
        """Log a line that this call printed."""
        self.at.runtime.write_line(node, iteration, level, text)
