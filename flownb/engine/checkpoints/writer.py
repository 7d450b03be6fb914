"""Who writes the checkpoints of a loop? A thread of the notebook's process, for any pool.

It keeps the newest one only, so a slow store slows nothing down; a store that is away is
tried again, and the loop's status says so. Each start claims the checkpoint for itself:
the next save of an attempt that went on with it before is refused, and that attempt ends.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from flownb import liveness
from flownb.engine.checkpoints.record import Beginning, Snapshot, loop_shape, read
from flownb.engine.observe import meter as counters
from flownb.errors import GraphError, LoopTaken, RunError
from flownb.model.policies import Retry
from flownb.plan.loop_plan import differences
from flownb.records.events import ENDED
from flownb.stores import LoopRecord, LoopStore, opened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from flownb.engine.observe.meter import Meter
    from flownb.model.workflow import Workflow
    from flownb.plan.loop_plan import LoopPlan

_BACKOFF: Final = Retry(on=Exception, wait_initial=0.2, wait_max=5.0)


def check_kept(workflow: Workflow, plans: Iterable[LoopPlan], *, fresh: bool) -> None:
    """Raise what would keep a loop from going on: StoreError, GraphError, RunError."""
    for plan in plans:
        given = workflow.loop_options(plan.loop).checkpoint
        if given is not None:
            store, done = _opened(given, plan)
            try:
                _check(store.find(plan.graph, plan.loop), plan, fresh=fresh, others_only=True)
            finally:
                done()


def _opened(given: Any, plan: LoopPlan) -> tuple[LoopStore, Callable[[], None]]:
    return opened(given, "loops", f"set_loop({plan.loop!r}, checkpoint=)")


def _check(kept: LoopRecord | None, plan: LoopPlan, *, fresh: bool, others_only: bool) -> None:
    if kept is None:
        return
    pid = liveness.lives_in(kept.owner)
    if kept.status not in ENDED and pid and not (others_only and liveness.is_here(kept.owner)):
        msg = (
            f"loop {plan.loop!r} of graph {plan.graph!r} runs already with this checkpoint, in "
            f"process {pid}: stop it there, or give one of the two another checkpoint="
        )
        raise RunError(msg)
    if kept.content and not fresh:
        changed = differences(read(kept.content, plan.loop)["shape"], loop_shape(plan))
        if changed:
            msg = (
                f"loop {plan.loop!r} cannot go on from its checkpoint, as graph {plan.graph!r} has "
                f"changed since: {'; '.join(changed)}. Change it back, or "
                "graph.start(fresh=True) begins anew"
            )
            raise GraphError(msg)


class CheckpointWriter:
    """The checkpoint of one loop, from its start to its end, through all its attempts.

    *on_kept* is called with (number, attempt, trouble), in the writer's own thread.
    """

    def __init__(
        self,
        store: Any,
        plan: LoopPlan,
        meter: Meter,
        *,
        say: Callable[[str, str], None],
        on_kept: Callable[[int, int, str], None],
        now: Callable[[], float],
        fresh: bool,
    ) -> None:
        self.name, self.graph, self.fresh = plan.loop, plan.graph, fresh
        self._store, self._done = _opened(store, plan)
        self._plan, self._meter, self._say, self._on_kept = plan, meter, say, on_kept
        self._owner, self._number = "", 0
        self._next: tuple[Snapshot, int, str] | None = None
        self._some = threading.Condition()
        self._over = self._at_work = False
        self.attempt = 1
        self.last = ""
        self._now = now
        self.trouble, self.since = "", 0.0

    # -- beginning -------------------------------------------------------------

    def claim(self) -> Beginning:
        """Take the checkpoint over, and give what it says."""
        kept = self._store.find(self.graph, self.name)
        _check(kept, self._plan, fresh=self.fresh, others_only=False)
        self._owner = liveness.begin(f"{self.graph}/{self.name}")
        self._number = kept.number if kept else 0
        mine = LoopRecord(self.graph, self.name, 0, "", 0.0, "starting")
        if kept and not self.fresh:
            counters.load(self._meter, kept.counts)
            mine = replace(kept, status="starting")
        self._save(mine)
        self.last = mine.content
        if mine.content:
            self._say("info", f"goes on at item {mine.position:,} of its checkpoint")
        threading.Thread(
            target=self._work, name=f"flownb checkpoint {self.name}", daemon=True
        ).start()
        self._at_work = True
        return Beginning(0, self.last)

    # -- while it runs ---------------------------------------------------------

    def on_checkpoint(self, snapshot: Snapshot) -> None:
        """Take what the loop, or its proxy, reports; called by the loop's stream."""
        counts = counters.dump(self._meter, self._now())
        with self._some:
            self.last = snapshot.content
            self._next = snapshot, self.attempt, counts
            self._some.notify()

    def again(self) -> Beginning:
        """Say where the attempt after a crash begins."""
        with self._some:
            self.attempt += 1
            return Beginning(0, self.last)

    @property
    def problem(self) -> str:
        """What the loop's status says while its checkpoint cannot be kept; "" if it can."""
        if not self.trouble:
            return ""
        seconds = time.monotonic() - self.since
        return f"its checkpoint cannot be kept since {seconds:.0f} s ({self.trouble})"

    def close(self) -> None:
        """The loop has ended: what is not written by now is tried once more."""
        with self._some:
            self._over = True
            self._some.notify()
        if not self._at_work:
            self._leave()

    # -- in the writer's own thread --------------------------------------------

    def _work(self) -> None:
        failed = 0  # times in a row
        while self._await(_BACKOFF.wait(failed) if failed else 0.0):
            with self._some:
                job, self._next = self._next, None
            failed = 0 if job is None or self._keep(*job) else failed + 1
        self._leave()

    def _leave(self) -> None:
        liveness.end(self._owner)
        self._done()

    def _await(self, wait: float) -> bool:
        """Wait for something to write, after a failure at least so long; False at the end."""
        with self._some:
            if wait and not self._over:
                self._some.wait_for(lambda: self._over, wait)
            self._some.wait_for(lambda: self._over or self._next is not None)
            return self._next is not None and not (wait and self._over)

    def _keep(self, snapshot: Snapshot, attempt: int, counts: str) -> bool:
        """Write a checkpoint; False if it is to be tried again."""
        record = LoopRecord(
            self.graph, self.name, 0, "", 0.0, snapshot.status, snapshot.position,
            snapshot.content, counts,
        )  # fmt: skip
        try:
            self._save(record)
        except LoopTaken as taken:
            self._on_kept(snapshot.number, attempt, str(taken))
            return True
        except Exception as error:  # noqa: BLE001 - a store of the user's may raise anything
            self._failed(error, snapshot, attempt, counts)
            return False
        if self.trouble:
            self._say("warning", "its checkpoint is kept again")
            self.trouble = ""
        self._on_kept(snapshot.number, attempt, "")
        return True

    def _failed(self, error: Exception, snapshot: Snapshot, attempt: int, counts: str) -> None:
        if not self.trouble:
            self.since = time.monotonic()
            self._say("warning", f"its checkpoint cannot be kept: {error}: trying again")
        self.trouble = str(error)
        with self._some:
            if self._next is None:
                self._next = snapshot, attempt, counts

    def _save(self, record: LoopRecord) -> None:
        mine = replace(record, owner=self._owner, saved=time.time())
        try:
            self._store.save(replace(mine, number=self._number + 1))
        except LoopTaken:
            kept = self._store.find(self.graph, self.name)
            if kept is not None and kept.owner != self._owner:
                raise
            # an answer got lost, or somebody has deleted it
            self._number = kept.number if kept else 0
            self._store.save(replace(mine, number=self._number + 1))
        self._number += 1
