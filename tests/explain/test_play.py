"""Does the play of an item give what the simulation gives, whatever holds its nodes back?"""

from __future__ import annotations

from random import Random

import pytest

from flownb import Graph, Limit
from flownb.explain.study import Study
from flownb.model.policies import AWAIT_POLICIES
from tests.support.batches import batches
from tests.support.oracle_rules import RULES


def held_back(seed):
    """A loop with ifs, joins of all kinds, limits that nodes share, under some start rule.

    Gives the graph and what its ifs say.
    """
    rng = Random(seed)
    graph, names, verdicts = Graph("held").add_producer("P", [0], takes=rng.choice([0, 1])), [], {}
    limits = [None, Limit(concurrency=1), Limit(concurrency=2), Limit(per_second=2)]
    for i in range(rng.randint(4, 14)):
        name, limit = f"n{i}", rng.choice(limits)
        takes = rng.choice([0, 1, 3]) + rng.random()
        ins = rng.sample(["P", *names], min(len(names) + 1, rng.choice([1, 1, 2, 3])))
        join = rng.choice(["all", "first", 1, 2]) if len(ins) > 1 else "all"
        if rng.random() < 0.25:
            ins, verdict = ins[:1], rng.random() < 0.6
            verdicts[name] = verdict
            graph.add_if(name, lambda _, verdict=verdict: verdict, takes=takes)
        else:
            kind = rng.choice(["blocking", "non_blocking"])
            graph.add_node(name, kind=kind, takes=takes, join=join, limit=limit)
        for source in ins:
            when = rng.choice([True, False]) if source in verdicts else None
            graph.add_edge(source, name, when=when)
        names.append(name)
    for name in verdicts:
        graph.add_node(f"{name}'").add_edge(name, f"{name}'", when=rng.choice([True, False]))
    graph.set_loop("P", start_rule=RULES[seed % 3], max_in_flight=1_000)
    return graph, verdicts


def ends_of(timeline):
    """The microsecond in which each node ended."""
    return {s.node: round(s.end * 1e6) for s in timeline if s.kind == "work"}


@pytest.mark.parametrize("first", batches(45, 90, 15))
def test_every_release_and_every_end_is_as_simulated(first):
    for seed in range(first, first + 15):
        graph, verdicts = held_back(seed)
        for policy in AWAIT_POLICIES:
            graph.set_loop("P", await_policy=policy)
            why, sim = graph.explain(), graph.simulate(iterations=1)
            assert not sim.failures(), (seed, policy)
            predicted = why.release("P", verdicts=verdicts)
            assert predicted == pytest.approx(sim.releases("P")[0], abs=1e-9), (seed, policy)
            study = why._study("P")
            (it,) = Study.of(study.plan, study.durations, verdicts).schedules
            names = [n.name for n in it.plan.nodes]
            ran = {n: e for n, e, runs in zip(names, it.end, it.runs, strict=True) if runs}
            assert ran == ends_of(sim.timeline), (seed, policy)


def test_the_random_loops_try_what_holds_nodes_back():
    """A test of the tests: limits and start rules make a difference, ifs bypass, nodes lose."""
    waited = bypassed = 0
    for seed in range(60):
        graph, _ = held_back(seed)
        sim = graph.simulate(iterations=1)
        waited += any(s.kind == "limited" for s in sim.timeline)
        bypassed += len(ends_of(sim.timeline)) < len(graph.nodes)
    assert min(waited, bypassed) > 10, (waited, bypassed)
