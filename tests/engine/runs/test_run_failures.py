"""What happens when a node of a run fails? Retries, handlers, going on, cancelling."""

from __future__ import annotations

import asyncio
import threading

import pytest

from flownb import Graph, NodeTimeout, Retry, RunError
from flownb.errors import GraphError, StoreError
from flownb.model.tools import ToolRegistry
from flownb.stores import open_store


def boom(_: object) -> None:
    raise ValueError("no")


def failing(times: int, error: type[Exception] = ValueError):
    """Make a node that fails that often, then works."""
    left = [times]

    def work(state):
        if left[0]:
            left[0] -= 1
            raise error("not yet")
        return {"ok": True}

    return work


def test_fail_fail_succeed_waits_with_growing_backoff_and_logs_each_attempt() -> None:
    retry = Retry(on=ValueError, attempts=3, wait_initial=0.01, wait_exp_base=2)
    graph = Graph("g").add_node("a", failing(2), retry=retry)
    sim = graph.simulate()
    waits = [round(s.duration, 6) for s in sim.timeline if s.kind == "retry"]
    assert waits == [0.01, 0.02]
    run = Graph("g").add_node("a", failing(2), retry=retry).run({})
    assert [(e.attempt, e.status, e.error) for e in run.logs] == [
        (1, "failed", "ValueError: not yet"),
        (2, "failed", "ValueError: not yet"),
        (3, "completed", ""),
    ]
    assert (run.state, run.visited) == ({"ok": True}, ["a"])
    assert run.metrics is not None
    assert run.metrics.nodes["a"].retries == 2


def test_when_attempts_are_used_up_the_original_exception_is_raised() -> None:
    retry = Retry(on=ValueError, attempts=2, wait_initial=0)
    graph = Graph("g").add_node("a", failing(9), retry=retry)
    with pytest.raises(ValueError, match="not yet") as error:
        graph.run({})
    assert "node 'a' of graph 'g' failed after 2 attempts" in error.value.__notes__[0]
    other = Graph("g").add_node("a", failing(1, KeyError), retry=retry)
    with pytest.raises(KeyError):
        other.run({})


def test_no_error_class_means_never_and_a_number_is_refused_where_it_is_written() -> None:
    graph = Graph("g").add_node("a", failing(1), retry=Retry(on=(), attempts=5, wait_initial=0))
    with pytest.raises(ValueError, match="not yet"):
        graph.run({})
    with pytest.raises(TypeError, match="give an exception class"):
        Retry(on=123)  # type: ignore[arg-type]


def test_of_several_policies_the_first_that_catches_the_error_counts() -> None:
    rules = [
        Retry(on=ValueError, attempts=2, wait_initial=0.01),
        Retry(on=(KeyError, LookupError), attempts=3, wait_initial=0.02),
        Retry(on=LookupError, attempts=9, wait_initial=0),
    ]

    class Mine(ValueError):
        """A subclass is caught as its base is."""

    def tried(error: type[Exception], times: int) -> tuple[int, str]:
        graph = Graph("g").add_node("a", failing(times, error), retry=rules)
        try:
            graph.run({})
        except Exception:  # noqa: BLE001
            assert graph.last_run is not None
        run = graph.last_run
        assert run is not None
        return len(run.logs), run.status

    assert tried(ValueError, 1) == tried(Mine, 1) == (2, "completed")
    assert tried(ValueError, 2) == tried(Mine, 2) == (2, "failed")
    assert tried(KeyError, 2) == tried(IndexError, 2) == (3, "completed")
    assert tried(KeyError, 3) == (3, "failed")
    assert tried(OSError, 1) == (1, "failed")
    sim = Graph("g").add_node("a", failing(2, KeyError), retry=rules).simulate()
    assert [round(s.duration, 6) for s in sim.timeline if s.kind == "retry"] == [0.02, 0.04]


def test_a_list_of_policies_is_no_edit_when_the_cell_runs_again_and_travels_as_json() -> None:
    def graph() -> Graph:
        rules = [Retry(on=ValueError, attempts=2), Retry(on=KeyError)]
        return Graph("g").add_node("a", boom, retry=rules)

    tools = ToolRegistry()
    tools.register("boom", boom)
    one = graph()
    before = one.version
    one.add_node("a", boom, retry=[Retry(on=ValueError, attempts=2), Retry(on=KeyError)])
    assert one.version == before
    again = Graph.from_dict(one.to_dict(tools=tools), tools=tools)
    assert again.nodes["a"].retry == one.nodes["a"].retry
    with pytest.raises(GraphError, match=r"write Retry\(on=\.\.\., attempts=\.\.\.\)"):
        Graph("g").add_node("a", boom, retry=[Retry(on=ValueError), 3])  # type: ignore[list-item]


def test_a_timeout_cannot_be_swallowed_and_late_writes_are_dropped() -> None:
    async def stubborn(_):
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return {"late": True}

    graph = Graph("g").add_node("a", stubborn, timeout=1)
    with pytest.raises(NodeTimeout):
        graph.simulate().timeline and graph.run({})
    assert graph.last_run is not None
    assert graph.last_run.state == {}


def test_the_nodes_own_timeout_error_is_not_the_engines() -> None:
    def own(_):
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine") as error:
        Graph("g").add_node("a", own, timeout=5).run({})
    assert not isinstance(error.value, NodeTimeout)


def fork(**options) -> Graph:
    """A: fails; its sibling b and its dependent c, which notes who failed."""
    return (
        Graph("fork")
        .add_node("start", lambda _: {"x": 1})
        .add_node("a", boom, **options)
        .add_node("b", lambda _: {"b": 2})
        .add_node("c", lambda _, ctx: {"failed": ctx.failed})
        .add_edge("start", "a", "c")
        .add_edge("start", "b")
    )


def test_going_on_runs_sibling_and_dependent_which_can_read_who_failed() -> None:
    for run in (fork().run({}, on_error="continue"), fork(on_error="continue").run({})):
        assert run.status == "completed"
        assert run.state == {"x": 1, "b": 2, "failed": ("a",)}
        assert run.nodes == {
            "start": "completed",
            "a": "failed",
            "b": "completed",
            "c": "completed",
        }


def test_without_it_the_dependent_does_not_run_and_the_log_and_state_are_kept() -> None:
    graph = fork()
    with pytest.raises(ValueError, match="no"):
        graph.run({})
    run = graph.last_run
    assert run is not None
    assert (run.status, run.state) == ("failed", {"x": 1, "b": 2})
    assert run.nodes == {"start": "completed", "a": "failed", "b": "completed", "c": "pending"}
    assert [e.error for e in run.logs if e.status == "failed"] == ["ValueError: no"]


def test_each_failure_is_kept_with_its_traceback_and_the_state_that_its_node_saw() -> None:
    def spoil(state):
        state["x"] = "changed in place"
        raise ValueError("spoilt")

    asked = []
    graph = Graph("g").add_node("start", lambda _: {"x": 1}).add_node("a", spoil, on_error="soft")
    graph.add_node("soft", boom, on_error=lambda failure: asked.append(failure.item) or "stop")
    graph.add_edge("start", "a", "soft")
    with pytest.raises(ValueError, match="no"):
        graph.run({"e": 0})
    run = graph.last_run
    assert run is not None
    assert [(f.node, str(f.error), f.item) for f in run.failures] == [
        ("a", "spoilt", {"e": 0, "x": 1}), ("soft", "no", {"e": 0, "x": 1}),
    ]  # fmt: skip
    assert asked == [{"e": 0, "x": 1}]
    assert "in spoil" in run.failures[0].traceback
    assert Graph("g").add_node("a").run({}).failures == []


def test_of_a_tolerated_and_a_hard_failure_the_hard_one_is_reported() -> None:
    def hard(_):
        raise KeyError("hard")

    graph = Graph("g").add_node("soft", boom, on_error="continue").add_node("hard", hard)
    with pytest.raises(KeyError, match="hard"):
        graph.run({})


def test_a_handler_runs_once_after_the_retries_and_may_give_a_result() -> None:
    asked = []

    def handler(failure):
        asked.append((failure.node, failure.attempts, str(failure.error)))
        return {"ok": "instead"}

    retry = Retry(on=ValueError, attempts=2, wait_initial=0)
    graph = Graph("g").add_node("a", boom, retry=retry, on_error=handler)
    graph.add_node("b", lambda s: {"seen": s["ok"]}).add_edge("a", "b")
    assert graph.run({}).state == {"ok": "instead", "seen": "instead"}
    assert asked == [("a", 2, "no")]


def test_a_handler_may_send_the_run_another_way() -> None:
    graph = Graph("pay").add_node("charge", boom, on_error="refund")
    graph.add_node("refund", lambda _: {"refunded": True}).add_node("ship")
    graph.add_edge("charge", "ship").add_edge("charge", "refund")
    assert graph.run({}).visited == ["charge", "refund"]
    graph.add_node("charge", lambda _: None, on_error="refund")
    assert graph.run({}).visited == ["charge", "ship"]
    graph.add_node("charge", boom, on_error=lambda _: "refund")
    assert graph.run({}).visited == ["charge", "refund"]


def test_a_handler_that_fails_or_names_no_way_fails_the_run() -> None:
    def broken(_):
        raise StoreError("broken handler")

    with pytest.raises(StoreError) as error:
        Graph("g").add_node("a", boom, on_error=broken).run({})
    assert isinstance(error.value.__cause__, ValueError)
    with pytest.raises(RunError, match="no edge leads there"):
        Graph("g").add_node("a", boom, on_error=lambda _: "nowhere").run({})
    wrong = Graph("g").add_node("a", boom, on_error="nowhere")
    assert "choose a node behind it" in str(wrong.validate()[0])


def inverse(x: float) -> float:
    return 1 / x


def mapped(**options) -> Graph:
    graph = Graph("g").add_node("inverse", inverse, over="xs", into="ys", **options)
    graph.add_node("after", lambda s, ctx: {"failed": ctx.failed, "n": len(s["ys"])})
    return graph.add_edge("inverse", "after")


@pytest.mark.parametrize("store", [None, "memory://"])
@pytest.mark.parametrize(
    ("options", "given"),
    [
        ({"on_error": "continue"}, {}),
        ({"on_error": lambda _: "continue"}, {}),
        ({}, {"on_error": "continue"}),
        ({"on_error": "continue", "retry": Retry(on=ArithmeticError, wait_initial=0)}, {}),
    ],
)
def test_going_on_keeps_the_elements_that_worked_in_their_places(options, given, store) -> None:
    run = mapped(**options).run({"xs": [1, 0, 4, 0]}, store=store, **given)
    assert run.state == {
        "xs": [1, 0, 4, 0], "ys": [1.0, None, 0.25, None], "failed": ("inverse",), "n": 4,
    }  # fmt: skip
    assert run.nodes == {"inverse": "failed", "after": "completed"}
    assert [(f.index, f.item, str(f.error)) for f in run.failures] == [
        (1, 0, "division by zero"), (3, 0, "division by zero"),
    ]  # fmt: skip
    assert (
        repr(run.failures[1])
        == "Failure(g/inverse, element 3, ZeroDivisionError: division by zero)"
    )


def test_without_going_on_a_list_that_failed_ends_the_run_and_every_element_is_told() -> None:
    graph = mapped()
    with pytest.raises(ZeroDivisionError):
        graph.run({"xs": [0, 1, 0]})
    run = graph.last_run
    assert run is not None
    assert ("ys" in run.state, [f.index for f in run.failures]) == (False, [0, 2])


def test_a_list_of_payloads_keeps_its_places_and_a_handler_may_give_another_list() -> None:
    graph = Graph("g").add_node("inverse", inverse, over=lambda n: range(n))
    graph.add_node("sum", lambda ys: sum(y or 0 for y in ys)).add_edge("inverse", "sum")
    assert graph.run(3, on_error="continue").state == 1.5
    assert mapped(on_error=lambda _: [7]).run({"xs": [0, 1]}).state["ys"] == [7]


def test_what_worked_of_a_list_is_there_when_the_run_is_taken_up() -> None:
    store, crashed = open_store("memory://"), [True]

    def once(state):
        if crashed.pop():
            raise OSError("gone")
        return {"kept": state["ys"]}

    graph = mapped(on_error="continue").add_node("last", once).add_edge("after", "last")
    with pytest.raises(OSError, match="gone"):
        graph.run({"xs": [1, 0]}, store=store, run_id="r")
    crashed.append(False)
    graph.add_node("inverse", boom, over="xs", into="ys", on_error="continue")
    run = graph.resume("r", store=store)
    assert run.state["kept"] == [1.0, None]


def test_going_on_behind_an_if_that_failed_takes_none_of_its_ways() -> None:
    graph = Graph("g").add_if("i", boom).add_node("yes").add_node("no").add_node("any")
    graph.add_edge("i", "yes", when=True).add_edge("i", "no", when=False).add_edge("i", "any")
    assert graph.run({}, on_error="continue").nodes == {
        "i": "failed", "yes": "bypassed", "no": "bypassed", "any": "completed",
    }  # fmt: skip


def test_a_verdict_without_an_edge_fails_the_run_and_the_first_match_wins() -> None:
    graph = Graph("g").add_if("i", lambda s: s["v"]).add_node("x").add_node("y")
    graph.add_edge("i", "x", when="x").add_edge("i", "y", when="y")
    assert graph.run({"v": "x"}).visited == ["i", "x"]
    with pytest.raises(LookupError, match="no edge for the verdict 'z'"):
        graph.run({"v": "z"})


async def cancelled(graph: Graph, started: asyncio.Event) -> None:
    task = asyncio.create_task(graph.arun({}))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_cancel_wins_over_a_failure_and_what_was_not_reached_stays_pending() -> None:
    async def both() -> Graph:
        started = asyncio.Event()

        async def wait(_):
            started.set()
            try:
                await asyncio.sleep(60)
            finally:
                raise ValueError("at the same moment")

        graph = Graph("g").add_node("a", lambda _: {"a": 1}).add_node("w", wait).add_node("z")
        await cancelled(graph.add_edge("a", "w", "z"), started)
        return graph

    run = asyncio.run(both()).last_run
    assert run is not None
    assert (run.status, run.state) == ("cancelled", {"a": 1})
    assert run.nodes == {"a": "completed", "w": "cancelled", "z": "pending"}


def test_a_stop_iteration_that_slips_out_of_a_node_is_told_with_its_node() -> None:
    with pytest.raises(RuntimeError, match="node 'a' raised StopIteration") as error:
        Graph("g").add_node("a", lambda _: next(iter([]))).run({})
    assert isinstance(error.value.__cause__, StopIteration)


def test_a_node_that_ends_the_interpreter_only_fails_the_run() -> None:
    def leave(_):
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        Graph("g").add_node("a", leave).run({})
    assert threading.active_count() < 50
