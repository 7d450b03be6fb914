"""C3: what a model's own code raises fails the item that it runs for, and not the loop."""

import asyncio
from typing import Any

from pydantic import BaseModel, field_serializer, field_validator

from flownb import Graph


class Doc(BaseModel):
    body: bytes


class Box(BaseModel):
    v: Any = None


class Price(BaseModel):
    eur: float

    @field_serializer("eur")
    def inverse(self, v):
        return 1 / v


class Known(BaseModel):
    k: str

    @field_validator("k")
    @classmethod
    def known(cls, v):
        return {"a": "a"}[v]


async def through(first, *rest, model=None):
    graph = Graph("t").add_producer("p", [first, *rest]).add_queue("q", model=model)
    graph.add_edge("p", "q").add_queue_reader("r", queue="q").add_node("n", keep=9)
    orch = graph.add_edge("r", "n").start()
    await orch.wait(timeout=20)
    cause = type(orch.failures()[0].error.__cause__).__name__
    print(orch.status()["p"].state, len(orch.failures()), cause, orch.outputs("n"))
    await orch.stop()


asyncio.run(through(Doc(body=b"\xff"), 1, 2))
asyncio.run(through(Box(v=object()), 1, 2))
asyncio.run(through(Price(eur=0), 1, 2))
asyncio.run(through({"k": "b"}, {"k": "a"}, model=Known))

# prints
# completed 1 UnicodeDecodeError [1, 2]
# completed 1 PydanticSerializationError [1, 2]
# completed 1 ZeroDivisionError [1, 2]
# completed 1 KeyError [Known(k='a')]
