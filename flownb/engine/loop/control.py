"""How is a running loop controlled? Wishes that it looks at, a state, and a way to wake it.

Pause, resume, step, stop, apply: every verb here is called on the loop's own event loop. A host
posts it there from whatever thread the wish came in, and nothing that is asked waits for
anything.

To cancel is to end calls whose outcome nobody wants: the losers of a join one by one, at the
end of a loop all of them. An async call is cancelled, a sync one is abandoned.

To resume after a crash, a loop takes up what an earlier attempt has left, and writes down where
it stands (`Checkpointer`).
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from typing import TYPE_CHECKING, Any, Final

from flownb.engine.checkpoints.checkpointer import Checkpointer
from flownb.engine.checkpoints.record import Beginning
from flownb.engine.checkpoints.source_replay import remember
from flownb.errors import told
from flownb.queues.spec import Message
from flownb.records.events import ENDED

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Sequence

    from flownb.engine.calls.call import Call
    from flownb.engine.calls.node_memory import Memories
    from flownb.engine.calls.tasks import TaskWorkers
    from flownb.engine.calls.threads import ThreadWorkers
    from flownb.engine.loop.slots import Slots
    from flownb.engine.loop.source import Source
    from flownb.engine.runtime import Runtime
    from flownb.flow.item import Item
    from flownb.plan.loop_plan import LoopPlan
    from flownb.queues.spec import QueueSpec
    from flownb.records.events import LoopState


class Restartable:
    """A loop that crashes, wherever it lives, as `Supervisor` decides."""

    restarting: bool  # it has ended, and another attempt follows
    may_restart: Callable[[BaseException], bool]
    _stopping: bool
    _set: Callable[..., None]

    def give_up(self, error: BaseException) -> None:
        """End in state error, or, when another attempt is to follow, before it starts."""
        self.restarting = not self._stopping and self.may_restart(error)
        if self.restarting:
            self._set("starting", f"after a crash: {told(error)}")
        else:
            self._set("error")


CLOSE: Final = 1.0  # seconds that closing gets even when the grace of a stop is over
MOMENT: Final = 0.5  # seconds that calls have had at least before they are left behind
_LEAST: Final = 0.1
_SOON: Final = 0.01  # seconds between two looks whether a loop has a source yet


class Control(Restartable):
    """The half of `LoopManager` that takes wishes and reports states."""

    runtime: Runtime
    memory: Memories
    source: Source
    made: int
    items: dict[int, Item]
    checkpointer: Checkpointer | None = None  # of a loop with checkpoints

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

    def update_specs(self, specs: Sequence[QueueSpec]) -> None:
        """Take in the queues of the next plan."""
        self.runtime.queues.update_specs(specs)

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
        if self.checkpointer is not None and self.state not in ENDED:
            self.checkpointer.kept(number, taken)

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


class Leaving(Control):
    """The part of `LoopManager` that ends calls whose outcome nobody wants any more."""

    calls: dict[Call, None]
    ready: deque[Call]
    task_workers: TaskWorkers
    thread_workers: ThreadWorkers
    slots: Slots
    items: dict[int, Item]
    abandoned: list[str]

    def __init__(self) -> None:
        super().__init__()
        self.cut: list[str] = []  # the nodes that were at work when it ended

    def abandon(self, token: Call) -> None:
        """End a call whose outcome nobody wants: cancel it, or leave a sync one behind."""
        token.cancelled = True
        token.disown()
        if token in self.ready:
            self.ready.remove(token)
        if token in token.item.parked:
            token.item.parked.remove(token)
        if token in self.task_workers.waiting:
            self.task_workers.waiting.remove(token)
            self.calls.pop(token, None)
            token.at.leave_gate(token)
            return
        if self.calls.pop(token, self) is self or self.thread_workers.holds(token):
            return
        if token.task is not None:
            token.task.cancel()
            if not isinstance(token.task, asyncio.Task):
                token.at.leave_gate(token)
            elif token.entered:  # one that is cancelled before its first turn cannot leave
                token.task.add_done_callback(lambda _: token.at.leave_gate(token))
            if token.in_thread:
                self.runtime.event("abandoned", token.at.name, token.iteration)
        elif token.at.gate is not None and not token.entered:
            token.at.gate.forget(token.granted)
        else:
            self.runtime.event("abandoned", token.at.name, token.iteration)

    def cancel_all(self) -> None:
        """Cancel every call, and close the books on every item."""
        self.ready.clear()
        self.task_workers.waiting.clear()
        self.thread_workers.waiting.clear()
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


class Lasting(Leaving):
    """The part of `LoopManager` that begins where an earlier attempt ended, and keeps where it is.

    *beginning* is set by the host, before the loop runs.
    """

    plan: LoopPlan

    def __init__(self) -> None:
        super().__init__()
        self.beginning = Beginning()

    def go_on(self) -> None:
        """Take up what earlier attempts, or an earlier kernel, have left."""
        self.made = self.beginning.made
        if self.plan.options.checkpoint is not None:
            self.checkpointer = Checkpointer(self, self.beginning.kept)

    def keep_now(self) -> None:
        """Nothing more comes for a while: keep what there is."""
        if self.checkpointer is not None:
            self.checkpointer.hurry()

    async def keep_last(self) -> None:
        """Keep how the loop ended."""
        if self.checkpointer is None:
            return
        if self.source_begun:
            remember(self.source)
        await self.checkpointer.close(
            "error" if self.runtime.error is not None else self.last_state()
        )

    # -- its source ------------------------------------------------------------

    @property
    def source_begun(self) -> bool:
        """Whether there is a source yet."""
        return hasattr(self, "source")

    @property
    def source_ended(self) -> bool:
        """Whether the producer will make no more items."""
        return self.source_begun and self.source.exhausted

    def last_state(self) -> LoopState:
        """Say in which state it ends, if no error has ended it."""
        return "completed" if self.source_ended and not self._stopping else "stopped"

    @property
    def halted(self) -> bool:
        """Whether it is to end."""
        return self.runtime.error is not None or self._stopping

    @property
    def at_rest(self) -> bool:
        """Whether no item may be made just now."""
        return self.halted or self.pausing

    @property
    def source_keeps_state(self) -> bool:
        """Whether what makes items has a `ctx.state`."""
        return self.source.may_keep_state

    @property
    def again(self) -> deque[Any]:
        """The items to offer again."""
        return self.source.again

    @property
    def idles(self) -> bool:
        """Whether nothing more comes, or nothing just now."""
        return self._stopping or self.source.exhausted or self.source.reading

    @property
    def next_item(self) -> int:
        """The number that the next item of the source will have."""
        if self.source_begun:
            return self.source.pulled
        return 0 if self.checkpointer is None else self.checkpointer.position.first

    def tell_position(self) -> int:
        """Tell the producer where it is to go on; who asks begins there by itself."""
        if self.source_begun and self.source.source_replay is not None:
            self.source.source_replay.asked = True
        return self.next_item
