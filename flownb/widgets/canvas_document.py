"""What is on a canvas, and how is it edited? A graph, the place of each node, and its history.

The graph is the document: every verb here ends in the builder's own, so what may be drawn is
what may be written, and what is wrong is said in the same words. Undo goes back to what was
there before, whoever changed it: edits in code are steps of the same history.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from flownb.arguments import known
from flownb.errors import GraphError
from flownb.model.edges import END, Edge
from flownb.model.nodes import (
    QueueNode,
    QueueOptions,
    QueueReader,
    ReaderOptions,
    make_node,
    with_own_limit,
)
from flownb.model.policies import OTHERWISE
from flownb.model.topology import Frame, reached
from flownb.notebook.graph.scene import scene
from flownb.notebook.picture.shapes import Rect
from flownb.notebook.picture.text import brief
from flownb.reactflow.hand_places import read_labels, read_places

if TYPE_CHECKING:
    from collections.abc import Callable

    from flownb.model.nodes import Kind, Node
    from flownb.model.workflow import Workflow
    from flownb.notebook.picture.shapes import Point

MOST_STEPS: Final = 200  # that can be undone
_BETWEEN: Final = (72.0, 28.0)  # pixels between two boxes in a row, in a column
_NAMES: Final[Mapping[str, str]] = {
    "producer": "source",
    "blocking": "step",
    "non_blocking": "aside",
    "if": "check?",
    "queue": "queue",
    "queue_reader": "reader",
}
_LABEL: Final = 60  # characters of a label that becomes a name
_OTHER: Final = {"blocking": "non_blocking", "non_blocking": "blocking"}


@dataclass(frozen=True, slots=True)
class _Step:
    """How everything was, and what had just been done."""

    did: str
    contents: dict[str, Any]


class CanvasDocument:
    """A graph with places, and the way back.

    >>> from flownb import Graph
    >>> drawing = CanvasDocument(Graph("g"))
    >>> drawing.add("producer", at=(0, 0)), drawing.add("blocking", at=(200, 0))
    ('source', 'step')
    >>> drawing.connect("source", "step")
    >>> drawing.undo()
    >>> list(drawing.graph.nodes), list(drawing.graph.edges), drawing.undone
    (['source', 'step'], [], 'connect source -> step')
    """

    def __init__(self, graph: Workflow) -> None:
        self.graph = graph
        if not graph._places:
            graph._places, graph._frames = read_places(graph)
        self.changes = 0  # counts what only the drawing knows
        self._steps: list[_Step] = []
        self._at = 0
        self._seen = -1
        self.look()

    @property
    def places(self) -> dict[str, Point]:
        """Where each node is, in pixels."""
        return self.graph._places

    @property
    def frames(self) -> dict[str, Frame]:
        """What is drawn around nodes, by id."""
        return self.graph._frames

    # -- the history -----------------------------------------------------------

    @property
    def version(self) -> tuple[int, int]:
        """Change with every edit, of the graph and of the drawing."""
        return self.graph.version, self.changes

    @property
    def done(self) -> str:
        """What `undo` would take back; "" for nothing."""
        return self._steps[self._at].did if self._at else ""

    @property
    def undone(self) -> str:
        """What `redo` would do again; "" for nothing."""
        return self._steps[self._at + 1].did if self._at + 1 < len(self._steps) else ""

    def look(self) -> None:
        """Take up what was edited in code: it has a place, and can be undone."""
        if self._seen == self.graph.version:
            return
        self._place_new()
        self._keep("edit in code")

    def _keep(self, did: str) -> None:
        del self._steps[self._at + 1 :]
        self._steps.append(_Step(did, self.graph._contents()))
        del self._steps[: -MOST_STEPS - 1]
        self._at, self._seen = len(self._steps) - 1, self.graph.version
        self.changes += 1

    def undo(self) -> None:
        """Go back before the last step; GraphError when there is none."""
        self.look()
        if not self._at:
            msg = "there is nothing to undo"
            raise GraphError(msg)
        self._go(self._at - 1)

    def redo(self) -> None:
        """Do the step again that was undone last; GraphError when there is none."""
        self.look()
        if self._at + 1 >= len(self._steps):
            msg = "there is nothing to redo"
            raise GraphError(msg)
        self._go(self._at + 1)

    def _go(self, at: int) -> None:
        self._at = at
        self.graph._restore(self._steps[at].contents)
        self._seen = self.graph.version
        self.changes += 1

    def _edit(self, did: str, change: Callable[[], Any]) -> None:
        """Make one step of a change; when the builder refuses it nothing has happened."""
        self.look()
        before = self._steps[self._at]
        with self.graph._editing:
            try:
                change()
            except Exception:
                self.graph._restore(before.contents)
                self._seen = self.graph.version
                raise
            self._place_new()
        if self.graph.version != self._seen or self._is_moved(before):
            self._keep(did)

    def _is_moved(self, before: _Step) -> bool:
        drawn = (before.contents["_places"], before.contents["_frames"])
        return (self.places, self.frames) != drawn

    # -- places ----------------------------------------------------------------

    def _names(self) -> list[str]:
        ends = (end for ends in self.graph.edges for end in ends)
        return list(dict.fromkeys([*self.graph.nodes, *ends]))

    def _place_new(self) -> None:
        """Give a place to what has none, beside what leads to it; nothing else moves."""
        names = self._names()
        new = [name for name in names if name not in self.places]
        if new and len(new) == len(names):
            self.places.update(self._laid_out())
        elif new:
            boxes = {box.name: box.frame for box in scene(self.graph, live=True).boxes}
            for name in new:
                self._place_beside(name, boxes)

    def _laid_out(self) -> dict[str, Point]:
        return {b.name: (b.frame.x, b.frame.y) for b in scene(self.graph, live=True).boxes}

    def _place_beside(self, name: str, boxes: Mapping[str, Rect]) -> None:
        there = {n: boxes[n].moved(x - boxes[n].x, y - boxes[n].y)
                 for n, (x, y) in self.places.items() if n in boxes}  # fmt: skip
        before = [there[a] for a, b in self.graph.edges if b == name and a in there]
        behind = [there[b] for a, b in self.graph.edges if a == name and b in there]
        mine = boxes[name]
        if before:
            at = max(b.right for b in before) + _BETWEEN[0], before[0].y
        elif behind:
            at = min(b.x for b in behind) - _BETWEEN[0] - mine.width, behind[0].y
        else:
            at = 16.0, max((b.bottom for b in there.values()), default=0.0) + _BETWEEN[1]
        self.places[name] = free_place(Rect(*at, mine.width, mine.height), there.values())

    def move(
        self,
        places: Mapping[str, Point],
        *,
        node: str | None = None,
        between: tuple[str, str] | None = None,
        frame: str | None = None,
    ) -> None:
        """Put nodes elsewhere: *node* onto the edge *between*, into *frame* or out of its own."""
        for name in places:
            known("node", name, self._names())

        def change() -> None:
            self.places.update(places)
            if node is not None and between is not None:
                self._insert(node, between)
            if node is not None and frame != self.frame_of(node):
                self._leave_frames([node])
                if frame is not None:
                    held = self.frames[frame]
                    self.frames[frame] = replace(held, members=(*held.members, node))

        said = brief(next(iter(places), "")) if len(places) == 1 else f"{len(places)} nodes"
        self._edit(f"move {said}", change)

    def frame_of(self, node: str | None) -> str | None:
        """Give the frame that holds a node."""
        return next((key for key, frame in self.frames.items() if node in frame.members), None)

    def _insert(self, node: str, between: tuple[str, str]) -> None:
        """Let an edge lead through a node."""
        old = self.graph.edges[between]
        self.graph.remove_edge(*between)
        self._put_edge(replace(old, target=node, owner=None))
        self.graph.add_edge(node, between[1])

    def tidy(self, names: Sequence[str] = ()) -> None:
        """Lay out everything, or only *names* where they are now."""
        self._edit("tidy up", lambda: self._tidied(names))

    def _tidied(self, names: Sequence[str]) -> None:
        found = self._laid_out()
        chosen = [n for n in names if n in found] or list(found)
        if not chosen:
            return
        left, top = _corner(found[n] for n in chosen)
        dx, dy = 0.0, 0.0
        if names:
            x, y = _corner(self.places[n] for n in chosen)
            dx, dy = x - left, y - top
        self.places.update({n: (found[n][0] + dx, found[n][1] + dy) for n in chosen})

    # -- nodes -----------------------------------------------------------------

    def add(
        self,
        kind: Kind,
        fn: Any = None,
        *,
        name: str = "",
        at: Point | None = None,
        after: str | None = None,
        when: Any = None,
        between: tuple[str, str] | None = None,
    ) -> str:
        """Add a node of that kind; behind *after*, or on the edge *between*. Give its name."""
        new = self.free(name or _NAMES[kind])

        def change() -> None:
            options = (
                {"reader": ReaderOptions(self._queue_for(after))} if kind == "queue_reader" else {}
            )
            self._redefine(new, kind, fn, options)
            if at is not None:
                self.places[new] = at
            if after is not None:
                self._link(after, new, when)
            if between is not None:
                self._insert(new, between)

        self._edit(f"add {brief(new)}", change)
        return new

    def _queue_for(self, after: str | None) -> str:
        node = self.graph.nodes.get(after or "")
        if node is not None and node.queue is not None:
            return node.queue.name
        queues = [n.queue.name for n in self.graph.nodes.values() if n.queue]
        return queues[-1] if queues else "queue"

    def free(self, name: str) -> str:
        """Give a name that no node has."""
        return _FreeNames(self._names())(name)

    def node(self, name: str) -> Node:
        """Give the node of this name; an error says which was meant."""
        known("node", name, self.graph.nodes)
        return self.graph.nodes[name]

    def redefine(self, name: str, did: str = "", /, **options: Any) -> None:
        """Give a node other options, or another function (`fn=`); the others stay."""
        node = self.node(name)
        said = did or f"set {', '.join(options)} of {brief(name)}"
        kept = {k: getattr(node, k) for k in _OPTIONS} | options
        fn = kept.pop("fn", node.fn) if "fn" in options else node.fn
        self._edit(said, lambda: self._redefine(name, node.kind, fn, kept))

    def _redefine(self, name: str, kind: Kind, fn: Any, options: dict[str, Any]) -> None:
        """Add the node as the builder's verbs do."""
        given = dict(options)
        if kind == "queue" and type(fn) in {type(None), QueueNode}:
            given["queue"] = given.get("queue") or QueueOptions(name)
            fn = QueueNode(name, queue=given["queue"].name)
        if kind == "queue_reader" and type(fn) in {type(None), QueueReader}:
            fn = QueueReader(name, queue=given["reader"].queue)
        self.graph._hold(make_node(name, kind, fn, given))

    def flip(self, names: Sequence[str]) -> None:
        """Let blocking nodes be non-blocking, and the other way round; queues too."""
        nodes = [self.node(name) for name in names]
        able = [n for n in nodes if n.kind in _OTHER or n.queue is not None]
        if not able:
            what = brief(nodes[0].kind.replace("_", "-")) if nodes else "nothing"
            msg = f"only nodes that work and queues are blocking or not: this is a {what}"
            raise GraphError(msg)

        def change() -> None:
            for node in able:
                kept = {k: getattr(node, k) for k in _OPTIONS}
                kind = _OTHER.get(node.kind, node.kind)
                if node.queue is not None:
                    kept["queue"] = replace(node.queue, blocking=not node.queue.blocking)
                self._redefine(node.name, kind, node.fn, kept)  # type: ignore[arg-type]

        words = "blocking" if not able[0].is_blocking else "non-blocking"
        many = brief(able[0].name) if len(able) == 1 else f"{len(able)} nodes"
        self._edit(f"make {many} {words}", change)

    def rename(self, old: str, new: str) -> None:
        """Give a node another name; it keeps its place, its edges and its loop."""

        def change() -> None:
            self.graph.rename_node(old, new)
            for key, f in list(self.frames.items()):
                named = tuple(new if m == old else m for m in f.members)
                self.frames[key] = replace(f, members=named)

        self._edit(f"rename {brief(old)} to {brief(new)}", change)

    def delete(self, names: Iterable[str], edges: Iterable[tuple[str, str]] = ()) -> None:
        """Remove nodes with their edges, and edges alone."""
        gone, cut = list(names), list(edges)

        def change() -> None:
            for ends in cut:
                if ends in self.graph.edges:
                    self.graph.remove_edge(*ends)
            for name in gone:
                if name in self.graph.nodes:
                    self.graph.remove_node(name)
                for ends in [e for e in self.graph.edges if name in e]:
                    self.graph.remove_edge(*ends)  # an end that nobody has added
                self.places.pop(name, None)
            self._leave_frames(gone)

        one = [*map(brief, gone), *(f"{a} -> {b}" for a, b in cut)]
        self._edit(f"delete {one[0] if len(one) == 1 else f'{len(one)} things'}", change)

    # -- edges -----------------------------------------------------------------

    def refusal(self, a: str, b: str, *, but: tuple[str, str] | None = None) -> str:
        """Say why no edge may lead from *a* to *b*; "" if one may. *but* is an edge that goes."""
        target = self.graph.nodes.get(b)
        if a == b:
            return f"an edge leads to another node, not from {brief(a)} to itself"
        if a == END:
            return "END is the end of the run: nothing comes behind it"
        if target is not None and target.kind == "producer":
            return f"{brief(b)} is a producer: it makes the items, nothing leads into it"
        if (a, b) in self.graph.edges and (a, b) != but:
            return f"there is an edge {brief(a)} -> {brief(b)} already"
        if self.graph.producers and not self._is_queue(a, b) and a in reached(self.graph, [b]):
            return f"{brief(b)} leads to {brief(a)}: a loop has no way back"
        return ""

    def _is_queue(self, a: str, b: str) -> bool:
        return self.graph.is_queue_edge(Edge(a, b))

    def targets(self, a: str) -> list[str]:
        """Name the nodes that an edge from *a* may lead to."""
        taken = {b for source, b in self.graph.edges if source == a}
        cyclic = self._ancestors(a) if self.graph.producers else set()
        return [
            name
            for name in self._names()
            if name not in taken
            and (name not in cyclic or self._is_queue(a, name))
            and not self.refusal_of_kind(a, name)
        ]

    def refusal_of_kind(self, a: str, b: str) -> bool:
        """Whether the kinds alone forbid an edge."""
        target = self.graph.nodes.get(b)
        return a in {b, END} or (target is not None and target.kind == "producer")

    def _ancestors(self, name: str) -> set[str]:
        before: dict[str, list[str]] = {}
        for edge in self.graph.flow_edges():
            before.setdefault(edge.target, []).append(edge.source)
        found, stack = {name}, [name]
        while stack:
            fresh = [a for a in before.get(stack.pop(), ()) if a not in found]
            found.update(fresh)
            stack += fresh
        return found

    def connect(self, a: str, b: str, when: Any = None) -> None:
        """Draw an edge; the second of an if gets the verdict that the first has not."""
        self._edit(f"connect {brief(a)} -> {brief(b)}", lambda: self._link(a, b, when))

    def _link(self, a: str, b: str, when: Any = None) -> None:
        refused = self.refusal(a, b)
        if refused:
            raise GraphError(refused)
        if when is None and self._decides(a):
            when = self._free_verdict(a)
        self.graph.add_edge(a, b, when=when)
        source, target = self.graph.nodes.get(a), self.graph.nodes.get(b)
        if source and target and source.queue and target.reader:
            reader = replace(target.reader, queue=source.queue.name)
            kept = {k: getattr(target, k) for k in _OPTIONS} | {"reader": reader}
            self._redefine(b, target.kind, target.fn, kept)

    def _decides(self, name: str) -> bool:
        node = self.graph.nodes.get(name)
        return node is not None and node.kind == "if" and node.router is None

    def _free_verdict(self, name: str) -> Any:
        used = [e.when for e in self.graph.edges.values() if e.source == name]
        if any(when is not None and not isinstance(when, bool) for when in used):
            return OTHERWISE if OTHERWISE not in used else None
        return next((v for v in (True, False) if v not in used), None)

    def reconnect(self, ends: tuple[str, str], a: str, b: str, **verdict: Any) -> None:
        """Let an edge begin or end elsewhere, for another verdict (`when=`); the rest stays."""
        if ends not in self.graph.edges:
            msg = f"there is no edge {ends[0]} -> {ends[1]} any more"
            raise GraphError(msg)
        refused = self.refusal(a, b, but=ends)
        if refused:
            raise GraphError(refused)
        if a != ends[0] and not self._decides(a):
            verdict = {"when": None}
        edge = replace(self.graph.edges[ends], source=a, target=b, owner=None, **verdict)

        def change() -> None:
            place = list(self.graph.edges).index(ends)
            self.graph.remove_edge(*ends)
            self._put_edge(edge)
            self.graph.edges = _moved_to(self.graph.edges, (a, b), place)

        self._edit(f"reconnect {brief(a)} -> {brief(b)}", change)

    def _put_edge(self, edge: Edge) -> None:
        self.graph.add_edge(
            edge.source, edge.target, when=edge.when, condition=edge.condition, copy=edge.copy,
            description=edge.description,
        )  # fmt: skip

    def set_edge(self, ends: tuple[str, str], **options: Any) -> None:
        """Give an edge another verdict, condition, copy or description."""
        known("edge", f"{ends[0]} -> {ends[1]}", [f"{a} -> {b}" for a, b in self.graph.edges])
        edge = replace(self.graph.edges[ends], **options)

        def change() -> None:
            place = list(self.graph.edges).index(ends)
            self.graph.remove_edge(*ends)
            self._put_edge(edge)
            self.graph.edges = _moved_to(self.graph.edges, ends, place)

        self._edit(f"set {', '.join(options)} of {brief(ends[0])} -> {brief(ends[1])}", change)

    def set_loop(self, loop: str, **options: Any) -> None:
        """Set options of a loop."""
        said = f"set {', '.join(options)} of the loop {brief(loop)}"
        self._edit(said, lambda: self.graph.set_loop(loop, **options))

    # -- pieces ----------------------------------------------------------------

    def piece(self, names: Sequence[str]) -> Piece:
        """Copy some nodes, the edges between them, where they are, and the frames around them."""
        inside = [name for name in names if name in self.graph.nodes]
        held = set(inside)
        edges = [e for (a, b), e in self.graph.edges.items() if a in held and b in held]
        left, top = _corner([self.places[name] for name in inside] or [(0.0, 0.0)])
        return Piece(
            tuple(self.graph.nodes[name] for name in inside),
            tuple(edges),
            {n: (self.places[n][0] - left, self.places[n][1] - top) for n in inside},
            {n: self.graph.options[n] for n in inside if n in self.graph.options},
            tuple(f for f in self.frames.values() if held.issuperset(f.members)),
            read_labels(self.graph),
        )

    def paste(self, piece: Piece, at: Point) -> list[str]:
        """Put a copied piece in, under free names, with the links between; give the names."""
        named: dict[str, str] = {}
        free = _FreeNames(self._names())

        def change() -> None:
            for node in map(with_own_limit, piece.nodes):
                label = piece.labels.get(node.name, "")
                is_name = 0 < len(label) <= _LABEL and label.isprintable() and label[:2] != "__"
                named[node.name] = new = free(label if is_name else node.name)
                kept = {k: getattr(node, k) for k in _OPTIONS}
                self._redefine(new, node.kind, node.fn, kept)
                dx, dy = piece.places.get(node.name, (0.0, 0.0))
                self.places[new] = (at[0] + dx, at[1] + dy)
            for edge in piece.edges:
                a, b = named[edge.source], named[edge.target]
                self._put_edge(replace(edge, source=a, target=b, owner=None))
            for loop, options in piece.options.items():
                self.graph.set_loop(named[loop], **options)
            for f in piece.frames:
                members = tuple(named[m] for m in f.members)
                self.frames[self._free_key()] = replace(f, members=members)

        count = len(piece.nodes)
        self._edit(f"paste {count} {'node' if count == 1 else 'nodes'}", change)
        return list(named.values())

    # -- frames ----------------------------------------------------------------

    def group(self, names: Sequence[str], label: str = "") -> str:
        """Pack nodes into a frame of their own; give its id."""
        inside = [name for name in names if name in self.graph.nodes]
        if not inside:
            msg = "choose the nodes first that the group is to hold"
            raise GraphError(msg)
        key = self._free_key()

        def change() -> None:
            self._leave_frames(inside)
            self.frames[key] = Frame(label or f"group {key[6:]}", tuple(inside))

        self._edit(f"group {len(inside)} nodes", change)
        return key

    def _free_key(self) -> str:
        taken = {*self.frames, *self._names()}
        return next(k for n in range(1, len(taken) + 2) if (k := f"group-{n}") not in taken)

    def ungroup(self, key: str) -> None:
        """Take a frame away; its nodes stay where they are."""
        known("group", key, self.frames)
        self._edit(f"ungroup {brief(self.frames[key].label)}", lambda: self.frames.pop(key))

    def set_group(self, key: str, **change: Any) -> None:
        """Rename a frame, fold or unfold it, or give it other members."""
        known("group", key, self.frames)
        made = replace(self.frames[key], **change)

        def put() -> None:
            if "members" in change:
                self._leave_frames(change["members"])
            self.frames[key] = made

        self._edit(f"set {', '.join(change)} of {brief(made.label)}", put)

    def _leave_frames(self, names: Iterable[str]) -> None:
        gone = set(names)
        for key, f in list(self.frames.items()):
            kept = tuple(m for m in f.members if m not in gone)
            self.frames[key] = replace(f, members=kept)
            if not kept:
                del self.frames[key]


@dataclass(frozen=True, slots=True)
class Piece:
    """Some nodes of a graph, to be put into it or into another one."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    places: Mapping[str, Point]
    options: Mapping[str, Mapping[str, Any]]
    frames: tuple[Frame, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


class _FreeNames:
    """Names that nobody has; each that is given is taken then."""

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = set(taken)
        self._next: dict[str, int] = {}  # where the search for a number goes on

    def __call__(self, name: str) -> str:
        free, n = name, self._next.get(name, 2)
        while free in self._taken:
            free, n = f"{name}_{n}", n + 1
        self._next[name] = n
        self._taken.add(free)
        return free


_OPTIONS: Final = (
    "every", "takes", "fake", "fail", "retry", "timeout", "on_error", "join", "limit", "config",
    "keep", "description", "queue", "reader", "over", "into", "max_iterations", "cache",
)  # fmt: skip


def free_place(box: Rect, others: Iterable[Rect]) -> Point:
    """Say where a box stands free: where it is, or so far down that it overlaps no other.

    >>> free_place(Rect(0, 0, 80, 40), [Rect(10, 10, 80, 40)])
    (0, 78.0)
    """
    for other in sorted(others, key=lambda other: other.y):
        if box.overlaps(other, _BETWEEN[1] / 2):
            box = replace(box, y=other.bottom + _BETWEEN[1])
    return box.x, box.y


def _corner(points: Iterable[Point]) -> Point:
    xs, ys = zip(*points, strict=True)
    return min(xs), min(ys)


def _moved_to(edges: dict[Any, Any], key: Any, place: int) -> dict[Any, Any]:
    order = [k for k in edges if k != key]
    order.insert(place, key)
    return {k: edges[k] for k in order}


def document_of(graph: Workflow) -> CanvasDocument:
    """Give the one drawing of a graph: every view of it edits the same, and shares its history."""
    if graph._canvas is None:
        graph._canvas = CanvasDocument(graph)
    found: CanvasDocument = graph._canvas
    return found
