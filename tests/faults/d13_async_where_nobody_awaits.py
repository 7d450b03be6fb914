"""D13: an async function where nobody awaits its answer is true for ever, or lands in a state."""

from flownb import Graph
from flownb.errors import FlowError


async def never(_):
    return False


async def total(a, b):
    return a + b


def routed():
    graph = Graph("g").add_producer("p", [1]).add_node("n", keep=9)
    return graph.add_edge("p", "n", condition=never).simulate().outputs("n")


def summed():
    graph = Graph("g", reducers={"n": total}).add_node("a", lambda _: {"n": 1})
    return type(graph.run({"n": 1}).state["n"]).__name__


for ask in (routed, summed):
    try:
        print(ask())
    except FlowError as error:
        print("not async" if "async" in str(error) else error)

# prints
# not async
# not async
