"""What is a problem of a workflow, and what do all checks look at?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from flownb.plan.await_sets import Flow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flownb.model.edges import Edge
    from flownb.model.nodes import Node
    from flownb.model.workflow import Workflow

_SHOWN = 6
Level = Literal["error", "warning", "hint"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to report, in one sentence; `level` says how bad it is.

    "error": it cannot run. "warning": it can, and something is probably wrong. "hint":
    nothing is wrong, but it may not do what one expects.

    `text` is the sentence, `nodes` and `edges` are the names of what is meant, so that a
    picture can mark it.

    >>> str(Problem("error", "node 'a': takes=-1 must be at least 0 seconds", ("a",)))
    "node 'a': takes=-1 must be at least 0 seconds"
    """

    level: Level
    text: str
    nodes: tuple[str, ...] = ()
    edges: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return self.text


def error(text: str, nodes: Sequence[str] = (), edges: Sequence[Edge] = ()) -> Problem:
    """Make a problem that keeps the graph from running."""
    return Problem("error", text, tuple(nodes), tuple((e.source, e.target) for e in edges))


def warning(text: str, nodes: Sequence[str] = (), edges: Sequence[Edge] = ()) -> Problem:
    """Make a problem that the graph can run with."""
    return Problem("warning", text, tuple(nodes), tuple((e.source, e.target) for e in edges))


def hint(text: str, nodes: Sequence[str] = (), edges: Sequence[Edge] = ()) -> Problem:
    """Tell what may surprise in a graph that is right."""
    return Problem("hint", text, tuple(nodes), tuple((e.source, e.target) for e in edges))


def listed(names: Sequence[str]) -> str:
    """Write names as text, the first few when there are many.

    >>> listed(["a", "b", "c"])
    "'a', 'b' and 'c'"
    """
    shown = [repr(name) for name in names[:_SHOWN]]
    if len(names) > _SHOWN:
        return f"{', '.join(shown)} and {len(names) - _SHOWN} more"
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1] if shown else ""]))


@dataclass(frozen=True, slots=True)
class Subject:
    """A workflow and what every check asks of it, collected once.

    `ins` and `outs` hold the flow edges of each node, in edge order; edges with an
    unknown end are in neither.
    """

    workflow: Workflow
    flow: Flow
    producers: tuple[str, ...]
    ins: dict[str, list[Edge]]
    outs: dict[str, list[Edge]]

    @classmethod
    def of(cls, workflow: Workflow) -> Subject:
        """Collect the edges of every node."""
        ins: dict[str, list[Edge]] = {name: [] for name in workflow.nodes}
        outs: dict[str, list[Edge]] = {name: [] for name in workflow.nodes}
        for edge in workflow.flow_edges():
            if edge.source in outs and edge.target in ins:
                outs[edge.source].append(edge)
                ins[edge.target].append(edge)
        return cls(workflow, Flow.of(workflow), workflow.producers, ins, outs)

    def nodes(self, *kinds: str) -> list[Node]:
        """Give the nodes of these kinds, in graph order."""
        return [n for n in self.workflow.nodes.values() if n.kind in kinds]

    def is_if(self, node: Node) -> bool:
        """Whether the node gives a verdict: an if, or a reader in mid-graph."""
        return node.kind == "if" or (node.kind == "queue_reader" and bool(self.ins[node.name]))
