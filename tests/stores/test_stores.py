"""Does every store keep the same promises? One suite for memory, SQLite, PostgreSQL, Redis."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from flownb.errors import StoreError
from flownb.stores import GraphStore, LoopStore, RunRecord, RunStore, Step, open_store
from flownb.stores.sqlite import SqliteFile


def run(run_id="r1", graph="weather", status="running", created=100.0, **more):
    return RunRecord(run_id, graph, status, created, created, **more)


def step(seq, node="a", kind="done", **more):
    return Step(seq, node, 0, kind, 1.5, 2.5, **more)


def test_a_run_comes_back_as_it_was_saved(store):
    kept = run(
        input={"value": 10, "pair": (1, "é\x00")},
        state={"value": 25},
        shape={"nodes": ["a"]},
        options={"max_iterations": 7},
        error="it broke",
        attempt=3,
    )
    store.runs.save(kept)
    assert store.runs.load("r1") == kept


def test_steps_come_back_in_order_with_all_they_said(store):
    store.runs.save(run())
    first = step(0, kind="started", attempts=2)
    second = step(1, output='{"x":[1,2]}', live=("b", "c"), part=3, changed='{"y":[]}')
    third = step(2, node="b", kind="failed", error="ValueError: no", live=())
    store.runs.append("r1", [first, second])
    store.runs.append("r1", [third])
    loaded = store.runs.load("r1")
    assert loaded.steps == (first, second, third)
    assert loaded.steps[1].value == {"x": [1, 2]}


def test_saving_a_head_again_replaces_it_and_keeps_the_steps(store):
    store.runs.save(run())
    store.runs.append("r1", [step(0)])
    store.runs.save(replace(run(), status="completed", state={"v": 1}, updated=200.0))
    loaded = store.runs.load("r1")
    assert (loaded.status, loaded.state, loaded.updated) == ("completed", {"v": 1}, 200.0)
    assert len(loaded.steps) == 1


def test_two_that_go_on_with_one_run_cannot_both_be_kept(store):
    store.runs.save(run())
    store.runs.append("r1", [step(0)])
    store.runs.append("r1", [step(1, node="mine"), step(2)])
    with pytest.raises(StoreError, match="run 'r1' is carried on by somebody else"):
        store.runs.append("r1", [step(1, node="theirs"), step(2), step(3)])
    assert [s.node for s in store.runs.load("r1").steps] == ["a", "mine", "a"]


def test_an_unknown_run_is_an_error_that_says_where_it_was_sought(store):
    with pytest.raises(StoreError, match="there is no run 'nope' in "):
        store.runs.load("nope")


def test_runs_are_listed_newest_first_and_light(store):
    for i in range(5):
        store.runs.save(run(f"r{i}", created=100.0 + i, input={"x": i}, state={"y": i}))
    heads = store.runs.list()
    assert [h.run_id for h in heads] == ["r4", "r3", "r2", "r1", "r0"]
    assert (heads[0].input, heads[0].state, heads[0].steps) == (None, None, ())
    assert [h.run_id for h in store.runs.list(limit=2)] == ["r4", "r3"]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"graph": "weather"}, ["r3", "r1"]),
        ({"status": "failed"}, ["r3", "r2"]),
        ({"graph": "weather", "status": "failed"}, ["r3"]),
        ({"since": 102.0}, ["r3", "r2"]),
        ({"until": 102.0}, ["r1", "r0"]),
        ({"since": 101.0, "until": 103.0}, ["r2", "r1"]),
        ({"graph": "none"}, []),
    ],
)
def test_filters_choose_by_graph_status_and_time(store, filters, found):
    for i in range(4):
        graph, status = ("other", "weather")[i % 2], ("completed", "failed")[i // 2]
        store.runs.save(run(f"r{i}", graph, status, 100.0 + i))
    assert [h.run_id for h in store.runs.list(**filters)] == found


def test_a_deleted_run_leaves_nothing_behind(store):
    store.runs.save(run())
    store.runs.append("r1", [step(0), step(1)])
    assert store.runs.delete("r1")
    assert not store.runs.delete("r1")
    assert store.runs.list() == []
    store.runs.save(run())
    assert store.runs.load("r1").steps == ()


def test_what_is_kept_is_there_for_the_next_one_who_opens_it(address):
    if address == "memory://":
        pytest.skip("memory lives as long as its process")
    one = open_store(address)
    one.runs.save(run(input={"x": 1}))
    one.runs.append("r1", [step(0)])
    one.graphs.save({"name": "g"})
    one.close()
    other = open_store(address)
    assert other.runs.load("r1").input == {"x": 1}
    assert len(other.runs.load("r1").steps) == 1
    assert other.graphs.load("g").version == 1
    other.close()


def test_a_closed_store_opens_again_at_its_next_use(store):
    store.runs.save(run())
    store.close()
    store.runs.save(run("r2"))
    assert {h.run_id for h in store.runs.list()} >= {"r2"}


def test_what_json_would_change_is_refused_and_the_field_is_named(store):
    with pytest.raises(StoreError, match=r"run 'r1', its input: .days\[0\].rain: NaN is not JSON"):
        store.runs.save(run(input={"days": [{"rain": float("nan")}]}))
    assert store.runs.list() == []


def test_what_is_too_large_is_refused_with_its_size(address):
    small = open_store(address, max_bytes=1000)
    with pytest.raises(StoreError, match=r"its state: 2,008 bytes of JSON, at most 1,000 are kept"):
        small.runs.save(run(state={"x": "y" * 2000}))
    with pytest.raises(StoreError, match=r"graph 'g': .* bytes of JSON, at most 1,000"):
        small.graphs.save({"name": "g", "nodes": ["n" * 2000]})
    small.close()


def test_a_state_of_ten_megabytes_is_kept(store):
    big = {"rows": ["x" * 1000] * 10_000}
    store.runs.save(run(state=big))
    store.runs.append("r1", [step(0, output='"' + "y" * 10_000_000 + '"')])
    loaded = store.runs.load("r1")
    assert loaded.state == big
    assert len(loaded.steps[0].value) == 10_000_000


def test_ten_threads_keep_ten_runs_at_once(store):
    def work(name):
        store.runs.save(run(name))
        for i in range(20):
            store.runs.append(name, [step(i, node=name)])

    threads = [threading.Thread(target=work, args=(f"r{i}",)) for i in range(10)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    for i in range(10):
        assert [s.node for s in store.runs.load(f"r{i}").steps] == [f"r{i}"] * 20


def test_a_graph_keeps_its_versions_and_an_unchanged_one_its_number(store):
    assert store.graphs.save({"name": "g", "nodes": [1]}).version == 1
    assert store.graphs.save({"name": "g", "nodes": [1]}).version == 1
    assert store.graphs.save({"name": "g", "nodes": [1, 2]}).version == 2
    assert store.graphs.save({"name": "h"}).version == 1
    assert store.graphs.load("g").document == {"name": "g", "nodes": [1, 2]}
    assert store.graphs.load("g", 1).document == {"name": "g", "nodes": [1]}
    assert [(r.name, r.version) for r in store.graphs.list()] == [("g", 2), ("h", 1)]
    assert [r.version for r in store.graphs.list(name="g")] == [2, 1]


def test_a_graph_is_forgotten_by_version_or_whole(store):
    store.graphs.save({"name": "g", "nodes": [1]})
    store.graphs.save({"name": "g", "nodes": [2]})
    assert store.graphs.delete("g", 1)
    assert not store.graphs.delete("g", 1)
    assert [r.version for r in store.graphs.list(name="g")] == [2]
    assert store.graphs.delete("g")
    assert not store.graphs.delete("g")
    with pytest.raises(StoreError, match="there is no graph 'g' in "):
        store.graphs.load("g")
    with pytest.raises(StoreError, match="there is no graph 'g' in version 3 in "):
        store.graphs.load("g", 3)
    assert store.graphs.list() == []


def test_a_document_without_a_name_is_refused(store):
    with pytest.raises(StoreError, match=r"save\(graph.to_dict\(\)\)"):
        store.graphs.save({"nodes": []})


def test_each_store_has_the_methods_that_the_protocols_name(store):
    faces = (store.runs, RunStore), (store.graphs, GraphStore), (store.loops, LoopStore)
    for kept, protocol in faces:
        named = [*vars(protocol), *protocol.__annotations__]
        public = [name for name in named if not name.startswith("_")]
        assert [name for name in public if not hasattr(kept, name)] == []
        assert len(public) >= 4


@pytest.mark.parametrize(
    "filters", [{"graph": "weather"}, {"status": "failed"}, {"since": 1.0}, {"until": 9.0}]
)
def test_runs_are_looked_up_by_an_index_not_one_by_one(tmp_path, monkeypatch, filters):
    store = open_store(tmp_path / "runs.sqlite")
    store.runs.save(run())
    asked = []
    rows = SqliteFile.rows
    monkeypatch.setattr(SqliteFile, "rows", lambda *a: asked.append(a) or rows(*a))
    store.runs.list(**filters)
    store.runs.load("r1")
    for database, sql, params in asked:
        plan = [row[-1] for row in rows(database, f"EXPLAIN QUERY PLAN {sql}", params)]
        assert all("USING" in line for line in plan if "flownb_" in line), plan
    store.close()
