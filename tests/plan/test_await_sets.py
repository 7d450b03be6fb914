"""Does the linear path analysis say what the definition of the policies says?

The definition is written down here a second time, naively: every path is enumerated,
every verdict of every if is tried. `flownb.plan.await_sets` is not used in it.
"""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flownb.errors import GraphError
from flownb.model.policies import AWAIT_POLICIES
from flownb.model.workflow import Workflow
from flownb.plan.await_sets import Flow, detached, mark_blocking, may_be_awaited
from flownb.plan.traversal import reach
from tests.support.machine import slowness

# -- the definition, written naively -------------------------------------------


@dataclass
class Naive:
    """Nodes by name with their kind and duration; edges with the verdict they need."""

    kinds: dict[str, str]
    edges: dict[tuple[str, str], bool | None]
    lasts: dict[str, float] | None = None

    def paths(self, start: str, live: set | None = None) -> list[list[str]]:
        found, todo = [], [[start]]
        while todo:
            path = todo.pop()
            found.append(path)
            todo += [
                [*path, b] for a, b in self.edges if a == path[-1] and (not live or (a, b) in live)
            ]
        return found

    def behind(self, start: str, live: set | None = None) -> set[str]:
        return {path[-1] for path in self.paths(start, live)}

    def has_b(self, start: str) -> bool:
        return any(self.kinds[v] == "blocking" for v in self.behind(start))

    def runs(self):
        """Give the live edges of every possible run."""
        ifs = [v for v, kind in self.kinds.items() if kind == "if"]
        for verdicts in itertools.product([True, False], repeat=len(ifs)):
            said = dict(zip(ifs, verdicts, strict=True))
            yield {e for e, when in self.edges.items() if when is None or said[e[0]] is when}

    def awaited(self, policy: str, live: set) -> set[str]:
        """Section 3.3, for one run."""
        ran = self.behind("P", live or {None}) - {"P"}
        arms = [b for a, b in self.edges if a == "P" and (a, b) in live]
        paths = self.paths("P", live or {None})
        behind = {d: self.behind(d, live or {None}) for d in arms}
        whole = {v for d in arms if self.has_b(d) for v in behind[d]}
        blocking = {v for v in ran if self.has_b(v)}
        holds_b = [d for d in arms if any(self.kinds[v] == "blocking" for v in behind[d])]
        return {
            "none": set(),
            "node": {
                path[-1]
                for path in paths
                if len(path) > 1 and not any(self.kinds[v] == "non_blocking" for v in path[1:-1])
            },
            "blocking": blocking,
            "path_live": blocking | {v for d in holds_b for v in behind[d]},
            "path": whole,
            "all": ran,
        }[policy]

    def may_be_awaited(self, policy: str) -> set[str]:
        return set().union(*(self.awaited(policy, live) for live in self.runs()))

    def release(self, policy: str, live: set) -> float:
        """When the producer is released, after its own end; joins wait for all."""
        ends = dict.fromkeys(self.behind("P", live), 0.0)
        for path in self.paths("P", live):
            ends[path[-1]] = max(ends[path[-1]], sum(self.lasts[u] for u in path[1:]))
        return max([0.0, *(ends[v] for v in self.awaited(policy, live))])

    def flow(self) -> Flow:
        graph = Workflow("naive")
        for name, kind in self.kinds.items():
            if kind == "producer":
                graph.add_producer(name)
            elif kind == "if":
                graph.add_if(name)
            else:
                graph.add_node(name, kind=kind)
        for (a, b), when in self.edges.items():
            graph.add_edge(a, b, when=when)
        return Flow.of(graph)


FIRST = Naive(
    {
        "P": "producer",
        "a": "blocking",
        "b": "non_blocking",
        "c": "blocking",
        "d": "non_blocking",
        "e": "non_blocking",
        "f": "non_blocking",
    },
    dict.fromkeys([("P", "a"), ("a", "b"), ("b", "c"), ("c", "d"), ("P", "e"), ("e", "f")]),
    {"P": 0, "a": 1, "b": 2, "c": 3, "d": 4, "e": 5, "f": 7},
)
SECOND = Naive(
    {"P": "producer", "i": "if", "x": "blocking", "y": "non_blocking"},
    {("P", "i"): None, ("i", "x"): True, ("i", "y"): False},
    {"P": 0, "i": 1, "x": 3, "y": 9},
)


def marked(flow: Flow, marks: bytearray) -> set[str]:
    return {name for name, mark in zip(flow.names, marks, strict=True) if mark}


def awaited(naive: Naive, policy: str) -> set[str]:
    flow = naive.flow()
    return marked(flow, may_be_awaited(flow, flow.index["P"], policy))


# -- the worked examples of the design -----------------------------------------


@pytest.mark.parametrize(
    ("policy", "nodes", "released"),
    [
        ("none", "", 0),
        ("node", "abe", 5),
        ("blocking", "abc", 6),
        ("path_live", "abcd", 10),
        ("path", "abcd", 10),
        ("all", "abcdef", 12),
    ],
)
def test_the_first_worked_example_has_the_sets_and_releases_of_the_design(policy, nodes, released):
    assert awaited(FIRST, policy) == set(nodes)
    assert FIRST.release(policy, set(FIRST.edges)) == released


@pytest.mark.parametrize(
    ("policy", "nodes", "released"),
    [
        ("none", "", 0),
        ("blocking", "ix", 1),
        ("path_live", "ixy", 1),  # y never is: the set is an upper bound here
        ("path", "ixy", 10),
        ("node", "ixy", 10),
        ("all", "ixy", 10),
    ],
)
def test_the_second_worked_example_has_the_sets_and_releases_of_the_design(policy, nodes, released):
    assert awaited(SECOND, policy) == set(nodes)
    assert SECOND.release(policy, {("P", "i"), ("i", "y")}) == released


def test_what_no_awaited_node_is_behind_is_detached():
    flow = FIRST.flow()
    away = {p: marked(flow, detached(flow, 0, may_be_awaited(flow, 0, p))) for p in AWAIT_POLICIES}
    assert away == {
        "none": set("abcdef"),
        "node": set("cdf"),
        "blocking": set("def"),
        "path_live": set("ef"),
        "path": set("ef"),
        "all": set(),
    }


# -- every graph ---------------------------------------------------------------


@st.composite
def graphs(draw, kinds=("blocking", "non_blocking", "if"), most=7):
    size = draw(st.integers(1, most))
    names = ["P", *(f"n{i}" for i in range(size))]
    named = {"P": "producer"} | {n: draw(st.sampled_from(kinds)) for n in names[1:]}
    pairs = list(itertools.combinations(names, 2))
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=12))
    verdict = st.sampled_from([None, True, False])
    edges = {(a, b): draw(verdict) if named[a] == "if" else None for a, b in chosen}
    return Naive(named, edges)


@given(graphs())
def test_the_static_set_is_the_union_over_all_runs(naive):
    for policy in ("none", "node", "blocking", "path", "all"):
        assert awaited(naive, policy) == naive.may_be_awaited(policy)


@given(graphs())
def test_the_static_set_of_path_live_is_an_upper_bound(naive):
    assert naive.may_be_awaited("path_live") <= awaited(naive, "path_live")


@given(graphs(kinds=("blocking", "non_blocking")))
def test_without_ifs_the_static_set_of_path_live_is_exact(naive):
    assert awaited(naive, "path_live") == naive.may_be_awaited("path_live")


@given(graphs(), st.sampled_from(AWAIT_POLICIES))
def test_detached_is_what_leads_to_no_node_that_may_be_awaited(naive, policy):
    flow = naive.flow()
    waits = awaited(naive, policy)
    away = {v for v in naive.behind("P") - {"P"} if not naive.behind(v) & waits}
    assert marked(flow, detached(flow, 0, may_be_awaited(flow, 0, policy))) == away


@given(graphs())
def test_the_policies_are_ordered(naive):
    none, node, blocking, path_live, path, everything = (awaited(naive, p) for p in AWAIT_POLICIES)
    assert none <= blocking <= path_live <= path <= everything
    assert none <= node <= everything


@given(graphs())
def test_the_policies_are_ordered_in_every_run(naive):
    for live in naive.runs():
        none, node, blocking, path_live, path, everything = (
            naive.awaited(policy, live) for policy in AWAIT_POLICIES
        )
        assert none <= blocking <= path_live <= path <= everything
        assert none <= node <= everything


def test_node_is_comparable_with_neither_blocking_nor_path():
    node, blocking, path = (awaited(FIRST, p) for p in ("node", "blocking", "path"))
    assert node - path == {"e"}
    assert blocking - node == {"c"}


@given(graphs())
def test_mark_blocking_marks_what_a_blocking_node_is_behind(naive):
    flow = naive.flow()
    assert marked(flow, mark_blocking(flow)) == {v for v in naive.kinds if naive.has_b(v)}


# -- edges of the matter -------------------------------------------------------


def test_a_queue_edge_is_cut():
    graph = Workflow("g").add_producer("p").add_queue("q").add_queue_reader("r", queue="q")
    graph.add_node("slow").add_edge("p", "q", "r", "slow")
    flow = Flow.of(graph)
    assert marked(flow, may_be_awaited(flow, flow.index["p"], "all")) == {"q"}
    assert marked(flow, may_be_awaited(flow, flow.index["p"], "path")) == set()
    assert marked(flow, may_be_awaited(flow, flow.index["r"], "path")) == {"slow"}


def test_a_blocking_queue_is_awaited_and_a_reader_in_mid_graph_counts_as_blocking():
    graph = Workflow("g").add_producer("p").add_queue("q", kind="blocking")
    graph.add_queue_reader("r", queue="other").add_edge("p", "q").add_edge("p", "r")
    flow = Flow.of(graph)
    assert marked(flow, may_be_awaited(flow, 0, "path")) == {"q", "r"}


def test_a_reach_does_not_pass_beyond_a_stop_but_from_any_other_way():
    assert list(reach([[1, 2], [3], [3], [4], []], [0], stop=[0, 1, 0, 0, 0])) == [1, 1, 1, 1, 1]
    assert list(reach([[1], [2], []], [0], stop=[0, 1, 0])) == [1, 1, 0]


def test_an_unknown_policy_is_named_with_the_ones_there_are():
    with pytest.raises(GraphError, match="await_policy='paths': choose one of none, node"):
        may_be_awaited(FIRST.flow(), 0, "paths")


def test_an_unknown_node_is_named_with_the_one_that_was_meant():
    flow = Flow.of(Workflow("g").add_node("check"))
    with pytest.raises(GraphError, match="no node 'chekc': did you mean \"check\""):
        flow.number("chekc")


@pytest.mark.wallclock
def test_a_chain_of_100_000_nodes_is_an_ordinary_input():
    size = 100_000
    succ = [[i + 1] for i in range(size)] + [[]]
    pred = [[], *([i] for i in range(size))]
    names = tuple(map(str, range(size + 1)))
    blocking = [0] * size + [1]
    flow = Flow(names, {}, succ, pred, blocking, [0, 1] + [0] * (size - 1))
    started = time.process_time()
    counts = {policy: sum(may_be_awaited(flow, 0, policy)) for policy in AWAIT_POLICIES}
    assert time.process_time() - started < 5 * slowness()
    assert counts == {"none": 0, "node": 1} | dict.fromkeys(AWAIT_POLICIES[2:], size)
    assert not any(detached(flow, 0, may_be_awaited(flow, 0, "blocking")))
