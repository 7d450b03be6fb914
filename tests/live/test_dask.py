"""Is a loop on a Dask worker a loop like any other, also when the worker dies?"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from flownb import Graph
from flownb.errors import GraphError
from tests.support import require

pytestmark = [pytest.mark.wallclock, pytest.mark.timeout(600)]
PROGRAM = Path(__file__).with_name("on_dask.py")


def found_on_dask(kills):
    require("dask", find_spec("distributed"), "distributed is missing: pip install flownb[dask]")
    ran = subprocess.run(
        [sys.executable, PROGRAM, str(kills)],
        check=False,
        capture_output=True,
        text=True,
        timeout=560,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    return json.loads(ran.stdout.splitlines()[-1])


def check(found, kills):
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
    assert found["killed"]["lost"] == 0
    assert found["killed"]["states"] == ["completed"] * 4
    assert found["killed"]["restarts"] >= kills
    assert "give its address, graph.start(cluster=..., redis=" in found["refused"]


def test_loops_on_a_cluster_are_steered_and_seen_and_a_killed_worker_loses_nothing():
    check(found_on_dask(kills=2), 2)


@pytest.mark.nightly
def test_ten_killed_workers_lose_nothing():
    check(found_on_dask(kills=10), 10)


def test_a_dask_pool_without_a_cluster_says_what_it_needs():
    require("dask", find_spec("distributed"), "distributed is missing: pip install flownb[dask]")
    graph = Graph("none").add_producer("p").add_node("n").add_edge("p", "n")
    with pytest.raises(GraphError, match=r"pool='dask' needs a cluster: graph\.start\(cluster="):
        graph.set_loop("p", pool="dask").start()
    with pytest.raises(GraphError, match=r"takes a distributed\.Client, not a int"):
        graph.start(cluster=3)
