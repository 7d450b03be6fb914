"""May a loop run for ever? Its memory and its tasks must not grow."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path

import pytest

from tests.support.lab import fan

STATUS = Path("/proc/self/statm")
PAGE = 4096
WARM_UP = 10_000


def rss():
    gc.collect()
    return int(STATUS.read_text().split()[1]) * PAGE


def grow(iterations):
    """Megabytes and tasks that are added after the first 10,000 iterations."""
    marks = {}

    def mark(item):
        if item in {WARM_UP, iterations - 1}:
            marks[item] = rss(), len(asyncio.all_tasks())
        return item

    background = {"kind": "non_blocking", "takes": 0.5}
    graph = fan(("b", mark, {"takes": 0.1}), ("n", None, background), ("m", None, background))
    sim = graph.simulate(iterations=iterations, history=1000)
    assert sim.metrics["p"].done == iterations
    (before, tasks), (after, tasks_then) = marks.values()
    print(f"{iterations:,} iterations: {(after - before) / 1e6:+.2f} MB, {tasks_then} tasks")
    return (after - before) / 1e6, tasks_then - tasks


@pytest.mark.skipif(not STATUS.exists(), reason="reads /proc")
def test_forty_thousand_iterations_need_no_more_memory_than_ten_thousand():
    megabytes, tasks = grow(40_000)
    assert megabytes < 5
    assert tasks == 0


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.skipif(not STATUS.exists(), reason="reads /proc")
def test_a_million_iterations_need_no_more_memory_than_ten_thousand():
    megabytes, tasks = grow(1_000_000)
    assert megabytes < 5
    assert tasks == 0
