"""How does a drawing become a graph? Everything that is wrong with it is found at once.

A node's `type` (or `data.kind`) says its kind, its `data` the options, edges the flow; the
document that comes out is the one that `Graph.from_dict` reads. Nodes of other tools become
placeholders if that is asked for. Notes are only drawn, frames hold nodes and never run, an
edge that ends on a frame leads to each of its entry nodes, and that is told.
"""

from __future__ import annotations

import difflib
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from pydantic import ValidationError

from flownb.arguments import NONE, TEXT, checked, whole, word
from flownb.errors import FlowFormatError, GraphError, did_you_mean
from flownb.model import tools as registries
from flownb.model.document.decode import read
from flownb.model.document.schema import GraphDoc, parse
from flownb.model.edges import END, START
from flownb.model.nodes import BaseNode
from flownb.model.policies import OTHERWISE
from flownb.reactflow.dialect import DATA, LOOP_OPTIONS, EdgeData, Section
from flownb.reactflow.drawing import Drawing, Pair
from flownb.reactflow.places import Place, find
from flownb.reactflow.source_text import Caps, sound
from flownb.reactflow.spelling import (
    BUILT_IN,
    foreign_if,
    is_group,
    is_note,
    kind_of,
    option,
    verdict,
)
from flownb.validate.problems import Problem, listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from flownb.model.nodes import Kind
    from flownb.model.tools import ToolRegistry
    from flownb.model.workflow import Workflow

W = TypeVar("W", bound="Workflow")
OnUnknown = Literal["error", "placeholder"]
OnDangling = Literal["error", "drop"]
OnGroup = Literal["entries", "error"]
ABOUT: Final = ("limits", "state_model", "reducers", "entry_points", "unlinked")
"""What belongs to the whole graph, beside its name and loops that are not drawn."""
TYPES: Final = ("producer", "blocking", "non-blocking", "if", "queue", "queue-reader")
_HANDLES: Final = ("sourceHandle", "targetHandle")
_LONGEST: Final = 2_000  # characters of a handle
_GUESSES: Final = 20  # how often the nearest word is looked for; beyond, it costs too much
_GUESS_AMONG: Final = 500
_TOLD: Final = 20  # lines of a warning
_ALMOST: Final = 0.8
_ARGUMENTS: Final = {
    "on_unknown": word("error", "placeholder"),
    "on_dangling": word("error", "drop"),
    "on_group": word("entries", "error"),
    "default_type": TEXT | NONE,
    "max_bytes": whole("bytes", least=1),
    "max_nodes": whole("nodes", least=1),
    "max_edges": whole("edges", least=1),
    "max_depth": whole("levels", least=1, most=200),
}
Role = Literal["node", "note", "group"]
_ABSENT: Final = object()


def from_react_flow(cls: type[W], given: object, **options: Any) -> W:
    """Read a drawing, and warn of what was left out; `Graph.from_react_flow` says how."""
    graph = read_drawing(cls, given, **options)
    said = graph.drawing.warnings
    if said:
        more = len(said) - _TOLD
        told = [*said[:_TOLD], *([f"... and {more} more"] if more > 0 else [])]
        warnings.warn("\n".join(told), stacklevel=4)
    return graph


def read_drawing(
    cls: type[W],
    given: object,
    *,
    tools: ToolRegistry | None = None,
    at: str | Sequence[int | str] | None = None,
    **options: Any,
) -> W:
    """Read a drawing; `graph.drawing.warnings` tells what was left out."""
    for name, value in options.items():
        checked("from_react_flow()", name, value, _ARGUMENTS[name])
    caps = Caps(**{key: options.pop(key) for key in Caps.__dataclass_fields__ if key in options})
    document, stem = sound(given, caps)
    place = find(document, at)
    reader = Importer(place, registries.tools if tools is None else tools, caps, **options)
    return reader.graph(cls, stem)


@dataclass(slots=True)
class DrawnNode:
    """A node of the drawing, as far as it could be read."""

    id: str
    name: str
    raw: dict[str, Any]
    data: dict[str, Any]
    parent: str | None
    role: Role = "node"
    kind: Kind | None = None
    tool: str | None = None  # its type is the name of a tool
    decides: bool = False  # its handles are verdicts
    children: list[str] = field(default_factory=list)

    @property
    def type(self) -> str | None:
        """The type as it is written."""
        kind = self.raw.get("type")
        return kind if isinstance(kind, str) else None


@dataclass(slots=True)
class DrawnEdge:
    """An edge of the drawing whose ends are there."""

    at: int
    where: str
    raw: dict[str, Any]
    source: DrawnNode
    target: DrawnNode
    label: str | None


class Importer:
    """Reads one drawing; collects problems and warnings."""

    def __init__(
        self,
        place: Place,
        tools: ToolRegistry,
        caps: Caps,
        *,
        default_type: str | None = None,
        on_unknown: OnUnknown = "error",
        on_dangling: OnDangling = "error",
        on_group: OnGroup = "entries",
    ) -> None:
        self.place, self.tools, self.caps = place, tools, caps
        self.default_type = default_type
        self.lenient, self.drops = on_unknown == "placeholder", on_dangling == "drop"
        self.expands = on_group == "entries"
        self.problems: list[Problem] = []
        self.warnings: list[str] = []
        self.remarks: list[str] = []
        self.nodes: dict[str, DrawnNode] = {}
        self.guesses = _GUESSES
        self.almost: dict[str, str] = {}
        self.loops: dict[str, dict[str, Any]] = {}
        self.limits: list[Any] = []
        self.about: dict[str, Any] = {}

    # -- the whole -------------------------------------------------------------

    def graph(self, cls: type[W], stem: str = "") -> W:
        """Build the graph, or raise a FlowFormatError with everything that is wrong."""
        flow = self.place.flow
        for part, most in (("nodes", self.caps.max_nodes), ("edges", self.caps.max_edges)):
            if len(flow[part]) > most:
                msg = f"{len(flow[part]):,} {part} are drawn, at most {most:,} (max_{part}=)"
                raise FlowFormatError(msg)
        section = self._section(flow.get("flownb"))
        self.limits = section.pop("limits", [])
        self._read_nodes(flow["nodes"])
        self._read_parents()
        for node in self.nodes.values():
            self._classify(node)
        drawn = self._read_edges(flow["edges"])
        edges, links = self._edges(drawn)
        queues = self._drawn_queues(drawn)
        docs = [self._document(n, queues) for n in self.nodes.values() if n.role == "node"]
        named = section.pop("name", None) or self._title() or stem or "drawing"
        doc: dict[str, Any] = {**section, "name": named, "nodes": docs, "edges": edges}
        doc["loops"] = {**section.get("loops", {}), **self.loops}
        doc["limits"] = self.limits
        self.about = {k: doc[k] for k in ("name", *ABOUT) if doc.get(k)}
        if section.get("loops"):
            self.about["loops"] = section["loops"]
        graph = self._build(cls, doc)
        self._note_parts(graph)
        return self._remember(graph, links)

    def _note_parts(self, graph: Workflow) -> None:
        """Tell of parts that nothing links, unless each is a loop."""
        parts = _parts(graph)
        driven = set(graph.producers)
        if len(parts) > 1 and not all(driven.intersection(part) for part in parts):
            firsts = listed([part[0] for part in parts])
            self.remarks.append(
                f"{len(parts)} parts that no edge links: each runs by itself (with {firsts:.300})"
            )

    def _build(self, cls: type[W], doc: dict[str, Any]) -> W:
        """Read the document; its problems join those of the drawing."""
        try:
            try:
                made = GraphDoc.model_validate(doc)
            except ValidationError:
                made = parse(doc, max_nodes=len(doc["nodes"]), max_edges=len(doc["edges"]))
            graph = read(cls, made, self.tools)
        except GraphError as error:
            self.problems += [Problem("error", text) for text in error.problems]
            graph = None
        if graph is None or self.problems:
            raise FlowFormatError(*self.problems)
        return graph

    def _remember(self, graph: W, links: list[tuple[Pair, ...]]) -> W:
        drawing = Drawing(
            self.place,
            {node.name: node.id for node in self.nodes.values() if node.role == "node"},
            links,
            tuple(self.warnings),
            tuple(self.remarks),
            dict(graph.nodes),
            dict(graph.edges),
            {loop: dict(options) for loop, options in graph.options.items()},
            self.about,
        )
        graph.drawing = drawing
        return graph

    def _section(self, given: Any) -> dict[str, Any]:
        if not isinstance(given, dict):
            return {}
        try:
            section = Section.model_validate(given)
        except ValidationError as error:
            self._invalid("flownb", error)
            return {}
        known = section.model_dump(mode="json", by_alias=True, exclude_unset=True)
        return {k: v for k, v in known.items() if k in Section.model_fields and k != "version"}

    def _title(self) -> str:
        """Give the name that the file has of itself."""
        for holder in (self.place.flow, self.place.document):
            said = holder.get("name") if isinstance(holder, dict) else None
            if isinstance(said, str) and said.strip():
                return said
        return ""

    # -- problems --------------------------------------------------------------

    def _problem(self, text: str, *nodes: str, edge: Pair | None = None) -> None:
        self.problems.append(Problem("error", text, nodes, (edge,) if edge else ()))

    def _near(self, said: str, known: Iterable[str]) -> str:
        words = list(known)
        self.guesses -= 1
        return did_you_mean(said, words if self.guesses >= 0 else ())

    def _invalid(self, where: str, error: ValidationError, *nodes: str) -> list[str]:
        """Tell what pydantic found, one sentence for each field."""
        said: dict[str, str] = {}
        for wrong in error.errors(include_url=False, include_context=False, include_input=False):
            at = ".".join(str(one) for one in wrong["loc"][:1])
            text = wrong["msg"][:1].lower() + wrong["msg"][1:]
            said[at] = f"{said[at]}, or {text}" if at in said else f"{where}, {at}: {text}"
        for text in said.values():
            self._problem(text, *nodes)
        return list(said.values())

    # -- nodes -----------------------------------------------------------------

    def _read_nodes(self, given: list[Any]) -> None:
        taken: set[str] = set()
        for i, raw in enumerate(given):
            node_id = self._node_id(i, raw)
            if node_id is None:
                continue
            if node_id in self.nodes:
                self._problem(f"node {node_id!r:.80}: there are two nodes with this id", node_id)
                continue
            data = raw.get("data")
            if data is not None and not isinstance(data, dict) and not self.lenient:
                what = f"data is a {type(data).__name__}, not an object"
                self._problem(f"node {node_id!r:.80}: {what}", node_id)
            parent = raw.get("parentId")
            parent = raw.get("parentNode") if parent is None or parent == "" else parent
            if isinstance(parent, int) and not isinstance(parent, bool):
                parent = str(parent)
            if parent is not None and not isinstance(parent, str):
                self._problem(f"node {node_id!r:.80}: parentId is no id", node_id)
                parent = None
            kind = raw.get("type")
            if kind is not None and not isinstance(kind, str):
                what = f"type is a {type(kind).__name__}, not a text"
                self._problem(f"node {node_id!r:.80}: {what}", node_id)
            data = data if isinstance(data, dict) else {}
            self.nodes[node_id] = DrawnNode(node_id, node_id, raw, data, parent or None)
            taken.add(node_id)
        self._rename(taken)

    def _node_id(self, i: int, raw: Any) -> str | None:
        if not isinstance(raw, dict):
            self._problem(f"nodes[{i}]: a node is an object, not a {type(raw).__name__}")
            return None
        given = raw.get("id")
        if isinstance(given, int) and not isinstance(given, bool):
            return str(given)
        if not isinstance(given, str) or not given.strip():
            what = "has no id" if given is None else f"has the id {given!r:.80}"
            self._problem(f"nodes[{i}]: it {what}: give a text that is not empty")
            return None
        return given

    def _rename(self, taken: set[str]) -> None:
        """Give a name of their own to nodes whose id is a word of the builder."""
        for reserved in (START, END):
            node = self.nodes.get(reserved)
            if node is None or (reserved == END and self._kind(node)):
                continue
            name = reserved.strip("_")
            while name in taken:
                name += "_"
            taken.add(name)
            node.name = name

    def _read_parents(self) -> None:
        for node in self.nodes.values():
            if node.parent is None:
                continue
            holder = self.nodes.get(node.parent)
            if holder is None:
                text = f"node {node.id!r:.80}: its parent {node.parent!r:.80} is not there"
                if self.drops:
                    self.warnings.append(f"{text}: it stands alone")
                else:
                    self._problem(text + self._near_id(node.parent), node.id)
                node.parent = None
            else:
                holder.children.append(node.id)
        self._check_rings()

    def _check_rings(self) -> None:
        """Find nodes that hold themselves, or stand too deep; they are taken out."""
        depths: dict[str, int] = {}
        for start in self.nodes.values():
            path: list[DrawnNode] = []
            seen: set[str] = set()
            node: DrawnNode | None = start
            while node is not None and node.id not in depths and node.id not in seen:
                path.append(node)
                seen.add(node.id)
                node = self.nodes.get(node.parent) if node.parent else None
            if node is not None and node.id in seen:
                ring = path[path.index(node) :]
                shown = listed([one.id for one in ring])
                text = f"node {node.id!r:.80}: it stands inside itself ({shown:.300})"
                self._problem(text, *(one.id for one in ring))
                for one in ring:
                    self._take_out(one)
                node = None
            depth = depths[node.id] if node is not None else 0
            for one in reversed(path):
                depth = depth + 1 if one.parent is not None else 0
                if depth > self.caps.max_depth:
                    text = f"it stands in more than {self.caps.max_depth} frames (max_depth=)"
                    self._problem(f"node {one.id!r:.80}: {text}", one.id)
                    self._take_out(one)
                    depth = 0
                depths[one.id] = depth

    def _take_out(self, node: DrawnNode) -> None:
        if node.parent is not None:
            self.nodes[node.parent].children.remove(node.id)
        node.parent = None

    def _near_id(self, said: str) -> str:
        near = self._near(said, self.nodes if len(self.nodes) <= _GUESS_AMONG else ())
        return near if near.startswith(":") else ""

    # -- what a node is --------------------------------------------------------

    def _own(self, node: DrawnNode) -> dict[str, Any]:
        """Give what the node says in our words: its data, or what stands there as `flownb`."""
        own = node.data.get("flownb")
        return own if isinstance(own, dict) else node.data

    def _kind(self, node: DrawnNode) -> Kind | None:
        return kind_of(self._own(node).get("kind")) or kind_of(node.type)

    def _classify(self, node: DrawnNode) -> None:
        kind, holds = node.type, bool(node.children)
        inner = node.data.get("type")
        node.kind = self._kind(node)
        if node.kind is not None:
            node.decides = node.kind == "if"
        elif is_note(kind) or (self.lenient and (is_note(inner) or is_note(node.data.get("name")))):
            node.role = "note"
        elif is_group(kind, holds) or (self.lenient and is_group(inner, holds)):
            node.role = "group"
        elif kind in self.tools:
            node.tool = kind
            node.kind = self._kind_of_tool(kind)
        elif kind is None or kind in BUILT_IN:
            self._classify_plain(node)
        else:
            self._unknown(node, f"type {kind!r:.80} is unknown", kind)
        if node.kind is None and foreign_if(kind, inner, node.data.get("name")):
            node.decides = True

    def _classify_plain(self, node: DrawnNode) -> None:
        """Say what a node of one of React Flow's own types is."""
        named = {option(key): value for key, value in node.data.items()}
        said = named.get("function", named.get("class"))
        if isinstance(said, str) and said in self.tools:
            node.kind = self._kind_of_tool(said)
        elif self.default_type is not None:
            node.kind = kind_of(self.default_type)
            if node.kind is None and self.default_type in self.tools:
                node.tool, node.kind = self.default_type, self._kind_of_tool(self.default_type)
            elif node.kind is None:
                near = did_you_mean(self.default_type, [*TYPES, *self.tools])
                msg = f"default_type={self.default_type!r:.80} is no type{near}"
                raise FlowFormatError(msg)
        else:
            what = "it has no type" if node.type is None else f"type {node.type!r} says nothing"
            self._unknown(node, f"{what}: give it one of ours, or default_type=", "")

    def _kind_of_tool(self, name: str | None) -> Kind:
        tool = self.tools.get(name) if name else None
        return tool.kind if isinstance(tool, type) and issubclass(tool, BaseNode) else "blocking"

    def _unknown(self, node: DrawnNode, what: str, said: str) -> None:
        if not self.lenient:
            near = self._near(said, [*TYPES, *self.tools])
            self._problem(f"node {node.id!r:.80}: {what}{near}", node.id)

    # -- what a node says ------------------------------------------------------

    def _document(self, node: DrawnNode, queues: Mapping[str, str]) -> dict[str, Any]:
        if node.kind is None:
            return self._placeholder(node, "if" if node.decides else "blocking")
        kept = len(self.problems)
        made = self._known(node, node.kind, queues)
        if made is not None and (not self.lenient or len(self.problems) == kept):
            return made
        if not self.lenient:
            return {"name": node.name, "kind": "blocking"}
        self.warnings += [f"{problem} (a placeholder)" for problem in self.problems[kept:]]
        del self.problems[kept:]
        self.loops.pop(node.name, None)
        return self._placeholder(node, "if" if node.kind == "if" else "blocking")

    def _placeholder(self, node: DrawnNode, kind: Kind) -> dict[str, Any]:
        label = node.data.get("label", node.data.get("name", node.data.get("title")))
        label = label if isinstance(label, str) and label != node.id else ""
        made = {"name": node.name, "kind": kind, "placeholder": node.type or "default"}
        return {**made, "description": label} if label.strip() else made

    def _known(
        self, node: DrawnNode, kind: Kind, queues: Mapping[str, str]
    ) -> dict[str, Any] | None:
        model, where = DATA[kind], f"node {node.id!r:.80}"
        given = self._options(node, set(_names(model)), where)
        given["kind"] = kind
        if kind == "if" and "function" not in given and "condition" in given:
            condition = given["condition"]
            if isinstance(condition, str):
                given["function"] = given.pop("condition")
        try:
            checked_data = model.model_validate(given)
        except ValidationError as error:
            self._invalid(where, error, node.id)
            return None
        said = checked_data.model_dump(mode="json", by_alias=True, exclude_unset=True)
        for drawn in ("label", "kind", "cases"):
            said.pop(drawn, None)
        loop = {key: said.pop(key) for key in LOOP_OPTIONS if key in said and _drives(kind)}
        if loop:
            self.loops[node.name] = loop
        made: dict[str, Any] = {"name": node.name, "kind": kind}
        if kind == "queue":
            keys = ("blocking", "mode", "maxlen", "when_full", "model", "external")
            made["queue"] = {key: said.pop(key) for key in keys if key in said}
            made["queue"]["name"] = said.pop("queue", None) or node.name
        elif kind == "queue_reader":
            keys = (
                "prefetch", "timeout", "ack", "visibility_timeout", "max_deliveries", "external",
            )  # fmt: skip
            made["reader"] = {key: said.pop(key) for key in keys if key in said}
            made["reader"]["queue"] = self._queue_of(node, said.pop("queue", None), queues)
        self._called(node, said, where)
        return {**made, **said}

    def _options(self, node: DrawnNode, known: set[str], where: str) -> dict[str, Any]:
        """Give the options by our names; a field that is almost one of them is a mistake."""
        given: dict[str, Any] = {}
        for key, value in self._own(node).items():
            name = option(key)
            if name in known and name != "kind":
                if name in given:
                    self._problem(f"{where}: {name!r} is said twice, as {key!r:.80} too", node.id)
                given[name] = value
            elif not self.lenient and name not in _SPOKEN and (near := self._almost(name, known)):
                self._problem(f'{where}, {key}: unknown field: did you mean "{near}"?', node.id)
        return given

    def _almost(self, name: str, known: Iterable[str]) -> str:
        """Give the option that a field of another name is almost called."""
        if name not in self.almost:
            near: list[str] = []
            if len(self.almost) < _GUESS_AMONG:
                near = difflib.get_close_matches(name, known, n=1, cutoff=_ALMOST)
            self.almost[name] = near[0] if near else ""
        return self.almost[name]

    def _called(self, node: DrawnNode, said: dict[str, Any], where: str) -> None:
        """Turn what a node calls into the words of a graph document."""
        if "condition" in said:
            said["test"] = said.pop("condition")
        function = said.pop("function", None) or node.tool
        if function is not None and function not in self.tools:
            if self.lenient:
                said.setdefault("placeholder", function)
            else:
                near = self._near(function, self.tools)
                self._problem(f"{where}: there is no tool {function!r:.80}{near}", node.id)
                said["placeholder"] = function
            function = None
        cls = said.pop("class", None)
        settings = said.pop("settings", None)
        if isinstance(cls, str) or (function is not None and self._is_class(function)):
            name = cls if isinstance(cls, str) else str(function)
            if settings is None:
                settings = self._flat_settings(node, name)
            cls, function = {"name": name, "settings": settings}, None
        if cls is not None:
            said["class"] = cls
        if function is not None:
            said["fn"] = function
        if isinstance(said.get("retry"), int):
            said["retry"] = {"on": "Exception", "attempts": said["retry"]}
        if isinstance(said.get("limit"), dict):
            self.limits.append(said["limit"])
            said["limit"] = len(self.limits) - 1

    def _flat_settings(self, node: DrawnNode, name: str) -> dict[str, Any]:
        """Give the fields of `data` that the class of a node has in its Config."""
        if name not in self.tools or not self._is_class(name):
            return {}
        fields: Any = self.tools.get(name)
        return {k: v for k, v in self._own(node).items() if k in fields.Config.model_fields}

    def _is_class(self, name: str) -> bool:
        tool = self.tools.get(name)
        return isinstance(tool, type) and issubclass(tool, BaseNode)

    def _queue_of(self, node: DrawnNode, said: str | None, queues: Mapping[str, str]) -> str:
        drawn = queues.get(node.id)
        if said is not None and drawn is not None and said != drawn:
            text = f"it reads {said!r:.80}, and the edge into it comes from queue {drawn!r:.80}"
            self._problem(f"node {node.id!r:.80}: {text}", node.id)
        known = said or drawn
        if known is None:
            text = "give data.queue, or draw an edge from a queue"
            self._problem(f"node {node.id!r:.80}: which queue does it read? {text}", node.id)
        return known or node.name

    def _drawn_queues(self, edges: list[DrawnEdge]) -> dict[str, str]:
        """Give the queue that an edge leads from, for each reader."""
        found: dict[str, str] = {}
        for edge in edges:
            if edge.source.kind == "queue" and edge.target.kind == "queue_reader":
                own = {option(key): value for key, value in self._own(edge.source).items()}
                name = own.get("queue") or edge.source.name
                if isinstance(name, str):
                    found.setdefault(edge.target.id, name)
        return found

    # -- edges -----------------------------------------------------------------

    def _read_edges(self, given: list[Any]) -> list[DrawnEdge]:
        found, ids = [], set()
        dropped: list[str] = []
        for i, raw in enumerate(given):
            if not isinstance(raw, dict):
                self._problem(f"edges[{i}]: an edge is an object, not a {type(raw).__name__}")
                continue
            ends = [_end(raw.get("source")), _end(raw.get("target"))]
            own = raw.get("id")
            shown = f"{ends[0] or '?'} -> {ends[1] or '?'}"
            where = f"edge {own!r:.80} ({shown:.200})" if own is not None else f"edge {shown:.200}"
            if own is not None:
                if isinstance(own, bool) or not isinstance(own, (str, int)):
                    self._problem(f"edges[{i}]: its id is a {type(own).__name__}, not a text")
                elif str(own) in ids:
                    self._problem(f"{where}: there are two edges with this id")
                ids.add(str(own))
            self._check_handles(raw, where)
            nodes = [self.nodes.get(end) if end is not None else None for end in ends]
            if nodes[0] is None or nodes[1] is None:
                self._dangling(where, ends, nodes, dropped)
                continue
            label = raw.get("label")
            label = label if isinstance(label, str) and label.strip() else None
            found.append(DrawnEdge(i, where, raw, nodes[0], nodes[1], label))
        self.warnings += dropped
        return found

    def _dangling(
        self, where: str, ends: list[str | None], nodes: list[Any], dropped: list[str]
    ) -> None:
        missing = [end for end, node in zip(ends, nodes, strict=True) if node is None]
        named = [f"{end!r:.80}" for end in missing if end is not None]
        text = f"{where}: there is no node {' and '.join(named)}"
        if len(named) < len(missing):
            text = f"{where}: it has no {' and no '.join(_lacks(ends))}"
        if self.drops:
            dropped.append(f"{text}: left out")
        else:
            known = [end for end in missing if end is not None]
            self._problem(text + (self._near_id(known[0]) if known else ""), *known)

    def _check_handles(self, raw: dict[str, Any], where: str) -> None:
        for key in _HANDLES:
            handle = raw.get(key)
            if isinstance(handle, str) and len(handle) > _LONGEST:
                self._problem(f"{where}: {key} is longer than {_LONGEST:,} characters")
            elif handle is not None and (
                isinstance(handle, bool) or not isinstance(handle, (str, int))
            ):
                self._problem(f"{where}: {key} is a {type(handle).__name__}, not a text")

    def _edges(self, drawn: list[DrawnEdge]) -> tuple[list[dict[str, Any]], list[tuple[Pair, ...]]]:
        """Give the edges of the graph, and for each drawn edge those that it became."""
        links: list[tuple[Pair, ...]] = [()] * len(self.place.flow["edges"])
        made: dict[Pair, dict[str, Any]] = {}
        whens: dict[Pair, list[Any]] = {}
        seen: dict[tuple[str, ...], str] = {}
        entries, exits = self._doors(drawn)
        raw_words = self._wordy(drawn)
        room = self.caps.max_edges
        for edge in drawn:
            ends = (edge.source.id, edge.target.id)
            four = (*ends, *(str(edge.raw.get(key)) for key in _HANDLES))
            if four in seen:
                self.warnings.append(f"{edge.where}: it is drawn twice, like {seen[four]}")
            seen.setdefault(four, edge.where)
            sources = self._through(edge, edge.source, exits)
            targets = self._through(edge, edge.target, entries)
            room -= len(sources) * len(targets)
            if room < 0:
                text = f"{edge.where}: with what frames stand for there are more than"
                msg = f"{text} {self.caps.max_edges:,} edges (max_edges=)"
                raise FlowFormatError(msg)
            for source in sources:
                said, when = self._said(edge, source, raw_words)
                for target in targets:
                    pair = (source.name, target.name)
                    links[edge.at] = (*links[edge.at], pair) if links[edge.at] else (pair,)
                    if pair not in made:
                        made[pair] = {"source": pair[0], "target": pair[1], **said}
                    else:
                        self._merge(made[pair], said, edge.where)
                    whens.setdefault(pair, []).append(when)
        for pair, said_whens in whens.items():
            together = self._together(pair, said_whens)
            if together is not None:
                made[pair]["when"] = together
        return list(made.values()), links

    def _merge(self, made: dict[str, Any], said: dict[str, Any], where: str) -> None:
        """Lay a parallel edge over the one that is there: it is one dependency."""
        if made.get("condition") != said.get("condition") and not self.lenient:
            self._problem(f"{where}: a parallel edge has another condition: keep one")
        for key, value in said.items():
            made.setdefault(key, value)

    def _together(self, pair: Pair, whens: list[Any]) -> Any:
        """Give the verdict for which one of several parallel edges is live."""
        known: dict[tuple[type, Any], Any] = {}
        for when in whens:
            if when is None:
                return None
            for one in when["any"] if isinstance(when, dict) and "any" in when else [when]:
                known.setdefault((type(one), str(one)), one)
        each = list(known.values())
        if len(each) == 1:
            return each[0]
        if any(isinstance(one, dict) for one in each):
            if not self.lenient:
                text = f"edge {pair[0]} -> {pair[1]}: it is for 'otherwise' and for a verdict"
                self._problem(f"{text} too: keep one", edge=pair)
            return None
        return None if {type(one) for one in each} == {bool} else {"any": each}

    # -- frames ----------------------------------------------------------------

    def _doors(
        self, drawn: list[DrawnEdge]
    ) -> tuple[dict[str, list[DrawnNode]], dict[str, list[DrawnNode]]]:
        """Give the entry nodes and the exit nodes of each frame that an edge ends on."""
        wanted = {n.id for e in drawn for n in (e.source, e.target) if n.role == "group"}
        inside: dict[str, list[DrawnNode]] = {group: [] for group in wanted}
        fed: set[tuple[str, str]] = set()
        feeding: set[tuple[str, str]] = set()
        if wanted:
            for node in self.nodes.values():
                for group in (
                    wanted.intersection(self._holders(node)) if node.role == "node" else ()
                ):
                    inside[group].append(node)
            for edge in drawn:
                both = wanted.intersection(self._holders(edge.source), self._holders(edge.target))
                for group in both if edge.source is not edge.target else ():
                    feeding.add((group, edge.source.id))
                    fed.add((group, edge.target.id))
        entries, exits = {}, {}
        for group, held in inside.items():
            entries[group] = [n for n in held if (group, n.id) not in fed] or held[:1]
            exits[group] = [n for n in held if (group, n.id) not in feeding] or held[-1:]
        return entries, exits

    def _holders(self, node: DrawnNode) -> list[str]:
        """Give the ids of what a node stands in, from within."""
        found = []
        while node.parent is not None:
            found.append(node.parent)
            node = self.nodes[node.parent]
        return found

    def _through(
        self, edge: DrawnEdge, node: DrawnNode, doors: Mapping[str, list[DrawnNode]]
    ) -> list[DrawnNode]:
        """Give the nodes that stand for the end of an edge."""
        if node.role == "node":
            return [node]
        if node.role == "note":
            self.warnings.append(f"{edge.where}: {node.id!r:.80} is a note: the edge is only drawn")
            return []
        stand = doors[node.id]
        other = edge.target if node is edge.source else edge.source
        if not self.expands:
            self._problem(f"{edge.where}: it ends on the group {node.id!r:.80}", node.id)
        elif not stand or node.id in self._holders(other):
            what = "which holds no node" if not stand else "in which its other end stands"
            text = f"{edge.where}: it ends on the group {node.id!r:.80}, {what}"
            if self.lenient or self.drops:
                self.warnings.append(f"{text}: it is only drawn")
            else:
                self._problem(text, node.id)
            return []
        else:
            way = "comes from" if node is edge.source else "leads to"
            names = listed([n.name for n in stand])
            self.warnings.append(
                f"{edge.where}: it {way} {names:.300}, in the group {node.id!r:.80}"
            )
        return stand

    # -- verdicts --------------------------------------------------------------

    def _wordy(self, drawn: list[DrawnEdge]) -> set[str]:
        """Name the deciding nodes of other tools whose handles are not all in the table."""
        return {
            edge.source.id
            for edge in drawn
            if edge.source.decides
            and (edge.source.kind is None or self.lenient)
            and isinstance(handle := edge.raw.get("sourceHandle"), str)
            and "when" not in _data(edge.raw)
            and verdict(handle, edge.source.id) is None
        }

    def _said(
        self, edge: DrawnEdge, source: DrawnNode, wordy: set[str]
    ) -> tuple[dict[str, Any], Any]:
        """Give what an edge says, and for which verdict it is."""
        said = self._edge_data(edge)
        when = said.pop("when", _ABSENT)
        if when is _ABSENT:
            when = self._verdict(edge, source, wordy)
        label = edge.label
        if label is not None and "description" not in said and not _says(label, source.id, when):
            said["description"] = label
        return said, when

    def _edge_data(self, edge: DrawnEdge) -> dict[str, Any]:
        known = set(_names(EdgeData))
        data = _data(edge.raw)
        given = {option(k): v for k, v in data.items() if option(k) in known}
        if not given:
            return {}
        try:
            made = EdgeData.model_validate(given)
        except ValidationError as error:
            if not self.lenient:
                self._invalid(edge.where, error)
            return {}
        said = made.model_dump(mode="json", by_alias=True, exclude_unset=True)
        condition = said.get("condition")
        if isinstance(condition, str) and condition not in self.tools and self.lenient:
            self.warnings.append(f"{edge.where}: there is no tool {condition!r:.80}: left out")
            del said["condition"]
        return said

    def _verdict(self, edge: DrawnEdge, source: DrawnNode, wordy: set[str]) -> Any:
        """Read the verdict off the handle, else off the label."""
        handle = edge.raw.get("sourceHandle")
        reader = source.kind == "queue_reader"
        if not (source.decides or reader):
            return None
        if source.id in wordy:
            return handle if isinstance(handle, str) else None
        cases = self._own(source).get("cases")
        words = [w for w in (handle, edge.label) if isinstance(w, str) and w.strip()]
        for one in words:
            found = verdict(one, source.id)
            if found is not None:
                return {"otherwise": True} if found is OTHERWISE else found
            if isinstance(cases, list) and one in cases:
                return one
        if words and not reader and source.kind is not None and not self.lenient:
            text = f"{words[0]!r:.80} is no verdict of the if {source.id!r:.80}"
            near = did_you_mean(words[0], ["true", "false", "yes", "no", "otherwise"])
            more = "; others stand in data.cases of the if, or as data.when of the edge"
            self._problem(f"{edge.where}: {text}{near}{more}", source.id)
        return None


def _parts(graph: Workflow) -> list[list[str]]:
    """Give the nodes of each part that edges and queues hold together, in the graph's order."""
    linked: dict[str, list[str]] = {name: [] for name in graph.nodes}
    for source, target in [*graph.edges, *graph.queue_links()]:
        linked[source].append(target)
        linked[target].append(source)
    found: list[list[str]] = []
    seen: set[str] = set()
    for start in graph.nodes:
        if start not in seen:
            part = [start]
            seen.add(start)
            for name in part:
                part += (new := [n for n in dict.fromkeys(linked[name]) if n not in seen])
                seen.update(new)
            found.append(part)
    return found


_SPOKEN: Final = frozenset({"label", "name", "title", "type", "kind", "flownb"})


def _names(model: type[Any]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _drives(kind: Kind) -> bool:
    return kind in {"producer", "queue_reader"}


def _end(given: Any) -> str | None:
    if isinstance(given, int) and not isinstance(given, bool):
        return str(given)
    return given if isinstance(given, str) else None


def _lacks(ends: list[str | None]) -> list[str]:
    return [word for word, end in zip(("source", "target"), ends, strict=True) if end is None]


def _data(raw: Mapping[str, Any]) -> dict[str, Any]:
    data = raw.get("data")
    return data if isinstance(data, dict) else {}


def _says(label: str, source: str, when: Any) -> bool:
    """Whether a label only repeats the verdict."""
    if when is None:
        return False
    if label == str(when):
        return True
    found = verdict(label, source)
    return when == {"otherwise": True} if found is OTHERWISE else found is when
