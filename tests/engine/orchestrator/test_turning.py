"""What becomes of messages under way when the reader that fetched them is edited?"""

from __future__ import annotations

import threading
import time

import pytest

from flownb import Graph
from flownb.errors import GraphError
from tests.support.live import live, until

pytestmark = pytest.mark.wallclock
POOLS = pytest.mark.parametrize("pool", ["thread", "asyncio"])


@POOLS
@live
async def test_a_reader_does_not_turn_to_another_queue_on_its_way(pool):
    """What it has fetched would stay in its hands; acks would go to the wrong queue."""
    graph = Graph(f"turning {pool}").add_queue("a", external=True).add_queue("b", external=True)
    graph.add_producer("count", every=0.01).add_edge("count", "a").add_edge("count", "b")
    graph.add_queue_reader("take", queue="a").add_node("check").add_edge("take", "check")
    graph.set_loop("take", pool=pool)
    async with graph.start() as orch:
        await orch.wait(1, loop="take", timeout=30)
        graph.add_queue_reader("take", queue="b")
        with pytest.raises(GraphError, match="loop 'take' reads queue 'a' and cannot turn to 'b'"):
            orch.apply()
        await orch.stop("take")
        await orch.apply()
        assert (await orch.wait(1, loop="take", timeout=30)).timed_out is False


@POOLS
@live
async def test_an_item_under_way_is_acked_as_its_own_reader_says(pool):
    gate = threading.Event()
    graph = Graph(f"acks {pool}").add_producer("count", range(9)).add_queue("q", external=True)
    graph.add_edge("count", "q").add_queue_reader("take", queue="q")
    graph.add_node("slow", lambda _: gate.wait(30), kind="non_blocking").add_edge("take", "slow")
    graph.set_loop("take", pool=pool)
    async with graph.start() as orch:
        await orch.wait(9, loop="take", timeout=30)
        graph.add_queue_reader("take", queue="q", ack="received")
        await orch.apply()
        gate.set()
        await until(lambda: orch.metrics()["take"].done == 9)
        end = time.monotonic() + 20
        while (await orch.queues.stats("q")).depth:
            assert time.monotonic() < end
