"""What do tests share that is not a fixture? What they need from the machine."""

from __future__ import annotations

import ast
import gc
import os
import shutil
import subprocess
import sys
import textwrap
import time
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
STRICT = bool(os.environ.get("FLOWNB_STRICT"))  # see tests/benchmarks/conftest.py
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def missing(what: str, reason: str) -> NoReturn:
    """Skip this test because the machine has no "server", "browser", "postgres", "npm", "lite".

    At home that is fine. CI sets FLOWNB_REQUIRE="server browser postgres": then a missing one
    is a failure, so that a green run cannot hide tests that never ran.
    """
    if what in os.environ.get("FLOWNB_REQUIRE", "").split():
        pytest.fail(f"FLOWNB_REQUIRE names {what!r}, but {reason}", pytrace=False)
    pytest.skip(reason)


def require(what: str, found: object, reason: str) -> None:
    """Go on if `found` is truthy, else the test is skipped or fails: see `missing`."""
    if not found:
        missing(what, reason)


@contextmanager
def fault_of(package: str) -> Iterator[None]:
    """Hold a fault of somebody else's package that we work around.

    Once it behaves otherwise, whatever it does then, this test is skipped and pytest's
    summary says so. It never fails: our users' day is not made worse by a mended fault.
    """
    try:
        yield
    except (Exception, pytest.fail.Exception) as found:  # noqa: BLE001 - whatever it does now
        test = os.environ["PYTEST_CURRENT_TEST"].split("::")[-1].split()[0]
        now = f"{package} {version(package)}: {type(found).__name__}"
        pytest.skip(f"mended upstream, our way around can go: {test} ({now})")


def find_browser() -> str:
    """Return the path of the system's Chromium, or skip (fail where it is required)."""
    for name in _BROWSERS:
        if path := shutil.which(name):
            return path
    missing("browser", f"none of {', '.join(_BROWSERS)} is installed")


def run_python(code: str, *, env: dict[str, str] | None = None) -> str:
    """Run code in a fresh interpreter, warnings as errors; what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        capture_output=True, text=True, check=False, timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr
    return done.stdout


def times_longer(work: Callable[[Any], object], small: Any, large: Any) -> float:
    """How many times longer *work* takes for *large* than for *small*, by the processor.

    The best of some tries of the small one is compared: whoever else works here is no measure.
    """

    def seconds(of: Any) -> float:
        gc.collect()
        gc.freeze()  # else it pays for looking through all that other tests have left
        started = time.process_time()
        work(of)
        took = time.process_time() - started
        gc.unfreeze()
        return took

    return min(seconds(large) for _ in range(2)) / min(seconds(small) for _ in range(5))


def slowness() -> float:
    """How many times longer plain Python takes here and now than where limits were set; 1 or more.

    Seconds of a processor are no fixed measure: a slower one, or a neighbour on its other half.
    """

    def spin() -> float:
        started, counts = time.process_time(), {}
        for i in range(300_000):
            counts[i % 1000] = counts.get(i % 1000, 0) + i
        return time.process_time() - started

    return max(1.0, min(spin() for _ in range(3)) / 0.028)


def most(rounds: int, strictly: int) -> int:
    """How many rounds a benchmark may take: more where a figure outside its limits is a fault."""
    return strictly if STRICT else rounds


def is_tried(file, start):
    """Whether a file of tests has one whose name begins so."""
    tree = ast.parse((Path(__file__).parents[1] / file).read_text("utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return any(isinstance(n, kinds) and n.name.startswith(f"test_{start}") for n in ast.walk(tree))
