"""What would this graph do, exactly? `simulate` runs it in virtual time, `sweep` with many seeds.

The same engine on a `VirtualLoop`, in a helper thread, so it also works inside a
running kernel: all loops in process whatever their pool, calls inline, time jumps.
Same graph, same seed: same bytes, in any process, under any PYTHONHASHSEED.

A seed decides declared lengths drawn from the rng, injected failures, jitter of retries, and
whatever nodes draw from `ctx.rng`. A sweep simulates with one seed after the other.
"""

from __future__ import annotations

import asyncio
import functools
import math
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from flownb.arguments import (
    FLAG,
    MOST_SECONDS,
    NONE,
    Named,
    Rule,
    known,
    newest,
    number,
    whole,
    word,
)
from flownb.display import Shown
from flownb.engine.calls.limits import Limits
from flownb.engine.links import Links, pushes_no_more, queue_specs, swimlanes
from flownb.engine.loop.loop_manager import LoopManager
from flownb.engine.observe.history import Outputs
from flownb.engine.observe.meter import Meter
from flownb.engine.observe.stream import Guarded, Observer
from flownb.engine.prints import captured
from flownb.engine.runtime import Clock
from flownb.engine.simulation.recording import Recording, Tape
from flownb.engine.simulation.simulated_world import SimulatedWorld, asks_the_date, sandboxed
from flownb.engine.simulation.virtual_loop import VirtualLoop
from flownb.engine.simulation.watchdog import end, join
from flownb.engine.single_thread import has_threads, inside
from flownb.errors import DeadlockError, GraphError
from flownb.model.policies import AWAIT_POLICIES
from flownb.plan.compiler import RUN, compile_once, compile_plan
from flownb.plan.loop_plan import LoopPlan, without_checkpoint
from flownb.records.timeline import Timeline
from flownb.records.workflow_run import deep_copied

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from flownb.errors import Failure
    from flownb.explain.explanation import Explanation
    from flownb.model.policies import AwaitPolicy, RunOnError, StartRule
    from flownb.model.workflow import Workflow
    from flownb.records.events import Event, LogLine, Swimlane
    from flownb.records.metrics import LoopMetrics

DEFAULT_UNTIL: Final = 10.0
SIMULATE: Final[Mapping[str, Rule]] = {
    **RUN,
    "until": number("seconds to simulate", above=0, most=MOST_SECONDS, infinite=True) | NONE,
    "iterations": whole("items of each source loop", least=1) | NONE,
    "seed": whole("", least=None),
    "policy": word(*AWAIT_POLICIES) | NONE,
    "call": FLAG,
    "check_mutation": FLAG,
    "history": whole("spans and events to keep"),
}


class Simulation(Shown):
    """What a simulated run did. Times are virtual seconds from its start.

    `name` is the graph's, `duration` how long it lasted; `digest` (a sha256) is equal for equal
    runs, over everything that happened. `metrics` has the counters of each loop, by name.
    `state` is the final state of a graph without producers, else None.
    """

    def __init__(self, name: str, history: Recording, duration: float) -> None:
        self.name, self._history, self.digest = name, history, history.digest
        self.duration = duration
        self.metrics: dict[str, LoopMetrics] = Named(what="loop")
        self._kept: dict[str, list[Any]] = {}
        self._swimlanes: tuple[Swimlane, ...] = ()
        self._graph: Any = None  # the graph as it was, and under which policy
        self._hidden = ""  # the root of a graph without producers: no node of the user's
        self.state: Any = None  # the final state of such a graph

    __deepcopy__ = deep_copied

    @property
    def timeline(self) -> Timeline:
        """Every span that is kept, ordered by start."""
        kept = (s for s in self._history.spans() if s.node != self._hidden)
        return Timeline.of_spans(kept, self.events, self._swimlanes)

    @property
    def events(self) -> list[Event]:
        """Every event that is kept, in the order in which they happened."""
        return self._history.events

    def outputs(self, node: str, last: int | None = None) -> list[Any]:
        """Give the last outputs of a node, oldest first; its `keep=` says how many are kept.

        A node in several loops has its own in each: those of one loop follow the other's.
        """
        return newest(self._kept[known("node", node, self._kept)], last, "outputs()")

    def failures(self, loop: str | None = None, *, last: int | None = None) -> list[Failure]:
        """Give the items that failed, oldest first, of one *loop* or all; the *last* so many."""
        self._check(loop)
        found = [f for f in self._history.failures if loop in {None, f.loop}]
        return newest(found, last, "failures()")

    def logs(
        self, *, loop: str | None = None, node: str | None = None, last: int | None = None
    ) -> list[LogLine]:
        """Give the last lines that nodes printed or logged, oldest first.

        All of them, or those of one *loop* or *node*, and of these the *last* so many.
        """
        self._check(loop, node)
        lines = list(self._history.logs)
        found = [x for x in lines if loop in {None, x.loop} and node in {None, x.node}]
        return newest(found, last, "logs()")

    def _check(self, loop: str | None, node: str | None = None) -> None:
        """Refuse a name that is not there."""
        if loop is not None:
            known("loop", loop, self.metrics)
        if node is not None:
            known("node", node, self._kept)

    def explain(self) -> Explanation:
        """Say who waits for whom, and put what happened beside what was predicted."""
        from flownb.explain.explanation import explain

        workflow, policy = self._graph
        return explain(workflow, policy=policy, measured=self.metrics)

    def releases(self, loop: str) -> list[float]:
        """Give the second of each release of a loop, in order of iteration."""
        self._check(loop)
        return [e.time for e in self.events if e.kind == "released" and e.loop == loop]


def simulate(
    workflow: Workflow,
    *,
    until: float | None = None,
    iterations: int | None = None,
    seed: int = 0,
    policy: AwaitPolicy | None = None,
    call: bool = True,
    check_mutation: bool = False,
    history: int = 100_000,
    payload: Any = None,
    start_rule: StartRule = "dataflow",
    max_concurrency: int | None = None,
    max_iterations: int | None = None,
    on_error: RunOnError = "stop",
    tools: Any = None,
    using: Sequence[Any] = (),
) -> Simulation:
    """Run all loops of *workflow* in virtual time; `Graph.simulate` says more."""
    plans = [without_checkpoint(compile_plan(workflow, x, policy)) for x in workflow.producers]
    if not plans:
        once = compile_once(
            workflow, start_rule=start_rule, max_concurrency=max_concurrency,
            max_iterations=max_iterations, on_error=on_error,
        )  # fmt: skip
        plans, iterations = [once], 1
    elif start_rule != "dataflow" or max_concurrency is not None or payload is not None:
        msg = (
            "simulate(payload=, start_rule=, max_concurrency=) are for a graph without producers; "
            "a loop has set_loop(start_rule=) and Limit"
        )
        raise GraphError(msg)
    end = _until(plans, until, iterations)
    world = SimulatedWorld(seed, call=call, check_mutation=check_mutation)
    run = _Run(workflow, plans, world, seed=seed, history=history, tools=tools, using=using)
    run.until = end
    run.iterations, run.payload = iterations, payload
    from flownb.explain.explanation import snapshot

    result = run.go()
    result._graph = (snapshot(workflow), policy)  # noqa: SLF001
    return result


def _until(plans: Sequence[LoopPlan], until: float | None, iterations: int | None) -> float:
    if until is None:
        return DEFAULT_UNTIL if iterations is None else math.inf
    endless = [
        p.loop for p in plans if p.reads is None and not hasattr(p.nodes[0].node.fn, "__len__")
    ]
    if math.isinf(until) and iterations is None and endless:
        msg = (
            f"simulate(until={until}): loop {endless[0]!r} may never end: "
            "give until= seconds or iterations="
        )
        raise GraphError(msg)
    return until


class _Run:
    """One simulation under way."""

    def __init__(
        self, workflow: Workflow, plans: Sequence[LoopPlan], world: SimulatedWorld, *,
        seed: int, history: int, tools: Any, using: Sequence[Any],
    ) -> None:  # fmt: skip
        self.workflow, self.plans, self.seed = workflow, plans, seed
        self.world = world
        self.meters: dict[str, Meter] = {}
        self.recording = Recording(history, self.meters)
        self.tools, self.using = tools, using
        # one guard for all loops: an observer that raises is switched off everywhere
        self.watching = [Guarded(o) for o in using if isinstance(o, Observer)]
        self.until = math.inf
        self.iterations: int | None = None
        self.payload: Any = None
        self.event_loop = VirtualLoop()
        self.managers: dict[str, LoopManager] = {}
        self.kept: dict[str, Outputs] = {}
        self.result: Simulation | None = None
        self.error: BaseException | None = None
        self.idle = False
        self.over = threading.Event()
        self.main: asyncio.Task[None] | None = None

    def go(self) -> Simulation:
        """Run in a helper thread, if there is one, and wait; an interrupt ends the simulation."""
        if has_threads():
            self._in_thread()
        else:
            inside(self._guarded)
        if self.error is not None:
            raise self.error
        if self.result is None:
            msg = "the simulation ended without a result"
            raise DeadlockError(msg)
        return self.result

    def _in_thread(self) -> None:
        thread = threading.Thread(target=self._guarded, name="flownb simulation", daemon=True)
        thread.start()
        try:
            join(thread, self.over)
        except BaseException as error:
            self.event_loop.abort(self._cancel)
            at_work = end(thread, self.over)
            if isinstance(error, KeyboardInterrupt) and at_work:
                error.args = (f"the simulation was in {at_work}",)
            raise

    def _guarded(self) -> None:
        if any(p.reads or p.writes for p in self.plans):
            import fakeredis  # noqa: F401 - imported before the sandbox closes
        functions = [f for n in self.workflow.nodes.values() for f in (n.fn, n.fake, n.takes)]
        functions += [e.condition for e in self.workflow.edges.values()]
        try:
            with captured(), sandboxed(functions, self.event_loop):
                self.main = self.event_loop.create_task(self._main())
                self.event_loop.run_until_complete(self.main)
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            self.error = error
        finally:
            self.event_loop.close()
            self.over.set()

    def _cancel(self) -> None:
        if self.main is not None:
            self.main.cancel()

    async def _main(self) -> None:
        gates, specs = Limits(), queue_specs(self.workflow)
        server = self._server()
        for plan in self.plans:
            self._make(plan, gates, server, specs)
        for manager in self.managers.values():
            _tell_of_dates(manager)
        links = Links(self.plans)
        tasks = {}
        for name, manager in self.managers.items():
            task = tasks[name] = asyncio.get_running_loop().create_task(manager.run())
            task.add_done_callback(functools.partial(self._ended, links, name))
        try:
            await self._until_end(list(tasks.values()))
            self.result = self._result()
        finally:
            await self._clear_away(list(tasks.values()))

    def _server(self) -> Any:
        from flownb.queues.servers.opening import open_server

        return open_server(None)

    def _make(self, plan: LoopPlan, gates: Limits, server: Any, specs: Any) -> None:
        from flownb.queues.manager import QueueManager

        self.meters[plan.loop] = Meter(plan.loop, [n.name for n in plan.nodes])
        kept = self.kept[plan.loop] = Outputs({n.name: n.node.keep for n in plan.nodes})
        clock = Clock(self.event_loop, 0.0, virtual=True)
        self.managers[plan.loop] = LoopManager(
            plan,
            world=self.world,
            stream=Tape(self.recording, kept, self.watching),
            gates=gates,
            queues=QueueManager(
                server, graph=plan.graph, specs=specs, consumer=plan.loop, clock=clock, patient=True
            ),
            tools=self.tools,
            middleware=[m for m in self.using if not isinstance(m, Observer)],
            seed=self.seed,
            most=self.iterations,
            until=self.until,
            entry=self.payload,
        )

    def _ended(self, links: Links, name: str, _: asyncio.Task[None]) -> None:
        manager = self.managers[name]
        if pushes_no_more(name, manager.life.state, manager.error):
            links.completed(name)
            for reader in links.unfed():
                self.managers[reader].command("writers_done")

    async def _until_end(self, tasks: list[asyncio.Task[None]]) -> None:
        """Wait until all loops have ended, nothing can happen any more, or time is over."""
        over = self.event_loop.create_future()

        def end(*, idle: bool) -> None:
            self.idle = idle
            if not over.done():
                over.set_result(None)

        self.event_loop.on_idle = functools.partial(end, idle=True)
        self.event_loop.on_horizon = functools.partial(end, idle=False)
        self.event_loop.horizon = self.until
        everything = asyncio.gather(*tasks)
        await asyncio.wait([over, everything], return_when=asyncio.FIRST_COMPLETED)
        if self.idle:
            self._check_deadlock()
        for manager in self.managers.values():
            if (
                manager.life.state == "error"
                and manager.error is not None
                and not _is_item_failure(manager.error)
            ):
                raise manager.error

    def _check_deadlock(self) -> None:
        waits = [
            f"node {t.at.name!r} (loop {m.name!r}, iteration {t.iteration}) "
            f"waits since second {t.start:g}"
            for m in self.managers.values()
            for t in m.calls
        ]
        if waits:
            msg = "nothing can ever happen again: " + "; ".join(waits)
            raise DeadlockError(msg)

    def _result(self) -> Simulation:
        now = min(self.event_loop.time(), self.until)
        self.recording.end()
        result = Simulation(self.workflow.name, self.recording, now)
        if not self.workflow.producers:
            (once,) = self.managers.values()
            result._hidden = once.name  # noqa: SLF001
            result.state = None if once.values is None else once.values.result(partial=True)
        result._swimlanes = swimlanes(m.plan for m in self.managers.values())  # noqa: SLF001
        for name, meter in self.meters.items():
            result.metrics[name] = meter.snapshot(now, self.managers[name].slots.figures)
            for node, kept in self.kept[name].kept.items():
                result._kept.setdefault(node, []).extend(kept)  # noqa: SLF001
        return result

    async def _clear_away(self, tasks: list[asyncio.Task[None]]) -> None:
        """End what still runs; it happens after the end and is not recorded."""
        for manager in self.managers.values():
            manager.command("stop", 0.0)
        self.event_loop.horizon = math.inf
        self.event_loop.on_idle = lambda: _cancel(tasks)
        await asyncio.gather(*tasks, return_exceptions=True)
        for manager in self.managers.values():
            await manager.runtime.queues.aclose()


def _tell_of_dates(manager: LoopManager) -> None:
    """Warn of nodes that ask a clock for which nothing can stand in."""
    for plan in manager.plan.nodes:
        node = plan.node
        if manager.runtime.world.calls(node) and (asked := asks_the_date(node.fake or node.fn)):
            text = (
                f"{asked}() gives the date of today also in a simulation: ask time.time(), or "
                "ctx.clock.time()"
            )
            manager.runtime.log(node.name, -1, "warning", text)


def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()


def _is_item_failure(error: BaseException) -> bool:
    from flownb.errors import NodeFailed

    return isinstance(error, NodeFailed)


@dataclass(frozen=True, slots=True, repr=False)
class Sweep(Shown):
    """How many seeds were tried, and the first that broke the check, if one did.

    `graph` is the graph's name, `tried` that number. Of the one that broke it: `seed`, `error`
    (what the check raised) and `simulation`; else these are None.
    """

    graph: str
    tried: int
    seed: int | None = None
    error: Exception | None = None
    simulation: Simulation | None = None

    @property
    def holds(self) -> bool:
        """Whether no seed broke the check."""
        return self.seed is None


def sweep(
    name: str,
    seeds: Iterable[int],
    simulated: Callable[[int], Simulation],
    check: Callable[[Simulation], object],
) -> Sweep:
    """Try seeds until *check* raises, or returns False."""
    tried = 0
    for tried, seed in enumerate(seeds, 1):
        simulation = simulated(seed)
        try:
            holds = check(simulation) is not False
            error: Exception = AssertionError(f"the check returned False for seed {seed}")
        except Exception as raised:  # noqa: BLE001 - whatever the user's check raises
            holds, error = False, raised
        if not holds:
            return Sweep(name, tried, seed, error, simulation)
    return Sweep(name, tried)
