"""Section 4, time: how long does a node last in a simulation, and what may it not do?"""

from __future__ import annotations

import asyncio
import functools
import os
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from flownb import Graph
from flownb.engine.simulation import simulated_world
from flownb.engine.simulation.virtual_loop import VirtualLoop
from flownb.errors import DeadlockError, InjectedFailure, LivelockError, SimulationError
from tests.support import sleepers
from tests.support.lab import calls, chain, fan, seen, times
from tests.support.sleepers import LONG


@pytest.fixture(autouse=True)
def no_real_time():
    """Nothing here may really sleep: sleepers sleep `LONG` seconds a time."""
    start = time.monotonic()
    yield
    assert time.monotonic() - start < LONG


# -- length --------------------------------------------------------------------


def test_a_node_lasts_what_it_awaits_plus_what_it_sleeps_plus_what_it_takes():
    def sync(_, ctx):
        time.sleep(1)
        ctx.sleep(2)

    async def asynchronous(_, ctx):
        await asyncio.sleep(1)
        await ctx.sleep(2)

    for fn in (sync, asynchronous):
        sim = chain(("a", fn, {"takes": 4}), source=[1]).simulate(until=99)
        assert calls(sim, "a") == [(0, 7)], fn.__name__


def test_any_other_work_takes_no_virtual_time():
    sim = chain(("a", lambda _: sum(range(10_000)), {}), source=[1]).simulate(until=9)
    assert calls(sim, "a") == [(0, 0)]


def test_takes_may_be_a_function_of_the_node_s_random_numbers():
    graph = chain(("a", None, {"takes": lambda rng: rng.uniform(1, 2)}), source=range(20))
    lengths = [[b - a for a, b in calls(graph.simulate(seed=s, until=99), "a")] for s in (0, 0, 1)]
    assert lengths[0] == lengths[1] != lengths[2]
    assert all(1 <= x <= 2 for x in lengths[0])
    assert len({round(x, 6) for x in lengths[0]}) == 20


def test_a_producer_an_if_and_a_queue_reader_last_as_long_as_they_say():
    graph = Graph("g").add_producer("p", [1, 2], takes=2).add_if("i", bool, takes=3).add_node("a")
    graph.add_edge("p", "i").add_edge("i", "a", when=True)
    assert graph.simulate(until=99).releases("p") == [5, 10]


def test_parallel_nodes_of_one_and_two_seconds_end_in_two():
    sim = fan(("a", None, {"takes": 1}), ("b", None, {"takes": 2}), source=[1]).simulate(until=9)
    assert sim.duration == 2


SLEEPERS = {
    "a function": ("a", sleepers.node),
    "a partial": ("a", functools.partial(sleepers.node)),
    "a method": ("a", sleepers.Callable().method),
    "a callable object": ("a", sleepers.Callable()),
    "a class node": ("a", sleepers.Node("a")),
}


@pytest.mark.parametrize("kind", SLEEPERS)
def test_from_time_import_sleep_is_seen_in_the_module_of(kind):
    name, fn = SLEEPERS[kind]
    sim = chain(source=[1, 2]).add_node(name, fn).add_edge("p", name).simulate(until=9 * LONG)
    assert calls(sim, "a") == [(0, LONG), (LONG, 2 * LONG)]
    assert sleepers.sleep is time.sleep


@pytest.mark.parametrize("kind", ["class", "generator function", "generator", "if", "fake"])
def test_from_time_import_sleep_is_seen_in_sources_predicates_and_fakes(kind):
    graph = Graph("g").add_node("a")
    match kind:
        case "class":
            graph.add_producer(sleepers.Producer("p"))
        case "generator function":
            graph.add_producer("p", sleepers.generator)
        case "generator":
            graph.add_producer("p", sleepers.generator())
        case "if":
            graph.add_producer("p").add_if("i", sleepers.node)
            graph.add_edge("p", "i").add_edge("i", "a", when=True)
        case "fake":
            graph.add_producer("p").add_node("a", print, fake=sleepers.node)
    if kind != "if":
        graph.add_edge("p", "a")
    assert graph.simulate(iterations=2).releases("p") == [LONG, 2 * LONG]


def test_two_simulations_at_once_do_not_take_each_other_s_sleep_away():
    """The one that began first ends while the other has still to sleep."""
    first_is_in, second_is_in, first_is_over = (threading.Event() for _ in range(3))
    ends = []

    def in_first(_):
        first_is_in.set()
        assert second_is_in.wait(60)

    def in_second(_):
        second_is_in.set()
        assert first_is_over.wait(60)

    def run(wait, over):
        graph = chain(("w", wait, {}), ("a", sleepers.node, {}), source=[1])
        ends.append(graph.simulate(until=9 * LONG).duration)
        over.set()

    threads = [threading.Thread(target=run, args=(in_first, first_is_over))]
    threads.append(threading.Thread(target=run, args=(in_second, threading.Event())))
    threads[0].start()
    assert first_is_in.wait(60)
    threads[1].start()
    for thread in threads:
        thread.join()
    assert ends == [LONG, LONG]
    assert sleepers.sleep is time.sleep


def test_other_threads_really_sleep_while_a_simulation_runs():
    slept = []

    def elsewhere():
        start = time.monotonic()
        time.sleep(0.05)
        slept.append(time.monotonic() - start)

    inside, done = threading.Event(), threading.Event()

    def node(_):
        inside.set()
        assert done.wait(2)

    thread = threading.Thread(target=lambda: (inside.wait(2), elsewhere(), done.set()))
    thread.start()
    chain(("a", node, {}), source=[1]).simulate(until=1)
    thread.join()
    assert slept[0] >= 0.05


# -- stand-ins -----------------------------------------------------------------


def test_a_fake_stands_in_for_the_function_in_simulations():
    graph = chain(("a", explode, {"fake": lambda x: x + 1}), source=[1])
    assert graph.simulate(until=9).outputs("a") == [2]


def test_a_fake_may_be_async_and_stand_in_for_a_class_node():
    async def fake(x, ctx):
        await ctx.sleep(2)
        return x + 1

    graph = chain(source=[1]).add_node("a", sleepers.Node("a"), fake=fake).add_edge("p", "a")
    sim = graph.simulate(until=9)
    assert (sim.outputs("a"), sim.releases("p")) == ([2], [2])


def test_a_producer_may_have_a_fake():
    graph = Graph("g").add_producer("p", explode, fake=lambda: 7, every=4).add_node("a")
    assert graph.add_edge("p", "a").simulate(until=5).outputs("a") == [7]


def explode(*_):
    raise AssertionError("called")


class Explosive(sleepers.Node):
    setup = run = teardown = explode


def test_call_false_calls_no_function_but_fakes():
    graph = (
        Graph("g").add_producer("p", explode, every=1, takes=0.1).add_node("a", explode, takes=1)
    )
    graph.add_node(Explosive("b"), takes=1).add_node("c", explode, fake=lambda x: [x], takes=1)
    sim = graph.add_edge("p", "a", "b", "c").simulate(until=9, call=False)
    assert not sim.failures()
    assert sim.releases("p") == [3.1, 7.1]
    assert sim.outputs("c") == [[1]]


def test_call_false_still_reads_a_list_of_items():
    sim = chain(("a", explode, {}), source=["x", "y"]).simulate(until=9, call=False)
    assert sim.outputs("a") == ["y"]


def test_fail_may_name_the_items_that_fail():
    sim = chain(("a", None, {"fail": [1, 3]}), source=range(5)).simulate(until=9)
    assert [f.iteration for f in sim.failures()] == [1, 3]
    assert all(isinstance(f.error, InjectedFailure) for f in sim.failures())


def test_a_failure_by_a_function_is_told_alike_in_every_process():
    sim = chain(("a", None, {"fail": lambda rng: True}), source=[1]).simulate(until=9)
    assert [str(f.error) for f in sim.failures()] == ["fail=<lambda> said so"]


@pytest.mark.parametrize(("share", "low", "high"), [(0.0, 0, 0), (0.3, 60, 120), (1, 10, 10)])
def test_fail_may_be_a_probability(share, low, high):
    graph = chain(("a", None, {"fail": share}), source=range(300))
    assert low <= graph.simulate(until=9).metrics["p"].failed <= high


def test_fail_may_be_a_function_of_the_node_s_random_numbers():
    graph = chain(("a", None, {"fail": lambda rng: rng.random() < 0.5}), source=range(100))
    first, second = (graph.simulate(until=9) for _ in range(2))
    assert [f.iteration for f in first.failures()] == [f.iteration for f in second.failures()]
    assert 10 < first.metrics["p"].failed < 90


def test_an_injected_failure_takes_as_long_as_the_node():
    sim = chain(("a", None, {"fail": [0], "takes": 3}), source=[1]).simulate(until=9)
    assert sim.releases("p") == [3]


# -- the outside world ---------------------------------------------------------


def open_socket(_):
    socket.socket()


def start_thread(_):
    threading.Thread(target=print).start()


def start_process(_):
    subprocess.run(["true"], check=False)


def system(_):
    os.system("true")


def pool(_):
    with ThreadPoolExecutor() as threads:
        threads.submit(print)


async def executor(_):
    await asyncio.get_running_loop().run_in_executor(None, print)


async def to_thread(_):
    await asyncio.to_thread(print)


async def open_connection(_):
    await asyncio.open_connection("localhost", 9)


@pytest.mark.parametrize(
    "fn", [open_socket, start_thread, start_process, system, pool, executor, to_thread]
)
@pytest.mark.parametrize("options", [{}, {"timeout": 5}])
def test_a_simulated_node_cannot_reach_the_world_outside(fn, options):
    with pytest.raises(SimulationError, match=r"node 'a' \(iteration 0\) .* give it fake="):
        chain(("a", fn, options), source=[1, 2]).simulate(until=9)


def test_a_simulated_node_cannot_open_a_connection():
    with pytest.raises((SimulationError, NotImplementedError)):
        chain(("a", open_connection, {}), source=[1]).set_loop("p", on_error="stop").simulate()


def test_after_a_simulation_the_world_is_as_it_was():
    with pytest.raises(SimulationError):
        chain(("a", open_socket, {}), source=[1]).simulate(until=9)
    with socket.socket(), ThreadPoolExecutor(1) as threads:
        assert threads.submit(len, "abc").result() == 3


# -- standing still ------------------------------------------------------------


def test_a_deadlock_names_who_waits_for_what_it_can_never_get():
    async def forever(_):
        await asyncio.get_running_loop().create_future()

    with pytest.raises(DeadlockError, match=r"node 'a'.*loop 'p'.*iteration 1"):
        chain(("a", lambda x: forever(x) if x else x, {}), source=[0, 1]).simulate(until=9)


def test_two_nodes_that_wait_for_each_other_are_both_named():
    locks = {}

    def grab(first, second):
        async def fn(_):
            for name in (first, second):
                await locks.setdefault(name, asyncio.Lock()).acquire()
                await asyncio.sleep(1)

        return fn

    with pytest.raises(DeadlockError, match=r"'a'.*'b'"):
        fan(("a", grab(1, 2), {}), ("b", grab(2, 1), {}), source=[1]).simulate(until=99)


def test_a_reader_that_waits_for_messages_nobody_sends_is_no_deadlock():
    graph = chain("a", source=[1]).add_queue_reader("r", queue="q", external=True)
    graph.add_node("b").add_edge("r", "b")
    assert graph.simulate(until=9).metrics["r"].state == "running"


def test_an_endless_producer_without_any_time_is_a_livelock(monkeypatch):
    monkeypatch.setattr(simulated_world, "CALLS_AT_ONE_INSTANT", 500)
    with pytest.raises(LivelockError, match=r"loop 'p'.*every="):
        chain("a").simulate(until=1)


def test_an_endless_producer_with_iterations_is_none(monkeypatch):
    monkeypatch.setattr(simulated_world, "CALLS_AT_ONE_INSTANT", 500)
    assert chain("a").simulate(iterations=5000, history=10).metrics["p"].done == 5000


def test_a_producer_that_only_fails_any_more_does_not_go_on_for_ever(monkeypatch):
    monkeypatch.setattr(simulated_world, "FAILED_TICKS", 50)
    days = iter([1, 2])

    def read():
        for day in days:
            return day
        raise OSError("the file has ended")

    graph = Graph("g").add_producer("p", read).add_node("a").add_edge("p", "a")
    with pytest.raises(LivelockError, match=r"loop 'p'.*failed 50 times in a row.*until="):
        graph.simulate(iterations=3)
    days = iter([1, 2])
    assert graph.simulate(iterations=3, until=5).metrics["p"].done == 2


def test_a_long_list_without_any_time_is_none(monkeypatch):
    monkeypatch.setattr(simulated_world, "CALLS_AT_ONE_INSTANT", 500)
    sim = chain("a", source=range(5000)).simulate(until=1, history=10)
    assert sim.metrics["p"].done == 5000


def test_a_ring_of_queues_without_any_time_is_a_livelock():
    graph = (
        Graph("g").add_producer("p", [1]).add_queue("start", queue="ring").add_edge("p", "start")
    )
    graph.add_queue_reader("r", queue="ring").add_node("n").add_queue("again", queue="ring")
    with pytest.raises(LivelockError, match="ring of queues"):
        graph.add_edge("r", "n", "again").simulate(until=1)


# -- time itself ---------------------------------------------------------------


def test_equal_times_fire_first_come_first_served():
    got = []
    graph = fan(*((n, seen(got, n), {"takes": 1}) for n in "cab"), source=["x"])
    graph.add_node("j", seen(got)).add_edge("c", "j").add_edge("a", "j").add_edge("b", "j")
    sim = graph.simulate(until=9)
    assert [s.node for s in sim.timeline if s.start == 0] == ["p", "c", "a", "b", "p"]
    assert list(got[-1]) == ["c", "a", "b"]


def test_times_that_differ_only_by_rounding_are_equal_and_keep_their_order():
    got = []
    loop = VirtualLoop()
    for name, when in (("first", 0.1 + 0.2), ("second", 0.3)):
        loop.call_at(when, lambda name=name: got.append((name, loop.time())))
    loop.run_until_complete(asyncio.sleep(1))
    loop.close()
    assert got == [("first", 0.3), ("second", 0.3)]


def test_time_is_kept_in_whole_microseconds_for_years():
    sim = chain(("a", None, {"takes": 86_400 * 365}), source=[1, 2, 3]).simulate(until=1e9)
    assert sim.releases("p") == [31_536_000, 63_072_000, 94_608_000]
    sim = chain(("a", None, {"takes": 0.1}), source=range(1000)).simulate(until=1e9)
    assert sim.releases("p")[-1] == 100


def test_a_simulation_runs_inside_a_running_event_loop():
    async def cell():
        return chain(("a", None, {"takes": 1}), source=[1]).simulate(until=9).duration

    assert asyncio.run(cell()) == 1


def test_a_policy_given_to_the_simulation_overrides_that_of_each_loop():
    graph = fan(("n", None, {"kind": "non_blocking", "takes": 5}), source=[1, 2])
    graph.set_loop("p", await_policy="none")
    assert graph.simulate(until=99).releases("p") == [0, 0]
    assert graph.simulate(until=99, policy="all").releases("p") == [5, 10]
    assert times(graph.simulate(until=99), "settled") == [5, 5]


def test_a_sync_node_that_pushes_lasts_as_declared_and_its_message_leaves_at_its_end():
    def pushes(n, ctx):
        ctx.push("q", n)

    graph = chain(("a", pushes, {"takes": 1}), source=[1, 2]).add_queue("q")
    graph.add_queue_reader("r", queue="q").add_node("m", None).add_edge("r", "m")
    sim = graph.simulate(until=9)
    assert sim.releases("p") == [1, 2]
    assert [span.start for span in sim.timeline.spans if span.node == "m"] == [1, 2]
