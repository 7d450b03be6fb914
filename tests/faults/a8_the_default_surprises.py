"""A8: the producer waits for a non-blocking node behind a blocking one, and now it is told."""

from flownb import Graph

graph = Graph("shop").add_producer("P").add_node("fetch", takes=0.1)
graph.add_node("notify", kind="non_blocking", takes=1).add_edge("P", "fetch", "notify")
for problem in graph.validate():
    print("a", problem.level, "at", *problem.nodes)
change = graph.explain().capacity().changes["P"]
print("advice:", str(change).partition(";")[0])
graph.remove_edge("fetch", "notify").add_edge("P", "notify")
rate = graph.simulate(until=100).metrics["P"].released / 100
print("then", len(graph.validate()), "hints at", f"{rate:.2g}/s")

# prints
# a hint at notify
# advice: hang notify on P instead of on fetch: 0.909/s -> 10/s
# then 0 hints at 10/s
