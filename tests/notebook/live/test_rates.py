"""Do counters become the rates, shares and warnings that a person needs?"""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flownb import Graph, Limit
from flownb.engine.observe.history import open_calls, open_seconds
from flownb.notebook.live.alerts import alerts
from flownb.notebook.live.dashboard import DashboardFigures
from flownb.notebook.live.rates import RunRates, Sample
from flownb.plan.compiler import compile_plan
from flownb.queues.spec import GroupStats, QueueSpec, QueueStats
from flownb.records.metrics import LoopMetrics, LoopStatus, NodeMetrics, Status
from tests.support.lab import Bench, chain, fan


def followed(graph, until=30.0, every=0.25, **control):
    """The rates of a loop on a virtual clock, looked at every so many seconds."""
    bench, rates = Bench(graph), RunRates()

    def look():
        nodes, kinds = open_seconds("p", open_calls(bench.manager))
        rates.add(
            Sample(
                bench.loop.time(), {"p": bench.metrics}, {"p": nodes}, {"p": kinds},
                {"p": bench.manager.plan},
            )
        )  # fmt: skip

    for i in range(int(until / every) + 1):
        bench.at(i * every + 1e-4, look)
    for second, verb in control.items():
        bench.at(float(second[1:]), getattr(bench.manager, verb))
    bench.at(until + 2 * every, bench.manager.control.stop, 0).run()
    return rates, bench


def rates_of(*samples):
    rates = RunRates()
    for sample in samples:
        rates.add(sample)
    return rates


def status(loop="p", state="running", **more):
    return Status("g", (LoopStatus(loop, state, "thread", **more),))


def words(rates, found=None, specs=()):
    return [a.text for a in alerts(found or status(), rates, specs)]


# -- rates and shares ----------------------------------------------------------


def test_the_rate_is_that_of_the_last_seconds():
    rates, _ = followed(chain(("a", None, {"takes": 0.05}), every=0.1))
    assert rates.rate("p") == pytest.approx(10, rel=0.03)
    assert rates.ring("p")[-20:] == pytest.approx([10] * 20, rel=0.11)


def test_the_rate_of_a_slow_loop_is_taken_over_a_longer_time():
    rates, _ = followed(chain("a", every=4), until=58)
    assert rates.rate("p") == pytest.approx(0.25, rel=0.1)


def test_the_ring_holds_a_minute_and_no_more():
    rates, _ = followed(chain("a", every=0.5), until=100, every=0.5)
    assert len(rates.ring("p")) == 60
    assert len(rates._samples) <= 21


def test_the_producer_s_time_is_split_into_working_and_waiting():
    rates, _ = followed(chain(("a", None, {"takes": 0.3}), takes=0.1))
    assert rates.split("p") == pytest.approx((0.25, 0.75, 0), abs=0.03)
    assert rates.held_by("p") == "a"


def test_a_wait_counts_before_it_has_ended():
    rates, _ = followed(chain(("a", None, {"takes": 1000}), takes=0.1), until=20)
    assert rates.split("p") == pytest.approx((0, 1, 0), abs=0.01)
    assert rates.held_by("p") == "a"


def test_a_throttled_producer_is_not_waiting():
    graph = fan(("n", None, {"kind": "non_blocking", "takes": 2})).set_loop("p", max_in_flight=2)
    rates, _ = followed(graph)
    assert rates.split("p") == pytest.approx((0, 0, 1), abs=0.02)
    assert rates.held_by("p") == ""


def test_a_loop_that_waits_for_its_clock_is_held_by_nobody():
    rates, _ = followed(chain(("a", None, {"takes": 0.01}), every=1))
    assert rates.held_by("p") == ""


def test_a_loop_that_starts_anew_counts_from_nothing():
    at = [LoopMetrics("p", produced=n, released=n, failed=n) for n in (90, 100, 0, 10, 20)]
    rates = rates_of(*(Sample(second, {"p": m}) for second, m in enumerate(at)))
    assert rates.rate("p") == 10
    assert rates.ring("p") == [10, 10]
    assert words(rates)[0].startswith("p: 20 of the last 20 items failed")


@given(
    st.floats(0, 2, allow_subnormal=False),
    st.floats(0, 2, allow_subnormal=False),
    st.integers(1, 4),
)
def test_the_shares_are_never_more_than_the_whole(makes, takes, slots):
    graph = fan(
        ("a", None, {"takes": round(takes, 2)}),
        ("n", None, {"kind": "non_blocking", "takes": 1.0}),
        takes=round(makes, 2) + 0.05,
    ).set_loop("p", max_in_flight=slots)
    rates, _ = followed(graph, until=12)
    shares = rates.split("p")
    assert all(0 <= share <= 1 for share in shares)
    assert sum(shares) <= 1 + 1e-9


# -- warnings in words ---------------------------------------------------------


def queued(depth, *, at, pending=0, **groups):
    found = tuple(GroupStats(name, n, 0) for name, n in groups.items())
    stats = QueueStats("wet_days", depth, depth - pending, pending, found)
    return Sample(at, {"p": LoopMetrics("p")}, queues={"wet_days": stats})


def test_a_queue_that_grows_asks_for_a_reader():
    rates = rates_of(*(queued(12 * s, at=s) for s in range(8)))
    assert rates.growth("wet_days") == 12
    said = words(rates, specs=[QueueSpec("wet_days")])
    assert said == ["wet_days grows 12/s, 84 wait; no loop here reads it: add a queue reader"]


def test_a_broadcast_queue_that_grows_names_who_is_behind():
    rates = rates_of(*(queued(9 * s, at=s, rank=1, store=9 * s) for s in range(8)))
    said = words(rates, specs=[QueueSpec("wet_days", "broadcast")])
    assert said == ["wet_days grows 9/s, 63 wait; store is furthest behind"]


def test_a_short_burst_or_a_queue_that_shrinks_is_no_alarm():
    spec = [QueueSpec("wet_days")]
    assert words(rates_of(queued(0, at=0), queued(5, at=1)), specs=spec) == []
    assert words(rates_of(*(queued(900 - s, at=s) for s in range(9))), specs=spec) == []


def test_a_full_queue_says_what_a_push_does():
    rates = rates_of(queued(10, at=0), queued(10, at=6))
    unread = "no loop here reads it: add a queue reader"
    assert words(rates, specs=[QueueSpec("wet_days", maxlen=10)]) == [
        f"wet_days is full (10 messages), who pushes waits; {unread}"
    ]
    assert words(rates, specs=[QueueSpec("wet_days", maxlen=10, when_full="drop_oldest")]) == [
        f"wet_days is full (10 messages), it drops the oldest; {unread}"
    ]


def test_missed_ticks_say_whom_the_loop_waits_for():
    rates, _ = followed(chain(("a", None, {"takes": 0.35}), every=0.1), until=20.5)
    (said,) = words(rates)
    assert said.startswith("p is held back by a, 0.35 s an item: make a faster, or let p not wait")
    assert said.endswith(" ticks missed)")


def test_a_throttled_loop_names_the_slow_detached_node():
    graph = fan(
        ("quick", None, {"kind": "non_blocking", "takes": 0.1}),
        ("heavy", None, {"kind": "non_blocking", "takes": 2}),
    ).set_loop("p", max_in_flight=3)
    rates, _ = followed(graph)
    (said,) = words(rates)
    assert said == (
        "p is held back by heavy, 2 s an item: all 3 slots are taken:"
        " make heavy faster, or raise max_in_flight=3"
    )


def photos():
    return (
        Graph("photos").add_producer("cam", every=0.1).add_node("crop")
        .add_queue("shots", maxlen=4).add_edge("cam", "crop", "shots")
        .add_queue_reader("lab", queue="shots").add_node("develop").add_queue("prints", maxlen=2)
        .add_edge("lab", "develop", "prints")
        .add_queue_reader("desk", queue="prints").add_node("frame").add_edge("desk", "frame")
    )  # fmt: skip


def backed_up(graph, slow, depths, *, takes=1.0):
    """Rates of a graph in which one node works and whoever is before it waits."""
    plans = {loop: compile_plan(graph, loop) for loop in graph.producers}
    loops = list(plans)
    at = loops.index(next(x for x, plan in plans.items() if slow in [n.name for n in plan.nodes]))

    def metrics(loop, s):
        works = round(s / takes)
        nodes = {
            n.name: NodeMetrics(n.name, "healthy", works, total=s if n.name == slow else 0.0)
            for n in plans[loop].nodes
        }
        before = loops.index(loop) < at
        seconds = {"throttled": float(s)} if before else {"waiting": float(s)}
        missed = 9 * s if loop == "cam" else 0
        more = {"produced": works, "released": works, "overruns": missed, "elapsed": float(s)}
        return LoopMetrics(loop, "running", nodes=nodes, **more, **seconds)

    stats = {q: QueueStats(q, depth, depth, 0, ()) for q, depth in depths.items()}
    samples = (
        Sample(s, {loop: metrics(loop, s) for loop in loops}, plans=plans, queues=stats)
        for s in range(8)
    )
    states = Status("g", tuple(LoopStatus(loop, "running", "thread") for loop in loops))
    return rates_of(*samples), states


SHOTS, PRINTS = QueueSpec("shots", maxlen=4), QueueSpec("prints", maxlen=2)


def test_overload_names_who_holds_everything_back_and_the_remedy():
    rates, states = backed_up(photos(), "develop", {"shots": 4, "prints": 0})
    (said,) = alerts(states, rates, [SHOTS, PRINTS])
    assert said.text == (
        "cam is held back by develop, 1 s an item, through the full queue shots:"
        " add a reader of shots or make develop faster (45 of 50 ticks missed)"
    )
    assert (said.loop, said.node) == ("cam", "develop")


def test_the_root_is_found_through_several_full_queues():
    rates, states = backed_up(photos(), "frame", {"shots": 4, "prints": 2})
    said = [a for a in alerts(states, rates, [SHOTS, PRINTS]) if a.loop == "cam"]
    assert said[0].text.startswith(
        "cam is held back by frame, 1 s an item, through the full queues prints and shots:"
        " add a reader of prints or make frame faster"
    )


def test_a_limit_that_is_always_busy_is_the_root():
    graph = photos()
    graph.nodes["develop"] = replace(graph.nodes["develop"], limit=Limit(concurrency=1))
    rates, states = backed_up(graph, "develop", {"shots": 4, "prints": 0})
    (said,) = words(rates, states, [SHOTS, PRINTS])
    assert "develop, 1 s an item, under Limit(concurrency=1), through the full queue shots" in said
    assert "widen the limit of develop" in said


def test_a_reader_that_is_paused_is_the_root():
    rates, states = backed_up(photos(), "develop", {"shots": 4, "prints": 0})
    loops = [replace(s, state="paused") if s.loop == "lab" else s for s in states.loops]
    (said,) = words(rates, replace(states, loops=tuple(loops)), [SHOTS, PRINTS])
    assert said.startswith(
        "cam is held back by lab, which is paused, through the full queue shots: resume lab"
    )


def test_failing_and_dropping_are_counted_over_the_last_seconds():
    at = [LoopMetrics("p", done=9 * s, failed=s, dropped=2 * s) for s in range(8)]
    rates = rates_of(*(Sample(s, {"p": m}) for s, m in enumerate(at)))
    assert words(rates, status(last_error="check: ValueError: no")) == [
        "p: 5 of the last 50 items failed: check: ValueError: no",
        "p drops items, 10 in the last seconds: all 64 slots are taken; raise max_in_flight",
    ]


def test_what_stands_still_comes_first_and_says_why():
    at = [LoopMetrics("p", failed=s) for s in range(3)]
    rates = rates_of(*(Sample(s, {"p": m}, busy=s) for s, m in enumerate(at)))
    found = alerts(status(state="paused", reason="node 'a' failed 10 items in a row"), rates)
    assert [(a.level, a.loop) for a in found] == [("bad", "p"), ("warn", "")]
    assert found[0].text == "p is paused: node 'a' failed 10 items in a row"
    assert found[1].text == "the kernel is busy 100% of the time: views and cells wait for it"


def test_a_pause_by_hand_is_no_alarm():
    assert words(rates_of(Sample(0, {"p": LoopMetrics("p")})), status(state="paused")) == []


def test_a_loop_that_cannot_start_says_what_it_waits_for():
    waits = status(state="starting", reason="waits for a Dask worker: 0 of 2 left")
    said = words(rates_of(Sample(0, {"p": LoopMetrics("p")})), waits)
    assert said == ["p does not run: waits for a Dask worker: 0 of 2 left"]


def test_edits_that_are_not_applied_are_told():
    rates = rates_of(Sample(0, {"p": LoopMetrics("p")}))
    said = words(rates, Status("g", status().loops, unapplied=2))
    assert said == ["2 edits are not applied: orch.apply()"]


# -- the board -----------------------------------------------------------------


def board(rates=None, found=None, specs=()):
    return DashboardFigures(
        found or status(), rates or rates_of(Sample(0, {"p": LoopMetrics("p")})), specs
    )


def test_all_that_a_board_says_is_json_and_its_keys_hold_no_names():
    evil = '__proto__"<b>\x00'
    metrics = LoopMetrics(evil, nodes={evil: NodeMetrics(evil, total=3)})
    rates = rates_of(Sample(0, {evil: metrics}), Sample(1, {evil: metrics}))
    found = board(rates, status(evil, reason=evil, last_error=evil), [QueueSpec(evil)])
    said = json.dumps([found.frame(), found.states(), found.figures()], allow_nan=False)
    assert json.loads(said)[0]["loops"][0]["name"] == evil
    keys = {**found.states(), **found.figures()}
    assert {key.split(".")[0] for key in keys} == {"l0", "says", "busy", "unapplied"}
    assert "<b>" not in found.html()


def test_figures_that_stand_still_do_not_change():
    metrics = {"p": LoopMetrics("p", released=5, working=1, p50=0.1234)}
    rates = rates_of(*(Sample(second, metrics) for second in range(20)))
    first = board(rates).figures()
    rates.add(Sample(19.25, metrics))
    second = board(rates).figures()
    assert {k for k in second if first[k] != second[k]} == set()


def test_a_paused_loop_has_no_rate_and_one_that_has_ended_so_many_items_in_so_many_seconds():
    rates, _ = followed(chain("a", every=0.1), until=5)
    assert board(rates, status(state="paused")).figures()["l0.rate"] == [0, None]
    m = rates.last.loops["p"]
    ended = board(rates, status(state="stopped"))
    assert ended.figures()["l0.rate"] == [None, [m.released, pytest.approx(m.elapsed, rel=0.01)]]
    assert f"{m.released} in {m.elapsed:.3g} s" in ended.html()


def test_nobody_says_a_rate_before_five_items_or_ten_seconds_tell_it():
    at = [LoopMetrics("p", produced=n, released=n, elapsed=n * 0.004) for n in range(9)]
    rates = rates_of(Sample(0, {"p": at[0]}), Sample(0.004, {"p": at[1]}))
    assert rates.rate("p") is None
    assert board(rates).figures()["l0.rate"] == [None, None]
    slow = [Sample(t, {"p": LoopMetrics("p", released=t // 8, elapsed=t)}) for t in range(20)]
    assert rates_of(*slow[:9]).rate("p") is None
    assert rates_of(*slow).rate("p") == pytest.approx(2 / 19)


def test_a_loop_that_was_added_after_the_last_look_waits_for_the_next():
    both = Status("g", (*status().loops, *status("new").loops))
    assert [x["name"] for x in board(found=both).frame()["loops"]] == ["p"]


def test_the_still_says_the_same_as_a_table():
    rates, _ = followed(chain(("a", None, {"takes": 0.3}), takes=0.1))
    html = board(rates, specs=[QueueSpec("q")]).html()
    assert "▶ running" in html
    assert ">a</td>" in html
    assert html.count("<table") == 2
