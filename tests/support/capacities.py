"""Which graphs do the tests of capacity look at? Small ones, each with one story."""

from __future__ import annotations

from flownb import Graph, Limit


def build(nodes, edges, *, every=None, takes=None, **loop):
    """A loop P; nodes are "name:kind seconds", kind B or N; edges "a>b>c"."""
    graph = Graph("g").add_producer("P", every=every, takes=takes)
    add(graph, nodes, edges)
    return graph.set_loop("P", **loop) if loop else graph


def add(graph, nodes, edges, **limits):
    for word in nodes.split(", "):
        name, takes = word.split()
        name, kind = name.split(":")
        kind = {"B": "blocking", "N": "non_blocking"}[kind]
        graph.add_node(name, kind=kind, takes=float(takes), limit=limits.get(name))
    for path in edges.split():
        graph.add_edge(*path.split(">"))
    return graph


def limited(nodes, edges, limit, *names, **loop):
    graph = Graph("g").add_producer("P", every=loop.pop("every", None))
    add(graph, nodes, edges, **dict.fromkeys(names, limit))
    return graph.set_loop("P", **loop) if loop else graph


def with_queue(*, every, nodes, edges, maxlen=None, mode="competing", work=0.1):
    graph = Graph("g").add_producer("P", every=every).add_node("w", takes=work)
    graph.add_queue("q", maxlen=maxlen, mode=mode).add_edge("P", "w", "q")
    graph.add_queue_reader("R", queue="q")
    return add(graph, nodes, edges)


def two_loops(limit, a, b):
    graph = Graph("g").add_producer("P").add_node("a", takes=a, limit=limit).add_edge("P", "a")
    graph.add_producer("Q").add_node("b", takes=b, limit=limit).add_edge("Q", "b")
    return graph


ONE = Limit(concurrency=1)

GRAPHS = {
    "a chain": lambda: build("a:B 0.1, b:B 0.2", "P>a>b"),
    "a chain and a slow producer": lambda: build("a:B 0.1", "P>a", takes=0.25),
    "a diamond": lambda: build("a:B 0.1, b:B 0.4, c:B 0.2, d:B 0.05", "P>a>b>d P>c>d"),
    "an arm that goes on": lambda: build("a:B 0.2, audit:N 0.7", "P>a P>audit"),
    "a clock with room": lambda: build("a:B 0.03", "P>a", every=0.1),
    "a clock that misses ticks": lambda: build("a:B 0.3", "P>a", every=0.1),
    "a clock that just misses": lambda: build("a:B 0.25", "P>a", every=0.1),
    "too few slots": lambda: build("a:B 0.1, audit:N 1", "P>a P>audit", max_in_flight=4),
    "one slot": lambda: build("a:B 0.1, audit:N 1", "P>a P>audit", max_in_flight=1),
    "a clock and too few slots": lambda: build("x:N 0.5", "P>x", every=0.1, max_in_flight=2),
    "detached behind the awaited": lambda: build(
        "a:B 0.3, z:N 2, y:N 0.1", "P>a>z P>y", max_in_flight=3, await_policy="blocking"
    ),
    "a chain of detached work": lambda: build(
        "a:B 0.1, x:N 0.4, y:N 0.6", "P>a P>x>y", max_in_flight=3
    ),
    "a limit on one node": lambda: limited("a:B 0.1, x:N 0.3", "P>a P>x", ONE, "x"),
    "a limit shared by two nodes": lambda: limited(
        "a:B 0.2, b:B 0.3", "P>a P>b", Limit(concurrency=1), "a", "b"
    ),
    "a limit shared by awaited and detached": lambda: limited(
        "a:B 0.1, x:N 0.3", "P>a P>x", Limit(concurrency=1), "a", "x"
    ),
    "two machines": lambda: limited("a:B 0.1, x:N 0.5", "P>a P>x", Limit(concurrency=2), "x"),
    "so many starts a second": lambda: limited(
        "a:B 0.1, x:N 0.01", "P>a P>x", Limit(per_second=4), "x"
    ),
    "a limit shared by two loops": lambda: two_loops(Limit(concurrency=1), 0.2, 0.3),
    "a queue with a fast reader": lambda: with_queue(every=0.2, nodes="r:B 0.05", edges="R>r"),
    "a queue with a slow reader": lambda: with_queue(every=0.2, nodes="r:B 0.5", edges="R>r"),
    "a full queue": lambda: with_queue(every=None, nodes="r:B 0.5", edges="R>r", maxlen=3),
    "a reader with detached work": lambda: with_queue(
        every=0.2, nodes="r:B 0.05, s:N 3", edges="R>r R>s"
    ),
    "policy all": lambda: build("a:B 0.1, audit:N 0.7", "P>a P>audit", await_policy="all"),
    "policy none": lambda: build("a:B 1", "P>a", takes=0.2, await_policy="none"),
}
