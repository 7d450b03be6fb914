"""B1-3: a document names each function so that the name leads back to it, or is refused."""

import json

from flownb import Graph, GraphError, ToolRegistry


def times(k):
    def f(x):
        return x * k

    return f


twice, much = times(2), times(100)
graph = Graph("g").add_producer("P", [1]).add_node("a", twice).add_node("b", much)
graph.add_edge("P", "a", "b")
tools = ToolRegistry()
tools.register(twice)
try:
    tools.register(much)
except GraphError:
    print("register: the name is taken")
try:
    back = Graph.from_dict(json.loads(json.dumps(graph.to_dict(tools=tools))), tools=tools)
    print(graph.simulate().outputs("b"), back.simulate().outputs("b"))
except GraphError:
    print("to_dict: no name leads back to it")
tools.register("much", much)
back = Graph.from_dict(json.loads(json.dumps(graph.to_dict(tools=tools))), tools=tools)
print(graph.simulate().outputs("b"), back.simulate().outputs("b"))

# prints
# register: the name is taken
# to_dict: no name leads back to it
# [200] [200]
