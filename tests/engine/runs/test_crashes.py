"""Wherever a run is cut off: does it end as if nothing had happened, with nothing done twice?"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from flownb import Graph
from flownb.errors import StoreError
from flownb.stores import open_store
from tests.support.crashes import Dying, Wild
from tests.support.machine import ROOT
from tests.support.postgres import postgres_url
from tests.support.servers import real_server_url

__all__ = ["postgres_url", "real_server_url"]

EVERYWHERE = pytest.mark.parametrize(
    "kind", ["sqlite", "postgres", pytest.param("redis", marks=pytest.mark.redis)]
)


@pytest.fixture
def address(kind, request, tmp_path):
    """Where runs are kept."""
    fixture = {"postgres": "postgres_url", "redis": "real_server_url"}.get(kind)
    return request.getfixturevalue(fixture) if fixture else str(tmp_path / "runs.sqlite")


@EVERYWHERE
def test_a_random_run_cut_off_anywhere_ends_like_one_that_was_not(address):
    crash_all(address, range(67))


@EVERYWHERE
@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_seven_hundred_random_runs_cut_off_anywhere(address):
    crash_all(address, range(1000, 1700))


def crash_all(address, seeds):
    store = open_store(address)
    for seed in seeds:
        crash(store, seed)
    store.close()


def crash(store, seed):
    """Run a graph cleanly; then cut it off twice, after some step and while it is taken up."""
    wild, memory = Wild(seed), open_store("memory://")
    entry = wild.entry()
    clean = wild.graph.run(entry, store=memory, run_id="clean")
    all_calls = Counter(wild.calls)
    whole = memory.runs.load("clean")
    kept = whole.steps[: wild.rng.randint(0, len(whole.steps))]
    run_id = f"{seed} {len(kept)} {os.urandom(4).hex()}"
    store.runs.save(replace(whole, run_id=run_id, status="running", state=None, steps=()))
    if kept:
        store.runs.append(run_id, kept)
    wild.calls.clear()
    with contextlib.suppress(StoreError):
        interval = wild.rng.choice([0.0, 0.0, 60.0])
        dying = Dying(store.runs, wild.rng.randint(1, 8))
        wild.graph.resume(run_id, store=dying, persistence_interval=interval)
    calls_that_go_on()
    saved = done(store.runs.load(run_id).steps)
    wild.calls.clear()
    run = wild.graph.resume(run_id, store=store)
    assert run.state == clean.state, seed
    assert run.status == store.runs.load(run_id).status == "completed"
    assert wild.calls == all_calls - saved, seed
    assert store.runs.load(run_id).state == clean.state


def calls_that_go_on():
    """A killed process takes its threads along; one that only seems killed ends them later."""
    for thread in threading.enumerate():
        if thread.name.startswith("flownb "):
            thread.join(10)


def done(steps):
    """How often each node has ended, map nodes not counted but their calls over the list."""
    maps = {s.node for s in steps if s.part >= 0}
    ends = [s for s in steps if s.kind in {"done", "continued"}]
    return Counter(s.node for s in ends if s.part >= 0 or s.node not in maps)


# -- for real ------------------------------------------------------------------

KILLED = """
import os, signal, sys
from flownb import Graph
from tests.engine.runs.test_crashes import ladder, row
address, calls, kill_at = sys.argv[1], sys.argv[2], int(sys.argv[3])
{"ladder": ladder, "row": row}[sys.argv[5]](calls, kill_at).run(
    {"n": 1}, store=address, run_id=sys.argv[4]
)
print("not killed")
"""


def node(name, calls, kill_at, one_by_one=None):
    """A node that writes down that it was called; the *kill_at*-th call kills the process."""

    def call(state):
        with one_by_one or contextlib.nullcontext():
            with Path(calls).open("a") as file:
                file.write(f"{name}\n")
            if kill_at is not None and len(Path(calls).read_text().splitlines()) == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
        return {name: sum(v for v in state.values() if type(v) is int) % 1009}

    return call


def ladder(calls, kill_at=None):
    """Twelve rungs of two parallel nodes and a join."""
    graph, one_by_one = Graph("ladder"), threading.Lock()

    def add(name, *before):
        graph.add_node(name, node(name, calls, kill_at, one_by_one))
        for source in before:
            graph.add_edge(source, name)

    for i in range(12):
        for side in ("left", "right"):
            add(f"{side} {i}", *([f"join {i - 1}"] if i else []))
        add(f"join {i}", f"left {i}", f"right {i}")
    return graph


def row(calls, kill_at=None):
    """Forty nodes, one behind the other, which one thread calls."""
    graph = Graph("row")
    for i in range(40):
        graph.add_node(f"n{i}", node(f"n{i}", calls, kill_at))
        if i:
            graph.add_edge(f"n{i - 1}", f"n{i}")
    return graph


@EVERYWHERE
@pytest.mark.wallclock
def test_a_run_whose_process_is_killed_in_a_node_goes_on_in_another_process(address, tmp_path):
    clean = ladder(tmp_path / "clean").run({"n": 1}).state
    for kill_at in (1, 8, 36):
        calls, run_id = tmp_path / f"calls {kill_at}", f"killed {kill_at} {tmp_path.name}"
        kill(address, calls, kill_at, run_id, "ladder")
        run = ladder(calls).resume(run_id, store=address)
        assert run.state == clean
        again = {name: n for name, n in Counter(calls.read_text().splitlines()).items() if n > 1}
        # what was in a call when it was killed, a sibling of it too, is called again
        assert 1 <= len(again) <= 2
        assert set(again.values()) == {2}


@pytest.mark.wallclock
def test_a_row_whose_process_is_killed_in_a_node_calls_only_that_one_again(tmp_path):
    clean, address = row(tmp_path / "clean").run({"n": 1}).state, str(tmp_path / "r.sqlite")
    for kill_at in (2, 25):
        calls, run_id = tmp_path / f"calls {kill_at}", f"killed {kill_at}"
        kill(address, calls, kill_at, run_id, "row")
        assert row(calls).resume(run_id, store=address).state == clean
        again = [name for name, n in Counter(calls.read_text().splitlines()).items() if n > 1]
        assert again == [f"n{kill_at - 1}"]


def kill(address, calls, kill_at, run_id, graph):
    """Run a graph in a process that is killed in its *kill_at*-th call."""
    process = subprocess.run(
        [sys.executable, "-c", KILLED, address, str(calls), str(kill_at), run_id, graph],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        check=False, timeout=50,
    )  # fmt: skip
    assert process.returncode == -signal.SIGKILL, process.stderr
