"""Can Prometheus read what loops count?"""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from flownb import Graph
from flownb.exporters.prometheus import CallSeconds
from tests.support.served import live_graph, serving

pytestmark = pytest.mark.wallclock


def parsed(text):
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_server_tells_prometheus_what_loops_and_queues_count(live):
    live.post("loops/live/pause", params={"wait": 10})
    reply = live.get("metrics")
    assert reply.headers["content-type"].startswith("text/plain")
    found = parsed(reply.text)
    at = ("graph", "live"), ("loop", "days")
    counted = live.get("loops/live/metrics").json()["loops"]["days"]
    assert found["flownb_items_total", *at, ("outcome", "done")] == counted["done"] > 0
    assert found["flownb_node_calls_total", *at, ("node", "check")] == counted["done"]
    assert found["flownb_loop_state", *at, ("state", "paused")] == 1
    depth = live.get("queues/live/wet_days").json()["depth"]
    assert found["flownb_queue_depth", ("graph", "live"), ("queue", "wet_days")] == depth
    assert found["flownb_server_open_runs",] == 0


def test_names_with_quotes_and_line_ends_are_read_back():
    orch = live_graph('od"d\\\nname').start(control="thread")
    with serving(orch) as client:
        text = client.get("metrics").text
    orch.stop().wait(20)
    assert 'od"d\\\nname' in {dict(key[1:]).get("graph") for key in parsed(text)}


def test_an_observer_counts_the_length_of_each_call():
    registry = CollectorRegistry()
    graph = Graph("g").add_producer("p", range(3)).add_node("n", takes=0.2).add_edge("p", "n")
    graph.use(CallSeconds(registry)).simulate()
    found = parsed(generate_latest(registry).decode())
    at = ("loop", "p"), ("node", "n")
    assert found["flownb_call_seconds_count", *at] == 3
    assert found["flownb_call_seconds_sum", *at] == pytest.approx(0.6)
