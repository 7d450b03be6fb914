"""How is a graph drawn by hand? A canvas whose every gesture is an edit of the graph.

Python owns the document. A page sends one command for each finished gesture, with a
number; what it then gets is the whole drawing, which names the numbers that are in it. So a
second view and a reloaded page show the same, and an edit made in code shows by itself.
"""

from __future__ import annotations

import time
from functools import partial
from json import dumps
from typing import TYPE_CHECKING, Any, ClassVar, Final

from flownb.arguments import known
from flownb.engine.orchestrator.generations import running
from flownb.errors import FlowError, GraphError, told
from flownb.explain.explanation import explain
from flownb.model.document.builder_code import python_code
from flownb.model.edges import AnyOf, Edge
from flownb.model.nodes import KINDS
from flownb.model.policies import OTHERWISE
from flownb.model.workflow import Workflow
from flownb.notebook.graph.captions import Captions, edge_label
from flownb.notebook.graph.live_state import draw_running
from flownb.notebook.graph.scene import box_size, draw, line_words, scene
from flownb.notebook.graph.thumbnail import image, thumbnail
from flownb.notebook.picture.text import brief, clean, shorten
from flownb.notebook.repr import page
from flownb.reactflow.exporter import to_react_flow
from flownb.reactflow.hand_places import read_labels
from flownb.reactflow.importer import read_drawing
from flownb.reactflow.own_tools import own_tools
from flownb.validate.check import validate
from flownb.widgets.canvas_document import CanvasDocument, Piece, document_of
from flownb.widgets.dag import DagState, as_state, detail
from flownb.widgets.option_form import (
    callables,
    edge_form,
    instance,
    loop_form,
    node_form,
    typed,
    verdict,
)
from flownb.widgets.part import Command, Part

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping

    from flownb.engine.orchestrator.orchestrator import Orchestrator
    from flownb.explain.explanation import Explanation
    from flownb.model.nodes import Kind
    from flownb.notebook.picture.shapes import Picture, Point

MIME: Final = "application/vnd.flownb.flow+json"
_WORDY: Final = 24  # nodes: of a larger graph the notebook keeps a small picture
_ROOM: Final = 180.0  # pixels for a name
_SENTENCES: Final = 40
_PROBLEMS: Final = 60
_EXPLAIN_EVERY: Final = 0.5  # seconds: it costs more than all the rest
_LARGE: Final = 1_500  # nodes: a larger graph is not explained while one draws
_PAGES: Final = 20  # whose last number is remembered
_clipboard: dict[str, Piece] = {}  # the last piece that was copied in this kernel, by its mark


class Canvas(Part):
    """The drawing of a graph, and what may be done with it."""

    name: ClassVar[str] = "canvas"

    def __init__(self, graph: Workflow) -> None:
        self._graph, self._drawing = graph, document_of(graph)
        self._starts: Any = graph  # a `Graph`, which stands above: its verbs that run it
        self._heard: dict[str, int] = {}
        self._said: dict[str, Any] = {}  # what a command has answered
        self._chosen: dict[str, Any] = {}
        self._reading: tuple[Orchestrator, DagState] | None = None
        self._why: tuple[Hashable, Explanation | None] = (None, None)
        self._why_at = 0.0
        self._edge_ids: dict[tuple[str, str], str] = {}  # those of the last scene
        self._by_name: dict[str, str] = {}  # the function that was chosen here, by node

    @property
    def drawing(self) -> CanvasDocument:
        """The drawing, with its history."""
        return self._drawing

    # -- what is drawn ---------------------------------------------------------

    def version(self) -> Hashable:
        """Change with every edit, here and in code, and with every command that was heard."""
        self._follow_code()
        self._drawing.look()
        return self._drawing.version, tuple(self._heard.items())

    def _follow_code(self) -> None:
        """A function that was chosen here by its name is the one that has this name now."""
        if not self._by_name:
            return
        found = callables()
        for node, name in list(self._by_name.items()):
            held = self._graph.nodes.get(node)
            if held is None or held.fn is None:
                del self._by_name[node]
            elif callable(held.fn) and found.get(name, held.fn) is not held.fn:
                self._drawing.redefine(node, f"{brief(name)} is defined anew", fn=found[name])

    def scene(self) -> dict[str, Any]:
        """Give the graph as React Flow's nodes and edges, and what is to be said of them."""
        facts, drawing, labels = Captions(self._graph), self._drawing, read_labels(self._graph)
        names, ports = facts.names, self._ports()
        problems = validate(self._graph)
        return {
            "name": brief(self._graph.name),
            "heard": dict(self._heard),
            "nodes": [
                self._node(facts, name, labels.get(name, ""), ports.get(name, [])) for name in names
            ],
            "edges": self._edges(facts),
            "loops": [
                {
                    "names": loops,
                    "title": facts.lane_title(i),
                    "nodes": [n for n in names if facts.lane[facts.index[n]] == i],
                }
                for i, loops in enumerate(facts.lane_loops)
                if loops
            ],
            "frames": [
                {"id": key, "label": brief(f.label), "nodes": list(f.members), "folded": f.folded}
                for key, f in drawing.frames.items()
            ],
            "problems": [
                {
                    "level": p.level,
                    "text": clean(p.text, 600),
                    "nodes": list(p.nodes),
                }
                for p in problems[:_PROBLEMS]
            ],
            "more_problems": max(0, len(problems) - _PROBLEMS),
            "undo": drawing.done,
            "redo": drawing.undone,
        }

    def _ports(self) -> dict[str, list[dict[str, str]]]:
        """Give the verdicts of each if, those without an edge too: each is a port to draw from."""
        whens: dict[str, list[Any]] = {
            n.name: [] for n in self._graph.nodes.values() if n.kind == "if" and n.router is None
        }
        for edge in self._graph.edges.values():
            if edge.source in whens and edge.when is not None:
                each = edge.when if isinstance(edge.when, AnyOf) else (edge.when,)
                whens[edge.source] += [w for w in each if w not in whens[edge.source]]
        return {name: [_port(when) for when in _verdicts(used)] for name, used in whens.items()}

    def _node(
        self, facts: Captions, name: str, label: str, ports: list[dict[str, str]]
    ) -> dict[str, Any]:
        kind, (wide, high) = facts.kind(name), box_size(facts, name, live=True, label=label)
        x, y = self._drawing.places[name]
        held, badge = facts.holding[facts.index[name]], facts.badge(name)
        return {
            "id": name,
            "type": kind.replace("_", "-"),
            "position": {"x": round(x, 1), "y": round(y, 1)},
            "width": wide,
            "height": high,
            "data": {
                "label": shorten(label or name, _ROOM, 13),
                "word": facts.word(name),
                **({"badge": badge} if badge else {}),
                **({"held": True} if held else {}),
                **({"ports": ports} if ports else {}),
            },
        }

    def _edges(self, facts: Captions) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        self._edge_ids = _edge_ids([*self._graph.edges, *self._graph.queue_links()])
        for i, edge in enumerate(facts.edges):
            label, style = edge_label(edge), facts.style[i]
            found.append(
                {
                    "id": self._edge_ids[edge.source, edge.target],
                    "source": edge.source,
                    "target": edge.target,
                    "style": style,
                    **({"label": shorten(label, 120, 11)} if label else {}),
                    **({"sourceHandle": _handle(edge.when)} if _is_one(edge.when) else {}),
                }
            )
        drawn = {(e["source"], e["target"]) for e in found}
        pairs = [*self._graph.queue_links(), *(k for k in self._graph.edges if k not in drawn)]
        for a, b in dict.fromkeys(pairs):
            real = (a, b) in self._graph.edges
            found.append(
                {"id": self._edge_ids[a, b], "source": a, "target": b, "style": "queued"}
                | ({} if real else {"implied": True})
            )
        return found

    # -- how everything stands -------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Give what runs, what is chosen, who waits for whom, and what a command has answered."""
        tools = [
            [n, clean(getattr(f, "__doc__", "") or "", 200).strip()] for n, f in callables().items()
        ]
        found: dict[str, Any] = {"tools": tools, "words": self._sentences(), **self._said}
        orch = self._orch()
        if orch is not None:
            found |= as_state(self._reader(orch).now(), {n: n for n in self._graph.nodes})
            status = orch.status()
            found["run"] = {
                "over": orch.is_over(),
                "unapplied": 0 if orch.is_over() else status.unapplied,
                "states": [loop.state for loop in status.loops],
            }
        if self._chosen:
            found["detail"] = self._detail(orch)
        return found

    def _orch(self) -> Orchestrator | None:
        now = running().get(self._graph.name) or self._starts._last_start
        return now if now is not None and now.workflow is self._graph else None

    def _reader(self, orch: Orchestrator) -> DagState:
        if self._reading is None or self._reading[0] is not orch:
            self._reading = orch, DagState(orch)
        return self._reading[1]

    def _explained(self) -> Explanation | None:
        """Explain the graph as it is now, or as it was half a second ago; None: it cannot be."""
        version = self._graph.version
        if self._why[0] != version and time.monotonic() >= self._why_at:
            try:
                found = explain(self._graph) if len(self._graph.nodes) <= _LARGE else None
            except FlowError:
                found = None
            self._why = version, found
            self._why_at = time.monotonic() + _EXPLAIN_EVERY
        return self._why[1]

    def _sentences(self) -> list[list[str]]:
        """Say for each loop who is waited for, arm by arm."""
        why = self._explained()
        if why is None:
            return []
        found = [
            [loop, arm.waits, clean(arm.because, 300)]
            for loop in why.loops
            for arm in why.arms[loop]
        ]
        return found[:_SENTENCES]

    def select(self, value: Any) -> None:
        """Take what is chosen: one node, edge or loop, for the panel; several have none."""
        given = value.items() if isinstance(value, dict) else ()
        self._chosen = {k: v for k, v in given if isinstance(v, str) or (k == "edge" and _ends(v))}

    def _detail(self, orch: Orchestrator | None) -> dict[str, Any] | None:
        """Give the form of what is chosen, and what is to be said of it."""
        graph = self._graph
        node, loop = self._chosen.get("node"), self._chosen.get("loop")
        ends = _ends(self._chosen.get("edge"))
        if loop in graph.producers:
            words = [words for at, _, words in self._sentences() if at == loop]
            return {"loop": loop, "form": loop_form(graph, str(loop)), "words": words}
        if ends in graph.edges:
            a, b = ends
            style = dict(zip(graph.flow_edges(), Captions(graph).style, strict=True))
            words = [line_words(style.get(graph.edges[ends], "queued"))]
            named = self._edge_ids.get((a, b), f"{a} -> {b}")
            return {"edge": named, "form": edge_form(graph, ends), "words": words}
        if node not in graph.nodes:
            return (
                {
                    "node": node,
                    "form": [],
                    "words": [f"{node} is named by an edge, but nothing is added under this name"],
                }
                if node
                else None
            )
        held = graph.nodes[str(node)]
        why = self._explained()
        words = (
            [clean(why.why(held.name), 600)] if why is not None and _knows(why, held.name) else []
        )
        runs = orch is not None and any(held.name in m.nodes for m in orch.metrics().values())
        return {
            "node": held.name,
            "kind": held.kind.replace("_", "-"),
            "blocking": held.is_blocking if held.queue or held.kind in _FLIPS else None,
            "form": node_form(graph, held),
            "words": words,
            "live": detail(orch, held.name) if orch is not None and runs else None,
        }

    # -- what is asked ---------------------------------------------------------

    def commands(self) -> Mapping[str, Callable[[Command], Any]]:
        """Take the gestures: each is one edit that can be undone."""
        return {verb: partial(self._hear, act) for verb, act in self._acts().items()}

    def _hear(self, act: Callable[[Command], Any], command: Command) -> None:
        view, number = str(command.get("view")), command.get("seq")
        if isinstance(number, int):
            self._heard.pop(view, None)
            self._heard[view] = number
            for old in list(self._heard)[:-_PAGES]:
                del self._heard[old]
        self._said.pop("refused", None)
        try:
            act(command)
        except (FlowError, ValueError, LookupError, TypeError, AttributeError) as error:
            text = str(error) if isinstance(error, FlowError) else told(error)
            about = {k: command.get(k) for k in ("node", "edge", "loop", "option")}
            self._said["refused"] = {"text": clean(text, 600), "seq": number, **about}

    def _acts(self) -> dict[str, Callable[[Command], Any]]:
        drawing = self._drawing
        return {
            "add": self._add,
            "connect": lambda c: drawing.connect(c["source"], c["target"], verdict(c.get("when"))),
            "reconnect": self._reconnect,
            "delete": lambda c: drawing.delete(c.get("nodes", []), map(_given, c.get("edges", []))),
            "move": self._move,
            "tidy": lambda c: drawing.tidy(c.get("nodes", [])),
            "flip": lambda c: drawing.flip(c["nodes"]),
            "rename": self._rename,
            "set": self._set,
            "group": lambda c: drawing.group(c["nodes"], str(c.get("label") or "")),
            "ungroup": lambda c: drawing.ungroup(c["group"]),
            "set_group": self._set_group,
            "copy": self._copy,
            "paste": self._paste,
            "undo": lambda _: drawing.undo(),
            "redo": lambda _: drawing.redo(),
            "targets": self._targets,
            "run": lambda _: self._starts.start(),
            "apply": lambda _: self._apply(),
            "python": lambda c: self._tell(c, python_code(self._graph)),
            "json": lambda c: self._tell(c, self.json()),
        }

    def _add(self, command: Command) -> None:
        kind: Kind = str(command.get("kind") or "blocking").replace("-", "_")  # type: ignore[assignment]
        tool, fn, name = command.get("tool"), None, str(command.get("name") or "")
        if tool:
            found = callables()
            if tool not in found:
                msg = f"there is no tool {tool!r} any more"
                raise GraphError(msg)
            name = name or self._drawing.free(str(tool))
            fn = instance(found[str(tool)], name)
            kind = getattr(fn, "kind", kind)
        known("kind of node", kind, KINDS)
        ends = _ends(command.get("between"))
        made = self._drawing.add(
            kind, fn, name=name, at=_point(command["position"]) if "position" in command else None,
            after=command.get("after"), when=verdict(command.get("when")), between=ends,
        )  # fmt: skip
        if tool:
            self._by_name[made] = str(tool)
        self._said["made"] = {"seq": command.get("seq"), "nodes": [made]}

    def _reconnect(self, command: Command) -> None:
        ends, more = _given(command["edge"]), {}
        if "when" in command:
            more = {"when": verdict(command["when"])}
        self._drawing.reconnect(ends, command["source"], command["target"], **more)

    def _move(self, command: Command) -> None:
        places = {str(name): _point(at) for name, at in command["nodes"].items()}
        node = command.get("node")
        frame = command["frame"] if "frame" in command else self._drawing.frame_of(node)
        self._drawing.move(places, node=node, between=_ends(command.get("between")), frame=frame)

    def _rename(self, command: Command) -> None:
        old, new = str(command["node"]), str(command["name"])
        self._drawing.rename(old, new)
        if old in self._by_name:
            self._by_name[new] = self._by_name.pop(old)
        if self._chosen.get("node") == old:
            self._chosen = {"node": new}
        self._said["made"] = {"seq": command.get("seq"), "nodes": [new]}

    def _set(self, command: Command) -> None:
        option, value = str(command["option"]), command.get("value")
        if command.get("loop") is not None:
            self._drawing.set_loop(str(command["loop"]), **{option: value})
        elif command.get("edge") is not None:
            value = verdict(value) if option == "when" else value
            self._drawing.set_edge(_given(command["edge"]), **{option: value})
        else:
            node = self._drawing.node(str(command["node"]))
            self._drawing.redefine(node.name, **typed(self._graph, node, option, value))
            if option == "fn":
                self._by_name.pop(node.name, None)
                if value in callables():
                    self._by_name[node.name] = str(value)

    def _set_group(self, command: Command) -> None:
        change: dict[str, Any] = {k: command[k] for k in ("label", "folded") if k in command}
        if "nodes" in command:
            change["members"] = tuple(map(str, command["nodes"]))
        self._drawing.set_group(str(command["group"]), **change)

    def _copy(self, command: Command) -> None:
        _clipboard.clear()
        _clipboard[str(command.get("clip"))] = self._drawing.piece(list(command["nodes"]))

    def _paste(self, command: Command) -> None:
        """Paste what was copied here; or a drawing, as text, from another kernel or tool."""
        text, clip = command.get("text"), command.get("clip")
        if text and (clip is None or str(clip) not in _clipboard):
            piece = self._read(str(text), command.get("seq"))
        elif _clipboard:
            [piece] = _clipboard.values()
        else:
            msg = "nothing has been copied in this kernel: choose nodes, then Ctrl+C"
            raise GraphError(msg)
        made = self._drawing.paste(piece, _point(command["position"]))
        self._said["made"] = {"seq": command.get("seq"), "nodes": made}

    def _read(self, text: str, number: Any) -> Piece:
        """Read the text of React Flow's JSON, or that of another tool, and say what it lacks."""
        tools = own_tools(self._graph)
        for name, fn in callables().items():
            if name not in tools:
                tools.register(name, fn)
        given = text.encode()  # a str may be the path of a file, which no page shall read
        options = {"on_unknown": "placeholder", "on_dangling": "drop"}
        drawn = read_drawing(Workflow, given, tools=tools, **options)
        if drawn.drawing.warnings:
            said = clean(". ".join(drawn.drawing.warnings[:3]), 500)
            self._said["refused"] = {"text": f"pasted, but: {said}", "seq": number}
        return CanvasDocument(drawn).piece(list(drawn.nodes))

    def _targets(self, command: Command) -> None:
        source = str(command["source"])
        self._said["targets"] = {"source": source, "nodes": self._drawing.targets(source)}

    def _apply(self) -> None:
        orch = self._orch()
        if orch is None:
            msg = "nothing of this graph runs: run it first"
            raise GraphError(msg)
        orch.apply()

    def _tell(self, command: Command, text: str) -> None:
        self._said["copied"] = {"seq": command.get("seq"), "what": command["do"], "text": text}

    def document(self) -> dict[str, Any]:
        """Give the drawing as React Flow has it; functions without a name have one here."""
        return to_react_flow(self._graph, tools=own_tools(self._graph))

    def json(self) -> str:
        """Give the drawing as the text of a file."""
        return dumps(self.document(), ensure_ascii=False, indent=1)

    # -- what stays ------------------------------------------------------------

    def picture(self) -> Picture:
        """Draw the graph as it stands on the canvas."""
        found = scene(self._graph, live=True, places=self._drawing.places)
        orch = self._orch()
        return draw(found) if orch is None else draw_running(found, self._reader(orch).now())

    def still(self) -> str:
        """Give the picture as it stands on the canvas; a large one without its small words."""
        self._drawing.look()
        if len(self._graph.nodes) <= _WORDY:
            return page(self.picture(), [])
        found = scene(self._graph, live=True, places=self._drawing.places)
        return image(thumbnail(found), f"Workflow {brief(self._graph.name)}")

    def data(self) -> dict[str, Any]:
        """Give the drawing itself: a saved notebook holds it, and any tool may read it there."""
        try:
            drawn = self.document()
            if self._graph.drawing is None:
                drawn = _in_short(drawn)
            # as text: a notebook file would put each of its values on a line of its own
            return {MIME: dumps(drawn, ensure_ascii=False, separators=(",", ":"))}
        except FlowError:  # it holds what no JSON can
            return {}


def _in_short(drawn: dict[str, Any]) -> dict[str, Any]:
    """Leave out what follows from the rest: it is read again with it."""
    nodes = [
        {k: v for k, v in node.items() if k != "type"}
        | {"data": {k: v for k, v in node["data"].items() if (k, v) != ("label", node["id"])}}
        if "kind" in node.get("data", {})
        else node
        for node in drawn["nodes"]
    ]
    edges = [{k: v for k, v in edge.items() if k != "id"} for edge in drawn["edges"]]
    return {**drawn, "nodes": nodes, "edges": edges}


def _edge_ids(pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Name edges by their ends; names of nodes may hold an arrow, too.

    >>> list(_edge_ids([("a", "b -> c"), ("a -> b", "c")]).values())
    ['a -> b -> c', "a -> b -> c'"]
    """
    found: dict[tuple[str, str], str] = {}
    taken: set[str] = set()
    for pair in dict.fromkeys(pairs):
        named = " -> ".join(pair)
        while named in taken:
            named += "'"
        taken.add(named)
        found[pair] = named
    return found


def _is_one(when: Any) -> bool:
    return when is not None and not isinstance(when, AnyOf)


def _handle(when: Any) -> str:
    """Name a verdict as `verdict` reads it."""
    return "otherwise" if when is OTHERWISE else dumps(when)


def _verdicts(used: list[Any]) -> list[Any]:
    """Give the verdicts that an if may have, as far as its edges tell."""
    if all(isinstance(when, bool) for when in used):
        return [True, False]
    return [*(when for when in used if when is not OTHERWISE), OTHERWISE]


def _port(when: Any) -> dict[str, str]:
    return {"id": _handle(when), "label": shorten(edge_label(Edge("", "", when=when)), 90, 10)}


def _knows(why: Explanation, name: str) -> bool:
    return name in why.workflow.nodes


def _ends(edge: object) -> tuple[str, str] | None:
    """Give the ends of an edge by its id, "a -> b" as two names in a list, or None."""
    if isinstance(edge, list) and len(edge) == 2:  # noqa: PLR2004 - two ends
        return str(edge[0]), str(edge[1])
    return None


def _given(edge: object) -> tuple[str, str]:
    ends = _ends(edge)
    if ends is None:
        msg = "say which edge, by its two ends"
        raise GraphError(msg)
    return ends


def _point(at: Any) -> Point:
    x, y = float(at[0]), float(at[1])
    if not (abs(x) < _FAR and abs(y) < _FAR):
        msg = f"a place is two numbers of pixels, not {at!r}"
        raise GraphError(msg)
    return x, y


_FAR: Final = 1e6
_FLIPS: Final = {"blocking", "non_blocking"}
