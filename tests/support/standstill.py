"""How long has the machine kept everybody waiting? A child that does nothing but sleep tells.

"A stop comes within its grace" is our promise; a machine that stands still, or gives others
its processors, breaks it for everybody. The child takes short naps, and adds up how late it
wakes. It is a process, so that whoever of us keeps an interpreter busy is not excused by it.
"""

from __future__ import annotations

import asyncio
import mmap
import struct
import subprocess
import sys
import time

import pytest

NAP, USUAL = 0.005, 0.001  # seconds: of each nap, and how late everybody wakes everywhere
_FIGURES = struct.Struct("dd")  # seconds lost, and when that was written
_SLEEPER = f"""
import mmap, os, struct, sys, time
figures, lost, parent = struct.Struct("dd"), 0.0, os.getppid()
with open(sys.argv[1], "r+b") as file:
    page = mmap.mmap(file.fileno(), figures.size)
while os.getppid() == parent:
    begun = time.monotonic()
    page[:] = figures.pack(lost, begun)  # pack_into() would write zeros first
    time.sleep({NAP})
    lost += max(0.0, time.monotonic() - begun - {NAP + USUAL})
"""
_pages: list[mmap.mmap] = []


@pytest.fixture(scope="session", autouse=True)
def sleeper(tmp_path_factory):
    """Let one child sleep beside all tests that have this fixture."""
    if sys.platform == "emscripten":  # it starts no process, and nothing is measured there
        yield
        return
    path = tmp_path_factory.mktemp("standstill") / "figures"
    path.write_bytes(bytes(_FIGURES.size))
    with subprocess.Popen([sys.executable, "-S", "-c", _SLEEPER, str(path)]) as child:
        with path.open("r+b") as file:
            page = mmap.mmap(file.fileno(), _FIGURES.size)
        _pages.append(page)
        while not _FIGURES.unpack_from(page)[1]:
            time.sleep(0.001)
        yield
        _pages.remove(page)
        child.kill()


def lost() -> float:
    """Seconds the machine has taken from everybody so far, the nap of this moment included."""
    seconds, written = _FIGURES.unpack_from(_pages[-1])
    return seconds + max(0.0, time.monotonic() - written - NAP - USUAL)


def undisturbed(scenario, *, most=0.3, tries=5):
    """Run a coroutine function; if it failed while the machine stood still for so long, again.

    For leases of a second: on a machine that stands still for longer they do run out.
    """
    for left in reversed(range(tries)):
        watch = Stopwatch().start()
        try:
            return asyncio.run(scenario())
        except Exception:
            watch.stop()
            if not left or watch.lost < most:
                raise
    return None


class Stopwatch:
    """Measures a `with` block: `clock` seconds, `lost` to the machine, the others in `seconds`."""

    def start(self):
        self._start, self._lost = time.monotonic(), lost()
        return self

    def stop(self):
        self.clock, self.lost = time.monotonic() - self._start, lost() - self._lost
        self.seconds = self.clock - self.lost

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()
