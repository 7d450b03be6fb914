"""Who calls user functions? The room `engine/calls`, in every pool and every way to run."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import flownb
from flownb import Graph, Retry
from tests.support.live import live

PACKAGE = Path(flownb.__file__).parent
CALLERS = {
    "attempts",  # awaits an async call with policies
    "chain",  # a row of a one-shot run
    "runner",  # a call by itself
    "signature",  # binds a context, begins a generator anew
    "steps",  # asks for a verdict, a limit, a cache within a row
    "tasks",  # awaits an async call
    "turn",  # a row of a loop
}


class Planted:
    """Functions that note which file of the package has called them."""

    def __init__(self):
        self.callers = set()

    def note(self):
        frame = sys._getframe(2)
        while frame is not None:
            path = Path(frame.f_code.co_filename)
            if PACKAGE in path.parents:
                self.callers.add(path.relative_to(PACKAGE).as_posix())
                return
            frame = frame.f_back

    def source(self):
        for n in range(6):
            self.note()
            yield n

    def sync(self, n):
        self.note()
        return n

    def placed(self, n, ctx):
        self.note()
        return n

    async def waits(self, n):
        self.note()
        return n

    def verdict(self, n):
        self.note()
        return n % 2 == 0

    def graph(self):
        graph = Graph("planted").add_producer("p", self.source)
        self.nodes(graph)
        return graph.add_edge("p", "a")

    def nodes(self, graph):
        graph.add_node("a", self.sync).add_node("x", self.waits).add_if("i", self.verdict)
        graph.add_node("b", self.placed).add_node("c", self.sync, retry=Retry(ValueError, 2))
        graph.add_node("d", self.sync, kind="non_blocking").add_node("e", self.sync, timeout=60)
        graph.add_edge("a", "x", "i").add_edge("i", "b", when=True).add_edge("b", "c", "e")
        graph.add_edge("a", "d")

    def check(self):
        names = {path.removeprefix("engine/calls/").removesuffix(".py") for path in self.callers}
        assert names, "nothing was called"
        assert names <= CALLERS, names


@pytest.mark.wallclock
@pytest.mark.parametrize("pool", ["thread", "asyncio"])
@live
async def test_in_a_live_loop(pool):
    planted = Planted()
    async with planted.graph().set_loop("p", pool=pool).start() as orch:
        await orch.wait(timeout=30)
    planted.check()


@pytest.mark.wallclock
@live
async def test_by_step():
    planted = Planted()
    orch = planted.graph().start()
    await orch.pause()
    for _ in range(3):
        await orch.step()
    await orch.stop()
    planted.check()


def test_in_a_simulation():
    planted = Planted()
    planted.graph().simulate()
    planted.check()


def test_in_a_run():
    planted = Planted()
    graph = Graph("planted")
    planted.nodes(graph)
    graph.run(2)
    planted.check()
