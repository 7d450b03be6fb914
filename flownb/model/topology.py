"""What is in a workflow, and what leads where?

The half of the builder that is asked: `Workflow` adds the verbs that change it.
Nodes and edges are held by name, in the order in which they were first added.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from flownb.errors import GraphError, did_you_mean
from flownb.model.edges import END
from flownb.model.nodes import BaseNode, Node, checked_name, node_name

if TYPE_CHECKING:
    from flownb.model.edges import Edge


@dataclass(frozen=True, slots=True)
class Frame:
    """A group that is only drawn: a label, the names of its nodes, and whether it is folded."""

    label: str
    members: tuple[str, ...]
    folded: bool = False


NodeRef = str | Callable[..., Any] | BaseNode | Node
Targets = Mapping[Any, NodeRef] | Iterable[NodeRef] | None


P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T", bound="Topology")


class EditLock:
    """Lets one thread at a time edit a workflow, or read it whole; a copy has a lock of its own."""

    def __init__(self) -> None:
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def __deepcopy__(self, _: object) -> EditLock:
        return EditLock()

    def __reduce__(self) -> tuple[type[EditLock], tuple[()]]:
        return EditLock, ()


def edits(verb: Callable[Concatenate[T, P], R]) -> Callable[Concatenate[T, P], R]:
    """Let a verb of a workflow change it while no other thread edits or reads it whole."""

    @functools.wraps(verb)
    def locked(self: T, /, *args: P.args, **options: P.kwargs) -> R:
        with self._editing:
            return verb(self, *args, **options)

    return locked


class Topology:
    """Nodes, edges and loop options by name; `version` counts the edits.

    Who reads it whole in another thread than the one that edits it does so `with` its `_editing`.
    """

    name: str
    state_model: type | None
    reducers: dict[str, Callable[[Any, Any], Any]]

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.edges: dict[tuple[str, str], Edge] = {}
        self.options: dict[str, dict[str, Any]] = {}
        self.entry_points: list[str] = []
        self.unlinked: set[str] = set()  # what edits have cut off
        self.drawing: Any = None  # the React Flow JSON that it was read from
        self.version = 0
        self._places: dict[str, tuple[float, float]] = {}  # where edit() has put nodes, in pixels
        self._canvas: Any = None  # what edit() can undo
        self._frames: dict[str, Frame] = {}  # what edit() has drawn around some of them, by id
        self._editing = EditLock()

    @property
    def producers(self) -> tuple[str, ...]:
        """The names of the loops: producers, and readers that nothing flows into.

        A reader that something has flowed into, until an edit took that away, is none.
        """
        readers = {n.name for n in self.nodes.values() if n.kind == "queue_reader"}
        into = (e for e in self.edges.values() if e.target in readers)
        fed = {e.target for e in into if not self.is_queue_edge(e)} | self.unlinked
        return tuple(
            n.name
            for n in self.nodes.values()
            if n.kind == "producer" or (n.kind == "queue_reader" and n.name not in fed)
        )

    @contextmanager
    def _cutting(self) -> Iterator[None]:
        """Remember what these edits cut off: it does not begin by itself now.

        The builder's own END goes with the last edge to it.
        """
        starts = self.producers or entries(self)
        explicit = starts == self.entry_points
        before = reached(self, starts)
        yield
        if not any(END in ends for ends in (*self.edges, self.entry_points)):
            self.nodes.pop(END, None)
        after = reached(self, self.entry_points if explicit else starts)
        self.unlinked |= {name for name in before if name in self.nodes and name not in after}

    def flow_edges(self) -> list[Edge]:
        """All edges that items flow along: those from a queue to its reader are cut."""
        return [e for e in self.edges.values() if not self.is_queue_edge(e)]

    def is_queue_edge(self, edge: Edge) -> bool:
        """Whether the edge is an asynchronous boundary: from a queue to a reader."""
        target = self.nodes.get(edge.target)
        if target is None or target.kind != "queue_reader":
            return False
        source = self.nodes.get(edge.source)
        return source is not None and source.kind == "queue"

    def queue_links(self) -> list[tuple[str, str]]:
        """All (queue node, reader node) pairs that share a queue, drawn or not."""
        readers: dict[str, list[str]] = {}
        for node in self.nodes.values():
            if node.reader:
                readers.setdefault(node.reader.queue, []).append(node.name)
        writers = [(n.name, n.queue.name) for n in self.nodes.values() if n.queue]
        return [(writer, reader) for writer, queue in writers for reader in readers.get(queue, ())]

    def __contains__(self, name: object) -> bool:
        return name in self.nodes

    def _ref(self, value: NodeRef) -> str:
        """Give the name of the node that a function or class node is in; a name is one."""
        if value is None or isinstance(value, (str, Node)):
            return node_name(value)  # None is the function of every node without one
        held = [n.name for n in self.nodes.values() if n.fn is value and n.router is None]
        if len(held) > 1:
            nodes = ", ".join(held)
            msg = f"{node_name(value)!r} is the function of {nodes}: name the node you mean"
            raise GraphError(msg)
        return held[0] if held else checked_name(value, "an edge end that no node holds")

    def _refs(self, ends: Any) -> list[str]:
        """Give the names of one end of an edge: of a node, or of several in a list or tuple."""
        if isinstance(ends, (set, frozenset)):
            msg = "a set of nodes has no order, and edges have one: give a list"
            raise GraphError(msg)
        if not isinstance(ends, (list, tuple)):
            return [self._ref(ends)]
        if not ends:
            msg = "an edge leads from a node to a node: the list is empty"
            raise GraphError(msg)
        return list(dict.fromkeys(self._ref(end) for end in ends))

    def _known(self, name: str, where: str) -> str:
        if name not in self.nodes:
            msg = f"{where}: there is no node {name!r}{did_you_mean(name, self.nodes)}"
            raise GraphError(msg)
        return name


def entries(graph: Topology) -> list[str]:
    """Name the nodes a one-shot run begins with: the entry points, else those without in-edges.

    When a cycle leads to every node, it is the first one that was added. What an edit cut off
    is never among them, unless it is named as an entry point. A queue without an edge is only
    named, for those who push to it by their ctx.
    """
    if graph.entry_points:
        return list(graph.entry_points)
    fed = {e.target for e in graph.flow_edges() if e.source != e.target}
    named = only_named(graph)
    own = [name for name in graph.nodes if name not in graph.unlinked and name not in named]
    return [name for name in own if name not in fed] or own[:1]


def only_named(graph: Topology) -> set[str]:
    """Give the queues that no edge leads to or from."""
    linked = {end for ends in graph.edges for end in ends}
    return {n.name for n in graph.nodes.values() if n.queue and n.name not in linked}


def reached(graph: Topology, starts: Iterable[str]) -> set[str]:
    """Give the nodes that these lead to, themselves too."""
    behind: dict[str, list[str]] = {}
    for edge in graph.flow_edges():
        behind.setdefault(edge.source, []).append(edge.target)
    found = {name for name in starts if name in graph.nodes}
    stack = list(found)
    while stack:
        for name in behind.get(stack.pop(), ()):
            if name in graph.nodes and name not in found:
                found.add(name)
                stack.append(name)
    return found
