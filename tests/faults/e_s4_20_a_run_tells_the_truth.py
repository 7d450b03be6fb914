"""S3.6, S4.20: a run says what is so while it works, and what it has done stays when it ends."""

import asyncio
import threading

from flownb import Graph

reached, go_on = threading.Event(), threading.Event()


def wait(_):
    reached.set()
    go_on.wait(20)


async def main():
    graph = Graph("s").add_node("a", lambda _: {"a": 1}).add_node("b", wait).add_node("c")
    task = asyncio.create_task(graph.add_edge("a", "b", "c").arun({}))
    await asyncio.to_thread(reached.wait, 20)
    run = graph.last_run
    print(run.nodes, run.visited, run.state)
    run.cancel()
    await task
    print(run.status, run.nodes, run.state)
    go_on.set()


asyncio.run(main())

# prints
# {'a': 'completed', 'b': 'running', 'c': 'pending'} ['a'] {'a': 1}
# cancelled {'a': 'completed', 'b': 'cancelled', 'c': 'pending'} {'a': 1}
