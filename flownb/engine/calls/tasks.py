"""In which tasks do async nodes run? In shared ones (`TaskWorkers`), until one really waits.

A task takes the next node when its own has ended, so that a hundred nodes that
never wait cost one task, not a hundred. Where a node waits, its task is its own until it
has ended, and another one goes on with the rest: timeouts, task groups and `current_task`
are as ever. What a node leaves behind in its task (a context variable, a cancellation)
reaches no other: that task takes no further node.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from flownb.engine.calls.signature import ENDS
from flownb.engine.prints import HERE
from flownb.errors import FAILS, SimulationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from flownb.engine.calls.call import Call
    from flownb.engine.runtime import Runtime

_TURN: Final = 0.005  # seconds after which others get their turn on the event loop


class TaskWorkers:
    """The tasks in which a loop's async nodes are awaited."""

    def __init__(self, runtime: Runtime, ready: deque[Call], pump: Callable[[], None]) -> None:
        self._runtime, self._ready, self._pump = runtime, ready, pump
        self.waiting: deque[Call] = deque()
        self._called = 0  # tasks made that have not begun yet
        self._more = 1  # how many the next call makes: twice as many when all of them wait
        self._busy = False  # one is at work between two nodes, and will look at what waits

    def take(self, token: Call) -> None:
        """Await a node in some task, soon; first come, first served."""
        self.waiting.append(token)
        self.look()

    def look(self) -> None:
        """See to it that somebody goes on with what waits."""
        if self.waiting and not self._busy and not self._called:
            self._call()

    def _call(self) -> None:
        """Make the tasks that go on with what waits, if those at work wait themselves."""
        runtime, count = self._runtime, min(self._more, len(self.waiting))
        self._called, self._more = count, self._more * 2
        for _ in range(count):
            context = runtime.context.copy()
            task = runtime.event_loop.create_task(self._work(), context=context)
            runtime.tasks[task] = None

    async def _work(self) -> None:
        me: Any = asyncio.current_task()
        waiting, until = self.waiting, self._runtime.now() + _TURN
        self._called -= 1
        self._busy = True
        try:
            while waiting:
                token = waiting.popleft()
                if token.cancelled and _unwanted(token):
                    continue
                token.task, token.attempt = me, 1
                at: Any = token.at  # a runner
                if not at.begins(token):
                    continue
                if waiting and not self._called:
                    self._call()
                HERE.set(token)
                clean, output = contextvars.copy_context(), None
                error: BaseException | None = None
                self._busy = False
                try:
                    me.set_name(at.name)
                    output = await (at.target(token.payload) if at.bare else at.invoke(token))
                except ENDS as gone:
                    if _unwanted(token):
                        raise
                    error = _by_itself(token, gone)
                except FAILS as failure:  # it becomes the item's failure
                    error = failure
                self._busy, is_clean = True, _is_clean(me, clean)
                end = self._runtime.now()
                self._ended(token, output, error, end)
                if end > until or not is_clean:
                    return
            self._more = 1
        except Exception as fault:  # noqa: BLE001 - of ours
            self._runtime.crash(fault)
        finally:
            self._runtime.tasks.pop(me, None)
            self._busy = False
            self.look()

    def _ended(self, token: Call, output: Any, error: BaseException | None, end: float) -> None:
        token.task = None
        if token.buffer:
            token.end()
        if token.cancelled and _unwanted(token):
            return
        if error is not None and isinstance(error, SimulationError):
            self._runtime.crash(error)
        at: Any = token.at
        at.ended(token, output, error, end)
        if self._ready:
            self._runtime.context.run(self._pump)


def _unwanted(token: Call) -> bool:
    """Whether nobody wants the outcome of a call any more."""
    if token.cancelled:
        token.at.leave_gate(token)
    return token.cancelled


def _is_clean(task: Any, clean: contextvars.Context) -> bool:
    """Whether a node has left nothing behind in the task that awaited it."""
    # before 3.13 a task that was uncancelled is still cancelled soon, and no public name tells
    if task.cancelling() or task._must_cancel:  # noqa: SLF001
        return False
    try:
        return contextvars.copy_context() == clean
    except Exception:  # noqa: BLE001 - a value that cannot be compared
        return False


def _by_itself(token: Call, gone: BaseException) -> BaseException:
    error = RuntimeError(f"node {token.at.name!r} cancelled itself")
    error.__cause__ = gone
    return error
