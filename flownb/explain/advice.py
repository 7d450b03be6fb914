"""What single change makes a loop faster, by how much, and what does it cost?

Each candidate is tried: the graph is copied, changed, and reckoned again. So the
figures of an advice are predictions like all others, not rules of thumb.

The smallest change comes first: where the producer waits for nodes behind which nothing
blocks, to let go of them leaves every node what it was declared to be. Then come numbers
(slots, limits), and only then that a node is no longer blocking, or is faster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from math import ceil, inf
from typing import TYPE_CHECKING, Final

from flownb.explain.capacity import Change, Figures, queue_warning
from flownb.explain.durations import MICRO
from flownb.explain.reasons import both
from flownb.model.policies import Limit
from flownb.plan.await_sets import ArmEnds, MovedEdge

if TYPE_CHECKING:
    from flownb.explain.capacity import LoopCapacity
    from flownb.explain.durations import Durations
    from flownb.model.workflow import Workflow

_WORTH: Final = 1.02  # a gain below two per cent is no advice
_OVERLAP: Final = 1 + 1e-6  # calls of one node at a time, on average
_TOLD: Final = 3
_TRIED: Final = 12
_MOVES: Final = 4
_NODES: Final = 20_000  # of all copies together


@dataclass(frozen=True, slots=True)
class _Try:
    text: str
    edit: Callable[[Workflow], None]
    redeclares: bool = False


@dataclass(frozen=True, slots=True)
class Search:
    """A graph, what it can do now, and how to copy it and to reckon a copy."""

    workflow: Workflow
    durations: Durations
    found: Figures
    reckon: Callable[[Workflow], Figures]
    copy: Callable[[Workflow], Workflow]

    def advice(self) -> dict[str, tuple[Change, ...]]:
        """Give for each loop that is held up by itself what helps, the smallest change first."""
        held = [x for x in self.found.loops.values() if x.paced_by not in {"clock", "messages"}]
        late = [q for q in self.found.queues.values() if not q.keeps_up]
        loops = [x.loop for x in held if x.rate < inf] + [r for q in late for r in q.readers]
        advice = {loop: self._advice_for(loop) for loop in dict.fromkeys(loops)}
        return {loop: changes for loop, changes in advice.items() if changes}

    def _advice_for(self, loop: str) -> tuple[Change, ...]:
        most = min(_TRIED, _NODES // len(self.workflow.nodes))
        ends = ArmEnds(self.workflow, loop)
        if ends.names and (found := (*self._letting_go(ends, min(most, _MOVES)),)):
            return found
        open_ = any(
            name in self.durations.unknown for name in ends.names
        )  # letting go may well help
        return (*self._best_of(loop, most, redeclare=not open_),)

    # -- nodes that are awaited for the sake of their arm ----------------------

    def _letting_go(self, ends: ArmEnds, most: int) -> Iterator[Change]:
        """Try to let go of the ends of arms: hang them on the producer, or by await policy."""
        loop = ends.loop
        if not most:
            return
        blocks = self.workflow.loop_options(loop).when_full == "block"  # else items would be lost
        now = self.found.loops[loop]
        for text, other, after, costs in (self._hung(loop, most), self._under_blocking(loop)):
            left = set(ArmEnds(other, loop).names)
            frees = tuple(name for name in ends.names if name not in left)
            helps = frees and after.loops[loop].rate > now.rate * _WORTH
            if helps and (blocks or _in_flight(after.loops[loop]) < now.max_in_flight):
                more = [costs, *self._later(loop, frees, after)]
                told = "; ".join(filter(None, more))
                yield Change(loop, text, now.rate, after.loops[loop].rate, frees, told)

    def _hung(self, loop: str, most: int) -> tuple[str, Workflow, Figures, str]:
        """Hang the end of the critical chain on the producer, again while that helps."""
        moves, tried = list[MovedEdge](), [(self.workflow, self.found)]
        while len(moves) < most:
            other, after = tried[-1]
            ends = ArmEnds(other, loop)
            awaited = set(ends.names)
            first = next((name for name, _ in after.loops[loop].chain if name in awaited), None)
            move = None if first is None else ends.moved_edge(first)
            if move is None:
                break
            other = self.copy(other)
            _move(other, move)
            moves.append(move)
            tried.append((other, self.reckon(other)))
        rates = [after.loops[loop].rate for _, after in tried]
        enough = next(i for i, rate in enumerate(rates) if rate * _WORTH >= max(rates))
        moves, (other, after) = moves[:enough], tried[enough]
        hung = both([f"{m.node} on {both(m.producers)} instead of on {m.before}" for m in moves])
        gets = [f"{m.node} then gets {m.gets}" for m in moves]
        return f"hang {hung}", other, after, both(gets)

    def _under_blocking(self, loop: str) -> tuple[str, Workflow, Figures, str]:
        other = self.copy(self.workflow)
        other.set_loop(loop, await_policy="blocking")
        return f"set_loop({loop!r}, await_policy='blocking')", other, self.reckon(other), ""

    def _later(self, loop: str, frees: tuple[str, ...], after: Figures) -> Iterator[str]:
        """Say what it costs that the producer goes on while these nodes work."""
        now, then = self.found.loops[loop], after.loops[loop]
        before = f" ({now.in_flight:.3g} now)" if now.in_flight else ""
        yield f"{_in_flight(then):.3g} of {then.max_in_flight} items in flight{before}"
        many = [(name, n) for name in frees if (n := self._at_once(name, then.rate)) > _OVERLAP]
        busy = both([f"{name} works on {n:.3g}" for name, n in many[:_TOLD]])
        if many:
            more = f" ({len(many) - _TOLD} more nodes, too)" if len(many) > _TOLD else ""
            yield f"{busy} items at once{more}: they may overtake each other"
        for queue in after.queues.values():
            if not queue.keeps_up and self.found.queues[queue.queue].keeps_up:
                yield queue_warning(queue)

    def _at_once(self, name: str, rate: float) -> float:
        """Give how many items a node works on at a time (Little's law)."""
        limit = self.workflow.nodes[name].limit
        most = inf if limit is None or limit.concurrency is None else limit.concurrency
        return min(rate * self.durations.us[name] / MICRO, most)

    # -- anything else ---------------------------------------------------------

    def _best_of(self, loop: str, most: int, *, redeclare: bool) -> Iterator[Change]:
        """Give what helps most; a node stays what it was declared to be if a number helps."""
        now = self.found.loops[loop]
        numbers = list(_numbers(now, self.workflow, self.found))
        others = (x for x in _others(now, self.workflow) if redeclare or not x.redeclares)
        tries = islice([*numbers, *others], most)
        after = [(each, self._rate(loop, each.edit)) for each in tries]
        best = _best(after, now.rate)
        if best is not None and best[0].redeclares:
            best = _best([x for x in after if x[0] in numbers], now.rate) or best
        if best is not None:
            yield Change(loop, best[0].text, now.rate, best[1])

    def _rate(self, loop: str, edit: Callable[[Workflow], None]) -> float:
        other = self.copy(self.workflow)
        edit(other)
        return self.reckon(other).loops[loop].rate


def _best(tried: Iterable[tuple[_Try, float]], now: float) -> tuple[_Try, float] | None:
    """Give the try with the highest rate, of equal ones the first; None if none helps."""
    winner = None
    for each, after in tried:
        if after > max(now * _WORTH, winner[1] * 1.001 if winner else 0.0):
            winner = each, after
    return winner


def _in_flight(now: LoopCapacity) -> float:
    """Give the slots that are taken: all of them where detached work is what is slow."""
    return now.max_in_flight if now.paced_by in {"slots", "limit"} else now.in_flight


def _move(other: Workflow, move: MovedEdge) -> None:
    edge = other.edges.pop((move.before, move.node))
    for producer in move.producers:
        other.edges[producer, move.node] = replace(edge, source=producer, owner=None)


def _numbers(now: LoopCapacity, workflow: Workflow, found: Figures) -> Iterator[_Try]:
    """Name the numbers that could be raised."""
    if now.paced_by == "slots":
        yield _more_slots(now, max(now.max_in_flight + 1, ceil(now.needs - 1e-9)))
    yield from _limits(workflow, found)


def _others(now: LoopCapacity, workflow: Workflow) -> Iterator[_Try]:
    """Name the nodes that could block no longer, or be faster."""
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

    return _Try(f"make {name} non-blocking", edit, redeclares=True)


def _faster(name: str, takes: float) -> _Try:
    def edit(other: Workflow) -> None:
        other.nodes[name] = replace(other.nodes[name], takes=takes / 2)

    return _Try(f"make {name} twice as fast ({takes:.6g} -> {takes / 2:.6g} s)", edit)
