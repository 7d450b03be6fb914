"""How does a loop live in a child process? `ProcessHost`: one child, one pipe, one thread.

The child comes from a fork server that has flownb imported, where there is one, else from
a fresh interpreter; never from a fork of the kernel, whose threads and locks would not
survive it. A thread of the kernel reads what the loop reports and sees the child's death.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import multiprocessing.spawn
import os
import pickle
import signal
import sys
import tempfile
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from flownb.engine.hosts.child import MARK, main
from flownb.engine.hosts.host import Host
from flownb.engine.remote.environment import Imports
from flownb.engine.remote.pickling import PickledLoop, Shared, dump_plan, load
from flownb.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection

    from flownb.engine.remote.loop_proxy import LoopProxy

_PRELOAD: Final = "flownb.engine.hosts.preload"
# What a child may take longer than the grace of its stop: to end tasks, threads, resources.
_PATIENCE: Final = 2.5
_EXIT: Final = 2.0
_UNCONFIRMED: Final = 0.9  # of the grace: a child that has not begun is gone when it is over
_starting = threading.Lock()


class ProcessHost(Host):
    """One loop in a child process of its own."""

    pool = "process"
    manager: LoopProxy

    def __init__(
        self, manager: LoopProxy, on_end: Callable[[Host], None], pickled: PickledLoop
    ) -> None:
        super().__init__(manager, on_end)
        self.pickled = pickled
        self._content = load(pickled, "a process pool")
        self._imports, self._shared = Imports(), Shared()
        self._shared.add_plan(pickled.plan)
        self._down: Connection | None = None
        self._early: list[bytes] = []
        self._lock = threading.Lock()
        self._confirmed = self._forced = self._over = self._left = False
        self._due = 0.0
        self._deadline: threading.Timer | None = None
        self.process: Any = None
        self._marked, self._mark_path = -1, ""  # a file: see `Pipe.mark`
        manager.send = self._send

    def start(self, origin: float) -> None:
        """Start the thread that starts the child: this returns at once."""
        self.manager.begin(origin)
        name = f"flownb loop {self.manager.name}"
        threading.Thread(target=self._main, args=(origin,), name=name, daemon=True).start()

    def edited(self) -> list[str]:
        """Name modules that were edited since the child may have imported them."""
        return self._imports.edited()

    def _send(self, verb: str, *args: Any) -> None:
        with self._lock:
            if self._over:
                return
            if verb == "stop":
                self._set_deadline(args[0])
            if verb == "apply":
                self._imports.note()
                args = (dump_plan(args[0], args[1], self._shared),)
            message = pickle.dumps((verb, *args))
            if self._down is None:
                self._early.append(message)
            else:
                with contextlib.suppress(OSError):  # it has just ended
                    self._down.send_bytes(message)

    def _set_deadline(self, grace: float) -> None:
        """End the child a while behind the grace, or within it if it has not even begun."""
        due = time.monotonic() + grace
        if self._deadline is not None:
            if due >= self._due:
                return
            self._deadline.cancel()
        self._due = due
        self._begin_deadline(grace + _PATIENCE if self._confirmed else _UNCONFIRMED * grace)

    def _begin_deadline(self, seconds: float) -> None:
        self._deadline = threading.Timer(seconds, self._time_is_up)
        self._deadline.name, self._deadline.daemon = f"flownb stop {self.manager.name}", True
        self._deadline.start()

    def _time_is_up(self) -> None:
        with self._lock:
            late = time.monotonic() - self._due
            if self._over:
                return
            if self._confirmed and late < _PATIENCE:  # it began its work at the last moment
                self._begin_deadline(_PATIENCE - late)
                return
            self._end_by_force()
        if self._left:
            self._finish()

    def _end_by_force(self) -> None:
        """Kill a child that does not stop; leave one that still starts to the host's thread."""
        self._forced = True
        if self._confirmed:
            self.manager.abandoned.append("its process, which did not obey")
        if self._down is not None:
            self.process.kill()
        else:
            self._left = self._over = True

    # -- in the thread of this host --------------------------------------------

    def _main(self, origin: float) -> None:
        error: BaseException | None = None
        try:
            with _mark_file() as (self._marked, self._mark_path):
                error = self._live(origin)
        except Exception as fault:  # noqa: BLE001 - reported by the loop's state
            error = fault
            self._over = True
        if not self._left:
            self._finish(error)

    def _live(self, origin: float) -> BaseException | None:
        with _starting:
            if self._left:
                return None
            here, lifeline = self._launch(origin)
        with here, lifeline:
            if not self._left:
                self._listen(here)
            return self._reaped(here)

    def _launch(self, origin: float) -> tuple[Connection, Connection]:
        """Start the child and give it what it needs."""
        context = _context()
        here, there = multiprocessing.Pipe()
        watched, lifeline = multiprocessing.Pipe(duplex=False)
        with there, watched:
            ways = there, watched, self._mark_path
            self.process = context.Process(  # type: ignore[attr-defined]
                target=main,
                args=(ways, self.manager.beginning, origin, multiprocessing.get_start_method()),
                name=f"flownb {self.manager.name}",
                daemon=True,
            )
            with _without_main():
                self.process.start()
        with self._lock, contextlib.suppress(OSError):  # if it has died, the sentinel shows it
            if self._left:
                self.process.kill()
                return here, lifeline
            here.send_bytes(self._content)
            for message in self._early:
                here.send_bytes(message)
            self._down = here
        return here, lifeline

    def _listen(self, here: Connection) -> None:
        """Take what the loop reports until it has ended or died."""
        sentinel = self.process.sentinel
        while not self.manager.has_reported_end:
            ready = multiprocessing.connection.wait([here, sentinel])
            if here not in ready or not self._take(here):
                return

    def _take(self, here: Connection) -> bool:
        try:
            message = here.recv_bytes()
        except (EOFError, OSError):
            return False
        self._confirmed = True
        self.manager.take(message)
        return True

    def _reaped(self, here: Connection) -> BaseException | None:
        """See the child out; give what its death was, if the loop had not ended before."""
        with self._lock:
            self._down, self._over = None, True
            if self._deadline is not None:
                self._deadline.cancel()
        self.process.join(_EXIT if self.manager.has_reported_end else 0.05)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
        while here.poll() and self._take(here):
            pass
        code = self.process.exitcode
        self.process.close()
        if self.manager.has_reported_end:
            return None
        os.lseek(self._marked, 0, os.SEEK_SET)
        self.manager.cut_off(int.from_bytes(os.read(self._marked, MARK), sys.byteorder))
        if self._forced:
            return None
        return RunError(f"loop {self.manager.name!r}: its process {_died(code)}")


@contextlib.contextmanager
def _mark_file() -> Iterator[tuple[int, str]]:
    """Make the file of `Pipe.mark`; its name goes as soon as the child has opened it."""
    opened, path = tempfile.mkstemp(prefix="flownb-")
    try:
        os.write(opened, bytes(MARK))
        yield opened, path
    finally:
        os.close(opened)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)  # noqa: PTH108


def _died(code: int) -> str:
    """Say how a process ended."""
    if code >= 0:
        return f"ended by itself with exit code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else "unknown"
    why = ": the machine may have been short of memory" if -code == signal.SIGKILL else ""
    return f"was ended by signal {-code} ({name}){why}"


def _context() -> multiprocessing.context.BaseContext:
    """Give the fork server's context, with flownb preloaded, or that of fresh interpreters."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    from multiprocessing import forkserver

    server: Any = forkserver._forkserver  # noqa: SLF001 - nothing public tells
    wanted = [name for name in server._preload_modules if name != "__main__"]  # noqa: SLF001
    # not ["__main__"], its default: the notebook's or script's code must not run again
    forkserver.set_forkserver_preload(list(dict.fromkeys([*wanted, _PRELOAD])))
    return multiprocessing.get_context("forkserver")


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """Start a child of this thread without running the script that started us in it.

    Everything a loop needs is in its `PickledLoop`; a script without `if __name__ == "__main__"`
    would start itself again and again.
    """
    original, me = multiprocessing.spawn.get_preparation_data, threading.get_ident()

    def prepared(name: str) -> dict[str, Any]:
        data = original(name)
        if threading.get_ident() == me:
            data.pop("init_main_from_name", None)
            data.pop("init_main_from_path", None)
        return data

    multiprocessing.spawn.get_preparation_data = prepared
    try:
        yield
    finally:
        multiprocessing.spawn.get_preparation_data = original
