"""Are the runs of a store a list with pictures, and can two be put beside each other?"""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest

from flownb.errors import StoreError
from flownb.notebook.gantt.strip import strip
from flownb.stores.base import RunRecord, Step
from flownb.stores.memory import memory_store


def kept(store, name, *steps, status="completed", error=None):
    """Keep a run: of each step node, start, end, and whether it went well."""
    store.runs.save(RunRecord(name, "report", status, 1000.0, 1010.0, error=error))
    store.runs.append(
        name,
        [
            Step(i, node, 0, "done" if good else "failed", 1000.0 + start, 1000.0 + end)
            for i, (node, start, end, good) in enumerate(steps)
        ],
    )


@pytest.fixture
def store():
    found = memory_store()
    kept(found, "monday", ("load", 1.0, 3.0, True), ("plot", 3.0, 3.5, True))
    calls = [("load", 0.0, 4.0, True), ("clean", 4.0, 4.1, False)]
    kept(found, "tuesday", *calls, status="failed", error="ValueError: <b>no</b>")
    return found


def rows(html):
    found = re.findall(r"<tr>.*?</tr>", html)
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in found]


def test_a_run_that_was_kept_has_a_timeline_that_begins_with_its_first_call(store):
    timeline = store.runs.load("monday").timeline
    assert [(s.node, s.start, s.end) for s in timeline] == [("load", 0, 2), ("plot", 2, 2.5)]
    assert not timeline.failed
    bad = store.runs.load("tuesday").timeline
    assert [span.node for span in bad.failed] == ["clean"]


def test_a_store_lists_its_runs_each_with_a_picture_and_its_error(store):
    html = store._repr_html_()
    columns, *listed = rows(html)
    assert columns[-1] == "calls of each node"
    by_name = {row[1]: row for row in listed}
    assert set(by_name) == {"monday", "tuesday"}
    assert by_name["monday"][2] == "✓ completed"
    assert by_name["tuesday"][2] == "✕ failed"
    assert all('<img alt="' in row[-1] and "data:image/svg+xml" in row[-1] for row in listed)
    assert "&lt;b&gt;no" in by_name["tuesday"][6]
    assert repr(store) == "Store('memory://')"


def test_an_empty_store_and_one_with_many_runs_say_so(store):
    assert "no run is kept" in memory_store()._repr_html_()
    for i in range(25):
        kept(store, f"r{i}", ("load", 0, 1, True))
    html = store._repr_html_()
    assert "the 20 newest runs" in html
    assert len(rows(html)) == 21


def test_two_runs_are_compared_node_by_node_and_on_one_axis(store):
    compared = store.compare("monday", "tuesday")
    assert repr(compared) == "RunComparison(monday completed, tuesday failed)"
    table = {row[0]: row[1:] for row in map(str.split, compared.table().splitlines())}
    assert compared.seconds == {"load": [2.0, 4.0], "plot": [0.5, None], "clean": [None, 0.1]} | {
        "clean": [None, pytest.approx(0.1)]
    }
    assert table["load"] == ["2", "s", "4", "s", "+2", "s"]
    assert table["plot"][:4] == ["0.5", "s", "not", "called"]
    drawn = compared.svg()
    ET.fromstring(drawn)
    assert "✕ tuesday" in drawn
    assert "failed or timed out" in drawn
    assert ">released<" not in drawn
    assert "&lt;b&gt;no" in compared._repr_html_()
    with pytest.raises(StoreError, match="no run 'friday'"):
        store.compare("monday", "friday")


def test_three_runs_have_no_difference_and_one_is_just_shown(store):
    kept(store, "friday", ("load", 0.0, 1.0, True))
    assert "difference" not in store.compare("monday", "tuesday", "friday").table()
    assert store.compare("friday").table().split()[:2] == ["node", "friday"]


def test_a_picture_of_a_run_without_calls_is_valid_and_one_of_many_nodes_is_bounded(store):
    kept(store, "none")
    ET.fromstring(strip(store.runs.load("none").timeline, 0.0))
    kept(store, "many", *((f"n{i}", i, i + 1, True) for i in range(500)))
    timeline = store.runs.load("many").timeline
    assert len(strip(timeline, timeline.end)) < 2_000
