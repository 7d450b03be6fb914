"""A graph with everything that could differ between two processes; prints its digest.

Run by test_determinism.py: `python -m tests.support.deterministic`.
"""

from __future__ import annotations

import asyncio

from flownb import OTHERWISE, Graph, Limit, Retry
from flownb.model.nodes import NonBlockingNode


class Keeper(NonBlockingNode):
    def run(self, data):
        print("keeping", data.payload)
        return data.payload


async def flaky(item, ctx):
    await ctx.sleep(ctx.rng.random())
    if ctx.rng.random() < 0.3:
        raise OSError(f"attempt {ctx.meta['attempt']} of {item}")
    return {"item": item, "names": sorted({"b", "a", "c"})}


async def gathering(item):
    await asyncio.gather(*map(asyncio.sleep, {0.03, 0.01, 0.02}))
    return item


def build():
    """Three loops with queues, retries, jitter, limits, ifs, joins, fan-out, failures."""
    gpu = Limit(concurrency=2, per_second=7)
    retry = Retry(on=OSError, attempts=3, wait_initial=0.1, wait_jitter=0.2)
    return (
        Graph("everything")
        .add_producer("p", every=0.13, takes=lambda rng: rng.expovariate(9))
        .add_node("flaky", flaky, retry=retry, timeout=0.9, limit=gpu)
        .add_if("i", lambda x: x["item"] % 3, takes=0.01)
        .add_node("one", takes=lambda rng: rng.random(), kind="non_blocking", limit=gpu)
        .add_node("two", gathering, fail=0.1)
        .add_node("j", lambda x: sorted(x))
        .add_node(Keeper("keeper"), takes=1.5)
        .add_queue("q", maxlen=3)
        .add_edge("p", "flaky", "i")
        .add_edge("i", "one", "j", when=1)
        .add_edge("i", "two", "j", when=OTHERWISE)
        .add_edge("flaky", "keeper")
        .add_edge("one", "q")
        .add_edge("two", "q")
        .add_queue_reader("r", queue="q", prefetch=2)
        .add_node("work", takes=lambda rng: rng.random(), limit=gpu)
        .add_queue("q2", mode="broadcast")
        .add_edge("r", "work", "q2")
        .add_queue_reader("s", queue="q2")
        .add_node("last", lambda x, ctx: ctx.log(x) or ctx.rng.random())
        .add_edge("s", "last")
        .set_loop("p", await_policy="blocking", max_in_flight=3, on_error="dead_letter")
    )


if __name__ == "__main__":
    sim = build().simulate(until=60, seed=5)
    print(sim.digest, len(sim.timeline), sim.metrics["s"].done, sim.metrics["p"].failed)
