"""C12: a graph that ran cannot be copied."""

import copy

from flownb import Graph

graph = Graph("g").add_node("double", lambda state: {"n": state["n"] * 2})
graph.run({"n": 2})
try:
    print(copy.deepcopy(graph).run({"n": 3}).state)
except TypeError as error:
    print(error)

# prints
# {'n': 6}
