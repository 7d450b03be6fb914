"""Is a loop on a Dask worker a loop like any other, also when the worker dies?"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from flownb import Graph
from flownb.errors import GraphError
from tests.support.machine import require

pytestmark = [pytest.mark.wallclock, pytest.mark.timeout(600)]
PROGRAM = Path(__file__).parents[2] / "support" / "on_dask.py"


def found_on_dask(*wishes):
    require("dask", find_spec("distributed"), "distributed is missing: pip install flownb[dask]")
    path = os.pathsep.join([str(PROGRAM.parents[2]), os.environ.get("PYTHONPATH", "")])
    ran = subprocess.run(
        [sys.executable, PROGRAM, *wishes],
        check=False,
        capture_output=True,
        text=True,
        timeout=560,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    return json.loads(ran.stdout.splitlines()[-1])


def check(found):
    assert found["likes"] == {
        "pools": ["dask", "dask"],
        "states": ["stopped", "completed"],
        "stood_still": True,
        "kept_state": True,
        "elsewhere": True,
        "two_workers": True,
        "failure": "Failure(a/count, iteration 3, ValueError: 3)",
        "log": "item 0",
        "spans": True,
    }
    assert found["equal"]
    assert found["queues left"] == 0
    for pushed in ("killed", "transactional"):
        assert found[pushed]["lost"] == 0
        assert found[pushed]["states"] == ["completed"] * 4
        assert found[pushed]["crashed"]
    assert found["transactional"]["twice"] == 0
    assert found["goes on"] == ["completed", True, True]
    assert "give its address, graph.start(cluster=..., redis=" in found["refused"]
    none, lost = (
        "waits for a Dask worker: none has come yet",
        "waits for a Dask worker: 0 of 1 left",
    )
    assert found["alone"] == {
        "said": [none, lost],
        "warned": [none, lost, lost],
        "told": 2,
        "lost": 0,
        "state": "stopped",
        "restarts": 2,
        "stopped at once": True,
    }


def test_loops_on_a_cluster_are_steered_and_seen_and_killed_workers_lose_nothing():
    check(found_on_dask("1"))


@pytest.mark.nightly
def test_a_loop_that_kills_its_workers_is_given_up():
    found = found_on_dask("10", "all of it")
    check(found)
    restarts, reason = found["given up"]
    assert restarts == 5
    assert reason.startswith("RunError: loop 'days': its Dask worker tcp://")
    assert reason.endswith("is gone")


def test_a_dask_pool_without_a_cluster_says_what_it_needs():
    require("dask", find_spec("distributed"), "distributed is missing: pip install flownb[dask]")
    graph = Graph("none").add_producer("p").add_node("n").add_edge("p", "n")
    with pytest.raises(GraphError, match=r"pool='dask' needs a cluster: graph\.start\(cluster="):
        graph.set_loop("p", pool="dask").start()
    with pytest.raises(GraphError, match=r"takes a distributed\.Client, not a int"):
        graph.start(cluster=3)
