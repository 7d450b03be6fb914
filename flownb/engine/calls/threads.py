"""Where do sync nodes run? In daemon threads, as many as are needed.

Not `ThreadPoolExecutor`: its threads are joined at interpreter exit, so one hung node
would keep the kernel from ending, and its size would be a limit of its own, while in
flownb only `max_in_flight` and `Limit` limit.

`Threads` gives each call of a loop a thread at once. `ThreadWorkers` serves one-shot runs: a
thread takes the next node when its own has ended, so that a hundred nodes that take
microseconds cost one thread, and the event loop is woken once for all of them. Where a thread
does not get on within a millisecond, more are started, soon one for each call that waits; a
node that took its time when it was called last has one for itself at once. Of a run that is
kept each node is reported by itself: the next one must not be called before that is saved.
"""

from __future__ import annotations

import asyncio
import functools
import math
import os
import queue
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from flownb.engine.calls.call import Call
    from flownb.engine.runtime import Runtime

    Job = Callable[[], Callable[[], None]]  # gives what reports it to the event loop


def outcome_here(call: Callable[[], tuple[Any, Any]]) -> tuple[Any, Any]:
    """Give output and error of *call*, in this process only.

    A node that calls os.fork() comes back in the copy, too. There is no loop to go on with
    there: the copy ends, as it would behind the last line of a script.
    """
    home = os.getpid()
    output, error = call()
    if os.getpid() != home:
        leave_copy(error)
    return output, error


def leave_copy(error: BaseException | None) -> None:
    """End this process, the copy that os.fork() has made, as a script would end."""
    code = error.code or 0 if isinstance(error, SystemExit) else int(error is not None)
    os._exit(code if isinstance(code, int) else 1)


class Threads:
    """Daemon threads that are made on demand and kept for the next call; *most* so many."""

    def __init__(
        self, name: str, fault: Callable[[BaseException], None], most: int | None = None
    ) -> None:
        self.name, self._fault = name, fault
        self.single = most == 1
        self._most = math.inf if most is None else most
        self._jobs: queue.SimpleQueue[tuple[str, Callable[[], Callable[[], None]]] | None]
        self._jobs = queue.SimpleQueue()
        self._idle = threading.Semaphore(0)
        self.begun: list[threading.Thread] = []
        self._own: list[OwnThread] = []
        self.running: dict[threading.Thread, str] = {}

    def submit(self, label: str, call: Callable[[], Callable[[], None]]) -> None:
        """Run *call* in some thread, now, then what it returns, its report.

        If it raises, that is a fault. *label* names it.
        """
        self._jobs.put((label, call))
        if not self._idle.acquire(blocking=False) and len(self.begun) < self._most:
            name = f"flownb {self.name} {len(self.begun)}"
            thread = threading.Thread(target=self._work, name=name, daemon=True)
            self.begun.append(thread)
            thread.start()

    def own(self, name: str) -> OwnThread | SharedThread:
        """Give a thread for what must not change threads; it starts with its first call."""
        if self.single:
            return SharedThread(self)
        self._own.append(OwnThread(f"flownb {self.name} of {name}", self._run))
        return self._own[-1]

    def label(self, label: str) -> None:
        """Say what the thread that this is called in does now."""
        self.running[threading.current_thread()] = label

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._run(*job, self._idle.release)  # first: the report may at once post the next job

    def _run(
        self, label: str, call: Callable[[], Callable[[], None]], done: Callable[[], None] | None
    ) -> None:
        me = threading.current_thread()
        self.running[me] = label
        try:
            report = call()
        except BaseException as error:  # noqa: BLE001 - whoever waits for the call must get it
            report = functools.partial(self._fault, error)
        del self.running[me], call
        if done is not None:
            done()
        try:
            report()
        except Exception as error:  # noqa: BLE001 - mostly: the event loop has closed
            self._fault(error)

    async def aclose(self, grace: float) -> list[str]:
        """End all threads; return the labels of the calls that did not end in *grace* seconds."""
        for _ in self.begun:
            self._jobs.put(None)
        for own in self._own:
            own.end()
        threads = [*self.begun, *(own.thread for own in self._own if own.thread is not None)]
        deadline, pause = time.monotonic() + grace, 0.0
        while any(t.is_alive() for t in threads) and time.monotonic() < deadline:
            await asyncio.sleep(pause)
            pause = min(0.01, pause + 0.001)
        return [label for thread, label in self.running.copy().items() if thread.is_alive()]


class OwnThread:
    """One daemon thread, in which one call after the other is made."""

    def __init__(self, name: str, run: Callable[..., None]) -> None:
        self._name, self._run = name, run
        self._jobs: queue.SimpleQueue[tuple[str, Callable[[], Callable[[], None]]] | None]
        self._jobs = queue.SimpleQueue()
        self.thread: threading.Thread | None = None

    def submit(self, label: str, call: Callable[[], Callable[[], None]]) -> None:
        """Run *call* when the calls before it have ended, then what it returns, its report."""
        self._jobs.put((label, call))
        if self.thread is None:
            self.thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self.thread.start()

    def end(self) -> None:
        """End it behind the calls that were asked for."""
        self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._run(*job, None)
            del job


class SharedThread:
    """The same where all calls of a loop are made in one thread."""

    def __init__(self, threads: Threads) -> None:
        self._threads = threads

    @property
    def thread(self) -> threading.Thread | None:
        """The thread, once it has begun."""
        return next(iter(self._threads.begun), None)

    def submit(self, label: str, call: Callable[[], Callable[[], None]]) -> None:
        """Run *call* when the calls before it have ended, then what it returns, its report."""
        self._threads.submit(label, call)

    def end(self) -> None:
        """Leave the thread to the others."""


_PATIENCE: Final = 0.001  # seconds
_LOOK: Final = 0.02  # seconds
_ON: Final = 4  # jobs that a thread must get done in that time
_MORE: Final = 4  # threads that are sent when it does not


class ThreadWorkers:
    """The threads in which one run calls its sync nodes; *alone*: each call has its own."""

    def __init__(self, runtime: Runtime, *, alone: bool) -> None:
        self._runtime, self._alone = runtime, alone
        self.waiting: deque[tuple[Call, Job]] = deque()
        self._landed: deque[Callable[[], None]] = deque()
        self._at_work = 0  # threads that go on with what waits
        self._lot = 0  # those that were sent since the others turned out to be held up
        self._more = _MORE
        self._taken = self._before = 0
        self._reported = self._timed = False
        self._due = math.inf  # when the rows are looked at
        self._busy: dict[Call, None] = {}

    def call(self, token: Call, job: Job, patience: float = math.inf) -> None:
        """Have a job done in some thread: at once if it is known to take time, or by `look`.

        After *patience* seconds its row is looked at, if it is one.
        """
        at, runtime = token.at, self._runtime
        self._look_by(runtime.now() + patience)
        if self._alone or at.memory.long or at.gate is not None:
            made = job if token.place is None else token.place.kept_by(job)
            runtime.threads.submit(at.name, lambda: _telling(runtime, self._done(token, made)))
        else:
            self.waiting.append((token, job))

    def look(self) -> None:
        """See to it that somebody goes on with what waits."""
        count = len(self.waiting)
        if not count:
            return
        if not self._at_work:
            self._send()
            count -= 1  # one goes there
        if count and not self._timed:
            self._timed, self._before = True, self._taken
            self._runtime.event_loop.call_later(_PATIENCE, self._runtime.guard, self._check)

    def holds(self, token: Call) -> bool:
        """Whether a call has not begun yet."""
        return any(held is token for held, _ in self.waiting.copy())

    def _send(self) -> None:
        self._at_work += 1
        self._runtime.threads.submit("", functools.partial(self._work, self._lot))

    def _done(self, token: Call, job: Job) -> Callable[[], None]:
        """Do a job, in its thread."""
        self._busy[token] = None
        try:
            return job()
        finally:
            del self._busy[token]

    def _look_by(self, due: float) -> None:
        """See to the rows at that second of the run, if nobody does so before."""
        if due < self._due:
            self._due, runtime = due, self._runtime
            when = due + runtime.origin
            runtime.event_loop.call_at(when, runtime.guard, self._look_at_rows, due)

    def _look_at_rows(self, due: float) -> None:
        """See to the rows whose thread does not come back soon."""
        if due != self._due:
            return  # there was another look
        self._due, now = math.inf, self._runtime.now()
        soonest = now + _LOOK if self.waiting else math.inf
        for token in list(self._busy):
            row = token.walk
            if row is None:  # it has just begun, or is no row
                soonest = min(soonest, now + _LOOK if now - token.start < _LOOK else math.inf)
                continue
            if row.due <= now:
                row.look()
            soonest = min(soonest, row.due)
        self._look_by(soonest)

    def _check(self) -> None:
        """Send more, and each time twice as many, if those at work do not get on."""
        self._timed = False
        self._land()
        if self.waiting and self._taken - self._before < _ON * self._at_work:
            self._lot, self._at_work = self._lot + 1, 0
            for _ in range(min(self._more, len(self.waiting))):
                self._send()
            self._more *= 2
        self.look()

    def _work(self, lot: int) -> Callable[[], None]:
        """Do one job after the other; give what reports that there are none left."""
        since = self._runtime.now()
        while self.waiting:
            try:
                token, job = self.waiting.popleft()
            except IndexError:  # another thread was quicker
                break
            if token.cancelled:
                continue
            self._taken += 1
            self._runtime.threads.label(token.at.name)
            token.start = self._runtime.now()
            self._landed.append(self._done(token, job))
            late = self._runtime.now() - since > _PATIENCE
            if late and self.waiting and not self._reported:  # else it is reported at the end
                self._reported, since = True, self._runtime.now()
                self._runtime.soon(self._land)
        return _telling(self._runtime, functools.partial(self._left, lot))

    def _land(self) -> None:
        self._reported = False
        while self._landed:
            self._runtime.guard(self._landed.popleft())

    def _left(self, lot: int) -> None:
        if lot == self._lot:
            self._at_work -= 1
        if not self.waiting:
            self._more = _MORE
        self._land()
        self.look()


def _telling(runtime: Runtime, step: Callable[[], None]) -> Callable[[], None]:
    return functools.partial(runtime.soon, step)
