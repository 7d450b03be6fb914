"""C8: an async node that blocks past its `timeout` has timed out, live as in a simulation."""

import asyncio
import time

from flownb import Graph


async def blocks(_):
    time.sleep(0.2)  # noqa: ASYNC251


def build():
    graph = Graph("c8").add_producer("p", [1]).add_node("n", blocks, timeout=0.1)
    return graph.add_edge("p", "n")


async def main():
    async with build().start() as orch:
        await orch.wait(timeout=20)
        print([type(failure.error).__name__ for failure in orch.failures()])


asyncio.run(main())
print([type(failure.error).__name__ for failure in build().simulate().failures()])

# prints
# ['NodeTimeout']
# ['NodeTimeout']
