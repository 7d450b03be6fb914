"""How is one node called? The only place where user functions are called.

A call is middleware( cache( retry( timeout( function )))). A *runner* knows one node of one loop
and picks the cheapest honest way: a *short* sync node inline, another in a thread, an async one
in a task of the crew, one with policies in a task of its own; in virtual time everything inline.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
from copy import deepcopy
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from flownb.engine.attempts import Attempts
from flownb.engine.capture import HERE, Spot
from flownb.engine.context import Context, SyncContext
from flownb.engine.pushing import Pushing, Underway
from flownb.engine.routing import Popped, straight
from flownb.engine.segments import Row, Walk, fits, row_from
from flownb.engine.signature import (
    ENDS,
    EXHAUSTED,
    FAILS,
    bound,
    context_parameter,
    is_async,
    puller,
    until_stop,
)
from flownb.engine.threads import outcome_here
from flownb.errors import SimulationError, beside
from flownb.model.nodes import BaseNode, NodeData
from flownb.model.records import NOTHING
from flownb.queues.spec import Lease

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from flownb.analysis.plan import PlanNode
    from flownb.engine.item import Token
    from flownb.engine.loop import LoopManager
    from flownb.engine.memory import Memory
    from flownb.model.records import SpanKind
    from flownb.queues.spec import Message


class Runner:
    """One node of one generation of a loop, ready to be called."""

    def __init__(
        self, plan: PlanNode, loop: LoopManager, memory: Memory, same: Runner | None = None
    ) -> None:
        self.plan, self.loop, self.memory = plan, loop, memory
        self.name, self.node, self.outs = plan.name, plan.node, plan.outs
        self.counts = len(plan.sources) > 1 and plan.join != "each"
        self.decides = plan.branches or loop.plan.once is not None
        self.straight = loop.plan.once is not None and straight(plan, loop.plan.nodes)
        self.gate = loop.gates.gate(self.node.limit, loop.name)
        self.waits = plan.detached or self.gate is not None  # maybe, before it starts
        self.config = self.node.config
        self.instance: BaseNode | None = None
        self.ctx_name: str | None = None
        self.is_async = self.is_set_up = False
        self.pushing = Pushing(self, self.node.queue.name) if self.node.queue else None
        if same is None:
            self.target = self._target()
        else:
            self._take_over(same)
        self.passes = self.target is None
        special = self.passes or self.node.over or self.node.queue or self.node.reader
        self.smooth = self.straight and not special
        plain = self.instance or self.is_async or self.node.kind == "producer" or self.ctx_name
        self.plain = not (plain or self.passes or self.node.fail)
        self.row: Row = ()  # with which it is called in one go
        self.attempts = Attempts(self)
        policies = self.node.retry or self.node.timeout or self.node.cache
        self.careful = bool(policies or loop.middleware)
        other = self.instance or self.ctx_name or self.passes or self.node.queue or self.node.reader
        self.bare = not (other or self.node.kind == "producer")
        alone = self.careful or self.gate or self.pushing or loop.inline
        self.crewed = self.is_async and not alone

    def _take_over(self, same: Runner) -> None:
        """Go on with what the last generation of an unchanged node had opened."""
        self.target, self.is_async, self.is_set_up = same.target, same.is_async, same.is_set_up
        self.instance, self.config, self.ctx_name = same.instance, same.config, same.ctx_name

    @property
    def called_fn(self) -> Any:
        """The function, or its stand-in in a simulation."""
        return self.node.fake if self.loop.inline and self.node.fake else self.node.fn

    def _target(self) -> Any:
        """Find what is called: the function, its stand-in, a class node's run, a push."""
        node, fn = self.node, self.called_fn
        if self.pushing is not None or (node.reader and self.plan.index):
            self.is_async = True
            return self._pop if self.pushing is None else self.pushing.awaited
        called = self.loop.world.calls(node)
        if isinstance(fn, BaseNode) and called:
            self.instance = self._own_copy(fn)
            self.config = self.instance.config
            fn = self.instance.run
            fn = until_stop(fn) if node.kind == "producer" else fn
        elif node.kind == "producer":
            # without calls a list is still read, what would be called counts 0, 1, 2, ...
            try:
                fn, self.ctx_name = puller(fn if called or hasattr(fn, "__len__") else None)
            except FAILS as error:
                raise beside(f"producer {self.name!r}: iter() of its source", error) from error
        elif not called:
            return None
        else:
            self.ctx_name = context_parameter(fn) if fn is not None else None
        self.is_async = is_async(fn)
        return bound(fn, self.ctx_name) if self.ctx_name and node.kind != "producer" else fn

    def _own_copy(self, fn: BaseNode) -> BaseNode:
        """Give this loop's own instance of a class node."""
        try:
            return deepcopy(fn)
        except FAILS as error:
            what = f"node {self.name!r} (loop {self.loop.name!r}): copying its {type(fn).__name__}"
            raise beside(what, error) from error

    @property
    def inlinable(self) -> bool:
        """Whether it is so plain that the loop may call `target` by itself, when short."""
        plain = not (self.is_async or self.careful or self.ctx_name or self.instance or self.gate)
        return plain and not self.plan.branches and not self.node.queue

    def meta(self, token: Token) -> Mapping[str, Any]:
        """Say where a payload comes from, for class nodes and contexts."""
        message = getattr(token.item, "message", None)
        return self.about(token.iteration, message, visit=token.visit, attempt=token.attempt or 1)

    def about(
        self, iteration: int, message: Message | None, *, visit: int = 0, attempt: int = 1
    ) -> Mapping[str, Any]:
        """Say where the payload of a call comes from."""
        meta = {"loop": self.loop.name, "node": self.name, "iteration": iteration}
        meta |= {"visit": visit, "attempt": attempt}
        if message is not None:
            meta |= {"message_id": message.id, "deliveries": message.deliveries}
            meta["hops"] = message.hops + 1
        if self.node.kind == "producer" and not self.plan.index:
            meta["position"] = self.loop.next_item
        return meta

    # -- the ways to run -----------------------------------------------------

    def run(self, token: Token) -> None:
        """Call the node for *token*, now; the outcome reaches its item, maybe later."""
        loop = self.loop
        if self.is_async and not (self.careful or self.pushing or loop.inline):
            loop.crew.take(token)
            return
        if not self.begins(token):
            return
        if self.pushing is not None and not (self.careful or loop.inline):
            self.pushing.post(token)
        elif self.is_async or self.careful:
            self._spawn(token)
        elif (
            self.passes or loop.inline or (self.memory.short and loop.private and not self.ctx_name)
        ):
            self._inline(token)
        elif self.decides and token.item.in_rows and token.gathering is None:
            self.row = self.row or (row_from(self) if fits(self) else (self,))
            job = Walk(self.row, token).in_thread if len(self.row) > 1 else None
            loop.squad.call(token, job or functools.partial(self._in_thread, token))
        else:
            loop.squad.call(token, functools.partial(self._in_thread, token))

    def begins(self, token: Token) -> bool:
        """Enter a call into the books; False: it must wait, or its outcome was known."""
        loop, token.start = self.loop, self.loop.now()
        try:
            if loop.journal is not None and not loop.journal.may_start(token):
                return False
        except FAILS as error:  # what it would see cannot be kept
            self._finish(token, None, error)
            return False
        loop.calls[token] = None
        if loop.inline:
            loop.world.called(loop, token.start)
            if self.plan.shares:
                token.before = loop.world.watched(token)
        if token.item.memo and token.item.key(token) in token.item.memo:
            self._replay(token)
            return False
        return True

    def _replay(self, token: Token) -> None:
        """Settle a call whose outcome is known: the fast lane made it, or an earlier attempt."""
        outcome = token.item.memo.pop(token.item.key(token))
        if isinstance(outcome, Underway) and self.pushing is not None:
            self.pushing.follow(token, outcome)
            return
        failed = isinstance(outcome, BaseException)
        self._finish(token, None if failed else outcome, outcome if failed else None)

    def _inline(self, token: Token) -> None:
        output, error = self.called(token)
        if isinstance(output, CoroutineType):
            self._spawn(token, output)
            return
        try:
            extra = self.extra(token, output, error)
        except FAILS as fault:  # its `takes=` is the user's too
            extra, output, error = 0.0, None, fault
        if token.pushes:
            self._spawn(token, self.stretched(token, extra, output, error))
        elif extra > 0:
            land = functools.partial(self._landed, token, output, error)
            token.task = self.loop.event_loop.call_later(extra, self.loop.guard, land)
        else:
            self.ended(token, output, error)

    def extra(self, token: Token, output: Any, error: BaseException | None) -> float:
        """Seconds that a call which gave that still has to last; if that is not known it fails."""
        try:
            return self.loop.world.extra(self, output, error)
        except FAILS:
            token.disown()  # what it pushed does not leave
            raise

    def called(self, token: Token) -> tuple[Any, BaseException | None]:
        """Call the function with its prints going to its log; give output and error."""
        spot = HERE.get() or self.loop.spot
        before, spot.where = spot.where, token.where
        start = 0.0 if self.loop.inline else self.loop.now()
        try:
            return (self.target(token.payload) if self.plain else self.invoke(token)), None
        except SimulationError as error:
            self.loop.crash(error)
            return None, error
        except FAILS as error:  # it becomes the item's failure
            return None, error
        finally:
            if not self.loop.inline:
                self.memory.timed(self.loop.now() - start)
            if spot.buffer:
                spot.end()
            spot.where = before

    async def stretched(
        self, token: Token, extra: float, output: Any, error: BaseException | None
    ) -> Any:
        """Let a simulated sync call take its time; what it pushed appears at its end."""
        pushes, token.pushes = token.pushes, ()  # the next attempt has pushes of its own
        try:
            await asyncio.sleep(extra)
        except asyncio.CancelledError:  # it timed out: what it pushed is dropped
            for push in pushes:
                push.close()
            raise
        for push in pushes:
            await push
        if error is not None:
            raise error
        return output

    def _in_thread(self, token: Token) -> Callable[[], None]:
        """Run in a thread of the pool; give what the event loop is to do with the outcome."""
        context = contextvars.Context()
        context.run(HERE.set, Spot(self.loop.write_line))
        outcome = context.run(outcome_here, functools.partial(self.called, token))
        return functools.partial(self._landed, token, *outcome, self.loop.now())

    def _landed(
        self, token: Token, output: Any, error: BaseException | None, end: float | None = None
    ) -> None:
        if token.cancelled:
            self.leave_gate(token)
            return
        token.task = None  # a timer and its token would hold each other
        if isinstance(output, CoroutineType):
            self.is_async = True
            self._spawn(token, output)
            return
        self.ended(token, output, error, end)
        self.loop.pump()

    def _spawn(self, token: Token, started: Any = None) -> None:
        """Run as a task of the loop, in a context of its own."""
        context = contextvars.copy_context()
        spot = Spot(self.loop.write_line)
        if started is not None and self.loop.inline and (here := HERE.get()) is not None:
            spot.slept, here.slept = here.slept, 0.0  # slept before it gave its coroutine
        context.run(HERE.set, spot)
        spot.where = token.where
        work = self._task(token, spot, started)
        token.task = self.loop.spawn(work, context=context, name=self.name)
        if started is not None:
            token.task.add_done_callback(functools.partial(_drop, started))

    async def _task(self, token: Token, spot: Spot, started: Any) -> None:
        output: Any = None
        error: BaseException | None = None
        try:
            output = await self.attempts.call(token, started)
        except ENDS as gone:
            if token.cancelled:
                self.leave_gate(token)
                raise
            error = RuntimeError(f"node {self.name!r} cancelled itself")
            error.__cause__ = gone
        except SimulationError as fatal:
            self.loop.crash(fatal)
            error = fatal
        except FAILS as failure:  # it becomes the item's failure
            error = failure
        spot.end()
        self.loop.guard(self._finish, token, output, error)
        self.loop.guard(self.loop.pump)

    # -- the function ----------------------------------------------------------

    def invoke(self, token: Token) -> Any:
        """Call the user's function, with what its signature asks for."""
        self.loop.world.may_fail(self, token)
        if self.passes:
            return token.payload
        if self.instance is not None:
            return self.target(NodeData(token.payload, self.meta(token)))
        if self.node.queue or self.node.reader:
            return self.target(token)
        if self.node.kind == "producer":
            return self.target(**self.context_argument(token))
        if self.ctx_name:
            return self.target(token.payload, self._context(token))
        return self.target(token.payload)

    def context_argument(self, token: Token) -> dict[str, Any]:
        """Give the context of a producer under the name that its function has for it."""
        return {self.ctx_name: self._context(token)} if self.ctx_name else {}

    def _context(self, token: Token) -> Any:
        made = (Context if self.is_async or self._is_async_function() else SyncContext)(self, token)
        token.contexts = [*token.contexts, made]
        return made

    def _is_async_function(self) -> bool:
        return is_async(self.called_fn) or inspect.isasyncgenfunction(self.called_fn)

    async def _pop(self, token: Token) -> Popped:
        """Read one message in the middle of a loop; it is acked with the item."""
        reader = self.node.reader
        if reader is None:
            return Popped(verdict=False, payload=token.payload)
        queues, lease = self.loop.queues, Lease(reader.visibility_timeout, reader.max_deliveries)
        message = await queues.pop(reader.queue, reader.timeout, reader=self.loop.name, lease=lease)
        if message is None:
            return Popped(verdict=False, payload=token.payload)
        token.item.popped.append((reader.queue, message.id))
        self.loop.event("received", self.name, token.iteration, message.origin)
        return Popped(verdict=True, payload=message.payload)

    # -- the outcome -----------------------------------------------------------

    def ended(self, token: Token, output: Any, error: Any, end: float | None = None) -> None:
        """Record a call that has ended, now or at *end*, and let its item go on."""
        token.attempt = token.attempt or 1
        self.span(token, "work", token.start, output if error is None else NOTHING, end)
        self._finish(token, output, error)

    def span(
        self, token: Token, kind: SpanKind, start: float, output: Any = NOTHING, end: Any = None
    ) -> None:
        """Publish a span of this node that ends now; finding a source at its end is no call."""
        if output is EXHAUSTED:
            return
        if output is None and self.node.kind == "producer":
            output = NOTHING  # it had nothing now
        loop, iteration, attempt = self.loop, token.item.iteration, token.attempt or 1
        end = loop.now() if end is None else end
        span = (loop.name, self.name, iteration, token.visit, kind, start, end, attempt)
        loop.stream.span(span, output)

    def answered(self, token: Token, output: Any) -> None:
        """Publish a call of which there was no attempt: somebody knew the answer."""
        loop, place = self.loop, (self.loop.name, self.name, token.iteration, token.visit)
        loop.stream.span((*place, "work", token.start, loop.now(), 0), output)

    def _finish(self, token: Token, output: Any, error: BaseException | None) -> None:
        """Hand the outcome to the item: which edges are live, or that it failed."""
        if self.gate is not None:
            self.leave_gate(token)
        if token.cancelled:
            return
        live = None
        if error is None and self.decides:
            try:
                output, live = token.item.onward(token, output)
            except FAILS as failure:  # a condition is the user's too
                error = failure
        if error is not None and self.instance is not None:
            _tell_of_payload(error)
        self.loop.calls.pop(token, None)
        if token.before is not None:
            self.loop.world.check_unchanged(token)
        if error is None:
            self.memory.streak, self.memory.worked = 0, True
            if token.outbox:
                token.item.outbox += token.outbox
            token.item.ended(token, output, live)
        else:
            token.item.failed(token, error)

    def leave_gate(self, token: Token) -> None:
        """Let the next call through the node's `Limit`."""
        if token.entered and self.gate is not None:
            token.entered = False
            self.gate.leave()


def _tell_of_payload(error: BaseException) -> None:
    """Say how a class node gets at its payload, where it has used what it got as one."""
    text = str(error.args[0]) if error.args else ""
    if isinstance(error, (TypeError, AttributeError)) and "NodeData" in text:
        error.args = (f"{text}; run() gets a NodeData: its payload is data.payload",)


def _drop(started: Any, _: Any) -> None:
    """Close a coroutine that nobody began to await, as of a call cancelled before its turn."""
    if inspect.getcoroutinestate(started) == inspect.CORO_CREATED:
        started.close()
