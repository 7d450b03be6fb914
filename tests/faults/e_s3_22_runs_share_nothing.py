"""S3.22: runs share nothing that can be changed, with each other or with the caller."""

from flownb import Graph

entry = {"l": []}
graph = Graph("iso").add_node("n", lambda state: state["l"].append(1))
first, second = graph.run(entry), graph.run(entry)
print(first.state, entry, first.state["l"] is second.state["l"])

# prints
# {'l': [1]} {'l': []} False
