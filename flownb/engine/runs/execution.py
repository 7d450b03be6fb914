"""How is a graph without a producer run for real? Here, once, from entry to final state.

The same plan and the same `LoopManager` as a loop's, on the event loop it is awaited on
(`arun`), or on one of its own in a helper thread (`run`), so that both work inside a
running kernel. What nodes print is shown where the run was called.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections import Counter
from random import Random
from typing import TYPE_CHECKING, Any, Final

from flownb.engine.calls.limits import OF_PROCESS, Limits
from flownb.engine.calls.threads import Threads
from flownb.engine.links import swimlanes
from flownb.engine.loop.loop_manager import LoopManager
from flownb.engine.observe.meter import Meter
from flownb.engine.observe.stream import Guarded, Observer, Stream
from flownb.engine.runs.run_queues import RunQueue, RunQueues
from flownb.engine.runtime import World
from flownb.errors import CodeFailed, IterationLimit, NodeFailed, noted
from flownb.plan.compiler import without_root
from flownb.records.events import Event
from flownb.records.workflow_run import Trail, WorkflowRun

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Sequence

    from flownb.engine.calls.chain import ItemChain
    from flownb.engine.calls.runner import Runner
    from flownb.engine.runs.journal import Journal
    from flownb.engine.runs.resume import Replay
    from flownb.errors import Failure
    from flownb.plan.loop_plan import LoopPlan
    from flownb.records.metrics import LoopMetrics

_ids = Random()
_TRIES: Final = 5


def new_run_id() -> str:
    """Make a name for a run: later ones sort behind earlier ones."""
    return f"{time.time_ns():016x}{_ids.getrandbits(64):016x}"


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
        on_event: Callable[[Event], None] | None = None,
        calls: bool = False,
        journal: Journal | None = None,
        replay: Replay | None = None,
        idle: deque[list[Runner]] | None = None,
        outlet: RunQueue | None = None,
        told_at: str = "; graph.last_run has the state and the log up to there",
    ) -> None:
        self.plan, self.entry, self._idle, self._told_at = plan, entry, idle, told_at
        trail = self.trail = Trail([plan.loop])
        self.run = WorkflowRun(plan.graph, run_id or new_run_id(), self._names, trail)
        self.run._swimlanes = functools.partial(swimlanes, [plan])  # noqa: SLF001
        outlet = RunQueue(plan) if outlet is None else outlet
        self.run._outlet = outlet.by_hand  # noqa: SLF001
        watching = [Guarded(o) for o in using if isinstance(o, Observer)]
        showing = [] if on_event is None else [(_Calls if calls else _Lines)(on_event)]
        self.manager = LoopManager(
            plan,
            world=World(),
            stream=Stream([trail, *showing, *watching]),
            gates=Limits(OF_PROCESS),
            tools=tools,
            middleware=[m for m in using if not isinstance(m, Observer)],
            seed=seed,
            entry=entry,
            idle=idle,
            hooks=journal,
            resumed=replay,
            queues=RunQueues(outlet, plan.loop),
        )
        self.run._metered = self._metered  # noqa: SLF001
        self.run._at_work = self._at_work  # noqa: SLF001
        self.run._state_now, self.run._cancel = self._state_now, self.cancel  # noqa: SLF001
        self.trail.under_way = lambda: [row.batch() for row in self._rows()]
        self._cancelled = False
        self.run._failures = self._failures  # noqa: SLF001
        self.run._drawn = functools.partial(without_root, plan)  # noqa: SLF001
        self.manager.runtime.threads = Threads(plan.loop, self._fault)
        self.journal = journal

    def _failures(self) -> list[Failure]:
        item = self.manager.only
        rules = None if item is None else item.failure_rules
        return [] if rules is None else list(rules.failures)

    def _at_work(self) -> set[str]:
        return {token.node_at_work for token in list(self.manager.calls)}

    def _rows(self) -> list[ItemChain]:
        """Give what the rows of nodes at work have done by now."""
        walks: list[Any] = [token.walk for token in list(self.manager.calls)]
        return [row for walk in walks if walk is not None and (row := walk.so_far()).at]

    def _state_now(self) -> Any:
        """Give the state so far; others may change it meanwhile, so it is tried again."""
        values = self.manager.values
        for _ in range(_TRIES):
            if values is None:
                return None
            with contextlib.suppress(RuntimeError):
                rows = [(row.token.state, row.values, row.steps) for row in self._rows()]
                return values.result(partial=True, rows=rows)
        return None

    def cancel(self) -> None:
        """End the run now, from any thread."""
        self._cancelled = True
        with contextlib.suppress(AttributeError, RuntimeError):  # it has not begun, or is over
            self.manager.runtime.soon(self._look)

    def _look(self) -> None:
        if self._cancelled:
            self.manager.control.stop(0.0)

    def _names(self) -> list[str]:
        return [n.name for n in self.plan.nodes[1:]]

    def _fault(self, error: BaseException) -> None:
        with contextlib.suppress(RuntimeError):  # the run is over, nobody listens any more
            self.manager.runtime.soon(self.manager.crash, error)

    async def go(self) -> WorkflowRun:
        """Run to the end; raises what made it fail."""
        run, manager = self.run, self.manager
        run.status, run.started = "running", time.time()
        try:
            if self.journal is not None:
                await self.journal.open(manager.runtime, manager.pump)
            asyncio.get_running_loop().call_soon(self._look)
            await manager.run(asyncio.get_running_loop().time())
        except asyncio.CancelledError:
            run.status = "cancelled"
            raise
        finally:
            manager.abandoned += await manager.runtime.threads.aclose(0.0)
            with contextlib.suppress(Exception):  # Redis may be gone by now
                await manager.runtime.queues.aclose()
            self._close()
            if self.journal is not None:
                await self.journal.close(run, self._kept_state)
            self._put_back()
        if run.error is not None:
            raise run.error
        return run

    def _close(self) -> None:
        """Say how it ended, and in which state."""
        run, manager, values = self.run, self.manager, self.manager.values
        error, self.trail.cut = manager.error, manager.cut
        if self._cancelled and error is None and not (manager.only and manager.only.settled):
            run.status = "cancelled"
        if values is not None:
            run._behind = values.behind  # noqa: SLF001
            partial = run.status == "cancelled" or error is not None
            try:
                run.state = values.result(partial=partial)
            except BaseException as conflict:  # noqa: BLE001 - two ends wrote one key, a reducer
                error = conflict if error is None else error
                with contextlib.suppress(BaseException):  # the same reducer again
                    run.state = values.result(partial=True)
        if run.status != "cancelled":
            run.status = "completed" if error is None else "failed"
            run.error = self._told(error)

    def _kept_state(self) -> Any:
        """Give the state as a store keeps it."""
        values, state = self.manager.values, self.run.state
        if values is None or values.states is None or state is None:
            return state
        return values.schema.dumped(dict(state))

    def _metered(self) -> LoopMetrics:
        """Fold what was recorded into counters; nobody pays for them who does not look."""
        plan, manager = self.plan, self.manager
        meter = Meter(plan.loop, self._names())
        self.trail.replay(meter)
        running = Counter(token.node_at_work for token in list(manager.calls))
        return meter.snapshot(manager.now(), manager.slots.figures, running)

    def _put_back(self) -> None:
        """Leave what a good end has left in order for the next run of this plan."""
        manager = self.manager
        clean = self.run.status == "completed" and not manager.abandoned
        if self._idle is None or not clean or manager.runtime.threads.running or self._idle:
            return
        runners, manager.runners = manager.runners, []
        if manager.reused or not any(r.instance or r.node.queue or r.node.reader for r in runners):
            for runner in runners:
                runner.detach()
            self._idle.append(runners)

    def _told(self, error: BaseException | None) -> BaseException | None:
        """Give the error to raise: the node's own, with the node named."""
        if isinstance(error, IterationLimit):
            error.state = self.run.state
        if not isinstance(error, NodeFailed) or error.__cause__ is None:
            return _own(error)
        own = _own(error.__cause__)
        assert own is not None  # noqa: S101
        if isinstance(own, StopIteration):  # a coroutine cannot raise it
            own = RuntimeError(f"node {error.node!r} raised StopIteration")
            own.__cause__ = error.__cause__
        tries = f" after {error.attempts} attempts" if error.attempts > 1 else ""
        noted(
            own,
            f"node {error.node!r} of graph {self.plan.graph!r} failed{tries}{self._told_at}",
        )
        return own


def _own(error: BaseException | None) -> BaseException | None:
    """Give the user's own error, if code beside a node raised it, with a note of which it was."""
    while isinstance(error, CodeFailed) and error.__cause__ is not None:
        noted(error.__cause__, str(error))
        error = error.__cause__
    return error


class _Lines:
    """Passes on, as they come, the lines that nodes print."""

    def __init__(self, on_event: Callable[[Event], None]) -> None:
        self._on_event = on_event

    def on_event(self, event: Event) -> None:
        """Tell of a line that a node printed."""
        if event.kind == "log":
            self._on_event(event)


class _Calls(_Lines):
    """Passes on the calls that have ended, too."""

    def on_span(self, span: Any, _: Any) -> None:
        """Tell of a call that has ended."""
        if span.kind == "work":
            self._on_event(Event(span.end, "called", span.loop, span.node, span.iteration))
