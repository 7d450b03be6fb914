"""B1-2: a node that sleeps for ever ends with the simulation, as one that awaits does."""

import asyncio
import threading
import time

from flownb import Graph


def poll(_):
    while True:
        time.sleep(1)


async def wait(_):
    while True:
        await asyncio.sleep(1)


def simulate(fn):
    graph = Graph("h").add_producer("P", [1]).add_node("n", fn).add_edge("P", "n")
    sim = graph.simulate(until=10)
    print(sim.duration, sim.metrics["P"].open, sim.failures())


for fn in (wait, poll):
    thread = threading.Thread(target=simulate, args=(fn,), daemon=True)
    thread.start()
    thread.join(20)
print("flownb simulation" in [t.name for t in threading.enumerate()])

# prints
# 10.0 1 []
# 10.0 1 []
# False
