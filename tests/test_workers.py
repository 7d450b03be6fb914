"""Do tests that measure have the machine for themselves, while others run side by side?"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import pytest

from tests.support.machine import ROOT
from tests.support.workers import WITH_LAB

CONFTEST = """
import json, os, time
import pytest
from tests.support import workers

TRIES = {}

def pytest_configure(config):
    config.addinivalue_line("markers", "alone")
    workers.register(config)

@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    begun = time.monotonic()
    try:
        return (yield)
    finally:
        name = item.name + "*" * (getattr(item, "execution_count", 1) - 1)
        with open(os.environ["SPANS"], "a") as file:
            file.write(json.dumps([name, begun, time.monotonic(), os.getpid()]) + "\\n")
"""
SIDE_BY_SIDE = """
import time, pytest

@pytest.mark.parametrize("n", range(5))
def test_waits(n): time.sleep(0.2)
"""
MEASURES = """
import time, pytest

tries = []

@pytest.mark.alone
@pytest.mark.parametrize("n", range(2))
def test_measures(n): time.sleep(0.2)

@pytest.mark.flaky(reruns=2)
def test_fails_twice():
    time.sleep(0.2)
    tries.append(1)
    assert len(tries) == 3
"""


def ran(folder, *options, **files):
    """Run pytest on these files with two workers: its answer, and [name, begin, end] of tests."""
    for name, text in files.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(text))
    (folder / "pytest.ini").write_text("[pytest]\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "2", *options],
        capture_output=True, text=True, check=False, timeout=100, cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "SPANS": str(folder / "spans")},
    )  # fmt: skip
    return done, [json.loads(line) for line in (folder / "spans").read_text().splitlines()]


def test_every_file_that_opens_a_lab_by_day_is_run_by_the_worker_that_has_one():
    opens = [f for f in (ROOT / "tests/ui").glob("test_*.py") if "lab: Lab" in f.read_text("utf-8")]
    by_night = {"test_lab.py", "test_one_screen.py"}
    assert {f.name for f in opens} - by_night == {name.split("/")[-1] for name in WITH_LAB}


@pytest.mark.nightly
@pytest.mark.wallclock
def test_a_test_that_measures_and_a_last_try_run_while_no_other_does(tmp_path):
    pytest.importorskip("xdist")
    pytest.importorskip("fcntl")
    done, spans = ran(
        tmp_path, conftest=CONFTEST, test_a=SIDE_BY_SIDE, test_b=MEASURES, test_c=SIDE_BY_SIDE
    )
    assert done.returncode == 0, done.stdout
    names = [name for name, *_ in spans]
    alone = {"test_measures[0]", "test_measures[1]", "test_fails_twice**"}
    assert len(names) == 15
    assert alone < set(names)
    assert len({pid for *_, pid in spans}) == 2
    for name, begun, ended, _ in spans:
        if name in alone:
            others = [s for s in spans if s[0] != name]
            assert [s for s in others if s[1] < ended and s[2] > begun] == []


@pytest.mark.nightly
@pytest.mark.wallclock
def test_a_worker_that_crashes_is_red_and_holds_nobody_up(tmp_path):
    pytest.importorskip("xdist")
    crash = """
    import os, pytest

    @pytest.mark.alone
    def test_crashes(): os._exit(0)
    """
    done, _ = ran(
        tmp_path, "--max-worker-restart=0", conftest=CONFTEST, test_a=SIDE_BY_SIDE, test_b=crash
    )
    assert done.returncode == 1
    assert "crashed while running" in done.stdout
