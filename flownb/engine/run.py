"""How is a graph without a producer run for real? Here, once, from entry to final state.

The same plan and the same `LoopManager` as a loop's, on the event loop it is awaited on
(`arun`), or on one of its own in a helper thread (`run`), so that both work inside a
running kernel. What nodes print is shown where the run was called.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import queue
import threading
import time
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from flownb.engine.capture import captured
from flownb.engine.inflight import Gates
from flownb.engine.links import lanes
from flownb.engine.loop import LoopManager
from flownb.engine.metrics import Meter
from flownb.engine.observe import Guarded, Observer, Stream
from flownb.engine.threads import Threads
from flownb.engine.world import Live
from flownb.errors import IterationLimit, NodeFailed
from flownb.model.records import Event
from flownb.model.run import Trail, WorkflowRun

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from flownb.analysis.plan import LoopPlan
    from flownb.engine.journal import Journal
    from flownb.engine.replay import Replay


class Execution:
    """One run under way; `run` is what the user gets, filled in as it goes."""

    def __init__(
        self,
        plan: LoopPlan,
        entry: Any,
        *,
        run_id: str | None = None,
        using: Sequence[Any] = (),
        tools: Any = None,
        seed: int | None = None,
        tell: Callable[[Event], None] | None = None,
        journal: Journal | None = None,
        replay: Replay | None = None,
    ) -> None:
        self.plan, self.entry = plan, entry
        names = [n.name for n in plan.nodes]
        trail = self.trail = Trail([plan.loop])
        self.run = WorkflowRun(plan.graph, run_id or uuid4().hex, names[1:], trail)
        self.run._lanes = lanes([plan])  # noqa: SLF001
        self._meter = Meter(plan.loop, names)
        watching = [Guarded(o) for o in using if isinstance(o, Observer)]
        told = [] if tell is None else [_Told(tell)]
        self.manager = LoopManager(
            plan,
            world=Live(),
            stream=Stream([self._meter, trail, *told, *watching]),
            gates=Gates(),
            tools=tools,
            middleware=[m for m in using if not isinstance(m, Observer)],
            seed=seed,
            entry=entry,
        )
        self.manager.threads = Threads(plan.loop, self._fault)
        self.manager.journal, self.manager.replay = journal, replay
        self.journal = journal

    def _fault(self, error: BaseException) -> None:
        with contextlib.suppress(RuntimeError):  # the run is over, nobody listens any more
            self.manager.soon(self.manager.crash, error)

    async def go(self) -> WorkflowRun:
        """Run to the end; raises what made it fail."""
        run, manager = self.run, self.manager
        run.status, run.started = "running", time.time()
        try:
            if self.journal is not None:
                await self.journal.open(manager)
            await manager.run(asyncio.get_running_loop().time())
        except asyncio.CancelledError:
            run.status = "cancelled"
            raise
        finally:
            manager.abandoned += await manager.threads.aclose(0.0)
            self._close()
            if self.journal is not None:
                await self.journal.close(run, self._kept_state())
        if run.error is not None:
            raise run.error
        return run

    def _close(self) -> None:
        """Say how it ended, and in which state."""
        run, manager, item = self.run, self.manager, self.manager.only
        run.metrics = self._meter.snapshot(manager.now(), manager.slots)
        error, self.trail.cut = manager.error, manager.cut
        if run.status == "cancelled" or error is not None:
            run.state = None if item is None else item.result(partial=True)
        elif item is not None:
            try:
                run.state = item.result()
            except Exception as conflict:  # noqa: BLE001 - two ends wrote one key
                run.state, error = item.result(partial=True), conflict
        if run.status != "cancelled":
            run.status = "completed" if error is None else "failed"
            run.error = self._told(error)

    def _kept_state(self) -> Any:
        """Give the state as a store keeps it."""
        item, state = self.manager.only, self.run.state
        return (
            state if item is None or item.states is None else item.once.schema.dumped(dict(state))
        )

    def _told(self, error: BaseException | None) -> BaseException | None:
        """Give the error to raise: the node's own, with the node named."""
        if isinstance(error, IterationLimit):
            error.state = self.run.state
        if not isinstance(error, NodeFailed) or error.__cause__ is None:
            return error
        own = error.__cause__
        tries = f" after {error.attempts} attempts" if error.attempts > 1 else ""
        own.add_note(
            f"node {error.node!r} of graph {self.plan.graph!r} failed{tries}; "
            "graph.last_run has the state and the log up to there"
        )
        return own


class _Told:
    """Passes on, as they come, the events that somebody wants to hear of at once."""

    def __init__(self, tell: Callable[[Event], None]) -> None:
        self._tell = tell

    def on_span(self, span: Any, _: Any) -> None:
        """Tell of a call that has ended."""
        if span.kind == "work":
            self._tell(Event(span.end, "called", span.loop, span.node, span.iteration))

    def on_event(self, event: Event) -> None:
        """Tell of a line that a node printed."""
        if event.kind == "log":
            self._tell(event)


class Shower:
    """Shows, where a run was called, what its nodes print, and a bar if one is wanted."""

    def __init__(self, graph: str, total: int, *, progress: bool) -> None:
        self._bar: Any = None
        if progress:
            from tqdm.auto import tqdm

            self._bar = tqdm(total=total, desc=graph, unit="node")

    def show(self, event: Event) -> None:
        """Show one event."""
        if event.kind == "log":
            if event.data.level in {"print", "stderr"}:
                print(event.data.text)  # noqa: T201 - the node's own print
        elif self._bar is not None:
            self._bar.set_postfix_str(event.node, refresh=False)
            self._bar.update()

    def close(self) -> None:
        """End the bar."""
        if self._bar is not None:
            self._bar.close()


async def run_here(make: Callable[..., Execution], shower: Shower) -> WorkflowRun:
    """Run on the event loop that runs already, showing in the cell that awaits it."""
    context = contextvars.copy_context()
    execution = make(tell=lambda event: context.run(shower.show, event))
    try:
        with captured():
            return await execution.go()
    finally:
        shower.close()


def run_in_thread(make: Callable[..., Execution], shower: Shower) -> WorkflowRun:
    """Run on an event loop of its own in a helper thread, and show meanwhile."""
    told: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
    execution = make(tell=told.put)
    helper = _Helper(execution, functools.partial(told.put, None))
    helper.start()
    try:
        while (event := told.get()) is not None:
            shower.show(event)
        helper.join()
    except BaseException:
        helper.cancel()
        raise
    finally:
        shower.close()
    if helper.error is not None:
        raise helper.error
    return execution.run


class _Helper(threading.Thread):
    """The thread of one synchronous run, with an event loop of its own."""

    def __init__(self, execution: Execution, ended: Callable[[], None]) -> None:
        super().__init__(name=f"flownb run {execution.plan.graph}", daemon=True)
        self.execution, self._ended = execution, ended
        self.error: BaseException | None = None
        self._task: asyncio.Task[Any] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        execution.manager.private = True

    def run(self) -> None:
        """Run it to its end, whatever that is."""
        try:
            with captured(), asyncio.Runner() as runner:
                self._loop = runner.get_loop()
                runner.run(self._main())
        except BaseException as error:  # noqa: BLE001 - raised again where run() was called
            self.error = error
        finally:
            self._ended()

    async def _main(self) -> None:
        self._task = asyncio.current_task()
        await self.execution.go()

    def cancel(self) -> None:
        """Cancel the run, as an interrupt of the cell asks for, and wait a moment for its end."""
        if self._loop is not None and self._task is not None:
            self._loop.call_soon_threadsafe(self._task.cancel)
        self.join(2.0)
