"""B2-13: compare() and sweep() read the source again, and a generator is empty then."""

from flownb import Graph
from flownb.errors import FlowError


def graph():
    return (
        Graph("g").add_producer("p", (n for n in [1, 2])).add_node("n", keep=9).add_edge("p", "n")
    )


seen = []
for ask in (
    lambda: {name: len(t.spans) for name, t in graph().compare(["none", "all"]).items()},
    lambda: graph().sweep(lambda sim: seen.append(sim.outputs("n")), seeds=2) and seen,
):
    try:
        print(ask())
    except FlowError as error:
        print("give the generator function" in str(error))

# prints
# True
# True
