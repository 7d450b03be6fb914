"""Does an error that leaves flownb show the user's lines, and none of ours?"""

from __future__ import annotations

import asyncio
import site
import subprocess
import sys
import traceback
from pathlib import Path

import pytest

import flownb
from flownb import Graph, Retry, tracebacks
from flownb.engine.orchestrator.orchestrator import Orchestrator
from flownb.errors import GraphError, NodeFailed, NodeTimeout, RunError, SimulationError, StoreError
from flownb.tracebacks import folded, is_own

PACKAGE = str(Path(flownb.__file__).parent)  # a checkout may be called flownb, too
SCRIPT = """
from flownb import Graph

def bad(state):
    return 1 / 0

def net(x):
    import urllib.request
    return urllib.request.urlopen("http://localhost:1")

once = Graph("once").add_node("bad", bad)
loop = Graph("loop").add_producer("p", [1]).add_node("net", net).add_edge("p", "net")
"""

# In IPython, as in a notebook; each cell's traceback ends with a line of ***.
SHELL = """
import sys
from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance(colors="NoColor")
for cell in sys.stdin.read().split("# ---\\n"):
    shell.run_cell(cell)
    print("***")
"""


def ran(*command, told=""):
    done = subprocess.run(
        [sys.executable, *command], input=told, capture_output=True, text=True, check=False
    )
    return done.stdout, done.stderr


def test_a_script_shows_the_line_that_was_called_and_the_one_that_failed(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(f"{SCRIPT}\nonce.run({{}})\n")
    _, shown = ran(script)
    lines = shown.splitlines()
    assert len(lines) <= 9
    assert [line.strip() for line in lines if "^" not in line and "~" not in line] == [
        "Traceback (most recent call last):",
        f'File "{script}", line 14, in <module>',
        "once.run({})",
        f'File "{script}", line 5, in bad',
        "return 1 / 0",
        "ZeroDivisionError: division by zero",
        "node 'bad' of graph 'once' failed; graph.last_run has the state and the log up to there",
    ]


def test_a_cell_shows_its_line_and_the_one_that_failed():
    verbs = [
        "once.run({})", "await once.arun({})", "once.step('bad', {})", "loop.simulate()",
        "await loop.add_node('net', bad).set_loop('p', on_error='stop').start().wait(timeout=30)",
    ]  # fmt: skip
    out, _ = ran("-c", SHELL, told="# ---\n".join([SCRIPT, *(f"{verb}\n" for verb in verbs)]))
    _, *shown, wait, _ = out.split("***\n")
    assert len(shown) == len(verbs) - 1
    for text, verb in zip(shown, verbs, strict=False):
        assert len(text.splitlines()) <= 20
        assert f"----> 1 {verb}" in text
        assert PACKAGE not in text
        assert "During handling" not in text
        arrows = [line for line in text.splitlines() if line.startswith("---->")]
        assert arrows[-1].endswith(("return 1 / 0", 'urlopen("http://localhost:1")'))
    assert wait.count("direct cause") == 1
    assert wait.index("return 1 / 0") < wait.index("direct cause") < wait.index("NodeFailed")


def test_all_is_shown_to_those_who_work_on_flownb(tmp_path, monkeypatch):
    script = tmp_path / "script.py"
    script.write_text(f"{SCRIPT}\nonce.run({{}})\n")
    monkeypatch.setenv("FLOWNB_TRACEBACK", "full")
    _, shown = ran(script)
    assert "flownb/engine" in shown


# -- whatever the verb, whatever the error ----------------------------------------------


def bad(_):
    return 1 / 0


def again(_):
    try:
        return {}["x"]
    except KeyError:
        raise ValueError("mine") from None


async def later(_):
    await asyncio.sleep(0)
    return 1 / 0


def deep(x):
    return [bad(n) for n in [x]]


def once(fn, **options):
    return Graph("g").add_node("n", fn, **options)


def loop(fn, **options):
    return Graph("g").add_producer("p", [1]).add_node("n", fn, **options).add_edge("p", "n")


async def waited(graph):
    async with graph.set_loop("p", on_error="stop").start() as orch:
        await orch.wait(timeout=30)


RETRY = Retry(on=ZeroDivisionError, attempts=2, wait_initial=0)
CASES = {
    "run": (lambda: once(bad).run({}), ZeroDivisionError, ["bad"]),
    "run with a retry": (lambda: once(bad, retry=RETRY).run({}), ZeroDivisionError, ["bad"]),
    "run of what raises anew": (lambda: once(again).run({}), ValueError, ["again"]),
    "run of an async node": (lambda: once(later).run({}), ZeroDivisionError, ["later"]),
    "run, deep": (lambda: once(deep).run(0), ZeroDivisionError, ["deep", "<listcomp>", "bad"]),
    "arun": (lambda: asyncio.run(once(bad).arun({})), ZeroDivisionError, ["bad"]),
    "step": (lambda: once(bad).step("n", 1), ZeroDivisionError, ["bad"]),
    "a timeout": (
        lambda: once(lambda _: asyncio.sleep(9), timeout=0.01).run({}), NodeTimeout, [],
    ),
    "a mistake in the graph": (lambda: once(bad).add_edge("n", "m").run({}), GraphError, []),
    "validate": (lambda: once(bad).add_edge("n", "m").plan("n"), GraphError, []),
    "a store": (lambda: once(bad).run({}, store="mysql://h"), StoreError, []),
    "a run that is not there": (
        lambda: once(bad).resume("no", store="memory://"), StoreError, [],
    ),
    "an option that is not there": (lambda: once(bad).run({}, no=1), TypeError, []),
    "start": (lambda: loop(bad).start(redis="h:1"), Exception, []),
    "wait": (lambda: asyncio.run(waited(loop(bad))), NodeFailed, ["waited"]),
    "simulate": (lambda: loop(lambda _: open_socket()).simulate(), SimulationError, [
        "<lambda>", "open_socket",
    ]),
}  # fmt: skip


def open_socket():
    import socket

    return socket.create_connection(("localhost", 1))


def frames(error):
    """The functions that its traceback shows, behind the test's own."""
    shown = traceback.extract_tb(error.__traceback__)
    assert not [frame.filename for frame in shown if frame.filename.startswith(PACKAGE)]
    return [f.name for f in shown if "/asyncio/" not in f.filename][2:]


@pytest.mark.parametrize(("call", "kind", "names"), CASES.values(), ids=CASES)
def test_no_frame_of_ours_is_shown(call, kind, names):
    with pytest.raises(kind) as told:
        call()
    assert [n for n in frames(told.value) if n != "<listcomp>"] == [
        n for n in names if n != "<listcomp>"
    ]
    context = told.value.__context__
    assert context is None or told.value.__suppress_context__


def test_the_cause_of_a_loops_error_is_the_users_own_and_each_wait_begins_anew():
    async def twice():
        orch = loop(deep).set_loop("p", on_error="stop").start()
        found = []
        for _ in range(2):
            with pytest.raises(NodeFailed) as told:
                await orch.wait(timeout=30)
            found.append(told.value)
        await orch.stop()
        return found

    first, second = asyncio.run(twice())
    assert first is second
    assert [f.name for f in traceback.extract_tb(second.__traceback__)] == ["twice"]
    cause = traceback.extract_tb(second.__cause__.__traceback__)
    assert [f.name for f in cause if f.name != "<listcomp>"] == ["deep", "bad"]


def test_the_lines_of_another_process_are_told_with_the_cause():
    with pytest.raises(NodeFailed) as told:
        asyncio.run(waited(loop(deep).set_loop("p", pool="process")))
    (note,) = told.value.__cause__.__notes__
    assert note.startswith("In its process, most recent call last:\n  File ")
    assert note.endswith(("return 1 / 0", "~~^~~"))
    assert PACKAGE not in note


def test_a_failure_keeps_a_traceback_without_our_frames():
    sim = loop(deep).simulate()
    (failure,) = sim.failures()
    assert PACKAGE not in failure.traceback
    assert failure.traceback.index("in deep") < failure.traceback.index("in bad")


def test_an_error_of_ours_that_is_no_message_keeps_the_line_where_it_was_raised():
    ours = {"__name__": "flownb.x"}
    exec("def broken():\n    return fault()\ndef fault():\n    return None.x", ours)
    with pytest.raises(AttributeError) as told:
        folded(ours["broken"])()
    names = [frame.name for frame in traceback.extract_tb(told.value.__traceback__)]
    assert names[1:] == ["fault"]


def test_a_verb_keeps_its_name_its_signature_and_its_kind():
    assert asyncio.iscoroutinefunction(Graph.arun)
    assert not asyncio.iscoroutinefunction(Orchestrator.wait)  # a request, as all its verbs are
    assert not asyncio.iscoroutinefunction(Graph.run)
    assert Graph.run.__qualname__ == "OneShot.run"
    assert Graph.run.__globals__ is sys.modules["flownb.oneshot"].__dict__  # for doctest


def test_a_wait_in_the_wrong_place_is_told_with_the_users_line_only():
    async def cell():
        async with Graph("g").add_producer("p", every=0.01).start() as orch:
            orch.stop().wait()

    with pytest.raises(RunError, match="use `await`") as told:
        asyncio.run(cell())
    assert traceback.extract_tb(told.value.__traceback__)[-1].name == "cell"


def test_a_python_without_a_folder_of_the_user_s_tells_what_is_own_too(monkeypatch):
    monkeypatch.setattr(site, "getusersitepackages", lambda: None)  # as a browser's does
    tracebacks._installed.cache_clear()
    tracebacks._is_installed.cache_clear()
    try:
        assert [is_own(name) for name in ("json", "pydantic.main", __name__)] == [
            False,
            False,
            True,
        ]
    finally:
        tracebacks._installed.cache_clear()
