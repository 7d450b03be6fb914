"""Does validate() find every mistake, all at once, and say what to do?"""

from __future__ import annotations

import functools
import subprocess
import sys
import threading

import pytest

from flownb.errors import GraphError
from flownb.model.edges import END
from flownb.model.nodes import BlockingNode, NonBlockingNode, ProducerNode
from flownb.model.policies import AWAIT_POLICIES, OTHERWISE, Retry
from flownb.model.workflow import Workflow
from flownb.validate.check import check, validate
from flownb.validate.problems import Problem
from flownb.validate.structure import rings
from tests.support.machine import times_longer


def chain(*names: str) -> Workflow:
    """A loop p -> names, all passing their payload on."""
    graph = Workflow("g").add_producer("p")
    for name in names:
        graph.add_node(name)
    return graph.add_edge("p", *names) if names else graph


def errors(graph: Workflow) -> list[str]:
    return [str(p) for p in validate(graph) if p.level == "error"]


def warned(graph: Workflow) -> list[str]:
    assert errors(graph) == []
    return [str(p) for p in validate(graph)]


def test_a_sound_graph_has_no_problems():
    graph = chain("a", "b").add_if("w").add_edge("b", "w").add_node("c")
    assert validate(graph.add_edge("w", "c", when=True)) == ()
    assert check(graph) == ()
    assert validate(Workflow("empty")) == ()


def test_all_mistakes_are_reported_at_once_errors_first():
    graph = chain("a").add_edge("a", "zz").add_node("lost").add_queue("q").add_edge("a", "q")
    graph.set_loop("a", pool="thread").add_node("late", join=3).add_edge("a", "late")
    found = validate(graph)
    assert [p.level for p in found] == ["error"] * 4 + ["warning"]
    with pytest.raises(GraphError) as raised:
        check(graph)
    assert raised.value.problems == tuple(str(p) for p in found[:4])


def test_a_problem_reads_as_one_sentence_and_names_what_it_means():
    (problem,) = validate(chain("check").add_edge("check", "chekc"))
    assert str(problem) == (
        "edge check -> chekc: there is no node 'chekc': did you mean \"check\"?"
    )
    assert problem.nodes == ("chekc",)
    assert problem.edges == (("check", "chekc"),)
    with pytest.raises(AttributeError):
        problem.level = "warning"
    assert isinstance(problem, Problem)


# -- shape ---------------------------------------------------------------------


def test_a_cycle_in_a_loop_names_its_nodes_in_order():
    graph = chain("a", "b", "c").add_edge("c", "a")
    (problem,) = validate(graph)
    assert "cycle a -> b -> c -> a: the items of a loop flow one way" in str(problem)
    assert problem.nodes == ("a", "b", "c")
    assert problem.edges == (("a", "b"), ("b", "c"), ("c", "a"))


def test_each_cycle_is_reported_once_by_its_shortest_way_round():
    graph = chain("a", "b", "c", "d").add_edge("c", "a").add_edge("b", "a").add_edge("d", "d")
    assert [e.split(":")[0] for e in errors(graph)] == ["cycle a -> b -> a", "cycle d -> d"]


def test_cycles_are_fine_in_a_graph_without_producers():
    graph = Workflow("g").add_node("draft").add_if("good?").add_node("print")
    graph.add_edge("draft", "good?").add_edge("good?", "draft", when=False)
    assert validate(graph.add_edge("good?", "print", when=True)) == ()


def test_a_ring_through_a_queue_is_no_cycle():
    graph = Workflow("g").add_queue_reader("r", queue="q").add_node("a").add_queue("q")
    assert validate(graph.add_edge("r", "a", "q", "r")) == ()


def test_nodes_that_no_producer_reaches_are_told_by_part():
    graph = chain("a").add_node("x").add_node("y").add_edge("x", "y").add_node("z")
    assert errors(graph) == [
        "nodes 'x' and 'y': no producer leads here; link them with add_edge(), or remove_node()",
        "node 'z': no producer leads here; link it with add_edge(), or remove_node()",
    ]


def test_a_graph_without_producers_needs_none():
    assert validate(Workflow("g").add_node("a").add_node("b")) == ()


def test_a_producer_that_something_flows_into_is_an_error():
    graph = chain("a").add_producer("p2").add_edge("a", "p2")
    (text,) = errors(graph)
    assert text.startswith("producer 'p2' has an edge from 'a': a producer takes no items;")


def test_every_unknown_end_is_named_even_when_there_are_many():
    graph = chain("a")
    for i in range(50):
        graph.add_edge("a", f"nobody{i}")
    assert len(errors(graph)) == 50


# -- ifs and joins -------------------------------------------------------------


def test_an_if_without_edges_decides_nothing():
    (text,) = errors(chain("a").add_if("w").add_edge("a", "w"))
    assert text.startswith("if 'w' has no edges: give its verdict a way, add_edge('w', ")


def test_an_if_whose_edges_carry_no_when_is_doubtful():
    graph = chain("a").add_if("w").add_node("b").add_edge("a", "w", "b")
    (text,) = warned(graph)
    assert "if 'w': no edge has when=" in text


def test_when_needs_an_if():
    graph = chain("a", "b").add_edge("a", "b", when=True)
    (text,) = errors(graph)
    assert text.startswith("edge a -> b: when= needs an if, and 'a' is a blocking node;")


def test_a_reader_in_mid_graph_gives_a_verdict_and_one_that_drives_a_loop_does_not():
    graph = chain().add_queue_reader("r", queue="q", external=True).add_node("a").add_node("b")
    graph.add_edge("r", "a", when=True).add_edge("r", "b", when=False).add_edge("p", "b")
    assert all("when= needs an if, and 'r' drives a loop" in text for text in errors(graph))
    assert len(errors(graph)) == 2
    graph.remove_edge("p", "b").add_edge("p", "r")
    assert validate(graph) == ()
    graph.add_node("c").add_edge("r", "c", when="yes")
    assert "edge r -> c: when='yes' never comes true" in errors(graph)[0]


def test_labels_without_otherwise_are_a_warning_and_with_it_are_not():
    graph = chain().add_if("w").add_node("a").add_node("b").add_edge("p", "w")
    graph.add_edge("w", "a", when="hot").add_edge("w", "b", when="cold")
    (text,) = warned(graph)
    assert text.startswith("if 'w': a verdict other than 'hot', 'cold' fails the item; add an edge")
    graph.add_node("c").add_edge("w", "c", when=OTHERWISE)
    assert validate(graph) == ()
    graph.add_node("d").add_edge("w", "d", when=OTHERWISE)
    assert errors(graph) == ["if 'w': 2 edges have when=OTHERWISE (w -> c and w -> d): keep one"]


def test_a_bool_if_with_one_arm_and_a_verdict_with_two_ways_are_fine():
    graph = chain().add_if("w").add_node("a").add_node("b").add_edge("p", "w")
    assert validate(graph.add_edge("w", "a", when=True).add_edge("w", "b", when=True)) == ()


@pytest.mark.parametrize("join", [0, -1, True, "any", 1.5, None])
def test_a_join_that_is_none_is_an_error(join):
    with pytest.raises(GraphError) as raised:
        chain("a").add_node("j", join=join)
    assert f"node 'j': join={join!r}: choose one of all, each, first" in str(raised.value)


def test_a_join_that_waits_for_more_than_it_has_can_never_fire():
    graph = chain("a").add_node("j", join=3).add_edge("p", "j").add_edge("a", "j")
    assert errors(graph) == [
        "node 'j': join=3 can never fire, it has 2 edges in; use a smaller number or join='all'"
    ]
    assert validate(graph.add_node("j", join=2)) == ()


@pytest.mark.parametrize("join", ["each", "first", 1])
def test_a_join_of_one_edge_says_nothing(join):
    (text,) = warned(chain("a").add_node("j", join=join).add_edge("a", "j"))
    assert f"join={join!r} says nothing with one edge in (a -> j)" in text


@pytest.mark.parametrize("join", ["all", "first", 2])
def test_only_each_may_stand_behind_each(join):
    graph = chain("a", "b").add_node("e", join="each").add_edge("a", "e").add_edge("b", "e")
    graph.add_node("x").add_node("j", join=join).add_edge("e", "x", "j").add_edge("e", "j")
    (problem,) = validate(graph)
    assert f"node 'j': join={join!r} behind 'e', which has join='each'" in str(problem)
    assert problem.nodes == ("j", "e")
    assert validate(graph.add_node("j", join="each")) == ()


def test_only_each_may_stand_behind_each_in_a_graph_that_runs_once_too():
    graph = Workflow("g").add_node("e", join="each")
    for name in "abcxyz":
        graph.add_node(name)
    graph.add_edge("a", ["b", "c"], "e", ["x", "y"], "z")
    (text,) = errors(graph)
    assert text.startswith("node 'z': join='all' behind 'e', which has join='each' and sends on")
    assert validate(graph.add_node("z", join="each")) == ()
    (text,) = errors(graph.remove_node("z").add_edge(["x", "y"], END))
    assert text.endswith("leave END out there, a run ends by itself")


def test_an_each_with_one_edge_puts_nothing_behind_it():
    graph = chain("a").add_node("e", join="each").add_edge("a", "e").add_node("j")
    graph.add_edge("e", "j").add_edge("a", "j")
    assert [p.level for p in validate(graph)] == ["warning"]


# -- options -------------------------------------------------------------------


def test_loop_options_belong_to_a_producer():
    graph = chain("a").set_loop("days", pool="thread").set_loop("a", pool="thread")
    first, second = errors(graph)
    assert first.startswith("set_loop('days'): a loop is named after its producer")
    assert "'days' is not in the graph (there are: p)" in first
    assert "'a' is no producer (there are: p)" in second


def test_loop_options_that_do_nothing_or_cannot_work_are_named():
    graph = chain("a").set_loop("p", transactional=True)
    assert "transactional=True does nothing" in warned(graph)[0]


def test_an_interval_for_a_checkpoint_that_is_not_kept_is_a_warning():
    graph = chain("a").set_loop("p", persistence_interval=2)
    assert "persistence_interval= does nothing without checkpoint=" in warned(graph)[0]
    assert not warned(graph.set_loop("p", checkpoint="loops.sqlite"))


def moving(**reader):
    graph = Workflow("g").add_queue_reader("r", queue="in", external=True, **reader)
    return graph.set_loop("r", transactional=True)


def test_a_transactional_loop_acks_when_its_items_are_done():
    (text,) = errors(moving(ack="awaited"))
    assert "loop 'r': transactional=True" in text
    assert "ack='done', not 'awaited'" in text


def test_a_transactional_loop_cannot_be_told_later_that_a_queue_was_full():
    graph = moving().add_queue("out", maxlen=3, when_full="error", external=True)
    graph.add_edge("r", "out")
    (text,) = errors(graph)
    assert "node 'out' (loop 'r', transactional=True)" in text


# -- functions -----------------------------------------------------------------


def two(a, b): ...
def needs_word(payload, *, word): ...
def nothing(): ...
def with_ctx(payload, ctx): ...
def only_ctx(ctx): ...
def noted(payload, where: SyncContext): ...  # noqa: F821 - a name is all that is looked at
def optional(payload, more=1, *, word=2): ...
def anything(*args, **kwargs): ...


@pytest.mark.parametrize("fn", [two, needs_word, nothing, functools.partial(two)])
def test_a_function_that_cannot_take_the_payload_is_an_error(fn):
    (text,) = errors(chain().add_node("a", fn).add_edge("p", "a"))
    assert text.startswith("node 'a': ")
    assert "cannot take the payload; write it as fn(payload)" in text


@pytest.mark.parametrize(
    "fn", [with_ctx, only_ctx, noted, optional, anything, functools.partial(two, 1), print, len]
)
def test_a_function_that_can_take_the_payload_is_fine(fn):
    assert validate(chain().add_node("a", fn).add_edge("p", "a")) == ()


def test_the_context_is_found_by_name_and_never_by_arity():
    assert len(errors(chain().add_node("a", lambda payload, context: 0).add_edge("p", "a"))) == 1


@pytest.mark.parametrize("source", [nothing, only_ctx, [1], range(3), {"a": 1}, anything])
def test_a_source_is_a_function_without_arguments_or_an_iterable(source):
    assert validate(Workflow("g").add_producer("p", source)) == ()


def test_a_source_that_needs_arguments_is_an_error():
    assert len(errors(Workflow("g").add_producer("p", two))) == 1


def test_class_nodes_conditions_fakes_and_durations_are_looked_at_too():
    class Bad(BlockingNode):
        def run(self): ...

    class Good(ProducerNode):
        def run(self, data): ...

    graph = Workflow("g").add_node(Good("p")).add_node(Bad())
    graph.add_node("f", fake=two, takes=nothing).add_edge("p", "bad")
    graph.add_edge("bad", "f", condition=two)
    assert [e.split(" ")[1] for e in errors(graph)] == ["'bad':", "'f':", "'f':", "bad"]


# -- queues --------------------------------------------------------------------


def test_a_queue_without_reader_or_writer_is_a_warning_unless_somebody_outside_has_it():
    graph = chain().add_queue("q").add_edge("p", "q").add_queue_reader("r", queue="in")
    first, second = warned(graph)
    assert first.startswith("queue 'q': 'q' writes it and nobody reads it; add_queue_reader(")
    assert second.startswith("queue 'in': 'r' reads it and nobody writes it; add_queue('in')")
    graph.add_queue("q", external=True).add_queue_reader("r", queue="in", external=True)
    assert validate(graph) == ()


def test_nodes_of_one_queue_must_agree():
    graph = chain().add_queue("a", queue="q", mode="broadcast").add_queue("b", queue="q", maxlen=5)
    graph.add_edge("p", "a").add_edge("p", "b").add_queue_reader("r", queue="q")
    assert errors(graph) == [
        "queue 'q': 'a' says mode='broadcast' and 'b' says mode='competing'; give both the same",
        "queue 'q': 'a' says maxlen=None and 'b' says maxlen=5; give both the same",
    ]


def test_a_line_from_a_queue_to_a_reader_of_another_one_is_an_error():
    graph = chain().add_queue("q").add_edge("p", "q").add_queue_reader("r", queue="w")
    (text,) = errors(graph.add_edge("q", "r"))
    assert text.startswith("edge q -> r: 'r' reads queue 'w', not 'q'")


def test_a_reader_in_mid_graph_that_its_own_queue_leads_to_is_doubtful():
    graph = chain("a").add_queue("q").add_edge("p", "q").add_queue_reader("r", queue="q")
    (text,) = warned(graph.add_edge("q", "r").add_edge("a", "r"))
    assert text.startswith("edge q -> r: 'r' does not drive a loop of its own, because 'a' flows")


def ring(**second) -> Workflow:
    graph = Workflow("g")
    graph.add_queue_reader("r1", queue="q1").add_queue("q2", maxlen=5, **second)
    graph.add_queue_reader("r2", queue="q2").add_queue("q1", maxlen=5)
    return graph.add_edge("r1", "q2", "r2", "q1")


def test_a_ring_of_queues_that_block_when_full_can_lock():
    (text,) = warned(ring())
    assert text.startswith("queues 'q2' and 'q1' form a ring") or "'q1' and 'q2'" in text
    assert validate(ring(when_full="drop_oldest")) == ()
    assert validate(ring().add_queue("q2")) == ()


def test_a_queue_that_its_own_reader_writes_can_lock():
    graph = Workflow("g").add_queue_reader("r", queue="q").add_queue("q", maxlen=3)
    (text,) = warned(graph.add_edge("r", "q"))
    assert text.startswith("queue 'q' is written behind its own reader")


# -- other processes -----------------------------------------------------------

GLOBAL_LOCK = threading.Lock()


def uses_global(x):
    return [y for y in x if GLOBAL_LOCK]


uses_global.__module__ = "__main__"  # as in a notebook: not importable by name


def captures():
    lock = threading.Lock()

    def fn(x):
        return lock

    return fn


def calls_helper():
    helper = captures()

    def fn(x):
        return helper(x)

    return fn


@pytest.mark.parametrize("pool", ["process", "dask"])
@pytest.mark.parametrize(
    ("fn", "culprit"),
    [
        (captures(), "it uses 'lock', a lock, which"),
        (calls_helper(), "it uses 'lock', a lock, (in helper), which"),
        (uses_global, "it uses 'GLOBAL_LOCK', a lock, which"),
        (functools.partial(captures()), "it uses 'lock', a lock, (in its function), which"),
        (lambda x, lock=GLOBAL_LOCK: x, "it uses 'lock', a lock, which"),
    ],
)
def test_what_cannot_travel_is_named_with_the_variable_it_captured(pool, fn, culprit):
    graph = chain().add_node("a", fn).add_edge("p", "a")
    assert validate(graph) == ()
    (text,) = errors(graph.set_loop("p", pool=pool))
    assert text.startswith(f"node 'a': {culprit} cannot move to a {pool} pool (TypeError: ")
    assert "pool='thread'" in text


class Shell:
    def __init__(self):
        self.lock = threading.Lock()

    def get_ipython(self):
        return self


def test_a_function_with_a_magic_is_told_so():
    get_ipython = Shell().get_ipython

    def listing(n):
        return get_ipython().system("ls")

    graph = (
        chain().add_node("a", lambda n: listing(n)).add_edge("p", "a").set_loop("p", pool="process")
    )
    (text,) = errors(graph)
    assert text.startswith("node 'a': it calls get_ipython(), as each % and ! does, which cannot")


def test_a_running_generator_cannot_move_and_its_function_can():
    def numbers():
        yield 1

    graph = Workflow("g").add_producer("p", numbers()).set_loop("p", pool="process")
    (text,) = errors(graph)
    assert text.startswith("node 'p': a generator cannot move to a process pool; give a generator ")
    assert validate(graph.add_producer("p", numbers)) == ()
    assert validate(graph.add_producer("p", [1, 2])) == ()


def test_only_what_the_other_process_needs_has_to_travel():
    graph = chain().add_node("a", captures()).add_edge("p", "a").add_producer("away")
    assert validate(graph.set_loop("away", pool="process")) == ()


def test_predicates_conditions_and_resources_travel_too():
    graph = chain().add_node("a", retry=Retry(on=captures())).add_edge("p", "a").add_node("b")
    graph.add_edge("a", "b", condition=captures()).set_loop("p", pool="process")
    graph.set_loop("p", resources={"db": captures()})
    assert [e.split(":")[0] for e in errors(graph)] == [
        "loop 'p', resources",
        "node 'a', retry",
        "edge a -> b, condition",
    ]


# -- size and order ------------------------------------------------------------


def test_rings_are_found_in_the_order_of_the_graph():
    assert rings([[1], [0], [3], [2], [4]]) == [[0, 1], [2, 3], [4]]
    assert rings([[1], [2], []]) == []


@pytest.mark.wallclock
def awaited_end(*names: str, **options):
    """P -> fetch (blocking) -> names (non-blocking)."""
    graph = Workflow("g").add_producer("P").add_node("fetch")
    for name in names:
        graph.add_node(name, kind="non_blocking")
    return graph.add_edge("P", "fetch", *names).set_loop("P", **options)


def test_a_non_blocking_node_that_is_awaited_for_a_blocking_one_before_it_gets_a_hint():
    graph = awaited_end("notify")
    (found,) = check(graph)
    assert (found.level, found.nodes) == ("hint", ("notify",))
    assert found.edges == (("P", "fetch"), ("fetch", "notify"))
    assert str(found) == (
        "node 'notify': non-blocking, awaited here: P waits for every arm with a blocking node,"
        " whole, and fetch in P -> fetch -> notify is blocking. If P need not wait for notify:"
        " remove_edge('fetch', 'notify').add_edge('P', 'notify') (notify then gets what P makes),"
        " or set_loop('P', await_policy='blocking') (items may overtake each other there)"
    )


@pytest.mark.parametrize("policy", AWAIT_POLICIES)
def test_only_a_policy_that_awaits_arms_whole_is_hinted_at(policy):
    found = validate(awaited_end("notify", await_policy=policy))
    assert bool(found) == (policy in {"path", "path_live"})
    assert "in which a blocking node runs" in str(found) or policy != "path_live"


def test_a_chain_of_them_is_one_hint_and_what_is_done_about_it_ends_it():
    graph = awaited_end("a", "b", "c")
    assert [p.nodes for p in validate(graph)] == [("a",)]
    assert validate(graph.remove_edge("fetch", "a").add_edge("P", "a")) == ()


def test_hints_come_last():
    graph = awaited_end("a").add_queue("q").add_edge("P", "q").add_node("late", join=3)
    graph.add_edge("P", "late")
    assert [p.level for p in validate(graph)] == ["error", "warning", "hint"]


def test_what_is_awaited_for_its_own_sake_is_not_hinted_at():
    """A node before the last blocking one, an arm without one, a queue, an if."""
    graph = Workflow("g").add_producer("P").add_node("a", kind="non_blocking").add_node("b")
    graph.add_edge("P", "a", "b").add_node("log", kind="non_blocking").add_edge("P", "log")
    graph.add_queue("q", external=True).add_if("w").add_edge("b", "w").add_edge("w", "q", when=True)
    assert validate(graph) == ()
    once = Workflow("once").add_node("a").add_node("b", kind="non_blocking").add_edge("a", "b")
    assert validate(once) == ()


def test_beside_a_blocking_node_the_hint_names_it():
    graph = Workflow("g").add_producer("P").add_if("i").add_node("x")
    graph.add_node("y", kind="non_blocking").add_edge("P", "i")
    graph.add_edge("i", "x", when=True).add_edge("i", "y", when=False)
    (found,) = validate(graph)
    assert "x beside P -> i -> y is blocking" in str(found)
    assert "remove_edge" not in str(found)


def test_each_loop_and_each_class_node_gets_its_own_hint():
    class Quiet(NonBlockingNode):
        def run(self, data):
            return data.payload

    graph = awaited_end().add_node(Quiet("n")).add_producer("Q")
    graph.add_edge("fetch", "n").add_edge("Q", "fetch")
    assert [str(p).split(" waits")[0].split()[-1] for p in validate(graph)] == ["P", "Q"]
    assert "remove_edge('fetch', 'n').add_edge('P', 'n').add_edge('Q', 'n')" in str(validate(graph))


def test_the_cut_at_a_queue_ends_an_arm():
    graph = awaited_end().add_queue("q").add_edge("fetch", "q").add_queue_reader("R", queue="q")
    graph.add_node("n", kind="non_blocking").add_edge("R", "n").add_edge("q", "R")
    assert validate(graph) == ()


def test_of_many_hints_the_first_are_given_in_time():
    def made(pairs):
        graph, before = Workflow("g").add_producer("P"), "P"
        for i in range(pairs):
            graph.add_node(f"b{i}").add_node(f"n{i}", kind="non_blocking")
            graph.add_edge(before, f"b{i}", f"n{i}")
            before = f"b{i}"
        return graph

    large = made(5_000)
    assert len(validate(large)) == 20
    assert times_longer(validate, made(500), large) < 25


@pytest.mark.parametrize("size", [10_000, pytest.param(100_000, marks=pytest.mark.nightly)])
def test_a_long_chain_is_validated_in_linear_time(size):
    def chain(nodes):
        graph = Workflow("g").add_producer("n0")
        for i in range(1, nodes + 1):
            graph.add_node(f"n{i}", lambda x: x).add_edge(f"n{i - 1}", f"n{i}")
        return graph

    graph = chain(size)
    assert validate(graph) == ()
    assert times_longer(validate, chain(size // 10), graph) < 25
    (problem,) = validate(graph.add_edge(f"n{size}", "n1"))
    assert len(problem.nodes) == size
    assert len(str(problem)) < 500


SCRIPT = """
from flownb.validate.check import validate
from flownb.model.workflow import Workflow
g = Workflow("g").add_producer("p")
for i in range(20):
    g.add_node(f"n{i}").add_edge(f"n{i}", f"n{(i * 7 + 3) % 20}").add_edge("p", f"x{i}")
    g.add_queue(f"q{i}").add_queue_reader(f"r{i}", queue=f"q{(i * 3 + 1) % 20}")
    g.add_edge(f"r{i}", f"q{i}")
print(*validate(g), sep="\\n")
"""


@pytest.mark.wallclock
def test_the_order_does_not_depend_on_the_hash_seed():
    texts = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(filter(None, sys.path))},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in "123"
    }
    assert len(texts) == 1
    assert texts.pop().count("\n") > 20


def several(payload):
    yield payload


async def several_async(payload):
    yield payload


@pytest.mark.parametrize("fn", [several, several_async])
def test_a_node_that_yields_is_refused_because_it_would_pass_on_a_generator(fn):
    graph = Workflow("g").add_producer("p", [1]).add_node("a", fn).add_edge("p", "a")
    (problem,) = validate(graph)
    assert str(problem).endswith("yields, but a node gives one value for each payload: return it")


class Settled(BlockingNode):
    def run(self, data):
        return data.payload


def test_a_config_that_a_class_node_would_not_see_is_refused():
    graph = Workflow("g").add_producer("p", [1]).add_node(Settled("a"), config={"step": 2})
    (problem,) = validate(graph.add_edge("p", "a"))
    assert "give its settings to the class, Settled(...)" in str(problem)


class Takes(BlockingNode):
    def run(self, data, ctx):
        return data, ctx


class Sets(BlockingNode):
    def run(self, data):
        return data

    def setup(self):
        pass


class Tears(BlockingNode):
    def run(self, data):
        return data

    def teardown(self, ctx):
        pass


@pytest.mark.parametrize(
    ("node", "text"),
    [
        (Takes(), "Takes.run(data, ctx): write def run(self, data)"),
        (Sets(), "Sets.setup(): write def setup(self, ctx)"),
        (Tears(), "Tears.teardown(ctx): write def teardown(self)"),
    ],
)
def test_a_method_of_a_class_node_that_cannot_be_called_is_told(node, text):
    graph = Workflow("g").add_producer("p").add_node("n", node).add_edge("p", "n")
    assert errors(graph)[0].startswith(f"node 'n': {text}")


def test_a_model_by_which_nothing_can_be_checked_is_told():
    graph = Workflow("g").add_queue("q", model=len, external=True)
    assert errors(graph)[0].startswith("queue node 'q': model=<built-in function len> cannot")
    assert errors(Workflow("g").add_queue("q", model=list[int], external=True)) == []
