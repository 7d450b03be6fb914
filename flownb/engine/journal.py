"""How is a run kept while it goes on, so that it can go on after a crash?

Everything that happens to a node is one step, added to the run's steps in its store. With
`persistence_interval=0` a step is saved before the next call starts; above 0 steps are
saved together every so many seconds, and a crash may repeat the last of them. Where a
write takes its time (a server), a thread writes, and only the calls that wait for it wait.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flownb.engine.inplace import InPlace
from flownb.errors import StoreError
from flownb.stores.base import Step
from flownb.stores.codec import encode, lenient
from flownb.stores.records import RunTaken

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from flownb.analysis.plan import PlanEdge
    from flownb.engine.item import Token
    from flownb.engine.loop import LoopManager
    from flownb.engine.state import State
    from flownb.model.run import WorkflowRun
    from flownb.stores.base import RunRecord, RunStatus, RunStore, StepKind


class Journal:
    """The steps of one run, on their way to its store."""

    def __init__(
        self,
        store: RunStore,
        record: RunRecord,
        *,
        interval: float = 0.0,
        done: Callable[[], None] = lambda: None,
    ) -> None:
        self.store, self.record, self.interval, self._done = store, record, interval, done
        self._next = record.steps[-1].seq + 1 if record.steps else 0
        self._unsaved: list[Step] = []
        self._waiting: list[Token] = []  # calls that start once their step is saved
        self._saving: asyncio.Task[None] | None = None
        self._due = self._broken = False
        self._in_place: InPlace | None = None
        self._loop: LoopManager
        self._epoch = 0.0

    # -- the run as a whole ----------------------------------------------------

    async def open(self, loop: LoopManager) -> None:
        """Say in the store that the run has begun, or goes on."""
        self._loop, self._epoch = loop, time.time()
        await self._head("running")

    async def close(self, run: WorkflowRun, state: Any) -> None:
        """Save what is left, and how the run ended; what cannot be saved is the run's error."""
        try:
            while self._saving is not None:
                await asyncio.wait([self._saving])
            if self._broken and isinstance(run.error, RunTaken):
                return  # the run is somebody else's now
            await self._write(self._taken())
            error = None if run.error is None else f"{type(run.error).__name__}: {run.error}"
            await self._head(run.status, state=state, error=error)
        except StoreError as error:
            run.status, run.error = "failed", run.error or error
        finally:
            self._done()

    async def _head(
        self, status: RunStatus, *, state: Any = None, error: str | None = None
    ) -> None:
        said = None if error is None else error.encode(errors="backslashreplace").decode()
        now = time.time()
        self.record = replace(self.record, status=status, updated=now, state=state, error=said)
        await self._aside(self.store.save, replace(self.record, steps=()))

    # -- what happens ----------------------------------------------------------

    def may_start(self, token: Token) -> bool:
        """Note that a call starts; False: it starts by itself, when that is saved."""
        if token.noted is _SAVED:
            token.noted = None
            return True
        if token.state is not None:
            self._shared(token).look(token.state)
        step = self._step(token, "started")
        if self.interval:
            self._add(step)
            return True
        self._unsaved.append(step)
        if self.store.quick:
            self._save_now()
            return not self._broken
        self._waiting.append(token)
        self._save_aside()
        return False

    def note(self, token: Token, live: Collection[PlanEdge] | None, seen: State | None) -> None:
        """Write down what a node gave, before anybody can change it; StoreError if it cannot be.

        *seen* is the state that the node got, in which it may have changed something.
        """
        told = token.said
        if told is not None and token.gathering is None and token.item.states is not None:
            told = token.item.once.schema.dumped(told)
        output = self._text(token, "returned", told)
        token.noted = output, self._names(token, live), self._changed(token, seen)

    def done(self, token: Token) -> None:
        """Note that a call ended well."""
        output, live, changed = token.noted
        self._add(self._step(token, "done", output=output, live=live, changed=changed))

    def _changed(self, token: Token, seen: State | None) -> str | None:
        changed = self._shared(token).changed(seen) if seen is not None else None
        return self._text(token, "changed in place", changed) if changed else None

    def _shared(self, token: Token) -> InPlace:
        if self._in_place is None:
            self._in_place = InPlace(token.item.once.schema)
        return self._in_place

    def _text(self, token: Token, what: str, value: Any) -> str | None:
        where = f"what node {token.at.name!r} {what}"
        return None if value is None else encode(value, where, max_bytes=self.store.max_bytes)

    def continued(
        self, token: Token, error: BaseException, live: Collection[PlanEdge] | None
    ) -> None:
        """Note that a node failed, and the run goes on with that."""
        if not isinstance(token.noted, tuple):
            token.noted = None, None, self._changed(token, token.state)
        output, _, changed = token.noted
        names, said = self._names(token, live), _said(error)
        more = {"output": output, "live": names, "error": said, "changed": changed}
        self._add(self._step(token, "continued", **more))

    def failed(self, token: Token, error: BaseException) -> None:
        """Note that a node failed for good, with the state that it saw."""
        seen = lenient(token.payload, max_bytes=self.store.max_bytes)
        self._add(self._step(token, "failed", output=seen, error=_said(error)))

    def _step(self, token: Token, kind: StepKind, **more: Any) -> Step:
        now = self._epoch + self._loop.now()
        start = now if kind == "started" else self._epoch + token.start
        step = Step(
            self._next, token.at.name, token.visit, kind, start, now,
            part=-1 if token.gathering is None else token.gathering.token.visit,
            attempts=token.attempt or 1, **more,
        )  # fmt: skip
        self._next += 1
        return step

    def _names(self, token: Token, live: Collection[PlanEdge] | None) -> tuple[str, ...] | None:
        if live is None:
            return None
        runners = token.item.runners
        return tuple(runners[edge.target].name for edge in live)

    # -- saving ----------------------------------------------------------------

    def _add(self, step: Step) -> None:
        self._unsaved.append(step)
        if not self._due:
            self._due = True
            loop = self._loop.event_loop
            loop.call_later(self.interval, self._save) if self.interval else loop.call_soon(
                self._save
            )

    def _save(self) -> None:
        """Save what has come together: at once, or when its time has come."""
        self._due = False
        if self.store.quick:
            self._save_now()
        else:
            self._save_aside()

    def _taken(self) -> list[Step]:
        steps, self._unsaved = self._unsaved, []
        return steps

    def _save_now(self) -> None:
        steps = self._taken()
        if steps and not self._broken:
            try:
                self.store.append(self.record.run_id, steps)
            except StoreError as error:
                self._broken = True
                self._loop.crash(error)

    def _save_aside(self) -> None:
        if self._saving is None and self._unsaved:
            # a task of its own: the end of the loop must not cut off a write
            self._saving = self._loop.event_loop.create_task(self._save_all())

    async def _save_all(self) -> None:
        """Save until nothing is left, and start the calls that waited for it."""
        try:
            while self._unsaved:
                waiting, self._waiting = self._waiting, []
                await self._write(self._taken())
                self._start(waiting)
        except StoreError as error:
            self._broken = True
            self._loop.crash(error)
        finally:
            self._saving = None

    def _start(self, tokens: list[Token]) -> None:
        for token in tokens:
            if token.cancelled:
                token.at.leave_gate(token)
                continue
            token.noted = _SAVED
            self._loop.guard(token.at.run, token)
        self._loop.guard(self._loop.pump)

    async def _write(self, steps: list[Step]) -> None:
        if steps:
            await self._aside(self.store.append, self.record.run_id, steps)

    async def _aside(self, call: Callable[..., Any], *args: Any) -> None:
        if self.store.quick:
            call(*args)
        else:
            await asyncio.to_thread(call, *args)


_SAVED: Any = object()


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".encode(errors="backslashreplace").decode()
