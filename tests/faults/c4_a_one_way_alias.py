"""C4: a model that cannot read what it writes is refused by the push, not by the reader."""

import asyncio

from pydantic import BaseModel, Field

from flownb import Graph


class Alias(BaseModel):
    n: int = Field(validation_alias="inN", serialization_alias="outN")


async def main():
    graph = Graph("t").add_producer("p", [Alias(inN=1)]).add_queue("q", model=Alias)
    graph.add_edge("p", "q").add_queue_reader("r", queue="q").add_node("n", keep=9)
    orch = graph.add_edge("r", "n").start()
    status = await orch.wait(timeout=20)
    print(status["p"].failed, "failed:", *[failure.error for failure in orch.failures()])
    await orch.stop()


asyncio.run(main())

# prints
# 1 failed: queue 'q': payload.inN: Alias cannot read what it writes: Field required (model Alias)
