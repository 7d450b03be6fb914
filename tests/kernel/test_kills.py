"""What is left when the kernel is interrupted, restarted or killed with all pools busy?"""

from __future__ import annotations

import os
import signal
import socket
import time

import psutil
import pytest

from tests.support.kernels import still_there
from tests.support.standstill import Stopwatch

pytestmark = [pytest.mark.kernel, pytest.mark.wallclock, pytest.mark.timeout(300)]

# Loops in all local pools, some of them busy where Python cannot see a signal, and a
# Redis of the kernel's own. The functions are defined here: in the notebook.
BUSY = """
import ctypes, os, time

def sleeps(n):
    time.sleep(0.05)
    return os.getpid()

def holds(n):
    ctypes.PyDLL(None).usleep(200_000)  # C code that keeps Python's lock
    return os.getpid()

def hangs(n):
    time.sleep(3600)

graph = Graph("busy")
for name, pool, fn in [
    ("a", "asyncio", sleeps), ("t", "thread", sleeps), ("p", "process", sleeps),
    ("c", "process", holds), ("h", "process", hangs),
]:
    graph.add_producer(name).add_node(name + "1", fn).add_queue(name + "q", external=True)
    graph.add_edge(name, name + "1", name + "q").set_loop(name, pool=pool)
orch = graph.start()
for name in "atpc":
    await orch.wait(iterations=2, loop=name, timeout=30)
"""
RELEASED = "[orch.metrics()[name].released for name in 'atpc']"


def ours(kernel):
    """Every process that the kernel has, of whatever depth, as psutil knows it."""
    found = {p.pid: p for p in psutil.Process(kernel.pid).children(recursive=True)}
    names = " ".join(" ".join(p.cmdline()) for p in found.values())
    assert "forkserver" in names
    assert "valkey-server" in names or "redis-server" in names
    assert len(found) >= 6  # fork server, tracker, three loops, Redis, its guard
    return list(found.values())


def interrupted(kernel, times):
    kernel(BUSY)
    for n in range(times):
        before = eval(kernel(RELEASED).result)
        nap = "await asyncio.sleep(30)" if n % 2 else "time.sleep(30)"
        sent = kernel.send(f"import asyncio; print('begun'); {nap}")
        kernel.begun(sent)
        time.sleep(0.1)
        with Stopwatch() as watch:
            os.killpg(os.getpgid(kernel.pid), signal.SIGINT)  # as Jupyter does: the whole group
            ran = kernel.collect(sent)
        assert ran.status == "error"
        assert watch.seconds < 2
        after, end = before, time.monotonic() + 20
        while not all(a > b for a, b in zip(after, before, strict=True)):
            assert time.monotonic() < end, (before, after)
            time.sleep(0.3)
            after = eval(kernel(RELEASED).result)
    states = eval(kernel("{s.loop: s.state for s in orch.status().loops}").result)
    assert states == dict.fromkeys("atpch", "running")
    assert not [line for line in kernel.strays if "Traceback" in line]
    children = ours(kernel)
    kernel("await orch.stop(grace=0.5); orch._live.server.close()")
    status = eval(kernel("{s.loop: s.state for s in orch.status().loops}").result)
    assert set(status.values()) == {"stopped"}
    kernel("del orch")
    helpers = [p for p in children if p.is_running() and "multiprocessing" in str(p.cmdline())]
    assert not still_there([p for p in children if p not in helpers])


def killed(kernel):
    kernel(BUSY)
    children = ours(kernel)
    os.kill(kernel.pid, signal.SIGKILL)
    assert not still_there(children)


def restarted(kernel):
    kernel(BUSY)
    children = ours(kernel)
    kernel.manager.restart_kernel(now=False)
    kernel.client.wait_for_ready(timeout=30)
    assert not still_there(children)


def test_an_interrupt_of_the_kernels_process_group_leaves_all_loops_alive(kernel):
    interrupted(kernel, 4)


def test_nothing_of_ours_outlives_a_kernel_that_was_killed(kernel):
    killed(kernel)


def test_nothing_of_ours_outlives_a_restart(kernel):
    restarted(kernel)


@pytest.mark.nightly
def test_twenty_interrupts_leave_all_loops_alive(kernel):
    interrupted(kernel, 20)


@pytest.mark.nightly
@pytest.mark.parametrize("_", range(5))
def test_nothing_outlives_a_kill_five_times(kernel, _):
    killed(kernel)


@pytest.mark.nightly
@pytest.mark.parametrize("_", range(5))
def test_nothing_outlives_a_restart_five_times(kernel, _):
    restarted(kernel)


SERVED = """
import asyncio, threading
orch = Graph("served").add_producer("p", every=0.05).add_node("n").add_edge("p", "n").start()
ports = [(await flownb.serve(orch)).port, (await flownb.serve(orch)).port]
names = [thread.name for thread in threading.enumerate()].count("flownb server")
"""
ENDED = """
server = await flownb.serve(orch)
before = {task.get_name() for task in asyncio.all_tasks()}
await server.stop()
await orch.stop()
for _ in range(100):  # a loop's thread ends a moment after its loop
    left = [thread.name for thread in threading.enumerate() if thread.name.startswith("flownb")]
    left += {task.get_name() for task in asyncio.all_tasks()} - before
    if not left:
        break
    await asyncio.sleep(0.1)
"""


def answers(port):
    with socket.socket() as made:
        return made.connect_ex(("127.0.0.1", port)) == 0


def test_a_server_is_replaced_by_the_next_and_gone_with_its_kernel_or_when_it_is_stopped(kernel):
    for end in ("restart", "stop"):
        kernel(f"import flownb\nfrom flownb import Graph\n{SERVED}")
        first, second = eval(kernel("ports").result)
        assert first == second
        assert answers(first)
        assert kernel("names").result == "1"
        if end == "restart":
            kernel.manager.restart_kernel(now=False)
            kernel.client.wait_for_ready(timeout=60)
        else:
            kernel(ENDED)
            assert kernel("left").result == "[]"
        assert not answers(first)
