"""Is one item one trace, over two loops and a queue, wherever the loops live?"""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from flownb import Graph
from flownb.exporters.opentelemetry import CallSpans
from tests.support.live import live


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
