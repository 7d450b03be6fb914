"""Section 3.6: how many items may be in flight, and who may run now?"""

from __future__ import annotations

import pytest

from flownb import Graph, Limit, Retry
from flownb.model.nodes import BlockingNode, NonBlockingNode
from tests.support.lab import boom, calls, chain, fan, times, waits


def detached(takes, *, slots=64, source=range(6), **options):
    graph = fan(("n", None, {"kind": "non_blocking", "takes": takes}), source=source, **options)
    return graph.set_loop("p", max_in_flight=slots)


# -- slots ---------------------------------------------------------------------


def test_a_full_loop_blocks_its_producer_exactly_until_a_slot_is_free():
    sim = detached(10, slots=2).simulate(until=100)
    assert sim.releases("p") == [0, 0, 10, 10, 20, 20]
    assert calls(sim, "n") == [(0, 10)] * 2 + [(10, 20)] * 2 + [(20, 30)] * 2
    assert sim.metrics["p"].peak_in_flight == 2


def test_waiting_for_a_slot_is_a_span_of_the_node_and_of_the_producer():
    sim = detached(10, slots=2, source=range(3)).simulate(until=100)
    assert waits(sim, "n", "throttled") == [(2, 0, 10)]
    assert waits(sim, "p", "throttled") == [(2, 0, 10)]
    assert waits(sim, "p", "wait") == []
    assert sim.metrics["p"].throttled == 10


def test_the_producer_is_not_released_before_its_item_has_a_slot_nor_before_its_await_set():
    graph = detached(10, slots=1, source=range(2)).add_node("b", takes=3).add_edge("p", "b")
    sim = graph.simulate(until=100)
    assert sim.releases("p") == [3, 10]
    assert waits(sim, "p", "wait") == [(0, 0, 3), (1, 3, 6)]
    assert waits(sim, "p", "throttled") == [(1, 6, 10)]


def test_the_unit_is_the_item_not_the_node():
    graph = detached(10, slots=1, source=range(2))
    for name in "abc":
        graph.add_node(name, kind="non_blocking", takes=5).add_edge("p", name)
    sim = graph.simulate(until=100)
    assert calls(sim, "a") == [(0, 5), (10, 15)]
    assert sim.metrics["p"].peak_in_flight == 1


def test_an_item_takes_its_slot_when_its_first_detached_node_becomes_ready():
    graph = chain(("b", None, {"takes": 4}), source=range(2)).set_loop("p", max_in_flight=1)
    graph.add_node("n", kind="non_blocking", takes=10).add_edge("b", "n")
    graph.add_node("slow", takes=9).add_edge("p", "slow")
    sim = graph.simulate(until=100, policy="blocking")
    # item 1 is made at 9 and its n is ready at 13, but the slot is free only at 14
    assert waits(sim, "n", "throttled") == [(1, 13, 14)]
    assert sim.releases("p") == [9, 18]


def test_an_item_takes_a_slot_at_its_release_if_something_of_it_is_still_open():
    """Not detached (an if might have led to a blocking node), yet open at the release."""
    graph = chain(source=range(2)).add_if("i", lambda _: False, takes=1).add_node("x", takes=3)
    graph.add_node("y", kind="non_blocking", takes=9).add_edge("p", "i")
    graph.add_edge("i", "x", when=True).add_edge("i", "y", when=False)
    sim = graph.set_loop("p", max_in_flight=1, await_policy="path_live").simulate(until=99)
    assert calls(sim, "y") == [(1, 10), (2, 11)], "it runs, only the release waits"
    assert sim.releases("p") == [1, 10]
    assert waits(sim, "p", "throttled") == [(1, 2, 10)]


def test_an_item_that_is_done_at_its_release_needs_no_slot():
    sim = chain(("b", None, {"takes": 1}), source=range(5)).set_loop("p", max_in_flight=1)
    assert sim.simulate(until=9).metrics["p"].peak_in_flight == 0


def test_a_slot_is_given_back_when_the_last_node_has_settled():
    graph = detached(2, slots=1, source=range(2)).add_node("m", kind="non_blocking", takes=5)
    sim = graph.add_edge("n", "m").simulate(until=99)
    assert sim.releases("p") == [0, 7]


def test_a_failed_item_gives_its_slot_back_too():
    graph = fan(("n", boom, {"kind": "non_blocking", "takes": 5}), source=range(3))
    assert graph.set_loop("p", max_in_flight=1).simulate(until=99).releases("p") == [0, 5, 10]


def test_sixty_four_items_may_be_in_flight_when_nothing_is_said():
    sim = detached(1000, source=range(100)).simulate(until=500)
    assert len(sim.releases("p")) == 64
    assert sim.metrics["p"].in_flight == sim.metrics["p"].max_in_flight == 64


def test_items_overlap_in_detached_arms_and_may_finish_out_of_order():
    graph = fan(("n", lambda x, ctx: ctx.sleep(9 - 4 * x), {"kind": "non_blocking"}), source=[0, 1])
    sim = graph.simulate(until=99)
    assert [e.iteration for e in sim.events if e.kind == "settled"] == [1, 0]


# -- limits --------------------------------------------------------------------


def uneven(limit):
    """Items 0 to 3 reach n at once, behind a node whose length depends on the item."""
    node = {"kind": "non_blocking"}
    graph = fan(("a", lambda x, ctx: ctx.sleep([5, 2, 1, 0][x]) or x, node), source=range(4))
    graph.add_node("n", kind="non_blocking", takes=10, limit=limit).add_edge("a", "n")
    return graph.simulate(until=99)


def test_a_limit_of_one_serialises_a_node_and_serves_those_who_wait_in_item_order():
    sim = uneven(Limit(concurrency=1))
    order = [
        (s.iteration, s.start, s.end) for s in sim.timeline if s.node == "n" and s.kind == "work"
    ]
    # item 3 is there first; by its end all others wait, and go in item order
    assert order == [(3, 0, 10), (0, 10, 20), (1, 20, 30), (2, 30, 40)]


def test_waiting_for_a_limit_is_a_span():
    sim = uneven(Limit(concurrency=1))
    assert sorted(waits(sim, "n", "limited")) == [(0, 5, 10), (1, 2, 20), (2, 1, 30)]


def test_a_limit_of_k_lets_k_calls_run_at_once_and_never_more():
    sim = uneven(Limit(concurrency=2))
    spans = [(s.start, s.end) for s in sim.timeline if s.node == "n" and s.kind == "work"]
    assert spans == [(0, 10), (1, 11), (10, 20), (11, 21)]


def test_one_limit_on_two_nodes_is_shared_by_them():
    gpu = Limit(concurrency=1)
    nodes = [(n, None, {"takes": 2, "limit": gpu}) for n in "abc"]
    sim = fan(*nodes, source=range(2)).simulate(until=99)
    assert sorted(calls(sim, "a") + calls(sim, "b") + calls(sim, "c")) == [
        (0, 2), (2, 4), (4, 6), (6, 8), (8, 10), (10, 12),
    ]  # fmt: skip


def two_loops(limit):
    graph = Graph("g")
    for p, n in (("p", "a"), ("q", "b")):
        graph.add_producer(p, range(50)).add_node(n, takes=1, limit=limit).add_edge(p, n)
    return graph


def test_one_limit_is_shared_by_two_loops():
    sim = two_loops(Limit(concurrency=1)).simulate(until=10)
    spans = sorted(calls(sim, "a") + calls(sim, "b"))
    assert spans[:10] == [(i, i + 1) for i in range(10)]


def test_a_shared_limit_lets_loops_take_turns_whatever_their_iteration():
    """A loop that is far ahead must not starve behind one that has just begun."""
    gpu = Limit(concurrency=1)
    graph = Graph("g").add_producer("old", every=1).add_node("a", takes=0.5, limit=gpu)
    graph.add_edge("old", "a").add_producer("new", [None] * 600 + list(range(1000)))
    graph.add_node("b", kind="non_blocking", takes=1, limit=gpu).add_edge("new", "b")
    sim = graph.set_loop("new", max_in_flight=8).simulate(until=100)
    waited = [b - a for _, a, b in waits(sim, "a", "limited")]
    assert max(waited) <= 8, "the eight calls that were there before it, no more"
    assert len(calls(sim, "a")) > 30


def test_per_second_spaces_the_starts():
    sim = fan(("n", None, {"kind": "non_blocking", "limit": Limit(per_second=4)}), source=range(9))
    starts = [start for start, _ in calls(sim.simulate(until=9), "n")]
    assert starts == [i / 4 for i in range(9)]


def test_per_second_does_not_drift_and_gives_no_credit_for_idle_time():
    limit = {"kind": "non_blocking", "limit": Limit(per_second=3)}
    sim = fan(("n", None, limit), source=range(3000)).simulate(until=2000)
    starts = [start for start, _ in calls(sim, "n")]
    assert starts == [round(i / 3, 6) for i in range(3000)]
    sim = fan(("n", None, limit), source=range(4), every=10).simulate(until=99)
    assert [start for start, _ in calls(sim, "n")] == [0, 10, 20, 30]


def test_a_limit_may_have_both_a_concurrency_and_a_rate():
    limit = Limit(concurrency=1, per_second=1)
    options = {"kind": "non_blocking", "takes": 0.3, "limit": limit}
    sim = fan(("n", None, options), source=range(4)).simulate(until=9)
    assert [a for a, _ in calls(sim, "n")] == [0, 1, 2, 3]
    options["takes"] = 1.5
    sim = fan(("n", None, options), source=range(4)).simulate(until=9)
    assert [a for a, _ in calls(sim, "n")] == [0, 1.5, 3, 4.5]


def test_a_failing_call_leaves_its_limit():
    graph = chain(("a", boom, {"takes": 1, "limit": Limit(concurrency=1)}), source=range(3))
    assert graph.simulate(until=9).releases("p") == [1, 2, 3]


async def awaited(payload):
    return payload


@pytest.mark.parametrize(
    ("fn", "timeout", "releases"), [(None, None, [4, 8]), (None, 1, [1, 5]), (awaited, 1, [1, 2])]
)
def test_a_sync_call_that_timed_out_keeps_its_place_until_it_ends(fn, timeout, releases):
    options = {"takes": 4, "timeout": timeout, "limit": Limit(concurrency=1)}
    graph = chain(("a", fn, options), source=range(2))
    assert graph.simulate(until=99).releases("p") == releases


def test_a_retry_waits_for_the_place_that_the_attempt_before_it_keeps():
    retry = Retry(on=TimeoutError, attempts=2, wait_initial=0.5)
    options = {"takes": 4, "timeout": 1, "limit": Limit(concurrency=1), "retry": retry}
    sim = chain(("a", None, options), source=["x"]).simulate(until=99)
    assert [(s.kind, s.start, s.end) for s in sim.timeline if s.node == "a"] == [
        ("work", 0, 1), ("retry", 1, 1.5), ("limited", 1.5, 4), ("work", 4, 5),
    ]  # fmt: skip


# -- class nodes ---------------------------------------------------------------


class Slow(NonBlockingNode):
    def run(self, data):
        return data.payload


def test_a_class_node_is_called_for_one_item_at_a_time_in_item_order():
    graph = chain(source=range(4)).add_node(Slow("n"), takes=5).add_edge("p", "n")
    sim = graph.simulate(until=99)
    assert [(s.iteration, s.start) for s in sim.timeline if s.node == "n" and s.kind == "work"] == [
        (0, 0), (1, 5), (2, 10), (3, 15),
    ]  # fmt: skip


def test_a_class_node_may_run_in_parallel_when_a_limit_says_so():
    graph = chain(source=range(4)).add_node(Slow("n"), takes=5, limit=Limit(concurrency=3))
    assert [a for a, _ in calls(graph.add_edge("p", "n").simulate(until=99), "n")] == [0, 0, 0, 5]


def test_two_class_nodes_do_not_share_the_limit_they_have_by_default():
    class One(BlockingNode):
        def run(self, data):
            return data.payload

    graph = chain(source=[1]).add_node(One("a"), takes=5).add_node(One("b"), takes=5)
    sim = graph.add_edge("p", "a").add_edge("p", "b").simulate(until=99)
    assert sim.releases("p") == [5]


def test_one_class_node_in_two_loops_is_serialised_in_each_of_them_alone():
    graph = Graph("g").add_producer("p", [1]).add_producer("q", [1]).add_node(Slow("n"), takes=5)
    sim = graph.add_edge("p", "n").add_edge("q", "n").simulate(until=99)
    assert times(sim, "settled") == [5, 5]
