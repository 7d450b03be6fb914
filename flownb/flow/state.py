"""What does a node of a one-shot run see? The entry state and its ancestors' updates.

A `State` is what a node's update made of the states it came from: a chain where nodes
follow each other, a join where branches meet. A join folds the updates made since the
branches parted, each once, in plan order; a reducer folds updates, never states.
Nothing is copied but the dict that a node is given, so 10 MB in a value stay where
they are.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any

from flownb.errors import RunError, StateConflict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from flownb.model.state_schema import Schema

Key = tuple[int, int, int, int]  # where an update stands in plan order
Step = tuple[Key, str, "Mapping[str, Any]"]  # where, by which node, what
Row = tuple["State", dict[str, Any], "Sequence[Step]"]  # from where, what came of it, how


class State:
    """The values as they are behind a node; `parents` are the states it came from.

    `steps` are the updates that made it of its parents: one, or those of a row of nodes
    that were called in one go; none where branches meet.
    """

    __slots__ = ("number", "parents", "steps", "values")

    def __init__(
        self,
        values: dict[str, Any],
        parents: tuple[State, ...] = (),
        steps: Sequence[Step] = (),
        number: int = 0,
    ) -> None:
        self.values, self.parents, self.steps, self.number = values, parents, steps, number


class States:
    """All states of one run: makes new ones, and knows which have nothing behind them."""

    def __init__(self, schema: Schema, entry: dict[str, Any]) -> None:
        self.schema = schema
        self.entry = State(entry)
        self._tips: dict[State, None] = {self.entry: None}
        self._count = 0

    def updated(self, before: State, node: str, key: Key, update: Mapping[str, Any]) -> State:
        """Give the state behind *node*, which saw *before* and returned *update*."""
        values = self.schema.folded(before.values, update, node)
        return self.stepped(before, values, [(key, node, update)])

    def stepped(self, before: State, values: dict[str, Any], steps: Sequence[Step]) -> State:
        """Give the state behind nodes that made *values* of *before*, in these steps."""
        return self._add(State(values, (before,), steps))

    def merged(self, states: Iterable[State]) -> State:
        """Give the state where branches meet; raises StateConflict when two wrote one key."""
        different = list(dict.fromkeys(states))
        if len(different) == 1:
            return different[0]
        base, since = _since_they_parted(different)
        self._check(since)
        return self._add(State(self._fold(base, since), tuple(different)))

    def final(self) -> State:
        """Give the state of the whole run so far; raises StateConflict as `merged` does."""
        return self.merged(self._tips)

    def after(self, row: Row) -> State:
        """Give the state behind nodes that still are at work, in steps of a row so far."""
        before, values, steps = row
        return State(values, (before,), steps, self._count + 1)

    def snapshot(self, rows: Iterable[Row] = ()) -> dict[str, Any]:
        """Give all values so far, also where two nodes disagree: then the later one's.

        *rows* are the steps of nodes at work: the state before them, the values, the steps.
        """
        different = [*self._tips, *(self.after(row) for row in rows)]
        if len(different) == 1:
            return dict(different[0].values)
        base, since = _since_they_parted(different)
        try:
            return self._fold(base, since)
        except RunError:  # a reducer raised, or the model: the later one's
            updates = [update for (_, _, update), _ in since]
            return {k: v for part in (base.values, *updates) for k, v in part.items()}

    def _add(self, state: State) -> State:
        self._count += 1
        state.number = self._count
        for parent in state.parents:
            self._tips.pop(parent, None)
        self._tips[state] = None
        return state

    def _fold(self, base: State, since: Iterable[tuple[Step, State]]) -> dict[str, Any]:
        values = dict(base.values)
        for (_, node, update), _ in since:
            values = self.schema.folded(values, update, node)
        return values

    def _check(self, since: Iterable[tuple[Step, State]]) -> None:
        """Refuse two writers of one key of which neither saw the other.

        What a later pass of a cycle wrote comes after what an earlier one did.
        """
        last: dict[str, tuple[str, State, Key]] = {}
        for (key, node, update), state in since:
            for name in update:
                if name in self.schema.reducers:
                    continue
                before = last.get(name)
                later = before is None or _later_pass(key, before[2])
                if before is not None and not later and not _saw(state, before[1]):
                    raise StateConflict(name, before[0], node)
                last[name] = node, state, key


def _since_they_parted(states: list[State]) -> tuple[State, list[tuple[Step, State]]]:
    """Give the last state that all *states* came through, and the steps since, in plan order.

    Numbers grow along every way, so taking the latest away again and again leaves, when
    one is left, the one that no way goes around.
    """
    heap = [(-s.number, s) for s in states]
    heapq.heapify(heap)
    held = set(states)
    since: list[State] = []
    while len(heap) > 1:
        _, state = heapq.heappop(heap)
        since.append(state)
        for parent in state.parents:
            if parent not in held:
                held.add(parent)
                heapq.heappush(heap, (-parent.number, parent))
    steps = [(step, state) for state in since for step in state.steps]
    return heap[0][1], sorted(steps, key=lambda pair: pair[0][0])


def _later_pass(key: Key, before: Key) -> bool:
    """Whether two steps belong to one cycle, and to two of its passes."""
    return key[0] == before[0] and key[1] > before[1]


def _saw(state: State, other: State) -> bool:
    """Whether *state* is *other*, or came of it."""
    if state is other:
        return True
    stack, seen = list(state.parents), set(state.parents)
    while stack:
        one = stack.pop()
        if one is other:
            return True
        for parent in one.parents:
            if parent.number >= other.number and parent not in seen:
                seen.add(parent)
                stack.append(parent)
    return False
