"""How does a graph become a drawing? What was drawn and is still so goes out untouched.

A node that is new, or was never drawn, gets one of React Flow's own types, so that any React
Flow page shows it, and says in `data.kind` what it is. Places come from the layout of our own
pictures where there are none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from flownb.model.document.encode import write
from flownb.model.nodes import same
from flownb.reactflow.dialect import VERSION
from flownb.reactflow.hand_places import write_places
from flownb.reactflow.importer import ABOUT
from flownb.reactflow.spelling import kind_of, option

if TYPE_CHECKING:
    from flownb.model.tools import ToolRegistry
    from flownb.model.workflow import Workflow
    from flownb.reactflow.drawing import Drawing, Pair

SIZE: Final = (172.0, 44.0)
"""Width and height that the layout plans for a box, in pixels; React Flow's own are as wide."""
_GAP: Final = 60.0
_WORDS: Final[Mapping[Any, str]] = {True: "yes", False: "no"}


def to_react_flow(graph: Workflow, *, tools: ToolRegistry | None = None) -> dict[str, Any]:
    """Write a graph as React Flow JSON; `Graph.to_react_flow` says how."""
    return _Exporter(graph, tools).document()


class _Exporter:
    """Writes one graph over the drawing that it came from, or a new one."""

    def __init__(self, graph: Workflow, tools: ToolRegistry | None) -> None:
        self.graph = graph
        doc = write(graph, tools).model_dump(mode="json", by_alias=True, exclude_unset=True)
        self.doc: dict[str, Any] = doc
        self.drawing: Drawing | None = graph.drawing
        self.loops: dict[str, Any] = dict(doc.get("loops", {}))
        self.gone: dict[str, dict[str, Any]] = {}  # drawn nodes that the graph has no more, by id
        self.feeding = {source for source, _ in graph.edges}
        self.fed = {target for _, target in graph.edges}

    def document(self) -> dict[str, Any]:
        drawing = self.drawing
        whole: Any = {"nodes": [], "edges": []} if drawing is None else drawing.document
        flow = whole
        for one in drawing.place.way if drawing else ():
            flow = flow[one]
        flow["nodes"] = self._nodes(flow["nodes"])
        flow["edges"] = self._edges(flow["edges"], flow["nodes"])
        self._place(flow["nodes"])
        write_places(flow["nodes"], self.graph, self._id)
        self._about(flow)
        return whole  # type: ignore[no-any-return]

    # -- nodes -----------------------------------------------------------------

    def _nodes(self, drawn: list[Any]) -> list[Any]:
        docs = {doc["name"]: doc for doc in self.doc.get("nodes", [])}
        drawing = self.drawing
        names = {v: k for k, v in drawing.ids.items()} if drawing else {}
        made: list[Any] = []
        gone = self.gone
        for raw in drawn:
            raw["id"] = str(raw["id"])
            name = names.get(raw["id"])
            doc = docs.pop(name, None) if name is not None else None
            if name is not None and doc is None:
                gone[raw["id"]] = raw
                continue
            if doc is not None and self._changed(doc["name"]):
                self._patch(raw, doc)
            elif doc is not None:
                self._loop(doc)
            made.append(raw)
        _let_out(made, gone)
        taken = {raw["id"] for raw in made}
        return made + [self._new(doc, taken) for doc in docs.values()]

    def _changed(self, name: str) -> bool:
        drawing = self.drawing
        if drawing is None or name not in drawing.nodes:
            return True
        options = self.graph.options.get(name) or {}
        known = same(drawing.nodes[name], self.graph.nodes[name])
        return not known or options != (drawing.options.get(name) or {})

    def _new(self, doc: dict[str, Any], taken: set[str]) -> dict[str, Any]:
        name = doc["name"]
        fed, feeds = name in self.fed, name in self.feeding
        kind = "default" if fed and feeds else "output" if fed else "input" if feeds else "default"
        node_id = name
        while node_id in taken:  # a note or a frame has this id
            node_id += "_"
        taken.add(node_id)
        data = {"kind": doc["kind"], "label": name, **self._data(doc)}
        return {"id": node_id, "type": kind, "data": data}

    def _data(self, doc: dict[str, Any]) -> dict[str, Any]:
        """Write what a node of the document says as the flat `data` of a drawn one."""
        said = {k: v for k, v in doc.items() if k not in {"name", "kind"}}
        data: dict[str, Any] = {}
        if "fn" in said:
            data["function"] = said.pop("fn")
        if "test" in said:
            data["condition"] = said.pop("test")
        queue, reader = said.pop("queue", None), said.pop("reader", None)
        if queue is not None:
            data |= {"queue": queue["name"], **{k: v for k, v in queue.items() if k != "name"}}
        if reader is not None:
            data |= reader
        return {**data, **said, **self._loop(doc)}

    def _loop(self, doc: dict[str, Any]) -> dict[str, Any]:
        """Take the options of the loop that a node drives; what is left belongs to the graph."""
        said = self.drawing.about.get("loops", {}) if self.drawing else {}
        drives = doc["kind"] in {"producer", "queue_reader"} and doc["name"] not in said
        loop: dict[str, Any] = self.loops.pop(doc["name"], {}) if drives else {}
        return loop

    def _patch(self, raw: dict[str, Any], doc: dict[str, Any]) -> None:
        """Write what has changed into a drawn node, where the node says it."""
        if not isinstance(raw.get("data"), dict):
            raw["data"] = {}
        data, new = raw["data"], self._data(doc)
        inside = isinstance(data.get("flownb"), dict)
        own = data["flownb"] if inside else data
        if not inside and kind_of(data.get("kind")) is None and kind_of(raw.get("type")) is None:
            data["flownb"] = {"kind": doc["kind"], **new}  # a node of another tool
            return
        if kind_of(own.get("kind")) is not None:
            own["kind"] = doc["kind"]
        elif kind_of(raw.get("type")) != doc["kind"]:
            raw["type"] = doc["kind"].replace("_", "-")
        known = {option(key): key for key in own if option(key) in _OPTIONS}
        for name, key in known.items():
            if name not in new:
                del own[key]
        for name, value in new.items():
            own[known.get(name, name)] = value

    # -- edges -----------------------------------------------------------------

    def _edges(self, drawn: list[Any], nodes: list[Any]) -> list[Any]:
        docs = {(e["source"], e["target"]): e for e in self.doc.get("edges", [])}
        drawing, edges = self.drawing, self.graph.edges
        left = dict.fromkeys(docs)
        made: list[Any] = []
        if drawing is not None:
            patched: set[Pair] = set()
            for raw, pairs in zip(drawn, drawing.links, strict=True):
                each = dict.fromkeys(pairs)
                if all(edges.get(p) == drawing.edges.get(p) and p in edges for p in each):
                    if self._stands(raw, pairs):
                        made.append(raw)
                    patched.update(each)
                elif len(each) == 1 and pairs[0] in docs and pairs[0] not in patched:
                    self._patch_edge(raw, docs[pairs[0]])
                    patched.add(pairs[0])
                    made.append(raw)
            left = {pair: None for pair in left if pair not in patched}
        ids = {str(raw["id"]) for raw in made if raw.get("id") is not None}
        for raw in made:
            _complete(raw, ids)
        for pair in left:
            raw = {"source": self._id(pair[0]), "target": self._id(pair[1])}
            self._patch_edge(raw, docs[pair])
            _complete(raw, ids)
            made.append(raw)
        _give_handles(
            nodes, [(raw["source"], raw["target"]) for raw in made[len(made) - len(left) :]]
        )
        return self._in_order(made)

    def _in_order(self, made: list[Any]) -> list[Any]:
        """Give the edges in the order of the graph, which decides what a join gets first."""
        drawing, edges = self.drawing, self.graph.edges
        kept = [pair for pair in drawing.edges if pair in edges] if drawing else []
        if [*edges][: len(kept)] == kept:
            return made
        places = {(self._id(a), self._id(b)): at for at, (a, b) in enumerate(edges)}
        return sorted(made, key=lambda raw: places.get((raw.get("source"), raw.get("target")), -1))

    def _stands(self, raw: dict[str, Any], pairs: tuple[Pair, ...]) -> bool:
        """Whether an edge still has its ends, or is one that is only drawn."""
        ends = {str(raw.get("source")), str(raw.get("target"))}
        return bool(pairs) or not any(end in self.gone for end in ends)

    def _id(self, name: str) -> str:
        return self.drawing.ids.get(name, name) if self.drawing else name

    def _patch_edge(self, raw: dict[str, Any], doc: dict[str, Any]) -> None:
        data = dict(raw["data"]) if isinstance(raw.get("data"), dict) else {}
        said = {k: v for k, v in doc.items() if k not in {"source", "target"}}
        for key in ("when", "condition", "copy", "description", "owner"):
            if key in said:
                data[key] = said[key]
            elif key == "when" and "source" in raw and len(raw) > 2:  # noqa: PLR2004
                data[key] = None  # the handle may say another verdict
            else:
                data.pop(key, None)
        if data:
            raw["data"] = data
        elif "data" in raw:
            del raw["data"]
        label = said.get("description") or _label(said.get("when"))
        if label:
            raw["label"] = label
        else:
            raw.pop("label", None)

    # -- the rest ----------------------------------------------------------------

    def _about(self, flow: dict[str, Any]) -> None:
        """Say what belongs to the whole graph, where the drawing does not say it."""
        section = {key: self.doc[key] for key in ABOUT if self.doc.get(key)}
        if self.loops:
            section["loops"] = self.loops
        drawing = self.drawing
        if drawing is not None and drawing.about == {**section, "name": self.graph.name}:
            return
        flow["flownb"] = {"version": VERSION, "name": self.graph.name, **section}

    def _place(self, nodes: list[Any]) -> None:
        """Give a place to each node that has none: the one of a hand, else of our layout."""
        hand = {self._id(name): spot for name, spot in self.graph._places.items()}
        for node in nodes:
            if node["id"] in hand and not _placed(node):
                node["position"] = dict(zip("xy", hand[node["id"]], strict=True))
        missing = [node for node in nodes if not _placed(node)]
        if not missing:
            return
        for node, (x, y) in zip(missing, self._spots(missing, nodes), strict=True):
            node["position"] = {"x": x, "y": y}

    def _spots(self, missing: list[Any], nodes: list[Any]) -> list[tuple[float, float]]:
        from flownb.notebook.graph.layout.layout import layout

        index = {node["id"]: i for i, node in enumerate(missing)}
        pairs = [(self._id(a), self._id(b)) for a, b in self.graph.edges]
        lines = [(index[a], index[b]) for a, b in pairs if a in index and b in index]
        boxes = layout([SIZE] * len(missing), list(dict.fromkeys(lines))).boxes
        placed = [node["position"] for node in nodes if _placed(node) and not node.get("parentId")]
        left = min((place["x"] for place in placed), default=0.0)
        top = max((place["y"] for place in placed), default=-SIZE[1] - _GAP) + SIZE[1] + _GAP
        return [(round(left + box.x, 1), round(top + box.y, 1)) for box in boxes]


_OPTIONS: Final = frozenset(
    {
        "function", "class", "settings", "condition", "placeholder", "items", "range", "every",
        "takes", "fake", "fail", "retry", "timeout", "on_error", "join", "cancel", "limit",
        "config", "keep", "description", "over", "into", "more", "max_iterations", "cache",
        "router", "queue", "blocking",
        "mode", "maxlen", "when_full", "model", "external", "prefetch", "ack",
        "visibility_timeout", "max_deliveries", "pool", "await_policy", "start_rule",
        "max_in_flight", "restart", "transactional", "checkpoint", "persistence_interval",
        "resources", "thread_sensitive",
    }
)  # fmt: skip


def _label(when: Any) -> str:
    if when is None:
        return ""
    if isinstance(when, dict):
        return "otherwise" if "otherwise" in when else " or ".join(map(_label, when["any"]))
    return _WORDS[when] if isinstance(when, bool) else str(when)


def _placed(node: dict[str, Any]) -> bool:
    place = node.get("position")
    return isinstance(place, dict) and all(
        isinstance(place.get(axis), (int, float)) and not isinstance(place.get(axis), bool)
        for axis in ("x", "y")
    )


def _complete(raw: dict[str, Any], ids: set[str]) -> None:
    """Give an edge what React Flow needs: ends that are texts, and an id (its own rule)."""
    for end in ("source", "target"):
        if isinstance(raw.get(end), int):
            raw[end] = str(raw[end])
    if raw.get("id") is not None:
        raw["id"] = str(raw["id"])
        return
    handles = [raw.get(key) or "" for key in ("sourceHandle", "targetHandle")]
    made = f"xy-edge__{raw.get('source')}{handles[0]}-{raw.get('target')}{handles[1]}"
    while made in ids:
        made += "'"
    ids.add(made)
    raw["id"] = made


def _give_handles(nodes: list[Any], ends: list[tuple[str, str]]) -> None:
    """Let edges begin at an output and end at an input: React Flow's own have no handle there."""
    sources, targets = {source for source, _ in ends}, {target for _, target in ends}
    for node in nodes:
        lacks = {"output": sources, "input": targets}.get(node.get("type") or "", set())
        if node["id"] in lacks:
            node["type"] = "default"


def _let_out(made: list[Any], gone: Mapping[str, Any]) -> None:
    """Take nodes out of a parent that is no more; they stay where they are."""
    for raw in made:
        for key in ("parentId", "parentNode"):
            parent = raw.get(key)
            while parent is not None and str(parent) in gone:
                holder = gone[str(parent)]
                if _placed(raw) and _placed(holder):
                    for axis in ("x", "y"):
                        raw["position"][axis] += holder["position"][axis]
                parent = holder.get("parentId", holder.get("parentNode"))
                if parent is None:
                    del raw[key]
                    raw.pop("extent", None)
                else:
                    raw[key] = parent
