"""Do the options of loops fit the graph, and do functions take what they are called with?

Each value by itself is checked where it is given (`flownb/arguments.py`). A node function takes
the payload, a producer's takes nothing; either may have a parameter for the context, found by
its name `ctx` or its annotation.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Iterator
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final

from flownb.errors import GraphError, did_you_mean
from flownb.model.conditions import Placeholder
from flownb.model.nodes import BaseNode, read_once
from flownb.plan.await_sets import Flow
from flownb.plan.reads import Reads
from flownb.plan.traversal import reach
from flownb.validate.problems import Problem, error, hint, listed, warning

if TYPE_CHECKING:
    from flownb.model.nodes import Node
    from flownb.model.workflow import Workflow
    from flownb.validate.problems import Subject


def loop_options(subject: Subject) -> Iterator[Problem]:
    """Find options that are set for what is no loop, or that do nothing there."""
    workflow, producers = subject.workflow, subject.producers
    for name, options in workflow.options.items():
        if name not in producers:
            what = "is no producer" if name in workflow.nodes else "is not in the graph"
            near = did_you_mean(name, producers)
            yield error(
                f"set_loop({name!r}): a loop is named after its producer,"
                f" and {name!r} {what}{near}",
                (name,),
            )
            continue
        if "persistence_interval" in options and options.get("checkpoint") is None:
            yield warning(
                f"loop {name!r}: persistence_interval= does nothing without checkpoint=", (name,)
            )
        if options.get("transactional") and workflow.nodes[name].reader is None:
            yield warning(
                f"loop {name!r}: transactional=True does nothing, no queue drives this loop;"
                " leave it out",
                (name,),
            )
        elif options.get("transactional"):
            yield from _transaction(name, workflow)


def _transaction(loop: str, workflow: Workflow) -> Iterator[Problem]:
    """Find what cannot be done together with an ack when an item has settled."""
    reader = workflow.nodes[loop].reader
    if reader is not None and reader.ack != "done":
        yield error(
            f"loop {loop!r}: transactional=True pushes together with the ack, so the reader"
            f" needs ack='done', not {reader.ack!r}",
            (loop,),
        )
    flow = Flow.of(workflow)
    mine = reach(flow.succ, [flow.index[loop]])
    for node in workflow.nodes.values():
        queue = node.queue
        if queue is None or queue.maxlen is None or not mine[flow.index[node.name]]:
            continue
        if queue.when_full in {"error", "drop_oldest"}:
            yield error(
                f"node {node.name!r} (loop {loop!r}, transactional=True) pushes when its item has"
                f" settled, too late for when_full={queue.when_full!r}: use 'block' or"
                " 'drop_newest'",
                (node.name,),
            )


_CONTEXTS: Final = ("Context", "SyncContext")


def functions(subject: Subject) -> Iterator[Problem]:
    """Find functions that cannot be called with what they will get."""
    for node in subject.workflow.nodes.values():
        if node.kind == "producer" and (node.retry or node.timeout):
            yield from _called_again(node)
        for text in _of_node(node):
            yield error(f"node {node.name!r}: {text}", (node.name,))
        if node.kind == "producer" and (kind := read_once(node.fn)):
            yield hint(
                f"node {node.name!r}: its source is {kind}, which can be read once: a second run,"
                " or a run after a simulation, finds it empty; give the generator function, or a"
                " list",
                (node.name,),
            )
    for edge in subject.workflow.edges.values():
        if edge.condition is not None and not _takes(edge.condition, 1):
            text = f"condition {_named(edge.condition)} cannot take the payload"
            yield error(f"edge {edge}: {text}; write it as fn(payload)", (), (edge,))


def placeholders(subject: Subject) -> Iterator[Problem]:
    """Find nodes whose function is missing."""
    nodes = subject.workflow.nodes.values()
    missing = {n.name: n.fn.type for n in nodes if isinstance(n.fn, Placeholder)}
    if missing:
        names = listed(list(missing))
        types = listed(list(dict.fromkeys(missing.values())))
        yield warning(
            f"{'node' if len(missing) == 1 else 'nodes'} {names}: placeholders, for {types}:"
            " add_node() with the same name and a function fills one in",
            list(missing),
        )


def cached(subject: Subject) -> Iterator[Problem]:
    """Find what a node with `cache=` reads and nobody sees change."""
    for node in subject.workflow.nodes.values():
        if node.cache and node.fn is not None:
            reads = Reads()
            try:
                deque(reads.of((node.fn, node.cache)), maxlen=0)
            except GraphError as too_much:
                text = f"node {node.name!r}: cache= has no effect: {too_much}"
                yield warning(text, (node.name,))
            if reads.unseen:
                what = ", ".join(reads.unseen)
                text = f"cache= does not see {what}: call clear_cache({node.name!r}) after a change"
                yield hint(f"node {node.name!r}: {text}", (node.name,))


def _of_node(node: Node) -> Iterator[str]:
    if node.fn is not None:
        yield from _producer(node.fn) if node.kind == "producer" else _step(node.fn)
    if isinstance(node.fn, BaseNode) and node.config is not None:
        name = type(node.fn).__name__
        yield f"config= has no effect on a class node: give its settings to the class, {name}(...)"
    if node.fake is not None and not _takes(node.fake, int(node.kind != "producer")):
        yield f"fake {_named(node.fake)} cannot be called like the function it stands in for"
    if callable(node.takes) and not _takes(node.takes, 1):
        yield f"takes {_named(node.takes)} must take one argument, the random numbers: fn(rng)"


def _called_again(node: Node) -> Iterator[Problem]:
    """Find sources whose calls are to be made again although they cannot be."""
    source = node.fn
    makes = inspect.isgeneratorfunction(source) or inspect.isasyncgenfunction(source)
    is_one = isinstance(source, (Generator, AsyncGenerator))
    if is_one or (makes and not any(map(_is_context, _parameters(source)))):
        option = "retry" if node.retry else "timeout"
        yield error(
            f"node {node.name!r}: {option}= has no effect on a generator, which is dead once a call"
            " of it has failed: give the generator function a parameter ctx and go on from"
            " ctx.position, or give a function that returns one item",
            (node.name,),
        )


def _producer(source: Any) -> Iterator[str]:
    if isinstance(source, BaseNode):
        yield from _called(source)
    elif callable(source) and not isinstance(source, Iterable) and not _takes(source, 0):
        yield f"{_named(source)} needs arguments, a producer's function gets none (but ctx)"


def _step(fn: Any) -> Iterator[str]:
    run = fn.run if isinstance(fn, BaseNode) else fn
    if inspect.isgeneratorfunction(run) or inspect.isasyncgenfunction(run):
        yield f"{_named(run)} yields, but a node gives one value for each payload: return it"
    else:
        yield from _called(fn)


def _called(fn: Any) -> Iterator[str]:
    if isinstance(fn, BaseNode):
        for verb, given, advice in _OF_CLASS:
            call = getattr(fn, verb)
            if callable(call) and not _takes(call, given, context=False):
                yield f"{type(fn).__name__}.{_named(call)}: write {advice}"
    elif not _takes(fn, 1):
        yield f"{_named(fn)} cannot take the payload; write it as fn(payload) or fn(payload, ctx)"


_OF_CLASS: Final = (
    ("run", 1, "def run(self, data): the item is data.payload, and setup(self, ctx) gets the ctx"),
    ("setup", 1, "def setup(self, ctx)"),
    ("teardown", 0, "def teardown(self): what it needs of the ctx, keep in setup(self, ctx)"),
)


def _takes(fn: Callable[..., Any], given: int, *, context: bool = True) -> bool:
    """Whether *fn* can be called with so many arguments, and the context if it may have one."""
    if type(fn) is FunctionType and _plainly(fn, given):
        return True
    try:
        signature = inspect.signature(fn)
    except (TypeError, ValueError):
        return callable(fn)  # some builtins do not say; the call will tell
    rest = [p for p in signature.parameters.values() if not (context and _is_context(p))]
    has_context = len(rest) < len(signature.parameters)
    counts = (given, 0) if has_context else (given,)
    return any(_binds(signature.replace(parameters=rest), count) for count in counts)


def _plainly(fn: FunctionType, given: int) -> bool:
    """Answer the usual case 50 times faster than `inspect.signature`; False: ask that."""
    code, optional = fn.__code__, len(fn.__defaults__ or ())
    required = code.co_argcount - optional
    plain = not code.co_kwonlyargcount and "__wrapped__" not in fn.__dict__
    return plain and required <= given <= code.co_argcount


def _parameters(fn: Callable[..., Any]) -> list[inspect.Parameter]:
    return list(inspect.signature(fn).parameters.values())


def _is_context(parameter: inspect.Parameter) -> bool:
    note = parameter.annotation
    text = note if isinstance(note, str) else getattr(note, "__name__", "")
    return parameter.name == "ctx" or str(text).split(".")[-1] in _CONTEXTS


def _binds(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*[None] * count)
    except TypeError:
        return False
    return True


def _named(fn: Any) -> str:
    name = getattr(fn, "__name__", None) or type(fn).__name__
    try:
        return f"{name}{inspect.signature(fn)}"
    except (TypeError, ValueError):
        return f"{name}()"
