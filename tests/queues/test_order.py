"""In which order do the pushes of one loop arrive? In item order along an awaited arm."""

from __future__ import annotations

import asyncio

import pytest

from flownb import Graph

COUNT = 40


def pushing(node_kind, queue_kind):
    """Items that take differently long, and are pushed then."""

    async def work(n, ctx):
        await ctx.sleep((n * 7 % 5) * 0.002)
        return n

    graph = Graph("order").add_producer("p", range(COUNT)).add_node("work", work, kind=node_kind)
    graph.add_queue("q", kind=queue_kind).add_edge("p", "work", "q")
    graph.add_queue_reader("r", queue="q").add_node("n", keep=COUNT)
    return graph.add_edge("r", "n")


@pytest.mark.parametrize("queue_kind", ["blocking", "non_blocking"])
def test_along_an_awaited_arm_messages_arrive_in_item_order(queue_kind):
    graph = pushing("blocking", queue_kind)
    assert graph.simulate().outputs("n") == list(range(COUNT))

    async def live():
        orch = graph.start()
        await orch.wait(timeout=60)
        return orch.outputs("n")

    assert asyncio.run(live()) == list(range(COUNT))


def test_detached_pushes_overtake_and_none_is_missing():
    found = pushing("non_blocking", "non_blocking").simulate().outputs("n")
    assert found != list(range(COUNT))
    assert sorted(found) == list(range(COUNT))
