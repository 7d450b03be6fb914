"""C6: an answer None of a router has the one way that is named for it, and is no way always."""

from flownb import Graph

graph = Graph("g").add_node("a").add_node("stop").add_node("go")
graph.add_conditional_edges("a", lambda state: state["done"], {None: "stop", True: "go"})
print([graph.run({"done": done}).visited[-1] for done in (None, True)])
print(len(graph.run({"done": True}).visited))

# prints
# ['stop', 'go']
# 3
