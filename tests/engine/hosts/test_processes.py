"""Is a loop in a child process a loop like any other, also when the child dies?"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import fakeredis
import pytest

from flownb import Graph, Limit, Observer
from flownb.engine.hosts.process import ProcessHost
from flownb.errors import GraphError, NodeFailed, QueueError, RunError
from flownb.queues.servers import spawned
from tests.support.live import live, one, same, until
from tests.support.standstill import Stopwatch

pytestmark = pytest.mark.wallclock


def pid_of(orch, node="check"):
    return orch.outputs(node)[-1]


def where(_):
    return os.getpid()


@live
async def test_each_loop_has_a_process_of_its_own_that_ends_with_it():
    graph = one(fn=where, pool="process", every=0.01).add_producer("nights", every=0.01)
    graph.add_node("look", where).add_edge("nights", "look").set_loop("nights", pool="process")
    orch = graph.start()
    await orch.wait(iterations=3, timeout=30)
    found = {os.getpid(), pid_of(orch), pid_of(orch, "look")}
    assert len(found) == 3
    await orch.stop()
    assert not any(_is_alive(pid) for pid in found - {os.getpid()})


def _is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@live
async def test_a_child_that_was_killed_is_noticed_at_once_and_told_and_hurts_nobody_else():
    graph = one(fn=where, pool="process", every=0.01).add_producer("nights", every=0.01)
    orch = graph.start()
    noticed = []
    while len(noticed) < 3 or (min(noticed) >= 0.05 and len(noticed) < 8):
        await orch.wait(iterations=2, timeout=30)
        await until(lambda: orch.outputs("check"))
        os.kill(pid_of(orch), signal.SIGKILL)
        with Stopwatch() as watch:
            await until(lambda: orch.status()["days"].state == "error")
        noticed.append(watch.seconds)
        assert "ended by signal 9 (SIGKILL)" in orch.status()["days"].reason
        before = orch.metrics()["nights"].released
        await until(lambda n=before: orch.metrics()["nights"].released > n + 2)
        with pytest.raises(RunError, match=r"loop 'days'.*SIGKILL"):
            await orch.wait(loop="days", timeout=30)
        graph.add_node("check", lambda _: os.getpid())
        orch.apply()
    assert min(noticed) < 0.05
    await orch.stop()


@live
async def test_a_child_that_ends_by_itself_says_with_which_code():
    def leave(_):
        time.sleep(0.2)
        os._exit(3)

    orch = one([1], leave, pool="process").start()
    with pytest.raises(RunError, match=r"loop 'days'.*ended by itself with exit code 3"):
        await orch.wait(timeout=30)
    metrics = orch.metrics()["days"]
    assert (metrics.produced, metrics.cancelled, metrics.open) == (1, 1, 0)


@live
async def test_unedited_nodes_keep_their_state_and_the_source_its_place():
    def count(n, ctx):
        ctx.state["seen"] = ctx.state.get("seen", 0) + 1
        return n, ctx.state["seen"]

    graph = one(range(1000), count, pool="process", every=0.005).add_node("also", same)
    graph.add_edge("check", "also")
    orch = graph.start()
    await orch.wait(iterations=5, timeout=30)
    await orch.swap("also", lambda pair: ("new", *pair))
    await orch.wait(iterations=20, timeout=30)
    await orch.stop()
    word, n, seen = orch.outputs("also")[-1]
    assert word == "new"
    assert n + 1 == seen >= 20


@live
async def test_what_cannot_leave_the_process_is_shown_by_what_it_was():
    orch = one([1], lambda _: threading.Lock(), pool="process").start()
    await orch.wait(timeout=30)
    assert "LeftBehind(<unlocked _thread.lock" in repr(orch.outputs("check"))


class Demanding(Exception):
    def __init__(self, code, text):
        super().__init__(f"{code}: {text}")


@live
async def test_an_error_that_cannot_be_rebuilt_arrives_as_its_text():
    def fail(_):
        raise Demanding(7, "no") from KeyError("why")

    orch = one([1], fail, pool="process", on_error="stop").start()
    with pytest.raises(NodeFailed, match="7: no") as caught:
        await orch.wait(timeout=30)
    assert "Demanding: 7: no" in str(caught.value.__cause__)
    failure = orch.failures()[0]
    assert failure.item == 1
    assert "KeyError: 'why'" in failure.traceback


@live
async def test_observers_in_the_notebook_see_each_output():
    seen = []

    class Watch(Observer):
        def on_span(self, span, output):
            seen.append((span.node, span.iteration, output))

    graph = one(range(100), lambda n: n * n, pool="process").use(Watch())
    await graph.start().wait(timeout=30)
    squares = [(i, output) for node, i, output in seen if node == "check"]
    assert squares == [(n, n * n) for n in range(100)]


@live
async def test_observers_in_the_notebook_hear_what_starts_and_what_is_bypassed():
    heard = []

    class Watch(Observer):
        def on_event(self, event):
            if event.kind in {"started", "bypassed"} and event.node in {"odd", "check"}:
                heard.append((event.kind, event.node, event.iteration))

    graph = one(range(3), pool="process").add_if("odd?", lambda n: bool(n % 2)).add_node("odd")
    graph.add_edge("days", "odd?").add_edge("odd?", "odd", when=True).use(Watch())
    orch = graph.start()
    await orch.wait(timeout=30)
    assert [what for what in heard if what[1] == "odd"] == [
        ("bypassed", "odd", 0), ("started", "odd", 1), ("bypassed", "odd", 2),
    ]  # fmt: skip
    assert [what[0] for what in heard if what[1] == "check"] == ["started"] * 3


@live
async def test_a_child_has_the_environment_that_cells_have_made(monkeypatch):
    monkeypatch.setenv("FLOWNB_TRIED", "yes")
    orch = one([1], lambda _: os.environ.get("FLOWNB_TRIED"), pool="process").start()
    await orch.wait(timeout=30)
    assert orch.outputs("check") == ["yes"]


@live
async def test_what_a_child_displays_is_in_its_log_and_what_it_asks_fails():
    def show(n):
        display({"a": n}, "text")  # noqa: F821 - a builtin in cells
        display(0, display_id=True).update("later")  # noqa: F821
        return input("name? ")

    orch = one([1], show, pool="process").start()
    await orch.wait(timeout=30)
    assert [x.text for x in orch.logs(node="check")] == ["{'a': 1}", "'text'", "0", "'later'"]
    assert "input() works in a cell only" in str(orch.failures()[0].error)


@live
async def test_prints_of_a_child_are_logs_of_its_loop(capfd):
    def shout(n):
        print("item", n)
        print("oh", file=sys.stderr)
        return n

    orch = one([1, 2], shout, pool="process").start()
    await orch.wait(timeout=30)
    assert [line.text for line in orch.logs(node="check")] == ["item 1", "oh", "item 2", "oh"]
    assert capfd.readouterr() == ("", "")


@live
async def test_a_child_that_does_not_obey_is_ended_by_force(tmp_path):
    begun = tmp_path / "begun"

    def hold(_, path=str(begun)):
        import ctypes

        Path(path).touch()
        ctypes.PyDLL(None).sleep(60)  # keeps Python's lock, as a long computation in C does

    graph = one([1], hold, pool="process")
    orch = graph.start()
    await until(begun.exists)
    with Stopwatch() as stop:
        status = await orch.stop(grace=0.1)
    assert stop.seconds < 4
    assert status["days"].state == "stopped"
    assert "did not obey" in status["days"].reason


class Slow:
    """A function that takes its time to arrive."""

    def __reduce__(self):
        return _slowly, ()

    def __call__(self, n):
        return n


def _slowly():
    time.sleep(8)
    return Slow()


@live
async def test_a_child_that_has_not_begun_holds_no_stop_up():
    orch = one([1], Slow(), pool="process").start()
    await until(lambda: orch._live.loop_runs["days"].host.process is not None)
    with Stopwatch() as stop:
        status = await orch.stop(grace=0.2)
    assert stop.seconds < 2
    assert (status["days"].state, status["days"].reason) == ("stopped", "")


@live
async def test_a_stop_does_not_wait_until_a_child_can_be_started(monkeypatch):
    gate, launch = threading.Event(), ProcessHost._launch

    def late(self, origin):
        gate.wait(30)
        return launch(self, origin)

    monkeypatch.setattr(ProcessHost, "_launch", late)
    orch = one([1], same, pool="process").start()
    host = orch._live.loop_runs["days"].host
    with Stopwatch() as stop:
        status = await orch.stop(grace=0.2)
    gate.set()
    assert stop.seconds < 2
    assert (status["days"].state, status["days"].reason) == ("stopped", "")
    ours = "flownb loop days"
    await until(lambda: ours not in [t.name for t in threading.enumerate()], patience=30)
    with pytest.raises(ValueError, match="closed"):  # it was ended when it had come up
        print(host.process.exitcode)


@live
async def test_a_limit_cannot_be_shared_between_processes_and_says_so():
    limit = Limit(concurrency=1)
    graph = one(pool="process", node={"limit": limit})
    graph.add_producer("nights").add_node("also", limit=limit).add_edge("nights", "also")
    with pytest.raises(GraphError, match=r"'check' and 'also' share one Limit.*'days'.*'nights'"):
        graph.start()


@live
async def test_middleware_that_cannot_travel_is_named():
    lock = threading.Lock()

    async def careful(call_next, node, data):
        with lock:
            return await call_next(data)

    with pytest.raises(GraphError, match="middleware 'careful' cannot move to a process pool"):
        one(pool="process").use(careful).start()


# -- queues --------------------------------------------------------------------


def relay_race(name="race", total=50):
    """Three loops in three pools: numbers are made, squared, and gathered."""
    return (
        Graph(name)
        .add_producer("make", range(total))
        .add_queue("numbers")
        .add_edge("make", "numbers")
        .add_queue_reader("square", queue="numbers")
        .add_node("work", lambda n: [n, n * n])
        .add_queue("squares")
        .add_edge("square", "work", "squares")
        .add_queue_reader("gather", queue="squares")
        .add_node("pair", same, keep=total)
        .add_edge("gather", "pair")
        .set_loop("make", pool="process")
        .set_loop("square", pool="process")
    )


@pytest.mark.parametrize("kind", ["spawned", "loopback"])
@live
async def test_loops_in_three_pools_hand_data_on_without_a_redis_being_given(kind, monkeypatch):
    if kind == "loopback":
        monkeypatch.setattr(spawned, "binary", lambda: None)
    orch = relay_race().start()
    status = await orch.wait(timeout=30)
    assert [s.state for s in status.loops] == ["completed"] * 3
    assert sorted(orch.outputs("pair")) == [[n, n * n] for n in range(50)]
    assert (await orch.queues.stats("numbers")).depth == 0
    expected = {"spawned": "Redis of this kernel", "loopback": "fakeredis in this kernel, over TCP"}
    assert status.server == expected[kind]
    await orch.stop()
    orch._live.server.close()


@live
async def test_a_process_loop_reaches_a_redis_that_was_given(real_server_url):
    orch = relay_race().start(redis=real_server_url, namespace="given")
    await orch.wait(timeout=30)
    assert sorted(orch.outputs("pair")) == [[n, n * n] for n in range(50)]


@live
async def test_a_fake_of_this_kernel_is_refused_for_loops_in_other_processes():
    with pytest.raises(QueueError, match="cannot reach the fakeredis in this kernel"):
        relay_race().start(redis=fakeredis.FakeRedis())


@live
async def test_dead_letters_of_a_process_loop_can_be_read_after_its_end():
    def fail(n):
        raise ValueError(n)

    orch = one([1, 2], fail, pool="process", on_error="dead_letter").start()
    await orch.wait(timeout=30)
    assert [letter["item"] for letter in await orch.queues.dead("days")] == [1, 2]
    await orch.stop()
    orch._live.server.close()


# -- scripts -------------------------------------------------------------------

SCRIPT = """
import json, time
from flownb import Graph

print("begin")
def square(n):
    return n * n

graph = Graph("s").add_producer("p", range(5)).add_node("square", square, keep=5)
graph.add_edge("p", "square").set_loop("p", pool="process")
orch = graph.start()
while not orch.is_over():
    time.sleep(0.01)
print(json.dumps(orch.outputs("square")))
"""


def test_a_script_needs_no_main_guard_and_is_not_run_again_in_the_child(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    ran = subprocess.run(
        [sys.executable, path], check=False, capture_output=True, text=True, timeout=55
    )
    assert ran.stderr == ""
    assert ran.stdout.split("\n")[0] == "begin"
    assert json.loads(ran.stdout.split("\n")[1]) == [0, 1, 4, 9, 16]


def test_a_module_of_the_users_that_hides_one_of_ours_hurts_no_loop_without_queues(tmp_path):
    (tmp_path / "redis.py").write_text("1 / 0")
    (tmp_path / "script.py").write_text(SCRIPT)
    ran = subprocess.run(
        [sys.executable, tmp_path / "script.py"],
        check=False, capture_output=True, text=True, timeout=55,
    )  # fmt: skip
    assert ran.stderr == ""
    assert json.loads(ran.stdout.split("\n")[1]) == [0, 1, 4, 9, 16]


@pytest.mark.skipif(os.name != "posix", reason="closes streams as a shell does")
def test_a_program_without_streams_runs_its_loops_all_the_same(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(
        SCRIPT.replace("print(json", f"open({str(tmp_path / 'out')!r}, 'w').write(json")
    )
    line = f"exec {sys.executable} {path} <&- >&- 2>&-"
    subprocess.run(["sh", "-c", line], check=False, timeout=55)
    assert json.loads((tmp_path / "out").read_text()) == [0, 1, 4, 9, 16]


def test_a_run_without_an_event_loop_waits_for_its_child():
    orch = one([1, 2, 3], where, pool="process").start()
    end = time.monotonic() + 10
    while not orch.is_over() and time.monotonic() < end:
        time.sleep(0.01)
    assert orch.status()["days"].state == "completed"


@live
async def test_who_waited_for_its_end_sees_the_last_outputs_of_a_loop_elsewhere():
    graph = one(range(3), fn=lambda _: b"x" * 10_000_000, node={"keep": 3}, pool="process")
    orch = graph.start()
    await orch.wait(timeout=30)
    assert [len(x) for x in orch.outputs("check")] == [10_000_000] * 3
    await orch.stop()
