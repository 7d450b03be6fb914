"""How does a loop run? `LoopManager`: one coroutine that executes one `LoopPlan`.

Make an item, let it flow, wait until its await set is done, make the next; in
between obey what was asked: pause, resume, stop, a new plan. The same coroutine runs
on the notebook's event loop, on one in a thread, and in virtual time; only its
`world` and its event loop differ. Its parts: a `Runtime`, a `Lifecycle`, a `Controller`,
a `Source`, a `Settlement`, `Slots`, and a `Checkpointer` where it has checkpoints.

Before the first item it opens the loop's resources (clients, connections, models) and sets its
class nodes up, all on the loop's own event loop. They are closed in reverse order however the
loop ends.

`drive` runs a loop to its end on an event loop of its own: in a thread of the kernel, or in
another process.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from flownb.engine.calls.call import Call
from flownb.engine.calls.chain import Chain
from flownb.engine.calls.context import Context
from flownb.engine.calls.node_memory import Memories
from flownb.engine.calls.runner import CallTable, Runner
from flownb.engine.calls.signature import ENDS, EXHAUSTED
from flownb.engine.calls.tasks import TaskWorkers
from flownb.engine.calls.threads import ThreadWorkers
from flownb.engine.checkpoints.checkpointer import Checkpointer
from flownb.engine.checkpoints.record import Beginning
from flownb.engine.checkpoints.source_replay import remember
from flownb.engine.loop.control import VERBS, Controller, Lifecycle
from flownb.engine.loop.pull_source import PullSource
from flownb.engine.loop.queue_source import QueueSource
from flownb.engine.loop.resources import call_hook, open_resources
from flownb.engine.loop.settlement import Settlement, node_failed
from flownb.engine.loop.slots import InFlight, Slots
from flownb.engine.loop.source import FAILED_TICK, SAME
from flownb.engine.loop.stall import StallWatch
from flownb.engine.runtime import Runtime
from flownb.errors import FAILS, RunError, told
from flownb.flow.item import Item

if TYPE_CHECKING:
    import contextvars
    from collections.abc import Callable, Sequence

    from flownb.engine.calls.call_site import CallSite
    from flownb.engine.calls.limits import Limits
    from flownb.engine.loop.source import Source
    from flownb.engine.observe.stream import Stream
    from flownb.engine.runtime import World
    from flownb.errors import Failure
    from flownb.flow.run_values import Values
    from flownb.flow.scheduler import Resumed, RunHooks
    from flownb.plan.loop_plan import LoopPlan, Once, PlanNode
    from flownb.queues.spec import QueueSpec
    from flownb.records.events import LoopState

TURN: Final = 0.005


class LoopManager:
    """One loop at work. Make it anywhere, run it once, on the event loop it shall live on."""

    token: Final = Call

    def __init__(
        self,
        plan: LoopPlan,
        *,
        world: World,
        stream: Stream,
        gates: Limits,
        queues: Any = None,
        tools: Any = None,
        middleware: Sequence[Any] = (),
        seed: int | None = None,
        most: int | None = None,
        until: float | None = None,
        entry: Any = None,
        idle: deque[list[Runner]] | None = None,
        hooks: RunHooks | None = None,
        resumed: Resumed | None = None,
        given: contextvars.Context | None = None,
    ) -> None:
        self.plan, self.most, self.entry = plan, most, entry
        self.hooks, self.resumed = hooks, resumed
        self.runtime = Runtime(
            plan.loop, world=world, stream=stream, queues=queues, tools=tools,
            middleware=middleware, until=until, given=given,
        )  # fmt: skip
        self.graph = plan.graph
        self._idle = idle
        self.only: Item | None = None
        self.memory = Memories(plan.loop, seed)
        self.slots = Slots(plan.options.max_in_flight)
        self.items: dict[int, Item] = {}
        self.ready: deque[Call] = deque()
        self.task_workers = TaskWorkers(self.runtime, self.ready, self.pump)
        self.waiting = self.task_workers.waiting
        # of a run that is kept each node is reported by itself: see `ThreadWorkers`
        self.thread_workers = ThreadWorkers(self.runtime, alone=hooks is not None)
        self.made = 0
        self.life = Lifecycle(
            lambda state, reason: self.runtime.event("state", data=(state, reason))
        )
        self.control = Controller(self.runtime, self.life, self.memory.forgive)
        self.source: Source = self._source(plan)
        self.beginning = Beginning()  # where it begins; its host may know better
        self.checkpointer: Checkpointer | None = None  # of a loop with checkpoints
        self.abandoned: list[str] = []  # what was left behind when it ended
        self.stall = StallWatch(self.runtime)
        self.cut: list[str] = []  # the nodes that were at work when it ended
        self.ending = Settlement(self)
        self.table = CallTable(
            self.runtime, plan.graph, gates, self.task_workers, self.thread_workers, self.ending,
            hooks, self.pump, lambda: self.source.pulled, self._tell_position,
            lambda: self.source.thread,
        )  # fmt: skip
        self.calls = self.table.open
        self.in_flight = InFlight(self.runtime, self.slots, self.items, self.failed)
        self.runners: list[Runner] = []
        self._pumping = self.reused = False
        self._turn = 0.0
        self._stack: contextlib.AsyncExitStack
        self.chain: Chain

    @property
    def name(self) -> str:
        """The name of the loop: that of its producer."""
        return self.runtime.name

    @property
    def error(self) -> BaseException | None:
        """What has ended it in state error."""
        return self.runtime.error

    @property
    def now(self) -> Callable[[], float]:
        """Seconds since the run began."""
        return self.runtime.now

    @property
    def stream(self) -> Stream:
        """What it publishes."""
        return self.runtime.stream

    @property
    def values(self) -> Values | None:
        """What the nodes of a run work on."""
        return None if self.only is None else self.only.values

    @property
    def watched(self) -> bool:
        """Whether each call is to be reported by itself."""
        return self.runtime.stream.watched

    # -- the life of a loop ----------------------------------------------------

    async def run(self, origin: float = 0.0) -> None:
        """Run to the end; *origin* is the event loop's time at which the run began."""
        runtime = self.runtime
        runtime.begin(origin)
        if runtime.queues is not None:
            runtime.queues.on_absence(self._redis_away)
            runtime.queues.on_lost(functools.partial(runtime.guard, self._queue_lost))
            runtime.queues.on_room(functools.partial(runtime.guard, runtime.wake))
            runtime.queues.on_unread(functools.partial(runtime.guard, self.ending.unread))
        self.life.set("starting")
        try:
            self._go_on()
            async with self.control.closing, contextlib.AsyncExitStack() as self._stack:
                try:
                    await self._work()
                finally:
                    self._cancel_all()
                    await self._settle_tasks()
                    self.control.close_in_time()
        except TimeoutError as error:
            self._over_time(error)
        except Exception as error:  # noqa: BLE001 - the end of the loop, reported by its state
            runtime.crash(error)
        finally:
            await self._keep_last()
            if runtime.error is not None:
                self.life.give_up(runtime.error)
            else:
                self.life.set(self._last_state())

    def _go_on(self) -> None:
        """Take up what earlier attempts, or an earlier kernel, have left."""
        self.made = self.beginning.made
        if self.plan.options.checkpoint is not None:
            self.checkpointer = Checkpointer(self, self.beginning.kept)
            self.source.pulled = self.checkpointer.position.first

    async def _keep_last(self) -> None:
        """Keep how the loop ended."""
        if self.checkpointer is None:
            return
        if self.source.begun:
            remember(self.source)
        await self.checkpointer.close(
            "error" if self.runtime.error is not None else self._last_state()
        )

    def _last_state(self) -> LoopState:
        """Say in which state it ends, if no error has ended it."""
        return "completed" if self.source.exhausted and not self.control.stopping else "stopped"

    def conclude(self, error: BaseException | None = None) -> None:
        """See to it that the loop is in a final state, however its run ended."""
        if self.life.restarting:
            return
        if error is not None:
            self.runtime.error = self.runtime.error or error
            self.life.give_up(self.runtime.error)
        elif not self.life.has_ended:
            self.life.set("stopped")

    def leave(self, what: str) -> None:
        """Leave the loop behind, from another thread: *what* holds its event loop.

        Nothing that it still does is reported, and it ends when it can.
        """
        self.abandoned.append(what)
        self.life.stopping = True
        for iteration in list(self.items):
            self.runtime.event("cancelled", self.name, iteration)
            self.runtime.event("settled", self.name, iteration)
        self.life.set("stopped")
        self.runtime.stream.close()

    async def _work(self) -> None:
        try:
            async with self.control.opening:
                await open_resources(self.runtime, self.plan.options.resources, self._stack)
                if self._idle:
                    self._reuse(self._idle.pop())
                else:
                    await self._adopt(self.plan)
        except TimeoutError:
            if self.control.opening.expired():
                return  # stopped before it was ready
            raise
        if not self.control.halted:
            self.life.set("running")
        if self.plan.once is not None:
            await self._once(self.plan.once)
            return
        while not self.control.halted:
            await self._iterate()
            await self._drain()
            if not self.source.again:
                break
        if (death := self.source.death) is not None:
            self.runtime.crash(node_failed(death))

    async def _once(self, once: Once) -> None:
        """Run the one item of a graph without a producer."""
        self.source.exhausted = True
        self.only = Item(self, self.runners, 0, self.entry)
        self.only.run_once(once)
        self.launch(self.only)
        await self._drain()

    def _over_time(self, error: TimeoutError) -> None:
        if self.control.closing.expired():
            self.abandoned.append("what it had opened")
        else:
            self.runtime.crash(error)

    async def _iterate(self) -> None:
        control = self.control
        while not control.halted and (self.source.again or not self.source.exhausted):
            if control.next_plan is not None:
                await self._adopt(control.next_plan)
            if control.pausing:
                await self._paused()
            elif not control.stepping and (stretch := self.chain.stretch) is not None:
                await self.chain.run(stretch)
            elif await self.source.due():
                await self.one_item()

    async def one_item(self) -> None:
        """Make an item, let it flow, wait for its release."""
        made, live, message = await self.source.make()
        if made is EXHAUSTED:
            return
        if (made is None and message is None) or made is FAILED_TICK:  # a message may hold null
            await self.source.rest()
            return
        self.control.step_taken(self.made)
        item = self.begin(made, live, message, index=self.source.index)
        await self.until_released(item)
        await self._give_turn()

    async def until_released(self, item: Item) -> None:
        """Wait until an item lets the producer go on."""
        ended = self.runtime.now()
        while not item.released and not self.control.halted:
            await self.runtime.wait()
        self._waited(item, ended)

    def begin(
        self,
        payload: Any,
        live: Any = None,
        message: Any = None,
        memo: Any = None,
        index: int | None = None,
    ) -> Item:
        """Let a new item flow as far as it goes without waiting."""
        item = Item(self, self.runners, self.made, payload)
        item.index = index
        item.message, item.memo = message, memo
        self.launch(item, live)
        return item

    def launch(self, item: Item, live: Any = None) -> None:
        """Enter an item into the books, and let it flow."""
        item.produced = self.runtime.now()
        self.items[self.made] = item
        self.made += 1
        self.runtime.event("produced", self.name, item.iteration)
        self.ending.received(item)
        item.launch(live)
        self.pump()

    def _waited(self, item: Item, start: float) -> None:
        """Record what the producer waited for: its await set, then a slot."""
        end = self.runtime.now()
        turn = end if item.idle_since is None else item.idle_since
        for kind, a, b in (("wait", start, turn), ("throttled", turn, end)):
            if b > a and item.released:
                self.runtime.stream.span((self.name, self.name, item.iteration, 0, kind, a, b, 1))

    async def _give_turn(self) -> None:
        """Let the event loop breathe: each iteration in virtual time, else every 5 ms."""
        runtime = self.runtime
        if runtime.inline or runtime.event_loop.time() - self._turn > TURN:
            if not runtime.skip():
                await asyncio.sleep(0)
            self._turn = runtime.event_loop.time()

    async def _drain(self) -> None:
        """Wait for what is in flight: to the end, or after stop() until its grace is over."""
        control = self.control
        self._keep_now()
        while (self.items or self.ending.busy) and self.runtime.error is None:
            if control.stopping and self.runtime.now() >= control.deadline - SAME:
                return
            if control.next_plan is not None:
                await self._adopt(control.next_plan)
            await self.runtime.wait(control.deadline if control.stopping else None)

    def _tell_position(self) -> int:
        return self.source.tell_position()

    def _keep_now(self) -> None:
        """Nothing more comes for a while: keep what there is."""
        if self.checkpointer is not None:
            self.checkpointer.hurry()

    async def _paused(self) -> None:
        control = self.control
        control.paused()
        self._keep_now()
        control.tell_steps()
        while control.pausing and not control.halted:
            if control.next_plan is not None:
                await self._adopt(control.next_plan)
            else:
                await self.runtime.wait()
        if not control.halted:
            self.source.skip_to_now()
            self.life.set("running")

    # -- what is asked of it: called on its own event loop ----------------------

    def command(self, verb: str, *args: Any) -> None:
        """Carry out one of `VERBS`."""
        if verb not in VERBS:
            msg = f"loop {self.name!r} has no verb {verb!r}"
            raise RunError(msg)
        match verb:
            case "apply":
                self._apply(*args)
            case "offer":
                self.source.offer(*args)
            case "writers_done":
                self.source.writers_done()
            case "kept":
                self._kept(*args)
            case _:
                getattr(self.control, verb)(*args)

    def _apply(self, plan: LoopPlan, specs: Sequence[QueueSpec]) -> None:
        """Run *plan*, whose graph has these queues, from the next item on."""
        self.runtime.queues.update_specs(specs)
        self.control.apply(plan)

    def _kept(self, number: int, taken: str = "") -> None:
        """The store has the checkpoints up to that one; *taken*: somebody else goes on."""
        if self.checkpointer is not None and not self.life.has_ended:
            self.checkpointer.kept(number, taken)

    def _redis_away(self, where: str) -> None:
        """Tell that the Redis *where* is away and waited for; "" when it is back."""
        text = f"redis is away ({where}): waiting for it" if where else "redis is back"
        self.runtime.log(self.runtime.name, -1, "warning", text)
        self.runtime.event("away", data=where)

    def _queue_lost(self, queue: str) -> None:
        """Tell that the server has forgotten a queue, with what was in it."""
        text = f"queue {queue!r} is gone from its server, with what was in it: it begins empty"
        self.runtime.log(self.runtime.name, -1, "warning", text)
        self.runtime.event("lost", data=queue)

    # -- generations -----------------------------------------------------------

    async def _adopt(self, plan: LoopPlan) -> None:
        """Make *plan* the one that new items run; items under way keep theirs."""
        old = {r.name: r for r in self.runners}
        kept = old.get(self.name)
        runners = [self._runner(p, plan, old.get(p.name)) for p in plan.nodes]
        await set_up(runners, self._stack)
        self.plan, self.runners = plan, runners
        if self.control.next_plan is plan:  # else the next one came while this was set up
            self.control.next_plan = None
        self.in_flight.when_full = plan.options.when_full
        self.slots.resize(plan.options.max_in_flight)
        if kept is None:
            self.source.begin(runners[0])
        elif kept.node is plan.nodes[0].node:
            self.source.runner = runners[0]
        else:
            edited, self.source = self.source, self._source(plan)
            self.source.begin(runners[0], edited)
        self.chain = Chain(self)
        if old:
            self.runtime.event("applied", data=plan.version)

    def _reuse(self, runners: list[Runner]) -> None:
        """Take up what an earlier run of the same plan has left."""
        self.reused = True
        for runner in runners:
            runner.attach(self.table)
            if runner.memory.used:
                runner.memory.fresh()
        self.runners = runners
        self.source.begin(runners[0])

    def _source(self, plan: LoopPlan) -> Source:
        node = plan.nodes[0].node
        if node.reader is None:
            return PullSource(self, node)
        return QueueSource(self, node, node.reader)

    def _runner(self, plan: PlanNode, whole: LoopPlan, old: Runner | None) -> Runner:
        memory = self.memory.of(plan.name)
        same = old if old is not None and old.node is plan.node else None
        if same is None:
            memory.renewed()
        return Runner(plan, whole, self.table, memory, same)

    # -- the end of calls whose outcome nobody wants ----------------------------

    def abandon(self, token: Call) -> None:
        """End one call: cancel it, or leave a sync one behind."""
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
        if token.walk is not None:
            token.walk.leave()
        if token.task is not None:
            token.task.cancel()
            if token.in_thread:
                self.runtime.event("abandoned", token.at.name, token.iteration)
        elif token.place is None or token.entered:
            self.runtime.event("abandoned", token.at.name, token.iteration)
        _give_up_place(token)

    def _cancel_all(self) -> None:
        """End every call, and close the books on every item."""
        self.ready.clear()
        self.task_workers.waiting.clear()
        self.thread_workers.waiting.clear()
        self.slots.clear()
        cancelled, calls = list(self.items.values()), list(self.calls)
        for token in calls:
            if token.walk is not None:
                token.walk.leave()
        self.items.clear()
        self.calls.clear()
        self.cut = [token.at.name for token in calls]
        for token in calls:
            token.cancelled = True
            token.disown()
            if token.task is not None:
                token.task.cancel()
            _give_up_place(token)
        for item in cancelled:
            self.runtime.event("cancelled", self.runtime.name, item.iteration)
            self.runtime.event("settled", self.runtime.name, item.iteration)

    async def _settle_tasks(self) -> None:
        """Cancel the tasks left, oldest first, and wait a moment for them to end."""
        left = [t for t in self.runtime.tasks if t is not asyncio.current_task()]
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=0.5)
            self.abandoned += [t.get_name() for t in left if not t.done()]

    # -- what items ask of their loop ------------------------------------------

    def pump(self) -> None:
        """Start every token that is ready; nodes that end at once make more ready."""
        if self._pumping:
            return
        runtime = self.runtime
        self._pumping, ready, since = True, self.ready, runtime.event_loop.time()
        try:
            while ready:
                token = ready.popleft()
                runner: Any = token.at
                if runner.waits:
                    self._start(token)
                else:
                    runner.run(token)
                if not runtime.inline and runtime.event_loop.time() - since > TURN:
                    runtime.soon(self.pump)
                    return
            self.task_workers.look()
            self.thread_workers.look()
        finally:
            self._pumping = False

    def _start(self, token: Call) -> None:
        item, runtime = token.item, self.runtime
        if token.at.plan.detached and not item.slot and not self.in_flight.may_start(token):
            return
        gate = token.at.gate
        if gate is None or token.item.knows(token):
            token.at.run(token)
            return
        token.asked = runtime.now()
        self.calls[token] = None
        granted = functools.partial(runtime.context.run, runtime.guard, self._entered, token)
        token.place = gate.enter(token.iteration, runtime.event_loop, granted)
        if token.place.at_once:
            token.entered = True
            token.at.run(token)

    def _entered(self, token: Call) -> None:
        """The token's gate has opened."""
        if token.cancelled:
            return
        token.entered = True
        _site(token).span(token, "limited", token.asked)
        token.at.run(token)
        self.pump()

    def may_release(self, item: Item) -> bool:
        """Whether an item of which something is still open may let its producer go on."""
        return self.in_flight.may_release(item)

    def failed(self, token: Call, error: BaseException) -> None:
        """Report a node that failed for good."""
        self.ending.node_failed(token, error)

    def failure(self, token: Call, error: BaseException) -> Failure:
        """Describe a node's failure, for a handler that is asked before the item has settled."""
        return self.ending.failure(token, error)

    def skipped(self, node: str) -> None:
        """Tell of a node that an earlier attempt has done."""
        self.runtime.event("skipped", node, 0)
        self.runtime.stream.seen(0, node)

    def crash(self, error: BaseException) -> None:
        """End in state error."""
        self.runtime.crash(error)

    def settle(self, queue: str, ids: Sequence[str]) -> None:
        """Ack messages that are done."""
        self.ending.settle(queue, ids)

    def unthrottled(self, parked: list[Call]) -> None:
        """An item has its slot: what it held back starts now."""
        for token in parked:
            _site(token).span(token, "throttled", token.asked)
        self.ready.extend(parked)
        self.runtime.soon(self.pump)

    def released(self, item: Item) -> None:
        """No awaited token of the item is open: the producer goes on."""
        self.runtime.event("released", self.name, item.iteration)
        self.ending.released(item)
        self.runtime.wake()

    def settled(self, item: Item) -> None:
        """Nothing of the item is open any more."""
        if item.slot:
            self.slots.give_back()
        self.ending.settled(item)
        if self.watched:
            names = [r.name for r in item.runners[1:]]
            self.stream.bypassed(self.name, item.iteration, names, self.now())
        self.runtime.wake()


def _give_up_place(token: Call) -> None:
    """Let others have the place that a call holds or waits for, as soon as it really ends."""
    place = token.place
    if place is None:
        return
    if isinstance(token.task, asyncio.Task):
        token.task.add_done_callback(lambda _: place.give_up())
    else:
        place.give_up()


def _site(token: Call) -> CallSite:
    runner: Any = token.at
    site: CallSite = runner.site
    return site


async def set_up(runners: Sequence[Runner], stack: contextlib.AsyncExitStack) -> None:
    """Call `setup(ctx)` of new class nodes, and see to it that `teardown()` follows."""
    for runner in runners:
        instance = runner.instance
        if instance is None or runner.is_set_up:
            continue
        token = Call(_Nobody, runner, None, 0)
        try:
            context = Context(runner.site, token, runner.table.pushes)
            await call_hook(runner.runtime, runner.name, instance.setup, context)
        except FAILS as error:
            if isinstance(error, ENDS):
                raise
            why = told(error)
            msg = f"node {runner.name!r} (loop {runner.runtime.name!r}): setup failed: {why}"
            raise RunError(msg) from error
        runner.is_set_up = True
        stack.push_async_callback(_torn_down, runner)


async def _torn_down(runner: Runner) -> None:
    runtime = runner.runtime
    try:
        await call_hook(runtime, runner.name, runner.instance.teardown)  # type: ignore[union-attr]
    except FAILS as error:  # the others are still to be torn down
        if isinstance(error, ENDS):
            raise
        runtime.log(runner.name, -1, "error", f"teardown failed: {told(error)}")


class _Nobody:
    """Stands where an item would, before there is one."""

    iteration = -1
    message = None


async def run(manager: LoopManager, origin: float) -> None:
    """Run a loop, then close what it used: its threads, its queues."""
    try:
        with manager.stall.watching():
            await manager.run(origin)
    finally:
        if manager.source.begun:
            manager.source.leave()
        manager.abandoned += await manager.runtime.threads.aclose(manager.control.moment)
        with contextlib.suppress(Exception):  # Redis may be gone by now
            await manager.runtime.queues.aclose()


def drive(
    manager: LoopManager, event_loop: asyncio.AbstractEventLoop, origin: float
) -> BaseException | None:
    """Run a loop on *event_loop*, which is closed then; give what broke it, if anything did."""

    def complain(_: object, context: dict[str, Any]) -> None:
        """Take what asyncio would print into some cell: it goes to the loop's log."""
        text = str(context.get("exception") or context.get("message"))
        manager.runtime.log(manager.name, -1, "error", f"asyncio: {text}")

    event_loop.set_exception_handler(complain)
    error = None
    try:
        event_loop.run_until_complete(run(manager, origin))
    except BaseException as fault:  # noqa: BLE001 - reported by the loop's state
        error = fault
    with contextlib.suppress(Exception):
        event_loop.run_until_complete(_clean_up())
    event_loop.close()
    return error


async def _clean_up() -> None:
    """End what nodes have left on a private event loop: tasks, asynchronous generators."""
    loop = asyncio.get_running_loop()
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left, timeout=0.5)
    for task in left:
        # asyncio would print that it was destroyed while pending; the loop's status says so
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001
    await loop.shutdown_asyncgens()
