"""Is one item one trace, over two loops and a queue, wherever the loops live?"""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

from flownb import Graph
from flownb.exporters.opentelemetry import CallSpans
from tests.support.live import live
from tests.support.servers import real_server_url

__all__ = ["real_server_url"]


@pytest.fixture
def told():
    """What was exported, and the observer that exports it."""
    memory, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    yield memory, CallSpans(provider)
    provider.shutdown()


def two_loops(check, **loop):
    graph = (
        Graph("g").add_producer("days", ["dry", "wet", "wet"]).add_node("check", check)
        .add_queue("wet_days").add_edge("days", "check", "wet_days")
        .add_queue_reader("storms", queue="wet_days").add_node("rank", str.upper)
        .add_edge("storms", "rank")
    )  # fmt: skip
    for name in ("days", "storms"):
        graph.set_loop(name, **loop)
    return graph


@pytest.mark.wallclock
@pytest.mark.parametrize("pool", ["asyncio", "thread", "process"])
@live
async def test_one_item_is_one_trace_over_two_loops_and_a_queue(told, pool):
    memory, spans = told
    orch = two_loops(str.strip, pool=pool).use(spans).start()
    await orch.wait(timeout=60)
    await orch.stop()
    traces: dict[int, set[str]] = {}
    for span in memory.get_finished_spans():
        traces.setdefault(span.context.trace_id, set()).add(span.name)
    assert list(traces.values()) == [{"days", "check", "wet_days", "storms", "rank"}] * 3
    by_id = {span.context.span_id: span for span in memory.get_finished_spans()}
    for span in by_id.values():
        parent = span.parent and by_id[span.parent.span_id].name
        wanted = {"days": None, "storms": "days", "rank": "storms"}.get(span.name, "days")
        assert parent == wanted
        assert span.start_time <= span.end_time


def traces_of(memory):
    """Give what was exported as the names of each trace's spans, and who is whose parent."""
    spans = memory.get_finished_spans()
    by_id, traces = {span.context.span_id: span for span in spans}, {}
    for span in spans:
        parent = span.parent and by_id[span.parent.span_id].name
        traces.setdefault(span.context.trace_id, {})[span.name] = parent
    return list(traces.values())


@pytest.mark.redis
@pytest.mark.wallclock
@pytest.mark.parametrize("pool", ["thread", "process"])
@live
async def test_two_orchestrators_that_share_a_queue_share_the_traces_of_what_goes_through(
    told, pool, real_server_url
):
    memory, _ = told
    writer = (
        Graph("field").add_producer("days", ["dry", "wet"]).add_node("check", str.strip)
        .add_queue("wet_days", key="shared").add_edge("days", "check", "wet_days")
    )  # fmt: skip
    reader = (
        Graph("office").add_queue_reader("storms", queue="wet_days", key="shared", external=True)
        .add_node("rank", str.upper).add_edge("storms", "rank")
    )  # fmt: skip
    for graph, loop in ((writer, "days"), (reader, "storms")):
        provider = TracerProvider(shutdown_on_exit=False)  # as in another program
        provider.add_span_processor(SimpleSpanProcessor(memory))
        graph.set_loop(loop, pool=pool).use(CallSpans(provider))
    read = reader.start(redis=real_server_url)
    wrote = writer.start(redis=real_server_url)
    await wrote.wait(timeout=60)
    await read.wait(iterations=2, loop="storms", timeout=60)
    for orch in (wrote, read):
        await orch.stop()
    wanted = {"days": None, "check": "days", "wet_days": "days", "storms": "days", "rank": "storms"}
    assert traces_of(memory) == [wanted] * 2


@pytest.mark.wallclock
@live
async def test_a_loop_that_is_started_again_begins_new_traces(told):
    memory, spans = told
    graph = Graph("g").add_producer("days", ["dry", "wet"]).add_node("check").use(spans)
    orch = graph.add_edge("days", "check").start()
    for _ in range(2):
        await orch.wait(timeout=20)
        await orch.start("days")
    await orch.wait(timeout=20)
    await orch.stop()
    assert traces_of(memory) == [{"days": None, "check": "days"}] * 6


@pytest.mark.wallclock
@live
async def test_what_a_program_pushes_goes_on_in_the_trace_that_it_names(told):
    memory, spans = told
    seen = []
    graph = Graph("g").add_queue_reader("storms", queue="q", external=True).use(spans)
    graph.add_node("rank", lambda day, ctx: seen.append(ctx.meta["traceparent"]))
    orch = graph.add_edge("storms", "rank").start()
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    named = f"00-{trace_id}-00f067aa0ba902b7-01"
    for meta in ({"traceparent": named}, {"traceparent": f"{named}\n"}, {"traceparent": 7}, None):
        await orch.queues.push("q", "wet", meta=meta)
    await orch.wait(iterations=4, loop="storms", timeout=20)
    await orch.stop()
    found = [
        f"{s.context.trace_id:032x}" for s in memory.get_finished_spans() if s.name == "storms"
    ]
    assert len(set(found)) == 4
    assert found[0] == trace_id
    assert [one[3:35] for one in seen] == found


def test_a_share_of_the_traces_is_sampled_whole(told):
    memory, _ = told
    provider = TracerProvider(ParentBased(TraceIdRatioBased(0.5)), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    graph = two_loops(str.strip).add_producer("days", ["wet"] * 40)
    graph.use(CallSpans(provider)).simulate()
    found = traces_of(memory)
    assert 5 < len(found) < 35
    assert {len(trace) for trace in found} == {5}


def test_a_call_that_failed_says_so_and_no_payload_is_told(told):
    memory, spans = told

    def refuse(day):
        raise ValueError(f"secret {day}")

    graph = Graph("g").add_producer("days", ["hunter22"]).add_node("check", refuse)
    graph.add_edge("days", "check").use(spans).simulate()
    days, check = memory.get_finished_spans()
    assert (days.status.is_ok, check.status.is_ok) == (True, False)
    assert check.attributes["flownb.node"] == "check"
    assert "hunter22" not in days.to_json() + check.to_json()
