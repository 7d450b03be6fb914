"""Same graph, same seed: the same bytes, in any process?"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys

import pytest

from flownb import Graph
from tests.support.cases import graph_of, random_case
from tests.support.deterministic import build


def digest_elsewhere(hash_seed, *prefix):
    """The line that another process prints about the graph with everything."""
    command = [*prefix, sys.executable, "-m", "tests.support.deterministic"]
    env = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=50)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def here():
    sim = build().simulate(until=60, seed=5)
    failed = sim.metrics["p"].failed
    return f"{sim.digest} {len(sim.timeline)} {sim.metrics['s'].done} {failed}\n"


def test_a_run_happens_the_same_way_twice_in_one_process(here):
    sim = build().simulate(until=60, seed=5)
    assert here.startswith(sim.digest)
    assert sim.metrics["s"].done > 30
    assert sim.metrics["p"].failed > 5
    kinds = {s.kind for s in sim.timeline}
    assert kinds == {"work", "wait", "throttled", "limited", "retry"}


@pytest.mark.parametrize("hash_seed", ["0", "4711"])
def test_it_is_the_same_in_another_process_under_any_hash_seed(here, hash_seed):
    assert digest_elsewhere(hash_seed) == here


@pytest.mark.skipif(shutil.which("taskset") is None, reason="there is no taskset")
def test_it_is_the_same_on_one_core(here):
    assert digest_elsewhere("1", "taskset", "-c", "0") == here


def test_another_seed_is_another_run(here):
    assert not here.startswith(build().simulate(until=60, seed=6).digest)


def test_the_digest_tells_of_the_smallest_difference():
    graph = build()
    before = graph.simulate(until=5).digest
    graph.add_node("j", lambda x: sorted(x), takes=0.000001)
    assert graph.simulate(until=5).digest != before


def test_the_order_in_which_equal_things_happen_is_the_same_too():
    for seed in range(8):
        graph = graph_of(random_case(seed, most=20))
        first, second = (list(graph.simulate(iterations=2).timeline) for _ in range(2))
        assert first == second


def test_a_name_that_is_no_proper_text_has_random_numbers_too():
    graph = Graph("g").add_producer("p", [1]).add_node("a\udcff", lambda _, ctx: ctx.rng.random())
    graph.add_edge("p", "a\udcff")
    assert graph.simulate().outputs("a\udcff") == graph.simulate().outputs("a\udcff") != []


def test_no_queue_goes_through_what_differs_from_one_python_to_the_next(monkeypatch):
    """`asyncio.wait_for` takes more turns of the event loop before Python 3.12."""
    graph = Graph("g").add_producer("p", range(9)).add_queue("q", kind="blocking", maxlen=2)
    graph.add_edge("p", "q").add_queue_reader("r", queue="q").add_node("n", keep=9)
    graph.add_edge("r", "n")
    monkeypatch.delattr(asyncio, "wait_for")
    assert graph.simulate().outputs("n") == list(range(9))
