"""How is one node called? By its `Runner`, the only place where user functions are called.

A call is middleware( cache( retry( timeout( function )))). A runner knows one node of one loop
and picks the cheapest honest way: a sync node in a thread, with those behind it, an async one in
a shared task, one with policies in a task of its own; in virtual time everything inline.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
from copy import deepcopy
from dataclasses import dataclass, field
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from flownb.arguments import is_async
from flownb.engine.calls.attempts import Attempts
from flownb.engine.calls.call_site import CallSite
from flownb.engine.calls.chain import ItemChain, Row, fits, row_from
from flownb.engine.calls.context import Context, SyncContext
from flownb.engine.calls.outcome import Pending, Simulated
from flownb.engine.calls.push import Pushing
from flownb.engine.calls.signature import (
    ENDS,
    LastFailure,
    begun_anew,
    bound,
    calls_nobody,
    context_parameter,
    is_generator,
    puller,
    remembering,
    until_stop,
)
from flownb.engine.calls.threads import outcome_here
from flownb.engine.calls.token_row import Followers, TokenRow
from flownb.engine.prints import HERE, Spot
from flownb.errors import FAILS, SimulationError, beside
from flownb.flow.routing import Popped, straight
from flownb.model.nodes import BaseNode, NodeData
from flownb.queues.spec import Lease
from flownb.records.events import NOTHING

if TYPE_CHECKING:
    from collections.abc import Callable

    from flownb.engine.calls.call import Call
    from flownb.engine.calls.limits import Limits
    from flownb.engine.calls.node_memory import Memory
    from flownb.engine.calls.outcome import OpenCall
    from flownb.engine.calls.push import Pushes
    from flownb.engine.calls.source_thread import SourceThread
    from flownb.engine.calls.steps import Steps
    from flownb.engine.calls.tasks import TaskWorkers
    from flownb.engine.calls.threads import ThreadWorkers
    from flownb.engine.runtime import Runtime
    from flownb.flow.scheduler import RunHooks
    from flownb.plan.loop_plan import LoopPlan, PlanNode


@dataclass(slots=True)
class CallTable:
    """The calls of one loop that are under way, and what makes them.

    *open*: each call from its start to its end, in this order. *tasks* and *threads* are the
    workers, *pushes* sends what nodes push, the last two say where the source stands.
    """

    runtime: Runtime
    graph: str
    limits: Limits
    tasks: TaskWorkers
    threads: ThreadWorkers
    pushes: Pushes
    hooks: RunHooks | None
    pump: Callable[[], None]
    next_item: Callable[[], int]
    tell_position: Callable[[], int]
    source_thread: Callable[[], SourceThread]
    open: dict[Call, None] = field(default_factory=dict)


class Runner:
    """One node of one generation of a loop, ready to be called."""

    table: CallTable
    runtime: Runtime
    site: CallSite

    def __init__(
        self, plan: PlanNode, loop: LoopPlan, table: CallTable, memory: Memory,
        same: Runner | None = None,
    ) -> None:  # fmt: skip
        self.plan, self.memory = plan, memory
        self.name, self.node, self.outs = plan.name, plan.node, plan.outs
        self.counts = len(plan.sources) > 1 and plan.join != "each"
        self.decides = plan.branches or loop.once is not None
        self.straight = loop.once is not None and straight(plan, loop.nodes)
        self.neighbours = len(loop.nodes)
        self.config = self.node.config
        self.instance: BaseNode | None = None
        self.ctx_name: str | None = None
        self.is_async = self.is_set_up = False
        self.target: Any = None
        self.last_failure = LastFailure()  # of a producer with policies
        self.close: Callable[[], None] | None = None  # ends the generator of a source
        self.row: Row = ()  # with which it is called in one go
        self.runtime = table.runtime
        if same is None:
            self.target = self._target()
        else:
            self._take_over(same)
        self.attach(table)
        self.waits = plan.detached or self.gate is not None  # maybe, before it starts
        self.passes = self.target is None
        source = self.node.kind == "producer" and not plan.index
        self.calls_nobody = self.passes or (source and calls_nobody(self.called_fn))
        special = self.passes or self.node.over or self.node.queue or self.node.reader
        self.smooth = self.straight and not special
        plain = self.instance or self.is_async or self.node.kind == "producer" or self.ctx_name
        self.plain = not (plain or self.passes or self.node.fail)
        policies = self.node.timeout or self.node.retry or self.node.cache
        self.careful = bool(policies or self.runtime.middleware)
        other = self.instance or self.ctx_name or self.passes or self.node.queue or self.node.reader
        self.bare = not (other or self.node.kind == "producer")
        alone = self.careful or self.gate or self.pushing or self.runtime.inline
        self.crewed = self.is_async and not alone
        waits = self.node.cache or self.gate or self.pushing or self.node.reader
        apart = self.passes or self.runtime.middleware or self.node.kind == "producer"
        self.heads_row = not (waits or apart or self.runtime.inline or loop.once is not None)
        self.followers = Followers(self, loop)
        self.conditional = not self.runtime.inline and any(e.condition for e in self.outs)

    def attach(self, table: CallTable) -> None:
        """Make the calls from now on for that loop or run."""
        self.table, self.runtime = table, table.runtime
        self.gate = table.limits.gate(self.node.limit, self.runtime.name)
        self.site = CallSite(
            self.plan, self.node, self.name, table.graph, self.runtime, self.memory,
            self.config, self.ctx_name is not None, table.next_item, table.tell_position,
        )  # fmt: skip
        self.attempts = Attempts(self.site, self)
        self.pushing: Pushing | None = None
        if self.node.queue:
            self.pushing = Pushing(self.site, table.pushes, self.ended, table.pump)
            self.target = self.pushing.awaited

    def detach(self) -> None:
        """Let go of a run that is over: nothing of it and its state is kept."""
        del self.table, self.runtime, self.site, self.attempts, self.pushing, self.gate

    def _take_over(self, same: Runner) -> None:
        """Go on with what the last generation of an unchanged node had opened."""
        self.target, self.is_async, self.is_set_up = same.target, same.is_async, same.is_set_up
        self.instance, self.config, self.ctx_name = same.instance, same.config, same.ctx_name
        self.last_failure = same.last_failure
        self.close = same.close

    @property
    def called_fn(self) -> Any:
        """The function, or its stand-in in a simulation."""
        return self.node.fake if self.runtime.virtual and self.node.fake else self.node.fn

    def _target(self) -> Any:
        """Find what is called: the function, its stand-in, a class node's run, a push."""
        node, fn = self.node, self.called_fn
        if node.queue or (node.reader and self.plan.index):
            self.is_async = True
            return self._pop
        called = self.runtime.world.calls(node)
        if isinstance(fn, BaseNode) and called:
            self.instance = self._own_copy(fn)
            self.config = self.instance.config
            fn = self.instance.run
            fn = until_stop(fn) if node.kind == "producer" else fn
        elif node.kind == "producer":
            # without calls a list is still read, what would be called counts 0, 1, 2, ...
            try:
                fn = self._puller(fn if called or hasattr(fn, "__len__") else None)
            except FAILS as error:
                raise beside(f"producer {self.name!r}: iter() of its source", error) from error
        elif not called:
            return None
        else:
            self.ctx_name = context_parameter(fn) if fn is not None else None
        self.is_async = is_async(fn)
        return bound(fn, self.ctx_name) if self.ctx_name and node.kind != "producer" else fn

    def _puller(self, source: Any) -> Any:
        """Make what gives the next item; a call of it may be made again, if there are policies."""
        pull, self.ctx_name, self.close = puller(source)
        if not (self.node.retry or self.node.timeout):
            return pull
        if self.ctx_name and is_generator(source):
            return begun_anew(source)
        return remembering(pull, self.last_failure)

    @property
    def threads(self) -> Any:
        """Where its sync calls are made: those of a source always in one thread."""
        if self.node.kind == "producer" and not self.plan.index:
            return self.table.source_thread()
        return self.runtime.threads

    def leave_thread(self) -> None:
        """Leave the thread to a call that was given up: the next one is made beside it."""
        if self.threads is not self.runtime.threads:
            self.threads.renew()

    def _own_copy(self, fn: BaseNode) -> BaseNode:
        """Give this loop's own instance of a class node."""
        try:
            return deepcopy(fn)
        except FAILS as error:
            what = (
                f"node {self.name!r} (loop {self.runtime.name!r}): copying its {type(fn).__name__}"
            )
            raise beside(what, error) from error

    # -- the ways to run -----------------------------------------------------

    def run(self, token: Call) -> None:
        """Call the node for *token*, now; the outcome reaches its item, maybe later."""
        runtime, table = self.runtime, self.table
        if self.is_async and not (self.careful or self.pushing or runtime.inline):
            table.tasks.take(token)
            return
        if not self.begins(token):
            return
        if self.pushing is not None and not (self.careful or runtime.inline):
            self.pushing.post(token)
        elif (steps := self._steps(token)) is not None:
            table.threads.call(token, TokenRow(steps, token).in_thread, steps.patience)
        elif self.is_async or self.careful:
            self._spawn(token)
        elif self.calls_nobody or runtime.inline:
            self._inline(token)
        elif token.item.values is not None and token.item.in_rows and token.gathering is None:
            runners = token.item.runners
            self.row = self.row or (row_from(self, runners) if fits(self) else (self,))
            job = ItemChain(self.row, token, table.hooks).in_thread if len(self.row) > 1 else None
            table.threads.call(token, job or functools.partial(self._in_thread, token))
        else:
            table.threads.call(token, functools.partial(self._in_thread, token))

    def _steps(self, token: Call) -> Steps | None:
        """Give the row that the thread of this call goes on to; None: it is called alone."""
        if not self.heads_row or self.is_async or not token.item.in_rows:
            return None
        steps = self.followers.steps(token.item.runners)
        return steps if self.careful or len(steps.nodes) > 1 else None

    def begins(self, token: Call) -> bool:
        """Enter a call into the books; False: it must wait, or its outcome was known."""
        runtime, table = self.runtime, self.table
        token.start = runtime.now()
        try:
            if table.hooks is not None and not table.hooks.may_start(token):
                return False
        except FAILS as error:  # what it would see cannot be kept
            self._finish(token, None, error)
            return False
        table.open[token] = None
        if runtime.inline:
            runtime.world.called(runtime, token.start, self.neighbours)
            if self.plan.shares:
                token.before = runtime.world.watched(
                    runtime, self.name, token.iteration, token.payload
                )
        memo = token.item.memo
        known = bool(memo) and token.item.key(token) in memo
        outcome = memo.pop(token.item.key(token)) if known else None
        if runtime.stream.watched:
            start = getattr(outcome, "start", None)
            place = runtime.name, self.name, token.iteration, token.visit
            runtime.stream.started((token.start if start is None else start, "started", *place))
        if known:
            self._replay(token, outcome)
        return not known

    def _replay(self, token: Call, outcome: Any) -> None:
        """Settle a call whose outcome is known: it was made in a row, or cannot be made."""
        if isinstance(outcome, Pending):
            outcome.follow(token)
            return
        failed = isinstance(outcome, BaseException)
        if failed:
            token.attempt = token.attempt or 1
        self._finish(token, None if failed else outcome, outcome if failed else None)

    def _inline(self, token: Call) -> None:
        output, error = self.called(token)
        if isinstance(output, CoroutineType):
            self._spawn(token, output)
            return
        try:
            extra = self.extra(token, output, error)
        except FAILS as fault:  # its `takes=` is the user's too
            extra, output, error = 0.0, None, fault
        if token.pushes:
            self._spawn(token, Simulated(extra, output, error))
        elif extra > 0:
            land = functools.partial(self.landed, token, output, error)
            token.task = self.runtime.event_loop.call_later(extra, self.runtime.guard, land)
        else:
            self.ended(token, output, error)

    def extra(self, token: Call, output: Any, error: BaseException | None) -> float:
        """Seconds that a call which gave that still has to last; if that is not known it fails."""
        try:
            return self.runtime.world.extra(self.runtime, self.node, output, error)
        except FAILS:
            token.disown()  # what it pushed does not leave
            raise

    def called(self, token: Call) -> tuple[Any, BaseException | None]:
        """Call the function with its prints going to its log; give output and error."""
        spot = HERE.get() or self.runtime.spot
        before, spot.where = spot.where, token.where
        start = 0.0 if self.runtime.inline else self.runtime.now()
        try:
            return (self.target(token.payload) if self.plain else self.invoke(token)), None
        except SimulationError as error:
            self.runtime.crash(error)
            return None, error
        except FAILS as error:  # it becomes the item's failure
            return None, error
        finally:
            if not self.runtime.inline:
                self.memory.timed(self.runtime.now() - start)
            if spot.buffer:
                spot.end()
            spot.where = before

    async def stretched(
        self, token: Call, extra: float, output: Any, error: BaseException | None
    ) -> Any:
        """Let a simulated sync call take its time; what it pushed appears at its end."""
        pushes, token.pushes = token.pushes, ()  # the next attempt has pushes of its own
        place, end = token.place, self.runtime.event_loop.time() + extra
        try:
            await asyncio.sleep(extra)
        except asyncio.CancelledError:  # it timed out: what it pushed is dropped, it still runs on
            for push in pushes:
                push.close()
            if place is not None:
                self.runtime.event_loop.call_at(end, place.leave)
            raise
        for push in pushes:
            await push
        if error is not None:
            raise error
        return output

    def _in_thread(self, token: Call) -> Callable[[], None]:
        """Run in a thread of the pool; give what the event loop is to do with the outcome."""
        context = self.runtime.context.copy()
        context.run(HERE.set, Spot(self.runtime.write_line))
        outcome = context.run(outcome_here, functools.partial(self.called, token))
        end = self.runtime.now()
        output, error, routed = context.run(self.routed, token, token.payload, *outcome)
        return functools.partial(self.landed, token, output, error, end, routed)

    def routed(
        self, token: Call, payload: Any, output: Any, error: BaseException | None
    ) -> tuple[Any, BaseException | None, tuple[Any, Any] | BaseException | None]:
        """Choose the edges behind the node, in the thread that has called it for *payload*.

        Give output, error, and what goes on along which edges, or why that cannot be said; None
        where that is not a loop's branch.
        """
        unknown = error is not None or type(output) is CoroutineType
        if unknown or not self.plan.branches or token.item.values is not None:
            return output, error, None
        try:
            return output, None, token.item.route(self.plan, payload, output)
        except FAILS as failure:  # a condition is the user's, too
            return output, None, failure

    def _route_aside(self, token: Call, output: Any) -> None:
        """Ask the conditions behind a node in a thread: it was not called in one."""

        def ask() -> Callable[[], None]:
            context = self.runtime.context.copy()
            spot = Spot(self.runtime.write_line)
            spot.where = token.where
            context.run(HERE.set, spot)
            *_, routed = context.run(self.routed, token, token.payload, output, None)
            context.run(spot.end)
            return functools.partial(self._decided, token, routed)

        self.table.threads.call(token, ask)
        self.table.pump()

    def _decided(self, token: Call, routed: Any) -> None:
        """Go on along the edges that were chosen in a thread."""
        if isinstance(routed, BaseException):
            self._finish(token, None, routed)
        else:
            self._finish(token, routed[0], None, routed[1])
        self.table.pump()

    def attend(self, token: Call, call: OpenCall) -> None:
        """Wait for a call that a row has begun, as long as the node may take."""
        self._spawn(token, call)

    def begin_anew(self, token: Call) -> None:
        """Call the node after all: in its row it had not begun."""
        token.item.loop.ready.append(token)
        self.table.pump()

    def landed(
        self,
        token: Call,
        output: Any,
        error: BaseException | None,
        end: float | None = None,
        routed: tuple[Any, Any] | BaseException | None = None,
    ) -> None:
        """Go on with the outcome of a call that ended elsewhere: in a thread, or at its time.

        *routed*: what goes on, and along which edges, if that was decided there; or why not.
        """
        if token.cancelled:
            self.leave_gate(token)
            return
        token.task = None  # a timer and its token would hold each other
        if isinstance(output, CoroutineType):
            self.is_async = True
            self._spawn(token, output)
            return
        if error is not None and self.careful:  # there may be another attempt
            token.attempt = 1
            self.site.span(token, "work", token.start, end=end)
            self._spawn(token, error)
            return
        self.ended(token, output, error, end, routed)
        self.table.pump()

    def answered(self, token: Call, output: Any) -> None:
        """Go on with what the cache had, without a call."""
        self.site.answered(token, output)
        self._finish(token, output, None)
        self.table.pump()

    def _spawn(self, token: Call, started: Any = None) -> None:
        """Run as a task of the loop, in a context of its own; *started*: see `Attempts.call`."""
        context = contextvars.copy_context()
        spot = Spot(self.runtime.write_line)
        if started is not None and self.runtime.inline and (here := HERE.get()) is not None:
            spot.slept, here.slept = here.slept, 0.0  # slept before it gave its coroutine
        context.run(HERE.set, spot)
        spot.where = token.where
        work = self._task(token, spot, started)
        token.task = self.runtime.spawn(work, context=context, name=self.name)
        if isinstance(started, CoroutineType):
            token.task.add_done_callback(functools.partial(_drop, started))

    async def _task(self, token: Call, spot: Spot, started: Any) -> None:
        output: Any = None
        error: BaseException | None = None
        try:
            output = await self.attempts.call(token, started)
        except ENDS as gone:
            if token.cancelled:
                raise
            error = RuntimeError(f"node {self.name!r} cancelled itself")
            error.__cause__ = gone
        except SimulationError as fatal:
            self.runtime.crash(fatal)
            error = fatal
        except FAILS as failure:  # it becomes the item's failure
            error = failure
        spot.end()
        self.runtime.guard(self._finish, token, output, error)
        self.runtime.guard(self.table.pump)

    # -- the function ----------------------------------------------------------

    def invoke(self, token: Call) -> Any:
        """Call the user's function, with what its signature asks for."""
        self.runtime.world.may_fail(self.runtime, self.node, token.iteration)
        if self.passes:
            return token.payload
        if self.instance is not None:
            return self.target(NodeData(token.payload, self.site.meta(token)))
        if self.node.queue or self.node.reader:
            return self.target(token)
        if self.node.kind == "producer":
            return self.target(**self.context_argument(token))
        if self.ctx_name:
            return self.target(token.payload, self._context(token))
        return self.target(token.payload)

    def context_argument(self, token: Call) -> dict[str, Any]:
        """Give the context of a producer under the name that its function has for it."""
        return {self.ctx_name: self._context(token)} if self.ctx_name else {}

    def _context(self, token: Call) -> Any:
        kind = Context if self.is_async or self._is_async_function() else SyncContext
        made = kind(self.site, token, self.table.pushes)
        token.contexts = [*token.contexts, made]
        return made

    def _is_async_function(self) -> bool:
        return is_async(self.called_fn) or inspect.isasyncgenfunction(self.called_fn)

    async def _pop(self, token: Call) -> Popped:
        """Read one message in the middle of a loop; it is acked with the item."""
        reader = self.node.reader
        if reader is None:
            return Popped(verdict=False, payload=token.payload)
        runtime, lease = self.runtime, Lease(reader.visibility_timeout, reader.max_deliveries)
        message = await runtime.queues.pop(
            reader.queue, reader.timeout, reader=runtime.name, lease=lease
        )
        if message is None:
            return Popped(verdict=False, payload=token.payload)
        token.item.popped.append((reader.queue, message.id))
        runtime.event("received", self.name, token.iteration, message.origin)
        return Popped(verdict=True, payload=message.payload)

    # -- the outcome -----------------------------------------------------------

    def ended(
        self,
        token: Call,
        output: Any,
        error: Any,
        end: float | None = None,
        routed: tuple[Any, Any] | BaseException | None = None,
    ) -> None:
        """Record a call that has ended, now or at *end*, and let its item go on."""
        token.attempt = token.attempt or 1
        self.site.span(token, "work", token.start, output if error is None else NOTHING, end)
        live = None
        if isinstance(routed, BaseException):
            error = routed
        elif routed is not None:
            output, live = routed
        self._finish(token, output, error, live)

    def _finish(
        self, token: Call, output: Any, error: BaseException | None, live: Any = None
    ) -> None:
        """Hand the outcome to the item: which edges are live, or that it failed."""
        if self.gate is not None:
            self.leave_gate(token)
        if token.cancelled:
            return
        if error is None and live is None and self.decides:
            if self.conditional and token.item.values is None:
                self._route_aside(token, output)
                return
            try:
                output, live = token.item.onward(token, output)
            except FAILS as failure:  # a condition is the user's too
                error = failure
        if error is not None:
            self._explain(error)
        self.table.open.pop(token, None)
        if token.before is not None:
            self.runtime.world.check_unchanged(
                self.runtime, self.name, token.iteration, token.payload, token.before
            )
        if error is None:
            self.memory.succeeded()
            if token.held_back:
                token.item.held_back += token.held_back
            token.item.ended(token, output, live)
        else:
            token.item.failed(token, error)

    def _explain(self, error: BaseException) -> None:
        """Say what to do about an error that many meet."""
        if self.instance is not None:
            _tell_of_payload(error)
        if self.runtime.resources:
            _tell_of_thread(error, self.runtime.name)

    def leave_gate(self, token: Call) -> None:
        """Let the next call through the node's `Limit`."""
        place, token.place, token.entered = token.place, None, False
        if place is not None:
            place.leave()


def _tell_of_payload(error: BaseException) -> None:
    """Say how a class node gets at its payload, where it has used what it got as one."""
    text = str(error.args[0]) if error.args else ""
    if isinstance(error, (TypeError, AttributeError)) and "NodeData" in text:
        error.args = (f"{text}; run() gets a NodeData: its payload is data.payload",)


def _tell_of_thread(error: BaseException, loop: str) -> None:
    """Say what to do where a node has used what must not change threads."""
    text = str(error.args[0]) if error.args else ""
    if "same thread" in text and "thread_sensitive" not in text:
        error.args = (f"{text}; set_loop({loop!r}, thread_sensitive=True) calls all in one thread",)


def _drop(started: Any, _: Any) -> None:
    """Close a coroutine that nobody began to await, as of a call cancelled before its turn."""
    if inspect.getcoroutinestate(started) == inspect.CORO_CREATED:
        started.close()
