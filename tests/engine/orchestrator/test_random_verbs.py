"""Do random verbs from three threads leave nothing behind, raise nothing odd, and end in time?"""

from __future__ import annotations

import functools
import multiprocessing
import threading
import time
from random import Random

import pytest

from flownb import Graph
from flownb.errors import GraphError, LoopStopped
from tests.support.live import until_in_script

pytestmark = pytest.mark.wallclock
POOLS = pytest.mark.parametrize("pool", ["asyncio", "thread", "process"])
GRACE = 0.5
LATE = 10.0  # seconds that a machine with much else to do may take beyond a grace
VERBS = ("start", "stop", "cancel", "pause", "resume", "apply", "swap", "edit", "step", "status")


def give(payload):
    return payload


def one_of(_, payload):
    return payload


def work(pool):
    graph = Graph("random").add_producer("p", every=0.005).add_node("a", give).add_edge("p", "a")
    graph.add_queue("q").add_edge("a", "q").add_queue_reader("r", queue="q").add_node("b", give)
    graph.add_edge("r", "b")
    return graph.set_loop("p", pool=pool).set_loop("r", pool=pool)


def ask(graph, orch, verb, rng):
    """Ask for one verb; give its request, if it is one that ends within a grace."""
    loop = rng.choice([None, "p", "r"])
    match verb:
        case "start":
            orch.start(loop)
        case "stop":
            return orch.stop(loop, grace=GRACE)
        case "cancel":
            return orch.cancel(loop)
        case "pause" | "resume" | "step":
            getattr(orch, verb)(loop)
        case "apply":
            orch.apply()
        case "swap":
            orch.swap("a", functools.partial(one_of, rng.random()))
        case "edit":
            graph.add_node("c", give, keep=rng.randint(1, 9)).add_edge("b", "c")
        case "status":
            orch.status(), orch.metrics(), repr(orch)
    return None


def storm(graph, orch, seed, end, complaints):
    rng, asked = Random(seed), []
    while time.monotonic() < end:
        verb = rng.choice(VERBS)
        begun = time.monotonic()
        try:
            request = ask(graph, orch, verb, rng)
        except LoopStopped:
            request = None
        except GraphError as refused:
            request = None
            complaints.append(f"{verb}: {refused}")
        except BaseException as foreign:  # noqa: BLE001 - that is what the test is about
            complaints.append(f"{verb}: {foreign!r}")
            return
        if time.monotonic() - begun > LATE:
            complaints.append(f"{verb} took {time.monotonic() - begun:.1f} s")
        if request is not None:
            asked.append((verb, request, time.monotonic()))
        time.sleep(rng.choice([0, 0.001, 0.02]))
    for verb, request, _ in asked:
        try:
            request.wait(GRACE + LATE)
        except TimeoutError:
            complaints.append(f"{verb} was not done {GRACE + LATE:g} s later")


def through(pool, seconds, seed):
    graph = work(pool)
    orch = graph.start()
    complaints = []
    end = time.monotonic() + seconds
    threads = [
        threading.Thread(
            target=storm, args=(graph, orch, seed + n, end, complaints), name=f"me {n}"
        )
        for n in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    orch.stop(grace=GRACE).wait(GRACE + LATE)
    assert complaints == []
    assert {loop.state for loop in orch.status().loops} <= {"stopped", "completed", "error"}
    until_in_script(lambda: not left(), f"{left()}")


def left():
    names = [t.name for t in threading.enumerate() if t.name.startswith("flownb ")]
    kept = {"flownb trial"}
    children = [p.name for p in multiprocessing.active_children() if p.name.startswith("flownb ")]
    return [n for n in names if n not in kept] + children


@POOLS
@pytest.mark.filterwarnings("error")
def test_random_verbs_from_three_threads_leave_nothing_behind(pool):
    through(pool, 2.0, seed=1)


@POOLS
@pytest.mark.nightly
@pytest.mark.timeout(300)
def test_random_verbs_for_a_minute_leave_nothing_behind(pool):
    through(pool, 60.0, seed=2)
