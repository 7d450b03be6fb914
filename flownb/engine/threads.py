"""Where do synchronous nodes run? In daemon threads, as many as are needed.

Not `ThreadPoolExecutor`: its threads are joined at interpreter exit, so one hung node
would keep the kernel from ending, and its size would be a limit of its own, while in
flownb only `max_in_flight` and `Limit` limit.
"""

from __future__ import annotations

import asyncio
import functools
import os
import queue
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def outcome_here(call: Callable[[], tuple[Any, Any]]) -> tuple[Any, Any]:
    """Give output and error of *call*, in this process only.

    A node that calls os.fork() comes back in the copy, too. There is no loop to go on with
    there: the copy ends, as it would behind the last line of a script.
    """
    home = os.getpid()
    output, error = call()
    if os.getpid() != home:
        code = error.code or 0 if isinstance(error, SystemExit) else int(error is not None)
        os._exit(code if isinstance(code, int) else 1)
    return output, error


class Threads:
    """Daemon threads that are made on demand and kept for the next call."""

    def __init__(self, name: str, fault: Callable[[BaseException], None]) -> None:
        self.name, self._fault = name, fault
        self._jobs: queue.SimpleQueue[tuple[str, Callable[[], Callable[[], None]]] | None]
        self._jobs = queue.SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._threads: list[threading.Thread] = []
        self.running: dict[threading.Thread, str] = {}

    def submit(self, label: str, call: Callable[[], Callable[[], None]]) -> None:
        """Run *call* in some thread, now, then what it returns, which tells of it.

        If it raises, that is a fault. *label* names it.
        """
        self._jobs.put((label, call))
        if not self._idle.acquire(blocking=False):
            name = f"flownb {self.name} {len(self._threads)}"
            thread = threading.Thread(target=self._work, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def label(self, label: str) -> None:
        """Say what the thread that this is called in does now."""
        self.running[threading.current_thread()] = label

    def _work(self) -> None:
        me = threading.current_thread()
        while (job := self._jobs.get()) is not None:
            self.running[me], call = job
            try:
                tell = call()
            except BaseException as error:  # noqa: BLE001 - whoever waits for the call must hear of it
                tell = functools.partial(self._fault, error)
            del self.running[me], job, call
            self._idle.release()  # first: who hears of it may at once have the next job
            try:
                tell()
            except Exception as error:  # noqa: BLE001 - mostly: the event loop has closed
                self._fault(error)
            del tell

    async def aclose(self, grace: float) -> list[str]:
        """End all threads; return the labels of the calls that did not end in *grace* seconds."""
        for _ in self._threads:
            self._jobs.put(None)
        deadline, pause = time.monotonic() + grace, 0.0
        while any(t.is_alive() for t in self._threads) and time.monotonic() < deadline:
            await asyncio.sleep(pause)
            pause = min(0.01, pause + 0.001)
        return [label for thread, label in self.running.copy().items() if thread.is_alive()]
