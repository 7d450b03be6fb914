"""Who may watch a run, change its calls, and what does it show? Each with its effect."""

from __future__ import annotations

import asyncio
import copy
import threading

import pytest

from flownb import Graph, Observer, Retry, ToolRegistry
from flownb.records.workflow_run import Trail


class Notes(Observer):
    """Notes the nodes that ended and the kinds of events."""

    def __init__(self) -> None:
        self.nodes: list[str] = []
        self.kinds: list[str] = []

    def on_span(self, span, output) -> None:
        self.nodes.append(f"{span.node}={output}")

    def on_event(self, event) -> None:
        self.kinds.append(event.kind)


def two() -> Graph:
    graph = Graph("two").add_node("a", lambda s: {"n": s["n"] + 1})
    return graph.add_node("b", lambda s: {"n": s["n"] * 2}).add_edge("a", "b")


def test_an_observer_hears_of_every_call_and_of_the_lifecycle() -> None:
    notes = Notes()
    two().use(notes).run({"n": 1})
    assert notes.nodes == ["a={'n': 2}", "b={'n': 4}"]
    assert [k for k in notes.kinds if k in {"state", "produced", "settled"}] == [
        "state", "state", "produced", "settled", "state",
    ]  # fmt: skip


class Statuses(Observer):
    """Notes what it hears of nodes, in order."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, ...]] = []

    def on_span(self, span, output) -> None:
        if span.kind == "work":
            self.heard.append(("ended", span.node))

    def on_event(self, event) -> None:
        if event.kind in {"started", "bypassed", "skipped", "retry", "failed"}:
            self.heard.append((event.kind, event.node))


def routed() -> Graph:
    graph = Graph("routed").add_if("i", lambda s: s["n"] > 0).add_node("y").add_node("n")
    return (
        graph.add_node("behind")
        .add_edge("i", "y", when=True)
        .add_edge("i", "n", when=False)
        .add_edge("n", "behind")
    )


def test_an_observer_hears_that_a_node_starts_before_it_works() -> None:
    watcher, heard = Statuses(), []
    graph = Graph("g").add_node("a", lambda _: heard.extend(watcher.heard)).use(watcher)
    graph.run({})
    assert heard == [("started", "a")]
    assert watcher.heard == [("started", "a"), ("ended", "a")]


def test_an_observer_hears_of_retries_and_of_what_was_bypassed() -> None:
    watcher, tries = Statuses(), []

    def flaky(_):
        tries.append(1)
        if len(tries) == 1:
            raise ValueError

    graph = routed().add_node("y", flaky, retry=Retry(on=ValueError, wait_initial=0)).use(watcher)
    graph.run({"n": 1})
    assert watcher.heard == [
        ("started", "i"), ("ended", "i"), ("started", "y"), ("ended", "y"), ("retry", "y"),
        ("ended", "y"), ("bypassed", "n"), ("bypassed", "behind"),
    ]  # fmt: skip


def test_an_observer_hears_what_a_run_that_is_taken_up_skips(tmp_path) -> None:
    store, watcher, broken = tmp_path / "runs.sqlite", Statuses(), [True]

    def second(_):
        if broken:
            raise ValueError(broken.pop())

    graph = Graph("g").add_node("a").add_node("b", second).add_edge("a", "b")
    with pytest.raises(ValueError, match="True"):
        graph.run({}, store=store, run_id="r")
    graph.use(watcher).resume("r")
    assert watcher.heard == [("skipped", "a"), ("started", "b"), ("ended", "b")]


def test_an_observer_of_a_loop_hears_the_same_and_nobody_keeps_it() -> None:
    watcher = Statuses()
    graph = Graph("g").add_producer("p", [1, 0]).add_if("i", bool).add_node("y")
    graph.add_edge("p", "i").add_edge("i", "y", when=True)
    plain = graph.simulate()
    watched = graph.use(watcher).simulate()
    assert [what for what in watcher.heard if what[1] == "y"] == [
        ("started", "y"), ("ended", "y"), ("bypassed", "y"),
    ]  # fmt: skip
    assert (watched.digest, watched.events) == (plain.digest, plain.events)


def test_an_observer_that_raises_is_switched_off_and_hurts_nobody(caplog) -> None:
    class Broken(Observer):
        def on_span(self, span, output) -> None:
            raise RuntimeError("observer")

    assert two().use(Broken()).run({"n": 1}).state == {"n": 4}
    assert "switched off" in caplog.text


def test_middleware_may_change_skip_and_repeat_a_call() -> None:
    async def change(call_next, node, data):
        if node.name == "a":
            return {"n": 100}
        await call_next(data)
        return await call_next(data)

    calls = []
    graph = two().add_node("b", lambda s: calls.append(s["n"])).use(change)
    run = graph.run({"n": 1})
    assert run.state == {"n": 100}
    assert calls == [100, 100]
    assert run.nodes == {"a": "completed", "b": "completed"}
    assert [(e.node, e.attempt, e.status) for e in run.logs] == [
        ("a", 0, "cached"), ("b", 1, "completed"), ("b", 2, "completed"),
    ]  # fmt: skip


def test_what_middleware_raises_fails_the_node_and_is_in_the_log() -> None:
    async def refuse(call_next, node, data):
        raise PermissionError(node.name)

    graph = two().use(refuse)
    with pytest.raises(PermissionError, match="a"):
        graph.run({"n": 1})
    assert graph.last_run is not None
    assert [(e.node, e.status, e.error) for e in graph.last_run.logs] == [
        ("a", "failed", "PermissionError: a")
    ]


def test_while_a_run_goes_on_it_says_where_each_node_stands() -> None:
    seen = {}

    def look(state):
        seen.update(graph.last_run.nodes)
        seen["run"] = graph.last_run.status

    graph = two().add_node("b", look).add_node("c").add_edge("b", "c")
    run = graph.use(Notes()).run({"n": 1})  # who is watched goes node by node
    assert seen == {"a": "completed", "b": "running", "c": "pending", "run": "running"}
    assert run.nodes == {"a": "completed", "b": "completed", "c": "completed"}


def test_metrics_count_calls_failures_and_retries_of_each_node() -> None:
    run = two().run({"n": 1})
    metrics = run.metrics
    assert metrics is not None
    assert {n.node: (n.calls, n.failed) for n in metrics.nodes.values()} == {
        "a": (1, 0), "b": (1, 0),
    }  # fmt: skip
    assert metrics.nodes["a"].total >= 0


def test_what_nodes_print_is_shown_where_the_run_was_called_and_kept(capsys) -> None:
    graph = Graph("g").add_node("a", lambda _: print("one\ntwo"))
    run = graph.run({})
    assert capsys.readouterr().out == "one\ntwo\n"
    assert [(line.node, line.text) for line in run.lines] == [("a", "one"), ("a", "two")]

    async def here() -> None:
        await graph.arun({})

    asyncio.run(here())
    assert capsys.readouterr().out == "one\ntwo\n"


def test_a_line_has_its_level_its_node_and_its_time() -> None:
    def talk(_, ctx):
        ctx.log("careful", 3, level="warning")
        print("plain")

    run = Graph("g").add_node("a", talk).run({})
    assert [(x.loop, x.node, x.level, x.text) for x in run.lines] == [
        ("g", "a", "warning", "careful 3"), ("g", "a", "print", "plain"),
    ]  # fmt: skip
    assert all(line.time >= 0 for line in run.lines)


def test_lines_are_there_while_the_run_goes_on() -> None:
    seen = []
    graph = two().add_node("a", lambda _: print("first"))
    graph.add_node("b", lambda _: seen.extend(line.text for line in graph.last_run.lines))
    graph.use(Notes()).run({"n": 1})
    assert seen == ["first"]


def test_progress_is_a_bar_when_it_is_asked_for(capsys) -> None:
    two().run({"n": 1})
    assert capsys.readouterr().err == ""
    two().run({"n": 1}, progress=True)
    shown = capsys.readouterr().err
    assert "two" in shown
    assert "2/2" in shown


def test_the_bar_of_a_completed_run_is_full_however_many_calls_there_were(capsys) -> None:
    graph = two().add_if("more?", lambda s: s["n"] < 9).add_node("never")
    graph.add_edge("b", "more?").add_edge("more?", "a", when=True)
    graph.add_if("no", lambda _: False).add_edge("no", "never", when=True)
    graph.set_entry_point("a", "no")
    run = graph.run({"n": 0}, progress=True)
    calls = len(run.logs)
    assert (calls, run.nodes["never"]) == (10, "bypassed")
    shown = capsys.readouterr().err
    assert "100%" in shown
    assert f"{calls}/{calls}" in shown
    with pytest.raises(ZeroDivisionError):
        two().add_node("a", lambda _: 1 / 0).run({"n": 1}, progress=True)
    shown = capsys.readouterr().err
    assert "50%" in shown
    assert "1/2" in shown


def test_a_huge_run_and_its_graph_are_shown_in_a_page_that_can_be_opened() -> None:
    graph = Graph("huge")
    for i in range(4000):
        graph.add_node(f"n{i}", lambda s: {"n": s["n"] + 1})
        if i:
            graph.add_edge(f"n{i - 1}", f"n{i}")
    run = graph.run({"n": 0})
    for shown in (graph, run):
        html = shown._repr_mimebundle_()["text/html"]
        assert len(html) < 300_000
        assert "<td>n999</td>" in html
        assert "<td>n1000</td>" not in html
    assert "... 3,000 more" in html
    assert repr(run) == "WorkflowRun('huge': completed, 4,000 calls, state {'n': 4000})"


def test_tools_are_found_in_ctx() -> None:
    tools = ToolRegistry()
    tools.register("twice", lambda x: 2 * x)
    graph = Graph("g").add_node("a", lambda s, ctx: {"n": ctx.tools.call("twice", s["n"])})
    assert graph.run({"n": 4}, tools=tools).state == {"n": 8}


def test_a_run_shows_itself_without_times_and_ids() -> None:
    graph = two()
    shown = [graph.run({"n": 1})._repr_mimebundle_() for _ in range(2)]
    assert shown[0] == shown[1]
    assert shown[0]["text/plain"] == "WorkflowRun('two': completed, 2 calls, state {'n': 4})"
    assert "<table" in shown[0]["text/html"]
    run = graph.run({"n": 1})
    assert run.run_id not in str(shown)
    assert run.table().count("\n") == 1
    assert "failed" not in run.table()


def test_the_log_says_when_how_long_which_attempt_and_what_came_of_it() -> None:
    entry = two().run({"n": 1}).logs[0]
    assert (entry.node, entry.visit, entry.attempt, entry.status) == ("a", 0, 1, "completed")
    assert entry.output == "{'n': 2}"
    assert entry.time >= 0
    assert entry.duration >= 0


def test_the_timeline_of_a_run_has_a_span_for_each_call() -> None:
    run = two().run({"n": 1})
    assert [s.node for s in run.timeline.spans] == ["a", "b"]
    assert run.duration == run.timeline.end


async def in_a_running_event_loop() -> int:
    return two().run({"n": 1}).state["n"]


def test_the_sync_face_works_where_an_event_loop_runs_already() -> None:
    assert asyncio.run(in_a_running_event_loop()) == 4


def test_a_graph_with_a_producer_is_told_to_start() -> None:
    from flownb import GraphError

    loop = Graph("loop").add_producer("p", [1]).add_node("n").add_edge("p", "n")
    with pytest.raises(GraphError, match=r"use start\(\), or simulate"):
        loop.run({})
    with pytest.raises(GraphError, match="for graphs without a producer"):
        loop.add_node("n", len, over="xs").simulate()


def test_the_line_of_a_run_counts_its_calls_without_writing_an_entry_for_each(monkeypatch) -> None:
    """Python asks for it, too: `asyncio.run(graph.arun())` in a script does, twice."""

    async def once(state):
        return {"n": state["n"] + 1}

    graph = two().add_node("c", once).add_edge("b", "c")
    run = graph.add_node("d", once, retry=Retry(on=ValueError)).add_edge("c", "d").run({"n": 1})
    assert run.calls == len(run.logs) == 4
    monkeypatch.setattr(Trail, "entries", lambda _: pytest.fail("entries were made"))
    assert repr(run) == "WorkflowRun('two': completed, 4 calls, state {'n': 6})"
    assert run.visited == ["a", "b", "c", "d"]


# -- what a run says while it works, and when it is ended ------------------------


def held_up(*, reach):
    """A row of sync nodes of which the second waits for an event; *reach* is set when it does."""
    go_on = threading.Event()

    def wait(state):
        reach.set()
        go_on.wait(20)

    graph = Graph("row").add_node("a", lambda _: {"a": [1]}).add_node("b", wait)
    return graph.add_node("c", lambda _: {"c": 3}).add_edge("a", "b", "c"), go_on


def in_a_thread(graph, *args, **options):
    """Start a run in a thread of its own; give what joins it and then gives the run."""
    found = []
    thread = threading.Thread(target=lambda: found.append(graph.run(*args, **options)))
    thread.start()

    def ended():
        thread.join(20)
        return found[0]

    return ended


@pytest.mark.wallclock
def test_a_run_says_what_is_so_while_a_row_of_its_nodes_is_called() -> None:
    reached = threading.Event()
    graph, go_on = held_up(reach=reached)
    ended = in_a_thread(graph, {"n": 0})
    assert reached.wait(20)
    run = graph.last_run
    assert run is not None
    assert run.nodes == {"a": "completed", "b": "running", "c": "pending"}
    assert (run.visited, run.calls, run.state) == (["a"], 1, {"n": 0, "a": [1]})
    assert [run.metrics.nodes[name].running for name in "abc"] == [0, 1, 0]
    assert copy.deepcopy(run).nodes == run.nodes
    go_on.set()
    assert ended().state == {"n": 0, "a": [1], "c": 3}
    assert run.visited == ["a", "b", "c"]


@pytest.mark.wallclock
def test_a_row_without_a_state_says_what_is_so() -> None:
    reached, go_on = threading.Event(), threading.Event()
    graph = Graph("row").add_node("a", lambda x: x + 1).add_node("c", lambda x: x * 10)
    graph.add_node("b", lambda x: reached.set() or (go_on.wait(20) and x)).add_edge("a", "b", "c")
    ended = in_a_thread(graph, 1)
    assert reached.wait(20)
    assert graph.last_run.nodes == {"a": "completed", "b": "running", "c": "pending"}
    go_on.set()
    assert ended().state == 20


@pytest.mark.wallclock
def test_a_run_is_cancelled_from_any_thread_and_keeps_what_it_has_done() -> None:
    reached = threading.Event()
    graph, go_on = held_up(reach=reached)
    ended = in_a_thread(graph, {"n": 0})
    assert reached.wait(20)
    graph.last_run.cancel()
    run = ended()
    go_on.set()
    assert (run.status, run.error, run.state) == ("cancelled", None, {"n": 0, "a": [1]})
    assert run.nodes == {"a": "completed", "b": "cancelled", "c": "pending"}
    assert list(run.behind) == ["a"]
    run.cancel()
    assert run.status == "cancelled"


@pytest.mark.wallclock
def test_what_cancels_a_run_that_is_awaited_cancels_nothing_else() -> None:
    async def main():
        reached = asyncio.Event()

        async def forever(_):
            reached.set()
            await asyncio.sleep(60)

        graph = Graph("g").add_node("a", lambda _: {"a": 1}).add_node("forever", forever)
        task = asyncio.ensure_future(graph.add_edge("a", "forever").arun({}))
        await asyncio.wait_for(reached.wait(), 20)
        threading.Thread(target=graph.last_run.cancel).start()
        run = await asyncio.wait_for(task, 20)
        return run.status, run.state, run.nodes["forever"], asyncio.current_task().cancelling()

    assert asyncio.run(main()) == ("cancelled", {"a": 1}, "cancelled", 0)


def test_a_run_that_was_cancelled_is_taken_up_again(tmp_path) -> None:
    store = tmp_path / "runs.sqlite"
    called = []

    def second(_):
        called.append("b")
        if len(called) == 1:
            graph.last_run.cancel()
            while graph.last_run.status == "running":
                threading.Event().wait(0.001)
        return {"b": 1}

    graph = Graph("g").add_node("a", lambda _: {"a": 1}).add_node("b", second)
    graph.add_node("c", lambda _: {"c": 1}).add_edge("a", "b", "c")
    run = graph.run({}, store=store, run_id="r")
    assert (run.status, run.nodes["a"], run.nodes["c"]) == ("cancelled", "completed", "pending")
    assert graph.resume("r").state == {"a": 1, "b": 1, "c": 1}


def test_runs_share_nothing_that_can_be_changed_with_each_other_or_the_caller() -> None:
    entry = {"l": []}
    graph = Graph("g").add_node("n", lambda s: s["l"].append(1))
    first, second = graph.run(entry), asyncio.run(graph.arun(entry))
    assert (entry, first.state, second.state) == ({"l": []}, {"l": [1]}, {"l": [1]})
    assert graph.run(entry, copy=False).state["l"] is entry["l"]


def test_what_cannot_be_copied_of_an_entry_state_is_shared_and_the_rest_is_not() -> None:
    entry = {"lock": threading.Lock(), "l": [[], (x for x in "ab")]}
    state = Graph("g").add_node("n", lambda s: s["l"][0].append(1)).run(entry).state
    assert state["lock"] is entry["lock"]
    assert list(state["l"][1]) == ["a", "b"]
    assert (state["l"][0], entry["l"][0]) == ([1], [])
