"""Does the table of a status tell what has been counted, in units that can be read?"""

from __future__ import annotations

import re

import pytest

from flownb import Graph
from flownb.notebook.live.dashboard import DashboardFigures
from flownb.notebook.live.rates import RunRates, Sample
from flownb.notebook.live.status import status_tables
from flownb.records.metrics import LoopMetrics, LoopStatus, NodeMetrics, Status


def cells(html):
    rows = re.findall(r"<tr>.*?</tr>", html)
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows]


@pytest.mark.parametrize("state", ["running", "completed"])
def test_a_status_says_how_many_in_which_time_and_claims_no_rate_of_now(state):
    status = Status("g", (LoopStatus("days", state, "thread", iterations=60, rate=60 / 6.62),))
    ((_, html),) = status_tables(status)
    columns, row = cells(html)
    assert "per second" not in columns
    assert row[columns.index("items")] == "60 in 6.6 s"


def test_what_took_microseconds_is_told_in_milliseconds():
    found = LoopMetrics("days", "running", released=5, elapsed=5.0, p50=0.0000726, p99=0.17)
    rates = RunRates()
    rates.add(Sample(0.0, {"days": found}))
    board = DashboardFigures(Status("g", (LoopStatus("days", "running", "thread"),)), rates)
    columns, row = cells(board.html())
    assert [row[columns.index(name)] for name in ("p50", "p99")] == ["0.073 ms", "0.17 s"]
    graph = Graph("g").add_producer("days").add_node("n").add_edge("days", "n")
    seen = {"n": NodeMetrics("n", calls=3, total=3 * 0.00007261234, longest=0.0512345)}
    said = repr(graph.explain(measured={"days": LoopMetrics("days", nodes=seen)}))
    assert "e-05" not in said
    assert "0.073 ms" in said
    assert "51 ms" in said
