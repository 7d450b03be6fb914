"""Who runs when, with every join and start rule? Sections 3.2 and 3.3, event by event.

Written from the text of the design alone, with no import of flownb. One iteration is
played in the order of time; at one instant, first come, first served: ends in the order
of their starts, starts in the order in which their inputs came, edges in edge order. A
node of length 0 ends as it starts.

What the text leaves open is read so: a `first` join or a join of n *fires* when the
deciding token comes, even if a start rule makes it wait for its turn; a token that
comes later is ignored (it is no parent of the join's run). A node that was cancelled,
or a join that was bypassed while tokens waited at it, is a *ghost*: it had no run, but
while it was open it was awaited as the run would have been, or the release would
depend on what is still to come (causality).
"""

from __future__ import annotations

import heapq
from collections import deque

from tests.support.oracle import Run, Walk

RULES = ("dataflow", "level", "sequential")


def losers(case, join):
    """Nodes all of whose ways lead into *join*: without it they reach no other end."""
    found = []
    for v in case.kinds:
        seen, todo = {v}, [v]
        while todo:
            for arrow in case.outs[todo.pop()]:
                if arrow.target != join and arrow.target not in seen:
                    seen.add(arrow.target)
                    todo.append(arrow.target)
        leads = any(a.target == join for w in seen for a in case.outs[w])
        if v not in {join, "P"} and leads and all(case.outs[w] for w in seen):
            found.append(v)
    return found


def levels(case):
    """The longest way from the producer to each node, in edges."""
    found = {}
    for v in case.sources_first():
        found[v] = max((found[a.source] + 1 for a in case.ins[v]), default=0)
    return found


def places(case):
    """The order of the plan: sources first, and then first come, first served."""
    order, left = ["P"], {v: len(case.ins[v]) for v in case.kinds}
    for v in order:
        for arrow in case.outs[v]:
            left[arrow.target] -= 1
            if not left[arrow.target]:
                order.append(arrow.target)
    return {v: i for i, v in enumerate(order)}


def may_be_awaited(case, policy):
    """Nodes that a release may have to wait for; to these the start rules apply."""
    arms = [a.target for a in case.outs["P"]]
    inside = set().union(*map(case.behind, arms)) if arms else set()
    match policy:
        case "none":
            return set()
        case "all":
            return inside
        case "blocking":
            return {v for v in inside if case.has_b(v)}
        case "node":
            found, todo = set(), arms
            while todo:
                v = todo.pop()
                found.add(v)
                if case.kinds[v] != "N":
                    todo = [*todo, *(a.target for a in case.outs[v] if a.target not in found)]
            return found
    return {w for v in arms if case.has_b(v) for w in case.behind(v)}


class Facts:
    """What is true of a case whatever happens: worked out once for all its plays."""

    def __init__(self, case):
        self.case = case
        self.many = case.each_behind()
        self.joins = {v: case.joins.get(v, "all") for v in case.kinds if len(case.ins[v]) > 1}
        self.losers = {v: losers(case, v) for v, join in self.joins.items() if join == "first"}
        self.level = levels(case)
        self.place = places(case)


class Play(Walk):
    """One iteration of a case, begun at second 0; the table of 3.3 is the walk's."""

    def __init__(self, case, iteration=0, *, rule="dataflow", held=(), facts=None):
        self.case, self.said = case, case.said[iteration]
        self.facts, self.rule, self.held = facts or Facts(case), rule, held
        self.now, self.count = 0, 0
        self.agenda, self.ready, self.turn_waits, self.at_work = [], deque(), [], []
        self.open, self.runs, self.ghosts = [], [], []
        self.edges = dict.fromkeys(case.arrows)  # settled edges: a Run, or False
        self.decided, self.lost = set(), set()
        self.root = Run("P", 0, None, "P")
        self.tokens = {a: [] for a in case.arrows}
        self._start(self.root)
        while self.ready or self.agenda:
            if self.ready:
                self._start(self.ready.popleft())
            else:
                self.now, _, run = heapq.heappop(self.agenda)
                self._end(run)
        assert not self.open, "somebody is still open"
        assert not self.turn_waits, "somebody never had a turn"

    # -- one node --------------------------------------------------------------

    def _start(self, run):
        if run.node in self.lost:
            return
        run.start = self.now
        if lasts := self.case.lasts[run.node]:
            self.count += 1
            heapq.heappush(self.agenda, (self.now + lasts, self.count, run))
        else:
            self._end(run)

    def _end(self, run):
        if run.node in self.lost:
            return
        run.end = self.now
        self.runs.append(run)
        self._close(run)
        live = self._live(run.node, run.tag)
        for arrow in self.case.outs[run.node]:
            if arrow in live:
                self._live_token(arrow, run)
            else:
                self._dead(arrow)
        self._turns()

    def _close(self, run):
        if run in self.open:
            self.open.remove(run)
        if run in self.at_work:
            self.at_work.remove(run)

    def _ghost(self, run):
        """It was open until now, and will never have run."""
        run.end = self.now
        self.ghosts.append(run)
        self._close(run)
        self.turn_waits = [r for r in self.turn_waits if r is not run]

    # -- edges -----------------------------------------------------------------

    def _live_token(self, arrow, source):
        v = arrow.target
        self.edges[arrow] = source
        if v in self.lost or v in self.decided:
            return
        if v not in self.facts.joins or v in self.facts.many:
            self._ready(self._opened(v, [source]))
        else:
            waiting = self._waiting(v) or self._opened(v, [])
            waiting.parents.append(source)
            source.children.append(waiting)
            self._decide(v)

    def _dead(self, arrow):
        """The source had ended or was bypassed: so is the target, if all its edges are dead."""
        v = arrow.target
        self.edges[arrow] = False
        if v in self.facts.many or v in self.lost or v in self.decided:
            return
        if v in self.facts.joins:
            self._decide(v)
        else:
            self._bypass(v)

    def _bypass(self, v):
        for arrow in self.case.outs[v]:
            self._dead(arrow)

    def _opened(self, v, parents):
        run = Run(v, None, None, v, list(parents))
        for parent in parents:
            parent.children.append(run)
        self.open.append(run)
        return run

    def _waiting(self, v):
        return next((r for r in self.open if r.node == v), None)

    # -- joins -----------------------------------------------------------------

    def _decide(self, v):
        """Do the in-edges settled so far say whether this join runs?"""
        edges = [self.edges[a] for a in self.case.ins[v]]
        came, unsettled = sum(bool(e) for e in edges), sum(e is None for e in edges)
        join = self.facts.joins[v]
        if join == "all":
            runs, never = came and not unsettled, not came and not unsettled
        else:
            needed = 1 if join == "first" else join
            runs, never = came >= needed, came + unsettled < needed
        if runs or never:
            self.decided.add(v)
        if runs:
            self._ready(self._waiting(v))
            self._lose(v)
        elif never:
            if waiting := self._waiting(v):
                self._ghost(waiting)
            self._bypass(v)

    def _lose(self, v):
        gone = set(self.facts.losers.get(v, ()))
        self.lost |= gone
        for run in [r for r in self.open if r.node in gone]:
            self._ghost(run)

    # -- whose turn is it? -----------------------------------------------------

    def _ready(self, run):
        run.tag = run.parents[0].tag if self.case.kinds[run.node] == "if" else run.node
        if self.facts.joins.get(run.node, "each") != "each" and run.tag != run.node:
            in_order = [self.edges[a] for a in self.case.ins[run.node]]
            run.tag = next(e.tag for e in in_order if e in run.parents)
        if self.rule == "dataflow" or run.node not in self.held:
            self.ready.append(run)
        else:
            self.turn_waits.append(run)

    def _turns(self):
        key = self.facts.level if self.rule == "level" else self.facts.place
        while self.turn_waits:
            lowest = min(key[r.node] for r in self.turn_waits)
            run = next(r for r in self._in_turn() if key[r.node] == lowest)
            if self.rule == "sequential" and self.at_work:
                return
            if any(key[r.node] < lowest for r in self.at_work):
                return
            self.turn_waits.remove(run)
            self.at_work.append(run)
            self.ready.append(run)

    def _in_turn(self):
        """Of one level: in the order of the plan, and visits as they came."""
        return sorted(self.turn_waits, key=lambda r: self.facts.place[r.node])

    # -- the table of section 3.3, which knows no ghosts -----------------------

    def _set(self, policy):
        case = self.case
        everyone = [*self.runs[1:], *self.ghosts]
        blocking = [r for r in everyone if case.has_b(r.node)]
        match policy:
            case "all":
                return everyone
            case "blocking":
                return blocking
            case "path_live":
                return [*blocking, *self._proven()]
        return super()._set(policy)

    def _proven(self):
        """Arms in which a B has run, whole."""
        ran = {id(r) for r in self.runs if self.case.kinds[r.node] == "B"}
        for arm in self.root.children:
            behind = arm.descendants()
            if any(id(r) in ran for r in behind):
                yield from behind


def play_times(case, policy, rule, iterations):
    """({(node, iteration): sorted (start, end)}, releases): each begins at the last release."""
    times, releases, now = {}, [], 0
    facts = Facts(case)
    held = may_be_awaited(case, policy)
    for iteration in range(iterations):
        play = Play(case, iteration, rule=rule, held=held, facts=facts)
        for run in play.runs:
            times.setdefault((run.node, iteration), []).append((run.start + now, run.end + now))
        now += play.release(policy)
        releases.append(now)
    return {key: sorted(found) for key, found in times.items()}, releases
