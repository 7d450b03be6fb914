"""What is tried where no thread can be started? `tried()`: in a child process, and in Pyodide.

It is a program: it needs flownb and what flownb needs, nothing of the tests.
"""

import asyncio
import time

from flownb import Graph


def graph(name="single", **options):
    """Two loops and a queue between them, with a sync and an async node."""

    async def later(n):
        await asyncio.sleep(0.002)
        return n + 1

    return (
        Graph(name)
        .add_producer("make", range(5))
        .add_node("double", lambda n: time.sleep(0.001) or n * 2, keep=9, takes=0.5)
        .add_queue("doubled")
        .add_edge("make", "double", "doubled")
        .add_queue_reader("read", queue="doubled")
        .add_node("later", later, keep=9)
        .add_edge("read", "later")
        .set_loop("make", **options)
    )


def once():
    """A graph that runs once."""

    async def add(state):
        await asyncio.sleep(0.01)
        return {"n": state["n"] + 1}

    twice = Graph("once").add_node("twice", lambda state: {"n": state["n"] * 2})
    return twice.add_node("add", add).add_edge("twice", "add")


def stepwise():
    """Explain, simulate, run and step: what needs no event loop of the caller's."""
    simulated = graph().simulate()
    return {
        "explained": "double" in str(graph().explain()),
        "digest": simulated.digest,
        "simulated": simulated.outputs("later"),
        "run": once().run({"n": 4}).state,
        "step": graph().step("double", 3),
    }


def pushes(n, ctx):
    """Push from a sync node."""
    ctx.push("pushed", n)


def pops(_, ctx):
    """Pop in a sync node."""
    return ctx.pop("pushed", timeout=1)


def by_hand(*fns):
    """A loop whose sync node pushes or pops itself."""
    built = Graph("by hand").add_producer("p", range(3))
    for fn in fns:
        built.add_node(fn.__name__, fn, keep=9).add_edge("p", fn.__name__)
    built.add_queue_reader("got", queue="pushed", external=True).add_node("seen", keep=9)
    return built.add_edge("got", "seen")


async def lives():
    """Loops on the event loop that runs."""
    orch = graph(pool="thread").start()
    status = await orch.wait(timeout=30)
    pushing = by_hand(pushes).start()
    await pushing.wait(iterations=3, loop="got", timeout=30)
    await pushing.stop()
    popping = by_hand(pops).start()
    await popping.wait(loop="p", timeout=30)
    await popping.stop()
    return {
        "status": repr(status),
        "pools": [loop.pool for loop in status.loops],
        "outputs": orch.outputs("later"),
        "said": [line.text for line in orch.logs()],
        "pushed": pushing.outputs("seen"),
        "popped": str(popping.failures()[-1].error),
    }


def refused():
    """Ask for what cannot be had: what is said?"""
    said = []
    for options, given in (
        ({"pool": "process"}, {}),
        ({"restart": "on_crash"}, {}),
        ({"checkpoint": "loops.sqlite"}, {}),
        ({}, {"control": "thread"}),
    ):
        try:
            graph("no", **options).start(**given)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is shown
            said.append(f"{type(error).__name__}: {error}")
    return said


async def inside():
    """The same inside an event loop, whose task goes on behind it."""
    here = asyncio.current_task()
    found = {"inside": stepwise(), "arun": (await once().arun({"n": 1})).state}
    await asyncio.sleep(0.001)
    return found | {
        "goes on": asyncio.current_task() is here,
        "live": await lives(),
        "refused": refused(),
    }
