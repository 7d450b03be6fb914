"""B3, Also: a misspelled name is told, whatever is asked with it."""

from flownb import Graph

sim = Graph("g").add_producer("days", [1]).add_node("check").add_edge("days", "check").simulate()
asked = {
    "metrics": lambda: sim.metrics["dyas"],
    "nodes": lambda: sim.metrics["days"].nodes["chekc"],
    "logs": lambda: sim.logs(node="chekc"),
    "releases": lambda: sim.releases("dyas"),
    "failures": lambda: sim.failures("dyas"),
    "outputs": lambda: sim.outputs("chekc"),
}
for verb, ask in asked.items():
    try:
        print(verb, ask())
    except Exception as error:
        print(verb, "did you mean" in str(error))

# prints
# metrics True
# nodes True
# logs True
# releases True
# failures True
# outputs True
