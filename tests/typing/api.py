"""What does a type checker make of the public face? Read by mypy, never run."""

from __future__ import annotations

from typing import assert_type

from flownb import (
    OTHERWISE,
    BlockingNode,
    Context,
    Failure,
    Graph,
    Limit,
    NodeConfig,
    NodeData,
    Orchestrator,
    Request,
    Retry,
    Simulation,
    Span,
    SyncContext,
)


class Scale(BlockingNode):
    class Config(NodeConfig):
        factor: float = 2.0

    def run(self, data: NodeData) -> float:
        return float(data.payload)


def check(day: int, ctx: SyncContext) -> int:
    ctx.log("seen", day)
    return day


async def fetch(day: int, ctx: Context) -> int:
    await ctx.sleep(0.1)
    return day


def build() -> Graph:
    graph = (
        Graph("weather")
        .add_producer("days", range(3), every=0.1)
        .add_node("check", check, retry=Retry(on=ValueError), limit=Limit(concurrency=1))
        .add_node("fetch", fetch, kind="non_blocking", timeout=1)
        .add_node(Scale("scale", factor=3))
        .add_if("wet?", lambda day: day > 1)
        .add_edge("days", "check", "wet?")
        .add_edge("wet?", "scale", when=OTHERWISE)
        .set_loop("days", pool="thread", await_policy="path")
    )
    assert_type(graph, Graph)
    assert_type(graph.simulate(until=1), Simulation)
    assert_type(graph.simulate().timeline.spans, tuple[Span, ...])
    return graph


async def live() -> list[Failure]:
    orch = build().start()
    assert_type(orch, Orchestrator)
    assert_type(orch.pause("days"), Request)
    status = await orch.wait(iterations=3, timeout=5)
    assert_type(status.timed_out, bool)
    await orch.stop()
    return orch.failures()
