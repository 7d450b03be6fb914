"""Is a loop in another process seen as one in the kernel, whether the kernel looks or not?"""

from __future__ import annotations

import asyncio
import pickle
import re
import threading
import time
from math import inf
from pathlib import Path

import pytest

from flownb.engine.hosts.process import ProcessHost
from flownb.engine.loop.slots import Slots
from flownb.engine.observe.history import open_calls
from flownb.engine.remote.forwarder import Forwarder
from flownb.records.events import Event, Span
from flownb.widgets.dag import DagState
from tests.support.live import live, one, until

pytestmark = pytest.mark.wallclock


def under_way(orch):
    return {(s.node, s.iteration, s.kind) for s in open_calls(orch._live.loop_runs["days"].manager)}


def gated(*gates):
    """Give a node that holds an item until the file of its number is there."""

    def hold(n):
        while not Path(gates[n]).exists():
            time.sleep(0.005)
        return n

    return hold


@live
async def test_what_is_under_way_in_another_process_is_seen_here(tmp_path):
    gates = [str(tmp_path / str(n)) for n in range(2)]
    graph = one(range(2), gated(*gates), pool="process")
    graph.add_node("beside", kind="non_blocking").add_edge("check", "beside")
    orch = graph.start()
    for n, gate in enumerate(gates):
        wanted = {("check", n, "work"), ("days", n, "wait")}
        await until(lambda w=wanted: under_way(orch) == w, patience=20)
        before = await _length(orch)
        assert before < await _length(orch)
        _open(gate)
    await until(lambda: under_way(orch) == set(), patience=20)
    await orch.wait(timeout=30)
    await orch.stop()


def _open(gate):
    Path(gate).touch()


def _peak(process):
    """Give the most memory that a process has had, in megabytes."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024


async def _length(orch):
    await asyncio.sleep(0.02)
    return max(s.duration for s in open_calls(orch._live.loop_runs["days"].manager))


@live
async def test_a_view_says_for_whom_a_loop_in_another_process_waits(tmp_path):
    graph = one(None, lambda n: time.sleep(0.05) or n, pool="process")
    async with graph.start() as orch:
        reading, found = DagState(orch), []

        def said():
            found[:] = [(w.loop, w.nodes, w.kind) for w in reading.now().waits]
            return found == [("days", ("check",), "wait")]

        await until(said, found, patience=20)


@live
async def test_what_a_killed_child_had_under_way_is_not_under_way_any_more():
    orch = one([1], lambda _: time.sleep(60), pool="process").start()
    await until(lambda: under_way(orch), patience=20)
    orch._live.loop_runs["days"].host.process.kill()
    await until(lambda: orch.status()["days"].state == "error", patience=20)
    assert under_way(orch) == set()
    await orch.stop()


@live
async def test_what_died_with_a_child_is_told_in_the_log_and_the_status(tmp_path, monkeypatch):
    """The notebook looks away until the pipe is full; then the child is killed."""
    done, looks, take = tmp_path / "done", threading.Event(), ProcessHost._take

    def look_away(self, here):
        looks.wait(50)
        return take(self, here)

    def work(n, path=str(done)):
        with open(path, "a") as file:  # noqa: PTH123
            file.write(".")
        if n == 3000:
            time.sleep(60)
        if n % 2:
            raise ValueError(n)

    monkeypatch.setattr(ProcessHost, "_take", look_away)
    orch = one(range(4000), work, pool="process").start()
    try:
        await until(lambda: done.exists() and done.stat().st_size == 3001, patience=45)
        orch._live.loop_runs["days"].host.process.kill()
    finally:
        looks.set()
    await until(lambda: orch.status()["days"].state == "error", patience=20)
    status, m = orch.status(), orch.metrics()["days"]
    assert m.failed < 1500
    assert status["days"].unsent == m.unsent > 1500 - m.failed
    assert f"; {m.unsent:,} records lost with a process; " in repr(status)
    assert any(line.text.startswith(f"{m.unsent:,} calls, events") for line in orch.logs())
    events = orch._live.loop_runs["days"].history.events
    assert [e.data for e in events if e.kind == "unsent"] == [m.unsent]
    await orch.stop()


@live
async def test_a_loop_whose_notebook_looks_away_goes_on_within_bounds(tmp_path, monkeypatch):
    """Its telling would take 300 MB; the counters are exact all the same, and the gap is told."""
    done, looks, take = tmp_path / "done", threading.Event(), ProcessHost._take

    def look_away(self, here):
        looks.wait(50)
        return take(self, here)

    def work(n, path=str(done)):
        if n == 1999:
            Path(path).touch()
        if n % 2:
            raise ValueError("x" * 100_000)
        return n

    monkeypatch.setattr(ProcessHost, "_take", look_away)
    orch = one(range(2000), work, pool="process").start()
    try:
        await until(done.exists, patience=45)
        peak = _peak(orch._live.loop_runs["days"].host.process)
    finally:
        looks.set()
    await orch.wait(timeout=30)
    await orch.stop()
    m = orch.metrics()["days"]
    assert peak < 200, f"{peak:.0f} MB"
    assert (m.produced, m.done, m.failed, m.nodes["check"].failed) == (2000, 1000, 1000, 1000)
    assert m.missed > 500
    assert orch.failures()[-1].iteration == 1999
    assert "did not keep up" in orch.logs(loop="days")[0].text


class Busy:
    """A loop whose calls are others each time one looks."""

    def __init__(self, count):
        self.slots, self.looks, self.count = Slots(1), 0, count

    @property
    def open_calls(self):
        self.looks += 1
        calls = range(self.looks, self.looks + self.count)
        return {n: Span("p", "a node of some name", n, 0, "work", 0.1, inf) for n in calls}


def relayed(busy, seconds):
    """Give what a forwarder sends of it, while something happens every millisecond."""
    sent = []
    forwarder = Forwarder("p", sent.append, {}, watched=False)
    forwarder.loop = busy
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        forwarder.on_event(Event(0.0, "released", "p"))
        time.sleep(0.001)
    forwarder.close(("end",))
    return [record for message in sent for record in pickle.loads(message)]


def test_what_is_under_way_is_told_ten_times_a_second_and_is_not_much():
    told = [r for r in relayed(Busy(5_000), 0.65) if r[0] == "open_calls"]
    assert 1 <= len(told) <= 7
    assert max(len(pickle.dumps(r)) for r in told) < 20_000


def test_of_a_loop_that_rests_nothing_is_sent():
    busy = Busy(0)
    sent = []
    forwarder = Forwarder("p", sent.append, {}, watched=False)
    forwarder.loop = busy
    time.sleep(0.3)
    assert (sent, busy.looks) == ([], 0)
    forwarder.close()
