"""Do the loops run as fast as predicted, and is the bottleneck where it was said to be?"""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from flownb import Graph, Limit, Retry
from flownb.errors import RunError
from flownb.records.metrics import LoopMetrics, NodeMetrics
from tests.support.capacities import GRAPHS, build, with_queue

UNTIL = 120.0
LONGER = {"detached behind the awaited": 240.0}


def measured_period(sim, loop):
    """Seconds between releases, once the loop has settled: the last third of them."""
    releases = sim.releases(loop)
    tail = releases[2 * len(releases) // 3 :]
    return (tail[-1] - tail[0]) / (len(tail) - 1)


@pytest.mark.parametrize("story", GRAPHS)
def test_the_period_is_predicted_within_one_per_cent(story):
    graph = GRAPHS[story]()
    capacity, sim = graph.explain().capacity(), graph.simulate(until=LONGER.get(story, UNTIL))
    for loop in graph.producers:
        predicted = capacity.loops[loop].period
        assert predicted == pytest.approx(measured_period(sim, loop), rel=0.01), loop


def changed(graph, change):
    """Do to a graph what an advice says."""
    words = change.text.split()
    if change.text.startswith("make") and "non-blocking" in change.text:
        return graph.add_node(words[1], kind="non_blocking", takes=graph.nodes[words[1]].takes)
    if change.text.startswith("raise"):
        return graph.set_loop(change.loop, max_in_flight=int(words[-1]))
    name = words[1] if words[0] == "make" else None
    for node in list(graph.nodes.values()):
        if node.name == name:
            graph.nodes[name] = replace(node, takes=node.takes / 2)
        elif name is None and node.limit is not None:
            limit = node.limit
            wide = graph.__dict__.setdefault("wide", {}).setdefault(id(limit), wider(limit))
            graph.nodes[node.name] = replace(node, limit=wide)
    return graph


def wider(limit):
    return Limit(
        concurrency=limit.concurrency + 1 if limit.concurrency else None,
        per_second=limit.per_second * 2 if limit.per_second else None,
    )


@pytest.mark.parametrize("story", GRAPHS)
def test_an_advice_holds_what_it_promises(story):
    for loop, change in GRAPHS[story]().explain().capacity().changes.items():
        graph = changed(GRAPHS[story](), change)
        period = measured_period(graph.simulate(until=UNTIL), loop)
        assert 1 / change.after == pytest.approx(period, rel=0.02), str(change)
        assert change.after > change.before


BOTTLENECKS = {
    "a chain": ("release", "P waits for b: 0.2 s of the 0.3 s of an iteration (P -> a -> b)"),
    "a diamond": ("release", "P waits for b: 0.4 s of the 0.55 s of an iteration"),
    "a chain and a slow producer": ("release", "P itself is slow: 0.25 s of the 0.35 s"),
    "a clock with room": ("clock", "P is paced by its own clock (every 0.1 s), done after 0.03 s"),
    "a clock that misses ticks": ("release", "P waits for a: all 0.3 s of an iteration (P -> a)"),
    "too few slots": ("slots", "10 slots are needed at full speed, and max_in_flight is 4"),
    "one slot": ("slots", "max_in_flight is 1"),
    "a limit on one node": ("limit", "the limit of x: Limit(concurrency=1) is always busy"),
    "a limit shared by two loops": ("limit", "the limit of a and b: Limit(concurrency=1)"),
    "so many starts a second": ("limit", "the limit of x: Limit(per_second=4) is always busy"),
    "a queue with a slow reader": ("clock", "P is paced by its own clock"),
    "a full queue": ("full queue", "P waits for room in queue q: R takes 2/s of it"),
    "policy all": ("release", "P waits for audit: all 0.7 s of an iteration"),
}


@pytest.mark.parametrize("story", BOTTLENECKS)
def test_the_bottleneck_is_named_in_one_sentence(story):
    kind, words = BOTTLENECKS[story]
    capacity = GRAPHS[story]().explain().capacity()
    assert capacity.loops["P"].paced_by == kind
    assert words in capacity.bottlenecks["P"]


def faster(graph, name):
    graph.nodes[name] = replace(graph.nodes[name], takes=(graph.nodes[name].takes or 0) * 0.8)
    return graph


NAMED = {
    "a chain": "b", "a diamond": "b", "a chain and a slow producer": "P", "policy all": "audit",
    "too few slots": "audit", "a limit on one node": "x", "a chain of detached work": "y",
    "two machines": "x", "a limit shared by two loops": "b", "a full queue": "r",
    "a limit shared by awaited and detached": "x",
}  # fmt: skip


@pytest.mark.parametrize("story", NAMED)
def test_the_predicted_bottleneck_is_the_measured_one(story):
    """Measured: of all nodes, a fifth off this one shortens the simulated period most."""
    nodes = [n.name for n in GRAPHS[story]().nodes.values() if n.takes]
    measured = {
        n: measured_period(faster(GRAPHS[story](), n).simulate(until=60), "P") for n in nodes
    }
    predicted = {
        n: faster(GRAPHS[story](), n).explain().capacity().loops["P"].period for n in nodes
    }
    assert min(measured, key=measured.get) == min(predicted, key=predicted.get) == NAMED[story]


WARNINGS = {
    "a clock that misses ticks": "P: every=0.1 but release takes 0.3 s: 2 of 3 ticks are missed",
    "a queue with a slow reader": "queue q grows 3/s: 5/s come in, R takes 2/s",
    "a full queue": "queue q is full (maxlen=3): R takes 2/s, and who pushes waits",
    "a limit on one node": "the limit of x, Limit(concurrency=1), is busy all the time",
    "too few slots": "P waits for a slot: an item is in flight for 1 s, so 10 slots are needed"
    " at full speed, and max_in_flight is 4: 10/s -> 4/s",
}


@pytest.mark.parametrize("story", GRAPHS)
def test_only_what_cannot_keep_up_is_warned_of_before_it_runs(story):
    warned = GRAPHS[story]().explain().capacity().warnings
    if story in WARNINGS:
        assert WARNINGS[story] in warned
    elif story in {"a chain", "a diamond", "a clock with room", "a queue with a fast reader"}:
        assert not warned


@pytest.mark.parametrize("story", ["a clock that misses ticks", "a clock that just misses"])
def test_the_missed_ticks_are_those_that_the_engine_counts(story):
    loop = GRAPHS[story]().explain().capacity().loops["P"]
    seen = GRAPHS[story]().simulate(until=UNTIL).metrics["P"]
    assert seen.overruns / (seen.overruns + seen.produced) == pytest.approx(loop.missed, abs=0.01)


def test_the_queue_grows_as_predicted():
    graph = GRAPHS["a queue with a slow reader"]()
    queue = graph.explain().capacity().queues["q"]
    seen = graph.simulate(until=100).metrics
    grown = seen["P"].released - seen["R"].produced
    assert grown / 100 == pytest.approx(queue.growth, rel=0.02)
    assert queue.utilisation == 2.5
    assert not queue.keeps_up


def test_the_slots_in_use_are_those_of_littles_law():
    graph = GRAPHS["an arm that goes on"]()
    loop = graph.explain().capacity().loops["P"]
    assert (loop.in_flight, loop.needs) == (pytest.approx(3.5), pytest.approx(3.5))
    assert graph.simulate(until=20).metrics["P"].peak_in_flight == 4


def test_the_use_of_a_limit_counts_all_loops_that_share_it():
    limits = GRAPHS["a limit shared by two loops"]().explain().capacity().limits
    assert [(x.nodes, x.utilisation) for x in limits] == [(("a", "b"), pytest.approx(1))]


def branching(share):
    """Every item takes 0.1 s, a share of them 0.4 s more and a queue."""
    said = [i * share % 1 < share for i in range(1000)]
    return (
        Graph("g").add_producer("P", said).add_node("a", takes=0.1).add_if("hot?", bool, takes=0)
        .add_node("b", takes=0.4).add_queue("q").add_edge("P", "a", "hot?")
        .add_edge("hot?", "b", when=True).add_edge("b", "q")
        .add_queue_reader("R", queue="q").add_node("r", takes=1).add_edge("R", "r")
    )  # fmt: skip


def test_without_shares_the_worst_case_counts_and_says_so():
    capacity = branching(0.2).explain().capacity()
    assert capacity.loops["P"].period == pytest.approx(0.5)
    assert capacity.queues["q"].arrival == pytest.approx(2)
    assert any("if every item is pushed" in w for w in capacity.warnings)


@pytest.mark.parametrize("rates", [{"hot?": 0.2}, {"hot?": {True: 0.2, False: 0.8}}])
def test_given_shares_predict_the_mean(rates):
    graph = branching(0.2)
    capacity = graph.explain().capacity(rates=rates)
    assert capacity.loops["P"].period == pytest.approx(0.18)
    assert measured_period(graph.simulate(until=100), "P") == pytest.approx(0.18, rel=0.02)
    assert capacity.queues["q"].arrival == pytest.approx(0.2 / 0.18)


def test_measured_shares_are_taken_from_the_run():
    capacity = branching(0.2).simulate(until=100).explain().capacity()
    assert capacity.loops["P"].period == pytest.approx(0.18, rel=0.02)
    assert not any("if every item" in w for w in capacity.warnings)


def flaky(p, **options):
    """A node whose attempts fail with probability *p* and are tried again."""
    retry = Retry(on=RunError, attempts=8, wait_initial=0.05, wait_max=0.3)
    graph = Graph("g").add_producer("P").add_node("a", takes=0.1, retry=retry, fail=p, **options)
    return graph.add_edge("P", "a")


def test_attempts_that_fail_and_the_waits_between_them_count():
    graph = flaky(0.4)
    predicted = graph.explain().capacity().loops["P"].period
    mean = 800 / len(graph.simulate(until=800).releases("P"))
    assert mean == pytest.approx(predicted, rel=0.02)
    assert predicted > 0.1 / 0.6


def test_what_a_run_has_measured_of_them_counts_more():
    """Every second attempt fails: 0.1 + 0.05 + 0.1."""
    graph, turns = flaky(0.0, fake=None), iter(range(10**6))

    def work(_):
        if next(turns) % 2 == 0:
            raise RunError("once more")

    graph.nodes["a"] = replace(graph.nodes["a"], fn=work, fail=None)
    assert graph.explain().capacity().loops["P"].period == pytest.approx(0.1)
    why = graph.simulate(until=10).explain()
    assert why.capacity().loops["P"].period == pytest.approx(0.25)
    assert why._durations.us["a"] == 250_000


def test_broadcast_readers_each_get_everything():
    graph = with_queue(every=0.2, nodes="r:B 0.1", edges="R>r", mode="broadcast")
    graph.add_queue_reader("S", queue="q").add_node("s", takes=0.5).add_edge("S", "s")
    queue = graph.explain().capacity().queues["q"]
    assert (queue.arrival, queue.service) == (5, 2)


def test_competing_readers_share_the_work():
    graph = with_queue(every=0.2, nodes="r:B 0.3", edges="R>r")
    graph.add_queue_reader("S", queue="q").add_node("s", takes=0.3).add_edge("S", "s")
    queue = graph.explain().capacity().queues["q"]
    assert queue.service == pytest.approx(2 / 0.3)
    assert queue.keeps_up


def test_a_loop_of_which_nothing_is_known_is_not_given_a_number():
    capacity = Graph("g").add_producer("P").explain().capacity()
    assert capacity.bottlenecks["P"] == (
        "P goes as fast as it can: no duration and no every= is known"
    )
    assert "unlimited" in capacity.text


def test_making_a_node_non_blocking_is_advised_when_it_helps():
    graph = build("check:B 0.2, audit:B 0.3", "P>check P>audit")
    change = graph.explain().capacity().changes["P"]
    assert str(change) == "make audit non-blocking: 3.33/s -> 5/s"


def busy_limits(seed):
    """A loop whose nodes share two or three limits, some of them detached."""
    rng = Random(seed)
    graph, names = Graph("limits").add_producer("P"), ["P"]
    limits = [Limit(concurrency=rng.choice([1, 1, 2, 3])) for _ in range(rng.choice([2, 3]))]
    for i in range(rng.randint(3, 8)):
        kind, takes = rng.choice(["blocking", "non_blocking", "non_blocking"]), rng.randint(5, 60)
        limit = rng.choice([None, *limits])
        graph.add_node(f"n{i}", kind=kind, takes=takes / 100, limit=limit)
        for source in rng.sample(names, min(len(names), rng.choice([1, 1, 2]))):
            graph.add_edge(source, f"n{i}")
        names.append(f"n{i}")
    policy = rng.choice(["path", "path", "node", "blocking", "all", "none"])
    return graph.set_loop("P", await_policy=policy, max_in_flight=rng.choice([2, 4, 8]))


@pytest.mark.parametrize("first", range(0, 40, 10))
def test_where_items_meet_at_several_limits_the_period_is_right_or_said_to_be_a_bound(first):
    for seed in range(first, first + 10):
        graph = busy_limits(seed)
        capacity = graph.explain().capacity()
        loop, seen = capacity.loops["P"], measured_period(graph.simulate(until=150), "P")
        assert seen >= loop.period * 0.98, seed
        assert loop.at_least or seen == pytest.approx(loop.period, rel=0.02), seed
        assert loop.at_least == ("when items meet at a limit" in capacity.bottlenecks["P"])


def unsaid():
    graph = Graph("w").add_producer("days", every=0.2).add_if("wet?", bool, takes=0.0)
    graph.add_node("slow", takes=0.5).add_edge("days", "wet?")
    return graph.add_edge("wet?", "slow", when=True)


def test_what_holds_only_if_every_item_takes_a_branch_says_so():
    capacity = unsaid().explain().capacity()
    assert capacity.loops["days"].given == "wet? always says yes"
    assert capacity.bottlenecks["days"].endswith(", if wet? always says yes")
    (warning,) = capacity.warnings
    assert warning.endswith("2 of 3 ticks are missed, if wet? always says yes")
    assert "at least 1.67/s" in capacity.text


def test_what_is_known_of_an_if_needs_no_condition():
    capacity = unsaid().explain().capacity(rates={"wet?": 0.5})
    assert capacity.loops["days"].given == ""
    assert "if wet?" not in capacity.text
    assert "0.5 s where it runs" in capacity.bottlenecks["days"]


def test_a_cold_first_call_is_not_what_a_node_takes():
    graph = Graph("w").add_producer("p").add_node("a").add_node("b").add_edge("p", "a", "b")
    nodes = {
        "a": NodeMetrics("a", calls=4, total=0.303, longest=0.3),
        "b": NodeMetrics("b", calls=4, total=0.08, longest=0.03),
    }
    why = graph.explain(measured={"p": LoopMetrics("p", nodes=nodes)})
    assert why.reading("p").chain == (("p", 0.0), ("a", 0.001), ("b", 0.02))
    often = {"a": NodeMetrics("a", calls=40, total=40.0, longest=20.0)}
    why = graph.explain(measured={"p": LoopMetrics("p", nodes=often)})
    assert dict(why.reading("p").chain)["a"] == 1.0
