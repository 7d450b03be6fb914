"""How does an item end? Done and acked, or failed and dealt with as `on_error` says.

A failed node has released whoever awaited it; what happens to the *item* is decided
once, when it has settled: "skip", "dead_letter", "pause", "stop", or what a function
of the failure answers. A node that has not worked once since it was
added and fails ten items in a row pauses its loop.
"""

from __future__ import annotations

import contextlib
import functools
import traceback
from typing import TYPE_CHECKING, Any, Final, Protocol

from flownb.engine.calls.signature import is_generator
from flownb.errors import FAILS, CodeFailed, Failure, NodeFailed, NodeTimeout, beside, told
from flownb.jsonable import short_repr
from flownb.model.policies import ON_ERROR
from flownb.redaction import redacted
from flownb.tracebacks import fold

if TYPE_CHECKING:
    import asyncio
    from collections import deque
    from collections.abc import Callable, Coroutine, Sequence

    from flownb.engine.calls.call import Call
    from flownb.engine.calls.runner import Runner
    from flownb.engine.checkpoints.checkpointer import Checkpointer
    from flownb.engine.loop.control import Controller
    from flownb.engine.runtime import Runtime
    from flownb.flow.item import Item
    from flownb.flow.token import Token
    from flownb.plan.loop_plan import LoopPlan
    from flownb.queues.spec import Unread

BRAKE: Final = 10
LINE: Final = 10_000  # characters of one line of a traceback: some errors hold all their data


class Again(Protocol):
    """What makes items, and gives some of them again."""

    again: deque[Any]

    def failed(self, failure: Failure, *, dead: bool) -> None:
        """A call of it has failed; *dead*: there is none after it."""


class Settling(Protocol):
    """What the settlement of an item asks of its loop."""

    runtime: Runtime
    plan: LoopPlan
    items: dict[int, Item]
    runners: list[Runner]
    made: int
    control: Controller
    checkpointer: Checkpointer | None

    @property
    def source(self) -> Again:
        """What makes its items."""


class Settlement:
    """Settles the items of one loop."""

    def __init__(self, loop: Settling) -> None:
        self.loop, self._runtime = loop, loop.runtime
        self._jobs: dict[asyncio.Task[Any], None] = {}
        self._acks = 0

    @property
    def busy(self) -> bool:
        """Whether acks or dead letters are still on their way, or wait for a checkpoint."""
        keeping = self.loop.checkpointer
        return bool(self._jobs or self._acks) or (keeping is not None and keeping.unacked > 0)

    @property
    def is_full(self) -> bool:
        """Whether so many are on their way that no new item should be made: Redis is slow."""
        keeping = self.loop.checkpointer
        if keeping is not None and keeping.holds_back:
            return True
        return len(self._jobs) + self._acks >= self.loop.plan.options.max_in_flight

    # -- pushes ----------------------------------------------------------------

    def holds_back(self, item: Item) -> bool:
        """Whether the item's pushes leave together with its ack, when it has settled."""
        return item.message is not None and self.loop.plan.options.transactional

    async def push(self, token: Call, queue: str, data: Any, meta: dict[str, Any]) -> str:
        """Push for a node, now or with the item's ack; the message id, "" if it has none yet."""
        if not self.holds_back(token.item):
            return str(await self._runtime.queues.push(queue, data, meta=meta))
        token.held_back = [*token.held_back, self._runtime.queues.hold_back(queue, data, meta=meta)]
        return ""

    def post(
        self, token: Call, queue: str, meta: dict[str, Any], on_done: Callable[..., None]
    ) -> Any:
        """Push a token's payload without waiting; None if it leaves with the item's ack."""
        queues, data = self._runtime.queues, token.payload
        if not self.holds_back(token.item):
            return queues.posts.push(queues.hold(queue, data, meta=meta), on_done)
        token.held_back = [*token.held_back, queues.hold_back(queue, data, meta=meta)]
        return None

    # -- good ends -------------------------------------------------------------

    def received(self, item: Item) -> None:
        """Ack a message that is to be acked before its first node."""
        self._ack(item, "received")

    def released(self, item: Item) -> None:
        """Ack a message that is to be acked at the release."""
        if not item.errors:
            self._ack(item, "awaited")

    def settled(self, item: Item) -> None:
        """Close the books on an item."""
        loop, runtime = self.loop, self._runtime
        if loop.items.pop(item.iteration, None) is None:
            return
        done = not item.errors or self._failed(item)
        if not item.errors:
            self._when_kept(item, lambda: self._done_well(item))
        runtime.event("settled", runtime.name, item.iteration)
        if loop.checkpointer is not None:
            loop.checkpointer.settled(item, done=done)

    def _when_kept(self, item: Item, settle: Callable[[], None]) -> None:
        """Settle the messages of an item now, or when what it has changed is kept."""
        keeping, message = self.loop.checkpointer, item.message
        late = item.popped or (message is not None and not message.letter)
        if keeping is None or not late:
            settle()
        else:
            keeping.when_kept(settle)

    def _done_well(self, item: Item) -> None:
        if self.holds_back(item):
            self._job(self._push_and_ack(item))
        else:
            self._ack(item, "done")
            self._ack_popped(item)

    async def _push_and_ack(self, item: Item) -> None:
        """Send what a transactional item held back, with its acks, in one MULTI."""
        runtime, message = self._runtime, item.message
        mine = await runtime.queues.settle(
            message, item.held_back, reader=runtime.name, also=item.popped
        )
        if not mine:
            runtime.log(
                runtime.name, item.iteration, "warning",
                f"was silent for longer than its lease, so message {message.id} went to another "
                f"reader: what this item pushed was dropped",
            )  # fmt: skip

    def _ack_popped(self, item: Item) -> None:
        """Ack what the item's nodes popped on its way."""
        for queue, message in item.popped:
            self.settle(queue, [message])
        item.popped.clear()

    def _ack(self, item: Item, when: str) -> None:
        if item.message is None:
            return
        reader = item.runners[0].node.reader  # its own: the loop's may have been edited since
        if item.message.letter:
            if when == "done":
                self._job(
                    self._runtime.queues.dead_letters.forget(self._runtime.name, item.message.id)
                )
        elif reader is not None and reader.ack == when:
            self.settle(item.message.queue, [item.message.id])

    def settle(self, queue: str, ids: Sequence[str]) -> None:
        """Ack messages beside the loop; if that fails, the loop must not go on."""
        if self._runtime.inline:  # each in a turn of its own: recorded timelines stay as they are
            self._job(self._runtime.queues.ack(queue, ids, reader=self._runtime.name))
            return
        self._acks += len(ids)
        on_done = functools.partial(self._acked, len(ids))
        self._runtime.queues.posts.ack(queue, ids, self._runtime.name, on_done)

    def _acked(self, count: int, error: Exception | None) -> None:
        self._acks -= count
        if error is not None:
            self._runtime.crash(error)
        self._runtime.wake()

    # -- bad ends --------------------------------------------------------------

    def failure(self, token: Call, error: BaseException) -> Failure:
        """Describe a node's failure, for a handler that is asked before the item has settled."""
        return _failure(self._runtime, token.payload, [(token, error)], token.iteration)

    def node_failed(self, token: Call, error: BaseException) -> None:
        """Report a node that failed for good."""
        self._runtime.event("failed", token.at.name, token.iteration, told(error))

    def tick_failed(self, token: Call, error: BaseException) -> None:
        """Deal with a failed producer call: a failed tick, no item.

        What says `on_error` of an item holds here, too; there is nothing to put away, so
        "dead_letter" is as "skip". A generator that raised is dead: what it gave is finished,
        then the loop ends in state error.
        """
        self.node_failed(token, error)
        failure = _failure(self._runtime, None, [(token, error)], token.iteration)
        self._runtime.event("tick_failed", token.at.name, token.iteration, failure)
        self.loop.control.step_taken(self.loop.made)
        runner: Any = token.at
        dead = is_generator(runner.called_fn) and not isinstance(error, NodeTimeout)
        self.loop.source.failed(failure, dead=dead)
        if not dead:
            self._deal_with_tick(token, failure)
        self._brake(token)
        self._runtime.world.tick_failed(self._runtime, token.at.memory.streak)

    def _deal_with_tick(self, token: Call, failure: Failure) -> None:
        try:
            policy = self._policy(token, failure)
        except CodeFailed as wrong:
            self._runtime.crash(wrong)
            return
        if policy == "stop":
            self._runtime.crash(node_failed(failure))
        elif policy == "pause":
            self.loop.control.pause(_because(failure))

    def unread(self, unread: Unread) -> None:
        """Report a message that went to the dead letters and never became an item."""
        loop, runtime, error = self.loop, self._runtime, unread.error
        at = [r.name for r in loop.runners if r.node.reader and r.node.reader.queue == unread.queue]
        node, number = at[0] if at else runtime.name, loop.made
        failure = Failure(
            runtime.name, node, number, unread.item, unread.deliveries, error,
            ((node, error),), _traceback(error), runtime.now(),
        )  # fmt: skip
        runtime.event("unread", node, number, failure)
        runtime.log(node, number, "error", f"this message went to the dead letters: {error}")

    def _failed(self, item: Item) -> bool:
        """Deal with an item that failed; say whether it is done with."""
        runtime = self._runtime
        failure = _failure(runtime, item.payload, item.errors, item.iteration)
        runtime.event("item_failed", failure.node, item.iteration, failure)
        try:
            policy = self._policy(item.errors[0][0], failure)
        except CodeFailed as wrong:  # nobody has said what is to become of the item: it is kept
            runtime.crash(wrong)
            policy = "stop"
        else:
            self._deal(item, failure, policy)
        for token in {t.at.name: t for t, _ in item.errors}.values():
            self._brake(token)
        return policy == "skip"

    def _policy(self, token: Token, failure: Failure) -> str:
        if self.loop.plan.once is not None:
            return "stop"  # its handlers were asked when the node failed
        own = token.at.node.on_error
        policy = self.loop.plan.options.on_error if own is None else own
        if not callable(policy):
            return policy
        whose = f"loop {self._runtime.name!r}" if own is None else f"node {failure.node!r}"
        try:
            says = policy(failure)
        except FAILS as fault:
            raise beside(f"{whose}: its on_error=", fault, failure.error) from fault
        if isinstance(says, str) and says in ON_ERROR:
            return str(says)
        words = ", ".join(ON_ERROR)
        raise CodeFailed(
            f"{whose}: its on_error= gave {short_repr(says, 200)}: let it give one of {words}"
        ) from failure.error

    def _deal(self, item: Item, failure: Failure, policy: str) -> None:
        loop, runtime = self.loop, self._runtime
        match policy:
            case "skip":
                self._when_kept(item, lambda: self._let_go(item))
            case "dead_letter":
                self._ack_popped(item)
                write = functools.partial(
                    runtime.queues.dead_letter,
                    item.message,
                    loop=runtime.name,
                    record=failure.record(),
                    reader=runtime.name,
                )
                self._job(self._dead_letter(item, write))
            case "pause":
                # what fails while it pauses comes again behind what made it pause
                again, control = loop.source.again, loop.control
                behind = control.pausing and item.iteration != control.last_step
                offered = item.payload, item.message, item.index
                (again.append if behind else again.appendleft)(offered)
                control.pause(_because(failure))
            case _:
                runtime.crash(node_failed(failure))

    def _let_go(self, item: Item) -> None:
        """Ack an item that failed and is skipped."""
        self._ack_popped(item)
        self._ack(item, "done")
        self._ack(item, "awaited")

    async def _dead_letter(self, item: Item, write: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        """See an item into the dead letters; only then it is done with."""
        await write()
        if self.loop.checkpointer is not None:
            self.loop.checkpointer.settled(item, done=True)

    def _brake(self, token: Any) -> None:
        """Pause the loop when a node has failed ten items in a row and never worked."""
        memory = token.at.memory
        memory.streak += 1
        if memory.streak >= BRAKE and not memory.worked:
            self.loop.control.pause(
                f"node {token.at.name!r} failed {memory.streak} items in a row and never worked: "
                "mend it (orch.swap) and resume"
            )

    def _job(self, work: Coroutine[Any, Any, Any]) -> None:
        """Do something with Redis beside the loop; if that fails, the loop must not go on."""
        task = self._runtime.spawn(work)
        self._jobs[task] = None
        task.add_done_callback(self._job_done)

    def _job_done(self, task: asyncio.Task[Any]) -> None:
        self._jobs.pop(task, None)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._runtime.crash(error)
        self._runtime.wake()


def _because(failure: Failure) -> str:
    return f"node {failure.node!r} failed: {told(failure.error)}"


def node_failed(failure: Failure) -> NodeFailed:
    """Make the error that reports a failure; its cause is the node's own exception."""
    error = NodeFailed(
        failure.loop, failure.node, failure.iteration, failure.attempts, told(failure.error)
    )
    error.__cause__ = failure.error
    return error


def _failure(
    runtime: Runtime, payload: Any, errors: Sequence[tuple[Token, BaseException]], iteration: int
) -> Failure:
    token, error = errors[0]
    return Failure(
        runtime.name, token.at.name, iteration, payload, token.attempt, error,
        tuple((t.at.name, e) for t, e in errors), _traceback(error), runtime.now(),
    )  # fmt: skip


def _traceback(error: BaseException) -> str:
    """Format the traceback, without our frames and without passwords."""
    fold(error)
    lines = _lines(error)
    cut = "".join(line if len(line) <= LINE else f"{line[:LINE]}…\n" for line in lines)
    return redacted(cut)


def _lines(error: BaseException) -> list[str]:
    """Format it; Python 3.11 fails at that now and then, where other threads do the same.

    What the user's own exception raises meanwhile costs the frames, and no loop.
    """
    for _ in range(3):
        with contextlib.suppress(Exception):
            return traceback.format_exception(error)
    return [told(error)]
