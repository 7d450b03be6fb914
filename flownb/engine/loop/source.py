"""What is the source of a loop's items, and when is the next one due? A function, iterable, queue.

An item that has to be offered again comes first. `every=` is a fixed rate from the start of the
loop, without drift: a tick that falls into an iteration is skipped and counted, never queued.
"""

from __future__ import annotations

import inspect
import math
from collections import deque
from typing import TYPE_CHECKING, Any, Final, Protocol

from flownb.engine.calls.call import Call
from flownb.engine.calls.signature import EXHAUSTED, can_be_replayed
from flownb.engine.checkpoints.source_replay import SourceReplay
from flownb.errors import FAILS
from flownb.flow.routing import route
from flownb.model.nodes import read_once
from flownb.queues.spec import Lease
from flownb.records.events import LogLine

if TYPE_CHECKING:
    from flownb.engine.calls.node_memory import Memories
    from flownb.engine.calls.runner import Runner
    from flownb.engine.checkpoints.checkpointer import Checkpointer
    from flownb.engine.loop.settlement import Settlement
    from flownb.engine.runtime import Runtime
    from flownb.flow.item import Item
    from flownb.model.nodes import ReaderOptions

REST: Final = 0.05
SAME: Final = 1e-6


class _FailedTick:
    def __repr__(self) -> str:
        return "FAILED_TICK"


FAILED_TICK: Final = _FailedTick()
Made = tuple[Any, Any, Any]
_NOTHING: Final[Made] = (FAILED_TICK, None, None)


class Making(Protocol):
    """The loop that a source makes items for."""

    runtime: Runtime
    graph: str
    memory: Memories
    runners: list[Runner]
    checkpointer: Checkpointer | None
    ending: Settlement
    items: dict[int, Item]
    made: int
    most: int | None
    reason: str

    @property
    def stepping(self) -> bool:
        """Whether the next item is one that `step` asked for."""

    @property
    def stopping(self) -> bool:
        """Whether no new item may be made."""

    @property
    def pausing(self) -> bool:
        """Whether no new item may be made for now."""

    @property
    def replanned(self) -> bool:
        """Whether another plan is to be taken up first."""

    @property
    def at_rest(self) -> bool:
        """Whether no item may be made just now."""


class PullSource:
    """Stands where an item would, for the call that makes one."""

    memo = None
    message = None
    in_rows = False
    held_back: Final[list[Any]] = []  # a producer's pushes are not held back

    def __init__(self, loop: Making) -> None:
        self.loop = loop
        self.iteration = loop.made
        self.made: Made | None = None

    def onward(self, token: Call, output: Any) -> tuple[Any, Any]:
        """Choose the arms of an item by their conditions; no item, no arms."""
        if output is None or output is EXHAUSTED:
            return output, ()
        try:
            return route(token.at.plan, token.payload, output)
        except FAILS as error:  # the item is made, and fails: `Item.launch` sees to that
            return output, error

    def ended(self, token: Call, output: Any, live: Any) -> None:  # noqa: ARG002
        """Take what the producer made."""
        self.made = (output, live, None)
        self.loop.runtime.wake()

    def failed(self, token: Call, error: BaseException) -> None:
        """Count a failed tick."""
        self.made = _NOTHING
        self.loop.ending.tick_failed(token, error)
        self.loop.runtime.wake()


class Source:
    """The producer side of a loop: ticks, pulls, messages."""

    def __init__(self, loop: Making, before: Source | None = None) -> None:
        self.loop, self.runner, self._runtime = loop, loop.runners[0], loop.runtime
        self.node = self.runner.node
        self.every = self.node.every
        self._ends = loop.most is not None or hasattr(self.node.fn, "__len__")
        self.exhausted = False
        self.again: deque[tuple[Any, Any, int | None]] = deque()
        self.pulled = 0  # items that this source has made, or that were made before
        self.index: int | None = None  # the number of the last one
        self.source_replay: SourceReplay | None = None
        self._epoch = self._runtime.now()
        self._tick = 0
        self._waiting = True  # for that tick: it is not missed, however late it is seen
        self.buffer: deque[Any] = deque()  # messages that were fetched
        self._reading: Any = None
        self._draining: Any = None
        self._closing = False
        if before is None and not loop.made:
            self._warn_of_begun()
        if before is not None:
            self._follow(before)
        elif loop.checkpointer is not None and self.node.reader is None:
            self.source_replay = SourceReplay(self, loop.checkpointer)

    def _follow(self, before: Source) -> None:
        """Take over from a source that was edited: items to offer again, messages at hand."""
        self.again, self._closing = before.again, before._closing
        if before.every == self.every:
            self._epoch, self._tick, self._waiting = before._epoch, before._tick, before._waiting
        if not can_be_replayed(self.runner.called_fn):
            self.pulled = before.pulled
        elif self.loop.checkpointer is not None:
            self._begin_anew(self.loop.checkpointer)
        old, new = before.node.reader, self.node.reader
        if old is not None and new is not None and old.queue == new.queue:
            self.buffer, self._reading = before.buffer, before._reading
            self._draining = before._draining
        elif before._reading is not None:
            before._reading.cancel()

    def _begin_anew(self, keeping: Checkpointer) -> None:
        """Another source counts from 0; what the old one made has no number any more."""
        keeping.renewed()
        self.again = deque((payload, message, None) for payload, message, _ in self.again)
        for item in self.loop.items.values():
            item.index = None

    # -- when ------------------------------------------------------------------

    async def due(self) -> bool:
        """Wait for the next tick; False when something else has to be looked at first."""
        loop = self.loop
        if loop.ending.is_full:
            await self._runtime.wait()
            return False
        if self.again:
            self._waiting = False  # ticks may fall into its iteration
            return True
        if loop.most is not None and self.node.reader is None and loop.made >= loop.most:
            self.exhausted = True
            return False
        if self._is_over(self._runtime.now()):
            await self._runtime.wait()
            return False
        return self.every is None or self.loop.stepping or await self._ticked(self.every)

    def _is_over(self, when: float) -> bool:
        """Whether no item may be made any more at that second of a simulation."""
        return self._runtime.until is not None and when >= self._runtime.until - SAME

    async def _ticked(self, every: float) -> bool:
        if not self._waiting:
            self._miss(self._first_tick(every) - self._tick)
        when = self._when(every)
        if self._runtime.now() < when - SAME:
            await self._runtime.wait(
                when if self._runtime.until is None else min(when, self._runtime.until)
            )
        if self._runtime.now() < when - SAME or self._is_over(when):
            return False
        self._tick += 1
        self._waiting = False
        return True

    def _miss(self, ticks: int) -> None:
        """Count the ticks that fell into the last iteration, and wait for the next one."""
        self._waiting = True
        self._tick += max(ticks, 0)
        for _ in range(ticks):
            self._runtime.event("overrun", self._runtime.name)

    def _when(self, every: float) -> float:
        return self._epoch + round(self._tick * every, 6)

    def _first_tick(self, every: float) -> int:
        """Give the number of the first tick that is not yet over."""
        return math.ceil((self._runtime.now() - self._epoch - SAME) / every)

    def skip_to_now(self) -> None:
        """Forget the ticks of a pause: they do not count."""
        if self.every is not None:
            self._tick, self._waiting = max(self._tick, self._first_tick(self.every)), True

    async def rest(self) -> None:
        """Wait a moment after a producer had nothing to give; ticks come by themselves."""
        if (self.every is None or self.loop.stepping) and self.node.reader is None:
            end = self._runtime.now() + REST
            while (
                self._runtime.now() < end - SAME
                and not self.loop.stopping
                and not self._runtime.error
            ):
                await self._runtime.wait(end)

    # -- what ------------------------------------------------------------------

    async def make(self) -> Made:
        """Give (item, live arms, message); the item may be None, EXHAUSTED, FAILED_TICK."""
        if self.again:
            payload, message, self.index = self.again.popleft()
            return payload, self._arms(payload), message
        if (
            self.source_replay is not None
            and self.source_replay.pending
            and not await self.source_replay.go()
        ):
            return (EXHAUSTED, None, None) if self.exhausted else _NOTHING
        made = await (self._pull() if self.node.reader is None else self._message())
        if made[0] is EXHAUSTED:
            self.exhausted = True
            if not self.pulled and (kind := read_once(self._items_of)):
                self._warn(f"its source, {kind}, can be read once and gives nothing any more")
        elif self.node.reader is None and _is_item(made):
            self.index = self.count()
        return made

    def _arms(self, payload: Any) -> Any:
        """Choose the arms of an item that nobody is called for; None means all of them."""
        plan = self.runner.plan
        if not plan.branches:
            return None
        try:
            return route(plan, None, payload)[1]
        except FAILS as error:
            return error

    @property
    def _items_of(self) -> Any:
        """What is read for items; None where nothing is called."""
        runner = self.runner
        return runner.called_fn if self._runtime.world.calls(runner.node) else None

    def _warn_of_begun(self) -> None:
        """Warn of a generator that somebody has read from: what it gave then is gone."""
        source = self._items_of
        if inspect.isgenerator(source) and inspect.getgeneratorstate(source) == "GEN_SUSPENDED":
            self._warn("its source, a generator, was begun before: what it gave then is not here")

    def _warn(self, what: str) -> None:
        text = f"{what}; give the generator function, or a list"
        self.loop.reason = text
        runtime = self._runtime
        line = LogLine(runtime.now(), runtime.name, runtime.name, -1, "warning", text)
        runtime.event("log", runtime.name, -1, line)  # before the state that it explains

    def count(self) -> int:
        """Count an item that was made; give its number."""
        self.pulled += 1
        return self.pulled - 1

    def passed(self, count: int) -> None:
        """Count items that went through the fast path."""
        start, self.pulled = self.pulled, self.pulled + count
        if self.loop.checkpointer is not None:
            self.loop.checkpointer.passed(start, self.pulled)

    @property
    def rows_allowed(self) -> bool:
        """Whether the next items may take the fast path."""
        keeping = self.loop.checkpointer
        return not self.again and (keeping is None or keeping.rows_allowed(self.pulled))

    @property
    def may_keep_state(self) -> bool:
        """Whether what makes items has a `ctx.state`."""
        return self.runner.ctx_name is not None or self.runner.instance is not None

    def token(self) -> Call:
        """Make the token of a producer call."""
        return Call(PullSource(self.loop), self.runner, None, 0)

    def first_arguments(self) -> dict[str, Any]:
        """Give what the source's function is called with."""
        return self.runner.context_argument(self.token())

    def tick_failed(self, error: BaseException) -> None:
        """Report a failed producer call."""
        self.loop.ending.tick_failed(self.token(), error)

    async def _pull(self) -> Made:
        pull = PullSource(self.loop)
        token = Call(pull, self.runner, None, 0)
        if self._ends:
            self._runtime.world.progress()
        keeping = self.loop.checkpointer
        if keeping is not None:
            keeping.before(self.pulled)
        self.runner.run(token)
        while pull.made is None and not self.loop.stopping and self._runtime.error is None:
            await self._runtime.wait()
        if pull.made is None:
            await self._give_up(pull, token)
        if keeping is not None and not _is_item(pull.made):
            keeping.made_nothing(self.pulled)
        return pull.made or _NOTHING

    async def _give_up(self, pull: PullSource, token: Call) -> None:
        """End a producer call at a stop: an async one now, a sync one gets half a second."""
        end = self._runtime.now() + 0.5
        while token.task is None and pull.made is None and self._runtime.now() < end - SAME:
            await self._runtime.wait(end)
        if pull.made is None:
            token.cancelled = True
            if token.task is not None:
                token.task.cancel()

    # -- from a queue ----------------------------------------------------------

    def writers_done(self) -> None:
        """No more messages will be pushed: when the queue is empty, it is over."""
        self._closing = True
        self._runtime.wake()

    async def fill(self) -> bool:
        """Wait for messages; False when none will come, or something else is to be looked at."""
        loop = self.loop
        while not self.buffer:
            if loop.stopping or loop.pausing or loop.replanned:
                return False
            if self._runtime.error is not None:
                return False
            if self.again:  # offered while we waited
                return False
            if await self._read():
                continue
            if not self._closing or not self._is_drained():
                await self._runtime.wait()
            elif not await self._read_rest():
                self.exhausted = True
                return False
        return not self._is_over(self._runtime.now())

    async def _message(self) -> Made:
        if not await self.fill():
            return (EXHAUSTED, None, None) if self.exhausted else _NOTHING
        runtime, message, made = self._runtime, self.buffer.popleft(), self.loop.made
        now, name = runtime.now(), runtime.name
        runtime.world.hopped(runtime, message.hops)
        runtime.stream.span((name, name, made, 0, "work", now, now, 1), message.payload)
        runtime.event("received", name, made, message.origin)
        return message.payload, self._arms(message.payload), message

    async def _read(self) -> bool:
        """Take what the read under way has brought; True when that is anything."""
        reader = self.node.reader
        if self._reading is None and reader is not None:
            self._reading = self._runtime.spawn(self._fetched(reader))
        if not self._reading.done():
            return False
        reading, self._reading = self._reading, None
        self.buffer.extend(reading.result())
        return True

    async def _fetched(self, reader: ReaderOptions) -> Any:
        try:
            return await self._runtime.queues.read(
                reader.queue, reader=self._runtime.name, count=reader.prefetch, timeout=None,
                lease=Lease(reader.visibility_timeout, reader.max_deliveries, careful=True),
            )  # fmt: skip
        finally:
            self._runtime.wake()  # it comes to look when this task has ended

    def _beside(self, work: Any) -> Any:
        """Wait for something beside the loop, which is woken when it is there."""
        task = self._runtime.spawn(work)
        task.add_done_callback(lambda _: self._runtime.wake())
        return task

    def _is_drained(self) -> bool:
        """Whether nobody pushes any more, all was read, and no other loop holds any of it.

        What another loop holds is ours if that loop dies.
        """
        reader = self.node.reader
        if self._draining is None and reader is not None:
            work = self._runtime.queues.drained(reader.queue, reader=self._runtime.name)
            self._draining = self._beside(work)
        if not self._draining.done():
            return False
        draining, self._draining = self._draining, None
        draining.result()
        return True

    async def _read_rest(self) -> bool:
        """Look once more when nobody pushes any more; False when nothing is left.

        Beside the read under way, not in its place: redis-py loses a
        cancellation that comes while it connects.
        """
        reader = self.node.reader
        rest: list[Any] = []
        if reader is not None:
            rest = await self._runtime.queues.read(
                reader.queue, reader=self._runtime.name, count=reader.prefetch, timeout=0
            )
        if self._reading.done():
            await self._read()
        self.buffer.extend(rest)
        if not self.buffer:
            self._reading.cancel()
        return bool(self.buffer)

    @property
    def reading(self) -> bool:
        """Whether it waits for a message, with nothing at hand."""
        return self.node.reader is not None and not self.buffer and not self.again


def _is_item(made: Made | None) -> bool:
    """Whether that is anything at all."""
    if made is None:
        return False
    what = made[0]
    return not (what is None or what is EXHAUSTED or what is FAILED_TICK)
