"""Who may change a payload, and what does a reader in the middle of a loop do?"""

from __future__ import annotations

from threading import Lock

import pytest

from flownb import DeadlockError, Graph, SimulationError


def grow(payload: list[int]) -> list[int]:
    payload.append(1)
    return payload


def shared() -> Graph:
    return (
        Graph("shared")
        .add_producer("p", [[0]])
        .add_node("grows", grow)
        .add_node("reads", lambda payload: len(payload))
        .add_edge("p", "grows")
        .add_edge("p", "reads")
    )


def test_a_node_that_changes_a_shared_payload_is_named_when_asked_for() -> None:
    assert shared().simulate().outputs("reads") == [2]  # this is why one wants to know
    with pytest.raises(SimulationError, match=r"node 'grows' \(loop 'p', iteration 0\) changed"):
        shared().simulate(check_mutation=True)


def test_a_copied_payload_may_be_changed() -> None:
    graph = shared().add_edge("p", "grows", copy=True)
    assert graph.simulate(check_mutation=True).outputs("reads") == [1]


@pytest.mark.parametrize("takes", [0, 1])
def test_a_payload_that_cannot_be_copied_fails_its_item_with_the_edge(takes: float) -> None:
    graph = Graph("locks").add_producer("p", [1, 2]).add_node("a", lambda _: Lock(), takes=takes)
    graph.add_node("b").add_edge("p", "a").add_edge("a", "b", copy=True)
    sim = graph.simulate()
    assert (sim.metrics["p"].state, sim.metrics["p"].failed) == ("completed", 2)
    assert [failure.node for failure in sim.failures()] == ["b", "b"]
    error = sim.failures()[0].error
    assert str(error).startswith("edge a -> b has copy=True, but a lock cannot be copied")
    assert isinstance(error.__cause__, TypeError)


def test_a_payload_that_only_one_node_gets_may_be_changed() -> None:
    graph = Graph("own").add_producer("p", [[0]]).add_node("grows", grow).add_edge("p", "grows")
    assert graph.simulate(check_mutation=True).outputs("grows") == [[0, 1]]


def asking(timeout: float | None) -> Graph:
    return (
        Graph("asking")
        .add_producer("p", [1, 2, 3], every=1)
        .add_queue_reader("ask", queue="answers", timeout=timeout)
        .add_node("got", keep=9)
        .add_node("nothing", keep=9)
        .add_edge("p", "ask")
        .add_edge("ask", "got", when=True)
        .add_edge("ask", "nothing", when=False)
        .add_producer("q", ["x", "y"], every=1.2)
        .add_queue("answers")
        .add_edge("q", "answers")
    )


def test_a_reader_in_the_middle_is_an_if_message_or_timeout() -> None:
    sim = asking(0.5).simulate()
    assert sim.outputs("got") == ["x", "y"]  # the message takes the payload's place
    assert sim.outputs("nothing") == [3]  # no message in time: the payload passes on
    waits = [(s.start, s.end) for s in sim.timeline.of(node="ask").spans]
    assert waits == [(0, 0), (1, 1.2), (2, 2.5)]


def test_the_producer_waits_for_a_reader_in_the_middle() -> None:
    assert asking(0.5).simulate().releases("p") == [0, 1.2, 2.5]


def test_a_reader_in_the_middle_that_waits_for_ever_is_a_deadlock() -> None:
    with pytest.raises(DeadlockError, match=r"node .ask. .*iteration 2"):
        asking(None).simulate()
