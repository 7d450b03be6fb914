"""B2-13: a generator can be read once, and whoever finds it empty says so."""

import asyncio

from flownb import Graph

rows = (n for n in [1, 2, 3])
graph = Graph("g").add_producer("P", rows).add_node("n", keep=9).add_edge("P", "n")
print(graph.simulate().outputs("n"))
print(["can be read once" in str(problem) for problem in graph.validate()])
print(["gives nothing any more" in line.text for line in graph.simulate().logs()])


async def main():
    orch = graph.start()
    status = await orch.wait(timeout=9)
    print("gives nothing any more" in status["P"].reason, len(orch.logs()))


asyncio.run(main())

# prints
# [1, 2, 3]
# [True]
# [True]
# True 1
