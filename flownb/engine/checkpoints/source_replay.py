"""How does a source get back to where a checkpoint says? It is read again from its beginning.

A list, a generator function, anything that can be begun anew gives the same items again: as
many as are done are dropped, by count, without a call of any node. A function goes on by
itself, with `ctx.position` or what it has put into `ctx.state`; so does a generator function
that asks for one of the two. An iterator that runs already cannot be begun anew.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from flownb.engine.calls.signature import ENDS, EXHAUSTED, can_be_replayed
from flownb.errors import FAILS, RunError

if TYPE_CHECKING:
    from collections.abc import Callable

    from flownb.engine.calls.node_memory import Memories
    from flownb.engine.checkpoints.checkpointer import Checkpointer
    from flownb.engine.runtime import Runtime

_NONES: Final = 1000  # in a row, before a source that has nothing now is left alone for a while
_CHUNK: Final = 100_000
_LOST: Final = (
    "items that were under way when it was kept: {}; its producer cannot make them again, a "
    "function has to ask for ctx.position or keep ctx.state"
)

Outcome = tuple[int, Any, BaseException | None]  # items dropped, the last one, what was raised

# The iterators that loops of this process have read, and how far: (graph, loop) -> both.
_read: dict[tuple[str, str], tuple[Any, int]] = {}


class Resting(Protocol):
    """What is asked of a loop."""

    @property
    def at_rest(self) -> bool:
        """Whether no item may be made just now."""


class Made(Protocol):
    """The loop that a source makes items for."""

    runtime: Runtime
    graph: str
    memory: Memories
    made: int

    @property
    def control(self) -> Resting:
        """What is asked of it."""


class Pulled(Protocol):
    """A source that counts the items it gives."""

    loop: Any
    runner: Any
    pulled: int
    exhausted: bool

    @property
    def thread(self) -> Any:
        """The thread in which it is called."""

    def first_arguments(self) -> dict[str, Any]:
        """Give what the source's function is called with."""

    def tick_failed(self, error: BaseException) -> None:
        """Report a failed producer call."""

    @property
    def may_keep_state(self) -> bool:
        """Whether what makes items has a `ctx.state`."""


class SourceReplay:
    """One source on its way to the first item that is not done."""

    loop: Made

    def __init__(self, source: Pulled, keeping: Checkpointer) -> None:
        self.source, self.loop = source, source.loop
        self._runtime = self.loop.runtime
        self.position, self._restored = keeping.position, keeping.restored
        self.asked = False  # whether the source has asked where to begin
        self._fn = source.runner.called_fn
        self._replayed = can_be_replayed(self._fn)
        source.pulled = self.position.first
        if not (self._replayed or source.may_keep_state) and keeping.under_way > 0:
            self._runtime.log(self._runtime.name, -1, "warning", _LOST.format(keeping.under_way))
        own = self.loop.memory.of(self._runtime.name).kept
        self._behind = self._to_drop() if self._replayed and not own else 0
        self._first = self._behind > 0

    def _to_drop(self) -> int:
        """Count the items to drop; an iterator that runs already stands somewhere."""
        if not isinstance(self._fn, (Iterator, AsyncIterator)):
            return self.position.first
        before, at = _read.get((self.loop.graph, self._runtime.name), (None, 0))
        if before is not self._fn or not self._restored:
            return self.position.first
        lost = next((n for n in range(self.position.first, at) if not self.position.covers(n)), -1)
        if lost >= 0:
            kind = type(self._fn).__name__
            msg = (
                f"loop {self._runtime.name!r}: item {lost} was not done, and its source, a {kind} "
                "that runs already, cannot give it again: give a generator function that yields "
                "its items, or a list; start(fresh=True) goes on without it"
            )
            raise RunError(msg)
        self.loop.made += at - self.position.first
        self.source.pulled = at
        return 0

    @property
    def pending(self) -> bool:
        """Whether anything has to be dropped before the next item may be made."""
        return self._behind > 0 or self.position.end > self.source.pulled

    async def go(self) -> bool:
        """Go as far as the next item that is not done; False when it is not reached yet."""
        source = self.source
        while self._behind > 0:
            if not await self._drop(1 if self._first else min(self._behind, _CHUNK)):
                return False
        while self.position.covers(source.pulled):
            if self._replayed:
                self._behind = 1
                if not await self._drop(1):
                    return False
            source.pulled += 1
            self.loop.made += 1
        return True

    async def _drop(self, count: int) -> bool:
        dropped, last, error = await self._dropped(count)
        self._behind -= dropped
        if error is not None:
            self.source.tick_failed(error)
        elif last is EXHAUSTED:
            self._behind, self.source.exhausted = 0, True
        elif self._first and dropped:
            self._first = False
            if self.asked:  # it began where it was asked to: that item is the next one
                self._behind = 0
                _give_again(self.source.runner, last)
        return error is None and dropped == count

    async def _dropped(self, count: int) -> Outcome:
        runner, loop = self.source.runner, self.loop
        given = self.source.first_arguments()
        if runner.is_async:
            return await _drop_async(runner.target, given, count)
        work = functools.partial(
            _drop_sync, runner.target, given, count, lambda: loop.control.at_rest
        )
        if self._runtime.inline:
            return work()
        return await _in_thread(self._runtime, self.source.thread, work)


def remember(source: Pulled) -> None:
    """Note how far an iterator was read that cannot be begun anew."""
    fn, loop = source.runner.called_fn, source.loop
    if isinstance(fn, (Iterator, AsyncIterator)):
        _read[loop.graph, loop.runtime.name] = fn, source.pulled


def _give_again(runner: Any, item: Any) -> None:
    """Have the next pull give *item*, and the ones after it what comes."""
    pull = runner.target

    def once(**_: Any) -> Any:
        runner.target = pull
        return item

    async def once_async(**_: Any) -> Any:
        runner.target = pull
        return item

    runner.target = once_async if runner.is_async else once


@dataclass(slots=True)
class _NoneCount:
    """How many items were dropped of so many, and what came last."""

    count: int
    dropped: int = 0
    nones: int = 0
    last: Any = None

    @property
    def wants_more(self) -> bool:
        waits = self.nones >= _NONES or self.last is EXHAUSTED
        return self.dropped < self.count and not waits

    def took(self, item: Any) -> None:
        self.last = item
        self.nones = self.nones + 1 if item is None else 0
        self.dropped += item is not None and item is not EXHAUSTED

    def outcome(self, error: BaseException | None = None) -> Outcome:
        return self.dropped, self.last, error


def _drop_sync(
    pull: Callable[..., Any], given: dict[str, Any], count: int, stop: Callable[[], bool]
) -> Outcome:
    tally = _NoneCount(count)
    try:
        while tally.wants_more and not stop():
            tally.took(pull(**given))
    except FAILS as error:  # as of any tick
        return tally.outcome(error)
    return tally.outcome()


async def _drop_async(pull: Callable[..., Any], given: dict[str, Any], count: int) -> Outcome:
    tally = _NoneCount(count)
    try:
        while tally.wants_more:
            tally.took(await pull(**given))
    except ENDS:
        raise
    except FAILS as error:  # as of any tick
        return tally.outcome(error)
    return tally.outcome()


async def _in_thread(runtime: Runtime, thread: Any, work: Callable[[], Outcome]) -> Outcome:
    """Read in the source's own thread: it may be slow, and its prints go to the log."""
    future = runtime.event_loop.create_future()

    def land(outcome: Outcome) -> None:
        if not future.done():
            future.set_result(outcome)

    thread.call(work, land)
    outcome: Outcome = await future
    return outcome
