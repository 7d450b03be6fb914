"""How is a consumer killed at a named point? By a fuse, laid through what flownb calls.

A *fire* says which points there are and what graph is run. Its script imports flownb once
and forks one *life* after another: a process that runs the graph and kills itself with
SIGKILL when it has come to its point for the n-th time. The last lives die of nothing and
end when there is nothing left to do. Each tells in a file how it ended.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from flownb.queues.receive import reader

if TYPE_CHECKING:
    from flownb import Graph


class Fuse:
    """Kills this process when one point is reached for the n-th time."""

    def __init__(self, point, count, *, longest, folder):
        self.point, self.left, self.longest, self.folder = point, count, longest, folder
        self.passed = self.rows = 0
        self._readers, self._last = [], threading.Lock()
        self.around(reader.StreamReader, "renew", seen=self._readers.append)
        self.around(reader.StreamReader, "_opened", seen=self._readers.append)

    def reached(self, point, *, times=1):
        """Come to a point; it kills when it is the one."""
        if point and point == self.point:
            self.left -= times
            if self.left <= 0:
                self.blow(point)

    def went_by(self, count=1):
        """Count messages that were worked on: after many the life ends all the same."""
        self.passed += count
        if self.point and self.passed > self.longest:
            self.blow("")

    def blow(self, point):
        """Tell what is at hand, and die."""
        self._last.acquire()  # two threads may come here at once
        self.tell(point)
        os.kill(os.getpid(), signal.SIGKILL)

    def tell(self, point):
        """Write down how many messages this life holds, and how many it put through rows."""
        held = sum(len(r.hand) for r in set(self._readers))
        line = {"point": point, "held": held, "rows": self.rows}
        self.write("told", json.dumps(line))

    def write(self, name, text):
        """Add a line to a file: what is written is there, however we die."""
        file = os.open(Path(self.folder, name), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, f"{text}\n".encode())
        os.close(file)

    def before(self, owner, name, point):
        """Put a point before a function."""
        original = getattr(owner, name)

        def wrapped(*args, **options):
            self.reached(point)
            return original(*args, **options)

        setattr(owner, name, wrapped)

    def around(self, owner, name, *, before="", during="", after="", seen=None, when=None):
        """Put points around a coroutine function; `when` says of its arguments if they count."""
        original, rng = getattr(owner, name), random.Random(self.left)

        async def wrapped(*args, **options):
            if seen is not None:
                seen(args[0])
            if when is not None and not when(*args):
                return await original(*args, **options)
            self.reached(before)
            if during and during == self.point:
                sending = asyncio.ensure_future(original(*args, **options))
                for _ in range(rng.randint(0, 6)):
                    await asyncio.sleep(0)
                self.reached(during)
                return await sending
            result = await original(*args, **options)
            self.reached(after)
            return result

        setattr(owner, name, wrapped)


@dataclass(frozen=True)
class Fire:
    """Where lives are killed, and what they do until then."""

    points: tuple[str, ...]
    make: Callable[..., Graph]
    """Lays the fuse through what flownb does with a message; the graph that is run."""
    most: dict[str, int] = field(default_factory=dict)
    """How often a point is passed at most before it kills; else up to 25 times."""
    longest: int = 40
    """Messages after which a life ends whether it has come to its point or not."""
    pools: tuple[str, ...] = ("asyncio", "thread")
    queues: tuple[str, ...] = ("in",)
    """Those that are empty when all is done."""


async def live(fire, fuse, url, **options):
    orch = fire.make(fuse, **options).start(redis=url)
    fuse.reached("at start")
    point, count = fuse.point, fuse.left
    if point in {"in a pause", "in a stop"}:
        with suppress(asyncio.TimeoutError):
            await orch.wait(count, loop="move", timeout=5)
        request = orch.pause() if point == "in a pause" else orch.stop()
        for _ in range(count % 5):
            await asyncio.sleep(0)
        fuse.reached(point, times=count)
        await request
    while point or await _depth(orch, fire):  # noqa: ASYNC110  in another process
        await asyncio.sleep(0.02)
    await asyncio.sleep(2)
    await orch.stop()
    fuse.tell("")


async def _depth(orch, fire):
    return sum([(await orch.queues.stats(queue)).depth for queue in fire.queues])


def begin(fire, url, folder, point, count, **options):
    """Fork one life; its process id."""
    pid = os.fork()
    if pid:
        return pid
    fuse = Fuse(point, count, longest=fire.longest, folder=folder)
    # A life that never comes to its point (others took all the work) is killed all the same.
    signal.signal(signal.SIGALRM, lambda *_: fuse.blow(""))
    signal.alarm(4 if point else 60)
    try:
        asyncio.run(live(fire, fuse, url, **options))
    except BaseException:  # noqa: BLE001  nobody else would tell
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def preload():
    """Import now what would else be imported in every life."""
    for module in (
        "redis.asyncio",
        "tenacity",
        "flownb.engine.orchestrator.orchestrator",
        "flownb.flow.item",
    ):
        import_module(module)
    for module in (
        "flownb.queues.manager",
        "flownb.engine.orchestrator.loop_run",
        "concurrent.futures.thread",
    ):
        import_module(module)


def main(fire, url, folder, *, kills, slots, seed, **options):
    """Let one life after another be killed, `slots` at a time; then the last ones end it."""
    preload()
    rng, alive, failed = random.Random(seed), set(), 0
    lives = [fire.points[i % len(fire.points)] for i in range(kills)]
    rng.shuffle(lives)
    while lives or alive:
        while lives and len(alive) < slots:
            point = lives.pop()
            count = rng.randint(1, fire.most.get(point, 25))
            pool = rng.choice(fire.pools)
            alive.add(begin(fire, url, folder, point, count, pool=pool, **options))
        pid, status = os.waitpid(-1, 0)
        alive.discard(pid)
        failed += os.waitstatus_to_exitcode(status) != -signal.SIGKILL
    last = [begin(fire, url, folder, "", 0, pool=p, **options) for p in (fire.pools * 2)[:2]]
    failed += sum(os.waitpid(pid, 0)[1] != 0 for pid in last)
    sys.exit(f"{failed} lives ended as they should not" if failed else 0)


def run(fire):
    """Run a fire as its script is asked to."""
    url, folder, kills, slots, seed, *options = sys.argv[1:]
    told = dict(option.split("=") for option in options)
    numbers = {"kills": int(kills), "slots": int(slots), "seed": int(seed)}
    main(fire, url, folder, **numbers, **{name: value == "True" for name, value in told.items()})
