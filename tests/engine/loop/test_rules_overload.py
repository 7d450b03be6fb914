"""Section 3.6: what happens to whom when all in-flight slots are taken?"""

from __future__ import annotations

import asyncio
import gc
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flownb import Graph, Limit, Retry
from flownb.errors import InFlightFull
from flownb.model.policies import AWAIT_POLICIES
from tests.support.lab import Bench, calls, fan, waits
from tests.support.live import live, until

MODES = ["drop_newest", "drop_oldest", "error"]
DROPS = MODES[:2]
N = {"kind": "non_blocking"}


def burst(when_full, *, slots=2, takes=10, source=range(5), every=3, **loop):
    """An item every 3 seconds, of which 10 seconds are detached: two slots are too few."""
    graph = fan(("n", None, {**N, "takes": takes}), source=source, every=every)
    return graph.set_loop("p", max_in_flight=slots, when_full=when_full, **loop)


def dropped(sim):
    """[(second, iteration)] of each part that was dropped."""
    return [(e.time, e.iteration) for e in sim.events if e.kind == "dropped"]


# -- each mode, exactly --------------------------------------------------------


def test_drop_newest_does_not_start_the_detached_part_of_an_item_that_finds_no_slot():
    sim = burst("drop_newest").simulate(until=99)
    assert calls(sim, "n") == [(0, 10), (3, 13), (12, 22)]
    assert sim.releases("p") == [0, 3, 6, 9, 12]
    assert dropped(sim) == [(6, 2), (9, 3)]


def test_drop_oldest_ends_the_detached_part_of_the_oldest_item_and_gives_its_slot_to_the_newest():
    sim = burst("drop_oldest").simulate(until=99)
    assert calls(sim, "n") == [(9, 19), (12, 22)], "what was cancelled has no span"
    assert sim.releases("p") == [0, 3, 6, 9, 12]
    assert dropped(sim) == [(6, 0), (9, 1), (12, 2)]
    assert sim.metrics["p"].peak_in_flight == 2


def test_error_fails_the_node_that_finds_no_slot():
    sim = burst("error").simulate(until=99)
    assert calls(sim, "n") == [(0, 10), (3, 13), (12, 22)]
    assert sim.releases("p") == [0, 3, 6, 9, 12]
    assert [(f.node, f.iteration, type(f.error)) for f in sim.failures()] == [
        ("n", 2, InFlightFull), ("n", 3, InFlightFull),
    ]  # fmt: skip
    assert "max_in_flight=2" in str(sim.failures()[0].error)
    assert dropped(sim) == []


def test_when_there_are_fewer_slots_now_drop_oldest_drops_as_many_as_there_are_too_many():
    graph = burst("drop_oldest", slots=3)
    bench = Bench(graph)
    bench.at(7, lambda: graph.set_loop("p", max_in_flight=1, when_full="drop_oldest"))
    bench.edit(7).run()
    assert dropped(bench) == [(9, 0), (9, 1), (9, 2), (12, 3)]
    assert calls(bench, "n") == [(12, 22)]


@pytest.mark.parametrize("mode", MODES)
def test_no_producer_ever_waits_for_a_slot_unless_it_blocks(mode):
    sim = burst(mode, slots=1, every=None).simulate(until=99)
    assert sim.releases("p") == [0] * 5
    assert waits(sim, "p", "throttled") == waits(sim, "n", "throttled") == []


@pytest.mark.parametrize("mode", DROPS)
def test_a_dropped_part_is_counted_and_its_item_is_done(mode):
    m = burst(mode).simulate(until=99).metrics["p"]
    assert (m.produced, m.done, m.failed, m.open, m.in_flight) == (5, 5, 0, 0, 0)
    assert m.dropped == (2 if mode == "drop_newest" else 3)
    assert m.state == "completed"


def test_a_part_of_many_nodes_is_dropped_as_one():
    graph = burst("drop_newest")
    for name in "abc":
        graph.add_node(name, **N, takes=10).add_edge("p", name)
    sim = graph.simulate(until=99)
    assert dropped(sim) == [(6, 2), (9, 3)]
    assert calls(sim, "a") == calls(sim, "n")


@pytest.mark.parametrize("mode", MODES)
def test_the_awaited_part_of_such_an_item_runs_as_ever(mode):
    graph = burst(mode, every=None).add_node("b", takes=3).add_edge("p", "b")
    sim = graph.simulate(until=99)
    assert calls(sim, "b") == [(3 * i, 3 * i + 3) for i in range(5)]
    assert sim.releases("p") == [3, 6, 9, 12, 15]


def test_no_part_of_a_dropped_item_starts_later_even_when_there_is_a_slot_again():
    """At 9 the slot is taken and n of item 1 is dropped; at 14, m could have one."""
    graph = Graph("g").add_producer("p", range(2), every=9).add_node("b", takes=5)
    graph.add_node("n", **N, takes=10).add_node("m", **N, takes=1)
    graph.add_edge("p", "n").add_edge("p", "b", "m")
    graph.set_loop("p", max_in_flight=1, when_full="drop_newest", await_policy="blocking")
    sim = graph.simulate(until=99)
    assert calls(sim, "n") == [(0, 10)]
    assert calls(sim, "m") == [(5, 6)], "that of item 0"
    assert dropped(sim) == [(9, 1)]


@pytest.mark.parametrize("mode", DROPS)
@pytest.mark.parametrize("join", ["all", "first", 2])
def test_a_detached_join_that_waits_for_a_dropped_node_does_not_keep_its_item_open(mode, join):
    """The join hears of b, which is awaited, and never of n, which was dropped."""
    graph = Graph("g").add_producer("p", range(3), every=9).add_node("b", takes=5)
    graph.add_node("n", **N, takes=10).add_node("j", **N, takes=1, join=join)
    graph.add_edge("p", "n", "j").add_edge("p", "b", "j")
    graph.set_loop("p", max_in_flight=1, when_full=mode, await_policy="blocking")
    m = graph.simulate(until=999).metrics["p"]
    assert (m.state, m.produced, m.done, m.open, m.in_flight) == ("completed", 3, 3, 0, 0)


def test_a_dropped_join_does_not_run_when_its_last_in_edge_dies():
    """Quick has ended, j waits for the verdict; the item is dropped, then the if says no."""
    graph = Graph("g").add_producer("p", range(2), every=11)
    graph.add_node("quick", **N, takes=1).add_node("slow", **N, takes=4)
    graph.add_if("no?", lambda _: False, takes=12).add_node("j", **N, takes=1)
    graph.add_node("b", takes=1).add_edge("p", "b").add_edge("p", "quick", "j")
    graph.add_edge("p", "slow").add_edge("p", "no?").add_edge("no?", "j", when=True)
    graph.set_loop("p", max_in_flight=1, when_full="drop_oldest", await_policy="blocking")
    sim = graph.simulate(until=99)
    assert [(s.iteration, s.start) for s in sim.timeline if s.node == "j"] == [(1, 23)]
    assert dropped(sim) == [(11, 0)]


# -- at the release ------------------------------------------------------------


def unproven(mode, **more):
    """Under path_live a may be awaited, until b says that no B comes: then it is in flight."""
    graph = Graph("g").add_producer("p", range(3), every=5).add_if("b?", lambda _: False, takes=1)
    graph.add_node("b").add_node("a", takes=20, **N, **more)
    graph.add_edge("p", "b?").add_edge("b?", "b", when=True).add_edge("b?", "a", when=False)
    options = {"max_in_flight": 1, "when_full": mode, "await_policy": "path_live"}
    return graph.set_loop("p", **options)


def live_arm(mode):
    """The arm of d: its B may come until 1, its a runs from 0 to 20 and is not detached."""
    graph = Graph("g").add_producer("p", range(3), every=5).add_node("d", **N)
    graph.add_if("b?", lambda _: False, takes=1).add_node("b").add_node("a", **N, takes=20)
    graph.add_edge("p", "d", "b?").add_edge("b?", "b", when=True).add_edge("d", "a")
    return graph.set_loop("p", max_in_flight=1, when_full=mode, await_policy="path_live")


@pytest.mark.parametrize("make", [unproven, live_arm])
def test_what_is_open_at_the_release_under_path_live_is_dropped_then(make):
    sim = make("drop_newest").simulate(until=999)
    m = sim.metrics["p"]
    assert [s.iteration for s in sim.timeline if s.node == "a"] == [0]
    assert sim.releases("p") == [1, 6, 11]
    assert dropped(sim) == [(6, 1), (11, 2)]
    assert (m.state, m.done, m.in_flight) == ("completed", 3, 0)


@pytest.mark.parametrize("make", [unproven, live_arm])
def test_at_the_release_under_path_live_the_oldest_gives_its_slot_up(make):
    sim = make("drop_oldest").simulate(until=999)
    assert [s.iteration for s in sim.timeline if s.node == "a"] == [2]
    assert dropped(sim) == [(6, 0), (11, 1)]
    assert sim.metrics["p"].peak_in_flight == 1


@pytest.mark.parametrize("make", [unproven, live_arm])
def test_at_the_release_under_path_live_the_node_that_is_open_fails(make):
    sim = make("error").simulate(until=999)
    assert sim.releases("p") == [1, 6, 11]
    assert [(f.node, f.iteration) for f in sim.failures()] == [("a", 1), ("a", 2)]
    assert {type(f.error) for f in sim.failures()} == {InFlightFull}
    assert [s.iteration for s in sim.timeline if s.node == "a"] == [0]
    assert sim.metrics["p"].in_flight == 0


@pytest.mark.parametrize("end", ["error", "stopped"])
def test_a_loop_that_was_ended_holds_no_slot(end):
    """What is cancelled with its loop is in flight no more."""
    graph = burst("block", slots=9, on_error="stop")
    if end == "error":
        graph.add_node("f", lambda x: 1 // (2 - x)).add_edge("p", "f")
    bench = Bench(graph)
    if end == "stopped":
        bench.at(7.0, bench.manager.control.stop, 0.0)
    m = bench.run().metrics
    assert (m.state, m.open) == (end, 0)
    assert m.in_flight == 0


# -- what a dropped part does not do -------------------------------------------


@pytest.mark.parametrize("mode", DROPS)
def test_a_dropped_part_pushes_nothing_more(mode):
    """A queue node, an async ctx.push and a sync one, which appears at the end of its node."""

    async def later(x, ctx):
        await ctx.sleep(10)
        await ctx.push("q", f"async {x}")

    def at_end(x, ctx):
        ctx.push("q", f"sync {x}")

    got = []
    graph = burst(mode, slots=1, source=range(3)).add_queue("q").add_edge("n", "q")
    graph.add_node("later", later, **N).add_edge("p", "later")
    graph.add_node("at_end", at_end, **N, takes=10).add_edge("p", "at_end")
    graph.add_queue_reader("r", queue="q").add_node("see", lambda x: got.append(x))
    graph.add_edge("r", "see").simulate(until=99)
    who = 0 if mode == "drop_newest" else 2
    assert sorted(map(str, got)) == sorted([str(who), f"async {who}", f"sync {who}"])


def test_what_it_has_pushed_before_stays_pushed():
    async def early(x, ctx):
        await ctx.push("q", x)
        await ctx.sleep(10)

    got = []
    graph = burst("drop_oldest", slots=1, source=range(3)).add_queue("q", external=True)
    graph.add_node("early", early, **N).add_edge("p", "early").add_edge("early", "q")
    graph.add_queue_reader("r", queue="q").add_node("see", lambda x: got.append(x))
    graph.add_edge("r", "see").simulate(until=20)
    assert [x for x in got if x is not None] == [0, 1, 2]


@pytest.mark.parametrize("mode", MODES)
def test_the_message_of_an_item_is_acked_though_its_detached_part_was_dropped_or_failed(mode):
    left = []

    async def look(_, ctx):
        stats = await ctx._runtime.queues.stats("q")
        left.append((stats.depth, stats.backlog))

    graph = Graph("g").add_producer("w", range(5)).add_queue("q").add_edge("w", "q")
    graph.add_queue_reader("r", queue="q").add_node("n", **N, takes=10).add_edge("r", "n")
    graph.set_loop("r", max_in_flight=2, when_full=mode)
    graph.add_producer("looker", [0], takes=5).add_node("look", look).add_edge("looker", "look")
    sim = graph.simulate(until=99)
    assert left == [(2, 2)], "two are still at work at 5, three are done with"
    assert sim.metrics["r"].state == "completed"


@pytest.mark.parametrize("policy", ["skip", "dead_letter", "pause", "stop"])
def test_on_error_acts_on_an_item_that_found_no_slot(policy):
    m = burst("error", on_error=policy).simulate(until=99).metrics["p"]
    expected = {"skip": "completed", "dead_letter": "completed", "pause": "paused", "stop": "error"}
    assert m.state == expected[policy]
    assert m.failed == (2 if policy in {"skip", "dead_letter"} else 1)


def test_an_item_that_found_no_slot_is_offered_again_after_a_pause():
    bench = Bench(burst("error", on_error="pause", source=range(3)))
    bench.at(30, bench.manager.control.resume).run()
    assert [s.iteration for s in bench.timeline if s.node == "n"] == [0, 1, 3]
    assert calls(bench, "n") == [(0, 10), (3, 13), (30, 40)]


# -- with limits, retries, async nodes -----------------------------------------


@pytest.mark.parametrize("takes", [10, 0])
def test_a_call_that_is_dropped_while_it_waits_for_its_limit_never_runs(takes):
    limit = Limit(concurrency=1)
    graph = burst("drop_oldest").add_node("n", **N, takes=takes + 10, limit=limit)
    sim = graph.simulate(until=99)
    # 0 runs at 0 and is dropped at 6: then 1 runs, until it is dropped at 9, and so on
    assert [(s.iteration, s.start) for s in sim.timeline if s.node == "n" and s.kind == "work"] == [
        (3, 12), (4, 22 + takes),
    ]  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("options", [{}, {"timeout": 50}, {"retry": Retry(on=ValueError)}])
def test_a_dropped_call_gives_its_limit_back(mode, options):
    """Also one whose task has not had its first turn: it is dropped the moment it starts."""

    async def slow(_, ctx):
        await ctx.sleep(10)

    for every in (3, None):
        graph = burst(mode, slots=1, every=every).add_node(
            "n", slow, **N, limit=Limit(concurrency=1), **options
        )
        sim = graph.simulate(until=999)
        assert sim.metrics["p"].state == "completed", every
        assert sim.metrics["p"].in_flight == 0
    gc.collect()


@pytest.mark.parametrize("mode", DROPS)
def test_a_call_between_two_attempts_is_dropped_too(mode):
    tries = []

    def never(x):
        tries.append(x)
        raise ValueError

    retry = Retry(on=ValueError, attempts=3, wait_initial=4)
    sim = burst(mode, slots=1, source=range(2)).add_node("n", never, **N, retry=retry)
    sim = sim.simulate(until=99)
    assert tries == ([0, 0, 0] if mode == "drop_newest" else [0, 1, 1, 1])
    assert len(sim.failures()) == 1


def test_an_async_call_that_is_dropped_is_cancelled_where_it_stands():
    ends = []

    async def slow(x, ctx):
        try:
            await ctx.sleep(10)
        except asyncio.CancelledError:
            ends.append((x, ctx.clock.time()))
            raise

    burst("drop_oldest", source=range(3)).add_node("n", slow, **N).simulate(until=99)
    assert ends == [(0, 6)]


# -- live ----------------------------------------------------------------------

POOLS = pytest.mark.parametrize("pool", ["thread", "asyncio"])


@pytest.mark.wallclock
@POOLS
@live
async def test_live_the_oldest_async_call_is_cancelled_and_the_newest_has_its_slot(pool):
    ends = []

    async def slow(x):
        try:
            await asyncio.sleep(0.1 if x == 3 else 60)
        except asyncio.CancelledError:
            ends.append(f"{x} cancelled")
            raise
        ends.append(f"{x} done")

    graph = burst("drop_oldest", slots=1, source=range(4), every=0.02, pool=pool)
    orch = graph.add_node("n", slow, **N, limit=Limit(concurrency=1)).start()
    status = await orch.wait(timeout=30)
    m = orch.metrics()["p"]
    await orch.stop()
    assert not status.timed_out
    assert ends == ["0 cancelled", "1 cancelled", "2 cancelled", "3 done"]
    assert (m.done, m.dropped, m.in_flight, m.nodes["n"].abandoned) == (4, 3, 0, 0)


@pytest.mark.wallclock
@POOLS
@live
async def test_live_the_oldest_sync_call_is_left_behind_and_counted(pool):
    go, ends = threading.Event(), []

    def slow(x, ctx):
        go.wait(40)
        try:
            ctx.push("q", x)
            ends.append(f"{x} pushed")
        except Exception as error:  # noqa: BLE001 - what the push of a dropped call raises
            ends.append(f"{x} {type(error).__name__}")

    graph = burst("drop_oldest", slots=1, source=range(3), every=0.05, pool=pool)
    graph.add_node("n", slow, **N).add_queue("q", external=True)
    graph.add_node("never").add_if("no?", lambda _: False).add_edge("p", "no?")
    orch = graph.add_edge("no?", "q", when=True).add_edge("no?", "never", when=True).start()
    try:
        await orch.wait(iterations=3, timeout=30)
        await until(lambda: orch.metrics()["p"].dropped == 2)
        assert orch.metrics()["p"].in_flight == 1
    finally:
        go.set()
    status = await orch.wait(timeout=30)
    await until(lambda: len(ends) == 3)
    m = orch.metrics()["p"]
    await orch.stop()
    assert not status.timed_out
    assert sorted(ends) == ["0 NodeTimeout", "1 NodeTimeout", "2 pushed"]
    assert (m.done, m.nodes["n"].calls, m.nodes["n"].abandoned) == (3, 1, 2)


# -- whatever happens ----------------------------------------------------------

seconds = st.sampled_from([0, 0, 0.5, 1, 2.5, 7])
node = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["blocking", "non_blocking", "non_blocking"]),
        "takes": seconds,
        "how": st.sampled_from(["plain", "plain", "async", "if"]),
    },
    optional={
        "fail": st.sampled_from([0.1, 0.5, [0, 3]]),
        "retry": st.just(Retry(on=Exception, attempts=2, wait_initial=0.5)),
        "timeout": st.sampled_from([1, 3]),
        "limit": st.sampled_from([1, 2, "shared"]),
        "join": st.sampled_from(["first", "first", 1, 2, 3]),
    },
)
loops = st.fixed_dictionaries(
    {
        "max_in_flight": st.sampled_from([1, 1, 2, 5]),
        "when_full": st.sampled_from(["block", *MODES]),
        "await_policy": st.sampled_from(AWAIT_POLICIES),
        "start_rule": st.sampled_from(["dataflow", "dataflow", "level", "sequential"]),
        "on_error": st.sampled_from(["skip", "skip", "dead_letter", "pause", "stop"]),
    }
)
many = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


async def same(x):
    await asyncio.sleep(0.5)
    return x


@st.composite
def overloads(draw):
    """A loop of up to 8 nodes in any shape, with too few slots."""
    every = draw(st.sampled_from([None, 0.5, 2]))
    graph = Graph("any").add_producer("p", range(draw(st.integers(1, 12))), every=every)
    shared, before = Limit(concurrency=1), ["p"]
    for i in range(draw(st.integers(1, 8))):
        options, name = draw(node), f"n{i}"
        sources = draw(st.lists(st.sampled_from(before), min_size=1, max_size=3, unique=True))
        how, limit, join = options.pop("how"), options.pop("limit", None), options.pop("join", 1)
        if limit:
            options["limit"] = shared if limit == "shared" else Limit(concurrency=limit)
        if join == "first" or 1 < join <= len(sources):
            options["join"] = join
        if how == "if":
            graph.add_if(name, lambda _, i=i: i % 2, takes=options["takes"])
        else:
            graph.add_node(name, same if how == "async" else None, **options)
        for source in sources:
            is_if = graph.nodes[source].kind == "if"
            graph.add_edge(
                source, name, when=draw(st.sampled_from([True, False])) if is_if else None
            )
        before.append(name)
    for name in before:  # an if must lead somewhere
        if graph.nodes[name].kind == "if" and not any(
            e.source == name for e in graph.edges.values()
        ):
            graph.add_node(f"end of {name}").add_edge(name, f"end of {name}", when=True)
    return graph.set_loop("p", **draw(loops))


@many
@given(overloads())
def test_slots_are_never_more_than_there_are_and_all_come_back(graph):
    size = graph.loop_options("p").max_in_flight
    for end in (3, 10_000):
        m = graph.simulate(until=end).metrics["p"]
        assert m.in_flight <= m.peak_in_flight <= size
        assert m.produced == m.done + m.failed + m.open + m.cancelled
        assert m.dropped <= m.done + m.failed + m.open
    assert m.state in {"completed", "paused", "error"}
    if m.state == "completed":
        assert (m.open, m.in_flight, m.cancelled) == (0, 0, 0)
        assert m.released == m.produced
    if m.state == "paused":
        assert (m.open, m.in_flight) == (0, 0), "all settle while it is paused"


@many
@given(overloads())
def test_an_item_that_holds_no_slot_has_nothing_in_flight(graph):
    """Of all items that are released and not settled, each holds a slot at every moment."""
    sim = graph.simulate(until=10_000)
    flying = most = 0
    for kind in (e.kind for e in sorted(sim.events, key=lambda e: e.time) if e.kind in STEPS):
        flying += STEPS[kind]
        most = max(most, flying)
    # an item that settles at its release tells both at once, so there may be one more
    assert most <= graph.loop_options("p").max_in_flight + 1


STEPS = {"released": 1, "settled": -1, "tick_failed": 0}
