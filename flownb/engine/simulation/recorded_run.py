"""What did a live run do, call by call, so that it can be run again? A `RecordedRun`.

A `CallRecorder` hears every call of a live run: how long it took, and what it gave or raised.
`simulate(recorded=...)` then runs the graph with that in place of its functions: nothing of the
user's is called, and the run is the same every time.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from flownb.arguments import MOST_SECONDS, instance, known
from flownb.engine.links import queue_specs
from flownb.engine.observe.stream import Observer
from flownb.errors import GraphError, InjectedFailure, SimulationError, StoreError
from flownb.explain.explanation import snapshot
from flownb.model.policies import retries
from flownb.records.events import NOTHING
from flownb.stores.codec import decode, encode

if TYPE_CHECKING:
    from collections.abc import Iterable
    from os import PathLike

    from flownb.model.nodes import Node
    from flownb.model.workflow import Workflow
    from flownb.records.events import Event, Span

_Place = tuple[str, str, int, int]  # of a call: loop, node, iteration, visit


class RecordedCall(NamedTuple):
    """One attempt of a node: it began at second `start` and took `seconds`.

    `loop`, `node`, `iteration` and `visit` say whose, as in a `Span`; `output` is what it gave,
    else `error` says what it raised, and `again` whether it was tried again. `pushed` are the
    messages that it pushed with `ctx.push`: (queue, payload).
    """

    loop: str
    node: str
    iteration: int
    visit: int
    start: float
    seconds: float
    output: Any = None
    error: str = ""
    again: bool = False
    pushed: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class RecordedRun:
    """The calls of a live run; `graph.simulate(recorded=run)` does them again in virtual time.

    `graph` is the name of the graph, `duration` the seconds that were recorded, `calls` are the
    attempts of all nodes in the order of their start, `unsettled` has for each loop the
    iterations that were not done by then.

    >>> from flownb import Graph
    >>> graph = Graph("g").add_producer("p", [1, 2]).add_node("n", lambda x: x * 2, keep=2)
    >>> orch = graph.add_edge("p", "n").start(record=True)
    >>> orch.wait().wait()["p"].state
    'completed'
    >>> run = orch.record()
    >>> run
    RecordedRun('g': 2 items, 4 calls)
    >>> graph.simulate(recorded=run).outputs("n")
    [2, 4]
    """

    graph: str
    duration: float
    calls: tuple[RecordedCall, ...]
    unsettled: dict[str, tuple[int, ...]]

    @property
    def items(self) -> int:
        """How many items the loops have made."""
        sources = {c[:3] for c in self.calls if c.node == c.loop and c.output is not None}
        return len(sources)

    @property
    def is_whole(self) -> bool:
        """Whether all items were done when the recording was taken."""
        return not any(self.unsettled.values())

    def __repr__(self) -> str:
        return f"RecordedRun({self.graph!r}: {self.items:,} items, {len(self.calls):,} calls)"

    # -- a file ------------------------------------------------------------------

    def save(self, path: str | PathLike[str], *, without: Iterable[str] = ()) -> None:
        """Write it to a file: a line of JSON for each call.

        What the nodes named *without* gave is left out: None takes its place, of a producer the
        number of the item. StoreError names the node whose output is not JSON.
        """
        names = {call.node for call in self.calls}
        left_out = {known("node", name, names) for name in without}
        head: dict[str, Any] = {"recorded": 1, "graph": self.graph, "duration": self.duration}
        head["unsettled"] = {loop: list(found) for loop, found in self.unsettled.items()}
        lines = [encode(head, "the recording")]
        for call in self.calls:
            *fields, pushed = _without(call) if call.node in left_out else call
            what = f"output of node {call.node!r} (without=[{call.node!r}] leaves it out)"
            lines.append(encode([*fields, list(map(list, pushed))], what))
        Path(path).write_text("\n".join([*lines, ""]), "utf-8")

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Read it back; StoreError if that is no recording."""
        try:
            first, *rest = map(decode, Path(path).read_text("utf-8").splitlines())
            version = first.pop("recorded")
            if version == 1:
                first["unsettled"] = {k: tuple(v) for k, v in first["unsettled"].items()}
                return cls(calls=tuple(map(_read, rest)), **first)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            msg = f"{path} is no recording: what orch.record().save(...) writes is one"
            raise StoreError(msg) from error
        msg = f"{path} was recorded by a newer flownb (format {version})"
        raise StoreError(msg)


def _without(call: RecordedCall) -> RecordedCall:
    is_item = call.node == call.loop and call.output is not None
    return call._replace(output=call.iteration if is_item else None)


def _read(fields: list[Any]) -> RecordedCall:
    pushed = tuple((queue, data) for queue, data in fields[-1])
    return RecordedCall(*fields)._replace(pushed=pushed)


RECORDED: Final = instance("give what orch.record() gave", RecordedRun)


def replayed(run: RecordedRun, workflow: Workflow) -> Workflow:
    """Copy a graph, with what was recorded in place of its functions.

    GraphError if the recording is that of another graph.
    """
    if missing := sorted(run.unsettled.keys() - workflow.producers):
        msg = (
            f"graph {workflow.name!r} has no loop {missing[0]!r}: this was recorded of "
            f"graph {run.graph!r}"
        )
        raise GraphError(msg)
    again, copy = _Replay(run), snapshot(workflow)
    for name, node in copy.nodes.items():
        copy.nodes[name] = again.node(node)
    for options in copy.options.values():
        options.pop("resources", None)  # clients of the outside world
    return copy


class _Replay:
    """What stands in for the functions of a graph, once."""

    def __init__(self, run: RecordedRun) -> None:
        self._names = {call.node for call in run.calls}
        self._sources: dict[str, deque[RecordedCall]] = {}
        self._calls: dict[_Place, deque[RecordedCall]] = {}
        first: dict[str, int] = {}  # a loop may have gone on where a checkpoint said
        for call in run.calls:
            first[call.loop] = min(first.get(call.loop, call.iteration), call.iteration)
        self._open = {(x, i - first[x]) for x, open_ in run.unsettled.items() for i in open_}
        self._made = {x: sum(c[1] == c[0] for c in run.calls) for x in run.unsettled}
        for call in run.calls:
            if call.node == call.loop:
                self._sources.setdefault(call.loop, deque()).append(call)
            else:
                place = call.loop, call.node, call.iteration - first[call.loop], call.visit
                self._calls.setdefault(place, deque()).append(call)

    def node(self, node: Node) -> Node:
        """Give the node as it is simulated."""
        if node.kind == "producer":
            source = self._sources.get(node.name, deque())
            # what has a length may be simulated without an end
            fn, fake = range(len(source)), self._source(source)
        elif node.queue or node.reader or not self._stands_in(node):
            return node
        else:
            fn, fake = node.fn, self._call(node.name)
        retry = None
        if policies := retries(node.retry):
            most = max(policy.attempts for policy in policies)
            retry = replace(policies[0], on=_again, attempts=most)
        return replace(
            node, fn=fn, fake=fake, takes=None, fail=None, timeout=None, cache=False, retry=retry
        )

    def _stands_in(self, node: Node) -> bool:
        """Whether the node is not called: it was recorded, or it has no stand-in of its own."""
        return node.name in self._names or (node.fn is not None and node.fake is None)

    def _source(self, calls: deque[RecordedCall]) -> Any:
        def pull(ctx: Any) -> Any:
            if not calls:
                raise StopIteration
            return _done(calls.popleft(), ctx)

        return pull

    def _call(self, node: str) -> Any:
        def call(_: Any, ctx: Any) -> Any:
            loop, iteration = ctx.meta["loop"], ctx.meta["iteration"]
            calls = self._calls.get((loop, node, iteration, ctx.meta["visit"]))
            if calls:
                return _done(calls.popleft(), ctx)
            if (loop, iteration) not in self._open and iteration < self._made.get(loop, 0):
                msg = (
                    f"node {node!r} (loop {loop!r}, iteration {iteration}) was not called when "
                    "this was recorded: give it fake=, or record anew"
                )
                raise SimulationError(msg)
            ctx.sleep(MOST_SECONDS)  # it was still at work when the recording was taken
            return None

        return call


def _done(call: RecordedCall, ctx: Any) -> Any:
    for queue, payload in call.pushed:
        ctx.push(queue, payload)
    ctx.sleep(call.seconds)
    if call.error:
        error = InjectedFailure(call.error)
        error.again = call.again  # type: ignore[attr-defined]
        raise error
    return call.output


def _again(error: BaseException) -> bool:
    return getattr(error, "again", False)


_VAIN: Final = {"retry": True, "failed": False}  # whether another attempt follows


class CallRecorder(Observer):
    """Hears what the loops of a live run do."""

    def __init__(self) -> None:
        self._calls: dict[str, list[RecordedCall]] = {}
        self._settled: dict[str, set[int]] = {}
        self._received: dict[tuple[str, int], _Place] = {}  # by loop and iteration: who pushed it

    def on_span(self, span: Span, output: Any) -> None:
        """Note a call."""
        if span.kind != "work":
            return
        place, seconds = span[:4], round(span.duration, 6)
        given = None if output is NOTHING else output
        call = RecordedCall(*place, round(span.start, 6), seconds, given)
        self._calls.setdefault(span.loop, []).append(call)

    def on_event(self, event: Event) -> None:
        """Note what became of a call, and of an item."""
        if event.kind in _VAIN:
            self._failed(event)
        elif event.kind == "settled":
            self._settled.setdefault(event.loop, set()).add(event.iteration)
        elif event.kind == "received" and event.node == event.loop:
            self._received[event.loop, event.iteration] = tuple(event.data or ())
        elif event.kind == "state" and event.data[0] == "starting":  # it counts anew
            self._calls[event.loop], self._settled[event.loop] = [], set()

    def _failed(self, event: Event) -> None:
        calls = self._calls[event.loop]
        for i in range(len(calls) - 1, -1, -1):
            call = calls[i]
            if (call.node, call.iteration) == (event.node, event.iteration) and not call.error:
                again = _VAIN[event.kind]
                calls[i] = call._replace(output=None, error=str(event.data), again=again)
                return

    def run(self, workflow: Workflow, now: float) -> RecordedRun:
        """Give what was recorded until now, second *now* of the run."""
        queued = _queued(workflow)
        calls = [
            call._replace(output=None) if call.node in queued else call
            for one in list(self._calls.values())
            for call in list(one)
        ]
        calls.sort(key=lambda call: call.start)
        last = {call[:4]: i for i, call in enumerate(calls)}  # the attempt that counted
        once = {q.name: q.readers[:1] for q in queue_specs(workflow) if q.mode == "broadcast"}
        made = {call.loop: set[int]() for call in calls}
        for call in calls:
            if call.node != call.loop or call.output is None:
                continue
            made[call.loop].add(call.iteration)
            origin = self._received.get((call.loop, call.iteration))
            reads = workflow.nodes.get(call.loop)
            if reads is None or reads.reader is None or origin not in last:
                continue
            queue = reads.reader.queue
            # by a function, with `ctx.push`; of a broadcast each reader has heard
            if origin[1] not in queued and call.loop in once.get(queue, (call.loop,)):
                pushed = calls[last[origin]]
                messages = (*pushed.pushed, (queue, call.output))
                calls[last[origin]] = pushed._replace(pushed=messages)
        unsettled = {x: tuple(sorted(made[x] - self._settled.get(x, set()))) for x in sorted(made)}
        return RecordedRun(workflow.name, round(now, 6), tuple(calls), unsettled)


def _queued(workflow: Workflow) -> set[str]:
    """Name the nodes whose calls push, or read in the middle of a loop: these are done anew."""
    nodes, loops = workflow.nodes.values(), workflow.producers
    return {n.name for n in nodes if n.queue or (n.reader and n.name not in loops)}
