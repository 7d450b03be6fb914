"""B2-11: an edge leads to a list of nodes as it comes from one."""

from flownb import Graph

graph = Graph("e").add_producer("P").add_node("a").add_node("b").add_node("j")
graph.add_edge(["a", "b"], "j")
graph.add_edge("P", ["a", "b"])
print(sorted(graph.edges))

# prints
# [('P', 'a'), ('P', 'b'), ('a', 'j'), ('b', 'j')]
