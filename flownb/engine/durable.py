"""How does a run get a journal, and how is one that stopped taken up again?"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

from flownb.analysis.same import differences, shape_of
from flownb.engine.journal import Journal
from flownb.engine.once import works_on_state
from flownb.engine.replay import Replay
from flownb.errors import GraphError, StoreError
from flownb.stores import RunRecord, opened
from flownb.stores.codec import decode, encode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flownb.analysis.plan import LoopPlan


class Kept:
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
