"""Who carries out the one-shot runs that were asked for over HTTP? Workers on a loop of their own.

A run is kept in the store, as pending, before its POST is answered. From then on it is carried
out as `resume` does it: by this server, or by the next one of the same name on the same store,
after a SIGKILL too. So a server that ends leaves its runs as they are.

Runs live on an event loop in a thread of their own: a node that holds it does not hold HTTP.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import threading
import time
from collections import OrderedDict, deque
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from flownb.engine.orchestrator.requests import EventLoopThread
from flownb.engine.prints import captured
from flownb.errors import GraphError, NotKept, StoreError, told

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from flownb.graph import Graph
    from flownb.model.tools import ToolRegistry
    from flownb.records.workflow_run import WorkflowRun
    from flownb.server.security import Caps
    from flownb.stores.base import GraphRecord, RunRecord, RunStore, Step, Store

log = logging.getLogger("flownb.server")
_REMEMBERED: Final = 200  # runs that ended, whose lines are still known
_MOST: Final = 1_000_000  # runs that are taken up at a start
_GOODBYE: Final = 10.0  # seconds that calls have to end when the server stops
OPEN: Final = frozenset({"pending", "running"})


class TooManyRuns(Exception):
    """As many runs wait as may."""


class Graphs:
    """The graphs that may be run: those given in Python, and those in the store, by version."""

    def __init__(self, store: Store, tools: ToolRegistry, given: Mapping[str, Graph]) -> None:
        self.store, self.tools, self.given = store.graphs, tools, dict(given)
        self._made: OrderedDict[tuple[str, int], Graph] = OrderedDict()
        self._lock = threading.Lock()

    def make(self, document: Mapping[str, Any]) -> Graph:
        """Build a graph from a document; GraphError names each place that is wrong."""
        from flownb.graph import Graph

        return Graph.from_dict(dict(document), tools=self.tools)

    def get(self, name: str, version: int | None = None) -> Graph:
        """Give a graph; NotKept if there is none."""
        if version is None and name in self.given:
            return self.given[name]
        record = self.store.load(name, version)
        with self._lock:
            if (name, record.version) not in self._made:
                self._made[name, record.version] = self.make(record.document)
                while len(self._made) > _REMEMBERED:
                    self._made.popitem(last=False)
            return self._made[name, record.version]

    def for_run(self, run: RunRecord) -> list[Graph]:
        """Give the graphs that a run may be of: the one it was begun with first."""
        if run.graph in self.given:
            return [self.given[run.graph]]
        versions = self.store.list(name=run.graph)
        if not versions:
            self.store.load(run.graph)  # says that there is none
        before = [v for v in versions if v.saved <= run.created]
        after: list[GraphRecord] = [v for v in versions if v.saved > run.created]
        return [self.get(run.graph, v.version) for v in [*before, *reversed(after)]]


@dataclass(eq=False)
class _OpenRun:
    """A run that waits or works here."""

    run_id: str
    graph: Graph | None
    ended: Future[None] = field(default_factory=Future)
    task: asyncio.Task[None] | None = None
    run: WorkflowRun | None = None
    is_cancelled: bool = False


class RunManager:
    """Takes runs, carries them out, and knows those that it carries out."""

    def __init__(
        self,
        store: Store,
        graphs: Graphs,
        tools: ToolRegistry,
        caps: Caps,
        *,
        server: str,
        on_change: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._kept, self._graphs, self._tools, self._caps = store.runs, graphs, tools, caps
        self._server, self._on_change = server, on_change
        self._store = _Going(store.runs, self)
        self._open: dict[str, _OpenRun] = {}
        self._waiting: deque[_OpenRun] = deque()
        self._over: OrderedDict[str, WorkflowRun] = OrderedDict()
        self._working = 0
        self._closing = False
        self._lock = threading.Lock()
        self._thread: EventLoopThread | None = None

    @property
    def open_runs(self) -> int:
        """How many runs wait or work."""
        return len(self._open)

    # -- the server's life -----------------------------------------------------

    def start(self) -> int:
        """Take up what the last server of this name has left; how many runs these are."""
        self._thread, self._closing = EventLoopThread("flownb server runs"), False
        left = [
            head
            for status in sorted(OPEN)
            for head in self._kept.list(status=status, limit=_MOST)  # type: ignore[arg-type]
            if head.run_id.startswith(f"{self._server}.")
        ]
        for head in sorted(left, key=lambda head: head.created):
            self._add(_OpenRun(head.run_id, None))
        return len(left)

    async def close(self) -> None:
        """End what works; it stays in the store, for the next server to go on with."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        with self._lock:
            self._closing = True
            left = list(self._open.values())
            self._waiting.clear()
        ending = asyncio.run_coroutine_threadsafe(self._end(left), thread.event_loop)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.wrap_future(ending), _GOODBYE + 1)
        thread.stop()

    async def _end(self, left: Sequence[_OpenRun]) -> None:
        tasks = [one.task for one in left if one.task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_GOODBYE)
        for one in left:
            self._open.pop(one.run_id, None)
            if not one.ended.done():
                one.ended.set_result(None)

    # -- asking; from any thread -----------------------------------------------

    def submit(
        self,
        name: str,
        version: int | None,
        state: Any,
        options: Mapping[str, Any],
        key: str | None = None,
    ) -> tuple[str, bool]:
        """Keep a run and have it carried out; its id, and whether it is a new one.

        Raises TooManyRuns, GraphError, NotKept, StoreError.
        """
        run_id = f"{self._server}.{key or f'{time.time_ns():016x}{secrets.token_hex(4)}'}"
        if key is not None and self._is_kept(run_id):
            return run_id, False
        if len(self._open) >= self._caps.max_open_runs:
            raise TooManyRuns
        graph = self._graphs.get(name, version)
        one = _OpenRun(run_id, graph)
        with self._lock:  # one at a time: a graph remembers one plan
            if run_id in self._open:
                return run_id, False
            graph._submit(state, store=self._kept, run_id=run_id, **options)
        self._add(one)
        return run_id, True

    def _is_kept(self, run_id: str) -> bool:
        try:
            self._kept.load(run_id)
        except NotKept:
            return False
        return True

    def resume(self, run_id: str) -> bool:
        """Have a run that ended early carried out from where it stands; False if it works."""
        record = self._kept.load(run_id)
        if run_id in self._open:
            return False
        if record.status == "completed":
            msg = f"run {run_id!r} is completed: there is nothing to resume"
            raise GraphError(msg)
        self._kept.save(replace(record, status="pending", updated=time.time(), steps=()))
        self._add(_OpenRun(run_id, None))
        return True

    def cancel(self, run_id: str) -> Future[None] | None:
        """End a run; what it did is kept. None if it does not wait or work here."""
        with self._lock:
            one = self._open.get(run_id)
            if one is None:
                return None
            one.is_cancelled = True
            waits = one in self._waiting
            if waits:
                self._waiting.remove(one)
        if waits:
            self._mark(run_id, "cancelled", None)
            self._ended(one)
        elif self._thread is not None:
            self._thread.event_loop.call_soon_threadsafe(self._cancel, one)
        return one.ended

    def _cancel(self, one: _OpenRun) -> None:
        if one.task is not None:
            one.task.cancel()

    def live(self, run_id: str) -> WorkflowRun | None:
        """Give a run that works here, or ended here not long ago."""
        one = self._open.get(run_id)
        return self._over.get(run_id) if one is None else one.run

    def is_open(self, run_id: str) -> bool:
        """Whether a run waits or works here."""
        return run_id in self._open

    async def wait(self, run_id: str, timeout: float) -> None:
        """Wait until a run has ended, at most so many seconds."""
        one = self._open.get(run_id)
        if one is not None and timeout > 0:
            await asyncio.wait([asyncio.wrap_future(one.ended)], timeout=timeout)

    # -- carrying out; on the event loop of the runs ---------------------------

    def _add(self, one: _OpenRun) -> None:
        with self._lock:
            if self._closing or self._thread is None:
                return  # it is kept: the next server finds it
            self._open[one.run_id] = one
            self._waiting.append(one)
            loop = self._thread.event_loop
        loop.call_soon_threadsafe(self._pump)

    def _pump(self) -> None:
        while True:
            with self._lock:
                full = self._working >= self._caps.max_running
                if full or not self._waiting or self._closing:
                    return
                one = self._waiting.popleft()
                self._working += 1
                one.task = asyncio.get_running_loop().create_task(self._carry_out(one))

    async def _carry_out(self, one: _OpenRun) -> None:
        try:
            await self._go(one)
        except asyncio.CancelledError:
            if one.run is None and one.is_cancelled:
                self._mark(one.run_id, "cancelled", None)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this run's
            if one.run is None:  # it could not even begin
                self._mark(one.run_id, "failed", told(error))
        finally:
            self._working -= 1
            self._ended(one)
            self._pump()

    async def _go(self, one: _OpenRun) -> None:
        execution = await asyncio.to_thread(self._execution, one)
        one.run = execution.run
        self._on_change(one.run_id)
        with captured():
            await execution.go()

    def _execution(self, one: _OpenRun) -> Any:
        graphs = (
            [one.graph]
            if one.graph is not None
            else self._graphs.for_run(self._kept.load(one.run_id))
        )
        wrong: GraphError | None = None
        for graph in graphs:
            try:
                with self._lock:
                    return graph._take_up(one.run_id, store=self._store, tools=self._tools)
            except GraphError as error:  # this version has other nodes than the run
                wrong = wrong or error
        raise wrong or NotKept(f"the graph of run {one.run_id!r} is not kept any more")

    def _mark(self, run_id: str, status: Any, error: str | None) -> None:
        try:
            record = self._kept.load(run_id)
            self._kept.save(
                replace(record, status=status, error=error, updated=time.time(), steps=())
            )
        except StoreError as fault:
            log.warning("run %s: %s", run_id, told(fault))

    def _ended(self, one: _OpenRun) -> None:
        with self._lock:
            self._open.pop(one.run_id, None)
            if one.run is not None:
                self._over[one.run_id] = one.run
                while len(self._over) > _REMEMBERED:
                    self._over.popitem(last=False)
        if not one.ended.done():
            one.ended.set_result(None)
        self._on_change(one.run_id)

    def is_left(self, run_id: str) -> bool:
        """Whether a run that ends now ends because the server does."""
        one = self._open.get(run_id)
        return self._closing and (one is None or not one.is_cancelled)


class _Going:
    """A store in which what is cut off by the server's end is pending, not cancelled."""

    def __init__(self, store: RunStore, manager: RunManager) -> None:
        self._store, self._manager = store, manager
        self.quick, self.max_bytes = store.quick, store.max_bytes
        self.load, self.list = store.load, store.list
        self.append: Callable[[str, Sequence[Step]], None] = store.append
        self.delete = store.delete

    def save(self, run: RunRecord) -> None:
        if run.status == "cancelled" and self._manager.is_left(run.run_id):
            run = replace(run, status="pending", state=None)
        self._store.save(run)

    def close(self) -> None:
        """The server closes its store itself."""
