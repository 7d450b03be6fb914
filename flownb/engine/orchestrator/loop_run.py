"""What does a run keep of each of its loops, and is a loop restarted? A `LoopRun`, a `Supervisor`.

A `LoopRun` is one loop through all its attempts: its host, and what its stream has reported
(metrics, history, failures). A `LiveRun` holds those of one graph and what they share.

A `Supervisor` restarts a loop with `restart="on_crash"` after a short wait that doubles from
crash to crash, until it has crashed five times within a minute. A crash is the death of its
process or worker, or a fault that is no item's; an item that failed under `on_error="stop"` is
none, and what cannot be kept by a checkpoint could not be kept by the next attempt either.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

from flownb.engine.calls.limits import OF_PROCESS, Limits
from flownb.engine.checkpoints.record import Beginning
from flownb.engine.hosts.host import AsyncioHost, Host, ThreadHost
from flownb.engine.loop.loop_manager import LoopManager
from flownb.engine.observe.history import History, Outputs, at_work
from flownb.engine.observe.logging import logs
from flownb.engine.observe.meter import Meter
from flownb.engine.observe.stream import Stream
from flownb.engine.orchestrator.requests import Requests
from flownb.engine.remote.loop_proxy import LoopProxy
from flownb.engine.remote.pickling import PickledLoop, environment
from flownb.engine.runtime import World, running_loop
from flownb.errors import GraphError, NodeFailed, RunError, StoreError, told
from flownb.model.policies import Retry
from flownb.model.tools import tools as global_tools
from flownb.queues.manager import QueueManager
from flownb.records.events import ENDED, Batch, Event, LogLine
from flownb.records.metrics import LoopStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from flownb.engine.checkpoints.writer import CheckpointWriter
    from flownb.engine.hosts.host import LoopHandle
    from flownb.engine.links import Links
    from flownb.engine.observe.stream import Guarded
    from flownb.engine.orchestrator.requests import Heartbeat
    from flownb.model.policies import Restart
    from flownb.model.workflow import Workflow
    from flownb.plan.loop_plan import LoopPlan
    from flownb.queues.servers.link import Server
    from flownb.queues.spec import QueueSpec
    from flownb.records.events import LoopState
    from flownb.records.metrics import LoopMetrics


@dataclass(eq=False, slots=True)
class LiveRun:
    """What a run is made of: its loops, the server of its queues, its event loops.

    `kernel` is the notebook's event loop, if there is one; `home` is where the orchestrator
    lives. Nothing runs before `begin()`. `followers` are views: their `ended()` is called, and
    `follow(event loop)` when the loops run once more.
    """

    name: str
    workflow: Workflow
    namespace: str
    tools: Any
    middleware: tuple[Any, ...]
    watching: list[Guarded]
    specs: Sequence[QueueSpec]
    needs_server: bool
    client: Any
    server: Server
    kernel: asyncio.AbstractEventLoop | None
    home: asyncio.AbstractEventLoop
    heartbeat: Heartbeat
    links: Links
    begin: Callable[[], None]
    on_ended: Callable[[Host], None]
    gates: Limits = field(default_factory=lambda: Limits(OF_PROCESS))
    requests: Requests = field(default_factory=Requests)
    loop_runs: dict[str, LoopRun] = field(default_factory=dict)
    followers: WeakSet[Any] = field(default_factory=WeakSet)
    origin: float = field(default_factory=time.monotonic)
    given: contextvars.Context = field(default_factory=contextvars.copy_context)

    @property
    def kernel_loop(self) -> asyncio.AbstractEventLoop:
        """Where loops with pool="asyncio" live: the notebook's event loop, if there is one."""
        return self.kernel or self.home


class _Changes:
    """Answers open requests when a loop's state or plan changes."""

    def __init__(self, live: LiveRun) -> None:
        self._requests = live.requests

    def on_event(self, event: Event) -> None:
        """Look at the requests again."""
        if event.kind == "released" and self._requests.counting:
            here = running_loop()
            if here is None:
                self._requests.look()
            else:  # when all is told that happens with it: an item may have settled, too
                here.call_soon(self._requests.look)
        if event.kind in {"state", "applied", "stepped"}:
            self._requests.look()

    def on_batch(self, _: Batch) -> None:
        """Look at them again, if one waits for items."""
        if self._requests.counting:
            self._requests.look()


@dataclass(slots=True)
class Next:
    """What starts behind a loop that ends: a plan, from its checkpoint or *fresh*, maybe paused."""

    plan: LoopPlan
    fresh: bool = False
    paused: bool = False


class _Absence:
    """Remembers since when a loop waits for its Redis."""

    def __init__(self) -> None:
        self.where, self.since = "", 0.0

    def on_event(self, event: Event) -> None:
        """Look whether it went, or came back."""
        if event.kind == "away":
            self.where, self.since = event.data, event.time


class _Stalled:
    """Remembers which call holds the loop's event loop, and since when."""

    def __init__(self) -> None:
        self.node, self.since = "", 0.0

    def on_event(self, event: Event) -> None:
        """Look whether one does, or the event loop goes on."""
        if event.kind == "stalled":
            self.node, self.since = "" if event.data else event.node, event.time
        elif event.kind == "state" and event.data[0] == "starting":
            self.node = ""


class _Resumed:
    """Remembers that the loop was asked to go on, until its state changes."""

    def __init__(self) -> None:
        self.asked = False

    def on_event(self, event: Event) -> None:
        """Look whether it has gone on."""
        if event.kind == "state":
            self.asked = False


class LoopRun:
    """One loop of a live run."""

    def __init__(self, live: LiveRun, plan: LoopPlan, *, fresh: bool = False) -> None:
        self.name = plan.loop
        self._live = live
        self._wanted, self.removed, self._steps = plan, False, 0
        self.next: Next | None = None
        self.remark = ""  # a sentence of the orchestrator for its status
        names = [n.name for n in plan.nodes]
        self.meter, self.history = Meter(plan.loop, names), History()
        self.outputs = Outputs({n.name: n.node.keep for n in plan.nodes})
        self._absence, self._resumed, self._stalled = _Absence(), _Resumed(), _Stalled()
        self.checkpoint_writer = self._checkpoint_writer(plan, fresh=fresh)
        writers = [] if self.checkpoint_writer is None else [self.checkpoint_writer]
        self._watching = [
            _Changes(live), self._absence, self._resumed, self._stalled, *writers, *live.watching
        ]  # fmt: skip
        self._released = 0  # before this start
        self.supervisor = Supervisor(plan.options.restart)
        self._lock = threading.RLock()
        self._launched = False
        self._stopping = self._paused = self._fed_up = self._claiming = False
        self._failed_writers: tuple[str, ...] = ()
        self._timer: threading.Timer | None = None
        self.host = self._begin(plan, Beginning())

    def _begin(self, plan: LoopPlan, beginning: Beginning) -> Host:
        """Make the host that the loop's pool asks for."""
        host = self._host(plan)
        host.manager.life.may_restart = self.supervisor.allows
        self._set_beginning(host, beginning)
        host.ended.add_done_callback(lambda _: self._let_go(host))
        return host

    def _let_go(self, host: Host) -> None:
        """Close the checkpoint behind the last attempt."""
        if self.checkpoint_writer is not None and host is self.host:
            self.checkpoint_writer.close()

    @staticmethod
    def _set_beginning(host: Host, beginning: Beginning) -> None:
        host.manager.beginning, host.manager.made = beginning, beginning.made

    def _host(self, plan: LoopPlan) -> Host:
        o = self._live
        match plan.options.pool:
            case "asyncio":
                return AsyncioHost(self._manager(plan), o.on_ended, o.kernel_loop)
            case "process":
                from flownb.engine.hosts.process import ProcessHost

                return ProcessHost(self._proxy(plan), o.on_ended, self._pickled(plan))
            case "dask":
                from flownb.engine.hosts.dask import DaskHost

                # workers have an environment and a logging of their own
                pickled = replace(self._pickled(plan), environ={}, logs=())
                return DaskHost(self._proxy(plan), o.on_ended, pickled, o.client)
        return ThreadHost(self._manager(plan), o.on_ended)

    def _manager(self, plan: LoopPlan) -> LoopManager:
        o = self._live
        return LoopManager(
            plan,
            world=World(),
            stream=Stream([self.meter, self.history, self.outputs, *self._watching]),
            gates=o.gates,
            queues=QueueManager(
                o.server,
                graph=o.name,
                specs=o.specs,
                consumer=plan.loop,
                namespace=o.namespace,
                patient=True,
            ),
            tools=o.tools,
            middleware=o.middleware,
            given=o.given,
        )

    def _proxy(self, plan: LoopPlan) -> LoopProxy:
        return LoopProxy(plan, self.meter, [self.history, *self._watching], self.outputs)

    def _pickled(self, plan: LoopPlan) -> PickledLoop:
        o = self._live
        server = o.server if o.needs_server else None
        tools = global_tools if o.tools is None else o.tools
        return PickledLoop(
            plan, server, tuple(o.specs), o.namespace, tools, o.middleware,
            watched=bool(o.watching), traced=any(one.traces for one in o.watching),
            environ=environment(), logs=logs(),
        )  # fmt: skip

    # -- starting --------------------------------------------------------------

    def _checkpoint_writer(self, plan: LoopPlan, *, fresh: bool) -> CheckpointWriter | None:
        """Make the writer of the loop's checkpoint, if it has one and can go on from it."""
        store = self._live.workflow.loop_options(plan.loop).checkpoint
        if store is None:
            return None
        from flownb.engine.checkpoints.writer import CheckpointWriter

        return CheckpointWriter(
            store, plan, self.meter, say=self.say, on_kept=self._kept, fresh=fresh, now=self._now
        )

    def say(self, level: str, text: str) -> None:
        """Write a line into the loop's log."""
        self.history.logs.append(LogLine(self._now(), self.name, "", -1, level, text))

    def publish(self, kind: str, data: Any) -> None:
        """Publish an event of the loop that the orchestrator knows of."""
        self.manager.stream.event((self._now(), kind, self.name, "", -1, data))

    def start(self) -> None:
        """Start the loop where its checkpoint says, unless it was stopped; returns at once."""
        with self._lock:
            if self._stopping or self._launched:
                return
            self._launched = True
            self._claiming = self.checkpoint_writer is not None
        if self.checkpoint_writer is None:
            self.host.start(self._live.origin)  # commands that came meanwhile are carried out
            return
        name = f"flownb claim {self.name}"
        threading.Thread(
            target=self._start_where, args=(self.checkpoint_writer,), name=name, daemon=True
        ).start()

    def _start_where(self, writer: CheckpointWriter) -> None:
        try:
            beginning = writer.claim()
        except Exception as error:  # noqa: BLE001 - a store of the user's may raise anything
            self._claiming = False
            self.host.manager.life.may_restart = lambda _: False  # where would it begin?
            self.host.refuse(error)
            return
        with self._lock:
            self._released = self.meter.counts["released"]
            self._claiming = False
            self._set_beginning(self.host, beginning)
            stopped = self._stopping
        if not stopped:
            self.host.start(self._live.origin)

    def _kept(self, number: int, attempt: int, trouble: str) -> None:
        """Tell the loop that its checkpoint is in the store."""
        if self.checkpoint_writer is not None and attempt == self.checkpoint_writer.attempt:
            self.host.command("kept", number, trouble)

    # -- attempts --------------------------------------------------------------

    def renew(self) -> None:
        """Make another attempt after a crash, in a while; called by the one that ended."""
        crashed = self.manager
        with self._lock:
            try:
                again = None if self.checkpoint_writer is None else self.checkpoint_writer.again()
                self.host = self._begin(self._wanted, again or Beginning(crashed.made))
            except Exception as error:  # noqa: BLE001 - e.g. what cannot be pickled any more
                crashed.life.restarting, crashed.life.may_restart = False, lambda _: False
                crashed.life.give_up(error)
                return
            if not self._stopping:
                self._start_in_a_while(crashed.life.reason)
                return
        self.host.never()

    def _start_in_a_while(self, reason: str) -> None:
        self._remind()
        life = self.host.manager.life
        life.state, life.reason = "starting", reason
        self._timer = threading.Timer(self.supervisor.wait(), self._start_again)
        self._timer.name, self._timer.daemon = f"flownb restart {self.name}", True
        self._timer.start()

    def _remind(self) -> None:
        """Ask of the new attempt what was asked of the one that crashed."""
        if self._fed_up:
            self.host.command("writers_done")
        if self._paused:
            self.host.command("pause")

    def pause(self) -> None:
        """Make no new item after the next release, also not after a crash."""
        self._paused = True
        self.host.command("pause")

    def resume(self) -> None:
        """Go on."""
        self._paused, self._resumed.asked = False, True
        self.host.command("resume")

    def writers_done(self, failed: Sequence[str] = ()) -> None:
        """Nobody pushes to the queue that drives this loop any more; *failed* because of errors."""
        self._fed_up, self._failed_writers = True, tuple(failed)
        self.host.command("writers_done")

    def _start_again(self) -> None:
        with self._lock:
            if self._timer is None:
                return
            self._timer = None
        self.publish("restarted", self.supervisor.attempt)
        self.host.start(self._live.origin)

    def stop(self, grace: float) -> None:
        """Stop the loop, or see to it that it does not start any more; from any thread."""
        with self._lock:
            self._stopping = True
            timer, self._timer = self._timer, None
            early = timer is not None or not self._launched or self._claiming
        if timer is not None:
            timer.cancel()
        if early:
            self.host.never()
        else:
            self.host.command("stop", grace)

    @property
    def manager(self) -> LoopHandle:
        """The loop, or what the notebook knows of it when it lives elsewhere."""
        handle: LoopHandle = self.host.manager
        return handle

    # -- generations -----------------------------------------------------------

    def differs_from(self, plan: LoopPlan) -> bool:
        """Whether *plan* is another than the one that runs or is to run."""
        old = self._wanted
        return (old.nodes, old.options, old.policy) != (plan.nodes, plan.options, plan.policy)

    def apply(self, plan: LoopPlan) -> None:
        """Hand the loop its next plan."""
        self._wanted = plan
        self.outputs.grow({n.name: n.node.keep for n in plan.nodes})
        self.host.command("apply", plan, tuple(self._live.specs))

    @property
    def has_applied(self) -> bool:
        """Whether new items follow the last plan that was handed over."""
        return self.manager.plan is self._wanted or self.has_ended

    # -- where it stands -------------------------------------------------------

    @property
    def state(self) -> LoopState:
        """The state of the loop."""
        state: LoopState = self.manager.life.state
        return state

    @property
    def has_ended(self) -> bool:
        """Whether it is in a final state."""
        return self.state in ENDED

    @property
    def is_ending(self) -> bool:
        """Whether it makes no item any more, and no other attempt follows."""
        return self._stopping or (not self.manager.life.restarting and self.has_ended)

    @property
    def is_stuck(self) -> bool:
        """Whether an error has paused it, and nobody has asked it to go on since."""
        return self.state == "paused" and bool(self.manager.life.reason) and not self._resumed.asked

    def has_released(self, iterations: int | None) -> bool:
        """Whether that many items have been released since the start."""
        return iterations is not None and self.released >= iterations

    @property
    def released(self) -> int:
        """How many items have been released since this start."""
        return 0 if self._claiming else self.meter.counts["released"] - self._released

    def step(self) -> int:
        """Have the paused loop make one item; give the number of this step."""
        self._steps += 1
        self.host.command("step")
        return self._steps

    def has_stepped(self, number: int) -> bool:
        """Whether the step of that number is over: its item released, or given up."""
        return self.has_ended or self.meter.counts["stepped"] >= number

    def raise_error(self) -> None:
        """Raise what ended the loop in state error."""
        if self.state == "error":
            error = self.manager.error
            if isinstance(error, NodeFailed):
                raise error.with_traceback(None)  # each time anew
            why = "" if error is None else told(error)
            msg = f"loop {self.name!r} ended in state error: {why}"
            raise RunError(msg) from error

    def metrics(self) -> LoopMetrics:
        """Freeze the counters."""
        manager = self.manager
        return self.meter.snapshot(self._now(), manager.slots.figures, at_work(manager))

    def _now(self) -> float:
        """Seconds since the run began, also for a loop that waits for its next attempt."""
        return float(self.manager.now()) or time.monotonic() - self._live.origin

    def status(self, counted: LoopMetrics | None = None) -> LoopStatus:
        """Say where the loop stands, by the counters *counted*, or those of now."""
        m = self.metrics() if counted is None else counted
        return LoopStatus(
            self.name, self.state, self.host.pool, self._reason(), m.released,
            m.done, m.failed, m.failed_ticks, m.in_flight, m.rate, self._last_error(),
            m.unread, m.unsent,
        )  # fmt: skip

    def _reason(self) -> str:
        """Say why it is paused, what it waits for, or why it has ended."""
        trouble = "" if self.checkpoint_writer is None else self.checkpoint_writer.problem
        known = self.manager.life.reason or self._away() or self._held() or self._why()
        return known or trouble or self._cut_off() or self.remark or self._waits_for_writers()

    def _waits_for_writers(self) -> str:
        """Say that the loops that feed it were stopped: it waits until they start again."""
        if self.state != "running" or self.manager.plan.reads is None:
            return ""
        loop_runs = self._live.loop_runs
        feeders = self._live.links.feeders(loop_runs).get(self.name, set()) & loop_runs.keys()
        states = {name: loop_runs[name].state for name in sorted(feeders)}
        stopped = [name for name, state in states.items() if state == "stopped"]
        if not stopped or not ENDED.issuperset(states.values()):
            return ""
        was = "was" if len(stopped) == 1 else "were"
        return f"waits for more: {', '.join(stopped)} {was} stopped"

    def _cut_off(self) -> str:
        """Say that it has completed because the loops that fed it have failed."""
        if self.state != "completed" or not self._failed_writers:
            return ""
        return f"{', '.join(self._failed_writers)}, which fed it, ended in state error"

    def _away(self) -> str:
        if self.has_ended or not self._absence.where:
            return ""
        since = self.manager.now() - self._absence.since
        return f"redis is away since {since:.0f} s ({self._absence.where})"

    def _held(self) -> str:
        if self.has_ended or not self._stalled.node:
            return ""
        since = self.manager.now() - self._stalled.since
        return f"node {self._stalled.node!r} holds its event loop since {since:.0f} s"

    def _why(self) -> str:
        if self.manager.abandoned:
            return "abandoned: " + ", ".join(self.manager.abandoned)
        error = self.manager.error
        return "" if error is None else told(error)

    def _last_error(self) -> str:
        failures: list[Any] = list(self.history.failures)
        if not failures:
            return ""
        last = failures[-1]
        return f"{last.node}: {told(last.error)}"


LIMIT: Final = 5
WINDOW: Final = 60.0
_BACKOFF: Final = Retry(on=Exception, wait_initial=0.1, wait_max=5.0)


class Supervisor:
    """Remembers the crashes of one loop; *now* gives seconds.

    >>> supervisor = Supervisor("on_crash", now=lambda: 0.0)
    >>> [supervisor.allows(RuntimeError()) and supervisor.wait() for _ in range(6)]
    [0.1, 0.2, 0.4, 0.8, 1.6, False]
    """

    def __init__(self, restart: Restart, *, now: Callable[[], float] = time.monotonic) -> None:
        self.restart, self._now = restart, now
        self._crashes: deque[float] = deque()
        self.attempt = 1

    def allows(self, error: BaseException) -> bool:
        """Whether the loop starts again after this error."""
        return (
            self.restart == "on_crash"
            and not isinstance(error, (NodeFailed, GraphError, StoreError))
            and len(self._recent()) < LIMIT
        )

    def wait(self) -> float:
        """Note a crash; give the seconds until the next attempt."""
        self._crashes.append(self._now())
        self.attempt += 1
        return _BACKOFF.wait(len(self._crashes))

    def _recent(self) -> deque[float]:
        while self._crashes and self._crashes[0] < self._now() - WINDOW:
            self._crashes.popleft()
        return self._crashes
