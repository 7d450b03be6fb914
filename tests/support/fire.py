"""What is killed in the tests of `test_fire.py`? Consumers, at twelve named points.

They move messages from queue "in" to queue "out", one item at a time: its node is async
and may be tried again.
"""

from __future__ import annotations

import asyncio

from flownb import Graph, Retry
from flownb.engine.calls import attempts
from flownb.engine.loop import settlement
from flownb.queues import connection
from flownb.queues.receive import claims, reader
from flownb.queues.redis import watch
from tests.support.fuse import Fire, run

POINTS = (
    "at start",
    "after the read",
    "before the node",
    "in the node",
    "between node and push",
    "in the MULTI",
    "after the MULTI",
    "in a retry's sleep",
    "in a reclaim",
    "in a renewal",
    "in a pause",
    "in a stop",
)
MOST = {
    "at start": 1,
    "after the read": 3,
    "in the MULTI": 9,
    "after the MULTI": 9,
    "in a reclaim": 2,
    "in a renewal": 2,
}


def lay(fuse, *, transactional):
    """Lay a fuse through what flownb does with a message."""
    fuse.around(reader.StreamReader, "_opened", after="after the read")
    fuse.before(settlement.Settlement, "post", "between node and push")
    fuse.around(attempts.Attempts, "_backoff", before="in a retry's sleep")
    fuse.around(claims.Claims, "claim", before="in a reclaim", after="in a reclaim")
    fuse.around(claims.Claims, "renew", before="in a renewal", after="in a renewal")
    sends = (watch.Watch, "_multi") if transactional else (connection, "transact")
    fuse.around(*sends, during="in the MULTI", after="after the MULTI")


def make(fuse, *, transactional, pool):
    lay(fuse, transactional=transactional)
    tried = set()
    lease = 1.5 if fuse.point == "in a renewal" else 30

    async def work(n):
        fuse.reached("before the node")
        if fuse.point == "in a retry's sleep" and n not in tried:
            tried.add(n)
            raise ValueError("once")
        await asyncio.sleep(lease / 2 if fuse.point == "in a renewal" else 0)
        fuse.reached("in the node")
        fuse.went_by()
        return n

    graph = Graph("fire").add_queue_reader(
        "move", queue="in", prefetch=16, external=True, visibility_timeout=lease, max_deliveries=99
    )
    graph.add_node("work", work, retry=Retry(on=ValueError, wait_initial=0.001, wait_max=0.001))
    graph.add_queue("out", external=True)
    graph.add_edge("move", "work", "out")
    return graph.set_loop("move", transactional=transactional, pool=pool, max_in_flight=8)


FIRE = Fire(POINTS, make, MOST)

if __name__ == "__main__":
    run(FIRE)
