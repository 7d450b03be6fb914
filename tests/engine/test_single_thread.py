"""Does flownb work where no thread can be started, as in a browser? And does it say so?"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flownb.engine.single_thread import SINGLE, has_threads, run_nested
from flownb.errors import DeadlockError
from tests.support import single_thread, unit_tests
from tests.support.machine import run_python
from tests.support.pyodide import run_in_pyodide

# A browser has none of these modules, and no thread. (It has no ssl either; without it redis-py
# needs Python 3.14, and so the test in Pyodide.)
AS_IN_A_BROWSER = """
import sys, threading
sys.modules |= dict.fromkeys(("multiprocessing", "tornado", "psutil"))
def start(thread):
    raise RuntimeError("can't start new thread")
threading.Thread.start = start
"""
PROGRAM = Path(single_thread.__file__).read_text("utf-8")
ADVICE = "needs threads, and none can be started here: drop it"


def check(found):
    here = single_thread.graph().simulate()
    whole = {
        "explained": True, "digest": here.digest, "simulated": [1, 3, 5, 7, 9], "run": {"n": 9},
        "step": 6,
    }  # fmt: skip
    assert found["inside"] == whole
    assert (found["arun"], found["goes on"]) == ({"n": 3}, True)
    assert found["live"] == {
        "status": "Status('single': make completed 5, read completed 5; 0 errors)",
        "pools": ["asyncio", "asyncio"],
        "outputs": [1, 3, 5, 7, 9],
        "said": [SINGLE],
        "pushed": [0, 1, 2],
        "popped": "node 'pops': a sync node cannot pop where there are no threads: make it async",
    }
    assert found["refused"] == [
        f"GraphError: loop 'make': pool='process' {ADVICE}",
        f"GraphError: loop 'make': restart='on_crash' {ADVICE}",
        f"GraphError: loop 'make': checkpoint= {ADVICE}",
        "GraphError: graph 'no': control='thread' needs a thread, and none can be started here",
    ]
    return whole


@pytest.mark.wallclock
def test_without_threads_all_goes_on_in_the_event_loop_that_runs():
    end = """
import json
found = {"script": stepwise()}
try:
    graph().start()
except Exception as error:
    found["no event loop"] = str(error)
print(json.dumps(found | asyncio.run(inside())))
"""
    found = json.loads(run_python(AS_IN_A_BROWSER + PROGRAM + end))
    assert found["script"] == check(found)
    assert found["no event loop"] == (
        "graph 'single': no event loop runs here, and no thread can be started for one: "
        "start it in an async function, asyncio.run(main())"
    )


@pytest.mark.nightly
@pytest.mark.wallclock
@pytest.mark.timeout(600)
def test_in_pyodide_too(course, tmp_path):
    end = "\nimport json\njson.dumps(await inside())\n"
    check(json.loads(run_in_pyodide(PROGRAM + end, course, tmp_path)))


@pytest.mark.nightly
@pytest.mark.wallclock
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("room", ["model", "plan", "flow", "explain", "engine/simulation"])
def test_the_unit_tests_pass_in_pyodide(room, course, tmp_path):
    program = Path(unit_tests.__file__).read_text("utf-8")
    assert run_in_pyodide(f"{program}\nstr(passed({room!r}))\n", course, tmp_path) == "0"


def test_here_there_are_threads():
    assert has_threads()


def test_who_waits_for_nobody_is_told_so():
    async def forever():
        import asyncio

        await asyncio.get_running_loop().create_future()

    with pytest.raises(DeadlockError, match="without threads nobody comes"):
        run_nested(forever())
