"""How is a running loop controlled? By its `Controller`, and its `Lifecycle`.

Pause, resume, step, stop, apply: every verb is called on the loop's own event loop. A host
posts it there from whatever thread the wish came in, and nothing that is asked waits for
anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from typing import TYPE_CHECKING, Final

from flownb.errors import told
from flownb.records.events import ENDED

if TYPE_CHECKING:
    from collections.abc import Callable

    from flownb.engine.runtime import Runtime
    from flownb.plan.loop_plan import LoopPlan
    from flownb.records.events import LoopState

VERBS: Final = frozenset(
    {"pause", "resume", "step", "stop", "apply", "offer", "writers_done", "kept"}
)
"""What may be asked of a loop, or told to it, wherever it lives."""
CLOSE: Final = 1.0  # seconds that closing gets even when the grace of a stop is over
MOMENT: Final = 0.5  # seconds that calls have had at least before they are left behind
_LEAST: Final = 0.1


class Lifecycle:
    """Where a loop stands, and whether another attempt follows its end; *publish* tells it."""

    def __init__(self, publish: Callable[[LoopState, str], None]) -> None:
        self.state: LoopState = "created"
        self.reason = ""
        self.stopping = False  # it was asked to
        self.restarting = False  # it has ended, and another attempt follows
        self.may_restart: Callable[[BaseException], bool] = lambda _: False
        self._publish = publish

    @property
    def has_ended(self) -> bool:
        """Whether it is in a final state."""
        return self.state in ENDED

    def set(self, state: LoopState, reason: str = "") -> None:
        """Take on a state, and publish that."""
        self.state = state
        self._publish(state, reason)

    def give_up(self, error: BaseException) -> None:
        """End in state error, or, when another attempt is to follow, before it starts."""
        self.restarting = not self.stopping and self.may_restart(error)
        if self.restarting:
            self.set("starting", f"after a crash: {told(error)}")
        else:
            self.set("error")


class Controller:
    """What one loop has been asked to do: it looks here before each item, and while it waits."""

    def __init__(self, runtime: Runtime, life: Lifecycle, forgive: Callable[[], None]) -> None:
        self._runtime, self.life, self._forgive = runtime, life, forgive
        self.opening, self.closing = asyncio.Timeout(None), asyncio.Timeout(None)
        self._pausing = self._closing = False
        self._steps = self._stepped = 0  # items to make although it is paused, and made so
        self.last_step = -1  # the iteration of the last of them
        self._deadline: float | None = None
        self.moment = MOMENT  # that sync calls still get when the loop has ended
        self.next_plan: LoopPlan | None = None
        """What is to be taken up before the next item."""

    # -- what the loop looks at ------------------------------------------------

    @property
    def state(self) -> LoopState:
        """The state of the loop."""
        return self.life.state

    @property
    def stopping(self) -> bool:
        """Whether no new item may be made."""
        return self.life.stopping

    @property
    def pausing(self) -> bool:
        """Whether no new item may be made for now."""
        return self._pausing and not self._steps

    @property
    def stepping(self) -> bool:
        """Whether the next item is one that was asked for by `step`."""
        return self._steps > 0

    @property
    def halted(self) -> bool:
        """Whether the loop is to end."""
        return self._runtime.error is not None or self.life.stopping

    @property
    def at_rest(self) -> bool:
        """Whether no item may be made just now."""
        return self.halted or self.pausing

    @property
    def deadline(self) -> float:
        """The second at which the grace of a stop is over."""
        return math.inf if self._deadline is None else self._deadline

    # -- what is asked ---------------------------------------------------------

    def pause(self, reason: str = "") -> None:
        """Make no new item after the next release."""
        if self.life.has_ended or self.life.stopping:
            return
        self._pausing, self.life.reason = True, reason
        self._forget_steps()
        if self.state == "running":
            self.life.set("pausing", reason)
        self._runtime.wake()

    def resume(self) -> None:
        """Go on; node states count from new."""
        if self.state == "pausing":
            self.life.set("running")
        self._pausing, self.life.reason = False, ""
        self._forget_steps()
        self.tell_steps()
        self._forgive()
        self._runtime.wake()

    def step(self) -> None:
        """Make exactly one item although the loop is paused; one that runs pauses first."""
        if self.life.has_ended or self.life.stopping:
            return
        if not self._pausing:
            self.pause()
        self._steps += 1
        self._runtime.wake()

    def stop(self, grace: float = 10.0) -> None:
        """Make no new item; give what is in flight *grace* seconds, then cancel it."""
        if self.life.has_ended:
            return
        deadline = self._runtime.now() + grace
        self._deadline = min(self.deadline, deadline)
        self.moment = max(_LEAST, MOMENT - grace)
        self.life.stopping = True
        if self.state == "starting":
            self._reschedule(self.opening, self._deadline)
        if self._closing:
            self.close_in_time()
        if self.state not in {"created", "stopping"}:
            self.life.set("stopping")
        self._runtime.wake()

    def apply(self, plan: LoopPlan) -> None:
        """Run *plan* from the next item on."""
        if not self.life.has_ended:
            self.next_plan = plan
            self._runtime.wake()

    # -- what the loop reports -------------------------------------------------

    def paused(self) -> None:
        """Nothing is awaited any more: it is paused from now on."""
        if self.state == "running":  # it was asked for before there was anything to end
            self.life.set("pausing", self.life.reason)
        self.life.set("paused", self.life.reason)

    def step_taken(self, made: int) -> None:
        """An item that `step` asked for was made, or a call that should have made it failed."""
        if self._steps:
            self._steps -= 1
            self._stepped += 1
            self.last_step = made
            if not self._steps and self.state == "running":
                self.life.set("pausing", self.life.reason)

    def tell_steps(self) -> None:
        """Publish the steps that are over."""
        while self._stepped:
            self._stepped -= 1
            self._runtime.event("stepped")

    def _forget_steps(self) -> None:
        self._stepped += self._steps
        self._steps = 0
        if self.state == "paused":
            self.tell_steps()

    def close_in_time(self) -> None:
        """Close what was opened; after a stop, give it what is left of the grace, or a second."""
        self._closing = True
        if self._deadline is not None:
            self._reschedule(self.closing, max(self._deadline, self._runtime.now() + CLOSE))

    def _reschedule(self, timeout: asyncio.Timeout, when: float) -> None:
        with contextlib.suppress(RuntimeError):  # it is over already
            timeout.reschedule(when + self._runtime.origin)
