"""The script that is killed: a loop that notes each item in a file, and sums them up by item."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from flownb import Graph

kept, pool = sys.argv[1:]
done = Path(f"{kept}.done")


def note(item, ctx):
    time.sleep(0.005)
    ctx.state[str(item)] = item
    with done.open("a") as file:
        file.write(f"{item}\n")
    return sum(ctx.state.values())


graph = (
    Graph("noted")
    .add_producer("items", range(200))
    .add_node("note", note)
    .add_edge("items", "note")
    .set_loop("items", pool=pool, checkpoint=kept, persistence_interval=0.1)
)


async def main():
    orch = graph.start()
    await orch.wait(iterations=1)
    print("runs", flush=True)
    status = await orch.wait(timeout=60)
    print(status["items"].state, orch.outputs("note")[-1], flush=True)


if __name__ == "__main__":
    import asyncio

    asyncio.run(main())
