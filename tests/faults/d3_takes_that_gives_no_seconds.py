"""D3: a `takes=` function that raises, or gives no seconds, fails the item that it is asked for."""

from flownb import Graph

given = iter([1, -1, float("nan"), float("inf"), "2", 0.5])


def takes(rng):
    return next(given)


graph = Graph("t").add_producer("p", every=10).add_node("n", takes=takes).add_edge("p", "n")
try:
    sim = graph.simulate(iterations=7)
    print(sim.metrics["p"].done, "done")
    for failure in sim.failures():
        print(failure.iteration, failure.error)
except Exception as error:
    print(type(error).__name__, error)

# prints
# 2 done
# 1 node 'n': its takes= function gave -1: give seconds, 0 or more
# 2 node 'n': its takes= function gave nan: give seconds, 0 or more
# 3 node 'n': its takes= function gave inf: give seconds, 0 or more
# 4 node 'n': its takes= function gave '2': give seconds, 0 or more
# 6 node 'n': its takes= function raised StopIteration
