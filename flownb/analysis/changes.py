"""What single change makes a loop faster, and by how much?

Each candidate is tried: the graph is copied, changed, and reckoned again. So the
figures of an advice are predictions like all others, not rules of thumb.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from math import ceil, inf
from typing import TYPE_CHECKING, Final

from flownb.analysis.capacity import Change, Figures
from flownb.model.policies import Limit

if TYPE_CHECKING:
    from flownb.analysis.capacity import LoopCapacity
    from flownb.model.workflow import Workflow

_WORTH: Final = 1.02  # a gain below two per cent is no advice
_TRIED: Final = 12
_NODES: Final = 20_000  # of all copies together


@dataclass(frozen=True, slots=True)
class _Try:
    text: str
    edit: Callable[[Workflow], None]


@dataclass(frozen=True, slots=True)
class Search:
    """A graph, what it can do now, and how to copy it and to reckon a copy."""

    workflow: Workflow
    found: Figures
    reckon: Callable[[Workflow], Figures]
    copy: Callable[[Workflow], Workflow]

    def best(self) -> dict[str, Change]:
        """Give for each loop that is held up by itself the change that helps most."""
        held = [x for x in self.found.loops.values() if x.paced_by not in {"clock", "messages"}]
        late = [q for q in self.found.queues.values() if not q.keeps_up]
        loops = [x.loop for x in held if x.rate < inf] + [r for q in late for r in q.readers]
        best = {loop: self._best_of(loop) for loop in dict.fromkeys(loops)}
        return {loop: change for loop, change in best.items() if change is not None}

    def _best_of(self, loop: str) -> Change | None:
        now, winner = self.found.loops[loop], None
        most = min(_TRIED, _NODES // len(self.workflow.nodes))
        for each in islice(_tries(now, self.workflow, self.found), most):
            other = self.copy(self.workflow)
            each.edit(other)
            after = self.reckon(other).loops[loop].rate
            if after > max(now.rate * _WORTH, winner.after * 1.001 if winner else 0.0):
                winner = Change(loop, each.text, now.rate, after)
        return winner


def _tries(now: LoopCapacity, workflow: Workflow, found: Figures) -> Iterator[_Try]:
    """Name what could be changed, the easiest first."""
    if now.paced_by == "slots":
        yield _more_slots(now, max(now.max_in_flight + 1, ceil(now.needs - 1e-9)))
    yield from _limits(workflow, found)
    held = sorted(now.chain, key=lambda part: -part[1])
    for name, _ in held:
        node = workflow.nodes[name]
        if node.is_blocking and node.kind != "queue_reader":
            yield _non_blocking(name)
    yield from (_faster(name, takes) for name, takes in held[:3] if takes)
    if now.paced_by == "slots":
        slow = max(workflow.nodes.values(), key=lambda n: n.is_non_blocking * _takes(n.takes))
        yield _faster(slow.name, _takes(slow.takes))


def _takes(takes: object) -> float:
    return float(takes) if isinstance(takes, (int, float)) else 0.0


def _more_slots(now: LoopCapacity, slots: int) -> _Try:
    def edit(other: Workflow) -> None:
        other.set_loop(now.loop, max_in_flight=slots)

    return _Try(f"raise max_in_flight from {now.max_in_flight} to {slots}", edit)


def _limits(workflow: Workflow, found: Figures) -> Iterator[_Try]:
    """Widen each limit that is busy all the time."""
    busy = {name for x in found.limits if x.utilisation > 0.95 for name in x.nodes}  # noqa: PLR2004
    seen: dict[int, Limit] = {}
    for node in workflow.nodes.values():
        if node.name in busy and node.limit is not None:
            seen.setdefault(id(node.limit), node.limit)
    for limit in seen.values():
        yield _wider(limit, [n.name for n in workflow.nodes.values() if n.limit is limit])


def _wider(limit: Limit, nodes: list[str]) -> _Try:
    wide = Limit(
        concurrency=limit.concurrency + 1 if limit.concurrency else None,
        per_second=limit.per_second * 2 if limit.per_second else None,
    )

    def edit(other: Workflow) -> None:
        for name in nodes:
            other.nodes[name] = replace(other.nodes[name], limit=wide)

    return _Try(f"widen the limit of {' and '.join(nodes[:3])} to {wide}", edit)


def _non_blocking(name: str) -> _Try:
    def edit(other: Workflow) -> None:
        node = other.nodes[name]
        if node.queue is not None:
            other.nodes[name] = replace(node, queue=replace(node.queue, blocking=False))
        else:
            other.nodes[name] = replace(node, kind="non_blocking")

    return _Try(f"make {name} non-blocking", edit)


def _faster(name: str, takes: float) -> _Try:
    def edit(other: Workflow) -> None:
        other.nodes[name] = replace(other.nodes[name], takes=takes / 2)

    return _Try(f"make {name} twice as fast ({takes:.6g} -> {takes / 2:.6g} s)", edit)
