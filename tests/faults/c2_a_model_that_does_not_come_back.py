"""C2: what a model loses on its way out and back is refused at the push, with its path."""

import asyncio

from pydantic import BaseModel, Field, SecretStr

from flownb import Graph


class Login(BaseModel):
    user: str
    token: SecretStr


class Day(BaseModel):
    rain: float = 0.0
    note: str = Field("", exclude=True)


class WetDay(Day):
    snow: float = 0.0


class Week(BaseModel):
    days: list[Day]


async def through(first, model=None):
    graph = Graph("t").add_producer("p", [first]).add_queue("q", model=model).add_edge("p", "q")
    graph.add_queue_reader("r", queue="q").add_node("n", keep=9).add_edge("r", "n")
    orch = graph.start()
    await orch.wait(timeout=20)
    print("arrived:", orch.outputs("n"), *[failure.error for failure in orch.failures()])
    await orch.stop()


asyncio.run(through(Login(user="ada", token="t0p")))
asyncio.run(through(Login(user="ada", token="t0p"), model=Login))
asyncio.run(through(Day(note="dry"), model=Day))
asyncio.run(through(Week(days=[Day(), WetDay(snow=2)]), model=Week))

# prints
# arrived: [] queue 'q': payload.token: a SecretStr is not written: let the node read it where it is needed (model Login)
# arrived: [] queue 'q': payload.token: a SecretStr is not written: let the node read it where it is needed (model Login)
# arrived: [] queue 'q': payload.note: 'dry' comes back as '' (model Day)
# arrived: [] queue 'q': payload.days[1]: a WetDay comes back as a Day: annotate it as WetDay (model Week)
