"""How does a document become a workflow again?

Names are looked up in a registry, exceptions also among Python's own; nothing else
is ever reached from a document. All names that lead nowhere are reported together.
"""

from __future__ import annotations

import builtins
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pydantic import ValidationError

from flownb.errors import GraphError, did_you_mean, told
from flownb.model import tools as registries
from flownb.model.conditional_edges import check_ends
from flownb.model.conditions import Condition, Placeholder
from flownb.model.document.schema import (
    MAX_EDGES,
    MAX_NODES,
    AnyOfDoc,
    ConditionDoc,
    OtherwiseDoc,
    ToolRef,
    parse,
)
from flownb.model.edges import START, AnyOf, Edge
from flownb.model.nodes import (
    BaseNode,
    QueueNode,
    QueueOptions,
    QueueReader,
    ReaderOptions,
    make_node,
)
from flownb.model.policies import OTHERWISE, Limit, Retry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from flownb.model.document.schema import EdgeDoc, GraphDoc, LoopDoc, NodeDoc, RetryDoc
    from flownb.model.nodes import Node
    from flownb.model.tools import ToolRegistry
    from flownb.model.workflow import Workflow

T = TypeVar("T")
W = TypeVar("W", bound="Workflow")
ERRORS: Final[Mapping[str, type[BaseException]]] = MappingProxyType(
    {
        name: value
        for name, value in vars(builtins).items()
        if isinstance(value, type) and issubclass(value, BaseException)
    }
)
_NODE_PLAIN: Final = (
    "every", "timeout", "join", "cancel", "config", "keep", "description", "into",
    "max_iterations", "router",
)  # fmt: skip


def read(cls: type[W], doc: GraphDoc, tools: ToolRegistry | None = None) -> W:
    """Build the workflow; GraphError holds one sentence for each thing that is wrong."""
    reader = _Reader(doc, registries.tools if tools is None else tools)
    workflow = reader.attempt(lambda: reader.graph(cls))
    if workflow is None or reader.problems:
        raise GraphError(*reader.problems)
    return workflow


class _Reader:
    """Reads one document; remembers limits and problems."""

    def __init__(self, doc: GraphDoc, tools: ToolRegistry) -> None:
        self.doc, self.tools = doc, tools
        self.problems: list[str] = []
        self.limits: list[Limit | None] = []

    def attempt(self, make: Callable[[], T], where: str = "") -> T | None:
        """Call *make*; what it refuses is a problem of the document."""
        try:
            return make()
        except GraphError as error:
            self.problems += [f"{where}{problem}" for problem in error.problems]
        except ValidationError as error:
            for wrong in error.errors(include_url=False, include_input=False):
                place = ".".join(map(str, wrong["loc"]))
                self.problems.append(
                    f"{where}{place}: {wrong['msg'][:1].lower()}{wrong['msg'][1:]}"
                )
        except Exception as error:  # noqa: BLE001 - also the user's own class nodes are made here
            self.problems.append(f"{where}{told(error)}")
        return None

    def graph(self, cls: type[W]) -> W:
        doc = self.doc
        model = self._model(doc.state_model, "state_model")
        found = {k: self._tool(name, f"reducer {k!r}") for k, name in doc.reducers.items()}
        reducers = {k: reducer for k, reducer in found.items() if reducer is not None}
        workflow = cls(doc.name, state_model=model, reducers=reducers)
        self.limits = [self._limit(i) for i in range(len(doc.limits))]
        self._nodes(workflow)
        self._edges(workflow)
        for name, loop in doc.loops.items():
            options = self._loop(name, loop)
            self.attempt(partial(workflow.set_loop, name, **options), f"loop {name!r}: ")
        workflow.entry_points = list(doc.entry_points)
        workflow.unlinked = set(doc.unlinked)
        return workflow

    def _limit(self, number: int) -> Limit | None:
        given = self.doc.limits[number]
        return self.attempt(
            lambda: Limit(given.concurrency, given.per_second), f"limits[{number}]: "
        )

    # -- nodes -----------------------------------------------------------------

    def _nodes(self, workflow: Workflow) -> None:
        for doc in self.doc.nodes:
            where = f"node {doc.name!r}"
            if doc.name == START:
                self.problems.append(f"{where}: this name stands for START: choose another")
                continue
            if doc.name in workflow.nodes:
                self.problems.append(f"{where}: this name is there twice")
                continue
            node = self.attempt(partial(self._node, doc, where), f"{where}: ")
            if node is not None:
                workflow.nodes[doc.name] = node

    def _node(self, doc: NodeDoc, where: str) -> Node:
        options: dict[str, Any] = {option: getattr(doc, option) for option in _NODE_PLAIN}
        options["takes"] = self._or_tool(doc.takes, f"{where}, takes")
        options["fail"] = self._or_tool(doc.fail, f"{where}, fail")
        options["fake"] = self._tool(doc.fake, f"{where}, fake")
        options["on_error"] = self._or_tool(doc.on_error, f"{where}, on_error")
        options["over"] = self._or_tool(doc.over, f"{where}, over")
        options["more"] = self._tool(doc.more, f"{where}, more")
        options["cache"] = self._or_tool(doc.cache, f"{where}, cache")
        options["retry"] = self._retries(doc.retry, where)
        options["limit"] = self._shared(doc.limit)
        options["queue"] = self._queue(doc, where)
        options["reader"] = ReaderOptions(**doc.reader.model_dump()) if doc.reader else None
        return make_node(doc.name, doc.kind, self._called(doc, where), options)

    def _called(self, doc: NodeDoc, where: str) -> Any:
        given = {
            "fn": doc.fn, "class": doc.class_, "items": doc.items, "range": doc.range,
            "test": doc.test, "placeholder": doc.placeholder,
        }  # fmt: skip
        named = [name for name, value in given.items() if value is not None]
        _check_called(doc, named)
        if doc.class_ is not None:
            return self._class(doc, where)
        if doc.queue is not None:
            return QueueNode(doc.name, queue=doc.queue.name)
        if doc.reader is not None:
            return QueueReader(doc.name, queue=doc.reader.queue)
        if doc.range is not None:
            return range(*doc.range)
        if doc.test is not None:
            return Condition(**doc.test.model_dump())
        made = doc.items if doc.placeholder is None else Placeholder(doc.placeholder)
        return self._tool(doc.fn, where) if made is None else made

    def _class(self, doc: NodeDoc, where: str) -> BaseNode | None:
        named = doc.class_
        cls = self._tool(named.name, where) if named else None
        if named is None or cls is None:
            return None
        if not (isinstance(cls, type) and issubclass(cls, BaseNode)):
            msg = f"the tool {named.name!r} is no node class"
            raise GraphError(msg)
        # `queue` is a word of the constructor, not of the Config.
        queue = doc.queue.name if doc.queue else doc.reader.queue if doc.reader else None
        return cls(doc.name, **({"queue": queue} if queue else {}), **named.settings)

    def _retries(self, doc: RetryDoc | list[RetryDoc] | None, where: str) -> Any:
        if isinstance(doc, list):
            return tuple(self._retry(one, where) for one in doc)
        return self._retry(doc, where) if doc else None

    def _retry(self, doc: RetryDoc, where: str) -> Retry:
        many = isinstance(doc.on, list)
        names = doc.on if isinstance(doc.on, list) else [doc.on]
        found = tuple(self._error(name, f"{where}, retry") for name in names)
        given = doc.model_dump(exclude={"on"})
        # A name that leads nowhere is noted already; Retry need not complain again.
        known: Any = found if None not in found else ()
        return Retry(on=known if many or not known else known[0], **given)

    def _error(self, name: str, where: str) -> Any:
        known = ERRORS.get(name)
        if known is None:
            return self._tool(name, where)
        if name in self.tools and self.tools.get(name) is not known:
            self.problems.append(
                f"{where}: {name!r} is an error of Python and another one in the tools: give that"
                " one another name"
            )
            return None
        return known

    def _shared(self, number: int | None) -> Limit | None:
        if number is None:
            return None
        if not 0 <= number < len(self.limits):
            msg = f"limit {number} is not in the list of {len(self.limits)} limits"
            raise GraphError(msg)
        return self.limits[number]

    def _queue(self, doc: NodeDoc, where: str) -> QueueOptions | None:
        if doc.queue is None:
            return None
        model = self._model(doc.queue.model, f"{where}, queue model")
        return QueueOptions(**{**doc.queue.model_dump(), "model": model})

    # -- edges and loops -------------------------------------------------------

    def _edges(self, workflow: Workflow) -> None:
        for doc in self.doc.edges:
            key = (doc.source, doc.target)
            where = f"edge {doc.source} -> {doc.target}"
            if key in workflow.edges:
                self.problems.append(f"{where}: this edge is there twice")
            workflow.edges[key] = edge = self._edge(doc, where)
            self.attempt(partial(check_ends, edge))

    def _edge(self, doc: EdgeDoc, where: str) -> Edge:
        when: Any = doc.when
        if isinstance(when, OtherwiseDoc):
            when = OTHERWISE
        elif isinstance(when, AnyOfDoc):
            when = AnyOf(when.any)
        condition: Any = doc.condition
        if isinstance(condition, ConditionDoc):
            condition = Condition(**condition.model_dump())
        else:
            condition = self._tool(condition, f"{where}, condition")
        return Edge(doc.source, doc.target, when, condition, doc.copy_, doc.description, doc.owner)

    def _loop(self, name: str, doc: LoopDoc) -> dict[str, Any]:
        where = f"loop {name!r}"
        given = {option: getattr(doc, option) for option in sorted(doc.model_fields_set)}
        if "on_error" in given:
            given["on_error"] = self._or_tool(doc.on_error, f"{where}, on_error") or "skip"
        if "resources" in given:
            given["resources"] = {
                key: self._tool(tool, f"{where}, resources[{key!r}]")
                for key, tool in doc.resources.items()
            }
        return given

    # -- names -----------------------------------------------------------------

    def _tool(self, name: str | None, where: str) -> Any:
        if name is None:
            return None
        if name not in self.tools:
            near = did_you_mean(name, self.tools)
            self.problems.append(f"{where}: there is no tool {name!r}{near}")
            return None
        return self.tools.get(name)

    def _or_tool(self, value: Any, where: str) -> Any:
        return self._tool(value.tool, where) if isinstance(value, ToolRef) else value

    def _model(self, name: str | None, where: str) -> type | None:
        found = self._tool(name, where)
        if found is not None and not isinstance(found, type):
            self.problems.append(f"{where}: the tool {name!r} is no class")
            return None
        return found


def _check_called(doc: NodeDoc, named: list[str]) -> None:
    """Refuse what contradicts the kind of the node."""
    if len(named) > 1:
        msg = f"{' and '.join(named)} both say what is called: keep one"
        raise GraphError(msg)
    if (doc.kind == "queue") != (doc.queue is not None):
        msg = "a queue node, and no other, has a field queue"
        raise GraphError(msg)
    if (doc.kind == "queue_reader") != (doc.reader is not None):
        msg = "a queue_reader node, and no other, has a field reader"
        raise GraphError(msg)
    if doc.router is not None and doc.kind != "if":
        msg = "only an if is the router of a node"
        raise GraphError(msg)
    wrong = {"items", "range"}
    if doc.queue or doc.reader:
        wrong |= {"fn", "test", "placeholder"}
    if doc.kind != "producer" and wrong.intersection(named):
        msg = f"a {doc.kind} node has no {named[0]}"
        raise GraphError(msg)


def from_dict(
    cls: type[W],
    data: object,
    *,
    tools: ToolRegistry | None = None,
    max_nodes: int = MAX_NODES,
    max_edges: int = MAX_EDGES,
) -> W:
    """Build a workflow of class *cls* from what `to_dict` gave, or from a stranger.

    Callables come from *tools* (default: `flownb.tools`) and from nowhere else, but
    Python's own exceptions, which `retry` may name. Whatever is wrong with *data* is a
    GraphError that names the place. Whether the graph makes sense is another question:
    `validate` answers it.
    """
    return read(cls, parse(data, max_nodes=max_nodes, max_edges=max_edges), tools)
