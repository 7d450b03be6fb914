"""D3: a condition behind a producer fails the item that was made, in every pool."""

import asyncio

from flownb import Graph


async def run(pool):
    graph = Graph("g").add_producer("p", [1, "two", 3]).add_node("n", keep=9)
    graph.add_edge("p", "n", condition=lambda x: x > 0).set_loop("p", pool=pool)
    orch = graph.start()
    try:
        await orch.wait(timeout=20)
    except Exception as error:
        print(type(error).__name__)
    print([failure.item for failure in orch.failures()], orch.outputs("n"))
    await orch.stop()


for pool in ("thread", "asyncio"):
    asyncio.run(run(pool))

# prints
# ['two'] [1, 3]
# ['two'] [1, 3]
