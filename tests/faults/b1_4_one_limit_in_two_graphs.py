"""B1-4: one `Limit` object is one limit, whatever the graph."""

import asyncio
import time
from itertools import pairwise

from flownb import Graph, Limit

one = Limit(concurrency=1)


def work(_):
    begun = time.monotonic()
    time.sleep(0.02)
    return begun, time.monotonic()


def build(name):
    graph = Graph(name).add_producer("p", range(8))
    return graph.add_node("w", work, limit=one, keep=9).add_edge("p", "w")


async def main():
    a, b = build("A").start(), build("B").start()
    await a.wait(timeout=20)
    await b.wait(timeout=20)
    calls = sorted(a.outputs("w") + b.outputs("w"))
    overlaps = sum(later[0] < before[1] for before, later in pairwise(calls))
    print("overlap:", overlaps, "of", len(calls))


asyncio.run(main())

# prints
# overlap: 0 of 16
