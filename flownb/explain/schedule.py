"""When does each node of an item start and end, and its producer get released? A `Schedule`.

An item starts at 0 with its producer. A node starts when all its in-edges are settled
and one is live; a join="each" runs once for each live token, and of it the last run
counts. Linear in nodes and edges, without recursion; `play` gives the same where
a join does not wait for all, nodes share a `Limit`, or a start rule holds nodes back.

The release follows from a schedule by the rule of the await policy (`plan.await_sets`): the
producer is released when the last *awaited* node has ended, or at its own end when none is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flownb.plan.await_sets import RULES

if TYPE_CHECKING:
    from flownb.explain.choices import Choice
    from flownb.model.policies import AwaitPolicy
    from flownb.plan.await_sets import AwaitRule
    from flownb.plan.loop_plan import LoopPlan, PlanEdge

NEVER = -1


@dataclass(frozen=True, slots=True)
class Schedule:
    """One item, by node number, in microseconds since its producer started.

    `end` is the end of the last run, -1 for a node that does not run; `runs` counts
    them (0 with an end: it lost while it was open); `because` is the node whose end let
    this one start, or lose, -1 for the producer; `late` are the edges along which
    something came when their join had run already. `played`: a start rule or a limit may
    have kept a run waiting for more than its inputs.
    """

    plan: LoopPlan
    choice: Choice
    lasts: Sequence[int]
    end: list[int]
    runs: list[int]
    because: list[int]
    late: frozenset[tuple[int, int]] = frozenset()
    played: bool = False

    def live(self, v: int) -> Iterator[PlanEdge]:
        """Give the edges out of a node that ran along which something came in time."""
        live = live_edges(self.plan, self.choice, v) if self.runs[v] else iter(())
        return (e for e in live if (v, e.target) not in self.late) if self.late else live

    @property
    def settled(self) -> int:
        """When the last node ends."""
        return max(self.end)

    def chain(self, v: int) -> list[int]:
        """Give the nodes that ran one because of the other, from the producer to *v*."""
        found, seen = [], set()
        while v >= 0 and v not in seen:  # what ran twice may have let itself start
            seen.add(v)
            if self.runs[v]:
                found.append(v)
            v = self.because[v]
        return found[::-1]


def live_edges(plan: LoopPlan, choice: Choice, v: int) -> Iterator[PlanEdge]:
    """Give the edges out of node *v* that are live under this choice."""
    option = choice.get(v)
    outs = plan.nodes[v].outs
    return iter(outs) if option is None else (e for e in outs if e.target in option.targets)


def lasts_of(plan: LoopPlan, us: Mapping[str, int]) -> list[int]:
    """Give the microseconds of each node by number."""
    return [us[n.name] for n in plan.nodes]


def schedule(plan: LoopPlan, lasts: Sequence[int], choice: Choice) -> Schedule:
    """Follow one item through its loop."""
    size = len(plan.nodes)
    start, runs = [0] * size, [0] * size
    end, because = [NEVER] * size, [NEVER] * size
    runs[0] = 1
    for v, node in enumerate(plan.nodes):
        settled = start[v]
        if runs[v]:
            settled = end[v] = start[v] + lasts[v]
        live = {e.target for e in live_edges(plan, choice, v)} if runs[v] else ()
        for edge in node.outs:
            w = edge.target
            multi, alive = plan.nodes[w].multi, w in live
            if alive:
                runs[w] = runs[w] + runs[v] if multi else 1
            if (alive or not multi) and (because[w] < 0 or settled > start[w]):
                start[w], because[w] = settled, v
    return Schedule(plan, choice, lasts, end, runs, because)


@dataclass(frozen=True, slots=True)
class Release:
    """The release of one item: microseconds, the awaited nodes, the chain that took so long.

    `awaited` and `chain` are node numbers; the chain starts with the producer.
    """

    us: int
    awaited: tuple[int, ...]
    chain: tuple[int, ...]


def release(it: Schedule, policy: AwaitPolicy) -> Release:
    """Say when the producer of this item is released under *policy*."""
    ends = _awaited_ends(it, policy)
    ends[0] = NEVER
    last = max(range(len(ends)), key=lambda v: (ends[v], -v))
    if ends[last] <= it.end[0]:
        last = 0
    awaited = tuple(v for v, end in enumerate(ends) if end >= 0)
    return Release(max(it.end[0], ends[last]), awaited, tuple(it.chain(last)))


def _awaited_ends(it: Schedule, policy: AwaitPolicy) -> list[int]:
    """Give the end of the last run of each node that is awaited, -1 where none is."""
    rule, has_b = RULES[policy], [n.has_b for n in it.plan.nodes]
    if not rule.if_ran:
        return _followed(it, rule, has_b)
    while_one_may_run = _followed(it, RULES["blocking"], has_b)
    return [*map(max, while_one_may_run, _followed(it, rule, _has_b_that_ran(it)))]


def _followed(it: Schedule, rule: AwaitRule, has_b: Sequence[bool]) -> list[int]:
    nodes, lasts = it.plan.nodes, it.lasts
    reached, ends = [NEVER] * len(nodes), [NEVER] * len(nodes)
    for v, node in enumerate(nodes):
        awaited = reached[v] >= 0
        if awaited:
            at_once = node.multi and not it.played
            ends[v] = reached[v] + lasts[v] if at_once else it.end[v]
        goes_on = awaited and rule.goes_on(node.node.is_non_blocking)
        end = ends[v] if awaited else it.end[v]
        for edge in it.live(v):
            if goes_on or rule.starts(not v, has_b[edge.target]):
                reached[edge.target] = max(reached[edge.target], end)
    return ends


def _has_b_that_ran(it: Schedule) -> list[bool]:
    """Mark the nodes that ran with a blocking node that ran, themselves or behind them."""
    nodes = it.plan.nodes
    found = [False] * len(nodes)
    for v in range(len(nodes) - 1, -1, -1):
        if it.runs[v]:
            found[v] = nodes[v].node.is_blocking or any(found[e.target] for e in it.live(v))
    return found
