"""C6: LangGraph's words mean here what they mean there, or are refused where they are written."""

import operator
from typing import Annotated, TypedDict

from flownb import END, START, Graph, GraphError


class State(TypedDict):
    docs: Annotated[list, operator.add]


def build(router, targets, source="a"):
    graph = Graph("g", state_model=State).add_edge("d", END)
    for name in "abcd":
        graph.add_node(name, lambda _, name=name: {"docs": [name]})
    return graph.add_conditional_edges(source, router, targets)


def tried(make):
    try:
        return make()
    except (GraphError, LookupError) as error:
        return type(error).__name__, "there are: 'b', 'c', 'd'" in str(error)


class Send:
    pass


print(tried(lambda: build(lambda _: ["b", "c"], ["b", "c", "d"]).run({}).state))
print(
    tried(lambda: build(lambda _: "no", {"yes": "d", "no": "d", "?": "b", "!": "c"}).run({}).state)
)
print(tried(lambda: build(lambda _: "z", ["b", "c", "d"]).run({}).state))
print(tried(lambda: build(lambda _: [Send()], ["b", "c", "d"]).run({}).state)[0])
print(tried(lambda: build(lambda _: "b", ["a", "b", "c", "d"], START).run({}).state))
print(tried(lambda: build(lambda _: [], ["b", "c", "d"]).run({}).state))
print(tried(lambda: build(lambda _: "b", ["b", "c", "d"]).add_edge(END, "b"))[0])

# prints
# {'docs': ['a', 'b', 'c']}
# {'docs': ['a', 'd']}
# ('LookupError', True)
# LookupError
# {'docs': ['b']}
# {'docs': ['a']}
# GraphError
