"""Who runs the loops of a graph, live? The `Orchestrator`.

It starts one host for each loop, passes on what you ask, and answers questions from
what the loops report. It waits for nothing unless you await; nothing that must not
stall depends on it.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Self

from flownb.arguments import FLAG, NONE, SECONDS, TIMEOUT, checked, known, whole
from flownb.engine.checkpoints.writer import check_kept
from flownb.engine.links import Links, pushes_no_more, queue_specs, uses_queues
from flownb.engine.observe.stream import Guarded, Observer
from flownb.engine.orchestrator.answers import Answers
from flownb.engine.orchestrator.backlog import found, left
from flownb.engine.orchestrator.generations import last_ended, register, running, unregister
from flownb.engine.orchestrator.loop_run import LiveRun, LoopRun
from flownb.engine.orchestrator.placement import (
    check_applicable,
    check_supported,
    client_for,
    placed,
    server_for,
)
from flownb.engine.orchestrator.requests import EventLoopThread, Heartbeat, Request, running_loop
from flownb.engine.orchestrator.waiting import Forsaken, Progress, until_over
from flownb.engine.prints import capture, release
from flownb.engine.single_thread import SINGLE, has_threads
from flownb.errors import GraphError, LoopStopped, RunError
from flownb.model.nodes import check_called
from flownb.queues.by_hand import QueuesByHand
from flownb.queues.manager import QueueManager
from flownb.queues.redis.streams import Keys
from flownb.records.events import ENDED
from flownb.tracebacks import folded
from flownb.validate.check import check

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from flownb.engine.hosts.host import Host
    from flownb.engine.orchestrator.notices import Notice, NoticeKind, Notices
    from flownb.model.policies import Control
    from flownb.model.workflow import Source, Workflow
    from flownb.plan.loop_plan import LoopPlan
    from flownb.records.metrics import Status

_ITERATIONS: Final = whole("items") | NONE


class Orchestrator(Answers):
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
        self._live = LiveRun(
            name=self.name, workflow=workflow, namespace=namespace, tools=tools,
            middleware=tuple(x for x in using if not isinstance(x, Observer)),
            watching=[Guarded(x) for x in using if isinstance(x, Observer)],
            specs=queue_specs(workflow), needs_server=uses_queues(plans), client=client,
            server=server, kernel=kernel, home=home, heartbeat=Heartbeat(home), links=Links(plans),
            begin=self._begin, on_ended=self._track_ended,
        )  # fmt: skip
        self.queues = self._queues_by_hand()
        self._lock = threading.Lock()
        self._launched = self._ending = self._over = False
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
            print(f"{self.name}: stopping the generation that runs, the new one follows")  # noqa: T201
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
        self._live.origin = time.monotonic()
        self._launched = True
        self._live.heartbeat.start()
        for loop_run in list(self._live.loop_runs.values()):
            loop_run.start()
        if not has_threads():
            next(iter(self._live.loop_runs.values())).say("warning", SINGLE)
        self._look_whether_over()

    # -- asking ----------------------------------------------------------------

    @folded
    def start(self, loop: str | None = None) -> Request:
        """Start loops that have ended once more, as the graph is now; those that run go on.

        A loop counts from 0 again and its producer begins anew, unless it has a checkpoint:
        then it goes on. Queues keep what is in them. One that is stopping starts when it has
        stopped. Raises GraphError as `Graph.start`, LoopStopped when another generation runs.
        """
        plans = self._plans_again(loop)
        ended = {plan.loop: self._live.loop_runs.get(plan.loop) for plan in plans}
        if self._ending and not self._over:  # it closes up behind the last loop: a moment
            closed = self._live.requests.add(self.is_over, lambda: None)
            closed.add_done_callback(lambda _: self._begin_again(plans, ended))
        else:
            self._begin_again(plans, ended)
        return self._request("start", loop, lambda: all(map(self._is_up, ended, ended.values())))

    def _plans_again(self, loop: str | None) -> list[LoopPlan]:
        """Compile the loops that have ended, or are about to; of one name, or all."""
        if running().get(self.name) not in {None, self}:
            msg = f"graph {self.name!r} runs in a newer generation: start its loops there"
            raise LoopStopped(msg)
        check(self.workflow)
        check_supported(self.workflow, live=True)
        loops, loop_runs = self.workflow.producers, self._live.loop_runs
        asked = loops if loop is None else [known("loop", loop, loops)]
        idle = [name for name in asked if name not in loop_runs or loop_runs[name].is_ending]
        plans = [placed(self.workflow, name, self._cluster) for name in idle]
        check_kept(self.workflow, plans, fresh=False)
        return plans

    def _begin_again(self, plans: Sequence[LoopPlan], ended: Mapping[str, LoopRun | None]) -> None:
        if self._over:
            self._reopen()
        self._live.specs = queue_specs(self.workflow)
        for plan in plans:
            if (loop_run := self._live.loop_runs.get(plan.loop)) is ended[
                plan.loop
            ]:  # nobody was faster
                self._live.links.again(plan)
                self._add_behind(loop_run, plan)
        self._tell_unfed()
        if len(plans) == len(self.workflow.producers):
            self._version = self.workflow.version
        self._live.requests.look()

    def _reopen(self) -> None:
        """Be a run again, after every loop had ended."""
        capture()
        register(self)
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

    def _is_up(self, loop: str, old: LoopRun | None) -> bool:
        now = self._live.loop_runs.get(loop)
        return now not in {None, old} and now.state not in {"created", "starting"}

    def pause(self, loop: str | None = None) -> Request:
        """Make no new item after the next release; what is in flight goes on.

        *loop* is one loop; without it all of them are meant, here and in the other verbs.
        """
        loop_runs = self._addressed(loop)
        for loop_run in loop_runs:
            loop_run.pause()
        return self._request(
            "pause", loop, lambda: all(t.state in {"paused", *ENDED} for t in loop_runs)
        )

    def resume(self, loop: str | None = None) -> Request:
        """Go on after a pause, whoever ordered it."""
        loop_runs = self._addressed(loop)
        for loop_run in loop_runs:
            loop_run.resume()
        return self._request(
            "resume", loop, lambda: all(t.state in {"running", *ENDED} for t in loop_runs)
        )

    def step(self, loop: str | None = None) -> Request:
        """Let a paused loop make exactly one item, at once; one that runs pauses first.

        The request is done when that item is released and the loop is paused again. A
        producer that has nothing is asked until it has; `pause` and `resume` end that.
        """
        loop_runs = self._addressed(loop)
        steps = [(t, t.step()) for t in loop_runs]
        return self._request("step", loop, lambda: all(t.has_stepped(n) for t, n in steps))

    def stop(self, loop: str | None = None, *, grace: float = 10.0) -> Request:
        """Make no new item, give what is in flight *grace* seconds, then cancel it."""
        grace, loop_runs = checked("stop()", "grace", grace, SECONDS), self._addressed(loop)
        for loop_run in loop_runs:
            loop_run.next = None
            loop_run.stop(grace, launched=self._launched)
        if loop is not None:
            return self._request("stop", loop, lambda: all(t.host.ended.done() for t in loop_runs))
        if (before := self._before) is not None:
            before.stop(grace=grace)
        return self._request("stop", None, self.is_over)

    def cancel(self, loop: str | None = None) -> Request:
        """Stop without waiting for what is in flight."""
        return self.stop(loop, grace=0.0)

    @folded
    def apply(self) -> Request:
        """Hand the edits of the graph to the loops that run; their next item follows them.

        A loop that has ended and was edited starts anew. Raises GraphError for a graph
        with mistakes, and LoopStopped when all loops have ended. Says which loops in processes
        keep a module of yours as it was before you edited it.
        """
        if self._ending:
            msg = f"graph {self.name!r} does not run any more: graph.start() runs it as it is now"
            raise LoopStopped(msg)
        check_applicable(self.workflow, self._live.loop_runs, self._cluster)
        self._print_edited()
        changed = self._compile_changes()
        self._version = self.workflow.version
        self._live.requests.look()
        return self._request("apply", None, lambda: all(t.has_applied for t in changed))

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
    def swap(self, name: str, fn: Source) -> Request:
        """Put function *fn* behind the node called *name*, in place of its own, and apply."""
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

    def _compile_changes(self) -> list[LoopRun]:
        self._live.specs = queue_specs(self.workflow)
        changed = []
        for loop in self.workflow.producers:
            plan, loop_run = (
                placed(self.workflow, loop, self._cluster),
                self._live.loop_runs.get(loop),
            )
            self._live.links.add(plan)
            if loop_run is not None and loop_run.removed:
                loop_run.removed = False
                self._add_behind(loop_run, plan)
            elif loop_run is not None and not loop_run.differs_from(plan):
                continue
            elif loop_run is None or loop_run.has_ended:
                self._add(plan, fresh=loop_run is not None)
            else:
                loop_run.apply(plan)
                changed.append(loop_run)
        for loop in [t for t in self._live.loop_runs if t not in self.workflow.producers]:
            self._live.loop_runs[loop].removed = True
            self.stop(loop)
        self._tell_unfed()
        return changed

    def _add(self, plan: LoopPlan, *, fresh: bool = False) -> None:
        self._live.links.again(plan)
        loop_run = self._live.loop_runs[plan.loop] = LoopRun(self._live, plan, fresh=fresh)
        if self._launched:
            loop_run.start()

    def _add_behind(self, loop_run: LoopRun | None, plan: LoopPlan) -> None:
        """Start a loop when the one before it has ended, if nobody stops it until then."""
        if loop_run is None:
            return self._add(plan)
        loop_run.next = plan
        return loop_run.host.ended.add_done_callback(lambda _: self._add_next(loop_run))

    def _add_next(self, loop_run: LoopRun) -> None:
        plan, loop_run.next = loop_run.next, None
        if plan is not None:
            self._add(plan)
            self._tell_unfed()

    def _request(self, verb: str, loop: str | None, fulfilled: Callable[[], bool]) -> Request:
        what = f"{verb} {loop or self.name}"
        on_kernel = any(t.host.pool == "asyncio" for t in self._addressed(loop))
        home = self._live.kernel_loop if on_kernel else self._live.home
        return Request(what, self._live.requests.add(fulfilled, self.status), home)

    # -- waiting ---------------------------------------------------------------

    @folded
    async def wait(
        self,
        iterations: int | None = None,
        *,
        loop: str | None = None,
        timeout: float | None = None,
        progress: bool = False,
    ) -> Status:
        """Wait until every loop has completed, stopped, or been paused by an error.

        A reader that gets nothing more, as an error stopped who fed it, is not waited for, unless
        it acks before its items are done.

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
        bars = Progress(loop_runs, iterations) if progress else None
        forsaken = Forsaken(self._live.loop_runs, self._live.links, self.queues.stats)
        if not await until_over(forsaken, loop_runs, iterations, timeout, bars):
            return self._status(timed_out=True)
        for loop_run in loop_runs:
            loop_run.raise_error()
        return self.status()

    def on(self, kind: NoticeKind, callback: Callable[[Notice], Any]) -> Callable[[], None]:
        """Have *callback* called when something needs you, so that you need not look.

        *kind*: "failed" (an item, or a loop), "paused", "queue_full", "behind" (ticks are missed)
        or "completed". It gets a notice with `.text`, `.loop`, `.node` and, of a failed item,
        `.data`, in a worker thread: it may take its time. Returns what ends it. "behind" and
        "queue_full" are told again after 10 s.
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
        if done or self._live.loop_runs[manager.name].removed:
            self._live.links.completed(manager.name)
            self._tell_unfed()
        self._look_whether_over()
        self._live.requests.look()

    def _tell_unfed(self) -> None:
        for reader in self._live.links.unfed():
            if reader in self._live.loop_runs:  # else it was taken out of the graph
                self._live.loop_runs[reader].writers_done(self._failed_among(reader))

    def _failed_among(self, reader: str) -> list[str]:
        """Name who fed a reader and ended in state error."""
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
        unregister(self)
        keys = Keys(self._live.namespace, self.name)
        kept = "left in this kernel: orch.start() goes on with them, a new graph.start() drops them"
        self._say("warning", left(self._live.server, keys, kept))
        release()
        self._over = True
        for view in list(self._live.followers):
            view.ended()
        self._live.requests.look()
        self._live.heartbeat.stop()
        if self._own is not None:
            self._own.stop()

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


def _check_event_loop(graph: str, control: Control, kernel: Any) -> None:
    """Raise what says how to start a graph where no thread can have an event loop."""
    if control == "thread":
        msg = f"graph {graph!r}: control='thread' needs a thread, and none can be started here"
        raise GraphError(msg)
    if kernel is None:
        msg = (
            f"graph {graph!r}: no event loop runs here, and no thread can be started for one: "
            "start it in an async function, asyncio.run(main())"
        )
        raise RunError(msg)
