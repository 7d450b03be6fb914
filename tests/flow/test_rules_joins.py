"""Section 3.2: when do joins "first" and n run, with what, and who does not run for it?"""

from __future__ import annotations

import asyncio
import gc
import threading
import time

import pytest

from flownb import Graph, GraphError, Limit, Retry
from flownb.model.nodes import NonBlockingNode
from tests.support.lab import boom, calls, seen, times
from tests.support.live import live, until
from tests.support.oracle import POLICIES
from tests.support.oracle_rules import losers


def race(*arms, join="first", source=(0,), got=None, **loop):
    """P -> each arm -> j; an arm is (name, fn, options) or (name, takes)."""
    graph = Graph("race").add_producer("p", list(source))
    for name, *what in arms:
        fn, options = what if len(what) > 1 else (lambda _, name=name: name, {"takes": what[0]})
        graph.add_node(name, fn, **options).add_edge("p", name)
    graph.add_node("j", seen(got) if got is not None else None, join=join, takes=1, keep=9)
    for name, *_ in arms:
        graph.add_edge(name, "j")
    return graph.set_loop("p", **loop)


ABC = (("a", 3), ("b", 1), ("c", 5))


# -- first ---------------------------------------------------------------------


def test_first_runs_at_the_first_live_token_with_its_payload_as_it_is():
    got = []
    sim = race(*ABC, got=got).simulate(until=99)
    assert calls(sim, "j") == [(1, 2)]
    assert got == ["b"]


def test_the_losers_that_run_are_cancelled_have_no_span_and_are_not_awaited():
    sim = race(*ABC, await_policy="all", source=range(3)).simulate(until=99)
    assert {s.node for s in sim.timeline if s.kind == "work"} == {"p", "b", "j"}
    assert sim.releases("p") == times(sim, "settled") == [2, 4, 6]


def test_losers_are_the_nodes_all_of_whose_ways_lead_into_the_join_however_far_away():
    graph = race(("b", 1)).add_node("a1", takes=2).add_node("a2", takes=2).add_node("a3", takes=2)
    graph.add_edge("p", "a1", "a2", "j").add_edge("a1", "a3", "j")
    assert names(graph, "j") == {"b", "a1", "a2", "a3"}
    sim = graph.simulate(until=99)
    assert {s.node for s in sim.timeline} - {"p"} == {"b", "j"}


def names(graph, join):
    """The losers of a join as the plan has them."""
    plan = graph.plan("p")
    (node,) = (n for n in plan.nodes if n.name == join)
    return {plan.nodes[i].name for i in node.losers}


def test_a_node_that_also_leads_elsewhere_is_no_loser_and_runs_on():
    graph = race(("a", 3), ("b", 1)).add_node("elsewhere", takes=2).add_edge("a", "elsewhere")
    assert names(graph, "j") == {"b"}
    sim = graph.simulate(until=99)
    assert calls(sim, "a") == [(0, 3)]
    assert calls(sim, "elsewhere") == [(3, 5)]
    assert sim.releases("p") == [5]


def test_a_node_at_which_some_way_ends_is_no_loser():
    graph = race(("b", 1)).add_if("a?", lambda _: True, takes=3).add_node("end").add_edge("p", "a?")
    graph.add_edge("a?", "j", when=True).add_edge("a?", "end", when=False)
    assert names(graph, "j") == {"b"}
    assert calls(graph.simulate(until=99), "a?") == [(0, 3)]


def test_the_producer_never_loses():
    graph = Graph("g").add_producer("p", [1, 2]).add_node("a", takes=3).add_node("j", join="first")
    graph.add_edge("p", "a", "j").add_edge("p", "j")
    assert names(graph, "j") == {"a"}
    assert graph.simulate(until=99).metrics["p"].done == 2


def test_the_plan_s_losers_are_those_that_cannot_reach_another_end_without_the_join():
    """The second way to say it, on random graphs."""
    from tests.support.cases import graph_of, rules_case

    some = 0
    for seed in range(150):
        case = rules_case(seed, most=25)
        graph = graph_of(case, ["path"])
        firsts = [v for v, join in case.joins.items() if join == "first"]
        plan = graph.plan("path/P")
        by_name = {n.name: n for n in plan.nodes}
        for v in firsts:
            found = {plan.nodes[i].name for i in by_name[f"path/{v}"].losers}
            assert found == {f"path/{w}" for w in losers(case, v)}, f"seed {seed}, join {v}"
            some += len(found) > 1
    assert some > 30


def test_a_late_live_token_is_ignored():
    got = []
    graph = race(("a", 3), ("b", 1), got=got).add_node("more").add_edge("a", "more")
    sim = graph.simulate(until=99)
    assert calls(sim, "a") == [(0, 3)]
    assert got == ["b"]
    assert sim.metrics["p"].open == 0


def test_a_late_live_token_makes_nobody_wait_for_the_join():
    """The arm of a is awaited; it comes second, so j belongs to the arm of n alone."""
    graph = race(("n", None, {"kind": "non_blocking", "takes": 1}), ("a", 3))
    graph.add_node("j", kind="non_blocking", join="first", takes=50).add_node("x").add_edge(
        "a", "x"
    )
    sim = graph.simulate(until=99)
    assert calls(sim, "j") == [(1, 51)]
    assert sim.releases("p") == [3]


def test_first_waits_on_while_in_edges_die_and_is_bypassed_when_all_have():
    graph = Graph("g").add_producer("p", [True, False])
    graph.add_if("a?", lambda x: False, takes=1).add_if("b?", lambda x: x, takes=4)
    graph.add_node("j", join="first", takes=1).add_node("k", takes=1)
    for name in ("a?", "b?"):
        graph.add_edge("p", name).add_edge(name, "j", when=True)
    sim = graph.add_edge("j", "k").simulate(until=99)
    assert calls(sim, "j") == [(4, 5)]
    assert sim.releases("p") == [6, 10]


def test_a_failed_in_edge_does_not_stop_first_from_running():
    got = []
    graph = race(("a", boom, {"takes": 1}), ("b", 3), got=got, join="first")
    sim = graph.simulate(until=99)
    assert calls(sim, "j") == [(3, 4)]
    assert got == ["b"]
    assert sim.metrics["p"].failed == 1, "the item is failed all the same"


@pytest.mark.parametrize("join", ["first", 1, 2])
def test_a_join_without_enough_live_in_edges_passes_the_mark_of_a_failed_one_on(join):
    """K waits for all: it must not run on half its input because of an error."""
    graph = race(("a", boom, {"takes": 1}), ("b", boom, {"takes": 2}), join=join)
    graph.add_node("other", takes=5).add_edge("p", "other")
    graph.add_node("k").add_edge("j", "k").add_edge("other", "k")
    sim = graph.simulate(until=99)
    assert calls(sim, "j") == calls(sim, "k") == []
    assert sim.metrics["p"].failed == 1


@pytest.mark.parametrize("join", ["first", 1, 2])
def test_a_join_that_is_bypassed_by_verdicts_passes_no_mark_on(join):
    graph = Graph("g").add_producer("p", [0]).add_node("j", join=join).add_node("k", takes=1)
    for name in ("a?", "b?"):
        graph.add_if(name, lambda _: False).add_edge("p", name).add_edge(name, "j", when=True)
    graph.add_node("other", takes=5).add_edge("p", "other", "k").add_edge("j", "k")
    assert calls(graph.simulate(until=99), "k") == [(5, 6)]


def test_a_loser_that_fails_before_the_join_has_run_fails_its_item_later_it_cannot():
    early = race(("a", boom, {"takes": 1}), ("b", 3)).simulate(until=99)
    late = race(("a", boom, {"takes": 3}), ("b", 1)).simulate(until=99)
    assert (early.metrics["p"].failed, late.metrics["p"].failed) == (1, 0)
    assert late.failures() == []


def test_a_loser_between_two_attempts_makes_no_other():
    tries = []

    def never(x):
        tries.append(x)
        raise ValueError

    retry = Retry(on=ValueError, attempts=3, wait_initial=2)
    sim = race(("a", never, {"retry": retry}), ("b", 3)).simulate(until=99)
    assert tries == [0, 0]
    assert sim.metrics["p"].done == 1


def test_a_join_that_loses_to_another_never_runs():
    graph = race(("a", 2), ("b", 3)).add_node("fast", takes=1).add_node("k", join="first", takes=1)
    graph.add_edge("j", "k").add_edge("p", "fast", "k")
    sim = graph.simulate(until=99)
    assert names(graph, "k") == {"a", "b", "j", "fast"}
    assert {s.node for s in sim.timeline if s.kind == "work"} == {"p", "fast", "k"}
    assert sim.releases("p") == [2]


@pytest.mark.parametrize("rule", ["dataflow", "level", "sequential"])
def test_a_blocking_loser_that_has_not_run_proves_no_arm_under_path_live(rule):
    """The arm of a holds b, which is about to start when it loses: nobody waits for j."""
    graph = Graph("g").add_producer("p", [0]).add_node("a", kind="non_blocking")
    graph.add_node("b", takes=5).add_node("j", join="first", kind="non_blocking", takes=9)
    graph.add_edge("p", "a", "b", "j").add_edge("a", "j")
    sim = graph.set_loop("p", await_policy="path_live", start_rule=rule).simulate(until=99)
    assert (calls(sim, "b"), calls(sim, "j")) == ([], [(0, 9)])
    assert sim.releases("p") == [0]


# -- side effects and contexts -------------------------------------------------


def test_what_a_loser_has_done_stays_done_and_what_it_does_later_is_not_done():
    async def slow(x, ctx):
        await ctx.push("q", "early")
        await ctx.sleep(3)
        await ctx.push("q", "late")

    def at_end(x, ctx):
        ctx.push("q", "at the end")

    got = []
    graph = race(("a", slow, {}), ("s", at_end, {"takes": 3}), ("b", 1)).add_queue(
        "q", external=True
    )
    graph.add_queue_reader("r", queue="q", external=True).add_node("see", seen(got))
    graph.add_edge("b", "q").add_edge("r", "see").simulate(until=9)
    assert got == ["early", "b"]


@pytest.mark.filterwarnings("error")
def test_a_loser_that_loses_at_the_instant_it_starts_does_nothing():
    """The winner takes no time, so what was begun beside it has not had its first turn."""
    log = []

    async def slow(x, ctx):
        log.append(x)
        await ctx.push("q", x)

    graph = race(("a", slow, {}), ("b", 0), source=range(3)).add_queue("q", external=True)
    sim = graph.add_node("ends").add_edge("b", "ends").add_edge("b", "q").simulate(until=9)
    gc.collect()
    assert log == []
    assert sim.metrics["p"].done == 3


def test_a_sync_loser_that_has_pushed_leaves_no_coroutine_that_was_never_awaited(recwarn):
    graph = race(("a", lambda _, ctx: ctx.push("q", 1), {}), ("b", 0)).add_queue("q", external=True)
    graph.add_edge("j", "q").simulate(until=9)
    gc.collect()
    assert [str(w.message) for w in recwarn] == []


def test_an_async_loser_is_cancelled_where_it_stands_and_may_clean_up():
    log = []

    async def slow(x, ctx):
        try:
            await ctx.sleep(9)
        except asyncio.CancelledError:
            log.append(("cancelled", ctx.clock.time()))
            await ctx.sleep(2)
            log.append(("clean", ctx.clock.time()))
            raise

    graph = race(("a", slow, {}), ("b", 1)).add_node("n", kind="non_blocking", takes=9)
    sim = graph.add_edge("j", "n").set_loop("p", await_policy="blocking").simulate(until=99)
    assert log == [("cancelled", 1), ("clean", 3)]
    assert sim.releases("p") == [2], "nobody waits for its cleaning up"


def test_a_loser_that_will_not_be_cancelled_changes_nothing():
    async def stubborn(x, ctx):
        try:
            await ctx.sleep(9)
        except asyncio.CancelledError:
            return "won after all"

    got = []
    sim = race(("a", stubborn, {}), ("b", 1), got=got, source=range(2)).simulate(until=99)
    assert got == ["b", "b"]
    assert calls(sim, "a") == []
    assert sim.metrics["p"].done == 2


# -- limits --------------------------------------------------------------------


async def sleeper(_, ctx):
    await ctx.sleep(5)
    return "slept"


SLOW = {
    "sync": (None, {"takes": 5}),
    "async": (sleeper, {}),
    "with a retry": (None, {"takes": 5, "retry": Retry(on=ValueError)}),
    "with a timeout": (sleeper, {"timeout": 50}),
}


@pytest.mark.parametrize("winner", [0, 1])
@pytest.mark.parametrize("how", SLOW)
def test_a_cancelled_loser_gives_a_shared_limit_back(how, winner):
    """Also when it loses before its task has had a turn; item 1 needs the limit."""
    gpu = Limit(concurrency=1)
    fn, options = SLOW[how]
    graph = Graph("g").add_producer("p", range(4)).add_node("a", fn, **options, limit=gpu)
    graph.add_if("b", lambda x: x % 2 == 0, takes=winner).add_node("j", join="first", takes=1)
    graph.add_edge("p", "a", "j").add_edge("p", "b").add_edge("b", "j", when=True)
    graph.add_node("other", limit=gpu, takes=1).add_edge("j", "other")
    sim = graph.simulate(until=99)
    assert [s.iteration for s in sim.timeline if s.node == "a" and s.kind == "work"] == [1, 3]
    assert [s.iteration for s in sim.timeline if s.node == "other"] == [0, 1, 2, 3]
    assert sim.metrics["p"].done == 4


def test_a_loser_that_waits_for_its_limit_leaves_the_queue():
    gpu = Limit(concurrency=1)
    graph = race(("a", None, {"limit": gpu, "takes": 5}), ("b", 1), source=range(2))
    graph.add_producer("q", [0]).add_node("busy", limit=gpu, takes=2).add_edge("q", "busy")
    graph.add_node("next", limit=gpu, takes=1).add_edge("busy", "next")
    sim = graph.simulate(until=99)
    assert calls(sim, "a") == []
    assert sim.metrics["p"].done == 2
    assert calls(sim, "next")[0][0] <= 4


def test_a_class_node_that_loses_serves_the_next_item():
    class Slow(NonBlockingNode):
        def run(self, data):
            return data.payload

    graph = race(("b", 1), source=range(3)).add_node(Slow("a"), takes=5).add_edge("p", "a", "j")
    graph.add_if("b", lambda x: x < 2, takes=1).add_edge("b", "j", when=True)
    sim = graph.simulate(until=99)
    assert [s.iteration for s in sim.timeline if s.node == "a" and s.kind == "work"] == [2]


# -- n of m --------------------------------------------------------------------


def test_n_runs_at_the_nth_live_token_with_a_dict_of_those_that_came_in_edge_order():
    got = []
    sim = race(*ABC, join=2, got=got).simulate(until=99)
    assert calls(sim, "j") == [(3, 4)]
    assert got == [{"a": "a", "b": "b"}], "a came second, its edge is the first"


def test_the_others_of_an_n_join_run_on_and_are_awaited():
    sim = race(*ABC, join=2).simulate(until=99)
    assert calls(sim, "c") == [(0, 5)]
    assert sim.releases("p") == [5]


def test_n_equal_one_is_not_first_it_has_no_losers_and_gives_a_dict():
    got = []
    sim = race(*ABC, join=1, got=got).simulate(until=99)
    assert got == [{"b": "b"}]
    assert {s.node for s in sim.timeline if s.kind == "work"} == {"p", "a", "b", "c", "j"}


def verdicts(join, *arms, **loop):
    """P -> ifs -> j: each arm is (takes, verdict)."""
    graph = Graph("g").add_producer("p", [0]).add_node("j", join=join, takes=1)
    for i, (takes, verdict) in enumerate(arms):
        graph.add_if(f"if{i}", lambda _, v=verdict: v, takes=takes).add_edge("p", f"if{i}")
        graph.add_edge(f"if{i}", "j", when=True)
    return graph.set_loop("p", **loop)


def test_an_n_join_is_bypassed_as_soon_as_n_cannot_be_reached():
    """Two of four: the third no decides, at 3, while one in-edge is still open."""
    graph = verdicts(2, (1, False), (2, False), (3, False), (9, True))
    graph.add_node("other").add_node("k", takes=1).add_edge("p", "other", "k").add_edge("j", "k")
    sim = graph.simulate(until=99)
    assert calls(sim, "j") == []
    assert calls(sim, "k") == [(3, 4)], "k waits for all, and j was settled at 3"


def test_an_n_join_that_is_bypassed_no_longer_holds_its_producer():
    """It was awaited from the yes at 1; at 4 it cannot run any more; the last if is detached."""
    graph = verdicts(3, (1, True), (4, False), (9, True), await_policy="node")
    graph.add_node("gate", kind="non_blocking").add_edge("p", "gate").remove_edge("p", "if2")
    graph.add_edge("gate", "if2").remove_edge("p", "if1").add_edge("gate", "if1")
    sim = graph.simulate(until=99)
    assert calls(sim, "if2") == [(0, 9)]
    assert sim.releases("p") == [4], "had the if at 4 said yes, j might have come"
    assert times(sim, "settled") == [9]


def test_tokens_that_come_after_an_n_join_was_bypassed_are_ignored():
    sim = verdicts(3, (1, False), (2, True), (3, True), (4, True)).simulate(until=99)
    assert calls(sim, "j") == [(4, 5)]
    sim = verdicts(3, (1, False), (2, False), (3, True), (4, True)).simulate(until=99)
    assert calls(sim, "j") == []
    assert sim.releases("p") == [4]


def test_a_failed_in_edge_does_not_stop_an_n_join_that_can_still_be_reached():
    got = []
    graph = race(("a", boom, {"takes": 1}), ("b", 2), ("c", 3), join=2, got=got)
    assert calls(graph.simulate(until=99), "j") == [(3, 4)]
    assert got == [{"b": "b", "c": "c"}]


def test_an_n_join_of_the_arms_of_one_if_merges_and_passes_the_payload_as_it_is():
    got = []
    graph = (
        Graph("g").add_producer("p", [7]).add_if("?", lambda _: True).add_node("y").add_node("n")
    )
    graph.add_node("j", seen(got), join=1).add_edge("p", "?")
    graph.add_edge("?", "y", "j", when=True).add_edge("?", "n", "j", when=False)
    graph.simulate(until=9)
    assert got == [7]


@pytest.mark.parametrize("join", ["first", 2])
def test_each_item_of_a_loop_has_joins_of_its_own(join):
    graph = race(("a", 3), ("b", 1), join=join, source=range(4), await_policy="none")
    graph.add_node("j", join=join, takes=1).add_producer("p", range(4), every=1)
    sim = graph.simulate(until=99)
    due = 1 if join == "first" else 3
    assert calls(sim, "j") == [(i + due, i + due + 1) for i in range(4)]


# -- live ----------------------------------------------------------------------

POOLS = pytest.mark.parametrize("pool", ["thread", "asyncio"])


@pytest.mark.wallclock
@POOLS
@live
async def test_live_an_async_loser_is_cancelled(pool):
    log = []

    async def slow(_):
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            log.append("cancelled")
            raise

    async def quick(x):
        await asyncio.sleep(0.05)
        return x

    orch = race(("a", slow, {}), ("b", quick, {}), source=range(3), pool=pool).start()
    status = await orch.wait(timeout=30)
    assert not status.timed_out
    assert log == ["cancelled"] * 3
    m = orch.metrics()["p"]
    assert (m.done, m.open, m.nodes["a"].abandoned, m.nodes["a"].calls) == (3, 0, 0, 0)
    await orch.stop()


@pytest.mark.wallclock
@pytest.mark.parametrize("options", [{}, {"timeout": 9}])
@POOLS
@live
async def test_live_a_sync_loser_is_abandoned_counted_and_heard_of_no_more(pool, options):
    go, log = threading.Event(), []

    def slow(x, ctx):
        go.wait(40)
        log.append("after all")
        try:
            ctx.push("q", "late")
        except Exception as error:  # noqa: BLE001 - what the push of a loser raises
            log.append(type(error).__name__)
        return "late"

    def quick(x):
        time.sleep(0.02)
        return "b"

    got = []
    graph = race(("a", slow, options), ("b", quick, {}), got=got, pool=pool)
    graph.add_queue("q", external=True).add_node("none").add_edge("j", "none", "q")
    orch = graph.start()
    try:
        status = await orch.wait(timeout=30)
        assert not status.timed_out, "nobody waits for the thread"
        m = orch.metrics()["p"]
        assert (got, m.done, m.open) == (["b"], 1, 0)
        assert m.nodes["a"].calls == 0
    finally:
        go.set()
    await until(lambda: len(log) == 2, "the thread runs to its end")
    stats = await orch.queues.stats("q")
    await orch.stop()
    assert log == ["after all", "NodeTimeout"], "what it did stays done, what it does is discarded"
    assert stats.depth == 1, "that of j"
    assert m.nodes["a"].abandoned == 1


@pytest.mark.wallclock
@POOLS
@live
async def test_live_an_abandoned_loser_gives_its_limit_back_when_its_thread_ends(pool):
    """Until then it does use what the limit protects."""
    go, begun, limit = threading.Event(), [], Limit(concurrency=1)

    def slow(x):
        begun.append(x)
        go.wait(40)
        return "a"

    def quick(x):
        time.sleep(0.05)
        return x == 0

    graph = Graph("g").add_producer("p", range(2)).add_node("a", slow, limit=limit)
    graph.add_if("b", quick).add_node("j", join="first", keep=2)
    graph.add_edge("p", "a", "j").add_edge("p", "b").add_edge("b", "j", when=True)
    orch = graph.set_loop("p", pool=pool).start()
    try:
        await orch.wait(iterations=1, timeout=30)
        await asyncio.sleep(0.1)
        assert begun == [0]
    finally:
        go.set()
    status = await orch.wait(timeout=30)
    assert not status.timed_out
    assert begun == [0, 1]
    assert orch.outputs("j") == [0, "a"]
    await orch.stop()


# -- first, with the others left alone -------------------------------------------


def test_what_first_leaves_behind_works_on_if_it_is_not_cancelled():
    got = []
    graph = race(*ABC, got=got, await_policy="all").add_node(
        "j", seen(got), join="first", cancel=False, takes=1
    )
    sim = graph.simulate(until=99)
    assert got == ["b"]
    assert calls(sim, "j") == [(1, 2)]
    assert (calls(sim, "a"), calls(sim, "c")) == ([(0, 3)], [(0, 5)])
    assert times(sim, "settled") == sim.releases("p") == [5]


def test_the_explanation_of_a_first_that_cancels_nobody_is_the_simulated_one():
    for policy in POLICIES:
        graph = race(*ABC, await_policy=policy).add_node("j", join="first", cancel=False, takes=1)
        assert graph.explain().release("p") == graph.simulate(until=99).releases("p")[0], policy


def test_cancel_is_refused_where_nothing_is_cancelled():
    with pytest.raises(GraphError, match="'j': cancel=False is for join='first'"):
        race(*ABC).add_node("j", join="all", cancel=False).simulate(until=99)
