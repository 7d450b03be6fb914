"""Does a notebook stay a notebook while loops run in its kernel?"""

from __future__ import annotations

import os
import signal
import time

import psutil
import pytest

from tests.support.kernels import still_there
from tests.support.standstill import Stopwatch

pytestmark = [pytest.mark.kernel, pytest.mark.wallclock]


def test_importing_does_nothing(bare):
    bare("import asyncio, sys, threading")
    before = (
        "(len(asyncio.all_tasks()), threading.enumerate(), asyncio.run, sys.stdout, sys.stderr)"
    )
    bare(f"before = {before}")
    bare("import flownb; from flownb import Graph, Retry, Limit")
    assert bare(f"{before} == before").result == "True"
    assert bare("hasattr(asyncio, '_nest_patched')").result == "False"
    for heavy in ("nest_asyncio", "matplotlib", "ipywidgets", "redis"):
        known = bare(f"'{heavy}' in sys.modules").result
        assert known == "False" or heavy == "ipywidgets", heavy


def best_share(kernel, every, enough, tries=5):
    """How many beats the event loop had in two seconds, what all have lost not counted."""
    shares = []
    while len(shares) < tries and max(shares, default=0) < enough:
        kernel(f"beats = Beats({every})")
        with Stopwatch() as watch:
            time.sleep(2)
            share = float(kernel("beats.share()").result)
        shares.append(share + watch.lost / watch.clock)
    return max(shares)


def test_sleeping_nodes_in_threads_leave_the_kernels_event_loop_free(kernel):
    kernel("""
graph = one(fn=lambda _: time.sleep(0.3)).add_node("also", lambda _: time.sleep(0.3))
graph.add_node("besides", lambda _: time.sleep(0.3), kind="non_blocking")
graph.add_edge("days", "also").add_edge("days", "besides")
graph.add_producer("nights", every=0.05).add_node("nap", lambda _: time.sleep(0.3))
orch = graph.add_edge("nights", "nap").start()
""")
    share = best_share(kernel, 0.02, 0.95)
    kernel("await orch.stop(grace=1)")
    assert share >= 0.95


def test_two_busy_loops_in_threads_leave_the_kernels_event_loop_most_of_its_time(kernel):
    kernel("""
def burn(n):
    end = time.perf_counter() + 0.05
    while time.perf_counter() < end:
        n += 1
    return n

graph = one(fn=burn).add_producer("nights").add_node("also", burn).add_edge("nights", "also")
orch = graph.start()
""")
    share = best_share(kernel, 0.05, 0.8)
    kernel("await orch.stop(grace=1)")
    assert share >= 0.8


@pytest.mark.parametrize("pool", ["thread", "asyncio"])
def test_a_cell_run_five_times_leaves_one_generation_and_nothing_else(kernel, pool):
    cell = f"orch = one(fn=lambda _: time.sleep(0.05), every=0.01, pool={pool!r}).start()"
    before = kernel("who()").result
    kernel(cell)
    kernel("await orch.wait(iterations=3, timeout=30);")
    first = kernel("who()").result
    for _ in range(4):
        ran = kernel(cell)
        assert ran.out == "live: the previous run is stopped before the new one starts\n"
    kernel("await orch.wait(iterations=3, timeout=30);")
    kernel("from flownb.engine.orchestrator import generations")
    assert kernel("generations.running() == {'live': orch}").result == "True"
    assert kernel("who()").result == first
    kernel("await orch.stop();")
    assert kernel("who()").result == before


@pytest.mark.parametrize(
    "wait", ["orch.wait()", "orch.wait(iterations=10**9)", "orch.stop(grace=50)"]
)
def test_an_interrupt_ends_a_wait_at_once_and_never_the_loops(kernel, wait):
    gate = "gate = threading.Event(); " if "stop" in wait else ""
    node = "lambda _: gate.wait(60)" if gate else "None"
    kernel(f"{gate}orch = one(every=0.01, fn={node}).start()")
    kernel("while not orch.metrics()['days'].produced: await asyncio.sleep(0.01)")
    took = []
    while not took or (min(took) >= 0.5 and len(took) < 5):
        sent = kernel.send(f"print('begun'); await {wait}")
        kernel.begun(sent)
        time.sleep(0.2)
        with Stopwatch() as watch:
            kernel.interrupt()
            ran = kernel.collect(sent)
        assert ran.status == "error"
        took.append(watch.seconds)
    assert min(took) < 0.5
    if gate:
        kernel("gate.set()")
        kernel("await orch.stop();")
        return
    kernel("before = orch.status()['days'].iterations")
    kernel("while orch.status()['days'].iterations == before: await asyncio.sleep(0.01)")
    kernel("await orch.stop();")


def test_a_stop_works_while_a_sync_cell_holds_the_kernel(kernel):
    kernel("orch = one(every=0.01, fn=lambda _: time.sleep(0.01)).start()")
    kernel("await orch.wait(iterations=2, timeout=30);")
    ran = kernel("""
threading.Timer(0.2, orch.stop).start()
start = time.monotonic()
while not orch.is_over() and time.monotonic() < start + 30: time.sleep(0.01)
print(orch.status()["days"].state, orch.is_over())
""")
    assert ran.out == "stopped True\n"


def test_loops_in_threads_go_on_during_a_sync_cell(kernel):
    kernel("orch = one(every=0.01).start()")
    with Stopwatch() as watch:
        ran = kernel(
            "a = orch.status()['days'].iterations; time.sleep(1); "
            "orch.status()['days'].iterations - a"
        )
    assert int(ran.result) >= 60 - watch.lost / 0.01
    assert float(kernel("orch.status().kernel_busy").result) >= 0.5
    kernel("await orch.stop();")


def test_run_all_loses_no_cell(kernel):
    cells = ["orch = one(every=0.01, fn=lambda n: print('loop', n)).start()"]
    for n in range(12):
        cells += [f"print('cell', {n})", f"await orch.wait(iterations={n}, timeout=30);"]
        cells += [f"await asyncio.sleep(0.01); print('slept', {n})"]
    cells += [
        "orch.swap('check', print); await orch.apply();",
        "await orch.stop();",
        "print('end')",
    ]
    sent = [kernel.send(cell) for cell in cells]
    rans = [kernel.collect(s) for s in sent]
    assert [r.status for r in rans] == ["ok"] * len(cells)
    assert [r.count - rans[0].count for r in rans] == list(range(len(cells)))
    assert "".join(r.out for r in rans) == "".join(
        [*(f"cell {n}\nslept {n}\n" for n in range(12)), "end\n"]
    )
    assert kernel.strays == []


@pytest.mark.parametrize("pool", ["thread", "asyncio"])
def test_prints_of_loops_never_land_in_a_cell(kernel, pool):
    kernel(f"""
import logging
async def waits(n):
    print("async", n); await asyncio.sleep(0); sys.stderr.write("err\\n")
def check(n):
    print("sync", n); logging.getLogger("user").warning("log %s", n); time.sleep(0.002)
def bad(n):
    print("bad"); raise ValueError(n)
graph = one(fn=check, pool={pool!r}).add_node("waits", waits).add_node("lane", print)
graph.add_node("bad", bad, kind="non_blocking").add_edge("days", "bad")
graph.add_edge("check", "waits", "lane")
""")
    start = kernel("orch = graph.start()")
    rans = [start]
    for n in range(10):
        rans.append(kernel(f"print('cell', {n}); time.sleep(0.05); print('end')"))
        rans.append(kernel(f"print('cell', {n}); await asyncio.sleep(0.05); print('end')"))
    kernel.quiet(0.3)
    rans.append(kernel("await orch.stop();"))
    kernel.quiet(0.2)
    assert [r.out for r in rans] == ["", *(f"cell {n // 2}\nend\n" for n in range(20)), ""]
    assert [r.err for r in rans] == [""] * len(rans)
    assert kernel.strays == []
    assert int(kernel("len(orch.logs())").result) > 50


def test_a_capturing_cell_frees_no_prints(kernel):
    kernel("""%%capture caught
orch = one(fn=lambda n: print("loop", n), every=0.005).start()
time.sleep(0.3)
print("mine")
""")
    kernel.quiet(0.2)
    kernel("%%capture also\ntime.sleep(0.3)\nprint('mine too')")
    rans = [kernel("time.sleep(0.1); print('cell')") for _ in range(3)]
    kernel("await orch.stop();")
    assert [r.out for r in rans] == ["cell\n"] * 3
    assert kernel("print(caught.stdout)").out.strip() == "mine"
    *loops, mine = kernel("print(also.stdout)").out.split("\n")[:-2]
    assert loops
    assert all(line.startswith("loop ") for line in loops)
    assert mine == "mine too"


def test_what_ends_a_cell_shows_as_one_line(kernel):
    kernel("orch = one(source=range(3)).start()")
    assert (
        kernel("await orch.wait(timeout=30)").result == "Status('live': days completed 3; 0 errors)"
    )
    assert kernel("orch").result.count("\n") == 0
    assert kernel("orch.stop()").result == "Request(stop live: done)"


def test_a_blocking_wait_in_a_cell_is_refused_with_advice(kernel):
    kernel("orch = one(every=0.01).start()")
    ran = kernel.run("orch.stop().wait()")
    assert "use `await`" in ran.error
    kernel("await orch.stop();")


# -- the end of a kernel -------------------------------------------------------

HUNG = """
gate = threading.Event()
graph = one(fn=lambda _: time.sleep(60)).add_producer("busy").add_node("spin", lambda n: print(n))
orch = graph.add_edge("busy", "spin").start()
"""


def test_a_kernel_shuts_down_promptly_with_loops_and_hung_nodes(kernel):
    kernel(HUNG)
    time.sleep(0.3)
    process = psutil.Process(kernel.pid)
    family = [process, *process.children(recursive=True)]
    with Stopwatch() as shutdown:
        kernel.manager.shutdown_kernel()
    assert shutdown.seconds < 4
    assert not still_there(family)


def test_a_killed_kernel_leaves_no_process(kernel):
    kernel(HUNG)
    process = psutil.Process(kernel.pid)
    family = [process, *process.children(recursive=True)]
    os.kill(process.pid, signal.SIGKILL)
    kernel.manager.shutdown_kernel(now=True)
    assert not still_there(family)
