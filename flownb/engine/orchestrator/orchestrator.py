"""Who runs the loops of a graph, live? The `Orchestrator`.

It starts one host for each loop, passes on what you ask, and answers questions from
what the loops report. It waits for nothing unless you await; nothing that must not
stall depends on it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Self

from flownb.arguments import FLAG, NONE, SECONDS, TIMEOUT, Named, checked, known, newest, whole
from flownb.display import Viewed
from flownb.engine.checkpoints.writer import check_kept
from flownb.engine.links import Links, pushes_no_more, queue_specs, swimlanes, uses_queues
from flownb.engine.observe.stream import Guarded, Observer
from flownb.engine.orchestrator.backlog import found, left
from flownb.engine.orchestrator.generations import (
    last_ended,
    register,
    register_again,
    running,
    unregister,
)
from flownb.engine.orchestrator.loop_run import LiveRun, LoopRun, Next
from flownb.engine.orchestrator.placement import (
    check_applicable,
    check_supported,
    client_for,
    placed,
    server_for,
)
from flownb.engine.orchestrator.requests import EventLoopThread, Heartbeat, Request
from flownb.engine.orchestrator.waiting import Waiting
from flownb.engine.prints import capture, release
from flownb.engine.runtime import running_loop
from flownb.engine.single_thread import SINGLE, has_threads
from flownb.errors import GraphError, LoopStopped, QueueError, RunError
from flownb.model.nodes import check_called
from flownb.queues.by_hand import QueuesByHand
from flownb.queues.manager import QueueManager
from flownb.queues.redis.streams import Keys
from flownb.records.events import ENDED
from flownb.records.metrics import Status
from flownb.records.timeline import Timeline
from flownb.tracebacks import folded
from flownb.validate.check import check

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from flownb.engine.hosts.host import Host
    from flownb.engine.orchestrator.notices import Notice, NoticeKind, Notices
    from flownb.engine.simulation.recorded_run import CallRecorder, RecordedRun
    from flownb.errors import Failure
    from flownb.explain.explanation import Explanation
    from flownb.model.policies import Control
    from flownb.model.workflow import Source, Workflow
    from flownb.plan.loop_plan import LoopPlan
    from flownb.queues.spec import QueueStats
    from flownb.records.events import LogLine, LoopState
    from flownb.records.metrics import LoopMetrics

_MOMENT: Final = 0.5  # seconds in which the backlog of a queue is counted
_ITERATIONS: Final = whole("items") | NONE


class Orchestrator(Viewed):
    """A running graph. Made by `graph.start()`, which returns at once.

    Asking (`start`, `pause`, `resume`, `step`, `stop`, `cancel`, `apply`, `swap`) acts at
    once and returns a `Request` you may await; questions (`status`, `metrics`, `logs`,
    `failures`, `outputs`, `timeline`) are answered from what is known now.

    `name` is the graph's, `workflow` the graph itself. `queues` are its queues, by hand:
    `await orch.queues.push("q", day)`, and `pop`, `ack`, `stats`, `dead`, `clear`.
    """

    def __init__(
        self,
        workflow: Workflow,
        *,
        redis: Any = None,
        cluster: Any = None,
        control: Control = "notebook",
        namespace: str = "flownb",
        tools: Any = None,
        using: Sequence[Any] = (),
        fresh: bool = False,
        record: bool = False,
    ) -> None:
        self.name, self.workflow = workflow.name, workflow
        self._version, self._cluster = workflow.version, cluster
        plans = [placed(workflow, loop, cluster) for loop in workflow.producers]
        check_kept(workflow, plans, fresh=fresh)
        client, server = client_for(plans, cluster), server_for(plans, redis)
        server.check(f"graph {self.name!r}")
        keys, alone = Keys(namespace, self.name), self.name not in running()
        news = found(server, keys, queue_specs(workflow), plans, alone=alone)
        kernel = running_loop()
        self._own: EventLoopThread | None = None
        if not has_threads():
            _check_event_loop(self.name, control, kernel)
        if control == "thread" or kernel is None:
            self._own = EventLoopThread(f"flownb {self.name}")
            home = self._own.event_loop
        else:
            home = kernel
        self._recorder = _recorder() if record else None
        watching = [x for x in (*using, self._recorder) if isinstance(x, Observer)]
        self._live = LiveRun(
            name=self.name, workflow=workflow, namespace=namespace, tools=tools,
            middleware=tuple(x for x in using if not isinstance(x, Observer)),
            watching=[Guarded(x) for x in watching],
            specs=queue_specs(workflow), needs_server=uses_queues(plans), client=client,
            server=server, kernel=kernel, home=home, heartbeat=Heartbeat(home), links=Links(plans),
            begin=self._begin, on_ended=self._track_ended,
        )  # fmt: skip
        self.queues = self._queues_by_hand()
        self._verbs = threading.RLock()  # start, apply and swap: one after the other
        self._lock = threading.RLock()  # what loops there are, and whether all have ended
        self._pending: dict[str, Next] = {}  # what starts when all has closed up
        self._launched = self._ending = self._over = self._draining = False
        self._before: Orchestrator | None = None
        self._notices: Notices | None = None
        for plan in plans:
            self._live.loop_runs[plan.loop] = LoopRun(self._live, plan, fresh=fresh)
        self._say("info", news)

    def _queues_by_hand(self) -> QueuesByHand:
        return QueuesByHand(
            self.name,
            self._manager_by_hand,
            self._live.home,
            self._offer,
            lambda: {**dict.fromkeys(self.workflow.producers), **self._live.loop_runs},
        )

    # -- starting --------------------------------------------------------------

    def _begin(self) -> None:
        """Begin, once a generation of the same graph that still runs has ended."""
        capture()
        self._before = before = register(self)
        if before is None:
            if (last := last_ended(self.name)) not in {None, self}:
                self._tell_dropped(last)
            self._launch()
            return
        if not all(loop_run.has_ended for loop_run in before._live.loop_runs.values()):
            print(f"{self.name}: the previous run is stopped before the new one starts")  # noqa: T201
            _tell(before._live, "replaced by a newer start of this graph")
            _tell(self._live, "starts when the run that it replaces has ended")
        before._live.requests.add(before.is_over, lambda: None).add_done_callback(
            lambda _: self._follow(before)
        )
        before.stop(grace=2)

    def _follow(self, before: Orchestrator) -> None:
        self._tell_dropped(before)
        before._live.server.close()
        self._before = None
        self._launch()

    def _tell_dropped(self, before: Orchestrator) -> None:
        """Say what ends with the generation before."""
        server, keys = before._live.server, Keys(before._live.namespace, self.name)
        self._say("warning", left(server, keys, "dropped with the generation before"))

    def _say(self, level: str, lines: Iterable[str]) -> None:
        """Write lines into the log of the first loop."""
        first = next(iter(self._live.loop_runs.values()), None)
        if first is not None:
            for text in lines:
                first.say(level, text)

    def _launch(self) -> None:
        self._live.heartbeat.start()
        with self._lock:
            self._live.origin = time.monotonic()
            self._launched = True
            for loop_run in list(self._live.loop_runs.values()):
                loop_run.remark = ""
                loop_run.start()
        if not has_threads():
            next(iter(self._live.loop_runs.values())).say("warning", SINGLE)
        self._look_whether_over()

    # -- asking ----------------------------------------------------------------

    @folded
    def start(self, loop: str | None = None, *, fresh: bool = False) -> Request[Status]:
        """Start loops that have ended once more, as the graph is now; those that run go on.

        A loop counts from 0 again and its producer begins anew, unless it has a checkpoint:
        then it goes on (*fresh*: it begins anew all the same). Queues keep what is in them. One
        that is stopping starts when it has stopped, unless a stop comes before. Raises GraphError
        as `Graph.start`, LoopStopped when another generation runs.
        """
        fresh = checked("start()", "fresh", fresh, FLAG)
        with self._verbs:
            plans = self._plans_again(loop, fresh=fresh)
            with self._lock:
                for plan in plans:
                    self._pending[plan.loop] = Next(plan, fresh)
                if not self._ending or self._over:
                    self._begin_again()
                else:  # it closes up behind the last loop: a moment
                    closed = self._live.requests.add(self.is_over, lambda: None)
                    closed.add_done_callback(lambda _: self._begin_again())
        names = [plan.loop for plan in plans]
        return self._request("start", loop, lambda: all(map(self._is_up, names)))

    def _plans_again(self, loop: str | None, *, fresh: bool) -> list[LoopPlan]:
        """Compile the loops that have ended, or are about to; of one name, or all."""
        if running().get(self.name) not in {None, self}:
            raise LoopStopped(self._superseded())
        with self.workflow._editing:
            check(self.workflow)
            check_supported(self.workflow, live=True)
            loops, loop_runs = self.workflow.producers, self._live.loop_runs
            asked = loops if loop is None else [known("loop", loop, loops)]
            idle = [name for name in asked if name not in loop_runs or loop_runs[name].is_ending]
            plans = [placed(self.workflow, name, self._cluster) for name in idle]
            self._live.specs = queue_specs(self.workflow)
            if len(plans) == len(loops):
                self._version = self.workflow.version
        check_kept(self.workflow, plans, fresh=fresh)
        return plans

    def _superseded(self) -> str:
        return f"graph {self.name!r} runs in a newer generation: start its loops there"

    def _begin_again(self) -> None:
        """Start what is pending, each behind the loop of its name that has not ended yet."""
        with self._lock:
            if not self._pending or (self._over and not self._reopen()):
                self._pending.clear()
                return
            self._draining = False
            for name in list(self._pending):
                then = self._pending.pop(name, None)
                if then is not None:  # else it was stopped in this moment
                    self._add_behind(self._live.loop_runs.get(name), then)
            self._tell_unfed()
        self._live.requests.look()

    def _reopen(self) -> bool:
        """Be a run again, after every loop had ended; False: another generation runs by now."""
        if not register_again(self):
            return False
        capture()
        for loop in [t for t in self._live.loop_runs if t not in self.workflow.producers]:
            self._live.links.completed(loop)
            del self._live.loop_runs[loop]
        if self._own is not None:
            self._own = EventLoopThread(f"flownb {self.name}")
            self._live.home = self._own.event_loop
        self._live.heartbeat = Heartbeat(self._live.home)
        self.queues = self._queues_by_hand()
        self._ending = self._over = False
        self._live.heartbeat.start()
        for view in list(self._live.followers):
            view.follow(self._live.home)
        return True

    def _is_up(self, loop: str) -> bool:
        """Whether a loop has begun, or nobody wants it to any more."""
        now = self._live.loop_runs.get(loop)
        return now is None or not (self._is_to_begin(now) or now.state in {"created", "starting"})

    def _is_to_begin(self, loop_run: LoopRun) -> bool:
        """Whether the loop of that name starts once more, when this one has ended."""
        return loop_run.next is not None or loop_run.name in self._pending

    def pause(self, loop: str | None = None) -> Request[Status]:
        """Make no new item after the next release; what is in flight goes on.

        *loop* is one loop; without it all of them are meant, here and in the other verbs.
        """
        loop_runs = self._addressed(loop)
        for loop_run in loop_runs:
            if not self._pause_next(loop_run, paused=True):
                loop_run.pause()
        return self._request("pause", loop, lambda: self._all_are(loop_runs, "paused"))

    def resume(self, loop: str | None = None) -> Request[Status]:
        """Go on after a pause, whoever ordered it."""
        loop_runs = self._addressed(loop)
        for loop_run in loop_runs:
            if not self._pause_next(loop_run, paused=False):
                loop_run.resume()
        return self._request("resume", loop, lambda: self._all_are(loop_runs, "running"))

    def _pause_next(self, loop_run: LoopRun, *, paused: bool) -> bool:
        """Let the loop that starts behind this one begin *paused*; False: none does."""
        then = loop_run.next or self._pending.get(loop_run.name)
        if then is None:
            return False
        then.paused = paused
        return True

    def _all_are(self, loop_runs: Sequence[LoopRun], state: LoopState) -> bool:
        """Whether the newest generation of these loops is in that state, or has ended."""
        newest = [self._live.loop_runs.get(t.name, t) for t in loop_runs]
        return all(not self._is_to_begin(t) and t.state in {state, *ENDED} for t in newest)

    def step(self, loop: str | None = None) -> Request[Status]:
        """Let a paused loop make exactly one item, at once; one that runs pauses first.

        The request is done when that item is released and the loop is paused again. A
        producer that has nothing is asked until it has; `pause` and `resume` end that.
        """
        loop_runs = self._addressed(loop)
        steps = [(t, t.step()) for t in loop_runs]
        return self._request("step", loop, lambda: all(t.has_stepped(n) for t, n in steps))

    def stop(
        self, loop: str | None = None, *, drain: bool = False, grace: float = 10.0
    ) -> Request[Status]:
        """Make no new item, give what is in flight *grace* seconds, then cancel it.

        With *drain* of the whole run: stop the sources first, let the readers empty their queues,
        then they end. All within *grace*; what is left then is a warning in the log and the
        reason of its reader.
        """
        grace = checked("stop()", "grace", grace, SECONDS)
        drain, loop_runs = checked("stop()", "drain", drain, FLAG), self._addressed(loop)
        if drain and loop is not None:
            msg = "stop(): drain=True is for the whole run: it stops the sources, then the readers"
            raise GraphError(msg)
        if drain:
            self._drain(loop_runs, grace)
        for loop_run in loop_runs:
            self._pending.pop(loop_run.name, None)
            loop_run.next = None
            if not drain or not self._is_fed(loop_run):
                loop_run.stop(grace)
        if loop is not None:
            return self._request("stop", loop, lambda: all(t.host.ended.done() for t in loop_runs))
        if (before := self._before) is not None:
            before.stop(grace=grace)
        return self._request("stop", None, lambda: self._is_over_for(loop_runs))

    def _is_over_for(self, loop_runs: Sequence[LoopRun]) -> bool:
        """Whether the run is over, or these loops are and somebody has started it again."""
        if self._over:
            return True
        newest = list(self._live.loop_runs.values())
        return newest != loop_runs and all(t.host.ended.done() for t in loop_runs)

    def _is_fed(self, loop_run: LoopRun) -> bool:
        """Whether a loop reads a queue of which all writers are in this graph."""
        return bool(self._live.links.feeders(self._live.loop_runs).get(loop_run.name))

    def _drain(self, loop_runs: Sequence[LoopRun], grace: float) -> None:
        """Let each reader complete once it has read what it is to get; *grace* ends that."""
        self._draining = True
        self._live.requests.look()
        end = threading.Timer(grace, self._end_drain, (loop_runs, grace))
        end.name, end.daemon = f"flownb drain {self.name}", True
        end.start()
        over = self._live.requests.add(lambda: self._is_over_for(loop_runs), lambda: None)
        over.add_done_callback(lambda _: end.cancel())

    def _end_drain(self, loop_runs: Sequence[LoopRun], grace: float) -> None:
        """Say what could not be drained in time, and stop it."""
        left = [t for t in loop_runs if not t.has_ended]
        queues = {t.manager.plan.reads: t for t in left if t.manager.plan.reads is not None}
        counts = self._backlogs([queue for queue in queues if queue is not None])
        for queue, loop_run in queues.items():
            count = counts.get(queue or "")
            what = "messages" if count is None else f"{count} messages"
            loop_run.remark = f"not drained within {grace:g} s: {what} are left in queue {queue!r}"
            loop_run.say("warning", loop_run.remark)
            loop_run.publish("undrained", count)
        for loop_run in left:
            loop_run.stop(0.0)

    async def _stats(self, queue: str) -> QueueStats:
        return await self.queues.stats(queue)

    def _backlogs(self, queues: Sequence[str]) -> dict[str, int]:
        """Count what is left in queues, as far as that is known in a moment."""

        async def ask() -> dict[str, int]:
            return {queue: (await self._stats(queue)).depth for queue in queues}

        asked = ask()
        try:
            return asyncio.run_coroutine_threadsafe(asked, self._live.home).result(_MOMENT)
        except (RuntimeError, TimeoutError, QueueError):  # it is busy, or has closed
            asked.close()
            return {}

    def cancel(self, loop: str | None = None) -> Request[Status]:
        """Stop without waiting for what is in flight."""
        return self.stop(loop, grace=0.0)

    @folded
    def apply(self) -> Request[Status]:
        """Hand the edits of the graph to the loops that run; their next item follows them.

        A loop that has ended and was edited starts anew. Raises GraphError for a graph
        with mistakes, and LoopStopped when all loops have ended. Says which loops in processes
        keep a module of yours as it was before you edited it.
        """
        with self._verbs:
            with self.workflow._editing:
                self._check_running()
                check_applicable(self.workflow, self._live.loop_runs, self._cluster)
                plans = [
                    placed(self.workflow, loop, self._cluster) for loop in self.workflow.producers
                ]
                specs, version = queue_specs(self.workflow), self.workflow.version
            self._print_edited()
            with self._lock:
                self._check_running()
                self._live.specs, self._version = specs, version
                changed = self._hand_over(plans)
        self._live.requests.look()
        return self._request("apply", None, lambda: all(t.has_applied for t in changed))

    def _check_running(self) -> None:
        if self._ending:
            msg = f"graph {self.name!r} does not run any more: graph.start() runs it as it is now"
            raise LoopStopped(msg)

    def _print_edited(self) -> None:
        """Say which loops go on with old modules although edits were applied."""
        for loop_run in self._live.loop_runs.values():
            if not loop_run.has_ended and (names := loop_run.host.edited()):
                which = ", ".join(sorted(names)[:3])
                print(  # noqa: T201
                    f"{self.name}: loop {loop_run.name!r} goes on with {which} as when its "
                    "process began; graph.start() takes up what you edited since"
                )

    @folded
    def swap(self, name: str, fn: Source) -> Request[Status]:
        """Put function *fn* behind the node called *name*, in place of its own, and apply."""
        with self._verbs, self.workflow._editing:
            node = (nodes := self.workflow.nodes)[known("node", name, self.workflow.nodes)]
            check_called(name, node.kind, fn)
            before, nodes[name] = nodes[name], replace(nodes[name], fn=fn)
            self.workflow.version += 1
            try:
                return self.apply()
            except GraphError:
                nodes[name] = before  # a mistake leaves the graph as it was
                self.workflow.version -= 1
                raise

    def _hand_over(self, plans: Sequence[LoopPlan]) -> list[LoopRun]:
        """Give each changed loop its plan; start those that are new, stop those that are gone."""
        changed = []
        for plan in plans:
            loop_run = self._live.loop_runs.get(plan.loop)
            self._live.links.add(plan)
            if loop_run is not None and loop_run.removed:
                loop_run.removed = False
                self._add_behind(loop_run, Next(plan))
            elif loop_run is not None and loop_run.next is not None:
                loop_run.next.plan = plan
            elif loop_run is not None and not loop_run.differs_from(plan):
                continue
            elif loop_run is None or loop_run.has_ended:
                self._add(Next(plan, fresh=loop_run is not None))
            else:
                loop_run.apply(plan)
                changed.append(loop_run)
        for loop in self._live.loop_runs.keys() - {plan.loop for plan in plans}:
            self._live.loop_runs[loop].removed = True
            self.stop(loop)
        self._tell_unfed()
        return changed

    def _add(self, new: Next) -> None:
        plan = new.plan
        self._live.links.again(plan)
        loop_run = self._live.loop_runs[plan.loop] = LoopRun(self._live, plan, fresh=new.fresh)
        if new.paused:
            loop_run.pause()
        if self._launched:
            loop_run.start()

    def _add_behind(self, loop_run: LoopRun | None, new: Next) -> None:
        """Start a loop when the one before it has ended, if nobody stops it until then."""
        if loop_run is None:
            self._add(new)
            return
        waits, loop_run.next = loop_run.next is not None, new
        if not waits:
            loop_run.host.ended.add_done_callback(lambda _: self._add_next(loop_run))

    def _add_next(self, loop_run: LoopRun) -> None:
        with self._lock:
            new, loop_run.next = loop_run.next, None
            if new is not None and self._live.loop_runs.get(loop_run.name) is loop_run:
                self._add(new)
                self._tell_unfed()
        self._live.requests.look()

    def _request(
        self, verb: str, loop: str | None, fulfilled: Callable[[], bool]
    ) -> Request[Status]:
        future = self._live.requests.add(fulfilled, self.status)
        return Request(f"{verb} {loop or self.name}", future, self._home_of(loop))

    def _home_of(self, loop: str | None) -> asyncio.AbstractEventLoop:
        """Give the event loop that a request about these loops must not block."""
        on_kernel = any(t.host.pool == "asyncio" for t in self._addressed(loop))
        return self._live.kernel_loop if on_kernel else self._live.home

    # -- answering: from what the loops have reported, so that no answer stops one -----

    def status(self) -> Status:
        """Say where each loop stands."""
        return self._status()

    def _status(
        self, *, timed_out: bool = False, counted: Mapping[str, LoopMetrics] = MappingProxyType({})
    ) -> Status:
        """Give the status; of the loops *counted* has, as those counters say."""
        loops = tuple(run.status(counted.get(name)) for name, run in self._live.loop_runs.items())
        unapplied = self.workflow.version - self._version
        busy = self._live.heartbeat.busy
        return Status(self.name, loops, timed_out, busy, unapplied, self._live.server.describe())

    def metrics(self) -> dict[str, LoopMetrics]:
        """Give the counters of each loop; reading them never stops a loop."""
        return Named(
            {name: loop_run.metrics() for name, loop_run in self._live.loop_runs.items()}, "loop"
        )

    def logs(
        self, *, loop: str | None = None, node: str | None = None, last: int | None = None
    ) -> list[LogLine]:
        """Give the last lines that nodes printed or logged, oldest first.

        All of them, or those of one *loop* or *node*, and of these the *last* so many.
        """
        if node is not None:
            known("node", node, self._nodes())
        lines = [
            x for t in self._addressed(loop) for x in list(t.history.logs) if node in {None, x.node}
        ]
        return newest(sorted(lines, key=lambda x: x.time), last, "logs()")

    def failures(self, loop: str | None = None, *, last: int | None = None) -> list[Failure]:
        """Give the items that failed, oldest first, of one *loop* or all; each keeps 100.

        *last*: only so many.
        """
        found = [f for t in self._addressed(loop) for f in list(t.history.failures)]
        return newest(sorted(found, key=lambda f: f.time), last, "failures()")

    def outputs(self, node: str, last: int | None = None) -> list[Any]:
        """Give the last outputs of a node, oldest first; its `keep=` says how many are kept.

        A node in several loops has its own in each: those of one loop follow the other's.
        """
        known("node", node, self._nodes())
        found = [t.outputs.kept for t in self._live.loop_runs.values()]
        return newest((x for kept in found for x in list(kept.get(node, ()))), last, "outputs()")

    def record(self) -> RecordedRun:
        """Give all calls so far, how long each took and what it gave, to be done again.

        `graph.simulate(recorded=run)` does them in virtual time, also after `run.save(path)` and
        `RecordedRun.load(path)` in a test. RunError unless `graph.start(record=True)` began it.
        """
        if self._recorder is None:
            msg = f"graph {self.name!r}: nothing was recorded: begin with graph.start(record=True)"
            raise RunError(msg)
        return self._recorder.run(self.workflow, time.monotonic() - self._live.origin)

    def explain(self) -> Explanation:
        """Say who waits for whom, and put what was measured so far beside what is predicted."""
        from flownb.explain.explanation import explain

        return explain(self.workflow, measured=self.metrics())

    def timeline(self, loop: str | None = None) -> Timeline:
        """Give the last node calls and waits of each loop."""
        loop_runs = self._addressed(loop)
        spans = [s for t in loop_runs for s in t.history.spans()]
        events = [e for t in loop_runs for e in list(t.history.events)]
        return Timeline.of_spans(spans, events, swimlanes(t.manager.plan for t in loop_runs))

    def _addressed(self, loop: str | None) -> list[LoopRun]:
        if loop is None:
            return list(self._live.loop_runs.values())
        return [self._live.loop_runs[known("loop", loop, self._live.loop_runs)]]

    def _nodes(self) -> list[str]:
        """Name the nodes of all loops."""
        return list(dict.fromkeys(n for t in self._live.loop_runs.values() for n in t.outputs.kept))

    # -- waiting ---------------------------------------------------------------

    @folded
    def wait(
        self,
        iterations: int | None = None,
        *,
        loop: str | None = None,
        timeout: float | None = None,
        progress: bool = False,
    ) -> Request[Status]:
        """Wait until every loop has completed, stopped, or been paused by an error.

        A reader that gets nothing more, as who fed it was stopped or has failed, is not waited
        for once its queue is empty, unless it acks before its items are done. A loop that is
        about to start once more is waited for.

        With a *loop*: only until that one has. With *iterations*: until it, or each loop that does
        not read a queue, has released that many items since it was started, or has ended. After
        *timeout* seconds it returns all the same, with `.timed_out`. Raises NodeFailed if a loop
        it waits for is in state error. An interrupt ends the wait, not the loops. *progress*
        shows a bar for each.
        """
        iterations = checked("wait()", "iterations", iterations, _ITERATIONS)
        timeout = checked("wait()", "timeout", timeout, TIMEOUT)
        progress, loop_runs = checked("wait()", "progress", progress, FLAG), self._addressed(loop)
        if iterations is not None and loop is None:
            loop_runs = [t for t in loop_runs if t.manager.plan.reads is None]
        waiting = Waiting(
            self._live, [t.name for t in loop_runs], self._is_to_begin, self._status,
            iterations=iterations, timeout=timeout, progress=progress,
        )  # fmt: skip
        future = waiting.begin(self._stats)
        return Request(f"wait {loop or self.name}", future, self._home_of(loop))

    def on(self, kind: NoticeKind, callback: Callable[[Notice], Any]) -> Callable[[], None]:
        """Have *callback* called when something needs you, so that you need not look.

        *kind*: "failed" (an item, or a loop), "paused", "queue_full", "behind" (ticks are missed)
        or "completed". It gets a notice with `.text`, `.loop`, `.node` and, of a failed item,
        `.data`, in a worker thread: it may take its time; `flownb.notifier()` is a ready one, for
        the browser. Returns what ends it. "behind" and "queue_full" are told again after 10 s.
        """
        from flownb.engine.orchestrator.notices import Notices

        if self._notices is None:
            self._notices = Notices(self)
        return self._notices.add(kind, callback)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def is_over(self) -> bool:
        """Whether every loop has ended and nothing of them is left."""
        return self._over

    def _track_ended(self, host: Host) -> None:
        """Tell the readers of what this loop fed; close up behind the last loop."""
        manager = host.manager
        if manager.life.restarting:
            self._live.loop_runs[manager.name].renew()
        done = pushes_no_more(manager.name, manager.life.state, manager.error)
        if done or self._draining or self._live.loop_runs[manager.name].removed:
            self._live.links.completed(manager.name)
            self._tell_unfed()
        self._look_whether_over()
        self._live.requests.look()

    def _tell_unfed(self) -> None:
        for reader in self._live.links.unfed():
            if reader in self._live.loop_runs:  # else it was taken out of the graph
                self._live.loop_runs[reader].writers_done(self._failed_among(reader))

    def _failed_among(self, reader: str) -> list[str]:
        """Name the loops that fed a reader and ended in state error."""
        loop_runs = self._live.loop_runs
        feeders = sorted(self._live.links.feeders(loop_runs)[reader] & loop_runs.keys())
        return [name for name in feeders if loop_runs[name].state == "error"]

    def _look_whether_over(self) -> None:
        with self._lock:
            first = not self._ending and self._before is None
            first = first and all(t.host.ended.done() for t in self._live.loop_runs.values())
            self._ending = self._ending or first
        if first:
            self.queues.close(then=self._close)

    def _close(self) -> None:
        heartbeat, own = self._live.heartbeat, self._own  # a start that waits for this has its own
        unregister(self)
        keys = Keys(self._live.namespace, self.name)
        kept = "left in this kernel: orch.start() goes on with them, a new graph.start() drops them"
        self._say("warning", left(self._live.server, keys, kept))
        release()
        heartbeat.stop()
        self._over = True
        for view in list(self._live.followers):
            view.ended()
        self._live.requests.look()
        if own is not None:
            own.stop()

    def _manager_by_hand(self) -> QueueManager:
        live = self._live
        return QueueManager(
            live.server, graph=self.name, specs=live.specs, consumer="notebook",
            namespace=live.namespace,
        )  # fmt: skip

    def _offer(self, loop: str, letters: Iterable[dict[str, Any]]) -> None:
        """Have a loop take the items of dead letters that came from no queue of its own."""
        (loop_run,) = self._addressed(loop)
        if loop_run.has_ended:
            msg = f"loop {loop!r} has ended: orch.start({loop!r}), then replay its dead letters"
            raise LoopStopped(msg)
        offered = [(letter["item"], letter["id"]) for letter in letters]
        loop_run.host.command("offer", offered)


def _recorder() -> CallRecorder:
    from flownb.engine.simulation.recorded_run import CallRecorder

    return CallRecorder()


def _tell(live: LiveRun, text: str) -> None:
    """Say in the status and the events of a run that one takes the place of the other."""
    for loop_run in live.loop_runs.values():
        if not loop_run.has_ended:
            loop_run.remark = text
            loop_run.publish("replaced", text)


def _check_event_loop(graph: str, control: Control, kernel: Any) -> None:
    """Raise GraphError or RunError where an event loop is needed and no thread can be started."""
    if control == "thread":
        msg = f"graph {graph!r}: control='thread' needs a thread, and none can be started here"
        raise GraphError(msg)
    if kernel is None:
        msg = (
            f"graph {graph!r}: no event loop runs here, and no thread can be started for one: "
            "start it in an async function, asyncio.run(main())"
        )
        raise RunError(msg)
