"""A node that a cell defines fails in a process: its traceback shows the line of the cell."""

import asyncio
import linecache

from flownb import Graph

FILE = "/no/such/cell.py"  # as a kernel runs a cell: its lines are in no file
CELL = """
def fails(n):
    raise ValueError(n)  # just here
"""
linecache.cache[FILE] = len(CELL), None, CELL.splitlines(keepends=True), FILE
exec(compile(CELL, FILE, "exec"))


async def main():
    graph = Graph("cells").add_producer("p", [80]).add_node(fails).add_edge("p", fails)  # noqa: F821
    orch = graph.set_loop("p", pool="process").start()
    await orch.wait(timeout=30)
    lines = orch.failures()[-1].traceback.splitlines()
    print(*[line for line in lines if "cell.py" in line or "raise" in line], sep="\n")
    await orch.stop()


asyncio.run(main())

# prints
#   File "/no/such/cell.py", line 3, in fails
#     raise ValueError(n)  # just here
