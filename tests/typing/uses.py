"""What does a type checker make of the public face? Every verb once; read by mypy, never run."""

from __future__ import annotations

import operator
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from random import Random
from typing import Any, Literal, assert_type

from flownb import (
    END,
    OTHERWISE,
    START,
    BlockingNode,
    Context,
    Event,
    Explanation,
    Failure,
    Graph,
    IfNode,
    Limit,
    NodeConfig,
    NodeData,
    NonBlockingNode,
    Observer,
    Orchestrator,
    ProducerNode,
    QueueNode,
    QueueReader,
    Request,
    Retry,
    Simulation,
    Span,
    SyncContext,
    Timeline,
    ToolRegistry,
    WorkflowRun,
)
from flownb.queues import Message, QueueStats
from flownb.stores import open_store
from flownb.typing import (
    Arm,
    AwaitPolicy,
    Capacity,
    Comparison,
    DeadLetters,
    LogEntry,
    LogLine,
    LoopMetrics,
    LoopOptions,
    LoopPlan,
    LoopStatus,
    Node,
    NodeMetrics,
    Pool,
    Problem,
    Status,
    Sweep,
    Timelines,
)


class Scale(BlockingNode):
    class Config(NodeConfig):
        factor: float = 2.0

    def setup(self, ctx: Context) -> None:
        ctx.log("begins", self.config.factor)

    def run(self, data: NodeData) -> float:
        assert_type(self.config.factor, float)
        return float(data.payload) * self.config.factor


class Days(ProducerNode):
    async def run(self, data: NodeData) -> int | None:
        return None


class Big(IfNode):
    def run(self, data: NodeData) -> bool:
        return bool(data.payload)


class Audit(NonBlockingNode):
    async def run(self, data: NodeData) -> None:
        print(data.meta["iteration"], self.name)


def check(day: int, ctx: SyncContext) -> int:
    ctx.log("seen", day, level="debug")
    ctx.sleep(0.1)
    ctx.push("wet_days", day)
    assert_type(ctx.state, dict[str, Any])
    assert_type(ctx.rng, Random)
    assert_type(ctx.position, int | None)
    assert_type(ctx.failed, tuple[str, ...])
    assert_type(ctx.tools, ToolRegistry)
    assert_type(ctx.clock.time(), float)
    return day


async def fetch(day: int, ctx: Context) -> int:
    await ctx.sleep(0.1)
    assert_type(await ctx.push("wet_days", day), str)
    return day


def days() -> Iterator[int]:
    yield 1


async def later() -> AsyncIterator[int]:
    yield 1


def handled(failure: Failure) -> Literal["skip", "stop"]:
    return "skip" if failure.attempts > 1 else "stop"


class Slow(Observer):
    def on_span(self, span: Span, output: Any) -> None:
        print(span.node, span.duration)

    def on_event(self, event: Event) -> None:
        print(event.kind)


async def twice(call_next: Callable[[NodeData], Awaitable[Any]], node: Node, data: NodeData) -> Any:
    await call_next(data)
    return await call_next(data)


def built() -> Graph:
    graph = (
        Graph("weather", reducers={"n": operator.add})
        .add_producer("days", range(3), every=0.1, retry=Retry(on=OSError))
        .add_producer(days)
        .add_producer("later", later, takes=lambda rng: rng.random())
        .add_producer(Days())
        .add_node("check", check, retry=Retry(on=ValueError), limit=Limit(concurrency=1))
        .add_node(fetch, kind="non_blocking", timeout=1, fail=0.1, cache=True)
        .add_node(Scale("scale", factor=3))
        .add_node("list", lambda day: [day], fail={1, 2}, join=2, on_error=handled)
        .add_node(Audit())
        .add_if("wet?", lambda day: day > 1)
        .add_if(Big())
        .add_queue("wet_days", mode="broadcast", maxlen=5, when_full="error")
        .add_node(QueueNode("out", queue="o"))
        .add_queue_reader("storms", queue="wet_days", ack="awaited")
        .add_node(QueueReader("in", queue="o"))
        .add_edge("days", check, "wet?")
        .add_edge("wet?", "scale", when=OTHERWISE)
        .add_edge(["days", fetch], "list", condition=bool, copy=True)
        .add_conditional_edges("check", bool, {True: "scale", False: END})
        .add_edge(START, "check")
        .set_entry_point("check")
        .remove_edge("days", "check")
        .remove_node("list")
        .include(Graph("part"), prefix="p_")
        .set_loop("days", pool="thread", await_policy="path", on_error=handled)
        .set_loop("days", max_in_flight=4, when_full="drop_newest", resources={"http": object})
        .use(Slow(), twice)
    )
    assert_type(graph, Graph)
    assert_type(graph.producers, tuple[str, ...])
    assert_type(graph.loop_options("days"), LoopOptions)
    return graph


def decorated(graph: Graph) -> None:
    @graph.producer(every=1.0)
    def ticks() -> int:
        return 1

    @graph.producer
    def tocks() -> Iterator[str]:
        yield ""

    @graph.node(after="ticks", kind="non_blocking", name="other", retry=[Retry(on=OSError)])
    def audit(day: int) -> str:
        return str(day)

    @graph.node(after=[ticks, "tocks"])
    async def both(day: int, ctx: Context) -> bytes:
        return b""

    @graph.node
    def alone(state: dict[str, int]) -> dict[str, int]:
        return state

    assert_type(ticks(), int)
    assert_type(tocks(), Iterator[str])
    assert_type(audit(2), str)
    assert_type(alone({}), dict[str, int])
    both_is: Callable[[int, Context], Awaitable[bytes]] = both
    print(both_is)


def asked(graph: Graph) -> None:
    assert_type(graph.validate(), tuple[Problem, ...])
    assert_type(graph.plan("days", policy="none"), LoopPlan)
    assert_type(graph.draw(), str)
    assert_type(graph.to_dict(), dict[str, Any])
    assert_type(Graph.from_dict({}, tools=ToolRegistry()), Graph)
    assert_type(graph.clear_cache("check"), int)
    why = graph.explain(policy="all")
    assert_type(why, Explanation)
    assert_type(why.arms["days"][0], Arm)
    assert_type(why.await_set("days"), tuple[str, ...])
    assert_type(why.detached("days"), tuple[str, ...])
    assert_type(why.release("days", policy="path", verdicts={"wet?": True}), float)
    assert_type(why.compare(), Comparison)
    assert_type(why.compare()[0].policy, AwaitPolicy)
    assert_type(why.capacity(rates={"wet?": 0.4}), Capacity)
    assert_type(why.capacity().loops["days"].rate, float)
    assert_type(why.why("check"), str)


def simulated(graph: Graph) -> None:
    sim = graph.simulate(until=1, seed=3, policy="blocking", call=False)
    assert_type(sim, Simulation)
    assert_type(sim.timeline.spans, tuple[Span, ...])
    assert_type(sim.timeline.of(loop="days"), Timeline)
    assert_type(sim.metrics["days"].nodes["check"], NodeMetrics)
    assert_type(sim.events, list[Event])
    assert_type(sim.failures(), list[Failure])
    assert_type(sim.releases("days"), list[float])
    assert_type(sim.logs(node="check"), list[LogLine])
    assert_type(sim.digest, str)
    assert_type(sim.svg(), str)
    assert_type(graph.compare(["path", "none"]), Timelines)
    assert_type(graph.sweep(lambda s: s.duration < 1, seeds=3, until=2), Sweep)


async def live(graph: Graph) -> None:
    async with graph.start(redis="redis://localhost", control="thread") as orch:
        assert_type(orch, Orchestrator)
        assert_type(orch.pause("days"), Request[Status])
        assert_type(await orch.pause("days"), Status)
        assert_type(orch.resume().wait(3), Status)
        assert_type(orch.step("days").done(), bool)
        assert_type(await orch.apply(), Status)
        assert_type(await orch.swap("check", check), Status)
        assert_type(await orch.cancel("days"), Status)
        assert_type(await orch.start(), Status)
        status = await orch.wait(iterations=3, timeout=5)
        assert_type(status.timed_out, bool)
        assert_type(status["days"], LoopStatus)
        assert_type(status["days"].reason, str)
        assert_type(orch.status().loops, tuple[LoopStatus, ...])
        assert_type(orch.metrics(), dict[str, LoopMetrics])
        assert_type(orch.logs(node="check", last=3), list[LogLine])
        assert_type(orch.failures("days")[0].error, BaseException)
        assert_type(orch.timeline(), Timeline)
        assert_type(orch.explain(), Explanation)
        assert_type(await orch.queues.push("wet_days", 1), str)
        assert_type(await orch.queues.pop("wet_days", timeout=1), Message | None)
        assert_type(await orch.queues.stats("wet_days"), QueueStats)
        assert_type(await orch.queues.dead("days"), DeadLetters)
        assert_type(await orch.queues.clear("wet_days"), int)
        assert_type(await orch.stop(grace=1), Status)


async def once(graph: Graph, pool: Pool) -> None:
    store = open_store("runs.sqlite")
    run = graph.run({"value": 10}, max_concurrency=2, on_error="continue", store=store)
    assert_type(run, WorkflowRun)
    assert_type(run.status, Literal["pending", "running", "completed", "failed", "cancelled"])
    assert_type(run.logs, list[LogEntry])
    assert_type(run.visited, list[str])
    assert_type(run.failures, list[Failure])
    assert_type(run.timeline, Timeline)
    assert_type(run.run_id, str)
    assert_type(run.duration, float)
    assert_type(await graph.arun({}, start_rule="level"), WorkflowRun)
    assert_type(graph.resume(run.run_id, on_error="stop"), WorkflowRun)
    assert_type(await graph.aresume(run.run_id, store="runs.sqlite"), WorkflowRun)
    assert_type(graph.last_run, WorkflowRun | None)
    graph.step("check", 3)
    graph.set_loop("days", pool=pool)
