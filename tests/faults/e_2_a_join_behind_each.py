"""E, extra 2: a plain join behind join="each" is refused in a graph that runs once, too."""

from flownb import Graph, GraphError

graph = Graph("g").add_node("m", join="each")
for name in "abcxyz":
    graph.add_node(name)
for source, target in ("ab", "ac", "bm", "cm", "mx", "my", "xz", "yz"):
    graph.add_edge(source, target)
try:
    print(graph.run({}).visited.count("z"), "of 2 items came to the end")
except GraphError as error:
    print(error)
print(graph.add_node("z", join="each").run({}).visited.count("z"))

# prints
# node 'z': join='all' behind 'm', which has join='each' and sends on one item for each input; give both join='each', or both join='all'
# 4
