"""When does each node of an item start and end, and its producer get released? A `Schedule`.

An item starts at 0 with its producer. A node starts when all its in-edges are settled
and one is live; a join="each" runs once for each live token, and of it the last run
counts. Linear in nodes and edges, without recursion; `play` gives the same where
a join does not wait for all, nodes share a `Limit`, or a start rule holds nodes back.

The release follows from a schedule by the formula of each await policy: the producer is
released when the last *awaited* node has ended, or at its own end when none is awaited.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from flownb.explain.choices import Choice
    from flownb.model.policies import AwaitPolicy
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


def carried(
    it: Schedule, starts: Callable[[PlanEdge], bool], stops: Callable[[int], bool]
) -> list[int]:
    """Give the end of the last run that came through an arm of *starts*, -1 where none did.

    Nothing is carried on behind a node of *stops*.
    """
    nodes, lasts = it.plan.nodes, it.lasts
    first, ends = [NEVER] * len(nodes), [NEVER] * len(nodes)
    for v in range(len(nodes)):
        if v:
            if first[v] < 0:
                continue
            at_once = nodes[v].multi and not it.played
            ends[v] = first[v] + lasts[v] if at_once else it.end[v]
            if stops(v):
                continue
        came = ends[v] if v else it.end[0]
        for edge in it.live(v):
            if v or starts(edge):
                first[edge.target] = max(first[edge.target], came)
    return ends


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
    ends = _AWAITED[policy](it)
    ends[0] = NEVER
    last = max(range(len(ends)), key=lambda v: (ends[v], -v))
    if ends[last] <= it.end[0]:
        last = 0
    awaited = tuple(v for v, end in enumerate(ends) if end >= 0)
    return Release(max(it.end[0], ends[last]), awaited, tuple(it.chain(last)))


def _none(it: Schedule) -> list[int]:
    return [NEVER] * len(it.end)


def _all(it: Schedule) -> list[int]:
    return list(it.end)


def _blocking(it: Schedule) -> list[int]:
    nodes = it.plan.nodes
    return [end if nodes[v].has_b else NEVER for v, end in enumerate(it.end)]


def _path(it: Schedule) -> list[int]:
    return carried(it, lambda edge: it.plan.nodes[edge.target].has_b, lambda _: False)


def _node(it: Schedule) -> list[int]:
    nodes = it.plan.nodes
    return carried(it, lambda _: True, lambda v: nodes[v].node.is_non_blocking)


def _path_live(it: Schedule) -> list[int]:
    holds = _holds_blocking(it)
    through = carried(it, lambda edge: bool(holds[edge.target]), lambda _: False)
    return list(map(max, _blocking(it), through))


def _holds_blocking(it: Schedule) -> bytearray:
    """Mark the nodes that ran with a blocking node that ran, themselves or behind them."""
    nodes = it.plan.nodes
    holds = bytearray(len(nodes))
    for v in range(len(nodes) - 1, -1, -1):
        if it.runs[v]:
            holds[v] = nodes[v].node.is_blocking or any(holds[e.target] for e in it.live(v))
    return holds


_AWAITED: Final[dict[AwaitPolicy, Callable[[Schedule], list[int]]]] = {
    "none": _none,
    "node": _node,
    "blocking": _blocking,
    "path_live": _path_live,
    "path": _path,
    "all": _all,
}
