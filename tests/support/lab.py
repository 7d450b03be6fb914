"""What do the rule tests share? Short ways to build a loop and to read its timeline."""

from __future__ import annotations

from flownb import Graph
from flownb.engine.calls.limits import Limits
from flownb.engine.loop.loop_manager import LoopManager
from flownb.engine.observe.history import History, Outputs
from flownb.engine.observe.meter import Meter
from flownb.engine.observe.stream import Stream
from flownb.engine.simulation.simulated_world import SimulatedWorld
from flownb.engine.simulation.virtual_loop import VirtualLoop
from flownb.plan.compiler import compile_plan


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
            world=SimulatedWorld(),
            stream=Stream([self.history, self.meter, self.kept]),
            gates=Limits(),
            **more,
        )

    def at(self, second, what, *args):
        self.loop.call_at(second, what, *args)
        return self

    def edit(self, second):
        """Hand the graph as it is then to the loop."""
        return self.at(second, lambda: self.manager.control.apply(compile_plan(self.graph, "p")))

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
