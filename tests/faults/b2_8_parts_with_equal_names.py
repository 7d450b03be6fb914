"""B2-8: a part does not overwrite what has its names, but its own when its cell runs again."""

from flownb import Graph, GraphError


def part(name, k, items):
    out = Graph(name, reducers={"n": max}).add_producer("p", items)
    return out.add_node("n", lambda x: x * k, keep=9).add_edge("p", "n")


one, two = part("one", 1, [1, 2]), part("two", 100, [7])
graph = Graph("main").include(one)
try:
    graph.include(two)
    print("overwritten:", graph.simulate().outputs("n"))
except GraphError as error:
    print("both have" in str(error), "give prefix=" in str(error))
graph.include(one).include(two, prefix="two.")
sim = graph.simulate()
print(sim.outputs("n"), sim.outputs("two.n"), sorted(graph.reducers))

# prints
# True True
# [1, 2] [700] ['n']
