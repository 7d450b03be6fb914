"""B3-10: a run that goes on keeps what the calls over a list gave that worked."""

from flownb import Graph

graph = Graph("g").add_node("inverse", lambda x: 1 / x, over="xs", into="ys", on_error="continue")
graph.add_node("after", lambda state, ctx: {"failed": ctx.failed})
run = graph.add_edge("inverse", "after").run({"xs": [1, 0, 4]})
print(run.state.get("ys"), run.state["failed"], run.nodes["inverse"])
print([(getattr(failure, "index", "?"), failure.item) for failure in run.failures])

# prints
# [1.0, None, 0.25] ('inverse',) failed
# [(1, 0)]
