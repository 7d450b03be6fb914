"""What is known of a call before its item makes it? How it ended in a row, or what it waits for.

A row that does not go on as one becomes an ordinary item. Its `memo` says of each node that was
called already what became of that: a value, an error, or one of these.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from flownb.engine.calls.call import Call
    from flownb.engine.calls.turn import RowState, Turn


class NotCalled(Exception):
    """A row cannot make a call: what comes before it failed, or has to be waited for.

    The node is called as any other.
    """


class Simulated(NamedTuple):
    """A sync call of a simulation that has been made: it still lasts *extra* seconds."""

    extra: float
    output: Any
    error: BaseException | None


class Pending(ABC):
    """A call that was begun in a row: its item meets it as it comes to the node."""

    start: float | None = None
    """The second of its start, where that is known."""

    @abstractmethod
    def follow(self, token: Call) -> None:
        """Let the item's token end with it."""


class StartedCall(Pending):
    """A coroutine that a node gave: it is still to be awaited."""

    def __init__(self, coroutine: Any) -> None:
        self._coroutine = coroutine

    def follow(self, token: Call) -> None:
        """Await it for the token."""
        runner: Any = token.at
        runner.landed(token, self._coroutine, None)


class EndedCall(Pending):
    """A call that has ended in a row, from second *start* to *end*.

    *routed*: what goes on, and along which edges, or why that cannot be said; *known*: the cache
    had it.
    """

    __slots__ = ("_end", "_known", "_output", "_routed", "start")

    start: float

    def __init__(
        self, output: Any, routed: tuple[Any, Any] | BaseException | None, start: float,
        end: float, *, known: bool = False,
    ) -> None:  # fmt: skip
        self._output, self._routed = output, routed
        self.start, self._end, self._known = start, end, known

    def follow(self, token: Call) -> None:
        """Let the token end as it did."""
        runner: Any = token.at
        token.start = self.start
        if self._known:
            runner.answered(token, self._output)
        else:
            runner.landed(token, self._output, None, self._end, self._routed)


class FailedCall(Pending):
    """A call that has raised, from second *start* to *end*: the first attempt, if more follow."""

    start: float

    def __init__(self, error: BaseException, start: float, end: float) -> None:
        self._error, self.start, self._end = error, start, end

    def follow(self, token: Call) -> None:
        """Go on with the token as behind any call that failed."""
        runner: Any = token.at
        token.start = self.start
        runner.landed(token, None, self._error, self._end)


class OpenCall(Pending):
    """The call that was at work in a row when it was taken out of its turn.

    *position*: its place in the row; *reading*: that of its end in the readings of the turn;
    *start*: the second of its start; *leave*: leaves the thread to it, when it is given up;
    *call*: what the thread has told of its place, whose contexts end with the token's.
    """

    start: float

    def __init__(
        self, turn: Turn, row: RowState, position: int, reading: int, start: float, *,
        leave: Callable[[], None], call: Call | None,
    ) -> None:  # fmt: skip
        self._turn, self._row, self._position = turn, row, position
        self._reading, self.start, self.leave, self._call = reading, start, leave, call
        self._token: Call | None = None
        self._outcome: Any = None
        self._end: float | None = None
        turn.on_end.append(self.end)

    def follow(self, token: Call) -> None:
        """Let the token end when the worker's call does, or its time is up."""
        self._token, runner = token, cast("Any", token.at)
        if self._call is not None:
            token.contexts = self._call.contexts
        if runner.node.timeout is not None:
            self._outcome = runner.runtime.event_loop.create_future()
            runner.attend(token, self)
        if self._turn.over:
            self.end()
        else:
            token.start = self.start

    @property
    def ended(self) -> float | None:
        """The second of its end, as its thread has read it; what it gave may not be here yet."""
        times, at = self._turn.times, self._reading
        if self._end is None and len(times) > at:  # of a coroutine that it gave there is none
            self._end = self.start + (times[at] - times[at - 1]) / 1e9
        return self._end

    async def outcome(self, limit: float) -> tuple[Any, BaseException | None] | None:
        """Wait for output and error of the call, up to *limit* seconds from its start.

        None if it had not begun; raises TimeoutError.
        """
        if self._token is not None:
            now = cast("Any", self._token.at).runtime.now()
            left = limit if self.ended is not None else max(limit - (now - self.start), 0.0)
            await asyncio.wait((self._outcome,), timeout=left)
        if not self._outcome.done():
            raise TimeoutError
        found: tuple[Any, BaseException | None] | None = self._outcome.result()
        return found

    def _has_ended(self, token: Call) -> None:
        """Give the outcome to who waits for it."""
        values, turn = self._row[0], self._turn
        self._end = self.ended  # its readings are let go of soon
        outcome: tuple[Any, BaseException | None] | None = None
        if len(values) > self._position:
            outcome = values[self._position], None
        elif turn.row is self._row and is_of_call(turn.error):
            outcome, self._end = (None, turn.error), cast("Any", token.at).runtime.now()
        if not self._outcome.done():
            self._outcome.set_result(outcome)

    def end(self) -> None:
        """Go on with what the call gave; if it had not begun, the token begins it."""
        token, turn = self._token, self._turn
        if token is None:
            return
        self._token = None
        if self._outcome is not None:
            self._has_ended(token)
            return
        runner: Any = token.at
        values, runtime = self._row[0], runner.runtime
        if len(values) > self._position:
            times = turn.times
            known = len(times) > self._reading  # not of a coroutine that it gave
            end = times[self._reading] / 1e9 - runtime.origin if known else None
            value = values[self._position]
            if isinstance(value, Pending):
                value.follow(token)
            elif self._position in self._row[1]:
                verdict, live = self._row[1][self._position]
                if live is None:
                    runner.answered(token, value)
                else:
                    runner.landed(token, verdict, None, end, (value, live))
            else:
                runner.landed(token, value, None, end)
        elif self._position in self._row[1]:  # it has ended, but not what was to choose its edges
            verdict, failure = self._row[1][self._position]
            runner.landed(token, verdict, None, None, failure)
        elif turn.row is self._row and is_of_call(turn.error):
            runner.landed(token, None, turn.error)
        elif not token.cancelled:
            runner.table.open.pop(token, None)
            runner.begin_anew(token)


def is_of_call(error: BaseException | None) -> TypeGuard[BaseException]:
    """Whether a call was made, and has raised that."""
    return error is not None and not isinstance(error, NotCalled)
