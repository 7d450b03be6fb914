"""D9: a condition on an edge behind a queue reader decides, as behind any other node."""

from flownb import Graph

graph = Graph("g").add_producer("p", [1, 2, 3]).add_queue("q").add_edge("p", "q")
graph.add_queue_reader("r", queue="q").add_node("even", keep=9).add_node("odd", keep=9)
graph.add_edge("r", "even", condition=lambda x: x % 2 == 0)
graph.add_edge("r", "odd", condition=lambda x: x % 2 == 1)
sim = graph.simulate()
print(sim.outputs("even"), sim.outputs("odd"))

# prints
# [2] [1, 3]
