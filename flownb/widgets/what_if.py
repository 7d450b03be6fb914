"""What if this node did not block, or took twice as long? A graph to try things on.

A sketch is a copy: nothing that is tried reaches the graph, or what runs, before
`apply`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from flownb.engine.orchestrator.generations import running
from flownb.engine.simulation.simulate import simulate
from flownb.errors import FlowError, GraphError, told
from flownb.explain.durations import MICRO, Durations
from flownb.explain.explanation import Explanation, explain, snapshot
from flownb.model.document.builder_code import python_code
from flownb.model.policies import AWAIT_POLICIES
from flownb.notebook.picture.text import brief, duration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flownb.explain.explanation import Explanation
    from flownb.model.nodes import Node
    from flownb.model.policies import AwaitPolicy
    from flownb.model.workflow import Workflow
    from flownb.records.metrics import LoopMetrics
    from flownb.records.timeline import Timeline

LONGEST: Final = 3600.0  # seconds
_OTHER: Final = {"blocking": "non_blocking", "non_blocking": "blocking"}
_ITEMS: Final = 3  # iterations in the Gantt
_MOST: Final = 400  # nodes: a larger graph is not simulated while one drags


@dataclass(frozen=True, slots=True)
class Answered:
    """What follows for one loop: seconds until the release, items a second, who is awaited.

    `given`: what the rate holds for, see `LoopCapacity.given`.
    """

    loop: str
    policy: AwaitPolicy
    release: float
    ceiling: float
    awaited: tuple[str, ...]
    detached: tuple[str, ...]
    arms: tuple[tuple[str, str], ...]
    given: str = ""


class WhatIf:
    """A copy of a graph, its edits, and what follows from them.

    >>> from flownb import Graph
    >>> graph = Graph("shop").add_producer("days").add_node("charge", takes=0.2)
    >>> sketch = WhatIf(graph.add_edge("days", "charge"))
    >>> sketch.flip("charge")
    >>> sketch.answers()[0].release, graph.nodes["charge"].kind
    (0.0, 'blocking')
    """

    def __init__(self, graph: Workflow) -> None:
        self.graph = graph
        self.version = 0
        self._kept: Workflow
        self._why: Explanation
        self.reset()

    @property
    def nodes(self) -> dict[str, Node]:
        """The nodes as they are in the sketch."""
        return self._kept.nodes

    def reset(self) -> None:
        """Begin anew from the graph as it is now, with what its run has measured."""
        self._kept = snapshot(self.graph)
        orch = running().get(self.graph.name)
        self._measured = orch.metrics() if orch is not None and orch.workflow is self.graph else {}
        seconds = _measured_seconds(self._kept, self._measured)
        for name in seconds:
            self._kept.nodes[name] = replace(self._kept.nodes[name], takes=seconds[name])
        self._changed: dict[str, dict[str, Any]] = {}
        self._policies: dict[str, AwaitPolicy] = {}
        self._look()

    def _look(self) -> None:
        self._why = explain(self._kept, measured=self._measured)  # the shares of ifs, too
        self.version += 1

    # -- trying ----------------------------------------------------------------

    def flip(self, name: str) -> None:
        """Let a blocking node be non-blocking, or the other way round."""
        kind = _OTHER.get(self._node(name).kind)
        if kind is None:
            msg = f"node {name!r} is a {self._node(name).kind}: only nodes that work can be flipped"
            raise GraphError(msg)
        self._change(name, kind=kind)

    def take(self, name: str, seconds: float) -> None:
        """Let a node take so many seconds, 0 to 3600."""
        if not 0 <= seconds <= LONGEST:
            msg = f"node {name!r} cannot take {seconds!r} s: choose 0 to {LONGEST:g}"
            raise GraphError(msg)
        self._node(name)
        self._change(name, takes=float(seconds))

    def await_policy(self, policy: str, loop: str = "") -> None:
        """Read one loop, or all, under another await policy."""
        if policy not in AWAIT_POLICIES or loop not in {"", *self._kept.producers}:
            msg = f"no await policy {policy!r} for {loop or 'all loops'!r}"
            raise GraphError(msg)
        for each in [loop] if loop else list(self._kept.producers):
            self._policies[each] = policy
            self._kept.options.setdefault(each, {})["await_policy"] = policy
        self._look()

    def _node(self, name: str) -> Node:
        if name not in self._kept.nodes:
            msg = f"there is no node {name!r} in this sketch"
            raise GraphError(msg)
        return self._kept.nodes[name]

    def _change(self, name: str, **change: Any) -> None:
        self._kept.nodes[name] = replace(self._kept.nodes[name], **change)
        self._changed.setdefault(name, {}).update(change)
        self._look()

    # -- what follows ----------------------------------------------------------

    @property
    def why(self) -> Explanation:
        """The explanation of the sketch."""
        return self._why

    @property
    def edits(self) -> list[str]:
        """Say what is different from the graph."""
        found = [
            f"{loop}: await policy {policy}"
            for loop, policy in self._policies.items()
            if loop in self.graph.producers and policy != self._now(loop)
        ]
        for name, change in self._changed.items():
            known = self.graph.nodes.get(name)
            found += [
                f"{brief(name)} {_said(what, value)}"
                for what, value in change.items()
                if known is not None and getattr(known, what) != value
            ]
        return found

    def _meant(self, *, runs: bool) -> dict[str, dict[str, Any]]:
        """Give the changes that the graph gets: a duration only of a node that declares one."""
        return {
            name: {
                what: value
                for what, value in change.items()
                if what != "takes" or (self.graph.nodes[name].takes is not None and not runs)
            }
            for name, change in self._changed.items()
            if name in self.graph.nodes
        }

    def python(self) -> str:
        """Write the graph with its edits as Python; a node that declares no duration gets none."""
        found = snapshot(self.graph)
        for name, change in self._meant(runs=False).items():
            found.nodes[name] = replace(found.nodes[name], **change)
        for loop, policy in self._policies.items():
            if loop in found.producers:
                found.set_loop(loop, await_policy=policy)
        return python_code(found)

    def _now(self, loop: str) -> AwaitPolicy:
        return self.graph.loop_options(loop).await_policy

    def answers(self) -> list[Answered]:
        """Say for each loop what follows."""
        capacity = self._why.capacity()
        return [
            Answered(
                loop,
                self._why.policy(loop),
                capacity.loops[loop].release,
                capacity.loops[loop].rate,
                self._why.await_set(loop),
                self._why.detached(loop),
                tuple((arm.waits, arm.because) for arm in self._why.arms[loop]),
                capacity.loops[loop].given,
            )
            for loop in self._why.loops
        ]

    def timeline(self) -> Timeline | str:
        """Rehearse a few items without calling anything; a sentence if that cannot be done."""
        if len(self._kept.nodes) > _MOST:
            return f"a graph of more than {_MOST} nodes is not rehearsed here"
        if not self._kept.producers:
            return "no loop: there is nothing to rehearse"
        try:
            return simulate(self._kept, iterations=_ITEMS, call=False).timeline
        except FlowError as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - a trial must not break the view
            return told(error)

    # -- meaning it ------------------------------------------------------------

    def apply(self) -> str:
        """Hand the edits to the graph, and to its run if there is one; say what was done.

        A duration that was tried stays in the sketch unless the node declares one and nothing
        runs: what runs takes as long as it takes.
        """
        orch = running().get(self.graph.name)
        runs = orch is not None and orch.workflow is self.graph
        meant = self._meant(runs=runs)
        tried = sum(len(self._changed[name]) - len(change) for name, change in meant.items())
        count = len(self.edits) - tried
        for name, change in meant.items():
            self.graph.nodes[name] = replace(self.graph.nodes[name], **change)
        for loop, policy in self._policies.items():
            if loop in self.graph.producers:
                self.graph.set_loop(loop, await_policy=policy)
        self.graph.version += bool(count)
        if orch is not None and runs and count:
            orch.apply()
            done = "handed to the graph and to its run"
        else:
            done = "handed to the graph; nothing of it runs"
        self.reset()
        dropped = "; tried durations are dropped: nodes take as long as they take" if tried else ""
        return f"{count} {'edit' if count == 1 else 'edits'} {done}{dropped}"


def _measured_seconds(graph: Workflow, metrics: Mapping[str, LoopMetrics]) -> dict[str, float]:
    """Give the mean seconds of the nodes that declare none; handing over takes no time."""
    found = {n.node: n for m in metrics.values() for n in m.nodes.values() if n.calls}
    known = Durations.of(graph.nodes.values(), found)
    return {name: float(f"{known.us[name] / MICRO:.3g}") for name in known.measured}


def _said(what: str, value: Any) -> str:
    return f"takes {duration(value)}" if what == "takes" else f"is {value.replace('_', '-')}"
