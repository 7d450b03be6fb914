"""How is a workflow put together? The builder is the model.

Two verbs carry everything: `add_...` puts a node into the graph, `add_edge` links
nodes. Adding a known name again replaces the node and keeps its edges, linking
again changes nothing, so that any cell can be run twice. Every verb returns the
graph itself.
"""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterable, Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from copy import copy as copied
from dataclasses import replace
from functools import partial
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, overload

from flownb.arguments import FLAG, NONE, Rule, all_checked, answering, checked, instance
from flownb.equality import equal
from flownb.errors import GraphError, did_you_mean
from flownb.model.conditional_edges import check_ends, check_name, end_node, router_name, ways
from flownb.model.edges import END, START, Edge
from flownb.model.nodes import (
    NODE,
    NODE_KIND,
    BaseNode,
    Kind,
    Node,
    QueueNode,
    QueueOptions,
    QueueReader,
    ReaderOptions,
    checked_name,
    make_node,
    node_name,
    same,
)
from flownb.model.parts import Part, check_part, is_other
from flownb.model.policies import LOOP, UNCHANGED, LoopOptions
from flownb.model.topology import NodeRef, Topology, edits, entries

if TYPE_CHECKING:
    from flownb.errors import Failure
    from flownb.model.policies import (
        Ack,
        AwaitPolicy,
        Codec,
        Fail,
        Join,
        Limit,
        NodeKind,
        OnError,
        Pool,
        Prefetch,
        QueueMode,
        Restart,
        Retry,
        StartRule,
        Takes,
        WhenFull,
    )
    from flownb.model.topology import Targets

F = TypeVar("F", bound=Callable[..., Any])
Source = Callable[..., Any] | Iterable[Any] | AsyncIterable[Any] | BaseNode
_STATE_MODEL: Final = Rule(
    "give a class, a pydantic model or a TypedDict", lambda value: isinstance(value, type | None)
)
_REDUCERS: Final = Rule(
    "give a dict, a function of two values, not async, for each key of the state",
    lambda value: (
        value is None
        or (isinstance(value, Mapping) and all(map(answering("").fits, value.values())))
    ),
)
_PART: Final = instance("give a Graph", Topology)
_EDITED: Final = ("nodes", "edges", "options", "entry_points", "unlinked", "_parts")
_DRAWN: Final = ("_places", "_frames", "drawing")
_PREFIX: Final = instance("give a text to put before each name", str)


class Workflow(Topology):
    """A named graph of nodes: the data half of `Graph`, which adds the verbs that run it.

    `nodes` and `edges` are in the order in which they were first added; `version`
    counts the edits.

    >>> graph = Workflow("g").add_producer("days").add_node("check").add_edge("days", "check")
    >>> list(graph.nodes), [str(e) for e in graph.edges.values()], graph.producers
    (['days', 'check'], ['days -> check'], ('days',))
    """

    def __init__(
        self,
        name: str,
        *,
        state_model: type | None = None,
        reducers: Mapping[str, Callable[[Any, Any], Any]] | None = None,
    ) -> None:
        super().__init__()
        given: object = name
        if isinstance(given, type):  # as one writes StateGraph(State)
            msg = f"Graph({given.__name__}): give a name first, Graph('name', state_model=...)"
            raise GraphError(msg)
        self.name = checked_name(name, "the graph")
        where = f"Graph({self.name!r})"
        self.state_model = checked(where, "state_model", state_model, _STATE_MODEL)
        self.reducers = dict(checked(where, "reducers", reducers, _REDUCERS) or {})
        self._parts: dict[tuple[str, str], Part] = {}  # what include() has put here

    # -- nodes -----------------------------------------------------------------

    @edits
    def add_producer(
        self,
        name: str | Callable[..., Any] | BaseNode,
        source: Source | None = None,
        *,
        every: float | None = None,
        takes: Takes | None = None,
        fake: Callable[..., Any] | None = None,
        retry: Retry | Sequence[Retry] | None = None,
        timeout: float | None = None,
    ) -> Self:
        """Add the node that makes the items of a loop.

        *source* is a callable, a generator function or an iterable, sync or async;
        without one the items are 0, 1, 2, ... `None` means "nothing now". *every*:
        seconds between items at a fixed rate; without it the next item is made as
        soon as the await set is done. *takes*, *fake*, *retry* and *timeout* are as in
        `add_node`, for making one item.

        A function that raises is asked again at its next tick, as `on_error` of the loop says; a
        generator that raised is dead, and its loop ends in state error. So *retry* and *timeout*
        need a function, an iterator that can go on, or a generator function with a parameter
        `ctx`, which is begun anew and goes on from `ctx.position`.
        """
        if source is None and not isinstance(name, str):
            source = name
        return self._put(
            name, "producer", source, every=every, takes=takes, fake=fake, retry=retry,
            timeout=timeout,
        )  # fmt: skip

    @edits
    def add_node(
        self,
        name: str | Callable[..., Any] | BaseNode,
        fn: Callable[..., Any] | BaseNode | None = None,
        *,
        kind: NodeKind = "blocking",
        takes: Takes | None = None,
        fake: Callable[..., Any] | None = None,
        fail: Fail | None = None,
        retry: Retry | Sequence[Retry] | None = None,
        timeout: float | None = None,
        on_error: str | Callable[[Failure], str] | None = None,
        join: Join = "all",
        cancel: bool = True,
        limit: Limit | None = None,
        config: Any = None,
        keep: int = 1,
        description: str = "",
        over: str | Callable[[Any], Iterable[Any]] | None = None,
        into: str | None = None,
        more: Callable[[Any], Iterable[Any]] | None = None,
        max_iterations: int | None = None,
        cache: bool | int | Callable[[Any], Any] = False,
    ) -> Self:
        """Add a node: a name and a function, a function alone, or a class node.

        Without a function the payload passes on. The producer waits for every arm that has a
        node of *kind* "blocking", whole, and for no other arm, unless
        `set_loop(await_policy=)` says otherwise.

        How it is called: *timeout* is in seconds, per attempt; of several *retry* the first
        that catches the error counts; *limit* is a `Limit`, of its own or shared with others;
        *config* is what the function finds as `ctx.config`. With *cache* it is not called again
        for an equal input: True keeps 128 results, a number so many, a function says what of the
        input matters; `clear_cache` says when a function counts as changed. *keep* says how many
        last outputs are kept for `outputs()`, *description* is a word for the picture.

        What happens when it fails for good: *on_error* is for this node what `set_loop` says
        for the loop; in a one-shot run "stop", "continue", or the name of a node behind it that
        takes over; or a function of the `Failure` that gives one of these.

        With several edges in: *join* "all" waits for all of them, "each" runs once for each
        that is live, "first" for the first, a number for the so many-th. Behind "first" the nodes
        that lead nowhere else have lost and are cancelled; with *cancel* False they work on.

        In simulations: *takes* declares its length, seconds or a function of the random
        numbers; *fake* stands in for the function; *fail* makes it fail, with that probability,
        for the items of these numbers, or where a function of the random numbers says so.

        Only for one-shot runs: *over* names a key of the state (or is a function of it),
        and the node is called for each element of that list, in parallel; the list of what
        it gave goes *into* that key (default: the node's name), with `on_error="continue"` None
        where a call failed (`run.failures` has the index of each). *more* gives, of what a call
        gave, further elements: each is called at once, beside those at work, and its result
        stands behind that of the call it came of. *max_iterations*: how often it may run when it
        is in a cycle.
        """
        if fn is None and not isinstance(name, str):
            fn = name
        checked(f"node {node_name(name)!r}", "kind", kind, NODE_KIND)
        # "blocking" is also what is not said, and then the class decides.
        actual: Kind = fn.kind if isinstance(fn, BaseNode) and kind == "blocking" else kind
        return self._put(
            name, actual, fn, takes=takes, fake=fake, fail=fail, retry=retry, timeout=timeout,
            on_error=on_error, join=join, cancel=cancel, limit=limit, config=config, keep=keep,
            description=description, over=over, into=into, more=more, cache=cache,
            max_iterations=max_iterations,
        )  # fmt: skip

    @edits
    def add_if(
        self,
        name: str | Callable[..., Any] | BaseNode,
        predicate: Callable[..., Any] | BaseNode | None = None,
        *,
        takes: Takes | None = None,
        fake: Callable[..., Any] | None = None,
    ) -> Self:
        """Add a branch: its edges carry `when=`, the payload passes on unchanged.

        When every `when` is a bool the verdict is `bool(predicate(payload))`, and an
        arm that is not drawn ends the path, as an `if` without `else` does. Else the
        verdict is compared with `==`, and one without an edge fails the item, unless
        there is an edge `when=OTHERWISE`. *takes* and *fake* are as in `add_node`.
        """
        if predicate is None and not isinstance(name, str):
            predicate = name
        return self._put(name, "if", predicate, takes=takes, fake=fake)

    @edits
    def add_queue(
        self,
        name: str,
        *,
        queue: str | None = None,
        kind: NodeKind = "non_blocking",
        mode: QueueMode = "competing",
        maxlen: int | None = None,
        when_full: WhenFull = "block",
        model: type | None = None,
        external: bool = False,
        key: str | None = None,
        codec: Codec = "json",
    ) -> Self:
        """Add a node that pushes its payload to the queue named *queue* (default: *name*).

        *kind* "blocking": the producer waits until Redis has acknowledged the push. *mode*
        "competing": each message goes to one reader; "broadcast": to every reading loop.
        It holds *maxlen* messages (None: any number); *when_full*: a push then waits ("block"),
        is left out ("drop_newest"), takes the place of the oldest message ("drop_oldest"), or
        fails ("error"). *model*: a pydantic model checked on push and built on pop.
        *external*: somebody outside this graph reads or writes it. *key* names its stream in
        Redis, which graphs that give the same key share; without it the queue is this graph's.
        *codec* "msgpack" (extra `msgpack`) also takes bytes, datetimes, UUIDs and Decimals.
        Without edges it declares an inbox: others push to it, `ctx.push` or a cell.
        """
        checked(f"node {node_name(name)!r}", "kind", kind, NODE_KIND)
        queue, blocking = name if queue is None else queue, kind == "blocking"
        options = QueueOptions(
            queue, blocking, mode, maxlen, when_full, model, external, key, codec
        )
        return self._put(name, "queue", QueueNode(name, queue=options.name), queue=options)

    @edits
    def add_queue_reader(
        self,
        name: str,
        *,
        queue: str,
        key: str | None = None,
        prefetch: Prefetch = "auto",
        timeout: float | None = None,
        ack: Ack = "done",
        visibility_timeout: float = 30,
        max_deliveries: int = 5,
        external: bool = False,
    ) -> Self:
        """Add a reader of *queue*; it drives a loop of its own: one message, one item.

        Up to *prefetch* messages are fetched at once: "auto" never more than it can work on
        within its lease, 1 is fairest to others who read the queue, 100 quick for short nodes.
        A message is settled (`ack`) when its item is done, detached work included;
        "awaited" settles at the release, "received" before the first node. Who was silent for
        *visibility_timeout* seconds loses what it holds to another reader; after
        *max_deliveries* a message is a dead letter. *external*: somebody outside this graph
        writes to it. *key*: the stream, as in `add_queue`. *timeout*: a reader within a loop
        waits so many seconds for a message, and then says False.
        """
        options = ReaderOptions(
            queue, prefetch, timeout, ack, visibility_timeout, max_deliveries, external, key
        )
        return self._put(name, "queue_reader", QueueReader(name, queue=queue), reader=options)

    @overload
    def producer(self, fn: F, /) -> F: ...
    @overload
    def producer(
        self,
        /,
        *,
        name: str | None = None,
        every: float | None = None,
        takes: Takes | None = None,
        fake: Callable[..., Any] | None = None,
        retry: Retry | Sequence[Retry] | None = None,
        timeout: float | None = None,
    ) -> Callable[[F], F]: ...
    def producer(
        self,
        fn: F | None = None,
        /,
        *,
        name: str | None = None,
        every: float | None = None,
        takes: Takes | None = None,
        fake: Callable[..., Any] | None = None,
        retry: Retry | Sequence[Retry] | None = None,
        timeout: float | None = None,
    ) -> F | Callable[[F], F]:
        """Add the decorated function as a producer; the options are those of `add_producer`.

        It returns the plain function. *name* is another name than the function's own.

        >>> graph = Workflow("g")
        >>> @graph.producer(every=1.0)
        ... def days():
        ...     return "dry"
        >>> graph.producers, days()
        (('days',), 'dry')
        """
        add = partial(
            self.add_producer, every=every, takes=takes, fake=fake, retry=retry, timeout=timeout
        )
        return self._decorator(fn, add, name, ())

    @overload
    def node(self, fn: F, /) -> F: ...
    @overload
    def node(
        self,
        /,
        *,
        after: NodeRef | Sequence[NodeRef] = (),
        name: str | None = None,
        kind: NodeKind = "blocking",
        takes: Takes | None = None,
        fake: Callable[..., Any] | None = None,
        fail: Fail | None = None,
        retry: Retry | Sequence[Retry] | None = None,
        timeout: float | None = None,
        on_error: str | Callable[[Failure], str] | None = None,
        join: Join = "all",
        cancel: bool = True,
        limit: Limit | None = None,
        config: Any = None,
        keep: int = 1,
        description: str = "",
        over: str | Callable[[Any], Iterable[Any]] | None = None,
        into: str | None = None,
        more: Callable[[Any], Iterable[Any]] | None = None,
        max_iterations: int | None = None,
        cache: bool | int | Callable[[Any], Any] = False,
    ) -> Callable[[F], F]: ...
    def node(
        self,
        fn: F | None = None,
        /,
        *,
        after: NodeRef | Sequence[NodeRef] = (),
        name: str | None = None,
        kind: NodeKind = "blocking",
        takes: Takes | None = None,
        fake: Callable[..., Any] | None = None,
        fail: Fail | None = None,
        retry: Retry | Sequence[Retry] | None = None,
        timeout: float | None = None,
        on_error: str | Callable[[Failure], str] | None = None,
        join: Join = "all",
        cancel: bool = True,
        limit: Limit | None = None,
        config: Any = None,
        keep: int = 1,
        description: str = "",
        over: str | Callable[[Any], Iterable[Any]] | None = None,
        into: str | None = None,
        more: Callable[[Any], Iterable[Any]] | None = None,
        max_iterations: int | None = None,
        cache: bool | int | Callable[[Any], Any] = False,
    ) -> F | Callable[[F], F]:
        """Add the decorated function as a node behind *after*; returns the plain function.

        *after* is a node or several; these edges belong to the definition and are
        replaced with it. *name* is another name than the function's own. The other options
        are those of `add_node`.

        >>> graph = Workflow("g").add_producer("days")
        >>> @graph.node(after="days", kind="non_blocking")
        ... def audit(day):
        ...     return day
        >>> [str(edge) for edge in graph.edges.values()], audit(3)
        (['days -> audit'], 3)
        """
        add = partial(
            self.add_node, kind=kind, takes=takes, fake=fake, fail=fail, retry=retry,
            timeout=timeout, on_error=on_error, join=join, cancel=cancel, limit=limit,
            config=config, keep=keep, description=description, over=over, into=into, more=more,
            max_iterations=max_iterations, cache=cache,
        )  # fmt: skip
        return self._decorator(fn, add, name, after)

    def _decorator(
        self,
        fn: F | str | None,
        add: Callable[..., Self],
        name: str | None,
        after: NodeRef | Sequence[NodeRef],
    ) -> F | Callable[[F], F]:
        if isinstance(fn, str):
            msg = f"@{fn!r}: write the name as name={fn!r}, the function stands below"
            raise GraphError(msg)

        def decorate(function: F) -> F:
            with self._editing:
                return defined(function)

        def defined(function: F) -> F:
            known = checked_name(name or function, "the decorated function")
            sources = self._refs(after) if after else []
            edges = [Edge(source, known, owner=known) for source in sources]
            for edge in edges:
                check_ends(edge)
            add(known, function)
            self._replace_owned(known, edges)
            return function

        return decorate if fn is None else decorate(fn)

    def _replace_owned(self, name: str, edges: Iterable[Edge]) -> None:
        """Make *edges* the ones that the definition of node *name* owns, in their old places."""
        wanted = {(edge.source, edge.target): edge for edge in edges}
        gone = [k for k, e in self.edges.items() if e.owner == name and k not in wanted]
        with self._cutting() if gone else nullcontext():
            for key in gone:
                del self.edges[key]
            self.version += len(gone)
            for key, edge in wanted.items():
                if key not in self.edges or self.edges[key].owner == name:
                    self._link(edge)

    def _put(self, name: Any, kind: Kind, fn: Any, **options: Any) -> Self:
        node = make_node(name, kind, fn, options)
        check_name(self, node)
        return self._hold(node)

    def _hold(self, node: Node) -> Self:
        if not same(self.nodes.get(node.name), node):
            self.nodes[node.name] = node
            self.version += 1
        return self

    @edits
    def remove_node(self, name: NodeRef) -> Self:
        """Remove a node, every edge at it, and the routers behind it.

        What only it led to does not begin by itself now: `validate` names it.
        """
        gone = self._known(self._ref(name), "remove_node")
        with self._cutting():
            for one in [gone, *(n.name for n in self.nodes.values() if n.router == gone)]:
                self._drop(one)
        return self

    @edits
    def rename_node(self, name: NodeRef, new: str) -> Self:
        """Give a node another name: its place, its edges and its loop's options stay.

        What runs goes on under the old name until `apply()`. GraphError when *new* is taken.

        >>> graph = Workflow("g").add_producer("days").add_node("chekc").add_edge("days", "chekc")
        >>> [str(edge) for edge in graph.rename_node("chekc", "check").edges.values()]
        ['days -> check']
        """
        old = self._known(self._ref(name), "rename_node")
        new = checked_name(new, f"rename_node({old!r})")
        if new == old:
            return self
        node = self.nodes[old]
        check_name(self, replace(node, name=new))
        if old == END or node.router is not None:
            msg = f"rename_node({old!r}): the builder itself has given this name"
            raise GraphError(msg)
        if new in self.nodes:
            msg = f"rename_node({old!r}): there is a node {new!r} already"
            raise GraphError(msg)
        made = Part.renamed(self, lambda known: new if known == old else known)
        self.nodes, self.edges, self.options = made.nodes, made.edges, made.options
        self.entry_points, self.unlinked = made.entry_points, made.unlinked
        for part in self._parts.values():
            part.nodes.pop(old, None)
        if old in self._places:
            self._places[new] = self._places.pop(old)
        if self.drawing is not None:
            self.drawing = self.drawing.renamed(old, new)
        self.version += 1
        return self

    @edits
    def _contents(self) -> dict[str, Any]:
        """Copy what edits change, for `_restore`; nodes and edges themselves never do."""
        return _copies({name: vars(self)[name] for name in (*_EDITED, *_DRAWN)})

    @edits
    def _restore(self, kept: dict[str, Any]) -> None:
        """Hold again what `_contents` gave: one edit more, if more than places are others."""
        now = self._contents()
        self.version += any(not _is_kept(now[name], kept[name]) for name in _EDITED)
        vars(self).update(_copies(kept))

    def _drop(self, name: str) -> None:
        del self.nodes[name]
        self.edges = {k: e for k, e in self.edges.items() if name not in k}
        self.options.pop(name, None)
        self.entry_points = [n for n in self.entry_points if n != name]
        self.unlinked.discard(name)
        for part in self._parts.values():
            part.nodes.pop(name, None)
        self.version += 1

    # -- edges -----------------------------------------------------------------

    @edits
    def add_edge(
        self,
        a: NodeRef | Sequence[NodeRef],
        b: NodeRef | Sequence[NodeRef],
        *more: NodeRef | Sequence[NodeRef],
        when: Any = None,
        condition: Callable[..., Any] | None = None,
        copy: bool = False,
        description: str = "",
    ) -> Self:
        """Link nodes along a path: `add_edge("a", "b", "c")` is a -> b -> c.

        An end may be a name, a function or a node, added now or later, or a list or tuple
        of them: `add_edge("a", ["b", "c"], "d")` leads from a to b and to c, and from both to d.
        *when* (a verdict of the if *a*) and *condition* (a function of a's output) belong
        to the edges out of *a*; *copy* deep-copies the payload on every edge named, and
        *description* is a word for the picture at each. A run begins at what `START` leads to,
        and `END` is where it ends.

        >>> graph = Workflow("g").add_edge("a", ["b", "c"], "d")
        >>> [str(edge) for edge in graph.edges.values()]
        ['a -> b', 'a -> c', 'b -> d', 'c -> d']
        """
        checked("add_edge()", "condition", condition, answering("the payload") | NONE)
        checked("add_edge()", "copy", copy, FLAG)
        checked("add_edge()", "description", description, NODE["description"])
        steps = [self._refs(end) for end in (a, b, *more)]
        begin = steps[1] if steps[0] == [START] else []
        if begin:
            if when is not None or condition is not None or copy:
                msg = "add_edge(START, ...): START decides nothing and copies nothing: leave"
                msg += " when=, condition= and copy= out, or use add_conditional_edges(START, ...)"
                raise GraphError(msg)
            del steps[0]
        edges, first = [], {"when": when, "condition": condition}
        for sources, targets in pairwise(steps):
            for source, target in product(sources, targets):
                edges.append(Edge(source, target, copy=copy, description=description, **first))
            first = {}
        for edge in [*edges, *(Edge("START", name) for name in begin)]:
            check_ends(edge)
        if begin:
            self.set_entry_point(*dict.fromkeys([*self.entry_points, *begin]))
            if END in begin:
                self._hold(end_node())
        for edge in edges:
            self._link(edge)
        return self

    def _link(self, edge: Edge) -> None:
        key = (edge.source, edge.target)
        old = self.edges.get(key)
        if old is not None and old.when is not None and old.when != edge.when:
            was, now = f"when={old.when!r}", f"when={edge.when!r}"
            warnings.warn(
                f"edge {edge}: {was} is now {now} (two nodes share one edge)", stacklevel=4
            )
        # True == 1, but a verdict that is a number is compared, one that is a bool is not
        if old != edge or type(old.when) is not type(edge.when):
            self.edges[key] = edge
            self.version += 1
        if edge.target == END and END not in self.nodes:
            self._hold(end_node())

    @edits
    def add_conditional_edges(
        self, source: NodeRef, router: Callable[..., Any], targets: Targets = None
    ) -> Self:
        """Choose the ways behind *source* by what *router* says of the state, as LangGraph does.

        *targets* is {label: node}, or the nodes when their names are the labels, or is left
        out when the router says `-> Literal["a", "b"]`. The router gives a label, or a list
        of them: then all these ways are taken, and none for an empty one. Another answer
        fails the run, with the labels there are. `START` as *source* chooses where the run
        begins; `END` is where it ends.

        The choice is an if of its own, named "source?". Several routers behind one node all
        decide ("source?2"); the same function again, or a lambda on the same line, replaces
        its own, and a lambda of another cell with a warning. A node that no answer leads to any
        more does not begin by itself then: `validate` names it.

        >>> graph = Workflow("g").add_node("fix").add_node("ship")
        >>> graph = graph.add_conditional_edges("fix", bool, {True: "ship", False: "fix"})
        >>> [str(edge) for edge in graph.edges.values()]
        ['fix -> fix?', 'fix? -> ship', 'fix? -> fix']
        """
        known = self._ref(source)
        led = ways(known, router, targets, self._ref)
        name = router_name(self, known, router)
        if known == END:
            check_ends(Edge(END, name))
        edges = [Edge(name, target, when=when, owner=name) for target, when in led.items()]
        self._hold(make_node(name, "if", router, {"router": known}))
        if known == START:
            self.set_entry_point(*dict.fromkeys([*self.entry_points, name]))
        else:
            edges.insert(0, Edge(known, name, owner=name))
        self._replace_owned(name, edges)
        return self

    @edits
    def set_entry_point(self, *names: NodeRef) -> Self:
        """Say where a one-shot run begins, if not at the nodes that nothing leads to.

        It replaces what was said before: name all entry points in one call, or add them one
        by one with `add_edge(START, ...)`.
        """
        entry_points = [self._ref(name) for name in names]
        for name in entry_points:
            check_ends(Edge("START", name))
        if entry_points != self.entry_points:
            self.entry_points = entry_points
            self.version += 1
        return self

    @edits
    def remove_edge(self, a: NodeRef, b: NodeRef) -> Self:
        """Remove the edge from *a* to *b*; *a* may be `START`.

        What only this edge led to does not begin by itself now: `validate` names it.
        """
        key = (self._ref(a), self._ref(b))
        if key not in self.edges and not (key[0] == START and key[1] in self.entry_points):
            near = did_you_mean(f"{key[0]} -> {key[1]}", map(str, self.edges.values()))
            msg = f"remove_edge: there is no edge {key[0]} -> {key[1]}{near}"
            raise GraphError(msg)
        with self._cutting():
            if key[0] == START:
                self.entry_points.remove(key[1])
            else:
                del self.edges[key]
            self.version += 1
        return self

    # -- loops and parts -------------------------------------------------------

    @edits
    def set_loop(
        self,
        name: NodeRef,
        *,
        pool: Pool = UNCHANGED,
        await_policy: AwaitPolicy = UNCHANGED,
        start_rule: StartRule = UNCHANGED,
        max_in_flight: int = UNCHANGED,
        when_full: WhenFull = UNCHANGED,
        on_error: OnError | Callable[[Failure], OnError] = UNCHANGED,
        restart: Restart = UNCHANGED,
        transactional: bool = UNCHANGED,
        checkpoint: Any = UNCHANGED,
        persistence_interval: float = UNCHANGED,
        resources: Mapping[str, Any] | None = UNCHANGED,
        thread_sensitive: bool = UNCHANGED,
    ) -> Self:
        """Set how a loop runs; it is named after its producer. What is not named keeps its value.

        What it is as long as nobody sets it, and what else it may be:

        - *pool* "thread"; "asyncio", "process", "dask": where the loop's event loop lives.
        - *await_policy* "path"; "none", "node", "blocking", "path_live", "all": what the
          producer waits for.
        - *start_rule* "dataflow"; "level", "sequential": when nodes start.
        - *max_in_flight* 64: how many items may have detached work that is not finished.
        - *when_full* "block"; "drop_newest", "drop_oldest", "error": when there are so many,
          the next one waits, its own or the oldest one's detached work is dropped, or it fails.
        - *on_error* "skip"; "dead_letter", "pause", "stop", or a function of the `Failure`
          that gives one of them: what happens to an item that failed.
        - *restart* "never"; "on_crash": begin again after a fault that is no item's.
        - *transactional* False: whether pushes go out together with the ack of the message
          that the item came from.
        - *checkpoint* None: a store's path, URL or object; `graph.start` says what is kept.
        - *persistence_interval* 1: seconds between two checkpoints; 0 is one after each item.
        - *resources* None: a name for each context manager that is opened at the start, closed
          at the end, and found by nodes as `ctx.resources[name]`: async ones on the loop's event
          loop, sync ones in a thread of their own.
        - *thread_sensitive* False; True: all sync code of the loop is called in one thread, one
          call after the other, for what must not change threads (a `sqlite3` connection).

        Raises GraphError for a value that is none of these.

        >>> graph = Workflow("g").add_producer("p").set_loop("p", pool="asyncio")
        >>> graph.set_loop("p", max_in_flight=8).loop_options("p").pool
        'asyncio'
        """
        given = {
            "pool": pool, "await_policy": await_policy, "start_rule": start_rule,
            "max_in_flight": max_in_flight, "when_full": when_full, "on_error": on_error,
            "restart": restart, "transactional": transactional, "checkpoint": checkpoint,
            "persistence_interval": persistence_interval,
            "resources": {} if resources is None else resources,
            "thread_sensitive": thread_sensitive,
        }  # fmt: skip
        loop = self._ref(name)
        named = {option: value for option, value in given.items() if value is not UNCHANGED}
        named = all_checked(f"set_loop({loop!r})", LOOP, named)
        merged = {**self.options.get(loop, {}), **named}
        LoopOptions(**merged)
        if not equal(merged, self.options.get(loop)):
            self.options[loop] = merged
            self.version += 1
        return self

    def loop_options(self, loop: str) -> LoopOptions:
        """Give the options of one loop, with the defaults filled in."""
        return LoopOptions(**self.options.get(loop, {}))

    @edits
    def include(self, other: Workflow, *, prefix: str = "") -> Self:
        """Copy *other* in as a part: its nodes, edges, loop options, *prefix* before each name.

        The names of queues and the keys of the state stay as they are: that is how parts hand
        data over. Its reducers and its `state_model` come along, and its entry points beside
        those of this graph (not into a graph with a producer). `END` is the same in all parts.
        What `use` was told stays with its own graph.

        The same part again (a graph of that name, under that prefix) replaces its own, so a
        cell can be run twice; a warning says so where it looks like another part. GraphError
        for a name that this graph or another part has, for another reducer of one key, and for
        another `state_model`.

        >>> part = Workflow("part").add_node("load").add_node("clean").add_edge("load", "clean")
        >>> graph = Workflow("g").include(part, prefix="a.").include(part, prefix="b.")
        >>> list(graph.nodes), [str(edge) for edge in graph.edges.values()]
        (['a.load', 'a.clean', 'b.load', 'b.clean'], ['a.load -> a.clean', 'b.load -> b.clean'])
        """
        checked("include()", "other", other, _PART)
        checked("include()", "prefix", prefix, _PREFIX)
        part = Part.of(other, prefix)
        old = self._parts.get(part.key)
        check_part(self, part, old, self._parts.values())
        if old is not None and is_other(part, old):
            warnings.warn(
                f"include({part.key[0]!r}): it replaces the part of this name that was there; give"
                " it another name, or prefix=, to have both",
                stacklevel=3,
            )
        self._begin_with(part, old)
        gone = [] if old is None else [n for n in old.nodes if n not in part.nodes and n != END]
        stale = [] if old is None else [k for k in old.edges if k not in part.edges]
        with self._cutting() if gone or stale else nullcontext():
            for name in gone:
                self._drop(name)
            for key in stale:
                self.version += self.edges.pop(key, None) is not None
            for node in part.nodes.values():
                self._hold(node)
            for edge in part.edges.values():
                self._link(edge)
        for loop, options in part.options.items():
            self.set_loop(loop, **options)
        self.unlinked |= part.unlinked
        self._parts[part.key] = self._taken(part, old)
        return self

    def _begin_with(self, part: Part, old: Part | None) -> None:
        """Begin at the entry points of a part, too; what begins by itself goes on to do so."""
        before = [] if old is None else old.entry_points
        if self.producers or part.entry_points == before:
            return
        mine = self.entry_points or entries(self)
        mine = [n for n in mine if n not in before and (old is None or n not in old.nodes)]
        self.set_entry_point(*dict.fromkeys([*mine, *part.entry_points]))

    def _taken(self, part: Part, old: Part | None) -> Part:
        """Take the state model and reducers of a part for those it had; give what it brought."""
        own = {k: r for k, r in self.reducers.items() if old is None or k not in old.reducers}
        brought = {k: r for k, r in part.reducers.items() if k not in own}
        model = None if old is not None and old.state_model else self.state_model
        came = part.state_model if model is None else None
        before = self.state_model, self.reducers
        self.state_model, self.reducers = model or came, {**own, **brought}
        self.version += before != (self.state_model, self.reducers)
        return replace(part, reducers=brought, state_model=came)


def _is_kept(now: Any, kept: Any) -> bool:
    """Whether both hold the very same, in the same order: what is in a graph is never changed."""
    if isinstance(now, dict) and isinstance(kept, dict):
        mine, theirs = list(now.items()), list(kept.items())
        return len(mine) == len(theirs) and all(
            a == c and (b is d or _is_kept(b, d))
            for (a, b), (c, d) in zip(mine, theirs, strict=True)
        )
    if isinstance(now, (list, set, bool, int, float, str)):
        return type(now) is type(kept) and bool(now == kept)
    return now is kept or (isinstance(now, Part) and now.nodes == kept.nodes)


def _copies(contents: dict[str, Any]) -> dict[str, Any]:
    parts = contents["_parts"].items()
    own = {key: replace(part, nodes=dict(part.nodes)) for key, part in parts}
    return {**{name: copied(value) for name, value in contents.items()}, "_parts": own}
