"""How do tests run side by side (`-n 5`, pytest-xdist), and those that measure by themselves?

The tests of a file stay together, those of all files that open a JupyterLab share one, and what
takes long begins first. While it runs a test, a worker shares one lock with the others. A test
with the marker `alone` holds it for itself: it waits until they have ended theirs, and they wait
for it. So does the last try of any test that gets more than one: then it fails by a fault of its
own.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest

try:
    import fcntl
except ImportError:  # Windows: there all of them run side by side
    fcntl = None

# One worker runs them, one after the other: each JupyterLab takes seconds to start.
WITH_LAB = (
    "tests/ui/test_live.py", "tests/ui/test_quickstart.py", "tests/ui/test_figures.py",
    "tests/ui/test_canvas.py",
)  # fmt: skip
# What takes longest begins first, so that nobody waits for one file at the end; browsers, which
# compute, in between others, which wait. Others come as they are collected.
_FIRST = (
    *WITH_LAB, "tests/queues/receive/test_fire.py", "tests/engine/hosts/test_dask.py",
    "tests/flow/test_policies.py", "tests/kernel/test_cells.py",
    "tests/engine/orchestrator/test_stopping.py", "notebooks/08_anywhere.ipynb",
    "tests/ui/test_elsewhere.py", "tests/engine/checkpoints/test_live_checkpoints.py",
    "tests/kernel/test_kills.py", "tests/engine/runs/test_crashes.py",
    "tests/engine/loop/test_invariants.py", "tests/engine/orchestrator/", "tests/engine/hosts/",
    "tests/widgets/", "notebooks/", "tests/queues/",
)  # fmt: skip
_FOLDER = "flownb_machine"  # how the workers are told where the locks are


def register(config: pytest.Config) -> None:
    """Do here what side by side needs: in the process that gives out the tests, or in a worker."""
    folder = getattr(config, "workerinput", {}).get(_FOLDER)
    if folder is not None and fcntl is not None:
        config.pluginmanager.register(Worker(Path(folder)), "flownb-worker")
    elif getattr(config.option, "numprocesses", None):
        config.option.dist = "loadscope"
        config.option.loadscopereorder = False
        config.pluginmanager.register(Controller(), "flownb-controller")


def scope(nodeid: str) -> str:
    """Say what one worker runs as a whole: a file, or all that open a JupyterLab.

    >>> scope("tests/ui/test_live.py::test_it") == scope("tests/ui/test_canvas.py::test_it")
    True
    >>> scope("tests/test_errors.py::test_it[a::b]")
    'tests/test_errors.py'
    """
    file = nodeid.split("::", 1)[0]
    return "a JupyterLab" if file in WITH_LAB else file


class Controller:
    """Makes the folder with the locks, and tells each worker where it is."""

    def __init__(self) -> None:
        self._folder = tempfile.mkdtemp(prefix="flownb-")

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput[_FOLDER] = self._folder

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Any:
        from xdist.scheduler import LoadScopeScheduling

        class ByFile(LoadScopeScheduling):
            def _split_scope(self, nodeid: str) -> str:  # xdist documents it for this
                return scope(nodeid)

        return ByFile(config, log)

    def pytest_unconfigure(self) -> None:
        shutil.rmtree(self._folder)


class Worker:
    """Runs a test when it may.

    The locks are the process's own: no child inherits them, and they end with it. Who waits
    for the machine keeps the gate, so that it is not overtaken for ever.
    """

    def __init__(self, folder: Path) -> None:
        self._gate = (folder / "gate").open("w+")
        self._machine = (folder / "machine").open("w+")
        self._held: int | None = None

    def _hold(self, how: int) -> None:
        if self._held == how:
            return
        self._release()
        fcntl.lockf(self._gate, fcntl.LOCK_EX)
        fcntl.lockf(self._machine, how)
        fcntl.lockf(self._gate, fcntl.LOCK_UN)
        self._held = how

    def _release(self) -> None:
        fcntl.lockf(self._machine, fcntl.LOCK_UN)
        self._held = None

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items.sort(key=lambda item: _turn(item.nodeid))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> object:
        """Before the test's timer runs; a row of tests that measure keeps the machine."""
        self._hold(fcntl.LOCK_EX if _measures(item) else fcntl.LOCK_SH)
        try:
            return (yield)
        finally:
            if nextitem is None or not (self._held == fcntl.LOCK_EX and _measures(nextitem)):
                self._release()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        if _is_last_try(item):
            self._hold(fcntl.LOCK_EX)


def _measures(item: pytest.Item) -> bool:
    return item.get_closest_marker("alone") is not None


def _is_last_try(item: pytest.Item) -> bool:
    flaky = item.get_closest_marker("flaky")
    return flaky is not None and getattr(item, "execution_count", 1) > flaky.kwargs["reruns"]


def _turn(name: str) -> int:
    return next((i for i, first in enumerate(_FIRST) if name.startswith(first)), len(_FIRST))
