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
from typing import TYPE_CHECKING, Any, Self

from flownb.analysis.validate import check
from flownb.engine.byhand import QueuesByHand
from flownb.engine.capture import capture, release
from flownb.engine.control import EventLoopThread, Request, Requests
from flownb.engine.generations import register, unregister
from flownb.engine.heartbeat import Heartbeat
from flownb.engine.inflight import Gates
from flownb.engine.links import Links, known_node, lanes, queue_specs, uses_queues
from flownb.engine.observe import Guarded, Observer
from flownb.engine.placing import client_for, placed, server_for
from flownb.engine.progress import Progress
from flownb.engine.supported import check_supported
from flownb.engine.track import Track
from flownb.errors import GraphError, LoopStopped, RunError
from flownb.model.edges import did_you_mean
from flownb.model.records import ENDED, Failure, LogLine, LoopMetrics
from flownb.model.shown import Viewed
from flownb.model.status import Status
from flownb.model.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from flownb.analysis.explain import Explanation
    from flownb.analysis.plan import LoopPlan
    from flownb.engine.hosts import Host
    from flownb.model.workflow import Workflow
    from flownb.queues.manager import QueueManager


class Orchestrator(Viewed):
    """A running graph. Made by `graph.start()`, which returns at once.

    Asking (`pause`, `resume`, `step`, `stop`, `cancel`, `apply`, `swap`) acts at once and
    returns a `Request` you may await; questions (`status`, `metrics`, `logs`,
    `failures`, `outputs`, `timeline`) are answered from what is known now.
    """

    def __init__(
        self,
        workflow: Workflow,
        *,
        redis: Any = None,
        cluster: Any = None,
        control: str = "notebook",
        namespace: str = "flownb",
        tools: Any = None,
        using: Sequence[Any] = (),
    ) -> None:
        if control not in {"notebook", "thread"}:
            msg = f"start(control={control!r}): choose 'notebook' or 'thread'"
            raise GraphError(msg)
        self.name, self.workflow = workflow.name, workflow
        self.tools, self.namespace = tools, namespace
        self.watching = [Guarded(x) for x in using if isinstance(x, Observer)]
        self.gates, self.requests = Gates(), Requests()
        self.middleware = tuple(x for x in using if not isinstance(x, Observer))
        self.specs = queue_specs(workflow)
        self.tracks: dict[str, Track] = {}
        self._version = workflow.version
        self._cluster = cluster
        plans = [placed(workflow, loop, cluster) for loop in workflow.producers]
        self.needs_server = uses_queues(plans)
        self.client, self.server = client_for(plans, cluster), server_for(plans, redis)
        self.server.check(f"graph {self.name!r}")
        self._kernel = _running()
        self._own: EventLoopThread | None = None
        if control == "thread" or self._kernel is None:
            self._own = EventLoopThread(f"flownb {self.name}")
            self.home = self._own.event_loop
        else:
            self.home = self._kernel
        self.heartbeat = Heartbeat(self.home)
        self.queues = QueuesByHand(self._manager_by_hand, self.home, self._offer)
        self._lock = threading.Lock()
        self._launched = self._ending = self._over = False
        self._before: Orchestrator | None = None
        self.origin = time.monotonic()
        self.links = Links(plans)
        for plan in plans:
            self.tracks[plan.loop] = Track(self, plan)

    # -- starting --------------------------------------------------------------

    def start(self) -> Self:
        """Start all loops, after a generation of the same graph that still runs has ended."""
        capture()
        self._before = before = register(self)
        if before is None:
            self._launch()
            return self
        if not all(track.has_ended for track in before.tracks.values()):
            print(f"{self.name}: stopping the generation that runs, the new one follows")  # noqa: T201
        before.requests.add(before.is_over, lambda: None).add_done_callback(
            lambda _: self._follow(before)
        )
        before.stop(grace=2)
        return self

    def _follow(self, before: Orchestrator) -> None:
        for key, count in before.server.left().items():
            queue = key.removeprefix(f"{before.namespace}:{before.name}:")
            self._note(f"queue {queue!r}: {count} messages were dropped with the generation before")
        before.server.close()
        self._before = None
        self._launch()

    def _note(self, text: str) -> None:
        first = next(iter(self.tracks.values()))
        first.history.logs.append(LogLine(0.0, first.name, "", -1, "warning", text))

    def _launch(self) -> None:
        self.origin = time.monotonic()
        self._launched = True
        self.heartbeat.start()
        for track in list(self.tracks.values()):
            if not track.has_ended:
                track.host.start(self.origin)
        self._look_whether_over()

    @property
    def kernel_loop(self) -> asyncio.AbstractEventLoop:
        """Where loops with pool="asyncio" live: the notebook's event loop, if there is one."""
        return self._kernel or self.home

    # -- asking ----------------------------------------------------------------

    def pause(self, loop: str | None = None) -> Request:
        """Make no new item after the next release; what is in flight goes on."""
        tracks = self._addressed(loop)
        for track in tracks:
            track.pause()
        return self._request(
            "pause", loop, lambda: all(t.state in {"paused", *ENDED} for t in tracks)
        )

    def resume(self, loop: str | None = None) -> Request:
        """Go on after a pause, whoever ordered it."""
        tracks = self._addressed(loop)
        for track in tracks:
            track.resume()
        return self._request(
            "resume", loop, lambda: all(t.state in {"running", *ENDED} for t in tracks)
        )

    def step(self, loop: str | None = None) -> Request:
        """Let a paused loop make exactly one item, at once; one that runs pauses first.

        The request is done when that item is released and the loop is paused again. A
        producer that has nothing is asked until it has; `pause` and `resume` end that.
        """
        tracks = self._addressed(loop)
        steps = [(t, t.step()) for t in tracks]
        return self._request("step", loop, lambda: all(t.has_stepped(n) for t, n in steps))

    def stop(self, loop: str | None = None, *, grace: float = 10.0) -> Request:
        """Make no new item, give what is in flight *grace* seconds, then cancel it."""
        tracks = self._addressed(loop)
        for track in tracks:
            track.stop(grace, launched=self._launched)
        if loop is not None:
            return self._request("stop", loop, lambda: all(t.host.ended.done() for t in tracks))
        if (before := self._before) is not None:
            before.stop(grace=grace)
        return self._request("stop", None, self.is_over)

    def cancel(self, loop: str | None = None) -> Request:
        """Stop without waiting for what is in flight."""
        return self.stop(loop, grace=0.0)

    def apply(self) -> Request:
        """Hand the edits of the graph to the loops that run; their next item follows them.

        A loop that has ended and was edited starts anew. Raises GraphError for a graph
        with mistakes, and LoopStopped when all loops have ended.
        """
        if self._ending:
            msg = f"graph {self.name!r} does not run any more: graph.start() runs it as it is now"
            raise LoopStopped(msg)
        check(self.workflow)
        check_supported(self.workflow, live=True)
        changed = self._compile_changes()
        self._version = self.workflow.version
        self.requests.look()
        return self._request("apply", None, lambda: all(t.has_applied for t in changed))

    def swap(self, name: str, fn: Any) -> Request:
        """Put another function behind a node of the graph, and apply."""
        known_node(name, self.workflow.nodes)
        self.workflow.nodes[name] = replace(self.workflow.nodes[name], fn=fn)
        self.workflow.version += 1
        return self.apply()

    def _compile_changes(self) -> list[Track]:
        self.specs = queue_specs(self.workflow)
        changed = []
        for loop in self.workflow.producers:
            plan, track = placed(self.workflow, loop, self._cluster), self.tracks.get(loop)
            self.links.add(plan)
            if track is not None and track.removed:
                self._add_behind(track, plan)
            elif track is not None and not track.differs_from(plan):
                continue
            elif track is None or track.has_ended:
                self._add(plan)
            else:
                track.apply(plan)
                changed.append(track)
        for loop in [t for t in self.tracks if t not in self.workflow.producers]:
            self.tracks[loop].removed = True
            self.stop(loop)
        return changed

    def _add(self, plan: LoopPlan) -> None:
        track = self.tracks[plan.loop] = Track(self, plan)
        if self._launched:
            track.host.start(self.origin)

    def _add_behind(self, track: Track, plan: LoopPlan) -> None:
        """Start a loop that was removed and has come back, when the one before has ended."""
        track.removed = False
        track.host.ended.add_done_callback(lambda _: self._add(plan))

    def _addressed(self, loop: str | None) -> list[Track]:
        if loop is None:
            return list(self.tracks.values())
        if loop not in self.tracks:
            msg = f"there is no loop {loop!r}{did_you_mean(loop, self.tracks)}"
            raise RunError(msg)
        return [self.tracks[loop]]

    def _request(self, verb: str, loop: str | None, fulfilled: Callable[[], bool]) -> Request:
        what = f"{verb} {loop or self.name}"
        on_kernel = any(t.host.pool == "asyncio" for t in self._addressed(loop))
        home = self.kernel_loop if on_kernel else self.home
        return Request(what, self.requests.add(fulfilled, self.status), home)

    # -- waiting ---------------------------------------------------------------

    async def wait(
        self,
        iterations: int | None = None,
        *,
        loop: str | None = None,
        timeout: float | None = None,
        progress: bool = False,
    ) -> Status:
        """Wait until every loop has completed, stopped, or been paused by an error.

        With *iterations*: until each addressed loop (default: all that do not read a
        queue) has released that many items since it was started, or has ended. After
        *timeout* seconds it returns all the same, with `.timed_out`. Raises NodeFailed
        if a loop it waits for is in state error. An interrupt ends the wait, not the loops.
        *progress* shows a bar for each of these loops.
        """
        tracks = self._addressed(loop)
        if iterations is not None and loop is None:
            tracks = [t for t in tracks if t.manager.plan.reads is None]
        bars = Progress(tracks, iterations) if progress else None
        end = None if timeout is None else time.monotonic() + timeout
        try:
            while not all(t.has_ended or t.is_stuck or t.has_released(iterations) for t in tracks):
                if end is not None and time.monotonic() >= end:
                    return self.status(timed_out=True)
                if bars is not None:
                    bars.look()
                await asyncio.sleep(0.01)
        finally:
            if bars is not None:
                bars.close()
        for track in tracks:
            track.raise_error()
        return self.status()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def is_over(self) -> bool:
        """Whether every loop has ended and nothing of them is left."""
        return self._over

    def track_ended(self, host: Host) -> None:
        """Tell the readers of what this loop fed; close up behind the last loop."""
        manager = host.manager
        if manager.restarting:
            self.tracks[manager.name].renew()
        if manager.state == "completed":
            for reader in self.links.completed(manager.name):
                self.tracks[reader].writers_done()
        self._look_whether_over()
        self.requests.look()

    def _look_whether_over(self) -> None:
        with self._lock:
            first = not self._ending and self._before is None
            first = first and all(t.host.ended.done() for t in self.tracks.values())
            self._ending = self._ending or first
        if first:
            self.queues.close(then=self._close)

    def _close(self) -> None:
        unregister(self)
        release()
        self._over = True
        self.requests.look()
        self.heartbeat.stop()
        if self._own is not None:
            self._own.stop()

    # -- questions -------------------------------------------------------------

    def status(self, *, timed_out: bool = False) -> Status:
        """Say where each loop stands."""
        loops = tuple(t.status() for t in self.tracks.values())
        unapplied = self.workflow.version - self._version
        busy = self.heartbeat.busy
        return Status(self.name, loops, timed_out, busy, unapplied, self.server.describe())

    def metrics(self) -> dict[str, LoopMetrics]:
        """Give the counters of each loop; reading them never stops a loop."""
        return {name: track.metrics() for name, track in self.tracks.items()}

    def logs(
        self, *, loop: str | None = None, node: str | None = None, last: int | None = None
    ) -> list[LogLine]:
        """Give the last lines that nodes printed or logged, oldest first."""
        lines = [
            x for t in self._addressed(loop) for x in list(t.history.logs) if node in {None, x.node}
        ]
        return _last(sorted(lines, key=lambda x: x.time), last)

    def failures(self, loop: str | None = None, *, last: int | None = None) -> list[Failure]:
        """Give the last items that failed, oldest first; each loop keeps 100."""
        found = [f for t in self._addressed(loop) for f in list(t.history.failures)]
        return _last(sorted(found, key=lambda f: f.time), last)

    def outputs(self, node: str, last: int | None = None) -> list[Any]:
        """Give the last outputs of a node, oldest first; its `keep=` says how many are kept."""
        kept = {n: t.outputs.kept[n] for t in self.tracks.values() for n in t.outputs.kept}
        return _last(list(kept[known_node(node, kept)]), last)

    def explain(self) -> Explanation:
        """Say who waits for whom, and put what was measured so far beside what is predicted."""
        from flownb.analysis.explain import explain

        return explain(self.workflow, measured=self.metrics())

    def timeline(self, loop: str | None = None) -> Timeline:
        """Give the last node calls and waits of each loop."""
        tracks = self._addressed(loop)
        spans = [s for t in tracks for s in t.history.spans()]
        events = [e for t in tracks for e in list(t.history.events)]
        return Timeline.of_spans(spans, events, lanes(t.manager.plan for t in tracks))

    def _manager_by_hand(self) -> QueueManager:
        return self.server.manager(
            self.name, self.specs, consumer="notebook", namespace=self.namespace, patient=False
        )

    def _offer(self, loop: str, letters: Iterable[dict[str, Any]]) -> None:
        """Have a loop take the items of dead letters that came from no queue of its own."""
        (track,) = self._addressed(loop)
        if track.has_ended:
            msg = f"loop {loop!r} has ended: start the graph again, then replay its dead letters"
            raise LoopStopped(msg)
        for letter in letters:
            track.host.post(track.manager.offer, letter["item"], letter["id"])


def _running() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _last(found: Iterable[Any], last: int | None) -> list[Any]:
    kept = list(found)
    return kept if last is None else kept[-last:] if last else []
