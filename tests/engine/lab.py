"""What do the rule tests share? Short ways to build a loop and to read its timeline."""

from __future__ import annotations

from flownb import Graph
from flownb.analysis.plan import compile_plan
from flownb.engine.clock import VirtualLoop
from flownb.engine.inflight import Gates
from flownb.engine.loop import LoopManager
from flownb.engine.metrics import Meter
from flownb.engine.observe import History, Outputs, Stream
from flownb.engine.world import Simulated


def chain(*nodes, source=None, **producer):
    """P and nodes in a row; each is (name, fn, options), a name, or a function."""
    graph = Graph("g").add_producer("p", source, **producer)
    before = "p"
    for node in nodes:
        name, fn, options = node if isinstance(node, tuple) else (node, None, {})
        graph.add_node(name, fn, **options).add_edge(before, name)
        before = name
    return graph


def fan(*nodes, source=None, **producer):
    """P and nodes side by side behind it; each is (name, fn, options)."""
    graph = Graph("g").add_producer("p", source, **producer)
    for name, fn, options in nodes:
        graph.add_node(name, fn, **options).add_edge("p", name)
    return graph


def calls(sim, node):
    """[(start, end)] of each attempt of a node, in the order of their starts."""
    return [(s.start, s.end) for s in sim.timeline if s.node == node and s.kind == "work"]


def waits(sim, node, kind):
    """[(iteration, start, end)] of one kind of wait."""
    return [
        (s.iteration, s.start, s.end) for s in sim.timeline if s.node == node and s.kind == kind
    ]


def times(sim, kind):
    """When events of that kind happened."""
    return [e.time for e in sim.events if e.kind == kind]


def seen(into, result=None):
    """Make a node function that notes its payload and gives *result*, or the payload."""

    def note(payload):
        into.append(payload)
        return payload if result is None else result

    return note


def boom(payload=None):
    raise ValueError(f"no {payload!r}")


class Bench:
    """One loop on a virtual clock, steered by hand: `at(second, what)`."""

    def __init__(self, graph, loop="p", **more):
        self.graph, self.loop = graph, VirtualLoop()
        plan = compile_plan(graph, loop)
        self.history, self.meter = History(), Meter(loop)
        self.kept = Outputs({n.name: 1000 for n in plan.nodes})
        self.manager = LoopManager(
            plan,
            world=Simulated(),
            stream=Stream([self.history, self.meter, self.kept]),
            gates=Gates(),
            **more,
        )

    def at(self, second, what, *args):
        self.loop.call_at(second, what, *args)
        return self

    def edit(self, second):
        """Hand the graph as it is then to the loop."""
        return self.at(second, lambda: self.manager.apply(compile_plan(self.graph, "p")))

    def run(self):
        """Run to the end of the loop; give the bench back."""
        try:
            self.loop.run_until_complete(self.manager.run())
        finally:
            self.loop.close()
        return self

    @property
    def timeline(self):
        return self.history.spans()

    @property
    def events(self):
        return list(self.history.events)

    @property
    def metrics(self):
        return self.meter.snapshot(self.loop.time(), self.manager.slots.figures)

    def states(self):
        return [(e.time, e.data[0]) for e in self.events if e.kind == "state"]
