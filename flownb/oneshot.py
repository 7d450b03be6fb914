"""How is a graph without a producer run? Once: `run`, and `resume` after a crash.

The verbs of `Graph` for one-shot runs, a file of their own. What they do is done below.
"""

from __future__ import annotations

import copy as _copy
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, Self

from flownb.arguments import FLAG, NONE, SECONDS, TEXT, checked
from flownb.errors import StoreError
from flownb.model.edges import Edge
from flownb.model.nodes import Node, with_own_limit
from flownb.model.parts import Part
from flownb.model.policies import UNCHANGED, Limit
from flownb.model.tools import checked_tools
from flownb.model.workflow import Workflow
from flownb.records.events import NOTHING
from flownb.tracebacks import folded

if TYPE_CHECKING:
    from os import PathLike

    from redis import Redis
    from redis.asyncio import Redis as AsyncRedis

    from flownb.engine.calls.runner import Runner
    from flownb.engine.observe.stream import Middleware, Observer
    from flownb.engine.orchestrator.orchestrator import Orchestrator
    from flownb.engine.runs.console import RunDisplay
    from flownb.engine.runs.execution import Execution
    from flownb.model.policies import RunOnError, StartRule
    from flownb.model.tools import ToolRegistry
    from flownb.model.topology import NodeRef
    from flownb.plan.loop_plan import LoopPlan
    from flownb.records.workflow_run import WorkflowRun
    from flownb.stores.base import RunStore, Store

    _Redis = str | Redis | AsyncRedis

    Given = Mapping[str, Any]
    Made = tuple[Callable[..., Execution], RunDisplay]


class OneShot(Workflow):
    """A workflow that can be run once."""

    def __init__(
        self,
        name: str,
        *,
        state_model: type | None = None,
        reducers: Mapping[str, Callable[[Any, Any], Any]] | None = None,
    ) -> None:
        super().__init__(name, state_model=state_model, reducers=reducers)
        self._using: list[Observer | Middleware] = []
        self.last_run: WorkflowRun | None = None
        self._once: tuple[Any, LoopPlan, deque[list[Runner]]] | None = None
        self._last_start: Orchestrator | None = None
        self._store: Any = None
        self._stepped: dict[str, Any] = {}  # what nodes tried by step() passed on last

    def __getstate__(self) -> dict[str, Any]:
        """Give the definition, without what runs or ran: this is what every copy begins with.

        So `copy.copy`, `copy.deepcopy`, pickle and cloudpickle take a graph at any time, and
        what is added to a copy is not added here.
        """
        own = {
            k: _copy.copy(v) if isinstance(v, (dict, list, set)) else v
            for k, v in vars(self).items()
        }
        own["nodes"] = {name: with_own_limit(node) for name, node in self.nodes.items()}
        own["_parts"] = {k: replace(p, nodes=dict(p.nodes)) for k, p in self._parts.items()}
        nothing_ran = {"last_run": None, "_last_start": None, "_once": None, "_store": None}
        nothing_ran["_canvas"] = None
        return {**own, **nothing_ran, "_stepped": {}}

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Copy the definition; functions, limits and what cannot be copied are shared.

        >>> from copy import deepcopy
        >>> from flownb import Graph
        >>> graph = Graph("g").add_node("double", lambda state: {"n": state["n"] * 2})
        >>> run = graph.run({"n": 4})
        >>> deepcopy(graph).run({"n": 5}).state, graph.last_run is run
        ({'n': 10}, True)
        """
        made = memo[id(self)] = _copy.copy(self)
        for name, value in vars(made).items():
            setattr(made, name, _deep(value, memo))
        return made

    @folded
    def run(
        self,
        state: Any = None,
        *,
        max_concurrency: int | None = None,
        max_iterations: int | None = None,
        start_rule: StartRule = "dataflow",
        on_error: RunOnError = "stop",
        progress: bool = False,
        tools: ToolRegistry | None = None,
        redis: _Redis | Sequence[_Redis | None] | Orchestrator | None = None,
        store: str | PathLike[str] | Store | RunStore | None = None,
        run_id: str | None = None,
        persistence_interval: float = 0.0,
        copy: bool = True,
    ) -> WorkflowRun:
        """Run a graph without a producer once, from *state* to its final state.

        Each node gets the state as its ancestors left it, and the dict that it returns
        is folded in. With a *state* that is no dict (a number, a list) each node gets
        what the one before it returned. Works in a cell too: it uses a helper thread. The
        *state* is copied, so that a node may change what is inside it; *copy=False* leaves that
        out where it is too dear. What cannot be copied, a client say, is shared.

        At most *max_concurrency* nodes work at a time, those with the longest way to go
        first; a node in a cycle runs at most *max_iterations* times. *start_rule* "dataflow": a
        node starts when the nodes before it have ended; "level": when all nodes of the level
        before have; "sequential": one after the other. *tools* is what nodes find as
        `ctx.tools`. *on_error* is what
        happens when a node has failed for good and does not say so itself: "stop", or
        "continue" (nodes behind it run; `ctx.failed` names it). *progress* shows a bar.

        With a *store* (the path of a SQLite file, a URL, what `open_store` gave) every step
        is kept, so that `resume` can take the run up after a crash: before and after each
        node, or with a *persistence_interval* every so many seconds. States are kept as
        JSON, secrets in them too: leave those out. *run_id* names the run; one of the same
        name that is completed is replaced, one that can be taken up is not. Without *store*
        it is the one that the environment variable `FLOWNB_STORE` names, if it is set;
        `store="memory://"` then keeps a run out of it.

        Nodes push to queues as in a loop: to those named in this graph, on *redis* (a URL or
        client; without it in this kernel, where `run.queues` finds them), or to those of
        loops that run, if *redis* is what `start()` gave.

        Raises GraphError for mistakes in the graph, IterationLimit, StateConflict, StoreError,
        and what a node raised, with the node named; `last_run` then has the log and state.

        >>> from flownb import Graph
        >>> graph = Graph("g").add_node("double", lambda state: {"n": state["n"] * 2})
        >>> graph.run({"n": 4}).state
        {'n': 8}
        """
        from flownb.engine.runs.console import run_in_thread

        options = _options(start_rule, max_concurrency, max_iterations, on_error)
        given = {"tools": tools, "redis": redis}
        state = _copied(state, copy=copy)
        with _kept(store, run_id, persistence_interval) as keep:
            return run_in_thread(*self._new(state, options, keep, given, progress=progress))

    @folded
    async def arun(
        self,
        state: Any = None,
        *,
        max_concurrency: int | None = None,
        max_iterations: int | None = None,
        start_rule: StartRule = "dataflow",
        on_error: RunOnError = "stop",
        progress: bool = False,
        tools: ToolRegistry | None = None,
        redis: _Redis | Sequence[_Redis | None] | Orchestrator | None = None,
        store: str | PathLike[str] | Store | RunStore | None = None,
        run_id: str | None = None,
        persistence_interval: float = 0.0,
        copy: bool = True,
    ) -> WorkflowRun:
        """Run once, as `run` does, on the event loop that awaits it; cancel it by its task.

        The options are those of `run`.
        """
        from flownb.engine.runs.console import run_here

        options = _options(start_rule, max_concurrency, max_iterations, on_error)
        given = {"tools": tools, "redis": redis}
        state = _copied(state, copy=copy)
        with _kept(store, run_id, persistence_interval) as keep:
            return await run_here(*self._new(state, options, keep, given, progress=progress))

    @folded
    def resume(
        self,
        run_id: str,
        *,
        store: str | PathLike[str] | Store | RunStore | None = None,
        persistence_interval: float = 0.0,
        progress: bool = False,
        tools: ToolRegistry | None = None,
        redis: _Redis | Sequence[_Redis | None] | Orchestrator | None = None,
        max_concurrency: int | None = UNCHANGED,
        max_iterations: int | None = UNCHANGED,
        start_rule: StartRule = UNCHANGED,
        on_error: RunOnError = UNCHANGED,
    ) -> WorkflowRun:
        """Take up a run that crashed, failed or was cancelled; nodes that ended do not run again.

        What was under way when it stopped is started again. The graph must have the same
        nodes and edges, else GraphError says what is different; a function may have been
        mended. *max_concurrency*, *max_iterations*, *start_rule* and *on_error* are what they
        were in `run`, unless they are given here; *persistence_interval*, *progress*, *tools* and
        *redis* are as there. Without *store* it is the one this graph used
        last, else `$FLOWNB_STORE` or `flownb-runs.sqlite`.

        >>> from flownb import Graph
        >>> from flownb.stores import open_store
        >>> store = open_store("memory://")
        >>> graph = Graph("g").add_node("inverse", lambda state: {"n": 1 / state["n"]})
        >>> try:
        ...     graph.run({"n": 0}, store=store, run_id="r1")
        ... except ZeroDivisionError:
        ...     graph.add_node("inverse", lambda state: {"n": None}).resume("r1").state
        {'n': None}
        """
        from flownb.engine.runs.console import run_in_thread

        kept, given = (run_id, store, persistence_interval), {"tools": tools, "redis": redis}
        options = _options(start_rule, max_concurrency, max_iterations, on_error)
        return run_in_thread(*self._taken_up(kept, options, given, progress=progress))

    @folded
    async def aresume(
        self,
        run_id: str,
        *,
        store: str | PathLike[str] | Store | RunStore | None = None,
        persistence_interval: float = 0.0,
        progress: bool = False,
        tools: ToolRegistry | None = None,
        redis: _Redis | Sequence[_Redis | None] | Orchestrator | None = None,
        max_concurrency: int | None = UNCHANGED,
        max_iterations: int | None = UNCHANGED,
        start_rule: StartRule = UNCHANGED,
        on_error: RunOnError = UNCHANGED,
    ) -> WorkflowRun:
        """Take up a run, as `resume` does, on the event loop that awaits it.

        The options are those of `resume`.
        """
        from flownb.engine.runs.console import run_here

        kept, given = (run_id, store, persistence_interval), {"tools": tools, "redis": redis}
        options = _options(start_rule, max_concurrency, max_iterations, on_error)
        return await run_here(*self._taken_up(kept, options, given, progress=progress))

    @folded
    def step(self, node: NodeRef, item: Any = NOTHING, *, tools: ToolRegistry | None = None) -> Any:
        """Call one node, and give what it returned; of an if its verdict.

        Without *item* it gets what the nodes before it gave last: in a step, in the last
        run, or in the loops that were started last. Retry, timeout, cache and `ctx` (with its
        *tools*) are as in a run; what it raises is raised here, what it pushes is checked and
        thrown away.

        >>> from flownb import Graph
        >>> graph = Graph("g").add_node("double", lambda s: {"n": s["n"] * 2})
        >>> graph = graph.add_node("text", lambda s: {"t": f"n is {s['n']}"})
        >>> graph.add_edge("double", "text").step("double", {"n": 4}), graph.step("text")
        ({'n': 8}, {'t': 'n is 8'})
        """
        from flownb.engine.runs.one_node import step

        return step(self, self._ref(node), item, tools)

    # -- for who carries runs out for others -----------------------------------

    def _submit(self, state: Any, *, store: RunStore, run_id: str, **options: Any) -> None:
        """Keep a run as pending: once this has returned, no crash can lose it."""
        from flownb.engine.runs.resume import KeptRun

        given = _options(**options)
        journal = KeptRun(store).begin(self._plan_once(given), state, run_id, given)
        store.save(replace(journal.record, attempt=0))

    def _take_up(self, run_id: str, *, store: RunStore, tools: ToolRegistry | None) -> Execution:
        """Give what carries out a run that is kept, from where it stands; nothing is shown."""
        make, _ = self._taken_up(
            (run_id, store, 0.0), {}, {"tools": tools, "redis": None}, progress=False
        )
        return make()

    # -- what both faces share -------------------------------------------------

    def _new(
        self, state: Any, options: Mapping[str, Any], keep: Any, given: Given, *, progress: bool
    ) -> Made:
        plan, more = self._plan_once(options), {}
        if keep is not None:
            from flownb.engine.runs.resume import KeptRun

            store, run_id, interval = keep
            with KeptRun(store, interval=interval) as place:
                journal = place.begin(plan, state, run_id, options)
            self._store = store
            more = {"journal": journal, "run_id": journal.record.run_id}
        return self._made(plan, state, more, given, progress=progress)

    def _taken_up(
        self, kept: Any, options: Mapping[str, Any], given: Given, *, progress: bool
    ) -> Made:
        from flownb.engine.runs.resume import KeptRun

        run_id, store, interval = kept
        run_id = checked("resume()", "run_id", run_id, TEXT)
        interval = checked("resume()", "persistence_interval", interval, SECONDS)
        store = self._store if store is None else store
        with KeptRun(store, interval=interval) as place:
            record = place.load(run_id)
            named = {name: value for name, value in options.items() if value is not UNCHANGED}
            plan = self._plan_once(_options(**{**record.options, **named}))
            journal, replay = place.take_up(plan, record)
        self._store = store
        more = {"journal": journal, "replay": replay, "run_id": run_id}
        entry = _copy.deepcopy(record.input)  # a node may change what is inside it
        return self._made(plan, entry, more, given, progress=progress)

    def _made(
        self, plan: LoopPlan, entry: Any, more: Mapping[str, Any], given: Given, *, progress: bool
    ) -> Made:
        from flownb.engine.runs.console import RunDisplay
        from flownb.engine.runs.execution import Execution
        from flownb.engine.runs.run_queues import RunQueue

        progress = checked("run()", "progress", progress, FLAG)
        tools = checked_tools("run()", given["tools"])
        outlet = RunQueue(plan, given["redis"], among=self)

        def make(**showing: Any) -> Execution:
            execution = Execution(
                plan, entry, using=self._using, tools=tools, idle=self._idle(plan), outlet=outlet,
                **more, **showing,
            )  # fmt: skip
            self.last_run, self._stepped = execution.run, {}
            return execution

        return make, RunDisplay(self.name, len(plan.nodes) - 1, progress=progress)

    def _idle(self, plan: LoopPlan) -> deque[list[Runner]] | None:
        """Give what earlier runs of this plan have left in order."""
        return self._once[2] if self._once is not None and self._once[1] is plan else None

    def _plan_once(self, options: Mapping[str, Any]) -> LoopPlan:
        """Check and compile the graph for a run; remembered until it is edited."""
        from flownb.plan.compiler import compile_once
        from flownb.validate.check import check

        extensions = list(map(id, self._using))
        asked = (self.version, options, extensions, os.environ.get("FLOWNB_MAX_ITERATIONS"))
        if self._once is None or self._once[0] != asked:
            check(self)
            self._once = (asked, compile_once(self, **options), deque())
        return self._once[1]


@contextmanager
def _kept(store: Any, run_id: str | None, interval: float) -> Iterator[tuple[Any, ...] | None]:
    """Say how a run is kept: by its store, else by that of the environment, else not."""
    run_id = checked("run()", "run_id", run_id, TEXT | NONE)
    interval = checked("run()", "persistence_interval", interval, SECONDS)
    by_variable = store is None and bool(os.environ.get("FLOWNB_STORE", "").strip())
    try:
        yield (store, run_id, interval) if by_variable or store is not None else None
    except StoreError as error:
        if by_variable and "FLOWNB_STORE" not in str(error):
            error.args = (f"FLOWNB_STORE: {error}",)
        raise


def _copied(state: Any, *, copy: bool) -> Any:
    """Copy what a run begins with: runs share nothing that can be changed."""
    if not checked("run()", "copy", copy, FLAG):
        return state
    return _isolated(state, {})


def _isolated(value: Any, memo: dict[int, Any]) -> Any:
    """Copy a value; what in it cannot be copied (a client, a generator) is shared."""
    try:
        return _copy.deepcopy(value, memo)
    except Exception:  # noqa: BLE001 - the user's own objects may raise anything
        if type(value) is dict:
            return {key: _isolated(part, memo) for key, part in value.items()}
        if type(value) in {list, tuple}:
            return type(value)(_isolated(part, memo) for part in value)
        return value


def _deep(value: Any, memo: dict[int, Any]) -> Any:
    """Copy a part of a definition. A generator or a client cannot be; a limit must not be."""
    if type(value) is dict:
        return {key: _deep(part, memo) for key, part in value.items()}
    if type(value) is list:
        return [_deep(part, memo) for part in value]
    if isinstance(value, (Node, Edge, Part)):
        parts = {f.name: _deep(getattr(value, f.name), memo) for f in fields(value)}
        return replace(value, **parts)
    if type(value) is Limit:  # one object is one limit, whatever the graph
        return value
    try:
        return _copy.deepcopy(value, memo)
    except Exception:  # noqa: BLE001 - the user's own objects may raise anything
        return value


def _options(
    start_rule: StartRule = "dataflow",
    max_concurrency: int | None = None,
    max_iterations: int | None = None,
    on_error: RunOnError = "stop",
) -> dict[str, Any]:
    from flownb.arguments import all_checked
    from flownb.plan.compiler import RUN

    given = {
        "start_rule": start_rule, "max_concurrency": max_concurrency,
        "max_iterations": max_iterations, "on_error": on_error,
    }  # fmt: skip
    named = {name: value for name, value in given.items() if value is not UNCHANGED}
    return given | all_checked("run()", RUN, named)
