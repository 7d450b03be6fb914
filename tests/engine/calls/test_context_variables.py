"""Does every node see the context variables with which its run was started?"""

from __future__ import annotations

import asyncio
from contextvars import ContextVar

import pytest

from flownb import Graph, Retry
from tests.support.live import live

TRACE = ContextVar("trace", default=None)
SEEN = [("p", "span"), ("waits", "span"), ("wide", "span")]


def look(name, seen):
    """A node that notes what it sees."""

    def node(x):
        seen.append((name, TRACE.get()))
        TRACE.set("of a node")
        return x

    return node


@pytest.mark.parametrize("pool", ["thread", "asyncio"])
@live
async def test_sources_and_nodes_of_a_loop_see_what_start_saw(pool):
    seen = []

    def source():
        seen.append(("p", TRACE.get()))
        yield 1

    async def waits(x):
        await asyncio.sleep(0)
        return look("waits", seen)(x)

    graph = Graph("vars").add_producer("p", source).set_loop("p", pool=pool)
    graph.add_node("row", look("row", seen)).add_node("waits", waits)
    graph.add_node("retried", look("retried", seen), retry=Retry(OSError)).add_edge(
        "p", "row", "waits", "retried"
    )
    TRACE.set("span")
    orch = graph.start()
    TRACE.set("later")
    await orch.wait(timeout=30)
    await orch.stop()
    assert seen == [(name, "span") for name in ("p", "row", "waits", "retried")]
    assert TRACE.get() == "later"


def two(seen):
    """A run of a sync and an async node, and one that is called for each element of a list."""

    async def waits(_):
        seen.append(("waits", TRACE.get()))

    graph = Graph("run").add_node("p", lambda _: look("p", seen)({"l": [1]}))
    graph.add_node("waits", waits).add_node("wide", look("wide", seen), over="l")
    return graph.add_edge("p", "waits", "wide")


def test_nodes_of_a_run_see_what_run_saw():
    seen = []
    token = TRACE.set("span")
    two(seen).run({})
    TRACE.reset(token)
    assert seen == SEEN


@live
async def test_nodes_of_a_run_see_what_arun_saw():
    seen = []
    TRACE.set("span")
    await two(seen).arun({})
    assert seen == SEEN
