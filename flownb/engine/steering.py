"""How is a running loop steered? Flags that it looks at, a state, and a way to wake it.

Every verb here is called on the loop's own event loop: a host posts it there from
whatever thread the wish came in, and nothing that is asked waits for anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from typing import TYPE_CHECKING, Any, Final

from flownb.engine.supervise import Restartable
from flownb.model.records import ENDED
from flownb.queues.spec import Message

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from flownb.analysis.plan import LoopPlan
    from flownb.engine.checkpoint import Keeping
    from flownb.engine.item import Item
    from flownb.engine.memory import Memories
    from flownb.engine.produce import Source
    from flownb.engine.runtime import Runtime
    from flownb.model.records import LoopState
    from flownb.queues.spec import QueueSpec

CLOSE: Final = 1.0  # seconds that closing gets even when the grace of a stop is over
MOMENT: Final = 0.5  # seconds that calls have had at least before they are left behind
_LEAST: Final = 0.1
_SOON: Final = 0.01  # seconds between two looks whether a loop has a source yet


class Steered(Restartable):
    """The half of `LoopManager` that is told what to do and tells what happens."""

    runtime: Runtime
    memory: Memories
    source: Source
    made: int
    items: dict[int, Item]
    keeping: Keeping | None = None  # of a loop with checkpoints

    def __init__(self) -> None:
        self.state: LoopState = "created"
        self.reason = ""
        self.opening, self.closing = asyncio.Timeout(None), asyncio.Timeout(None)
        self._pausing = self._stopping = False
        self._closing = False
        self._steps = self._stepped = 0  # items to make although it is paused, and made so
        self.last_step = -1  # the iteration of the last of them
        self._offered: set[str] = set()  # the dead letters whose items it was given again
        self._deadline: float | None = None
        self.moment = MOMENT  # that sync calls still get when the loop has ended
        self._next_plan: LoopPlan | None = None
        self.may_restart: Callable[[BaseException], bool] = lambda _: False
        self.restarting = False  # it has ended, and another attempt follows

    # -- control: called on the loop's own event loop --------------------------

    @property
    def stopping(self) -> bool:
        """Whether no new item may be made."""
        return self._stopping

    @property
    def pausing(self) -> bool:
        """Whether no new item may be made for now."""
        return self._pausing and not self._steps

    @property
    def stepping(self) -> bool:
        """Whether the next item is one that was asked for by `step`."""
        return self._steps > 0

    @property
    def replanned(self) -> bool:
        """Whether another plan is to be taken up before the next item."""
        return self._next_plan is not None

    def pause(self, reason: str = "") -> None:
        """Make no new item after the next release."""
        if self.state in ENDED or self._stopping:
            return
        self._pausing, self.reason = True, reason
        self._forget_steps()
        if self.state == "running":
            self._set("pausing", reason)
        self.runtime.wake()

    def step(self) -> None:
        """Make exactly one item although the loop is paused; one that runs pauses first."""
        if self.state in ENDED or self._stopping:
            return
        if not self._pausing:
            self.pause()
        self._steps += 1
        self.runtime.wake()

    def step_taken(self) -> None:
        """An item that `step` asked for was made, or a call that should have made it failed."""
        if self._steps:
            self._steps -= 1
            self._stepped += 1
            self.last_step = self.made
            if not self._steps and self.state == "running":
                self._set("pausing", self.reason)

    def tell_steps(self) -> None:
        """Publish the steps that are over."""
        while self._stepped:
            self._stepped -= 1
            self.runtime.event("stepped")

    def _forget_steps(self) -> None:
        self._stepped += self._steps
        self._steps = 0
        if self.state == "paused":
            self.tell_steps()

    def resume(self) -> None:
        """Go on; node states count from new."""
        if self.state == "pausing":
            self._set("running")
        self._pausing, self.reason = False, ""
        self._forget_steps()
        self.tell_steps()
        self.memory.forgive()
        self.runtime.wake()

    def stop(self, grace: float = 10.0) -> None:
        """Make no new item; give what is in flight *grace* seconds, then cancel it."""
        if self.state in ENDED:
            return
        deadline = self.runtime.now() + grace
        self._deadline = deadline if self._deadline is None else min(self._deadline, deadline)
        self.moment = max(_LEAST, MOMENT - grace)
        self._stopping = True
        if self.state == "starting":
            self._reschedule(self.opening, self._deadline)
        if self._closing:
            self.close_in_time()
        if self.state not in {"created", "stopping"}:
            self._set("stopping")
        self.runtime.wake()

    def close_in_time(self) -> None:
        """Close what was opened; after a stop, give it what is left of the grace, or a second."""
        self._closing = True
        if self._deadline is not None:
            self._reschedule(self.closing, max(self._deadline, self.runtime.now() + CLOSE))

    def _reschedule(self, timeout: asyncio.Timeout, when: float) -> None:
        with contextlib.suppress(RuntimeError):  # it is over already
            timeout.reschedule(when + self.runtime.origin)

    def apply(self, plan: LoopPlan) -> None:
        """Run *plan* from the next item on."""
        if self.state not in ENDED:
            self._next_plan = plan
            self.runtime.wake()

    def know(self, specs: Sequence[QueueSpec]) -> None:
        """Take in the queues of the next plan."""
        self.runtime.queues.know(specs)

    def redis_away(self, where: str) -> None:
        """Tell that the Redis *where* is away and waited for; "" when it is back."""
        text = f"redis is away ({where}): waiting for it" if where else "redis is back"
        self.runtime.log(self.runtime.name, -1, "warning", text)
        self.runtime.event("away", data=where)

    def offer(self, letters: Sequence[tuple[Any, str]]) -> None:
        """Take items of dead letters again; one that has settled leaves them.

        Each once: an item that was offered before waits, is at work, or leaves just now.
        """
        if self.state in ENDED:
            return
        if not hasattr(self, "source"):
            asyncio.get_running_loop().call_later(_SOON, self.runtime.guard, self.offer, letters)
            return
        for item, letter_id in letters:
            if letter_id not in self._offered:
                self._offered.add(letter_id)
                letter = Message(letter_id, "", item, letter=True)
                self.source.again.append((item, letter, None))
        self.runtime.wake()

    def writers_done(self) -> None:
        """Everyone who pushes to the queue that drives this loop has completed."""
        if hasattr(self, "source"):
            self.source.writers_done()
        elif self.state not in ENDED:
            asyncio.get_running_loop().call_later(_SOON, self.writers_done)

    def kept(self, number: int, taken: str = "") -> None:
        """The store has the checkpoints up to that one; *taken*: somebody else goes on."""
        if self.keeping is not None and self.state not in ENDED:
            self.keeping.kept(number, taken)

    @property
    def deadline(self) -> float:
        """The second at which the grace of a stop is over."""
        return math.inf if self._deadline is None else self._deadline

    def conclude(self, error: BaseException | None = None) -> None:
        """See to it that the loop is in a final state, however its run ended."""
        if self.restarting:
            return
        if error is not None:
            self.runtime.error = self.runtime.error or error
            self.give_up(self.runtime.error)
        elif self.state not in ENDED:
            self._set("stopped")

    def _set(self, state: LoopState, reason: str = "") -> None:
        self.state = state
        self.runtime.event("state", data=(state, reason))
