"""What does the picture say of each node, edge and loop, in words?

Everything here is text and truth values; `scene` adds the coordinates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from flownb.errors import GraphError
from flownb.model.policies import OTHERWISE, LoopOptions, retries
from flownb.notebook.graph.layout.layout import components
from flownb.notebook.picture.text import seconds, shorten, took
from flownb.plan.await_sets import Flow, detached, may_be_awaited
from flownb.plan.compiler import merging, ordered
from flownb.plan.traversal import reach

if TYPE_CHECKING:
    from flownb.model.edges import Edge
    from flownb.model.nodes import Node
    from flownb.model.policies import AwaitPolicy
    from flownb.model.workflow import Workflow

AWAITED, DETACHED, IDLE, NEXT = "awaited", "detached", "idle", "next"
_USUAL: Final = LoopOptions()
KIND_WORDS: Final = {
    "producer": "producer",
    "blocking": "blocking",
    "non_blocking": "non-blocking",
    "if": "if",
    "queue": "queue",
    "queue_reader": "reads",
    "unknown": "not defined",
}


class Captions:
    """Who belongs to which loop, and which edges may hold a producer back.

    `names` are the nodes, then the edge ends that nobody has added yet.
    """

    def __init__(self, workflow: Workflow, await_policy: AwaitPolicy | None = None) -> None:
        self.workflow = workflow
        self.policy = await_policy
        self.edges = workflow.flow_edges()
        ends = [end for e in workflow.edges.values() for end in (e.source, e.target)]
        self.names = list(dict.fromkeys([*workflow.nodes, *ends]))
        self.index = {name: i for i, name in enumerate(self.names)}
        self.loops = list(workflow.producers)
        self.pairs = [(self.index[e.source], self.index[e.target]) for e in self.edges]
        self.entering = [0] * len(self.names)
        for _, b in self.pairs:
            self.entering[b] += 1
        self.style = [IDLE if self.loops else NEXT for _ in self.edges]
        self.holding = bytearray(len(self.names))
        self.driven = bytearray(len(self.names))
        self.gathers = bytearray(len(self.names))
        self._who_waits()
        self._lanes()

    def _who_waits(self) -> None:
        flow = Flow.of(self.workflow)
        for loop in self.loops:
            root = flow.index[loop]
            may = may_be_awaited(flow, root, self.policy_of(loop))
            away, inside = detached(flow, root, may), reach(flow.succ, [root])
            for i, (a, b) in enumerate(self.pairs):
                if max(a, b) < len(inside) and inside[a] and self.style[i] != AWAITED:
                    self.style[i] = DETACHED if away[b] else AWAITED
            for i, here in enumerate(inside):
                self.driven[i] |= here
                self.holding[i] |= here and not away[i]
            self._who_gathers(flow, root)

    def _who_gathers(self, flow: Flow, root: int) -> None:
        """Mark the joins whose payload is a dict, in loops that could run."""
        try:
            order = ordered(flow, root)
        except GraphError:
            return
        inside = reach(flow.succ, [root])
        ins: dict[int, list[Edge]] = {}
        for (a, b), edge in zip(self.pairs, self.edges, strict=True):
            if max(a, b) < len(inside) and inside[a]:
                ins.setdefault(b, []).append(edge)
        merges = merging(flow, order, ins)
        for i, entering in ins.items():
            node = self.workflow.nodes[self.names[i]]
            self.gathers[i] |= len(entering) > 1 and node.join == "all" and not merges[i]

    def policy_of(self, loop: str) -> AwaitPolicy:
        """Give the await policy that the picture shows for a loop."""
        return self.policy or self.workflow.loop_options(loop).await_policy

    def _lanes(self) -> None:
        """Loops that share a node share a swimlane; what no loop reaches comes last."""
        parts = components(len(self.names), self.pairs)
        driven = {parts[self.index[loop]] for loop in self.loops}
        order = {
            part: lane for lane, part in enumerate(p for p in dict.fromkeys(parts) if p in driven)
        }
        self.lane = [order.get(part, len(order)) for part in parts]
        self.lane_loops: list[list[str]] = [[] for _ in range(max(self.lane, default=-1) + 1)]
        for loop in self.loops:
            self.lane_loops[self.lane[self.index[loop]]].append(loop)

    def lane_title(self, lane: int) -> str:
        """Say how the loops of a swimlane run; "" where there is nothing to tell apart."""
        loops = self.lane_loops[lane]
        if loops:
            return "   +   ".join(self._loop_title(loop) for loop in loops)
        return "no loop: no producer leads here" if self.loops else ""

    def _loop_title(self, loop: str) -> str:
        """Name a loop, and its pool and await policy where they are not those of every loop."""
        pool, policy = self.workflow.loop_options(loop).pool, self.policy_of(loop)
        words = [f"loop {shorten(loop, 200, 12)}", pool * (pool != _USUAL.pool)]
        words.append(f"await policy {policy}" * (policy != _USUAL.await_policy))
        return " · ".join(filter(None, words))

    def kind(self, name: str) -> str:
        """Give the kind of a node; "unknown" for an edge end that nobody added."""
        node = self.workflow.nodes.get(name)
        return node.kind if node else "unknown"

    def word(self, name: str) -> str:
        """Say in a few words what the node is to its producer.

        The word is the node's own kind; where the rest of its arm decides
        otherwise, a second word says so.
        """
        node = self.workflow.nodes.get(name)
        if node is None:
            return KIND_WORDS["unknown"]
        words = [", ".join([_kind_word(node), *self._exception(node)])]
        if not self.loops and node.kind in {"blocking", "non_blocking"}:
            words = []  # what runs once has no producer that could wait
        if node.every is not None:
            words.append(f"every {seconds(node.every)} s")
        if isinstance(node.takes, (int, float)):
            words.append(took(node.takes))
        return " · ".join(words)

    def _exception(self, node: Node) -> list[str]:
        if not self.driven[self.index[node.name]] or node.name in self.loops:
            return []
        held = self.holding[self.index[node.name]]
        if node.is_blocking and not held:
            return ["not awaited here"]
        return ["awaited here"] if node.is_non_blocking and held else []

    def badge(self, name: str) -> str:
        """Say how a node joins several in-edges; "dict": its payload is one of all of them."""
        node = self.workflow.nodes.get(name)
        entering = self.entering[self.index[name]]
        if node is None or entering < 2:  # noqa: PLR2004 - no join
            return ""
        if node.join == "all":
            return "dict" if self.gathers[self.index[name]] else ""
        return f"{node.join} of {entering}" if isinstance(node.join, int) else node.join

    def tip(self, name: str) -> str:
        """Give all of it, for the tooltip."""
        node = self.workflow.nodes.get(name)
        if node is None:
            return f"{name}: an edge names it, but no node has this name"
        parts = [f"{name}: {node.kind.replace('_', '-')}"]
        if node.timeout is not None:
            parts.append(f"timeout {seconds(node.timeout)} s")
        if node.retry:
            parts.append(f"{max(r.attempts for r in retries(node.retry))} attempts")
        if node.limit is not None:
            parts.append(f"at most {node.limit!r}")
        if self.entering[self.index[name]] > 1:
            parts.append(self._join_words(node))
        return ", ".join(parts) + (f". {node.description}" if node.description else "")

    def _join_words(self, node: Node) -> str:
        if node.join != "all":
            return f"join: {self.badge(node.name)}"
        gathers = self.gathers[self.index[node.name]]
        return f"joins all: the payload {'is {source: output}' if gathers else 'comes as it is'}"


def _kind_word(node: Node) -> str:
    if node.reader:
        return f"reads {node.reader.queue}"
    if node.queue:
        name = "" if node.queue.name == node.name else f" {node.queue.name}"
        return f"queue{name}" + (", blocking" if node.queue.blocking else "")
    return KIND_WORDS[node.kind]


def _plain(name: str) -> str:
    """Name a function; one without a name is called what it is."""
    return "a condition" if not name or "<" in name else name


def edge_label(edge: Edge) -> str:
    """Say for which outcomes an edge is live, "" for all.

    >>> from flownb.model.edges import Edge
    >>> [edge_label(Edge("a", "b", when=w)) for w in (True, False, "high", None)]
    ['yes', 'no', "'high'", '']
    """
    if edge.condition is not None:
        name = getattr(edge.condition, "__name__", "")
        return edge.description if "<" in name and edge.description else f"if {_plain(name)}"
    if edge.when is None:
        return ""
    if edge.when is OTHERWISE:
        return "otherwise"
    return {True: "yes", False: "no"}[edge.when] if isinstance(edge.when, bool) else repr(edge.when)
