"""When is the producer released, exactly, under each await policy?

The formulas of the await policies, over one `Course` of an item: the producer is
released when the last *awaited* node has ended, or at its own end when none is awaited.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from flownb.analysis.course import NEVER, carried

if TYPE_CHECKING:
    from flownb.analysis.course import Course
    from flownb.model.policies import AwaitPolicy


@dataclass(frozen=True, slots=True)
class Release:
    """The release of one item: microseconds, the awaited nodes, the chain that took so long.

    `awaited` and `chain` are node numbers; the chain starts with the producer.
    """

    us: int
    awaited: tuple[int, ...]
    chain: tuple[int, ...]


def release(it: Course, policy: AwaitPolicy) -> Release:
    """Say when the producer of this item is released under *policy*."""
    ends = _AWAITED[policy](it)
    ends[0] = NEVER
    last = max(range(len(ends)), key=lambda v: (ends[v], -v))
    if ends[last] <= it.end[0]:
        last = 0
    awaited = tuple(v for v, end in enumerate(ends) if end >= 0)
    return Release(max(it.end[0], ends[last]), awaited, tuple(it.chain(last)))


def _none(it: Course) -> list[int]:
    return [NEVER] * len(it.end)


def _all(it: Course) -> list[int]:
    return list(it.end)


def _blocking(it: Course) -> list[int]:
    nodes = it.plan.nodes
    return [end if nodes[v].has_b else NEVER for v, end in enumerate(it.end)]


def _path(it: Course) -> list[int]:
    return carried(it, lambda edge: it.plan.nodes[edge.target].has_b, lambda _: False)


def _node(it: Course) -> list[int]:
    nodes = it.plan.nodes
    return carried(it, lambda _: True, lambda v: nodes[v].node.is_non_blocking)


def _path_live(it: Course) -> list[int]:
    holds = _holds_blocking(it)
    through = carried(it, lambda edge: bool(holds[edge.target]), lambda _: False)
    return list(map(max, _blocking(it), through))


def _holds_blocking(it: Course) -> bytearray:
    """Mark the nodes that ran with a blocking node that ran, themselves or behind them."""
    nodes = it.plan.nodes
    holds = bytearray(len(nodes))
    for v in range(len(nodes) - 1, -1, -1):
        if it.runs[v]:
            holds[v] = nodes[v].node.is_blocking or any(holds[e.target] for e in it.live(v))
    return holds


_AWAITED: Final[dict[AwaitPolicy, Callable[[Course], list[int]]]] = {
    "none": _none,
    "node": _node,
    "blocking": _blocking,
    "path_live": _path_live,
    "path": _path,
    "all": _all,
}
