"""How does one thread call a chain of nodes? In a turn: row after row, for up to 5 ms.

A row is one item on its way through some nodes; a call in the middle of a loop has one row. The
worker notes each call as a reading of the clock and the value that it gave, so any thread can see
at any moment how far it is: `values` first, then the reading, and the reading commits. Who wants
the row at work empties `steps`: that ends the `for` behind the running call, without a lock and
without a flag per node. The call that runs meanwhile is noted as ever, and the worker reports its
end in every case.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections import deque
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from flownb.engine.calls.signature import EXHAUSTED
from flownb.engine.calls.threads import leave_copy
from flownb.errors import FAILS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    # by position: the verdict, and the edges that are live; None: the cache knew it, all are
    Routes = dict[int, Any]
    RowState = tuple[list[Any], Routes]
    Step = tuple[Callable[[Any], Any], int, Callable[[list[Any], Routes], Any] | None]

TURN: Final = 5_000_000  # nanoseconds


class _Dead:
    """Stands for what a node gave that was not called: no live edge led to it."""

    def __repr__(self) -> str:
        return "DEAD"


DEAD: Final = _Dead()
_here = threading.local()


class AtWork(NamedTuple):
    """The row at work, behind *done* others: its readings, and what its ended calls gave."""

    done: int
    times: list[int]
    values: list[Any]
    row: RowState


class Turn:
    """Some rows in one thread.

    *head* is the first call of a row, *steps* are the others, each with the position of the value
    it takes, or with a function that gathers its payload. *most*: how many rows it may have;
    *keeps*: what each row gave is kept; *pulls*: None from the head is no item; *tail*: what is
    done with the values of each row, the turn ends if it gives False. `times` has a
    reading for the start of each row and one for each call that has ended, `row` what the row at
    work has given and how it was routed, `rows` the same of the rows that are done.
    """

    __slots__ = (
        "_answers", "_head", "_keeps", "_most", "_pulls", "_steps", "_tail", "asked", "call",
        "error", "first", "index", "last", "messages", "nothing", "on_end", "over", "row", "rows",
        "taken", "times", "token", "width",
    )  # fmt: skip

    def __init__(
        self, head: Callable[[], Any], steps: list[Step], *, first: int, most: int = 1,
        keeps: bool = True, pulls: bool = True,
        tail: Callable[[Turn, list[Any]], bool] | None = None,
    ) -> None:  # fmt: skip
        self._head, self._steps, self._most, self._tail = head, steps, most, tail
        self._keeps, self._pulls = keeps, pulls
        self._answers: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.first = first  # the number of its first row
        self.index = 0  # that of its first item in the source
        self.messages: Sequence[Any] = ()  # those that its rows have begun with
        self.token: Any = None  # the call that it begins with, if a token does
        self.call: Any = None  # what the call at work was told of its place, if it has a context
        self.width = len(steps) + 2
        self.times: list[int] = []
        self.rows: list[RowState] = []
        self.row: RowState = ([], {})
        self.last: list[Any] = []
        self.error: BaseException | None = None  # what the call at work has raised
        self.nothing: list[Any] = []  # what the head gave that is no item
        self.asked = self.taken = self.over = False
        self.on_end: list[Callable[[], None]] = []  # called on the event loop, when it is over

    @property
    def done(self) -> int:
        """How many rows are complete."""
        return len(self.rows) if self._keeps else len(self.times) // self.width

    def at_work(self) -> AtWork:
        """Give the row behind those that are complete, as far as it has come."""
        while True:  # until no other row has begun meanwhile
            row, done = self.row, self.done
            times = self.times[done * self.width :]
            if self.row is row and self.done == done:
                return AtWork(done, times, row[0][: len(times) - 1] if times else [], row)

    def take(self) -> None:
        """Begin no call any more."""
        self.taken = self.asked = True
        self._steps.clear()
        self.answer()

    def wait(self) -> None:
        """Wait in its thread for an answer to what a row has asked for, or until it is taken."""
        if not self.taken:
            self._answers.get()

    def answer(self) -> None:
        """Let its thread go on; on the event loop."""
        self._answers.put(None)

    def has_ended(self) -> bool:
        """Whether it is over by now."""
        return self.over

    def end(self) -> None:
        """Tell that it is over; on the event loop."""
        for step in self.on_end:
            step()
        self.on_end.clear()

    def forget(self) -> None:
        """Let go of the rows: who keeps an error keeps the frame of its row, and so this turn."""
        self.times.clear()
        self.rows.clear()
        self.last = []

    def work(self) -> None:
        """Call rows until the turn is over; only the thread of the turn does."""
        _here.turn, home = self, os.getpid()
        try:
            self._call_rows()
        except FAILS as error:  # it becomes the failure of the row at work
            self.error = error
        finally:
            _here.turn = None
            if os.getpid() != home:
                leave_copy(self.error)

    def _call_rows(self) -> None:
        clock, times, steps, left = time.monotonic_ns, self.times, self._steps, self._most
        coroutine, head, tail = CoroutineType, self._head, self._tail
        none = None if self._pulls else EXHAUSTED
        rows: Any = self.rows if self._keeps else deque(maxlen=0)
        deadline = clock() + TURN
        while True:
            row: RowState = ([], {})
            self.row = row
            values, routes = row
            times.append(clock())
            value = head()
            if value is none or value is EXHAUSTED:
                self.nothing.append(value)
                return
            values.append(value)
            if type(value) is coroutine:
                return
            times.append(clock())
            for fn, source, gather in steps:
                if gather is None:
                    value = fn(values[source])
                elif (payload := gather(values, routes)) is DEAD:
                    values.append(DEAD)
                    times.append(times[-1])
                    continue
                else:
                    value = fn(payload)
                values.append(value)
                if type(value) is coroutine:  # it has only begun
                    return
                times.append(clock())
            if self.taken or (tail is not None and not tail(self, values)):
                return
            self.last = values
            rows.append(row)
            left -= 1
            if self.asked or not left or times[-1] > deadline:
                return


def current() -> Turn:
    """Give the turn that this thread is at work on."""
    turn: Turn = _here.turn
    return turn


def _end_in_copy() -> None:
    """End the row of a node that has called os.fork(), in the copy: no loop waits for it there."""
    turn = getattr(_here, "turn", None)
    if turn is not None:
        turn.take()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_end_in_copy)
