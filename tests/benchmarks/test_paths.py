"""Does a path analysis cost more than looking at every edge once?"""

from __future__ import annotations

import time
from random import Random

import pytest

from flownb.model.policies import AWAIT_POLICIES
from flownb.plan.await_sets import Flow, may_be_awaited
from tests.support.machine import most

pytestmark = [pytest.mark.benchmark, pytest.mark.wallclock]

NODES, EDGES, REACH, ROUNDS = 200_000, 1_000_000, 1_000, 3
LIMITS = {"path": 3.0, "all six": 10.0}


def random_flow(seed: int = 0) -> Flow:
    """Random edges forward, short enough that the producer leads nearly everywhere."""
    rng = Random(seed)
    succ: list[list[int]] = [[] for _ in range(NODES)]
    pred: list[list[int]] = [[] for _ in range(NODES)]
    for _ in range(EDGES):
        a = rng.randrange(NODES - 1)
        b = min(NODES - 1, a + rng.randint(1, REACH))
        succ[a].append(b)
        pred[b].append(a)
    blocking = [int(i > 0 and rng.random() < 0.25) for i in range(NODES)]
    non_blocking = [int(i > 0 and not b and rng.random() < 0.4) for i, b in enumerate(blocking)]
    names = tuple(map(str, range(NODES)))
    return Flow(names, {}, succ, pred, blocking, non_blocking)


def plain_reverse_search(flow: Flow) -> bytearray:
    """Visit everything a blocking node is behind, as anybody would write it."""
    seen = bytearray(NODES)
    stack = [i for i, b in enumerate(flow.blocking) if b]
    for i in stack:
        seen[i] = 1
    while stack:
        for other in flow.pred[stack.pop()]:
            if not seen[other]:
                seen[other] = 1
                stack.append(other)
    return seen


def seconds(call) -> float:
    started = time.process_time()
    call()
    return time.process_time() - started


def over(ratios: dict[str, float]) -> dict[str, float]:
    return {name: ratio for name, ratio in ratios.items() if ratio > LIMITS[name]}


@pytest.mark.nightly
@pytest.mark.timeout(300)
def test_the_policies_cost_a_few_searches_over_a_million_edges(figure):
    flow = random_flow()
    assert sum(may_be_awaited(flow, 0, "all")) > NODES * 0.9
    plain, path, everything, ratios = [], [], [], {}
    while len(plain) < ROUNDS or (over(ratios) and len(plain) < most(ROUNDS, 12)):
        plain.append(seconds(lambda: plain_reverse_search(flow)))
        path.append(seconds(lambda: may_be_awaited(flow, 0, "path")))
        everything.append(seconds(lambda: [may_be_awaited(flow, 0, p) for p in AWAIT_POLICIES]))
        ratios = {"path": min(path) / min(plain), "all six": min(everything) / min(plain)}
    for name, ratio in ratios.items():
        figure(f"{name}, times a plain reverse search", ratio, most=LIMITS[name])
