"""Section 4, time: what do clocks say in a simulation, and what if a node does not come back?"""

from __future__ import annotations

import asyncio
import datetime
import signal
import threading
import time

import pytest

from flownb import Graph
from flownb.engine.simulation import simulated_world, watchdog
from flownb.engine.simulation.virtual_loop import EPOCH
from flownb.errors import SimulationError
from tests.support.lab import chain


def clocks():
    return time.time(), time.monotonic(), time.perf_counter(), time.time_ns(), time.monotonic_ns()


def test_the_clocks_of_time_follow_virtual_time():
    told = []

    def node(x):
        told.append(clocks())
        time.sleep(1.5)
        told.append(clocks())

    chain(source=[1, 2]).add_node("n", node, takes=0.5).add_edge("p", "n").simulate()
    assert [t[1] for t in told] == [0, 1.5, 2, 3.5]
    assert [t[2] for t in told] == [0, 1.5, 2, 3.5]
    assert [t[0] - EPOCH for t in told] == [0, 1.5, 2, 3.5]
    assert [(t[3] - EPOCH * 10**9) / 1e9 for t in told] == [0, 1.5, 2, 3.5]
    assert [t[4] / 1e9 for t in told] == [0, 1.5, 2, 3.5]


def test_an_async_node_and_a_source_see_the_same_clocks():
    async def node(x):
        before = time.monotonic()
        await asyncio.sleep(1)
        time.sleep(1)  # noqa: ASYNC251 - so do users
        return x, time.monotonic() - before

    def source():
        yield time.monotonic()
        time.sleep(3)
        yield time.monotonic()

    graph = Graph("g").add_producer("p", source).add_node("n", node, keep=2).add_edge("p", "n")
    assert graph.simulate().outputs("n") == [(0, 2), (5, 2)]


def test_dates_follow_virtual_time_and_other_dates_stay():
    def node(x):
        time.sleep(61)
        texts = time.strftime("%H:%M:%S", time.gmtime()), time.strftime("%Y", time.gmtime(0))
        return (*texts, time.gmtime().tm_year, time.ctime(0) != time.ctime())

    graph = chain(source=[1]).add_node("n", node).add_edge("p", "n")
    assert graph.simulate(until=99).outputs("n") == [("00:01:01", "1970", 2000, True)]


def test_after_a_simulation_and_beside_it_the_clocks_are_real():
    real = time.time, time.monotonic, time.perf_counter, time.sleep, time.localtime
    beside = []
    graph = chain(source=[1]).add_node("n", lambda _: beside.append(time.time)).add_edge("p", "n")
    graph.simulate()
    assert (time.time, time.monotonic, time.perf_counter, time.sleep, time.localtime) == real
    assert beside[0] is not real[0]
    assert beside[0]() > EPOCH + 800_000_000  # a stand-in that somebody keeps is the real one


def test_from_time_import_monotonic_is_seen_too():
    space = {"__name__": "cell"}
    exec(
        "from time import monotonic, sleep\ndef node(x):\n    sleep(2)\n    return monotonic()",
        space,
    )
    sim = chain(source=[1]).add_node("n", space["node"]).add_edge("p", "n").simulate()
    assert sim.outputs("n") == [2]
    assert space["monotonic"] is time.monotonic


@pytest.mark.parametrize("guard", [Exception, BaseException])
def test_a_sleep_past_the_end_ends_the_node_there(guard):
    ended = []

    def node(x):
        while len(ended) < 3:
            try:
                time.sleep(4)
            except guard:
                ended.append(time.monotonic())
                raise

    async def twin(x):
        while True:  # noqa: ASYNC110 - so do users
            await asyncio.sleep(4)

    sims = [
        chain(source=[1]).add_node("n", fn).add_edge("p", "n").simulate(until=10)
        for fn in (node, twin)
    ]
    assert [sim.metrics["p"].open for sim in sims] == [1, 1]
    assert sims[0].digest == sims[1].digest
    assert not sims[0].failures()
    assert ended == ([12] if guard is BaseException else [])


def test_a_sleep_right_up_to_the_end_is_none_past_it():
    graph = chain(source=[1]).add_node("n", lambda _: time.sleep(10) or 7).add_edge("p", "n")
    assert graph.simulate(until=10).outputs("n") == [7]
    assert graph.simulate(until=9.999999).outputs("n") == []


@pytest.mark.parametrize(
    ("seconds", "kind"),
    [("1", TypeError), (None, TypeError), (-1, ValueError), (1e300, OverflowError)],
)
def test_a_simulated_sleep_refuses_what_the_real_one_does(seconds, kind):
    with pytest.raises(kind):
        time.sleep(seconds)
    graph = chain(source=[1]).add_node("n", lambda _: time.sleep(seconds)).add_edge("p", "n")
    assert [type(f.error) for f in graph.simulate().failures()] == [kind]


def test_who_asks_the_clock_for_ever_is_named(monkeypatch):
    monkeypatch.setattr(simulated_world, "READS_AT_ONE_INSTANT", 1000)

    def node(x):
        while time.monotonic() < 2:
            pass

    with pytest.raises(SimulationError, match=r"node 'n' .*has asked for the time 1,000 times"):
        chain(source=[1]).add_node("n", node).add_edge("p", "n").simulate()


def today(_):
    def inner():
        return datetime.datetime.now(tz=datetime.UTC)

    return inner()


def test_a_node_that_asks_for_today_is_warned_of():
    sim = chain(source=[1]).add_node("n", today).add_edge("p", "n").simulate()
    assert ["datetime.now() gives the date of today" in line.text for line in sim.logs()] == [True]
    assert not chain(source=[1]).simulate(until=1).logs()


SPINS = """
def spin(_):
    while True:
        {body}

async def aspin(_):
    while True:
        {body}
"""


@pytest.mark.wallclock
@pytest.mark.parametrize("body", ["pass", "time.sleep(1)"])
@pytest.mark.parametrize("name", ["spin", "aspin"])
def test_an_interrupt_names_the_node_and_leaves_no_thread(name, body):
    space = {"time": time}
    exec(SPINS.format(body=body), space)
    graph = chain(source=[1]).add_node("n", space[name]).add_edge("p", "n")
    main = threading.main_thread().ident
    timer = threading.Timer(0.5, signal.pthread_kill, (main, signal.SIGINT))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may ignore it
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt, match=r"the simulation was in node 'n'"):
            graph.simulate(iterations=1)
    finally:
        timer.join()
        signal.signal(signal.SIGINT, before)


@pytest.mark.wallclock
def test_a_node_that_computes_for_long_is_named(monkeypatch):
    monkeypatch.setattr(watchdog, "PATIENCE", 0.2)
    clock = time.process_time

    def node(x):
        until = clock() + 1.5
        while clock() < until:
            pass
        return 1

    graph = chain(source=[1]).add_node("n", node).add_edge("p", "n")
    with pytest.warns(RuntimeWarning, match=r"node 'n' \(loop 'p', iteration 0\) has computed for"):
        assert graph.simulate().outputs("n") == [1]
