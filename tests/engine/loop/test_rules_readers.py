"""Section 3.4: when do loops that read a queue make items, and when are they done?"""

from __future__ import annotations

import pytest

from flownb import Graph
from tests.support.lab import boom, calls, chain, seen, times


def relay(*takes, items=(1, 2, 3), every=None, **reader):
    """A chain of loops: p -> q0 =queue=> r0 -> q1 =queue=> r1 ..., each with a slow node."""
    graph = Graph("g").add_producer("p", list(items), every=every)
    before = "p"
    for i, seconds in enumerate(takes):
        graph.add_queue(f"q{i}").add_edge(before, f"q{i}")
        graph.add_queue_reader(f"r{i}", queue=f"q{i}", **reader)
        graph.add_node(f"n{i}", takes=seconds, keep=99).add_edge(f"r{i}", f"n{i}")
        before = f"n{i}"
    return graph


def states(sim):
    return {name: m.state for name, m in sim.metrics.items()}


@pytest.mark.parametrize("every", [None, 0.5, 1, 3])
@pytest.mark.parametrize("takes", [0, 0.5, 1, 2])
@pytest.mark.parametrize("prefetch", [1, 16])
def test_a_reader_loop_completes_when_its_writers_have_and_nothing_is_left(every, takes, prefetch):
    sim = relay(takes, every=every, prefetch=prefetch).simulate(until=60)
    assert sim.outputs("n0") == [1, 2, 3]
    assert states(sim) == {"p": "completed", "r0": "completed"}
    assert sim.metrics["r0"].done == 3


@pytest.mark.parametrize("items", [[], [1], [1, 2]])
@pytest.mark.parametrize("takes", [None, 0.5])
def test_a_reader_loop_completes_however_soon_its_writer_does(items, takes):
    """Also while it is still connecting to its queue, when it hears of no cancellation."""
    graph = Graph("g").add_producer("p", items, takes=takes).add_queue("q").add_edge("p", "q")
    graph.add_queue_reader("r", queue="q").add_node("n").add_edge("r", "n")
    sim = graph.simulate(until=1000)
    assert states(sim) == {"p": "completed", "r": "completed"}
    assert sim.metrics["r"].done == len(items)
    assert sim.duration == len(items) * (takes or 0)


@pytest.mark.parametrize("takes", [(0, 0, 0), (1, 1, 1), (3, 1, 2), (1, 0, 3)])
@pytest.mark.parametrize("every", [None, 1])
def test_a_chain_of_loops_completes_one_after_the_other(every, takes):
    sim = relay(*takes, items=range(7), every=every).simulate(until=100)
    assert sim.outputs("n2") == list(range(7))
    assert set(states(sim).values()) == {"completed"}
    done = [e.loop for e in sim.events if e.kind == "state" and e.data[0] == "completed"]
    assert done == ["p", "r0", "r1", "r2"]


def test_a_reader_of_two_writers_waits_for_the_last_of_them():
    graph = relay(0).add_producer("late", [4], takes=9).add_queue("q", queue="q0")
    sim = graph.add_edge("late", "q").simulate(until=60)
    assert sim.outputs("n0") == [1, 2, 3, 4]
    assert [e.time for e in sim.events if e.loop == "r0" and e.data == ("completed", "")] == [9]


def test_a_reader_of_an_endless_writer_stays_running():
    graph = chain(("n", None, {"takes": 1})).add_queue("q").add_edge("n", "q")
    graph.add_queue_reader("r", queue="q").add_node("m").add_edge("r", "m")
    sim = graph.simulate(until=5.5)
    assert states(sim) == {"p": "running", "r": "running"}
    assert times(sim, "produced")[-1] == 5


def test_a_reader_of_an_external_queue_never_completes():
    graph = relay(0)
    graph.add_queue_reader("r0", queue="q0", external=True)
    assert states(graph.simulate(until=9)) == {"p": "completed", "r0": "running"}


def test_a_reader_is_woken_at_the_very_moment_of_the_push_and_never_polls():
    sim = relay(0, items=[1, 2], every=1234.5).simulate(until=5000)
    assert [start for start, _ in calls(sim, "r0")] == [0, 1234.5]


def test_a_push_appears_when_its_node_runs_not_when_its_item_settles():
    graph = relay(0, items=[1]).add_node("slow", takes=30).add_edge("p", "slow")
    sim = graph.simulate(until=60)
    assert calls(sim, "n0") == [(0, 0)]
    assert sim.releases("p") == [30]


def test_a_queue_is_an_asynchronous_boundary_the_writer_does_not_wait_for_the_reader():
    sim = relay(50, items=[1, 2]).simulate(until=200, policy="all")
    assert sim.releases("p") == [0, 0]
    assert sim.releases("r0") == [50, 100]


def test_a_drawn_queue_edge_is_cut_before_anything_is_analysed():
    graph = relay(50, items=[1, 2]).add_edge("q0", "r0")
    assert graph.simulate(until=200, policy="all").releases("p") == [0, 0]


def test_two_competing_readers_share_the_messages_in_the_order_in_which_they_waited():
    graph = Graph("g").add_producer("p", list(range(4)), every=1).add_queue("q").add_edge("p", "q")
    for r in ("r", "s"):
        graph.add_queue_reader(r, queue="q", prefetch=1)
        graph.add_node(f"{r}n", takes=1.5, keep=9).add_edge(r, f"{r}n")
    sim = graph.simulate(until=20)
    assert (sim.outputs("rn"), sim.outputs("sn")) == ([0, 2], [1, 3])
    assert set(states(sim).values()) == {"completed"}


def test_a_broadcast_queue_gives_every_reader_every_message():
    graph = Graph("g").add_producer("p", [1, 2]).add_queue("q", mode="broadcast").add_edge("p", "q")
    for r in ("r", "s"):
        graph.add_queue_reader(r, queue="q")
        graph.add_node(f"{r}n", keep=9).add_edge(r, f"{r}n")
    sim = graph.simulate(until=20)
    assert (sim.outputs("rn"), sim.outputs("sn")) == ([1, 2], [1, 2])
    assert set(states(sim).values()) == {"completed"}


def test_a_full_queue_pushes_back_on_its_producer():
    graph = Graph("g").add_producer("p", list(range(4)))
    graph.add_queue("q", maxlen=1, kind="blocking").add_edge("p", "q")
    graph.add_queue_reader("r", queue="q", prefetch=1).add_node("n", takes=10).add_edge("r", "n")
    sim = graph.simulate(until=100)
    assert sim.releases("p") == [0, 10, 20, 30]
    assert set(states(sim).values()) == {"completed"}


def test_an_item_that_failed_is_acked_so_its_loop_can_complete():
    graph = relay(0, items=[1, 2]).add_node("bad", boom).add_edge("r0", "bad")
    sim = graph.simulate(until=9)
    assert [f.item for f in sim.failures()] == [1, 2]
    assert states(sim)["r0"] == "completed"


def test_a_message_of_a_class_node_and_context_says_where_it_comes_from():
    got = []
    graph = relay(0, items=["x"])
    graph.add_node("look", lambda _, ctx: got.append(ctx.meta)).add_edge("r0", "look")
    graph.simulate(until=9)
    assert (got[0]["loop"], got[0]["node"], got[0]["deliveries"]) == ("r0", "look", 1)
    assert got[0]["message_id"]


def test_a_simulation_starts_with_empty_queues():
    graph = relay(0, items=[1])
    assert [graph.simulate(until=9).metrics["r0"].done for _ in range(2)] == [1, 1]


def test_a_ring_of_queues_that_takes_time_turns_until_the_end():
    graph = (
        Graph("g").add_producer("p", [1]).add_queue("start", queue="ring").add_edge("p", "start")
    )
    graph.add_queue_reader("r", queue="ring").add_node("n", takes=1).add_queue(
        "again", queue="ring"
    )
    sim = graph.add_edge("r", "n", "again").simulate(until=10.5)
    assert sim.metrics["r"].done == 10


def test_each_message_is_one_item_in_the_order_of_the_pushes():
    got = []
    graph = relay(1, items=range(20)).add_node("see", seen(got)).add_edge("n0", "see")
    graph.simulate(until=99)
    assert got == list(range(20))
