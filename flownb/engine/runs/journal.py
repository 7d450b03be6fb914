"""How is a one-shot run saved while it goes on? In a journal of steps, so it can be resumed.

Everything that happens to a node is one step, added to the run's steps in its store. With
`persistence_interval=0` a step is saved before the next call starts; above 0 steps are
saved together every so many seconds, and a crash may repeat the last of them. Where a
write takes its time (a server), a thread writes, and only the calls that wait for it wait.
A thread that calls a chain of nodes saves itself that one has ended and the next begins.

In-place changes: a node may change a list or dict of the state without returning it. Everybody
sees that, as the object is shared; only the steps would not have it, and a resumed run would
come out different. So when a node has ended, each list and dict of a kept run's state is
compared with what it was.
"""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from flownb.engine.single_thread import has_threads
from flownb.errors import RunTaken, StoreError, told
from flownb.stores.base import Step
from flownb.stores.codec import decode, encode, lenient

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from flownb.engine.calls.call import Call
    from flownb.engine.calls.chain import ItemChain
    from flownb.engine.runtime import Runtime
    from flownb.flow.run_values import Values
    from flownb.flow.state import State
    from flownb.model.state_schema import Schema
    from flownb.plan.loop_plan import PlanEdge
    from flownb.records.workflow_run import RunStatus, WorkflowRun
    from flownb.stores.base import RunRecord, RunStore, StepKind


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
        self._waiting: list[Call] = []  # calls that start once their step is saved
        self._saving: asyncio.Task[None] | None = None
        self._due = self._broken = self._closed = False
        self._lock = threading.Lock()  # steps are numbered, and reach the store, in one order
        self._in_place: InPlace | None = None
        self._runtime: Runtime
        self._pump: Callable[[], None]
        self._epoch = 0.0

    # -- the run as a whole ----------------------------------------------------

    async def open(self, runtime: Runtime, pump: Callable[[], None]) -> None:
        """Say in the store that the run has begun, or goes on; *pump* starts what waited."""
        self._runtime, self._pump, self._epoch = runtime, pump, time.time()
        await self._head("running")

    async def close(self, run: WorkflowRun, state: Callable[[], Any]) -> None:
        """Save what is left, and how the run ended; what cannot be saved is the run's error."""
        with self._lock:
            self._closed = True  # what a thread left behind still does is not kept
        try:
            while self._saving is not None:
                await asyncio.wait([self._saving])
            if self._broken and isinstance(run.error, RunTaken):
                return  # the run is somebody else's now
            await self._write(self._taken())
            try:
                await self._head(run.status, state=state(), error=_said_of(run))
            except StoreError as error:  # what of the state can be kept says how it ended
                run.status, run.error = "failed", run.error or error
                kept = decode(lenient(run.state, max_bytes=self.store.max_bytes))
                await self._head(run.status, state=kept, error=_said_of(run))
        except StoreError as error:
            run.status, run.error = "failed", run.error or error
        finally:
            self._done()

    async def _head(
        self, status: RunStatus, *, state: Any = None, error: str | None = None
    ) -> None:
        now = time.time()
        self.record = replace(self.record, status=status, updated=now, state=state, error=error)
        await self._aside(self.store.save, replace(self.record, steps=()))

    # -- what happens ----------------------------------------------------------

    def may_start(self, token: Call) -> bool:
        """Note that a call starts; False: it starts by itself, when that is saved."""
        if token.noted is _SAVED:
            token.noted = None
            return True
        if token.state is not None:
            self._shared(token.item.values).look(token.state.values)
        self._note(token, "started")
        if self.interval:
            self._save_later()
            return True
        if self.store.quick:
            self._save_now()
            return not self._broken
        self._waiting.append(token)
        self._save_aside()
        return False

    def note(self, token: Call, live: Collection[PlanEdge] | None, seen: State | None) -> None:
        """Write down what a node gave, before anybody can change it; StoreError if it cannot be.

        *seen* is the state that the node got, in which it may have changed something.
        """
        whole = token.gathering is None
        values, name = token.item.values, token.at.name
        output = self._output(values, name, token.returned, on_state=whole)
        changed = None if seen is None else self._changed(values, name, seen.values)
        token.noted = output, self._names(token, live), changed

    def done(self, token: Call) -> None:
        """Note that a call ended well."""
        output, live, changed = token.noted
        self._note(token, "done", output=output, live=live, changed=changed)
        self._save_later()

    @property
    def in_rows(self) -> bool:
        """Whether the thread that calls a chain of nodes may save what happens in it."""
        return self.store.quick or self.interval > 0

    def passed(self, chain: ItemChain, returned: Any, seen: Mapping[str, Any]) -> bool:
        """Note, in the thread of a chain, that a node ended and the next begins; False: it may not.

        Raises StoreError when what the node gave, or changed in *seen*, cannot be kept.
        """
        values, name = chain.token.item.values, chain.row[chain.at].name
        output = self._output(values, name, returned)
        changed = self._changed(values, name, seen)
        start, end = (self._epoch + t / 1e9 - self._runtime.origin for t in chain.times[-2:])
        following = chain.row[chain.at + 1].name
        with self._lock:
            if self._closed or self._broken or chain.token.cancelled:
                return False
            self._unsaved += [
                Step(self._next, name, 0, "done", start, end, output=output, changed=changed),
                Step(self._next + 1, following, 0, "started", end),
            ]
            self._next += 2
            if not self.interval:
                self._append()
        if self.interval:
            self._runtime.soon(self._save_later)
        return not self._broken

    def look(self, run: Values, values: Mapping[str, Any]) -> None:
        """Remember what the next node of a chain is about to see."""
        self._shared(run).look(values)

    def _output(
        self, values: Values, name: str, returned: Any, *, on_state: bool = True
    ) -> str | None:
        if returned is not None and on_state and values.states is not None:
            returned = values.schema.dumped(returned, f"what node {name!r} returned")
        return None if returned is None else self._text(name, "returned", returned)

    def _changed(self, values: Values, name: str, seen: Mapping[str, Any]) -> str | None:
        changed = self._shared(values).changed(seen)
        return self._text(name, "changed in place", changed) if changed else None

    def _shared(self, values: Values) -> InPlace:
        if self._in_place is None:
            self._in_place = InPlace(values.schema)
        return self._in_place

    def _text(self, name: str, what: str, value: Any) -> str:
        return encode(value, f"what node {name!r} {what}", max_bytes=self.store.max_bytes)

    def continued(
        self, token: Call, error: BaseException, live: Collection[PlanEdge] | None
    ) -> None:
        """Note that a node failed, and the run goes on with that."""
        if not isinstance(token.noted, tuple):
            seen = {} if token.state is None else token.state.values
            token.noted = None, None, self._changed(token.item.values, token.at.name, seen)
        output, _, changed = token.noted
        names, text = self._names(token, live), told(error)
        more = {"output": output, "live": names, "error": text, "changed": changed}
        self._note(token, "continued", **more)
        self._save_later()

    def failed(self, token: Call, error: BaseException) -> None:
        """Note that a node failed for good, with the state that it saw."""
        seen = lenient(token.payload, max_bytes=self.store.max_bytes)
        self._note(token, "failed", output=seen, error=told(error))
        self._save_later()

    def _note(self, token: Call, kind: StepKind, **more: Any) -> None:
        now = self._epoch + self._runtime.now()
        start = now if kind == "started" else self._epoch + token.start
        part = -1 if token.gathering is None else token.gathering.token.visit
        more |= {"part": part, "attempts": token.attempt or 1}
        with self._lock:
            step = Step(self._next, token.at.name, token.visit, kind, start, now, **more)
            self._unsaved.append(step)
            self._next += 1

    def _names(self, token: Call, live: Collection[PlanEdge] | None) -> tuple[str, ...] | None:
        if live is None:
            return None
        runners = token.item.runners
        return tuple(runners[edge.target].name for edge in live)

    # -- saving ----------------------------------------------------------------

    def _save_later(self) -> None:
        if not self._due:
            self._due = True
            loop = self._runtime.event_loop
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
        with self._lock:
            steps, self._unsaved = self._unsaved, []
            return steps

    def _save_now(self) -> None:
        with self._lock:
            self._append()

    def _append(self) -> None:
        """Save what is there; the lock is held."""
        steps, self._unsaved = self._unsaved, []
        if steps and not self._broken:
            try:
                self.store.append(self.record.run_id, steps)
            except StoreError as error:
                self._broken = True
                self._runtime.soon(self._runtime.crash, error)

    def _save_aside(self) -> None:
        if self._saving is None and self._unsaved:
            # a task of its own: the end of the loop must not cut off a write
            self._saving = self._runtime.event_loop.create_task(self._save_all())

    async def _save_all(self) -> None:
        """Save until nothing is left, and start the calls that waited for it."""
        try:
            while self._unsaved:
                waiting, self._waiting = self._waiting, []
                await self._write(self._taken())
                self._start(waiting)
        except StoreError as error:
            self._broken = True
            self._runtime.crash(error)
        finally:
            self._saving = None

    def _start(self, tokens: list[Call]) -> None:
        for token in tokens:
            if token.cancelled:
                token.at.leave_gate(token)
                continue
            token.noted = _SAVED
            self._runtime.guard(token.at.run, token)
        self._runtime.guard(self._pump)

    async def _write(self, steps: list[Step]) -> None:
        if steps:
            await self._aside(self.store.append, self.record.run_id, steps)

    async def _aside(self, call: Callable[..., Any], *args: Any) -> None:
        if self.store.quick or not has_threads():
            call(*args)
        else:
            await asyncio.to_thread(call, *args)


_SAVED: Any = object()


def _said_of(run: WorkflowRun) -> str | None:
    return None if run.error is None else told(run.error)


# Comparing costs about 10 ms for each megabyte, at the end of every node that sees it.
LARGEST: Final = 1_000_000


class InPlace:
    """The lists and dicts of one run's state, and what they held when last looked at."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._known: dict[int, tuple[Any, str | None]] = {}

    def look(self, values: Mapping[str, Any]) -> None:
        """Remember what a node is about to see."""
        for name, value in values.items():
            if type(value) in {list, dict} and id(value) not in self._known:
                self._known[id(value)] = value, self._text(name, value)

    def changed(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Give what is different by now, as it is kept."""
        found = {}
        for name, value in values.items():
            before = self._known.get(id(value))
            if before is None or before[1] is None:
                continue
            text = self._text(name, value)
            if text != before[1]:
                self._known[id(value)] = value, text
                if text is not None:
                    found[name] = value
        return self._schema.dumped(found) if found else {}

    def _text(self, name: str, value: Any) -> str | None:
        """Write it as text; None: too large to be compared, or changing at this very moment."""
        try:
            text = encode(self._schema.dumped({name: value}), f"state[{name!r}]")
        except RuntimeError:
            return None
        return text if len(text) <= LARGEST else None


def change(state: State, kept: Mapping[str, Any]) -> None:
    """Change the lists and dicts of *state* in place, as they were changed then."""
    for name, new in kept.items():
        held = state.values[name]
        if isinstance(held, dict):
            held.clear()
            held.update(new)
        else:
            held[:] = new
