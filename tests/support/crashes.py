"""Random one-shot graphs whose final state does not depend on who came first, to be crashed."""

from __future__ import annotations

import operator
from collections import Counter
from random import Random

from flownb import Graph
from flownb.errors import StoreError


def said(name, state):
    """A number that depends on everything the node sees."""
    return (hash_of(name) + sum(v for v in state.values() if type(v) is int)) % 10_007


def hash_of(name):
    return sum(ord(c) * 31**i for i, c in enumerate(name)) % 997


class Wild:
    """A random graph of up to 40 nodes: ifs, joins, maps, a cycle, failures lived with.

    `calls` counts the calls of each node since it was last cleared.
    """

    def __init__(self, seed):
        self.rng, self.calls = Random(seed), Counter()
        self.graph = Graph(f"wild {seed}", reducers={"trail": operator.add, "passes": operator.add})
        self.names = [f"n{i}" for i in range(self.rng.randint(2, 36))]
        for i, name in enumerate(self.names):
            self._add(name, self.names[:i])
        if self.rng.random() < 0.5:
            self._add_cycle()
        sources = {e.source for e in self.graph.edges.values()}
        for name in [n for n in self.names if self.graph.nodes[n].kind == "if"]:
            if name not in sources:
                self.graph.add_node(f"{name} yes", self._sync(f"{name} yes"))
                self.graph.add_edge(name, f"{name} yes", when=True)

    def _add(self, name, before):
        kind = self.rng.choice(["sync", "sync", "async", "if", "map", "fails", "context", "inside"])
        if kind == "if":
            self.graph.add_if(name, self._counting(name, lambda s: said(name, s) % 2 == 0))
        elif kind == "map":
            self.graph.add_node(name, self._square(name), over=self._over(name), into=name)
        else:
            options = {"on_error": lambda _: "continue"} if kind == "fails" else {}
            self.graph.add_node(name, getattr(self, f"_{kind}")(name), **options)
        for source in self.rng.sample(before, min(len(before), self.rng.choice([0, 1, 1, 2, 3]))):
            is_if = self.graph.nodes[source].kind == "if"
            self.graph.add_edge(source, name, when=self.rng.random() < 0.5 if is_if else None)

    def _counting(self, name, fn):
        def node(state):
            self.calls[name] += 1
            return fn(state)

        return node

    def _sync(self, name):
        return self._counting(name, lambda s: {name: said(name, s), "trail": [name]})

    def _async(self, name):
        call = self._sync(name)

        async def node(state):
            return call(state)

        return node

    def _context(self, name):
        call = self._sync(name)

        def node(state, ctx):
            return call(state) | {f"{name} failed": sorted(ctx.failed)}

        return node

    def _inside(self, name):
        """Changes a dict of the entry that all share, and returns the state or nothing."""

        def node(state):
            state["shared"][name] = [said(name, state)]
            return state if said(name, state) % 2 else None

        return self._counting(name, node)

    def _fails(self, name):
        def fail(state):
            if said(name, state) % 3 == 0:
                raise ValueError(name)
            return {name: (said(name, state), "a tuple"), "trail": [name]}

        return self._counting(name, fail)

    def _square(self, name):
        return self._counting(name, lambda element: element * element)

    def _over(self, name):
        return lambda state: list(range(said(name, state) % 4))

    def _add_cycle(self):
        rounds = self.rng.randint(1, 5)
        graph, last = self.graph, self.names[-1]
        graph.add_node(
            "turn", self._counting("turn", lambda s: {"passes": 1, "left": said("t", s)})
        )
        graph.add_node("side", self._counting("side", lambda s: {"trail": [f"side {s['passes']}"]}))
        graph.add_if("again", self._counting("again", lambda s: s["passes"] < rounds))
        graph.add_node("after", self._sync("after"))
        if graph.nodes[last].kind == "if":
            graph.add_edge(last, "turn", when=True)
        else:
            graph.add_edge(last, "turn")
        graph.add_edge("turn", "again").add_edge("turn", "side", "again")
        graph.add_edge("again", "turn", when=True).add_edge("again", "after", when=False)

    def entry(self):
        return {"x": self.rng.randint(0, 9), "trail": [], "passes": 0, "shared": {}}


class Dying:
    """A store that takes so many writes, and is gone then; as if its process had been killed."""

    def __init__(self, runs, times):
        self._runs, self._times = runs, times
        self.quick, self.max_bytes = runs.quick, runs.max_bytes

    def __getattr__(self, name):
        return getattr(self._runs, name)

    def append(self, run_id, steps):
        self._count()
        self._runs.append(run_id, steps)

    def save(self, run):
        self._count()
        self._runs.save(run)

    def _count(self):
        if self._times == 0:
            raise StoreError("killed")
        self._times -= 1
