"""Is a loop the same loop wherever it lives? And does it stop as promised there?"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import fields
from uuid import uuid4

import pytest

from flownb import OTHERWISE, Graph, Retry
from tests.support.live import live
from tests.support.standstill import Stopwatch

pytestmark = pytest.mark.wallclock
TOTAL = 40


def flaky(n, ctx):
    """Fail at the first try of every third item, and for good at every tenth."""
    ctx.state["calls"] = ctx.state.get("calls", 0) + 1
    if n % 10 == 9 or (n % 3 == 0 and ctx.meta["attempt"] == 1):
        raise ValueError(n)
    return [n, ctx.state["calls"]]


async def slow(found):
    await asyncio.sleep(0)
    return found[0] * 2


def known(salt):
    """Give a function of which nobody has kept a result yet."""
    return lambda n: [n, salt]


def everything(name="equal", **options):
    """A graph with ifs, joins, retries, failures, detached work and a state."""
    return (
        Graph(name)
        .add_producer("make", range(TOTAL))
        .add_node(
            "flaky", flaky, retry=Retry(on=ValueError, attempts=2, wait_initial=0), keep=TOTAL
        )
        .add_if("kind", lambda found: found[0] % 4)
        .add_node("zero", slow, keep=TOTAL)
        .add_node("one", lambda found: found[0] + 1, keep=TOTAL)
        .add_node("other", lambda found: -found[0], keep=TOTAL)
        .add_node("joined", lambda n: [n], keep=TOTAL)
        .add_node("third", lambda found: found[0] % 3)
        .add_node("known", known(uuid4().hex), cache=True)
        .add_node("beside", kind="non_blocking", keep=TOTAL)
        .add_edge("make", "flaky", "kind")
        .add_edge("kind", "zero", when=0)
        .add_edge("kind", "one", when=1)
        .add_edge("kind", "other", when=OTHERWISE)
        .add_edge("zero", "joined")
        .add_edge("one", "joined")
        .add_edge("other", "joined")
        .add_edge("joined", "third", "known")
        .add_edge("flaky", "beside")
        .set_loop("make", **options)
    )


KINDS = {"produced", "released", "settled", "failed", "retry", "item_failed"}


def story(spans, events, outputs):
    """What every item met in its own order, and what came out."""
    items = {i: ([], [], []) for i in range(TOTAL)}
    for span in spans:
        if span.kind == "work":
            which = 1 if span.node == "beside" else 0  # detached: in no order with the others
            items[span.iteration][which].append((span.node, span.attempt))
    for event in events:
        if event.kind in KINDS and event.node != "beside":
            items[event.iteration][2].append(event.kind)
    names = ("flaky", "zero", "one", "other", "joined")
    # "settled" may come before or after "released": detached work is nobody's to wait for
    facts = {i: (a, b, [k for k in c if k != "settled"]) for i, (a, b, c) in items.items()}
    return (
        facts,
        {name: outputs(name, TOTAL) for name in names},
        sorted(map(str, outputs("beside", TOTAL))),
    )


def counted(metrics):
    """Give what a loop and its nodes have counted; lengths of time differ from run to run."""
    facts = {f.name: getattr(metrics, f.name) for f in fields(metrics)}
    nodes = facts.pop("nodes", {})
    whole = {k: x for k, x in facts.items() if isinstance(x, int | str) and k != "peak_in_flight"}
    return whole | {name: counted(node) for name, node in nodes.items()}


@pytest.mark.parametrize("pool", ["asyncio", "thread", "process"])
@live
async def test_outputs_and_the_order_of_each_items_events_are_those_of_the_simulation(pool):
    sim = everything().simulate()
    expected = story(sim.timeline.spans, sim.events, sim.outputs)
    orch = everything(pool=pool).start()
    await orch.wait(timeout=30)
    history = orch._live.loop_runs["make"].history
    assert story(history.spans(), history.events, orch.outputs) == expected
    failures = [(f.node, f.iteration, f.item, repr(f.error)) for f in orch.failures()]
    assert failures == [("flaky", n, n, f"ValueError({n})") for n in (9, 19, 29, 39)]
    assert counted(orch.metrics()["make"]) == counted(sim.metrics["make"])


def nap(n):
    time.sleep(0.001 * (n % 7))
    return n


def busy(name):
    return (
        Graph(name)
        .add_producer("make", every=0.002)
        .add_node("nap", nap)
        .add_node("beside", nap, kind="non_blocking")
        .add_node("await", slow_number)
        .add_edge("make", "nap", "await")
        .add_edge("make", "beside")
    )


async def slow_number(n):
    await asyncio.sleep(0.003)
    return n


async def stops(pool, times, capfd):
    rng, slowest = random.Random(5), 0.0
    for _ in range(times):
        orch = busy(f"stops {pool}").set_loop("make", pool=pool).start()
        await asyncio.sleep(rng.uniform(0, 0.25))
        with Stopwatch() as watch:
            status = await orch.stop(grace=2)
        slowest = max(slowest, watch.seconds)
        metrics = orch.metrics()["make"]
        assert status["make"].state == "stopped"
        assert metrics.open == 0
        assert metrics.produced == metrics.done + metrics.failed + metrics.cancelled
    assert slowest <= 2.2
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("pool", ["asyncio", "thread", "process"])
@live
async def test_each_call_is_counted_and_on_the_timeline_also_of_short_items_that_fail(pool):
    def pick(n):
        if n % 2:
            raise ValueError(n)
        return n

    graph = Graph("short").add_producer("make", range(100)).add_node("pass on", lambda n: n)
    graph.add_node("pick", pick).add_edge("make", "pass on", "pick").set_loop("make", pool=pool)
    orch = graph.start()
    await orch.wait(timeout=30)
    await orch.stop()
    m, spans = orch.metrics()["make"], orch.timeline().spans
    assert {n.node: (n.calls, n.failed) for n in m.nodes.values()} == {
        "make": (100, 0), "pass on": (100, 0), "pick": (100, 50),
    }  # fmt: skip
    calls = [s.iteration for s in spans if s.node == "pick" and s.kind == "work"]
    assert sorted(calls) == list(range(100))


@live
async def test_process_loops_stop_within_their_grace_at_any_moment_and_say_nothing(capfd):
    await stops("process", 20, capfd)


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.parametrize("pool", ["asyncio", "thread", "process"])
@live
async def test_five_hundred_stops_come_within_their_grace(pool, capfd):
    await stops(pool, 500, capfd)
