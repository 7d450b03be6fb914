"""What holds for every graph, whatever its options and failures? Hypothesis tries to break it."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flownb import Graph, Limit, Retry
from flownb.model.policies import AWAIT_POLICIES

seconds = st.sampled_from([0, 0, 0.5, 1, 2.5, 7])
node = st.fixed_dictionaries(
    {"kind": st.sampled_from(["blocking", "non_blocking"]), "takes": seconds},
    optional={
        "fail": st.sampled_from([0.1, 0.5, [0, 3], range(100)]),
        "retry": st.just(Retry(on=Exception, attempts=2, wait_initial=0.5)),
        "timeout": st.sampled_from([1, 3]),
        "limit": st.sampled_from([1, 2, "shared"]),
    },
)
loops = st.fixed_dictionaries(
    {
        "max_in_flight": st.sampled_from([1, 2, 5, 64]),
        "await_policy": st.sampled_from(AWAIT_POLICIES),
        "on_error": st.sampled_from(["skip", "dead_letter", "pause", "stop"]),
    }
)
ends = st.sampled_from([{"until": 13}, {"until": 40}, {"iterations": 12}])
few = settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))


@st.composite
def graphs(draw):
    """A loop of up to 7 nodes in any shape; some with a second loop behind a queue."""
    graph = Graph("any").add_producer("p", range(draw(st.integers(0, 20))), every=draw(every))
    shared, before = Limit(concurrency=1), ["p"]
    for i in range(draw(st.integers(1, 7))):
        options = draw(node)
        if "limit" in options:
            limit = options["limit"]
            options["limit"] = shared if limit == "shared" else Limit(concurrency=limit)
        graph.add_node(f"n{i}", **options)
        for source in draw(st.lists(st.sampled_from(before), min_size=1, max_size=3, unique=True)):
            graph.add_edge(source, f"n{i}")
        before.append(f"n{i}")
    if draw(st.booleans()):
        graph.add_queue("q").add_edge(draw(st.sampled_from(before)), "q")
        graph.add_queue_reader("r", queue="q").add_node("m", **draw(node_of_reader), keep=99)
        graph.add_edge("r", "m").set_loop("r", max_in_flight=draw(st.sampled_from([1, 64])))
    return graph.set_loop("p", **draw(loops))


every = st.sampled_from([None, 0.5, 2])
node_of_reader = st.fixed_dictionaries(
    {"kind": st.sampled_from(["blocking", "non_blocking"]), "takes": seconds}
)


@few
@given(graphs(), ends)
def test_every_item_is_done_failed_cancelled_or_open(graph, end):
    for m in graph.simulate(**end).metrics.values():
        assert m.produced == m.done + m.failed + m.dropped + m.cancelled + m.open
        assert m.released <= m.produced
        if m.state == "completed":
            assert m.open == 0
            assert m.released == m.produced


@few
@given(graphs(), ends)
def test_no_more_items_are_in_flight_than_there_are_slots(graph, end):
    for m in graph.simulate(**end).metrics.values():
        assert m.in_flight <= m.peak_in_flight <= m.max_in_flight


@few
@given(graphs(), ends)
def test_no_more_calls_run_at_once_than_their_limit_allows(graph, end):
    sim = graph.simulate(**end)
    for limit in {n.limit for n in graph.nodes.values() if n.limit}:
        names = {n.name for n in graph.nodes.values() if n.limit is limit}
        spans = [s for s in sim.timeline if s.node in names and s.kind == "work"]
        changes = sorted([(s.start, 1) for s in spans] + [(s.end, -1) for s in spans])
        running, most = 0, 0
        for _, step in changes:
            running += step
            most = max(most, running)
        assert most <= limit.concurrency


@few
@given(graphs(), ends)
def test_a_producer_never_begins_an_item_before_it_was_released_from_the_last(graph, end):
    sim = graph.simulate(**end)
    for loop in sim.metrics:
        released = sim.releases(loop)
        starts = sorted(s.start for s in sim.timeline if s.node == loop and s.kind == "work")
        assert all(a <= b for a, b in pairwise(released))
        assert all(end <= start for end, start in zip(released, starts[1:], strict=False))


@few
@given(graphs())
def test_nothing_that_was_pushed_is_lost(graph):
    sim = graph.simulate(until=1000)
    if "q" not in graph.nodes or sim.metrics["p"].state != "completed":
        return
    pushed = [s for s in sim.timeline if s.node == "q" and s.kind == "work"]
    assert sim.metrics["r"].produced == len(pushed)
    assert len(sim.outputs("m")) == len(pushed)


@few
@given(graphs(), ends)
def test_no_node_runs_twice_for_an_item_but_for_retries(graph, end):
    sim = graph.simulate(**end)
    keys = Counter(
        (s.loop, s.node, s.iteration, s.attempt) for s in sim.timeline if s.kind == "work"
    )
    assert max(keys.values(), default=1) == 1
