"""How is a workflow written down as a document?

Every function becomes a name. What has no name that leads back to it and to nothing else,
or is no JSON, is a problem; all problems of a graph are found before one error names them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from flownb.address import Address
from flownb.errors import GraphError, told
from flownb.jsonable import Refused, adapter_of, check_plain, written
from flownb.model import tools as registries
from flownb.model.conditions import Condition, Placeholder
from flownb.model.document.schema import (
    AnyOfDoc,
    ClassDoc,
    ConditionDoc,
    EdgeDoc,
    GraphDoc,
    LimitDoc,
    LoopDoc,
    NodeDoc,
    OtherwiseDoc,
    QueueDoc,
    ReaderDoc,
    RetryDoc,
    ToolRef,
)
from flownb.model.edges import AnyOf
from flownb.model.nodes import BaseNode, OwnLimit, QueueNode, QueueReader
from flownb.model.policies import OTHERWISE
from flownb.model.tools import alike, is_nameless, origin

if TYPE_CHECKING:
    from flownb.model.edges import Edge
    from flownb.model.nodes import Node
    from flownb.model.policies import Limit
    from flownb.model.tools import ToolRegistry
    from flownb.model.workflow import Workflow

D = TypeVar("D", bound=BaseModel)
_NUMBERS: Final = (int, float)
_NODE_PLAIN: Final = (
    "every", "timeout", "join", "cancel", "config", "keep", "description", "into",
    "max_iterations", "router",
)  # fmt: skip
_RANGE_END: Final = 2**63


def write(workflow: Workflow, tools: ToolRegistry | None = None) -> GraphDoc:
    """Make the document; GraphError holds one sentence for each thing it cannot hold."""
    writer = _Writer(workflow, registries.tools if tools is None else tools)
    doc = writer.graph()
    if writer.problems:
        raise GraphError(*writer.problems)
    return doc


class _Writer:
    """Writes one workflow; remembers names, limits and problems."""

    def __init__(self, workflow: Workflow, tools: ToolRegistry) -> None:
        self.workflow, self.tools = workflow, tools
        self.registered = {id(tool.fn): tool.name for tool in reversed(tools.listing())}
        self.named: dict[str, Any] = {tool.name: tool.fn for tool in tools.listing()}
        self.limits: dict[int, tuple[int, Limit]] = {}
        self.problems: list[str] = []

    def graph(self) -> GraphDoc:
        flow = self.workflow
        self._checked(flow.name, "the graph's name")
        parts: dict[str, Any] = {
            "nodes": [self._node(n) for n in flow.nodes.values()],
            "edges": [self._edge(e) for e in flow.edges.values()],
            "loops": {k: self._loop(k, o) for k, o in flow.options.items() if o},
            "limits": [_limit(limit) for _, limit in self.limits.values()],
            "reducers": {k: self._name(f, f"reducer {k!r}") for k, f in flow.reducers.items()},
            "entry_points": list(flow.entry_points),
            "unlinked": [name for name in flow.nodes if name in flow.unlinked],
        }
        if flow.state_model is not None:
            parts["state_model"] = self._name(flow.state_model, "state_model")
        given = {k: v for k, v in parts.items() if v}
        return GraphDoc.model_construct({"flownb", "name", *given}, name=flow.name, **given)

    # -- nodes -----------------------------------------------------------------

    def _node(self, node: Node) -> NodeDoc:
        where = f"node {node.name!r}"
        given: dict[str, Any] = {"name": node.name, "kind": node.kind}
        given |= self._called(node, where)
        given |= {
            option: self._checked(getattr(node, option), f"{where}, {option}=")
            for option in _NODE_PLAIN
            if not _is(getattr(node, option), NodeDoc.model_fields[option].default)
        }
        for option, encode in self._encoders().items():
            value = getattr(node, option)
            # a class node brings its own limit along
            if value is not None and value is not False and not isinstance(value, OwnLimit):
                given[option] = encode(value, f"{where}, {option}=")
        return self._made(NodeDoc, given, where)

    def _encoders(self) -> dict[str, Callable[[Any, str], Any]]:
        return {
            "takes": self._number_or_tool,
            "fake": self._name,
            "fail": self._fail,
            "retry": self._retry,
            "on_error": self._word_or_tool,
            "over": self._word_or_tool,
            "more": self._name,
            "cache": self._number_or_tool,
            "limit": self._limit_number,
            "queue": self._queue,
            "reader": lambda reader, where: self._made(ReaderDoc, _changed(reader), where),
        }

    def _called(self, node: Node, where: str) -> dict[str, Any]:
        fn = node.fn
        if fn is None or type(fn) in {QueueNode, QueueReader}:
            return {}
        if isinstance(fn, BaseNode):
            return {"class": self._class(fn, where)}
        if node.kind == "producer" and type(fn) is range and max(map(abs, _of(fn))) < _RANGE_END:
            return {"range": list(_of(fn))}
        if node.kind == "producer" and type(fn) in {list, tuple}:
            return {"items": self._checked(list(fn), f"{where}, items")}
        if isinstance(fn, Placeholder):
            return {"placeholder": fn.type}
        held = isinstance(fn, Condition)
        return {"test": self._condition(fn, where)} if held else {"fn": self._name(fn, where)}

    def _condition(self, test: Condition, where: str) -> ConditionDoc:
        value = self._checked(test.value, f"{where}, value=")
        return ConditionDoc(field=test.field, op=test.op, value=value)

    def _class(self, fn: BaseNode, where: str) -> ClassDoc:
        name = self._name(type(fn), where)
        try:
            settings = written(adapter_of(type(fn.config)), fn.config, "Config")
        except Refused as refused:
            self.problems.append(f"{where}, Config{refused.path}: {refused.reason}")
            settings = {}
        else:
            self._check_whole(fn, settings, where)
        return self._made(ClassDoc, {"name": name, **({"settings": settings} if settings else {})})

    def _check_whole(self, fn: BaseNode, settings: dict[str, Any], where: str) -> None:
        """Note what the name of a class and its settings do not bring back."""
        queue = {"queue": fn.queue} if isinstance(fn, (QueueNode, QueueReader)) else {}
        try:
            again = type(fn)(fn.name, **queue, **settings)
            lost = [key for key, value in vars(fn).items() if _lost(value, vars(again).get(key))]
        except Exception as error:  # noqa: BLE001 - the user's own constructor
            self.problems.append(
                f"{where}: {type(fn).__name__} cannot be made of its name and Config alone"
                f" ({told(error, 200)}): let all it needs be settings of its Config"
            )
            return
        if lost:
            what = "Config" if lost[0] == "config" else f".{lost[0]}"
            self.problems.append(
                f"{where}: the {what} of {type(fn).__name__} would not come back as it is: let"
                " all it needs be settings of its Config that JSON can hold"
            )

    def _fail(self, fail: Any, where: str) -> Any:
        if isinstance(fail, (list, tuple, set, frozenset, range)):
            return sorted(fail) if isinstance(fail, (set, frozenset)) else list(fail)
        return self._number_or_tool(fail, where)

    def _retry(self, retry: Any, where: str) -> Any:
        if isinstance(retry, tuple):
            return [self._retry(one, where) for one in retry]
        given = _changed(retry)
        on = retry.on
        many = isinstance(on, tuple)
        given["on"] = [self._error(e, where) for e in on] if many else self._error(on, where)
        return self._made(RetryDoc, given, where)

    def _error(self, error: Any, where: str) -> str:
        """Name what a retry is for: Python's own errors have their names for themselves."""
        from flownb.model.document.decode import ERRORS

        own = getattr(error, "__name__", "")
        if isinstance(own, str) and ERRORS.get(own) is error:
            return own
        name = self._name(error, where)
        if name in ERRORS:
            self.problems.append(
                f"{where}: Python has an error {name!r}, too: register this one in the tools"
                " under another name"
            )
        return name

    def _limit_number(self, limit: Limit, _: str) -> int:
        return self.limits.setdefault(id(limit), (len(self.limits), limit))[0]

    def _queue(self, queue: Any, where: str) -> QueueDoc:
        given = _changed(queue)
        if queue.model is not None:
            given["model"] = self._name(queue.model, where)
        return self._made(QueueDoc, given, where)

    # -- edges and loops -------------------------------------------------------

    def _edge(self, edge: Edge) -> EdgeDoc:
        where = f"edge {edge}"
        given = _changed(edge)
        if isinstance(edge.condition, Condition):
            given["condition"] = self._condition(edge.condition, where)
        elif edge.condition is not None:
            given["condition"] = self._name(edge.condition, f"{where}, condition=")
        labels = edge.when if type(edge.when) is AnyOf else (edge.when,)
        if edge.when is OTHERWISE:
            given["when"] = OtherwiseDoc(otherwise=True)
        elif any(type(label) not in {bool, int, float, str, type(None)} for label in labels):
            self.problems.append(
                f"{where}, when={edge.when!r}: a document holds a bool, a number or a text here"
            )
        elif type(edge.when) is AnyOf:
            given["when"] = AnyOfDoc(any=list(labels))
        return self._made(EdgeDoc, given, where)

    def _loop(self, name: str, options: Mapping[str, Any]) -> LoopDoc:
        where, given = f"loop {name!r}", dict(options)
        if "on_error" in given:
            given["on_error"] = self._word_or_tool(given["on_error"], f"{where}, on_error=")
        if (
            isinstance(given.get("checkpoint"), str)
            and (place := Address.of(given["checkpoint"])).holds_secret
        ):
            self.problems.append(
                f"{where}, checkpoint={place!r}: a document holds no password: leave it out here"
                " and give checkpoint= where the document is read, or let the driver find it"
            )
        if "resources" in given:
            given["resources"] = {
                key: self._name(value, f"{where}, resources[{key!r}]")
                for key, value in given["resources"].items()
            }
        return self._made(LoopDoc, given, where)

    # -- values ----------------------------------------------------------------

    def _name(self, fn: Any, where: str) -> str:
        """Give the name that leads back to *fn*, or note that there is none."""
        known = self.registered.get(id(fn)) or self.tools.name_of(fn)
        if known is not None:
            return known
        name = getattr(fn, "__name__", None)
        if not callable(fn) or not isinstance(name, str):
            what = f"{'' if callable(fn) else 'is no function and '}cannot be written down"
            self.problems.append(
                f"{where}: a {type(fn).__name__} {what}: register a function in the tools"
            )
            return ""
        if is_nameless(fn):
            self.problems.append(
                f"{where}: {_nameless(fn, name)}: register it under a name of its own,"
                " tools.register('name', fn), and say to_dict(tools=tools)"
            )
        elif not alike(self.named.setdefault(name, fn), fn):
            known = " (the tools know another)" if name in self.tools else ""
            self.problems.append(
                f"{where}: two different functions are called {name!r}{known}: register this one"
                " in the tools under another name"
            )
        return name

    def _number_or_tool(self, value: Any, where: str) -> Any:
        if isinstance(value, (*_NUMBERS, str)):
            return self._checked(value, where)
        return ToolRef(tool=self._name(value, where))

    def _word_or_tool(self, value: Any, where: str) -> Any:
        return value if isinstance(value, str) else ToolRef(tool=self._name(value, where))

    def _checked(self, value: Any, where: str) -> Any:
        try:
            check_plain(value, where)
        except GraphError as error:
            self.problems.append(str(error))
            return None
        return value

    def _made(self, doc: type[D], given: dict[str, Any], where: str = "") -> D:
        """Make one part; what has the wrong type in the workflow is a problem here."""
        try:
            return doc.model_validate(given)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            self.problems.append(f"{where}, {first['loc'][0]}: {first['msg']}")
            return doc.model_construct(**given)


def _changed(value: Any) -> dict[str, Any]:
    """Give the fields of a dataclass that have not their default."""
    fields = type(value).__dataclass_fields__
    named = {name: getattr(value, name) for name in fields}
    return {name: v for name, v in named.items() if not _is(v, fields[name].default)}


def _is(value: Any, default: Any) -> bool:
    """Whether both are the same to a reader: 30 is 30.0, but True is not 1."""
    if value is default or not isinstance(value, (*_NUMBERS, str)):
        return value is default
    return isinstance(value, bool) is isinstance(default, bool) and value == default


def _limit(limit: Limit) -> LimitDoc:
    figures = {"concurrency": limit.concurrency, "per_second": limit.per_second}
    return LimitDoc.model_validate({k: v for k, v in figures.items() if v is not None})


def _of(numbers: range) -> tuple[int, int, int]:
    return numbers.start, numbers.stop, numbers.step


def _nameless(fn: Any, name: str) -> str:
    if name == "<lambda>":
        return "a lambda has no name that leads back to it"
    where = f"was defined inside a function ({origin(fn)[1]})"
    if getattr(fn, "__self__", None) is not None:
        where = "is a method of an object"
    return f"{name!r} {where}, so its name does not lead back to it"


def _lost(value: Any, again: Any) -> bool:
    """Whether a value that a class node holds is another one when the node is made again."""
    if type(value) is not type(again):
        return True
    plain = isinstance(value, (BaseModel, str, bytes, int, float, list, tuple, dict, set))
    return plain and bool(value != again)


def to_dict(workflow: Workflow, *, tools: ToolRegistry | None = None) -> dict[str, Any]:
    """Describe the workflow as plain JSON; what has its default is left out.

    A function is named as *tools* (default: `flownb.tools`) knows it, else by its
    `__name__`. A name has to lead back to the one function: a lambda, a function or class
    that was defined inside a function, a method of an object, and the second of two of one
    name have to be registered under a name of their own. GraphError names the node and the
    option of everything that JSON cannot hold. Observers and middleware (`use`) are not
    part of a graph, nor of its document.

    >>> from flownb.model.workflow import Workflow
    >>> to_dict(Workflow("g").add_node("size", len).add_edge("size", "store"))["nodes"]
    [{'name': 'size', 'kind': 'blocking', 'fn': 'len'}]
    """
    doc = write(workflow, tools).model_dump(mode="json", by_alias=True, exclude_unset=True)
    check_plain(doc, "graph document")
    return doc
