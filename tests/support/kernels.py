"""What do the kernel tests share? A Jupyter kernel of any interpreter, and its cells."""

from __future__ import annotations

import os
import queue
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from jupyter_client import KernelManager
from jupyter_client.kernelspec import KernelSpec

from tests.support.standstill import lost

ROOT = Path(__file__).parents[2]

# In the kernel: a beat at a fixed rate on the event loop of the cells, and who is there.
PREPARE = """
import asyncio, sys, threading, time
from flownb import Graph

class Beats:
    def __init__(self, every):
        self.loop, self.every, self.kept, self.missed = asyncio.get_running_loop(), every, 0, 0
        self.due = self.loop.time() + every
        self.timer = self.loop.call_at(self.due, self.beat)

    def beat(self):
        missed = int((self.loop.time() - self.due) / self.every)
        self.kept, self.missed = self.kept + 1, self.missed + missed
        self.due += self.every * (missed + 1)
        self.timer = self.loop.call_at(self.due, self.beat)

    def share(self):
        self.timer.cancel()
        return self.kept / (self.kept + self.missed)

def who():
    import psutil
    names = [t.name for t in threading.enumerate() if t.name.startswith("flownb")]
    helpers = [n for n in names if n.split()[-1].isdecimal()]  # they come and stay as needed
    threads = sorted(set(names) - set(helpers)), 0 < len(helpers) <= 2
    children = [p.name() for p in psutil.Process().children(recursive=True)]
    return threads, len(asyncio.all_tasks()), children

def one(name="live", source=None, fn=None, *, every=None, **loop):
    graph = Graph(name).add_producer("days", source, every=every).add_node("check", fn)
    return graph.add_edge("days", "check").set_loop("days", **loop)
"""


def pythons(*, clicks: bool = False) -> list[str]:
    """Return the interpreters whose kernels are tried: ours, and those CI has made.

    Some of them are there for *clicks* only: what a click does differs among ipykernel 7.x.
    """
    names = ["FLOWNB_KERNEL_PYTHONS", *(["FLOWNB_CLICK_PYTHONS"] if clicks else [])]
    others = [path for name in names for path in os.environ.get(name, "").split(os.pathsep)]
    return [sys.executable, *filter(None, others)]


def short(path: str) -> str:
    """Name an interpreter in a test's id."""
    return "/".join(path.split("/")[-3:])


def still_there(processes, within=3.0):
    """Those that are left after `within` seconds, what the machine has lost of them not counted."""
    begun, missing, alive = time.monotonic(), lost(), processes
    while alive and (left := begun + within + lost() - missing - time.monotonic()) > 0:
        _, alive = psutil.wait_procs(alive, timeout=min(left, 0.5))
    return [p for p in alive if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


@dataclass
class Ran:
    """What came back from a cell."""

    status: str
    seconds: float
    count: int = 0
    out: str = ""
    err: str = ""
    result: str = ""
    error: str = ""
    strays: list[str] = field(default_factory=list)


class Kernel:
    """A running kernel."""

    def __init__(self, python: str) -> None:
        self.manager = KernelManager()
        launch = [python, "-Xfrozen_modules=off", "-m", "ipykernel_launcher", "-f"]
        self.manager._kernel_spec = KernelSpec(
            argv=[*launch, "{connection_file}"], display_name="tried", language="python"
        )
        env = os.environ | {"PYTHONPATH": str(ROOT), "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
        self.manager.start_kernel(env=env)
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)
        self.strays: list[str] = []

    @property
    def pid(self) -> int:
        """The process id of the kernel."""
        return int(self.manager.provisioner.pid)

    def send(self, code: str) -> str:
        """Ask for a cell and go on."""
        return str(self.client.execute(code, allow_stdin=False, stop_on_error=False))

    def __call__(self, code: str, timeout: float = 60) -> Ran:
        """Run a cell; an error in it is an error here."""
        ran = self.run(code, timeout)
        assert ran.status == "ok", ran
        return ran

    def run(self, code: str, timeout: float = 60) -> Ran:
        """Run a cell, whatever comes of it."""
        start = time.monotonic()
        return self.collect(self.send(code), timeout, start)

    def begun(self, sent: str, timeout: float = 60) -> None:
        """Wait until a cell says something, which it does first of all."""
        while True:
            message = self.client.get_iopub_msg(timeout=timeout)
            if message["parent_header"].get("msg_id") != sent:
                self._stray(message)
            elif message["msg_type"] == "stream":
                return

    def until(self, code: str, result: str, patience: float = 30) -> None:
        """Run a cell again and again until its result is that."""
        end = time.monotonic() + patience
        while (found := self(code).result) != result:
            assert time.monotonic() < end, f"{code} is {found} and not {result}"
            time.sleep(0.05)

    def collect(self, sent: str, timeout: float = 60, start: float | None = None) -> Ran:
        """Take what a cell says until it is done."""
        start = time.monotonic() if start is None else start
        ran = Ran("", 0)
        while ran.status != "idle":
            message = self.client.get_iopub_msg(timeout=timeout)
            if message["parent_header"].get("msg_id") == sent:
                self._take(ran, message["msg_type"], message["content"])
            else:
                self._stray(message)
        reply = self._reply(sent, timeout)
        ran.status, ran.count = reply["status"], reply["execution_count"]
        ran.seconds = time.monotonic() - start
        return ran

    def _reply(self, sent: str, timeout: float) -> dict:
        while True:
            message = self.client.get_shell_msg(timeout=timeout)
            if message["parent_header"].get("msg_id") == sent:
                return message["content"]

    def _take(self, ran: Ran, kind: str, content: dict) -> None:
        if kind == "stream" and content["name"] == "stdout":
            ran.out += content["text"]
        elif kind == "stream":
            ran.err += content["text"]
        elif kind == "execute_result":
            ran.result = content["data"]["text/plain"]
        elif kind == "error":
            ran.error = f"{content['ename']}: {content['evalue']}"
        elif kind == "status" and content["execution_state"] == "idle":
            ran.status = "idle"

    def _stray(self, message: dict) -> None:
        if message["msg_type"] in {"stream", "error", "display_data"}:
            self.strays.append(str(message["content"]))

    def quiet(self, seconds: float) -> None:
        """Let the kernel idle, and note whatever it says unasked."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            try:
                self._stray(self.client.get_iopub_msg(timeout=left))
            except queue.Empty:
                return

    def interrupt(self) -> None:
        """Press the stop button."""
        self.manager.interrupt_kernel()

    def close(self) -> None:
        """End it, whatever state it is in."""
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()
        self.manager.context.destroy(linger=0)
