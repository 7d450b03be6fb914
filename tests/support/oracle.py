"""Who runs when, and when is the producer released? Sections 3.2 and 3.3, a second time.

Written from the text of the design alone, with no import of flownb: one iteration of a
graph without cycles, no failures, nothing throttled. Each node is visited in an order
in which its sources come first; a *run* is one call of one node, with the runs whose
live edges led to it as its parents. The release of each policy is read off the table.
"""

from __future__ import annotations

from dataclasses import dataclass, field

POLICIES = ("none", "node", "blocking", "path_live", "path", "all")
OTHERWISE = "<otherwise>"


@dataclass(frozen=True)
class Arrow:
    """An edge: `when` None is always live; `asks` marks one with a condition function."""

    source: str
    target: str
    when: object = None
    asks: bool = False


@dataclass
class Case:
    """A graph, and what its ifs and conditions will say.

    `kinds`: "P" (one, first), "B", "N" or "if"; `said[iteration]` maps an if, or (if, tag),
    or the (source, target) of an arrow that asks, to its verdict. A *tag* is the name of
    the last node that was no if.
    """

    kinds: dict[str, str]
    lasts: dict[str, int]
    joins: dict[str, str]
    arrows: list[Arrow]
    said: list[dict[object, object]]

    def __post_init__(self):
        self.outs = {v: [a for a in self.arrows if a.source == v] for v in self.kinds}
        self.ins = {v: [a for a in self.arrows if a.target == v] for v in self.kinds}

    def behind(self, v):
        """D(v): what is reachable from v, v included, over all edges."""
        seen, todo = {v}, [v]
        while todo:
            for arrow in self.outs[todo.pop()]:
                if arrow.target not in seen:
                    seen.add(arrow.target)
                    todo.append(arrow.target)
        return seen

    def has_b(self, v):
        return any(self.kinds[w] == "B" for w in self.behind(v))

    def each_behind(self):
        """Nodes that may run more than once: the each joins and what is behind them."""
        joins = [v for v in self.kinds if self.joins.get(v) == "each" and len(self.ins[v]) > 1]
        return set().union(*(self.behind(v) for v in joins))

    def sources_first(self):
        done, order = set(), []
        while len(order) < len(self.kinds):
            for v in self.kinds:
                if v not in done and all(a.source in done for a in self.ins[v]):
                    done.add(v)
                    order.append(v)
        return order


@dataclass(eq=False)
class Run:
    """One call of one node."""

    node: str
    start: int
    end: int
    tag: str
    parents: list[Run] = field(default_factory=list)
    children: list[Run] = field(default_factory=list)

    def descendants(self):
        """The run and all that live edges lead to from it."""
        seen, todo = {id(self): self}, [self]
        while todo:
            for child in todo.pop().children:
                if id(child) not in seen:
                    seen[id(child)] = child
                    todo.append(child)
        return list(seen.values())


class Walk:
    """One iteration of a case, begun at second 0."""

    def __init__(self, case, iteration=0):
        self.case, self.said = case, case.said[iteration]
        self.many = case.each_behind()
        self.tokens = {a: [] for a in case.arrows}  # arrow: the live runs at its source
        self.settled = {}  # arrow: when (only where a node runs at most once)
        self.runs = []
        for v in case.sources_first():
            self._visit(v)
        self.root = self.runs[0]

    def _visit(self, v):
        ins = self.case.ins[v]
        arrived = [run for a in ins for run in self.tokens[a]]
        if v in self.many:
            for parent in arrived:
                self._run(v, parent.end, [parent])
            return
        start = max((self.settled[a] for a in ins), default=0)
        if arrived or self.case.kinds[v] == "P":
            self._run(v, start, arrived)
        else:  # bypassed, at the moment when the last in-edge is settled
            self.settled.update((a, start) for a in self.case.outs[v])

    def _run(self, v, start, parents):
        is_if = self.case.kinds[v] == "if"
        tag = parents[0].tag if is_if else v
        run = Run(v, start, start + self.case.lasts[v], tag, parents)
        self.runs.append(run)
        for parent in parents:
            parent.children.append(run)
        for arrow in self._live(v, tag):
            self.tokens[arrow].append(run)
        self.settled.update((a, run.end) for a in self.case.outs[v])

    def _live(self, v, tag):
        outs = self.case.outs[v]
        asked = [a for a in outs if a.asks]
        if self.case.kinds[v] != "if":
            return [a for a in outs if a not in asked or self.said[a.source, a.target]]
        verdict = self.said.get((v, tag), self.said.get(v))
        chosen = [a for a in outs if a.when is not None and a.when == verdict]
        if not chosen:
            chosen = [a for a in outs if a.when == OTHERWISE]
        return [a for a in outs if a.when is None or a in chosen]

    # -- the table of section 3.3 ----------------------------------------------

    def awaited(self, policy):
        return [run for run in self.runs if run is not self.root and run in self._set(policy)]

    def _set(self, policy):
        case, behind_p = self.case, self.runs[1:]
        arms = self.root.children
        blocking = [r for r in behind_p if case.has_b(r.node)]
        match policy:
            case "none":
                return []
            case "all":
                return behind_p
            case "blocking":
                return blocking
            case "node":
                return self._not_behind_an_n()
            case "path":
                return _union(d.descendants() for d in arms if case.has_b(d.node))
        holds = [d for d in arms if any(case.kinds[r.node] == "B" for r in d.descendants())]
        return _union([blocking, *(d.descendants() for d in holds)])

    def _not_behind_an_n(self):
        """Some live path from P leads here without an N among its inner nodes."""
        found, todo = [], [*self.root.children]
        while todo:
            run = todo.pop()
            if run not in found:
                found.append(run)
                if self.case.kinds[run.node] != "N":
                    todo.extend(run.children)
        return found

    def release(self, policy):
        return max([self.root.end, *(run.end for run in self._set(policy))])

    def live_in_edges(self, v):
        return [a for a in self.case.ins[v] if self.tokens[a]]


def _union(groups):
    return [run for group in groups for run in group]
