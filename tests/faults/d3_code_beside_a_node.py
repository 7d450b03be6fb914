"""D3: code of the user's beside a node fails its item; the node's own error is in the chain."""

import asyncio
import threading

from flownb import Graph, Retry


def check(x):
    if x == "bad":
        raise ValueError(x)
    return x


def catches(error):
    raise TypeError


def chain(error):
    return [] if error is None else [type(error).__name__, *chain(error.__cause__)]


async def run(graph):
    orch = graph.start()
    try:
        status = await orch.wait(timeout=20)
    except Exception:
        status = orch.status()
    errors = [chain(failure.error)[1:] for failure in orch.failures()]
    print(status["p"].state, status["p"].done, "done", errors)
    await orch.stop()


def graph(items, fn=None, **node):
    return Graph("g").add_producer("p", items).add_node("n", fn, **node).add_edge("p", "n")


asyncio.run(run(graph(["good", "bad"], check, retry=Retry(on=catches))))
locks = ["good", threading.Lock(), "good"]
asyncio.run(run(graph(locks).add_node("m").add_edge("p", "m", copy=True)))
asyncio.run(run(graph(["good", 1], check).add_node("m").add_edge("n", "m", condition=len)))

# prints
# completed 1 done [['TypeError', 'ValueError']]
# completed 2 done [['TypeError']]
# completed 1 done [['TypeError']]
