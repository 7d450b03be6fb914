"""When is the next item of a function or an iterable due, and how is it pulled? A `PullSource`.

`every=` is a fixed rate from the start of the loop, without drift: a tick that falls into an
iteration is skipped and counted, never queued.
"""

from __future__ import annotations

import functools
import inspect
import math
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final

from flownb.engine.calls.call import Call
from flownb.engine.calls.signature import EXHAUSTED
from flownb.engine.calls.turn import Turn
from flownb.engine.checkpoints.source_replay import SourceReplay
from flownb.engine.loop.source import (
    FAILED_TICK,
    NOTHING_MADE,
    SAME,
    Made,
    Making,
    ProducerCall,
    Source,
)
from flownb.model.nodes import read_once
from flownb.records.events import LogLine

if TYPE_CHECKING:
    from collections.abc import Callable

    from flownb.engine.calls.call import Call
    from flownb.engine.calls.runner import Runner
    from flownb.model.nodes import Node

REST: Final = 0.05


class PullSource(Source):
    """A source that is called for each item."""

    def __init__(self, loop: Making, node: Node) -> None:
        super().__init__(loop, node)
        self.every = node.every
        self._ends = loop.most is not None or hasattr(node.fn, "__len__")
        self._epoch = 0.0
        self._tick = 0
        self._waiting = True  # for that tick: it is not missed, however late it is seen
        self._token: Call | None = None  # of the call that is under way in its thread

    def begin(self, runner: Runner, before: Source | None = None) -> None:
        """Count ticks from now on, and items as far as a checkpoint says."""
        self._epoch = self._runtime.now()
        super().begin(runner, before)
        if before is not None:
            return
        if not self.loop.made:
            self._warn_of_begun()
        if self.loop.checkpointer is not None:
            self.source_replay = SourceReplay(self, self.loop.checkpointer)

    def _follow(self, before: Source) -> None:
        super()._follow(before)
        before.leave()
        if isinstance(before, PullSource) and before.every == self.every:
            self._keep_pace(before)

    def _keep_pace(self, before: PullSource) -> None:
        self._epoch, self._tick, self._waiting = before._epoch, before._tick, before._waiting

    # -- when ------------------------------------------------------------------

    async def due(self) -> bool:
        """Wait for the next tick; False when something else has to be looked at first."""
        loop = self.loop
        if await self._is_held_back():
            return False
        if self.again or self.is_away:
            self._waiting = False  # ticks may fall into its iteration
            return True
        if loop.most is not None and loop.made >= loop.most:
            self.exhausted = True
            return False
        if self._is_over(self._runtime.now()):
            await self._runtime.wait()
            return False
        return self.every is None or loop.control.stepping or await self._ticked(self.every)

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
        if self.is_away:  # something else came first: it was waited for
            return
        if self.every is None or self.loop.control.stepping:
            end = self._runtime.now() + REST
            while self._runtime.now() < end - SAME and not self.loop.control.halted:
                await self._runtime.wait(end)

    # -- what ------------------------------------------------------------------

    async def _make(self) -> Made:
        replay = self.source_replay
        if replay is not None and replay.pending and not await replay.go():
            return (EXHAUSTED, None, None) if self.exhausted else NOTHING_MADE
        made = await self._pull()
        if made[0] is EXHAUSTED:
            self.exhausted = True
            if not self.pulled and (kind := read_once(self._items_of)):
                self._warn(f"its source, {kind}, can be read once and gives nothing any more")
        elif _is_item(made):
            self.index = self.count()
        return made

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
        self.loop.control.life.reason = text
        runtime = self._runtime
        line = LogLine(runtime.now(), runtime.name, runtime.name, -1, "warning", text)
        runtime.event("log", runtime.name, -1, line)  # before the state that it explains

    # -- in its thread -----------------------------------------------------------

    @property
    def can_head_rows(self) -> bool:
        """Whether nothing but a sync function has to be called for an item."""
        return not (self.runner.is_async or self.runner.careful or self._runtime.inline)

    def head(self) -> Callable[[], Any]:
        """Give what is called for an item, in the thread."""
        runner = self.runner
        if not (runner.ctx_name or runner.instance):
            return self.thread.within(runner.target)
        self._token = self.token()
        return self.thread.within(functools.partial(runner.invoke, self._token))

    def enter_call(self) -> None:
        """Enter the call under way into the books, since it takes its time."""
        token = self._token = self._token or self.token()
        if token not in self.runner.table.open:
            token.start = self._runtime.now()
            self.runner.table.open[token] = None

    async def _fetch(self) -> bool:
        """Have the source called, or wait for the call that is away; False: it still is."""
        thread, control = self.thread, self.loop.control
        while True:
            turn = thread.turn or self._called()
            while not turn.over and not self.interrupted:
                await self._runtime.wait()
            if control.halted:
                await self._last_moment(turn.has_ended)
            if not turn.over:
                turn.take()
                return False
            if thread.turn is turn:  # else a row was taken out of it, and it has given no other
                return True

    def _called(self) -> Turn:
        """Have the source called for one item."""
        name, number = self._runtime.name, self.loop.made
        turn = Turn(self.head(), [], first=number)
        self.enter_call()
        self.thread.begin(turn, lambda: (name, number))
        return turn

    def _given(self) -> Call:
        """Settle the call that has ended in the thread; give its token."""
        thread, origin = self.thread, self._runtime.origin
        turn, thread.turn = thread.turn, None
        assert turn is not None  # noqa: S101 - it was waited for
        token, self._token = self._token or self.token(), None
        value, error, end = None, turn.error, None
        token.start = turn.times[-1] / 1e9 - origin
        if turn.nothing:
            value = turn.nothing[0]
        elif turn.row[0]:
            value = turn.row[0][0]
            if not isinstance(value, CoroutineType):
                token.start, end = turn.times[-2] / 1e9 - origin, turn.times[-1] / 1e9 - origin
        turn.forget()
        self.runner.landed(token, value, error, end)
        return token

    async def _pull(self) -> Made:
        if self._ends:
            self._runtime.world.progress()
        keeping = self.loop.checkpointer
        if keeping is not None:
            keeping.before(self.pulled)
        if not self.can_head_rows or (self.calls_nobody and not self.is_away):
            token = self.token()
            self.runner.run(token)
        elif await self._fetch():
            token = self._given()
        else:
            return NOTHING_MADE
        call: ProducerCall = token.item
        while call.made is None and not self.loop.control.halted:
            await self._runtime.wait()
        if call.made is None:
            await self._give_up(call, token)
        if keeping is not None and not _is_item(call.made):
            keeping.made_nothing(self.pulled)
        return call.made or NOTHING_MADE

    async def _last_moment(self, is_over: Callable[[], Any]) -> None:
        """Give a sync call half a second after a stop."""
        end = self._runtime.now() + 0.5
        while not is_over() and self._runtime.now() < end - SAME:
            await self._runtime.wait(end)

    async def _give_up(self, pull: ProducerCall, token: Call) -> None:
        """End a producer call at a stop: an async one now, a sync one gets half a second."""
        await self._last_moment(lambda: token.task is not None or pull.made is not None)
        if pull.made is None:
            token.cancelled = True
            if token.task is not None:
                token.task.cancel()


def _is_item(made: Made | None) -> bool:
    """Whether that is anything at all."""
    if made is None:
        return False
    what = made[0]
    return not (what is None or what is EXHAUSTED or what is FAILED_TICK)
