"""B2-10: check_mutation names the node that gave a table another column."""

import pandas as pd

from flownb import Graph


def mark(table):
    table["c"] = 1
    return table


graph = (
    Graph("m")
    .add_producer("P", [pd.DataFrame({"a": [1, 2]})])
    .add_node("a", mark)
    .add_node("b", len)
    .add_edge("P", "a")
    .add_edge("P", "b")
)
try:
    graph.simulate(check_mutation=True)
except Exception as error:
    print(type(error).__name__, str(error).split(" that")[0])

# prints
# SimulationError node 'a' (loop 'P', iteration 0) changed a payload
