"""Does every test leave the process as it found it?

A notebook kernel lives for days, so nothing may leak: no thread, no child process, no
open file or socket, no event loop, no task. One fixture around every test (and every
doctest) takes a census before and after; whoever is new gets ten seconds to leave.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from weakref import WeakSet

import hypothesis
import pytest

from flownb import redaction
from flownb.engine.orchestrator import generations
from tests.support import pyodide, workers

collect_ignore_glob = ["faults/*"]  # programs, not modules: importing one runs it
NIGHTLY = ("exercises", "recipe_", "slides", "smallest_engine", "teaching")  # notebooks
GRACE = 10.0  # seconds for executors, children and sockets that are already on their way out
# Hypothesis fails an example that took 0.2 s: on a machine that stands still any of them does.
hypothesis.settings.register_profile(
    "patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("patient")

_PROC = Path("/proc/self")
_HAS_PROC = sys.platform == "linux" and (_PROC / "fd").is_dir()
_LOOPS: WeakSet[asyncio.BaseEventLoop] = WeakSet()


@dataclass
class Census:
    """Who is here: by identity, so that a new one cannot hide behind one that left."""

    threads: set[threading.Thread] = field(default_factory=set)
    children: set[int] = field(default_factory=set)
    files: set[tuple[str, str]] = field(default_factory=set)
    loops: set[asyncio.BaseEventLoop] = field(default_factory=set)
    tasks: set[asyncio.Task] = field(default_factory=set)

    @classmethod
    def take(cls) -> Census:
        loops = list(_LOOPS)
        return cls(
            threads=set(threading.enumerate()),
            children=_children(),
            files=_files(),
            loops={loop for loop in loops if not loop.is_closed()},
            tasks={task for loop in loops for task in asyncio.all_tasks(loop)},
        )

    def __sub__(self, other: Census) -> Census:
        return Census(
            self.threads - other.threads,
            self.children - other.children,
            self.files - other.files,
            self.loops - other.loops,
            self.tasks - other.tasks,
        )

    def __or__(self, other: Census) -> Census:
        return Census(
            self.threads | other.threads,
            self.children | other.children,
            self.files | other.files,
            self.loops | other.loops,
            self.tasks | other.tasks,
        )

    def __bool__(self) -> bool:
        return any((self.threads, self.children, self.files, self.loops, self.tasks))

    def names(self) -> list[str]:
        """One line for each, sorted, saying enough to find who started it."""
        return sorted(
            [f"thread {thread.name!r} still runs" for thread in self.threads]
            + [f"child process {pid} still runs: {_command(pid)}" for pid in self.children]
            + [f"file descriptor {fd} is still open: {target}" for fd, target in self.files]
            + [f"event loop was not closed: {loop!r}" for loop in self.loops]
            + [f"task is still pending: {task!r}" for task in self.tasks],
        )


@pytest.fixture(scope="session")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the course's site for a browser, in which all lies that runs it; built once."""
    return pyodide.built(tmp_path_factory.mktemp("lite") / "course")


# Born in fixtures that outlive the test that asked for them first (a shared server, a
# browser): not this test's leak. Filled by pytest_fixture_setup.
_resident = Census()


_failed = pytest.StashKey[bool]()


class LeakCheck:
    """A plugin of its own, because fixtures of a conftest.py do not reach flownb's doctests."""

    @pytest.fixture(autouse=True)
    def passwords_are_forgotten(self) -> object:
        """Another test may say the words that are passwords in this one."""
        yield
        redaction._secrets.clear()

    @pytest.fixture(autouse=True)
    def nothing_leaks(self, request: pytest.FixtureRequest) -> object:
        """Fail the test that leaves a thread, child, file, event loop or task behind."""
        if request.node.get_closest_marker("kernel"):
            _wake_jupyter()
        request.node.stash[_failed] = False  # it may be a second try
        before = Census.take()
        grumbles.clear()
        yield
        if request.node.stash.get(_failed, False):
            _end_what_runs()
            return  # its traceback keeps things alive; one report per fault is enough
        leaked = _after_grace(before)
        if lines := leaked.names() + grumbles.take():
            pytest.fail("this test leaks:\n  " + "\n  ".join(lines), pytrace=False)


def _end_what_runs() -> None:
    """A test that failed may have left a graph running: its second try is another test."""
    for orch in generations.running().values():
        generations.unregister(orch)
        with suppress(Exception):  # its event loop may be closed
            orch.cancel()


@pytest.fixture
def unleaked() -> object:
    """For tests of this file: a callable that lists what is new since the test began."""
    before = Census.take()
    return lambda grace=0.0: _after_grace(before, grace).names() + grumbles.take()


def _after_grace(before: Census, grace: float = GRACE) -> Census:
    """What is new since `before`, once everybody had the time to leave.

    The common case is one census and no wait; the costly part (garbage collection, for
    cycles that hold a socket) runs only if someone is still there.
    """
    leaked = Census.take() - before - _resident
    deadline = time.monotonic() + grace
    pause = 0.001
    while leaked:
        late = time.monotonic() >= deadline
        del leaked
        grumbles.collect_garbage()
        leaked = Census.take() - before - _resident - _helpers()
        if late:
            break
        time.sleep(pause)
        pause = min(2 * pause, 0.1)
    return leaked


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item) -> object:
    """Remember which tests failed by themselves.

    A report parses source. On Python 3.11 that fails, and pytest with it, where another
    thread parses too while the collector runs a finalizer in the middle of it.
    """
    gc.disable()
    try:
        report = yield
    finally:
        gc.enable()
    if report.failed:
        item.stash[_failed] = True
    return report


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef) -> object:
    """What a wider fixture starts belongs to the house, not to the test that came first."""
    global _resident  # noqa: PLW0603 - one census for the whole session
    if fixturedef.scope == "function":
        return (yield)
    before = Census.take()
    result = yield
    _resident |= Census.take() - before
    return result


# Seconds before another try: long enough for a machine that stood still to come back.
_PAUSES = {"benchmark": 20.0, "wallclock": 5.0, "browser": 5.0, "kernel": 5.0}
_timer = pytest.StashKey[object]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What looks at a real clock may be held up by the machine: it is broken if it fails thrice.

    A second try is counted and named in pytest's summary. Virtual time gets no second try.

    Notebooks of the day are the course and the how-tos; of the others each starts a kernel, too.
    """
    for item in items:
        if item.path.suffix == ".ipynb" and item.path.name.startswith(NIGHTLY):
            item.add_marker(pytest.mark.nightly)
        pauses = [s for name, s in _PAUSES.items() if item.get_closest_marker(name)]
        if pauses and not item.get_closest_marker("flaky"):
            item.add_marker(pytest.mark.flaky(reruns=2, reruns_delay=pauses[0]))


@pytest.hookimpl(optionalhook=True)  # a browser has no pytest-timeout
def pytest_timeout_set_timer(item: pytest.Item, settings: object) -> None:
    """Remember how long this test may take: the first failure puts pytest-timeout's timer off."""
    item.stash[_timer] = settings


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Give each further try its own timer, so that none of them can hang."""
    if getattr(item, "execution_count", 1) > 1 and (settings := item.stash.get(_timer, None)):
        item.config.hook.pytest_timeout_set_timer(item=item, settings=settings)


def pytest_configure(config: pytest.Config) -> None:
    """Note every event loop at birth: asyncio itself keeps no list of them."""
    config.pluginmanager.register(LeakCheck(), "flownb-leak-check")
    for name in ("FLOWNB_STORE", "FLOWNB_MAX_ITERATIONS"):  # they are the user's, not the tests'
        os.environ.pop(name, None)
    workers.register(config)
    born = asyncio.BaseEventLoop.__init__

    def init(self: asyncio.BaseEventLoop, *args: object, **kwargs: object) -> None:
        born(self, *args, **kwargs)
        _LOOPS.add(self)

    asyncio.BaseEventLoop.__init__ = init
    logging.getLogger("asyncio").addHandler(grumbles)


class Grumbles(logging.Handler):
    """What is only muttered: tasks thrown away while pending, sockets closed by the collector."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self._lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if "was destroyed but it is pending" in text:
            self._lines.append(" ".join(text.split()))

    def collect_garbage(self) -> None:
        """Collect now, so that this test hears the complaints and not the next one."""

        def hook(fault: object) -> None:
            if isinstance(fault.exc_value, ResourceWarning):
                self._lines.append(f"never closed: {fault.exc_value}")
            else:
                known(fault)

        known, sys.unraisablehook = sys.unraisablehook, hook
        try:
            gc.collect()
        finally:
            sys.unraisablehook = known

    def clear(self) -> None:
        self._lines.clear()

    def take(self) -> list[str]:
        lines, self._lines = self._lines, []
        return lines


grumbles = Grumbles()


def _files() -> set[tuple[str, str]]:
    """Open descriptors with what they point to: a number alone is soon taken again."""
    files: set[tuple[str, str]] = set()
    if not _HAS_PROC:
        return files
    for fd in os.listdir("/proc/self/fd"):  # noqa: PTH208 - runs twice per test: keep it cheap
        try:
            target = os.readlink(f"/proc/self/fd/{fd}")  # noqa: PTH115 - as above
        except OSError:  # the descriptor of this very listing
            continue
        if target != "/dev/urandom":  # Python keeps that one open for itself
            files.add((fd, target))
    return files


def _children(pid: int | str = "self") -> set[int]:
    """Children, and children of theirs: a forkserver's workers count as ours."""
    found: set[int] = set()
    if not _HAS_PROC:
        return found
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - as above
            with open(f"/proc/{pid}/task/{thread}/children") as file:  # noqa: PTH123 - as above
                found.update(map(int, file.read().split()))
    except OSError:  # it ended while we looked
        return found
    for child in found - _resident.children:  # what a shared browser starts is its own affair
        found |= _children(child)
    return found


def _helpers() -> Census:
    """Python's own helpers of multiprocessing: one of each, for as long as we live."""
    helpers = Census()
    for module, owner, pid, fd in (
        ("forkserver", "_forkserver", "_forkserver_pid", "_forkserver_alive_fd"),
        ("resource_tracker", "_resource_tracker", "_pid", "_fd"),
    ):
        home = getattr(sys.modules.get(f"multiprocessing.{module}"), owner, None)
        if (child := getattr(home, pid, None)) is not None:
            helpers.children.add(child)
        if (pipe := getattr(home, fd, None)) is not None:
            target = os.readlink(f"/proc/self/fd/{pipe}") if _HAS_PROC else ""  # noqa: PTH115
            helpers.files.add((str(pipe), target))
    return helpers


def _wake_jupyter() -> None:
    """jupyter_client's blocking calls keep one event loop per thread, never closed: get it now."""
    from jupyter_core.utils import ensure_event_loop

    ensure_event_loop()


def _command(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return "(gone)"
    return b" ".join(words).decode(errors="replace").strip() or "(ended, never waited for)"
