"""What does the engine do where no thread can be started? All on the one that there is.

A browser kernel (Pyodide) has one thread. There a simulation and a run go on inside the event
loop that runs, loops live on that one, and sync nodes are called on it, one after the other.
"""

from __future__ import annotations

import asyncio
import functools
import sys
import threading
import time
from asyncio import base_events
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar

from flownb.errors import DeadlockError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

_T = TypeVar("_T")
_WITHOUT: Final = frozenset({"emscripten", "wasi"})
_PAUSES: Final = (0.0, 0.05, 0.1, 0.2, 0.4)
SINGLE: Final = (
    "no thread can be started here (a browser kernel): loops live on the notebook's event loop, "
    "and a sync node holds it while it works"
)


@functools.cache
def has_threads() -> bool:
    """Whether threads can be started here; the first who asks tries it.

    A machine that has too many just now gets a moment; a browser has none, ever.
    """
    for pause in (0.0,) if sys.platform in _WITHOUT else _PAUSES:
        time.sleep(pause)
        thread = threading.Thread(target=_nothing, name="flownb trial", daemon=True)
        with suppress(RuntimeError):  # can't start new thread
            thread.start()
            thread.join()
            return True
    return False


def _nothing() -> None:
    """Take no time."""


def inside(call: Callable[[], _T]) -> _T:
    """Call what runs another event loop, inside the one that runs here; that one stands still."""
    outer, task = asyncio._get_running_loop(), _current_task()  # noqa: SLF001 - public: see docs
    if outer is not None and task is not None:
        asyncio.tasks._leave_task(outer, task)  # noqa: SLF001 - "Extending asyncio" has it
    asyncio._set_running_loop(None)  # noqa: SLF001
    try:
        return _called_by_javascript(call) if sys.platform == "emscripten" else call()
    finally:
        asyncio._set_running_loop(outer)  # noqa: SLF001
        if outer is not None and task is not None:
            asyncio.tasks._enter_task(outer, task)  # noqa: SLF001


def _called_by_javascript(call: Callable[[], _T]) -> _T:
    """Call it so that `time.sleep` in it sleeps.

    A browser's suspends what called it, and waits on the event loop that runs: on an inner one,
    which is suspended too, for ever. What JavaScript called cannot be suspended.
    """
    from pyodide.code import run_js

    ended: Future[_T] = Future()

    def called() -> None:
        try:
            ended.set_result(call())
        except BaseException as error:  # noqa: BLE001 - raised again by whoever asked
            ended.set_exception(error)

    run_js("called => called()")(called)
    return ended.result()


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # no event loop runs
        return None


def run_nested(work: Coroutine[Any, Any, _T]) -> _T:
    """Run *work* to its end, in real time, whether an event loop runs here or not."""

    def run() -> _T:
        with asyncio.Runner(loop_factory=_SleepingLoop) as runner:
            return runner.run(work)

    return inside(run)


class _SleepingLoop(base_events.BaseEventLoop):
    """An event loop in real time that sees nothing of the outside world: it sleeps or works.

    `BaseEventLoop` leaves these three names to its subclasses; none of them is public.
    """

    def __init__(self) -> None:
        super().__init__()
        self._selector = _Sleep()

    def _process_events(self, _: Any) -> None:
        """Nothing comes from outside."""

    def _write_to_self(self) -> None:
        """Nobody else is there to wake it."""


class _Sleep:
    """Stands where an event loop has its sockets."""

    def select(self, timeout: float | None) -> list[Any]:
        """Sleep until the next timer is due."""
        if timeout is None:
            msg = "nothing is left to do, and somebody still waits; without threads nobody comes"
            raise DeadlockError(msg)
        time.sleep(timeout)
        return []
