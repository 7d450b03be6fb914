"""Whatever is asked of a loop, in whatever order: does it keep its books and its diagram?

A Hypothesis state machine pushes, pauses, resumes, steps, swaps and, where there is a
process to kill, kills. In between it holds the books; at its end nothing may be lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import time

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from flownb import Graph

pytestmark = [pytest.mark.wallclock, pytest.mark.timeout(1200)]
PATIENCE = 40  # seconds; for a machine that is busy with other things
# What may follow what. "starting" again: after a crash.
DIAGRAM = {
    "starting": {"running", "stopping", "stopped", "starting"},
    "running": {"pausing", "stopping", "starting"},
    "pausing": {"paused", "running", "stopping", "starting"},
    "paused": {"running", "stopping", "starting"},
    "stopping": {"stopped", "starting"},
    "stopped": set(),
}


def work(n):
    if n % 5 == 4:
        raise ValueError(n)
    return n, os.getpid()


class Life(RuleBasedStateMachine):
    """One reading loop, and everything that may be asked of it."""

    pool = ""

    def __init__(self):
        super().__init__()
        graph = Graph(f"life {self.pool}").add_queue_reader("read", queue="in", external=True)
        graph.add_node("work", work, keep=1000).add_node("beside", kind="non_blocking")
        graph.add_edge("read", "work").add_edge("read", "beside")
        graph.set_loop(
            "read", pool=self.pool, on_error="dead_letter", restart="on_crash", max_in_flight=4
        )
        self.orch = graph.start()
        self.pushed, self.kills, self.asked = 0, 0, []

    def _run(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.orch._live.home).result(PATIENCE)

    @rule(count=st.integers(1, 8))
    def push(self, count):
        for _ in range(count):
            self._run(self.orch.queues.push("in", self.pushed))
            self.pushed += 1

    @rule(await_it=st.booleans())
    def pause(self, await_it):
        self._ask(self.orch.pause(), await_it=await_it)

    @rule(await_it=st.booleans())
    def resume(self, await_it):
        self._ask(self.orch.resume(), await_it=await_it)

    @rule()
    def swap(self):
        self.orch.swap("beside", lambda n: n)

    @rule(milliseconds=st.integers(1, 5))
    def let_time_pass(self, milliseconds):
        time.sleep(milliseconds / 1000)

    @rule()
    def kill(self):
        found = self.orch.outputs("work")
        if self.pool == "process" and found and self.kills < 2:
            self.kills += 1
            pid = found[-1][1]
            process = self.orch._live.loop_runs["read"].host.process
            with contextlib.suppress(ValueError, ProcessLookupError):  # it has just ended
                if process is not None and process.pid == pid:
                    os.kill(pid, signal.SIGKILL)

    def _ask(self, request, *, await_it):
        self.asked.append(request)
        if await_it:
            request.wait(PATIENCE)

    @invariant()
    def the_books_are_balanced(self):
        m = self.orch.metrics()["read"]
        assert m.produced == m.done + m.failed + m.dropped + m.cancelled + m.open
        assert 0 <= m.in_flight <= 4
        assert m.open >= 0

    @invariant()
    def states_follow_the_diagram(self):
        events = list(self.orch._live.loop_runs["read"].history.events)
        states = [e.data[0] for e in events if e.kind == "state"]
        for before, after in itertools.pairwise(states):
            assert after in DIAGRAM[before], states

    def teardown(self):
        try:
            self._nothing_is_lost()
        finally:
            begin = time.monotonic()
            self.orch.stop(grace=2).wait(PATIENCE)
            self.orch.stop().wait(PATIENCE)  # again: harmless
            assert time.monotonic() - begin < PATIENCE
            self.orch._live.server.close()
        self.the_books_are_balanced()
        self.states_follow_the_diagram()
        assert self.orch.metrics()["read"].open == 0

    def _nothing_is_lost(self):
        self.orch.resume()
        end = time.monotonic() + PATIENCE
        done, dead = set(), set()
        wanted = set(range(self.pushed))
        while done | dead != wanted:
            assert time.monotonic() < end, (wanted - done - dead, self.orch.status())
            time.sleep(0.005)
            dead = {letter["item"] for letter in self._run(self.orch.queues.dead("read", 1000))}
            done |= {n for n, _ in self.orch.outputs("work")} | self._done_before_a_kill()
        assert dead == {n for n in wanted if n % 5 == 4}
        if not self.kills:
            # a process tells a moment later what its Redis knows, and an output comes first
            while self._counted() != (len(done), len(dead)) and time.monotonic() < end:
                time.sleep(0.001)
            assert self._counted() == (len(done), len(dead))

    def _counted(self):
        m = self.orch.metrics()["read"]
        return m.done, m.failed

    def _done_before_a_kill(self):
        """Outputs live with their process; spans were told, and what is settled was acked."""
        if not self.kills:
            return set()
        stats = self._run(self.orch.queues.stats("in"))
        if stats.depth:
            return set()
        return {n for n in range(self.pushed) if n % 5 != 4}


def live(pool, examples):
    machine = type(f"Life in {pool}", (Life,), {"pool": pool})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=True,
            database=None,
        ),
    )


@pytest.mark.parametrize("pool", ["asyncio", "thread", "process"])
def test_a_life_of_thirty_steps_keeps_its_books_and_loses_nothing(pool):
    live(pool, 10 if pool == "process" else 45)


@pytest.mark.nightly
@pytest.mark.parametrize("pool", ["asyncio", "thread", "process"])
def test_many_lives_keep_their_books_and_lose_nothing(pool):
    live(pool, 170)
