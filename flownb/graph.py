"""What can be done with a workflow? `Graph`: the builder, with the verbs that run it.

The top of the package: nothing below imports it. Each verb asks one layer, and
imports it at its first use.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from flownb.arguments import (
    FLAG,
    NONE,
    TEXT,
    Rule,
    all_checked,
    answering,
    checked,
    known,
    whole,
    word,
)
from flownb.display import Shown
from flownb.errors import GraphError
from flownb.model.edges import END
from flownb.model.nodes import make_node, read_once
from flownb.model.policies import AWAIT_POLICIES
from flownb.model.tools import checked_tools
from flownb.oneshot import OneShot
from flownb.tracebacks import folded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from redis import Redis
    from redis.asyncio import Redis as AsyncRedis

    from flownb.engine.observe.stream import Middleware, Observer
    from flownb.engine.orchestrator.orchestrator import Orchestrator
    from flownb.engine.simulation.recorded_run import RecordedRun
    from flownb.engine.simulation.simulate import Simulation, Sweep
    from flownb.explain.explanation import Explanation
    from flownb.model.policies import AwaitPolicy, Control, RunOnError, StartRule
    from flownb.model.tools import ToolRegistry
    from flownb.model.topology import NodeRef
    from flownb.model.workflow import Workflow
    from flownb.plan.loop_plan import LoopPlan
    from flownb.records.metrics import LoopMetrics
    from flownb.records.timeline import Timelines
    from flownb.validate.problems import Problem

_POLICY: Final = word(*AWAIT_POLICIES) | NONE
_POLICIES: Final = Rule(
    f"give a list of await policies: {', '.join(AWAIT_POLICIES)}",
    lambda value: (
        isinstance(value, Collection)
        and not isinstance(value, str)
        and len(value) > 0
        and all(policy in AWAIT_POLICIES for policy in value)
    ),
)
_SEEDS: Final = whole("seeds to try", least=1) | Rule(
    "the seeds themselves, whole numbers",
    lambda value: isinstance(value, Iterable) and not isinstance(value, (str, bytes)),
)
_MEASURED: Final = Rule(
    "give what metrics() gave", lambda value: value is None or isinstance(value, Mapping)
)
_NETWORK: Final = Rule(
    "give a networkx.DiGraph", lambda value: hasattr(value, "nodes") and hasattr(value, "edges")
)


class Graph(OneShot, Shown):
    """A workflow that can be looked at, checked, simulated and started.

    It is data that you may look at: `name`, `nodes` and `edges` in the order in which they were
    first added, `entry_points` (where a run begins, if that was said), `options` (what
    `set_loop` was given, by loop), `unlinked` (nodes that an edit has cut off: they do not
    begin by themselves), `state_model`, `reducers`; `version` counts the edits, and `last_run`
    is the last `WorkflowRun`, None before the first; `drawing` is the React Flow JSON that it
    was read from, None if it was not.

    >>> graph = (
    ...     Graph("weather")
    ...     .add_producer("days", ["dry", "wet"], takes=0.1)
    ...     .add_node("check", str.upper, takes=0.5)
    ...     .add_node("audit", takes=2, kind="non_blocking")
    ...     .add_edge("days", "check")
    ...     .add_edge("days", "audit")
    ... )
    >>> sim = graph.simulate()
    >>> sim.releases("days"), sim.outputs("check")
    ([0.6, 1.2], ['WET'])
    """

    def __init__(
        self,
        name: str,
        *,
        state_model: type | None = None,
        reducers: Mapping[str, Callable[[Any, Any], Any]] | None = None,
    ) -> None:
        super().__init__(name, state_model=state_model, reducers=reducers)

    def use(self, *extensions: Observer | Middleware) -> Self:
        """Add observers (instances of `Observer`) and middleware to every run from now on.

        Middleware is `async def mw(call_next, node, data)`: it may change, skip or
        repeat a call, `await call_next(data)`. An observer sees everything and changes nothing.
        Raises TypeError for what is neither.
        """
        from flownb.engine.observe.stream import check_extension

        for extension in extensions:
            check_extension(extension)
        self._using += [e for e in extensions if e not in self._using]
        return self

    def clear_cache(self, *nodes: NodeRef) -> int:
        """Forget what these nodes, or all of this graph, keep with `cache=`; say how much.

        Results are kept by graph and node name in the process in which the node ran: they
        outlive a run, and a cell that builds the graph again. They are given only while the
        function, and all that it reads, is the same. Followed are, from function to
        function, in cells and in modules of your own (not in installed packages):

        - code, defaults, closures, partials, methods, what a decorator wraps, and classes
          with their bases, also when they were changed in place, reloaded or redefined;
        - global names, attributes of modules (`mod.f`, `mod.RATE`), and imports inside;
        - numbers, texts and tuples by value, lists, dicts and sets of up to 1,000 entries
          too (10,000 in all), and what is set on objects of your own classes (the first
          1,000). What the function itself sets or changes (a counter) does not count.

        An installed package is known by its name and version, what it makes (a client, an
        array) as the object that it is. Not seen are files, databases, the clock and
        random numbers, names that are text (`getattr`, `eval`, `import_module`), and what
        changes inside an array, a table or a longer list: that is when to call this.
        `validate()` tells what of it a function with `cache=` uses, where it can be seen.

        >>> graph = Graph("load once").add_node("load", lambda _: {"rows": 3}, cache=True)
        >>> [graph.run({"file": "a.csv"}).logs[0].status for _ in range(2)]
        ['completed', 'cached']
        >>> graph.clear_cache()
        1
        """
        from flownb.engine.calls.cache import cache

        names = [self._ref(node) for node in nodes]
        return cache.clear(self.name, tuple(known("node", n, self.nodes) for n in names))

    @folded
    def validate(self) -> tuple[Problem, ...]:
        """Find every mistake at once; `str()` of each is a sentence. Empty: all is well.

        The `level` of each is "error" (it cannot run), "warning" (probably wrong) or "hint"
        (right, but it may surprise: a non-blocking node that the producer waits for, because
        a blocking one stands in its arm).

        >>> from flownb import Graph
        >>> graph = Graph("g").add_producer("P").add_node("fetch")
        >>> graph = graph.add_node("notify", kind="non_blocking").add_edge("P", "fetch", "notify")
        >>> [(problem.level, problem.nodes) for problem in graph.validate()]
        [('hint', ('notify',))]
        >>> graph.set_loop("P", await_policy="blocking").validate()
        ()
        """
        from flownb.validate.check import validate

        return validate(self)

    @folded
    def plan(self, loop: NodeRef, *, policy: AwaitPolicy | None = None) -> LoopPlan:
        """Compile one loop to the flat plan that will run; raises GraphError.

        *policy* is another await policy than the loop's own.
        """
        from flownb.plan.compiler import compile_plan
        from flownb.validate.check import check

        policy = checked("plan()", "policy", policy, _POLICY)
        check(self)
        return compile_plan(self, known("loop", self._ref(loop), self.producers), policy)

    @folded
    def explain(
        self,
        *,
        policy: AwaitPolicy | None = None,
        measured: Mapping[str, LoopMetrics] | None = None,
    ) -> Explanation:
        """Say who waits for whom and why, and predict releases, rates and bottlenecks.

        *policy* explains every loop under another await policy; *measured* (what
        `metrics()` gave) stands beside what is predicted. Raises GraphError.
        """
        from flownb.explain.explanation import explain
        from flownb.validate.check import check

        policy = checked("explain()", "policy", policy, _POLICY)
        checked("explain()", "measured", measured, _MEASURED)
        check(self)
        return explain(self, policy=policy, measured=measured)

    @folded
    def simulate(
        self,
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
        tools: ToolRegistry | None = None,
        recorded: RecordedRun | None = None,
    ) -> Simulation:
        """Run all loops in virtual time, exactly the same every time.

        It ends at virtual second *until* (10 if neither is given), after *iterations*
        items of every source loop, or when nothing is left to do. A node lasts what it
        awaits on the clock, plus what it sleeps, plus its `takes=`. `time.time()` (2000-01-01 at
        the start), `monotonic` and `perf_counter` follow virtual time in it; `datetime.now()`
        cannot, and is warned of in `.logs()`. A node that sleeps past the end is ended there;
        one that computes for 5 s is named in a RuntimeWarning.

        *policy* overrides every loop's await policy, *call=False* calls no function without
        `fake=`, *check_mutation* names a node that changes a payload it shares with others (a
        SimulationError), *history* is how many spans and events are kept. *seed* decides
        all random numbers, *tools* is what nodes find as `ctx.tools`.

        A graph without producers runs once, with *payload* as its entry, as `run` would
        (which says what *start_rule*, *max_concurrency*, *max_iterations* and *on_error*
        mean); `.state` is its final state.

        *recorded* (of `orch.record()`) does a live run again: nothing is called, each call takes
        as long as it took and gives what it gave, and so each if decides. Without *until* it
        ends when all is done, or where the recording ended.

        Raises GraphError for a graph with mistakes, DeadlockError when somebody waits
        for what can never happen, LivelockError when time does not pass, and
        SimulationError when a node reaches for the outside world.
        """
        from flownb.engine.orchestrator.placement import check_supported
        from flownb.engine.simulation.simulate import SIMULATE, simulate
        from flownb.validate.check import check

        given = {
            "until": until, "iterations": iterations, "seed": seed, "policy": policy, "call": call,
            "check_mutation": check_mutation, "payload": payload, "start_rule": start_rule,
            "max_concurrency": max_concurrency, "max_iterations": max_iterations,
            "on_error": on_error, "history": history,
        }  # fmt: skip
        given = all_checked("simulate()", SIMULATE, given)
        checked_tools("simulate()", tools)
        check(self)
        check_supported(self, live=False)
        workflow: Workflow = self
        if recorded is not None:
            from flownb.engine.simulation.recorded_run import RECORDED, replayed

            checked("simulate()", "recorded", recorded, RECORDED)
            workflow = replayed(recorded, self)
            if until is None and iterations is None:
                given["until"] = inf if recorded.is_whole else recorded.duration
        return simulate(workflow, **given, tools=tools, using=self._using)

    @folded
    def compare(
        self,
        policies: Iterable[AwaitPolicy] = AWAIT_POLICIES,
        *,
        until: float | None = None,
        iterations: int | None = None,
        seed: int = 0,
        call: bool = True,
    ) -> Timelines:
        """Simulate under several await policies; the timelines stand above each other.

        One iteration of every source loop, if neither *until* nor *iterations* is given.
        *seed*, *call*, and what is raised, are as in `simulate`.
        """
        from flownb.records.timeline import Timeline

        policies = tuple(checked("compare()", "policies", policies, _POLICIES))
        if len(policies) > 1:
            self._read_again("compare()", "for each policy")
        if until is None and iterations is None:
            iterations = 1
        found: dict[str, Timeline] = {
            policy: self.simulate(
                until=until, iterations=iterations, seed=seed, policy=policy, call=call
            ).timeline
            for policy in policies
        }
        return Timeline.compare(found)

    def _read_again(self, verb: str, why: str) -> None:
        for node in self.nodes.values():
            if node.kind == "producer" and (kind := read_once(node.fn)):
                msg = (
                    f"{verb}: node {node.name!r}: its source is {kind}, which can be read once, and"
                    f" it is read again {why}: give the generator function, or a list"
                )
                raise GraphError(msg)

    @folded
    def sweep(
        self,
        check: Callable[[Simulation], object],
        *,
        seeds: int | Iterable[int] = 100,
        until: float | None = None,
        iterations: int | None = None,
        policy: AwaitPolicy | None = None,
        call: bool = True,
        check_mutation: bool = False,
        history: int = 100_000,
        payload: Any = None,
        start_rule: StartRule = "dataflow",
        max_concurrency: int | None = None,
        max_iterations: int | None = None,
        on_error: RunOnError = "stop",
        tools: ToolRegistry | None = None,
    ) -> Sweep:
        """Simulate with seeds 0, 1, 2, ... until *check* raises or returns False.

        The other options are those of `simulate`. The result names the seed and keeps its
        simulation, so that the case can be looked at and run again.

        >>> graph = Graph("g").add_producer("p", [1], takes=lambda rng: rng.random())
        >>> graph.add_node("n").add_edge("p", "n").sweep(lambda sim: sim.duration < 0.9)
        Sweep('g': broken at seed 6 of 7 tried: the check returned False for seed 6)
        """
        from flownb.engine.simulation.simulate import sweep

        checked("sweep()", "check", check, answering("the simulation"))
        self._read_again("sweep()", "for each seed")
        seeds = checked("sweep()", "seeds", seeds, _SEEDS)
        tried = range(seeds) if isinstance(seeds, int) else seeds
        simulated = partial(
            self.simulate, until=until, iterations=iterations, policy=policy, call=call,
            check_mutation=check_mutation, history=history, payload=payload,
            start_rule=start_rule, max_concurrency=max_concurrency,
            max_iterations=max_iterations, on_error=on_error, tools=tools,
        )  # fmt: skip
        return sweep(self.name, tried, lambda seed: simulated(seed=seed), check)

    @folded
    def start(
        self,
        *,
        redis: str | Redis | AsyncRedis | Sequence[str | Redis | AsyncRedis | None] | None = None,
        cluster: Any = None,
        control: Control = "notebook",
        namespace: str = "flownb",
        tools: ToolRegistry | None = None,
        fresh: bool = False,
        record: bool = False,
    ) -> Orchestrator:
        """Start all loops in this kernel and return at once.

        A graph whose name already runs is replaced: the old generation is stopped
        first. *redis*: a URL or client, or a list of which the first that answers is taken;
        without it queues live in this kernel, or, when loops live in other processes, in a
        Redis of its own. *cluster*: a `distributed.Client`; loops for which no pool was set
        run on its workers. *control* "notebook": what is asked and told goes through the
        notebook's event loop; "thread": through one of its own, so that a cell that computes
        holds up nothing. *namespace* is what all keys on Redis begin with, *tools* what nodes
        find as `ctx.tools`. *record* keeps what each call gave, for `orch.record()`.
        `async with graph.start() as orch:` stops at the end. Raises GraphError, and
        QueueUnavailable when no Redis answers.

        Where no thread can be started, as in a browser, all loops live on the notebook's event
        loop and sync nodes hold it while they work; a line in `orch.logs()` says so.

        What nodes print is in `orch.logs()`, not in a cell. A cell with `%%capture` (or
        `redirect_stdout`) catches all that is printed while it runs, also by nodes of loops
        in this process; when it has ended, prints go to the log again.

        A loop with `set_loop(checkpoint="loops.sqlite")` goes on where it stopped, also in a
        restarted kernel; *fresh* begins anew. Kept are, each `persistence_interval` seconds
        (1; 0: after each item, before the next is made), at a pause and at the end: which
        items of its producer are done, the `ctx.state` of its nodes, its counters. Then:

        - An iterable or a generator function is read again from its beginning, and as many
          items as are done are dropped. A function is told where to go on, `ctx.position`,
          and finds its `ctx.state` as it was before the first item that is not done; a
          generator function that uses one of the two begins there by itself.
        - Items that were under way are made again: each is done at least once, its effect on
          a `ctx.state` too, so keep there what may be said twice. Nothing is lost, but what a
          function cannot make again: let it ask for `ctx.position`, or read a queue.
        - A queue keeps its messages itself; one that changed a `ctx.state` is acked when that
          is kept. Values in `ctx.state` are JSON, as in a queue; others end the loop.
        - A store that is away is told in `orch.status()` and tried again; the loop goes on.

        StoreError: the store is away now, or what it keeps is broken. GraphError: the graph
        has changed since, and how. RunError: another process runs with this checkpoint.
        """
        from flownb.engine.orchestrator.orchestrator import Orchestrator
        from flownb.engine.orchestrator.placement import check_supported
        from flownb.validate.check import check

        checked("start()", "control", control, word("notebook", "thread"))
        checked("start()", "namespace", namespace, TEXT)
        checked("start()", "fresh", fresh, FLAG)
        checked("start()", "record", record, FLAG)
        checked_tools("start()", tools)
        check(self)
        check_supported(self, live=True)
        orchestrator = Orchestrator(
            self,
            redis=redis,
            cluster=cluster,
            control=control,
            namespace=namespace,
            tools=tools,
            using=self._using,
            fresh=fresh,
            record=record,
        )
        orchestrator._live.begin()
        self._last_start = orchestrator
        return orchestrator

    def explore(self) -> Any:
        """Play with the graph: switch await policies, flip nodes, drag durations.

        A widget that answers at once who waits for whom, how fast the loops are, and how a
        few items would go. Nothing reaches the graph, or what runs, before "apply".
        """
        from flownb.widgets.views import open_explorer

        return open_explorer(self)

    def edit(self) -> Any:
        """Draw the graph by hand: add nodes, link them, set their options, run it and watch.

        A widget on which every gesture is an edit of this graph, at once, as a call of the
        builder would be; what runs follows with "apply". What is edited in code shows on the
        canvas, and undo covers both. "Python" gives the builder code that makes this graph.

        An edge is pulled out of a port: an if has one for each verdict. F2, or a double click on a
        name, renames a node or a group where it stands. What Ctrl+V pastes may be a piece of any
        graph here, or the JSON of React Flow or another tool: unknown nodes become placeholders.
        """
        from flownb.widgets.views import open_canvas

        return open_canvas(self)

    def draw(self) -> str:
        """Draw the graph as the text of an SVG file."""
        return self.svg()

    def to_dict(self, *, tools: ToolRegistry | None = None) -> dict[str, Any]:
        """Describe the graph as plain JSON; functions by the name they have in *tools*."""
        from flownb.model.document.encode import to_dict

        return to_dict(self, tools=tools)

    @classmethod
    def from_dict(cls, data: object, *, tools: ToolRegistry | None = None) -> Self:
        """Build a graph from what `to_dict` gave; functions come from *tools* only."""
        from flownb.model.document.decode import from_dict

        return from_dict(cls, data, tools=tools)

    def to_react_flow(self, *, tools: ToolRegistry | None = None) -> dict[str, Any]:
        """Write the graph as React Flow JSON: nodes with `id`, `position` and `data`, and edges.

        What was read with `from_react_flow` and has not changed goes out as it came in, with
        its places, handles, labels and the fields of other tools, in the same wrapper. A node that
        was not drawn gets a place of our own layout, and a type that React Flow has itself:
        `data.kind` says what it is, beside its options. *tools* and what is raised are as in
        `to_dict`.

        >>> graph = Graph("g").add_producer("days", ["dry"]).add_node("size", len)
        >>> drawn = graph.add_edge("days", "size").to_react_flow()
        >>> [(node["id"], node["data"]["kind"]) for node in drawn["nodes"]]
        [('days', 'producer'), ('size', 'blocking')]
        """
        from flownb.reactflow.exporter import to_react_flow

        return to_react_flow(self, tools=checked_tools("to_react_flow()", tools))

    @classmethod
    @folded
    def from_react_flow(
        cls,
        obj_or_path: object,
        *,
        tools: ToolRegistry | None = None,
        at: str | Sequence[int | str] | None = None,
        default_type: str | None = None,
        on_unknown: Literal["error", "placeholder"] = "error",
        on_dangling: Literal["error", "drop"] = "error",
        on_group: Literal["entries", "error"] = "entries",
        max_bytes: int = 5_000_000,
        max_nodes: int = 5_000,
        max_edges: int = 20_000,
        max_depth: int = 64,
    ) -> Self:
        """Build a graph from a drawing: React Flow JSON, as a dict, a JSON text, or a path.

        A node's `type` (or `data.kind`) is producer, blocking, non-blocking, if, queue or
        queue-reader, however it is spelled, or the name of a tool; its `data` holds the options
        of `add_producer`, `add_node` and so on, on a producer also those of `set_loop`. Functions
        are named as `function`, and come from *tools* (default: `flownb.tools`) only. The
        condition of an if is a registered predicate or `{"field": "temp", "op": ">", "value": 30}`;
        its edges say by `sourceHandle`, `label` or `data.when` for which verdict they are.

        *at* says where in the file the drawing stands, if there are several ("$.flows[1]"). Nodes
        without a type are of *default_type*. With *on_unknown* "placeholder", nodes of other
        types (Langflow, Flowise, Dify, RAGFlow, ChainForge, n8n) and with functions that nobody
        knows become placeholders, to look at, explain and fill in. *on_dangling* "drop" leaves
        edges out that lead nowhere. An edge that ends on a frame leads to each entry node in
        it, with a warning; *on_group* "error" refuses it. Notes and frames never run.

        A file is a stranger's: nothing in it is called or imported, and one of more than
        *max_bytes*, *max_nodes*, *max_edges* or *max_depth* is refused. `FlowFormatError` lists
        all that is wrong with it, with the ids of nodes and edges.

        >>> drawn = {
        ...     "nodes": [{"id": "days", "type": "producer"}, {"id": "check", "type": "blocking"}],
        ...     "edges": [{"id": "e1", "source": "days", "target": "check"}],
        ... }
        >>> graph = Graph.from_react_flow(drawn)
        >>> graph.producers, [str(edge) for edge in graph.edges.values()]
        (('days',), ['days -> check'])
        """
        from flownb.reactflow.importer import from_react_flow

        return from_react_flow(
            cls, obj_or_path, tools=checked_tools("from_react_flow()", tools), at=at,
            default_type=default_type, on_unknown=on_unknown, on_dangling=on_dangling,
            on_group=on_group, max_bytes=max_bytes, max_nodes=max_nodes, max_edges=max_edges,
            max_depth=max_depth,
        )  # fmt: skip

    def to_networkx(self) -> Any:
        """Give a `networkx.DiGraph` of the nodes and edges, with their kinds and whens."""
        import networkx as nx

        out: Any = nx.DiGraph(name=self.name)
        for n in self.nodes.values():
            out.add_node(n.name, kind=n.kind, **({"router": n.router} if n.router else {}))
        out.add_edges_from((e.source, e.target, {"when": e.when}) for e in self.edges.values())
        return out

    @classmethod
    def from_networkx(
        cls, g: Any, functions: Mapping[Any, Callable[..., Any]] | None = None
    ) -> Self:
        """Build a graph from a `networkx.DiGraph`: a node attribute `kind` says what it is.

        *functions* gives the function of each node; edge attribute `when` is kept.
        """
        checked("from_networkx()", "g", g, _NETWORK)
        out, given = cls(str(g.name or "graph")), functions or {}
        for node, facts in g.nodes(data=True):
            kind, fn = facts.get("kind", "blocking"), given.get(node)
            if node == END:
                continue  # it comes with the edges that lead to it
            if facts.get("router"):
                out._hold(make_node(node, "if", fn, {"router": facts["router"]}))
            elif kind == "producer":
                out.add_producer(str(node), fn)
            elif kind == "if":
                out.add_if(str(node), fn)
            elif kind == "queue":
                out.add_queue(str(node), queue=facts.get("queue"))
            elif kind == "queue_reader":
                out.add_queue_reader(str(node), queue=facts.get("queue", str(node)))
            else:
                out.add_node(str(node), fn, kind=kind)
        for a, b, facts in g.edges(data=True):
            out.add_edge(str(a), str(b), when=facts.get("when"))
        return out
