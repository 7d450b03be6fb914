"""Is a run that stopped taken up where it stopped, with nothing done twice?"""

from __future__ import annotations

import asyncio
import operator
from dataclasses import replace
from datetime import date
from typing import Annotated

import pytest
from pydantic import BaseModel

from flownb import Graph
from flownb.errors import GraphError, StoreError
from flownb.stores import open_store


class Switch:
    """A node function that notes its calls, and fails while it is told to."""

    def __init__(self, name, update=None, *, fails=False):
        self.name, self.update, self.fails, self.calls = name, update or {name: 1}, fails, 0

    def __call__(self, state):
        self.calls += 1
        if self.fails:
            raise ValueError(f"{self.name} is broken")
        return self.update(state) if callable(self.update) else self.update


@pytest.fixture
def store():
    return open_store("memory://")


def fork(**failing):
    """Give a -> b, c -> d, where d joins, and the switches by name."""
    nodes = {n: Switch(n, fails=failing.get(n, False)) for n in "abcd"}
    graph = Graph("fork")
    for name, node in nodes.items():
        graph.add_node(name, node)
    return graph.add_edge("a", "b", "d").add_edge("a", "c", "d"), nodes


def calls(nodes):
    return {name: node.calls for name, node in nodes.items()}


def test_a_sibling_that_succeeded_is_not_run_again_and_the_join_runs_once(store):
    graph, nodes = fork(c=True)
    with pytest.raises(ValueError, match="c is broken"):
        graph.run({"x": 0}, store=store, run_id="r")
    assert calls(nodes) == {"a": 1, "b": 1, "c": 1, "d": 0}
    assert store.runs.load("r").status == "failed"
    nodes["c"].fails = False
    run = graph.resume("r")
    assert calls(nodes) == {"a": 1, "b": 1, "c": 2, "d": 1}
    assert run.state == {"x": 0, "a": 1, "b": 1, "c": 1, "d": 1}
    assert run.nodes == {"a": "skipped", "b": "skipped", "c": "completed", "d": "completed"}
    kept = store.runs.load("r")
    assert (kept.status, kept.state, kept.attempt, kept.error) == ("completed", run.state, 2, None)


def test_a_failure_is_kept_with_the_state_that_the_node_saw(store):
    graph, _ = fork(c=True)
    with pytest.raises(ValueError, match="c is broken"):
        graph.run({"x": {1, 2}.issubset({1, 2})}, store=store, run_id="r")
    kept = store.runs.load("r")
    failed = next(s for s in kept.steps if s.kind == "failed")
    assert (failed.node, failed.error) == ("c", "ValueError: c is broken")
    assert failed.value == {"x": True, "a": 1}
    assert kept.error == "ValueError: c is broken"


def test_a_completed_run_is_given_back_without_a_call(store):
    graph, nodes = fork()
    first = graph.run({"x": 0}, store=store, run_id="r")
    again = graph.resume("r", store=store)
    assert again.state == first.state
    assert set(calls(nodes).values()) == {1}
    assert set(again.nodes.values()) == {"skipped"}


def test_a_completed_run_is_replaced_by_one_of_its_name_and_one_to_be_taken_up_is_not(store):
    graph, nodes = fork()
    graph.run({"x": 0}, store=store, run_id="r")
    assert graph.run({"x": 1}, store=store, run_id="r").state["x"] == 1
    assert store.runs.load("r").input == {"x": 1}
    nodes["c"].fails = True
    with pytest.raises(ValueError, match="broken"):
        graph.run({"x": 2}, store=store, run_id="r")
    with pytest.raises(StoreError, match=r"run 'r' is kept already, as failed: resume\('r'\)"):
        graph.run({"x": 3}, store=store, run_id="r")
    nodes["c"].fails = False
    assert graph.resume("r").state["x"] == 2


def test_a_path_is_opened_for_the_run_and_closed_with_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FLOWNB_STORE", raising=False)
    graph, nodes = fork(c=True)
    with pytest.raises(ValueError, match="broken"):
        graph.run(store="flownb-runs.sqlite", run_id="r")
    assert [p.name for p in tmp_path.iterdir()] == ["flownb-runs.sqlite"]
    again, nodes = fork()
    assert again.resume("r").status == "completed"
    assert calls(nodes) == {"a": 0, "b": 0, "c": 1, "d": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["flownb-runs.sqlite"]


def test_what_is_refused_leaves_no_file_behind_and_is_not_the_store_of_the_next(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FLOWNB_STORE", raising=False)
    graph, _ = fork()
    with pytest.raises(StoreError, match="there is no run 'nope' in flownb-runs"):
        graph.resume("nope")
    with pytest.raises(StoreError, match="is not JSON"):
        graph.run({"x": object()}, store="a.sqlite", run_id="r")
    with pytest.raises(GraphError, match="max_concurrency=0"):
        graph.run({}, store="b.sqlite", max_concurrency=0)
    with pytest.raises(GraphError, match="store= is a int"):
        graph.run({}, store=5)
    with pytest.raises(StoreError, match="there is no run 'r' in flownb-runs"):
        asyncio.run(graph.aresume("r"))
    assert list(tmp_path.iterdir()) == []


def test_a_resume_that_is_refused_lets_go_of_its_file(tmp_path):
    graph, _ = fork(c=True)
    with pytest.raises(ValueError, match="broken"):
        graph.run({}, store=tmp_path / "r.sqlite", run_id="r")
    with pytest.raises(GraphError, match="max_concurrency=0"):
        graph.resume("r", max_concurrency=0)
    with pytest.raises(TypeError, match="max_concurency"):
        graph.resume("r", max_concurency=2)
    assert [p.name for p in tmp_path.iterdir()] == ["r.sqlite"]  # no write-ahead log is left


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda g: g.add_node("e").add_edge("d", "e"), "node 'e' is new; edge d -> e is new"),
        (lambda g: g.remove_node("d"), "node 'd' is gone"),
        (lambda g: g.remove_edge("b", "d"), "edge b -> d is gone"),
        (lambda g: g.add_if("b", bool), "node 'b' was node/all/False, is if/all/False"),
        (lambda g: g.add_node("d", join="first"), "node 'd' was node/all/False, is node/first"),
    ],
)
def test_a_changed_graph_is_refused_and_the_difference_is_said(store, edit, said):
    graph, _ = fork(c=True)
    with pytest.raises(ValueError, match="broken"):
        graph.run(store=store, run_id="r")
    edit(graph)
    with pytest.raises(GraphError, match="run 'r' cannot be taken up by graph 'fork'") as told:
        graph.resume("r")
    assert said in str(told.value)


def test_a_mended_function_is_no_changed_graph(store):
    graph, _ = fork(c=True)
    with pytest.raises(ValueError, match="broken"):
        graph.run(store=store, run_id="r")
    graph.add_node("c", lambda _: {"c": "mended"})
    assert graph.resume("r").state["c"] == "mended"


def test_another_graphs_run_and_an_unknown_run_are_refused(store):
    graph, _ = fork()
    graph.run(store=store, run_id="r")
    other = Graph("other").add_node("a", lambda _: None)
    with pytest.raises(GraphError, match="it was graph 'fork'"):
        other.resume("r", store=store)
    with pytest.raises(StoreError, match="there is no run 'nope'"):
        graph.resume("nope")


def test_a_cycle_goes_on_in_the_pass_in_which_it_stopped(store):
    add = Switch("add", lambda s: {"n": s["n"] + 1})
    check = Switch("check", lambda s: {"seen": [s["n"]]})
    graph = (
        Graph("cycle", reducers={"seen": operator.add})
        .add_node("add", add)
        .add_node("check", check)
        .add_if("more", lambda s: s["n"] < 5)
        .add_node("end", lambda s: {"end": s["n"]})
        .set_entry_point("add")
        .add_edge("add", "check", "more")
        .add_edge("more", "add", when=True)
        .add_edge("more", "end", when=False)
    )
    clean = graph.run({"n": 0}).state
    add.calls = 0

    def breaks(state):
        if state["n"] == 3:
            raise ValueError("three")
        return check(state)

    graph.add_node("check", breaks)
    with pytest.raises(ValueError, match="three"):
        graph.run({"n": 0}, store=store, run_id="r")
    assert add.calls == 3
    run = graph.add_node("check", check).resume("r")
    assert add.calls == 5
    assert run.state == clean == {"n": 5, "seen": [1, 2, 3, 4, 5], "end": 5}


def test_of_a_map_only_the_calls_that_did_not_end_are_made_again(store):
    done = []

    def grade(paper):
        if paper == 3 and 3 not in broken:
            broken.append(3)
            raise ValueError("three")
        done.append(paper)
        return paper * 10

    broken = []
    graph = (
        Graph("map")
        .add_node("grade", grade, over="papers")
        .add_node("sum", lambda s: {"sum": sum(s["grade"])})
    )
    graph.add_edge("grade", "sum")
    with pytest.raises(ValueError, match="three"):
        graph.run({"papers": [1, 2, 3, 4]}, store=store, run_id="r")
    assert sorted(done) == [1, 2, 4]
    run = graph.resume("r")
    assert sorted(done) == [1, 2, 3, 4]
    assert run.state == {"papers": [1, 2, 3, 4], "grade": [10, 20, 30, 40], "sum": 100}


def test_a_run_over_plain_payloads_is_taken_up_too(store):
    last = Switch("last", lambda n: n + 1, fails=True)
    double = Switch("double", lambda n: n * 2)
    graph = Graph("plain").add_node("double", double).add_if("big", lambda n: n > 10)
    graph.add_node("last", last).add_edge("double", "big").add_edge("big", "last", when=True)
    with pytest.raises(ValueError, match="last is broken"):
        graph.run(10, store=store, run_id="r")
    last.fails = False
    assert graph.resume("r").state == 21
    assert double.calls == 1


def test_what_went_on_in_spite_of_a_failure_goes_on_as_it_did(store):
    seen = []
    flaky, end = Switch("flaky", fails=True), Switch("end", fails=True)

    def report(state, ctx):
        seen.append(ctx.failed)
        return {"failed": list(ctx.failed)}

    graph = (
        Graph("lives on")
        .add_node("flaky", flaky, on_error=lambda _: "continue")
        .add_node("report", report)
        .add_node("end", end)
        .add_edge("flaky", "report", "end")
    )
    with pytest.raises(ValueError, match="end is broken"):
        graph.run(store=store, run_id="r")
    flaky.fails = end.fails = False
    run = graph.resume("r")
    assert (flaky.calls, seen) == (1, [("flaky",)])
    assert run.state == {"failed": ["flaky"], "end": 1}


def test_a_cancelled_run_is_kept_as_cancelled_and_taken_up(store):
    async def slow(_):
        entered.append(1)
        begun.set()
        await asyncio.sleep(0 if len(entered) > 1 else 60)
        return {"slow": 1}

    entered, quick, begun = [], Switch("quick"), asyncio.Event()
    graph = (
        Graph("cancel").add_node("quick", quick).add_node("slow", slow).add_edge("quick", "slow")
    )

    async def main():
        task = asyncio.create_task(graph.arun(store=store, run_id="r"))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert store.runs.load("r").status == "cancelled"
        return await graph.aresume("r")

    assert asyncio.run(main()).state == {"quick": 1, "slow": 1}
    assert quick.calls == 1


def test_what_cannot_be_kept_fails_its_node_and_the_field_is_named(store):
    graph = Graph("nan").add_node("a", lambda _: {"days": [{"rain": float("nan")}]})
    with pytest.raises(StoreError, match=r"what node 'a' returned: \.days\[0\]\.rain: NaN") as told:
        graph.run(store=store, run_id="r")
    assert "node 'a' of graph 'nan' failed" in told.value.__notes__[0]
    assert graph.add_node("a", lambda _: {"days": []}).resume("r").state == {"days": []}


def test_what_a_node_changes_inside_a_list_without_returning_it_is_known_after_a_resume(store):
    def note(state):
        state["log"].append("note")
        state["deep"]["a"]["b"] = 1
        return state

    last = Switch("last", fails=True)
    graph = Graph("inside").add_node("note", note).add_node("last", last).add_edge("note", "last")
    with pytest.raises(ValueError, match="last is broken"):
        graph.run({"log": ["entry"], "deep": {"a": {}}}, store=store, run_id="r")
    last.fails = False
    run = graph.resume("r")
    assert run.state == {"log": ["entry", "note"], "deep": {"a": {"b": 1}}, "last": 1}


class Item(BaseModel):
    name: str
    day: date


class Basket(BaseModel):
    items: Annotated[list[Item], operator.add] = []
    due: date | None = None
    total: int = 0


def test_a_state_of_a_model_is_a_model_again_after_a_resume(store):
    def pick(basket):
        return {"items": [Item(name="pear", day=date(2026, 1, 2))], "due": date(2026, 1, 3)}

    last = Switch("last", lambda basket: {"total": basket.items[0].day.year}, fails=True)
    graph = Graph("model", state_model=Basket).add_node("pick", pick).add_node("last", last)
    graph.add_edge("pick", "last")
    clean = Graph("model", state_model=Basket).add_node("pick", pick)
    clean = clean.add_node("last", Switch("last", last.update)).add_edge("pick", "last").run()
    with pytest.raises(ValueError, match="last is broken"):
        graph.run(store=store, run_id="r")
    last.fails = False
    assert graph.resume("r").state == clean.state
    assert clean.state.total == 2026
    assert clean.state.items == [Item(name="pear", day=date(2026, 1, 2))]


class Breaking:
    """A store that can write so many times, and then is gone."""

    def __init__(self, runs, times):
        self._runs, self.times = runs, times
        self.quick, self.max_bytes = runs.quick, runs.max_bytes

    def __getattr__(self, name):
        return getattr(self._runs, name)

    def append(self, run_id, steps):
        if self.times == 0:
            raise StoreError("the disk is full")
        self.times -= 1
        self._runs.append(run_id, steps)


@pytest.mark.parametrize("quick", [True, False])
def test_a_store_that_fails_fails_the_run_which_can_be_taken_up(store, quick):
    graph, nodes = fork()
    runs = Breaking(store.runs, 2)
    runs.quick = quick
    with pytest.raises(StoreError, match="the disk is full"):
        graph.run(store=runs, run_id="r")
    assert nodes["d"].calls == 0
    run = graph.resume("r", store=store)
    assert run.state == {"a": 1, "b": 1, "c": 1, "d": 1}


class Own:
    """A store of one's own: any object with the methods of `RunStore`."""

    quick, max_bytes = True, 1_000_000

    def __init__(self):
        self.heads, self.steps, self.told = {}, {}, []

    def save(self, run):
        self.heads[run.run_id] = run
        self.told.append(run.status)

    def append(self, run_id, steps):
        self.steps.setdefault(run_id, []).extend(steps)
        self.told.append([(step.node, step.kind) for step in steps])

    def load(self, run_id):
        if run_id not in self.heads:
            raise StoreError(f"there is no run {run_id!r} here")
        return replace(self.heads[run_id], steps=tuple(self.steps.get(run_id, ())))

    def list(self, **_):
        return list(self.heads.values())

    def delete(self, run_id):
        self.steps.pop(run_id, None)
        return self.heads.pop(run_id, None) is not None

    def close(self):
        pass


def test_a_step_is_kept_before_its_call_after_it_and_at_the_end_in_a_store_of_ones_own():
    own, seen = Own(), {}

    def look(name):
        def node(state):
            seen[name] = [(s.node, s.kind) for s in own.steps["r"]]

        return node

    graph = Graph("kept").add_node("a", look("a")).add_node("b", look("b")).add_edge("a", "b")
    graph.run({}, store=own, run_id="r")
    assert seen["a"] == [("a", "started")]
    assert seen["b"] == [("a", "started"), ("a", "done"), ("b", "started")]
    assert own.told[0] == "running"
    assert own.told[-1] == "completed"
    assert own.steps["r"][-1].kind == "done"
    with pytest.raises(ValueError, match="b is broken"):
        graph.add_node("b", Switch("b", fails=True)).run({}, store=own, run_id="x")
    assert own.told[-1] == "failed"
    assert own.steps["x"][-1].kind == "failed"


def test_with_a_persistence_interval_steps_are_kept_together():
    own = Own()
    graph, _ = fork()
    graph.run({}, store=own, run_id="r", persistence_interval=60)
    assert [type(told) for told in own.told] == [str, list, str]
    assert len(own.steps["r"]) == 8
    own = Own()
    graph.run({}, store=own, run_id="r")
    assert len(own.told) > 5


def test_a_run_that_fails_again_and_again_keeps_the_entry_that_it_had(store):
    def node(state):
        state["seen"].append(1)
        raise ValueError("broken")

    graph = Graph("g").add_node("node", node)
    with pytest.raises(ValueError, match="broken"):
        graph.run({"seen": []}, store=store, run_id="r")
    for _ in range(2):
        with pytest.raises(ValueError, match="broken"):
            graph.resume("r")
        assert store.runs.load("r").input == {"seen": []}
        assert graph.last_run.state == {"seen": [1]}


def test_which_calls_over_a_list_had_failed_is_known_after_it_was_taken_up(store):
    end = Switch("end", fails=True)
    graph = Graph("g").add_node("inverse", lambda x: 1 / x, over="xs", on_error="continue")
    graph.add_node("soft", Switch("soft", fails=True), on_error="continue").add_node("end", end)
    graph.add_edge("inverse", "soft", "end")
    with pytest.raises(ValueError, match="end is broken"):
        graph.run({"xs": [1, 0, 4, 0]}, store=store, run_id="r")
    end.fails = False
    run = graph.resume("r")
    assert run.state["inverse"] == [1.0, None, 0.25, None]
    told = [(f.node, f.index, f.item) for f in run.failures if f.node == "inverse"]
    assert told == [("inverse", 1, 0), ("inverse", 3, 0)]
    (soft,) = [f for f in run.failures if f.node == "soft"]
    assert soft.item["inverse"] == [1.0, None, 0.25, None]
    assert "soft is broken" in str(soft.error)


def test_a_call_over_a_list_that_works_after_a_resume_has_not_failed(store):
    broken = {0}

    def inverse(x):
        if x in broken:
            raise ValueError(x)
        return x

    graph = Graph("g").add_node("inverse", inverse, over="xs")
    with pytest.raises(ValueError, match="0"):
        graph.run({"xs": [1, 0]}, store=store, run_id="r")
    broken.clear()
    assert graph.resume("r", on_error="continue").failures == []
