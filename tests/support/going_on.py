"""The script that is killed: a loop that notes each item in a file, and sums them up by item."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from flownb import Graph


def noted(kept, pool):
    """Give the graph; what it noted stands beside its checkpoint."""

    def note(item, ctx):
        time.sleep(0.005)
        ctx.state[str(item)] = item
        with Path(f"{kept}.done").open("a") as file:
            file.write(f"{item}\n")
        return sum(ctx.state.values())

    return (
        Graph("noted")
        .add_producer("items", range(200))
        .add_node("note", note)
        .add_edge("items", "note")
        .set_loop("items", pool=pool, checkpoint=kept, persistence_interval=0.1)
    )


async def main(kept, pool):
    orch = noted(kept, pool).start()
    await orch.wait(iterations=1)
    print("runs", flush=True)
    status = await orch.wait(timeout=60)
    print(status["items"].state, orch.outputs("note")[-1], flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
