"""C8: a sync call that has timed out keeps its place in its `Limit` until it really ends."""

import asyncio
import threading
import time

from flownb import Graph, Limit, Retry

at_work, counts, lock = [], [], threading.Lock()


def slow(n):
    with lock:
        at_work.append(n)
        counts.append(len(at_work))
    time.sleep(0.3 if n == 0 else 0)
    with lock:
        at_work.remove(n)


def build(**options):
    graph = Graph("gpu").add_producer("p", range(3))
    graph.add_node("n", slow, timeout=0.1, limit=Limit(concurrency=1), **options)
    return graph.add_edge("p", "n")


async def main(**options):
    async with build(**options).start() as orch:
        await orch.wait(timeout=20)
        metrics = orch.metrics()["p"]
        print("at once:", max(counts), "done:", metrics.done, "failed:", metrics.failed)


asyncio.run(main())
asyncio.run(main(retry=Retry(on=TimeoutError, attempts=2, wait_initial=0.01)))

# prints
# at once: 1 done: 2 failed: 1
# at once: 1 done: 2 failed: 1
