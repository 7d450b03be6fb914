"""Does a click in a view reach the loops at once, whatever the kernel is doing?

Clicks are sent as the front end sends them: a message to the widget's comm.
"""

from __future__ import annotations

import time

import pytest

from tests.support.kernels import PREPARE, Kernel, pythons, short

pytestmark = [pytest.mark.kernel, pytest.mark.wallclock]

SHOWN = """
import time
from flownb import Observer

class States(Observer):
    seen = []
    def on_event(self, event):
        if event.kind == "state":
            self.seen.append((event.data[0], time.monotonic()))

graph = one("clicked", fn=lambda _: time.sleep(0.002), every=0.005).use(States())
orch = graph.start()
view = orch.dag()
arrived = []
heard = view._on_command
view.on_msg(heard, remove=True)

def noted(widget, content, buffers):
    arrived.append(time.monotonic())
    heard(widget, content, buffers)

view.on_msg(noted)

def delay(state):
    # from the last click to the state, in seconds
    end = time.monotonic() + 20
    while time.monotonic() < end:
        found = [at for name, at in States.seen if name == state and arrived and at >= arrived[-1]]
        if found:
            return found[0] - arrived[-1]
        time.sleep(0.01)
"""


def click(kernel, comm: str, **command: str) -> None:
    """Send what the page sends."""
    data = {"method": "custom", "content": command}
    message = kernel.client.session.msg("comm_msg", {"comm_id": comm, "data": data})
    kernel.client.shell_channel.send(message)


@pytest.fixture(scope="module", params=pythons(clicks=True), ids=short)
def kernel(request):
    """One kernel for all clicks: a new one takes longer than what is tried."""
    kernel = Kernel(request.param)
    try:
        kernel(PREPARE)
        yield kernel
    finally:
        kernel.close()


@pytest.fixture
def comm(kernel) -> str:
    """Show a view of a running graph; its address."""
    kernel.strays.clear()
    kernel(SHOWN)
    found = kernel("view.comm.comm_id").result.strip("'")
    kernel("from IPython.display import display; display(view)")
    yield found
    kernel("await orch.stop()")


def best(kernel, comm, clicked, state, tries=5):
    """Click while *clicked* runs, until it took effect in time: a loaded machine may be late."""
    for _ in range(tries):
        kernel("arrived.clear(); await orch.resume()")
        sent = kernel.send(clicked)
        time.sleep(0.3)  # the cell is under way
        click(kernel, comm, do="pause", loop="days")
        kernel.collect(sent)
        kernel.quiet(0.2)
        took = float(kernel(f"delay({state!r})").result)
        if took < 0.1:
            return took
    return took


@pytest.mark.parametrize(
    "cell",
    ["import asyncio; await asyncio.sleep(0.8)", "time.sleep(0.8)", "None"],
    ids=["awaiting", "blocking", "idle"],
)
def test_a_click_takes_effect_within_100_ms_of_reaching_the_kernel(kernel, comm, cell):
    assert best(kernel, comm, cell, "paused") < 0.1
    assert kernel("orch.status()['days'].state").result == "'paused'"


def test_stop_and_a_click_that_makes_no_sense(kernel, comm):
    click(kernel, comm, do="pause", loop="nowhere")
    kernel.until("\"no loop 'nowhere'\" in view.state.get('error', '')", "True")
    click(kernel, comm, do="stop")
    kernel.until("orch.is_over() and orch.status()['days'].state", "'stopped'")
    kernel.until("view._ticking", "False")


def test_start_makes_a_run_that_was_stopped_go_on_and_the_view_follows_it(kernel, comm):
    for loop in ({}, {"loop": "days"}):
        kernel("await orch.stop()")
        click(kernel, comm, do="start", **loop)
        kernel.until("orch.status()['days'].state, view._ticking", "('running', True)")
        assert kernel("(await orch.wait(iterations=3, timeout=30)).timed_out").result == "False"


@pytest.mark.parametrize("cell", ["await asyncio.sleep(0.8)", "time.sleep(0.8)"])
def test_step_makes_one_item_whatever_the_kernel_does(kernel, comm, cell):
    kernel("import asyncio; await orch.pause(); made = orch.metrics()['days'].produced")
    sent = kernel.send(cell)
    click(kernel, comm, do="step", loop="days")
    kernel.collect(sent)
    kernel.until("orch.metrics()['days'].produced - made", "1")
    kernel("await asyncio.sleep(0.3)")
    assert kernel("orch.metrics()['days'].produced - made").result == "1"
    assert kernel("orch.status()['days'].state").result == "'paused'"


def test_a_view_beside_a_cell_says_nothing_into_it(kernel, comm):
    ran = kernel("await asyncio.sleep(0.5)")
    assert (ran.out, ran.err) == ("", "")
    kernel.quiet(0.3)
    assert kernel.strays == [] or all("flownb-still" in stray for stray in kernel.strays)
