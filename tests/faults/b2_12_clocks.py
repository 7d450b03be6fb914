"""B2-12: in a simulation the clocks follow what is slept."""

import time

from flownb import Graph


def timed(_):
    began = time.monotonic(), time.time(), time.perf_counter_ns()
    time.sleep(2)
    ended = time.monotonic(), time.time(), time.perf_counter_ns()
    return [round(b - a, 1) for a, b in zip(began, ended, strict=True)]


def poll(_):
    began = time.monotonic()
    for _ in range(1000):
        if time.monotonic() - began >= 2:
            return "ok"
        time.sleep(0.5)
    return "its clock stands still"


for fn in (timed, poll):
    graph = Graph("t").add_producer("P", [1]).add_node("a", fn).add_edge("P", "a")
    print(graph.simulate(until=900).outputs("a"))

# prints
# [[2.0, 2.0, 2000000000]]
# ['ok']
