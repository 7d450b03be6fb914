"""Do classic examples of discrete-event simulation come out as one works them out by hand?

Three that SimPy's users know, each as a graph of two loops with a queue between them.
"""

from __future__ import annotations

import pytest

from flownb import Graph, Limit
from tests.support.lab import calls, waits

GAPS = (0, 0, 0, 0, 7, 2, 1, 12)  # four cars wait when the wash opens
ARRIVALS = (0, 0, 0, 0, 7, 9, 10, 22)


def after(*gaps):
    """Make a producer that waits before each of its items: 0, 1, 2, ..."""

    async def come(ctx):
        for number, gap in enumerate(gaps):
            await ctx.sleep(gap)
            yield number

    return come


def car_wash(machines):
    """Cars come down the street; each is washed for 5 minutes, in the order of arrival."""
    wash = {"kind": "non_blocking", "takes": 5, "limit": Limit(concurrency=machines)}
    return (
        Graph("car wash").add_producer("street", after(*GAPS)).add_queue("cars")
        .add_edge("street", "cars").add_queue_reader("gate", queue="cars")
        .add_node("wash", **wash).add_node("leave", keep=99)
        .add_edge("gate", "wash", "leave").set_loop("gate", await_policy="none")
    )  # fmt: skip


def test_a_car_wash_with_two_machines_washes_two_at_a_time():
    sim = car_wash(2).simulate(until=99)
    entered = [0, 0, 5, 5, 10, 10, 15, 22]
    assert [round(s.start) for s in sim.timeline if s.node == "cars"] == [*ARRIVALS]
    assert calls(sim, "wash") == [(t, t + 5) for t in entered]
    assert [s.start for s in sim.timeline if s.node == "leave"] == [t + 5 for t in entered]
    assert sim.outputs("leave", last=99) == [*range(8)]
    assert waits(sim, "wash", "limited") == [
        (2, 0, 5), (3, 0, 5), (4, 7, 10), (5, 9, 10), (6, 10, 15),
    ]  # fmt: skip


@pytest.mark.parametrize(("machines", "leaves"), [
    (1, [5, 10, 15, 20, 25, 30, 35, 40]),
    (3, [5, 5, 5, 10, 12, 14, 15, 27]),
])  # fmt: skip
def test_with_one_machine_or_three_it_takes_as_long_as_by_hand(machines, leaves):
    sim = car_wash(machines).simulate(until=99)
    assert [s.start for s in sim.timeline if s.node == "leave"] == leaves


def test_a_broadcast_pipe_gives_every_message_to_each_who_listens():
    """A needs 4 for a message, B 8: who is busy takes it when he is done, in order."""
    graph = Graph("pipe").add_producer("sender", after(6, 3, 9, 2))
    graph.add_queue("pipe", mode="broadcast").add_edge("sender", "pipe")
    for name, takes in (("A", 4), ("B", 8)):
        graph.add_queue_reader(name, queue="pipe").add_node(f"{name} reads", takes=takes, keep=99)
        graph.add_edge(name, f"{name} reads")
    sim = graph.simulate(until=99)
    assert [s.start for s in sim.timeline if s.node == "pipe"] == [6, 9, 18, 20]
    assert calls(sim, "A reads") == [(6, 10), (10, 14), (18, 22), (22, 26)]
    assert calls(sim, "B reads") == [(6, 14), (14, 22), (22, 30), (30, 38)]
    assert sim.outputs("A reads", last=99) == sim.outputs("B reads", last=99) == [0, 1, 2, 3]


def test_a_wire_with_a_constant_latency_delays_every_message_by_it_and_none_by_another():
    """Sent every 5, under way for 10: two are on the wire at any time."""
    graph = Graph("wire").add_producer("sender", range(6), every=5)
    graph.add_node("wire", kind="non_blocking", takes=10).add_queue("end")
    graph.add_edge("sender", "wire", "end").add_queue_reader("receiver", queue="end")
    graph.add_node("hear", keep=99).add_edge("receiver", "hear")
    sim = graph.simulate(until=99)
    sent = [0, 5, 10, 15, 20, 25]
    assert sim.releases("sender") == sent, "nobody waits for the wire"
    assert calls(sim, "wire") == [(t, t + 10) for t in sent]
    assert calls(sim, "hear") == [(t + 10, t + 10) for t in sent]
    assert sim.outputs("hear", last=99) == [*range(6)]
    assert graph.explain().capacity().loops["sender"].in_flight == 2
