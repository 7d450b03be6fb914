"""How is a run that stopped resumed? Its saved steps are replayed, then it goes on.

A `KeptRun` says in which store a run is kept, opens its journal, and finds what is there.

A `Replay` takes the steps in the order in which they were saved and calls nobody: a node
whose end is among them ends again, with what it gave then. So joins, cycles, passes and
visits come out as they were, also where the order of arrival decided. What then has not
ended yet starts.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

from flownb.engine.runs.journal import Journal, change
from flownb.errors import GraphError, RunError, StoreError
from flownb.flow.run_values import works_on_state
from flownb.plan.loop_plan import differences, shape_of
from flownb.stores import RunRecord, opened
from flownb.stores.codec import decode, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from flownb.engine.calls.call import Call
    from flownb.flow.item import Item
    from flownb.plan.loop_plan import LoopPlan, PlanEdge
    from flownb.stores.base import Step


class KeptRun:
    """Where a run is kept: the store, whether it is ours to close, and what is there of it."""

    def __init__(self, store: Any, *, interval: float = 0.0) -> None:
        if not interval >= 0:
            msg = f"persistence_interval={interval}: seconds, 0 for at once"
            raise GraphError(msg)
        self.interval = interval
        self.store, self._done = opened(store, "runs", "store=")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: object, *_: object) -> None:
        """Let go of the store if nothing came of it; else the journal does, at the end."""
        if error is not None:
            self._done()

    def begin(
        self, plan: LoopPlan, entry: Any, run_id: str | None, options: Mapping[str, Any]
    ) -> Journal:
        """Give the journal of a new run; under the name of a completed one it replaces that."""
        if run_id is not None:
            self._make_room(run_id)
        entry = self._copy(plan, entry)
        now = time.time()
        record = RunRecord(
            run_id or uuid4().hex, plan.graph, "pending", now, now,
            input=entry, shape=shape_of(plan), options=dict(options),
        )  # fmt: skip
        return Journal(self.store, record, interval=self.interval, done=self._done)

    def _make_room(self, run_id: str) -> None:
        try:
            status = self.store.load(run_id).status
        except StoreError:  # there is none; if it is for another reason, the run will say so
            return
        if status != "completed":
            raise StoreError(
                f"run {run_id!r} is kept already, as {status}: resume({run_id!r}) goes on with "
                f"it, store.runs.delete({run_id!r}) forgets it, another run_id= begins a new one"
            )
        self.store.delete(run_id)

    def _copy(self, plan: LoopPlan, entry: Any) -> Any:
        """Copy the entry as it is now: nodes may change what is inside it."""
        if plan.once is not None and works_on_state(plan.once, entry):
            schema = plan.once.schema
            entry = schema.dumped(schema.entry(entry), "the entry state")
        return decode(encode(entry, "the entry state", max_bytes=self.store.max_bytes))

    def load(self, run_id: str) -> RunRecord:
        """Give what is kept of a run."""
        record: RunRecord = self.store.load(run_id)
        return record

    def take_up(self, plan: LoopPlan, record: RunRecord) -> tuple[Journal, Replay]:
        """Give the journal of a run that goes on, and what it did so far."""
        other = [f"it was graph {record.graph!r}"] if record.graph != plan.graph else []
        changed = other + differences(dict(record.shape), shape_of(plan))
        if changed:
            raise GraphError(
                f"run {record.run_id!r} cannot be taken up by graph {plan.graph!r}, which has "
                "changed since: " + "; ".join(changed)
            )
        again = replace(record, attempt=record.attempt + 1)
        journal = Journal(self.store, again, interval=self.interval, done=self._done)
        return journal, Replay(record.run_id, record.steps)


Key = tuple[str, int, int]


class Replay:
    """The steps of a run's earlier attempts, and the tokens that wait for their turn in them."""

    def __init__(self, run_id: str, steps: Sequence[Step]) -> None:
        self.run_id = run_id
        self._left = deque(step for step in steps if step.kind in {"done", "continued"})
        self._elements = {
            (step.node, step.part, step.visit): step
            for step in steps
            if step.part >= 0 and step.kind in {"done", "failed"}
        }
        self._held: dict[Key, tuple[Call, Callable[[], None]]] = {}

    def hold(self, token: Call, go_on: Callable[[], None]) -> None:
        """Keep a token until its step comes; if none does, *go_on* when all steps are over."""
        self._held[_key(token)] = token, go_on

    def run(self, item: Item) -> list[Callable[[], None]]:
        """Go through all steps; give how it goes on with what none of them ended."""
        while self._left and item.loop.error is None:
            step = self._left.popleft()
            held = self._held.pop((step.node, step.visit, step.part), None)
            token = self._map_of(item, step) if held is None else held[0]
            self._end(item, token, step)
        return [go_on for token, go_on in self._held.values() if not token.cancelled]

    def _map_of(self, item: Item, step: Step) -> Call:
        """Find the node whose calls over a list are held: it was decided for all of them."""
        calls = [
            t
            for t, _ in self._held.values()
            if t.gathering is not None and _key(t.gathering.token) == (step.node, step.visit, -1)
        ]
        if not calls:
            raise RunError(
                f"run {self.run_id!r} cannot be taken up: node {step.node!r} had ended, and now "
                "the graph does not lead there any more"
            )
        for call in calls:
            del self._held[_key(call)]
            item.close(call)
        return calls[0].gathering.token  # type: ignore[no-any-return]

    def _end(self, item: Item, token: Call, step: Step) -> None:
        item.loop.skipped(step.node)
        token.item.memo.pop(item.key(token), None)
        token.attempt = step.attempts
        if step.changed is not None:
            change(token.state, token.item.values.schema.loaded(decode(step.changed)))
        error = RunError(step.error) if step.kind == "continued" else None
        each = {} if error is None else self._failed_elements(step)
        item.restored(token, step.value, _edges(token, step.live), error, each)

    def _failed_elements(self, step: Step) -> dict[int, tuple[BaseException, Any]]:
        """Give by number which calls over a list failed at last, and what they had got."""
        found = [
            (visit, each)
            for (node, part, visit), each in self._elements.items()
            if each.kind == "failed" and (node, part) == (step.node, step.visit)
        ]
        return {visit: (RunError(each.error), each.value) for visit, each in sorted(found)}


def _key(token: Call) -> Key:
    part = -1 if token.gathering is None else token.gathering.token.visit
    return token.at.name, token.visit, part


def _edges(token: Call, live: tuple[str, ...] | None) -> Collection[PlanEdge] | None:
    if live is None:
        return None
    runners: Any = token.item.runners
    return [e for e in token.at.outs if runners[e.target].name in live]
