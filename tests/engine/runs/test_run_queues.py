"""Can a graph that runs once push to queues, and does a resume push nothing twice?"""

from __future__ import annotations

import asyncio

import pytest
from pydantic import BaseModel

from flownb import Graph
from flownb.errors import QueueError, QueueUnavailable, RunError
from flownb.stores import open_store
from tests.support.servers import real_server_url

__all__ = ["real_server_url"]


def popped(run, queue, count):
    """Take *count* messages out of a queue of a run."""

    async def main():
        depth, found = (await run.queues.stats(queue)).depth, []
        for _ in range(count):
            message = await run.queues.pop(queue, timeout=5)
            await run.queues.ack(queue, [message.id])
            found.append(message.payload)
        return found, depth

    return asyncio.run(main())


def pusher(**options):
    """Give sift -> out (a queue) -> tell."""
    return (
        Graph("pusher", **options)
        .add_node("sift", lambda s: {"wet": s["rain"] > 1})
        .add_queue("out", external=True)
        .add_node("tell", lambda s: {"told": True})
        .add_edge("sift", "out", "tell")
    )


def test_a_queue_node_pushes_the_state_and_passes_it_on():
    run = pusher().run({"rain": 3})
    assert run.state == {"rain": 3, "wet": True, "told": True}
    assert run.visited == ["sift", "out", "tell"]
    assert popped(run, "out", 1) == ([{"rain": 3, "wet": True}], 1)


def test_what_stays_is_the_runs_own():
    graph = pusher()
    first, second = graph.run({"rain": 1}), graph.run({"rain": 2})
    assert popped(second, "out", 1)[0][0]["rain"] == 2
    assert popped(first, "out", 1)[0][0]["rain"] == 1


@pytest.mark.parametrize("is_async", [False, True])
def test_a_node_pushes_and_pops_by_its_ctx(is_async):
    def send(state, ctx):
        for n in range(3):
            ctx.push("out", {"n": n})
        return {"got": ctx.pop("out")}

    async def asend(state, ctx):
        for n in range(3):
            assert await ctx.push("out", {"n": n})
        return {"got": await ctx.pop("out")}

    graph = pusher().add_node("sift", asend if is_async else send)
    run = asyncio.run(graph.arun({})) if is_async else graph.run({})
    assert run.state["got"] == {"n": 0}
    assert popped(run, "out", 3)[0] == [{"n": 1}, {"n": 2}, {"got": {"n": 0}}]


def test_a_queue_that_nothing_leads_to_is_only_named():
    graph = Graph("named").add_node("a", lambda s, ctx: ctx.push("out", {"n": 1}))
    graph.add_queue("unread", queue="out")
    run = graph.run({})
    assert run.visited == ["a"]
    assert popped(run, "out", 1) == ([{"n": 1}], 1)


def test_over_plain_payloads_it_pushes_the_payload():
    graph = Graph("plain").add_node("double", lambda n: n * 2).add_queue("out", external=True)
    run = graph.add_edge("double", "out").run(4)
    assert (run.state, popped(run, "out", 1)[0]) == (8, [8])


class Rain(BaseModel):
    rain: float
    wet: bool = False
    told: bool = False


def test_a_state_model_is_pushed_as_json():
    graph = pusher(state_model=Rain).add_node("sift", lambda s: {"wet": s.rain > 1})
    run = graph.run({"rain": 3})
    assert run.state == Rain(rain=3, wet=True, told=True)
    assert popped(run, "out", 1)[0] == [{"rain": 3.0, "wet": True, "told": False}]


def test_a_key_with_a_reducer_is_not_folded_again_by_what_only_pushes():
    graph = Graph("sum", reducers={"n": lambda a, b: a + b}).add_node("a", lambda s: {"n": 1})
    graph.add_queue("out", external=True).add_node("b", lambda s: {"n": 1}).add_edge("a", "out")
    assert graph.add_edge("a", "b").run({"n": 0}).state == {"n": 2}


def test_a_reader_in_the_middle_folds_its_message_in_or_says_that_none_came():
    graph = (
        Graph("middle")
        .add_node("ask", lambda s, ctx: ctx.push("answers", s["answer"]) if s["answer"] else None)
        .add_queue("answers", external=True)
        .add_queue_reader("wait", queue="answers", timeout=0.05)
        .add_node("yes", lambda s: {"end": "yes"})
        .add_node("no", lambda s: {"end": "no"})
        .add_edge("ask", "wait")
        .add_edge("wait", "yes", when=True)
        .add_edge("wait", "no", when=False)
    )
    assert graph.run({"answer": {"ok": 1}}).state == {"answer": {"ok": 1}, "ok": 1, "end": "yes"}
    assert graph.run({"answer": None}).state == {"answer": None, "end": "no"}


def test_what_is_no_json_or_no_queue_fails_the_node():
    with pytest.raises(QueueError, match=r"queue 'out': payload\.rain"):
        pusher().add_node("sift", lambda s: {"wet": {1, 2}}).run({"rain": {1}})
    graph = Graph("g").add_node("a", lambda s, ctx: ctx.push("nowhere", 1))
    with pytest.raises(QueueError, match="queue 'nowhere': not in graph 'g', which has none"):
        graph.run({})


def test_a_resumed_run_does_not_push_again_what_it_had_pushed():
    store, fails = open_store("memory://"), [True]

    def tell(state):
        if fails.pop():
            raise ValueError("broken")

    graph = pusher().add_node("tell", tell)
    with pytest.raises(ValueError, match="broken"):
        graph.run({"rain": 3}, store=store, run_id="r")
    first = graph.last_run
    fails.append(False)
    second = graph.resume("r")
    assert second.nodes == {"sift": "skipped", "out": "skipped", "tell": "completed"}
    assert popped(first, "out", 1) == ([{"rain": 3, "wet": True}], 1)
    assert asyncio.run(second.queues.stats("out")).depth == 0


def test_it_feeds_loops_that_run():
    loops = Graph("loops").add_queue_reader("days", queue="out", external=True)
    loops.add_node("rank", lambda day: day["rain"], keep=9).add_edge("days", "rank")

    async def main():
        async with loops.start() as orch:
            for n in range(3):
                await pusher().arun({"rain": n}, redis=orch)
            await orch.wait(iterations=3, loop="days", timeout=20)
            return orch, orch.outputs("rank", last=9)

    orch, outputs = asyncio.run(main())
    assert outputs == [0, 1, 2]
    with pytest.raises(RunError, match="the loops of 'loops' have ended"):
        pusher().run({"rain": 1}, redis=orch)


def test_a_simulation_pushes_to_a_queue_of_its_own():
    assert pusher().simulate(payload={"rain": 3}).state["told"]


def test_a_step_may_push_too():
    graph = pusher().add_node("sift", lambda s, ctx: ctx.push("out", s))
    assert graph.step("sift", {"rain": 1}) is None


@pytest.mark.redis
def test_on_a_real_redis_messages_outlive_the_run(real_server_url):
    graph = pusher()
    graph.run({"rain": 3}, redis=real_server_url)
    again = graph.run({"rain": 4}, redis=real_server_url)
    payloads, _ = popped(again, "out", 2)
    assert [p["rain"] for p in payloads] == [3, 4]


def test_a_redis_that_is_not_there_is_said_before_anything_runs():
    with pytest.raises(QueueUnavailable, match=r"127\.0\.0\.1:1"):
        pusher().run({"rain": 3}, redis="redis://127.0.0.1:1")
