"""C5: an edit never makes a node begin by itself; two routers behind one node both decide."""

from flownb import Graph, GraphError


def build(names):
    graph = Graph("g")
    for name in names:
        graph.add_node(name, lambda _, name=name: {name: 1})
    return graph


def tried(graph):
    try:
        return sorted(graph.run({}).state)
    except GraphError as error:
        return str(error).split(";")[0]


both = build("abcde")
both.add_conditional_edges("a", lambda _: "b", ["b", "c"])
both.add_conditional_edges("a", lambda _: "d", ["d", "e"])
print(tried(both))


def router(_):
    return "d"


again = build("abcd").add_conditional_edges("a", router, ["b", "c"])
again.add_conditional_edges("a", router, ["d", "c"])
print(tried(again))
print(tried(again.remove_node("b")))

removed = build("abc").add_edge("a", "b", "c").remove_edge("a", "b")
print(tried(removed))
print(tried(removed.add_edge("a", "b")))

mine = build("ab").add_node("a?", lambda _: {"mine": 1}).add_edge("a", "a?")
print(tried(mine.add_conditional_edges("a", lambda _: "b", ["b"])))

# prints
# ['a', 'b', 'd']
# node 'b': nothing leads here any more
# ['a', 'd']
# nodes 'b' and 'c': nothing leads here any more
# ['a', 'b', 'c']
# ['a', 'b', 'mine']
