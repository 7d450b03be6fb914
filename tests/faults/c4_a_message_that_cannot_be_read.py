"""C4: a message that goes to the dead letters unread is an error, an event, a line, a number."""

import asyncio

import fakeredis
from pydantic import BaseModel

from flownb import Graph


class Known(BaseModel):
    k: str


async def main():
    client = fakeredis.FakeRedis()
    graph = Graph("g").add_producer("p", []).add_queue("q", model=Known).add_edge("p", "q")
    graph.add_queue_reader("r", queue="q").add_node("n", keep=9).add_edge("r", "n")
    client.xadd("flownb:g:q", {"x": "y"})
    client.xadd("flownb:g:q", {"data": '{"k": 5}'})
    client.xadd("flownb:g:q", {"data": '{"k": "a"}'})
    client.xadd("flownb:{g}:q", {"x": "y"})
    client.xadd("flownb:{g}:q", {"data": '{"k": 5}'})
    client.xadd("flownb:{g}:q", {"data": '{"k": "a"}'})
    orch = graph.start(redis=client)
    status = await orch.wait(timeout=20)
    print(orch.outputs("n"), status.errors, "errors")
    for failure in orch.failures():
        print(str(failure.error).partition(": ")[2])
    print(len([line for line in orch.logs() if line.level == "error"]), "lines")
    await orch.stop()


asyncio.run(main())

# prints
# [Known(k='a')] 2 errors
# no field 'data': this was not pushed by flownb
# payload.k: Input should be a valid string (model Known)
# 2 lines
