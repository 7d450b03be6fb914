"""What is the source of a loop's items? Its `Source`: items to offer again, then what comes next.

What comes next is pulled from a function or an iterable (`PullSource`), or read from a queue
(`QueueSource`). A loop has its source from the first moment on; it `begins` with its runner.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from typing import TYPE_CHECKING, Any, Final, Protocol

from flownb.engine.calls.call import Call
from flownb.engine.calls.signature import EXHAUSTED, can_be_replayed
from flownb.engine.calls.source_thread import SourceThread, check_at_home
from flownb.errors import FAILS
from flownb.flow.routing import route
from flownb.queues.spec import Message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flownb.engine.calls.node_memory import Memories
    from flownb.engine.calls.runner import Runner
    from flownb.engine.checkpoints.checkpointer import Checkpointer
    from flownb.engine.checkpoints.source_replay import SourceReplay
    from flownb.engine.loop.control import Controller
    from flownb.engine.loop.settlement import Settlement
    from flownb.engine.runtime import Runtime
    from flownb.errors import Failure
    from flownb.flow.item import Item
    from flownb.model.nodes import Node
    from flownb.plan.loop_plan import PlanNode

SAME: Final = 1e-6


class _FailedTick:
    def __repr__(self) -> str:
        return "FAILED_TICK"


FAILED_TICK: Final = _FailedTick()
Made = tuple[Any, Any, Any]
NOTHING_MADE: Final[Made] = (FAILED_TICK, None, None)


class Making(Protocol):
    """The loop that a source makes items for."""

    runtime: Runtime
    graph: str
    memory: Memories
    control: Controller
    checkpointer: Checkpointer | None
    ending: Settlement
    items: dict[int, Item]
    made: int
    most: int | None


class ProducerCall:
    """Stands where an item would, for the call that makes one."""

    memo = None
    message = None
    values = None
    in_rows = False
    held_back: Final[list[Any]] = []  # a producer's pushes are not held back

    def __init__(self, loop: Making) -> None:
        self.loop = loop
        self.iteration = loop.made
        self.made: Made | None = None

    def onward(self, token: Call, output: Any) -> tuple[Any, Any]:
        """Choose the arms of an item."""
        return self.route(token.at.plan, token.payload, output)

    def route(self, plan: PlanNode, payload: Any, output: Any) -> tuple[Any, Any]:
        """Choose the arms of an item by their conditions; no item, no arms."""
        if output is None or output is EXHAUSTED:
            return output, ()
        try:
            return route(plan, payload, output)
        except FAILS as error:  # the item is made, and fails: `Item.launch` sees to that
            return output, error

    def ended(self, token: Call, output: Any, live: Any) -> None:
        """Take what the producer made."""
        runner: Any = token.at
        if output is EXHAUSTED and (error := runner.last_failure.error) is not None:
            self.failed(token, error)  # what a retry met was the end that this had brought
        self.made = (output, live, None)
        self.loop.runtime.wake()

    def failed(self, token: Call, error: BaseException) -> None:
        """Count a failed tick."""
        runner: Any = token.at
        runner.last_failure.error = None
        self.made = NOTHING_MADE
        self.loop.ending.tick_failed(token, error)
        self.loop.runtime.wake()


class Source(ABC):
    """The producer side of a loop."""

    runner: Runner
    """Its node; there from `begin` on."""

    def __init__(self, loop: Making, node: Node) -> None:
        self.loop, self.node, self._runtime = loop, node, loop.runtime
        self.begun = self.exhausted = False
        self.again: deque[tuple[Any, Any, int | None]] = deque()
        self.pulled = 0  # items that this source has made, or that were made before
        self.index: int | None = None  # the number of the last one
        self.buffer: deque[Any] = deque()  # messages at hand
        self.source_replay: SourceReplay | None = None
        self._offered: set[str] = set()  # the dead letters whose items it was given again
        self._failed: tuple[int, Failure] | None = None  # the last call that did, and when
        self._unfed = False  # nobody pushes to its queue any more
        self._thread: SourceThread | None = None

    def begin(self, runner: Runner, before: Source | None = None) -> None:
        """Count from now on; *before* is the source that was edited, if this follows one."""
        self.runner, self.begun = runner, True
        if before is None or before.runner.called_fn is not runner.called_fn:
            check_at_home(runner.called_fn, self._runtime.name)
        if before is not None:
            self._follow(before)

    def _follow(self, before: Source) -> None:
        """Take over items to offer again, and the number of the next one."""
        self.again, self._offered, self._unfed = before.again, before._offered, before._unfed
        if not can_be_replayed(self.runner.called_fn):
            self.pulled = before.pulled
        elif self.loop.checkpointer is not None:
            self._begin_anew(self.loop.checkpointer)

    def _begin_anew(self, keeping: Checkpointer) -> None:
        """Another source counts from 0; what the old one made has no number any more."""
        keeping.renewed()
        self.again = deque((payload, message, None) for payload, message, _ in self.again)
        for item in self.loop.items.values():
            item.index = None

    def leave(self) -> None:
        """Another source follows, or none: end what is under way."""
        if self._thread is not None:
            self._thread.leave(self.runner.called_fn)

    # -- where its items begin -------------------------------------------------

    @property
    def thread(self) -> SourceThread:
        """The thread in which it is called, for its whole life, and the rows behind it."""
        if self._thread is None:
            self._thread = SourceThread(self._runtime, self.runner.close)
        return self._thread

    @property
    def can_head_rows(self) -> bool:
        """Whether a thread may make its items one after the other."""
        return True

    @property
    def calls_nobody(self) -> bool:
        """Whether what it gives comes without a call of the user's: from any thread."""
        return self.runner.calls_nobody

    @property
    def is_away(self) -> bool:
        """Whether a call is under way, or has ended, whose item nobody has taken yet."""
        return self._thread is not None and self._thread.turn is not None

    @property
    def interrupted(self) -> bool:
        """Whether something else has to be looked at before the next item."""
        control = self.loop.control
        return control.at_rest or control.next_plan is not None or bool(self.again)

    @abstractmethod
    def enter_call(self) -> None:
        """Enter the call under way into the books, since it takes its time."""

    # -- when ------------------------------------------------------------------

    @abstractmethod
    async def due(self) -> bool:
        """Wait for the next item's turn; False when something else has to be looked at first."""

    async def _is_held_back(self) -> bool:
        """Whether no item may begin yet: Redis is slow, or a queue full. Then it waits, too."""
        if self.loop.ending.is_full:
            await self._runtime.wait()
            return True
        if queue := self._full_queue:
            await self._until_room(queue)
        return bool(queue)

    @property
    def _full_queue(self) -> str:
        """The queue that a push waits for: no new item may begin then."""
        queues = self._runtime.queues
        return "" if queues is None else str(queues.waits_for_room)

    async def _until_room(self, queue: str) -> None:
        """Wait for room, or until something else has to be looked at first."""
        loop, runtime, control = self.loop, self._runtime, self.loop.control
        start = runtime.now()
        while self._full_queue and not (control.at_rest or control.next_plan or runtime.error):
            await runtime.wait()
        if (end := runtime.now()) > start:
            for at in (runtime.name, queue):
                runtime.stream.span(
                    (runtime.name, at, max(loop.made - 1, 0), 0, "throttled", start, end, 0)
                )

    def _is_over(self, when: float) -> bool:
        """Whether no item may be made any more at that second of a simulation."""
        return self._runtime.until is not None and when >= self._runtime.until - SAME

    async def fill(self) -> bool:
        """Wait for messages; False when none will come, or something else is to be looked at."""
        return True

    @abstractmethod
    async def rest(self) -> None:
        """Wait a moment after there was nothing to give."""

    @abstractmethod
    def skip_to_now(self) -> None:
        """Forget what would have been due during a pause."""

    @property
    def reading(self) -> bool:
        """Whether it waits for a message, with nothing at hand."""
        return False

    @property
    def idles(self) -> bool:
        """Whether nothing more comes, or nothing just now."""
        return self.exhausted or self.reading

    # -- what ------------------------------------------------------------------

    async def make(self) -> Made:
        """Give (item, live arms, message); the item may be None, EXHAUSTED, FAILED_TICK."""
        if self.again:
            payload, message, self.index = self.again.popleft()
            return payload, self._arms(payload), message
        return await self._make()

    @abstractmethod
    async def _make(self) -> Made:
        """Make the next item, or wait for it."""

    def _arms(self, payload: Any) -> Any:
        """Choose the arms of an item that nobody is called for; None means all of them."""
        plan = self.runner.plan
        if not plan.branches:
            return None
        try:
            return route(plan, None, payload)[1]
        except FAILS as error:
            return error

    def offer(self, letters: Sequence[tuple[Any, str]]) -> None:
        """Take items of dead letters again; one that has settled leaves them.

        Each once: an item that was offered before waits, is at work, or leaves just now.
        """
        for item, letter_id in letters:
            if letter_id not in self._offered:
                self._offered.add(letter_id)
                self.again.append((item, Message(letter_id, "", item, letter=True), None))
        self._runtime.wake()

    def writers_done(self) -> None:
        """No more messages will be pushed: when the queue is empty, it is over."""
        self._unfed = True
        self._runtime.wake()

    def count(self) -> int:
        """Count an item that was made; give its number."""
        self.pulled += 1
        return self.pulled - 1

    def passed(self, count: int) -> None:
        """Count items that went in rows."""
        start, self.pulled = self.pulled, self.pulled + count
        if self.loop.checkpointer is not None:
            self.loop.checkpointer.passed(start, self.pulled)

    @property
    def rows_allowed(self) -> bool:
        """Whether the next items may go in rows."""
        if self.again or self.is_away:
            return False
        if self.source_replay is not None and self.source_replay.pending:
            return False
        keeping = self.loop.checkpointer
        return keeping is None or keeping.rows_allowed(self.pulled)

    @property
    def may_keep_state(self) -> bool:
        """Whether what makes items has a `ctx.state`."""
        return self.runner.ctx_name is not None or self.runner.instance is not None

    def tell_position(self) -> int:
        """Tell the producer where it is to go on; who asks begins there by itself."""
        if self.source_replay is not None:
            self.source_replay.asked = True
        return self.pulled

    def token(self) -> Call:
        """Make the token of a producer call."""
        return Call(ProducerCall(self.loop), self.runner, None, 0)

    def first_arguments(self) -> dict[str, Any]:
        """Give what the source's function is called with."""
        return self.runner.context_argument(self.token())

    def failed(self, failure: Failure, *, dead: bool) -> None:
        """Remember a failed call; a *dead* source gives nothing any more."""
        self._failed = self.pulled, failure
        self.exhausted = self.exhausted or dead

    @property
    def death(self) -> Failure | None:
        """The failure that has ended it: what iterates says that it is over behind one."""
        if self._failed is None or not self.exhausted or not can_be_replayed(self.runner.called_fn):
            return None
        when, failure = self._failed
        return failure if when == self.pulled else None

    def tick_failed(self, error: BaseException) -> None:
        """Report a failed producer call."""
        self.loop.ending.tick_failed(self.token(), error)
