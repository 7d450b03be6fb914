"""What is killed in the tests of `test_fire.py`? Consumers, at twelve named points.

Run as a script it imports flownb once and forks one *life* after another: a process that
runs a graph which moves messages from queue "in" to queue "out", and kills itself with
SIGKILL when it has come to its point for the n-th time. The last lives die of nothing and
end when there is nothing left to do.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import traceback
from contextlib import suppress
from importlib import import_module

from flownb import Graph, Retry
from flownb.engine import attempts, ending
from flownb.queues import connection, reader, rescue

POINTS = (
    "at start",
    "after the read",
    "before the node",
    "in the node",
    "between node and push",
    "in the MULTI",
    "after the MULTI",
    "in a retry's sleep",
    "in a reclaim",
    "in a renewal",
    "in a pause",
    "in a stop",
)


# How often a point is passed at most before it kills; most are passed once for each message.
MOST = {
    "at start": 1,
    "after the read": 3,
    "in the MULTI": 9,
    "after the MULTI": 9,
    "in a reclaim": 2,
    "in a renewal": 2,
}
LONGEST = 40  # messages after which a life ends whether it has come to its point or not


class Fuse:
    """Kills this process when one point is reached for the n-th time."""

    def __init__(self, point, count):
        self.point, self.left, self.passed = point, count, 0

    def reached(self, point):
        if point and point == self.point:
            self.left -= 1
            if self.left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)
        self.passed += point == "in the node"
        if self.point and self.passed > LONGEST:
            os.kill(os.getpid(), signal.SIGTERM)

    def lay(self):
        """Lay it through what flownb does with a message."""
        self.around(reader.StreamReader, "_opened", after="after the read")
        self.before(ending.Ending, "post", "between node and push")
        self.around(attempts.Attempts, "_backoff", before="in a retry's sleep")
        self.around(rescue.Rescue, "claim", before="in a reclaim", after="in a reclaim")
        self.around(rescue.Rescue, "renew", before="in a renewal", after="in a renewal")
        self.around(connection, "transact", during="in the MULTI", after="after the MULTI")

    def before(self, owner, name, point):
        original = getattr(owner, name)

        def wrapped(*args, **options):
            self.reached(point)
            return original(*args, **options)

        setattr(owner, name, wrapped)

    def around(self, owner, name, *, before="", during="", after=""):
        original, rng = getattr(owner, name), random.Random(self.left)

        async def wrapped(*args, **options):
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


def make(fuse, *, transactional, pool, lease):
    tried = set()

    async def work(n):
        fuse.reached("before the node")
        if fuse.point == "in a retry's sleep" and n not in tried:
            tried.add(n)
            raise ValueError("once")
        await asyncio.sleep(lease / 2 if fuse.point == "in a renewal" else 0)
        fuse.reached("in the node")
        return n

    graph = Graph("fire").add_queue_reader(
        "move", queue="in", external=True, visibility_timeout=lease, max_deliveries=99
    )
    graph.add_node("work", work, retry=Retry(on=ValueError, wait_initial=0.001, wait_max=0.001))
    graph.add_queue("out", external=True)
    graph.add_edge("move", "work", "out")
    return graph.set_loop("move", transactional=transactional, pool=pool, max_in_flight=8)


async def live(url, point, count, *, transactional, pool):
    fuse = Fuse(point, count)
    fuse.lay()
    lease = 1.5 if point == "in a renewal" else 30
    orch = make(fuse, transactional=transactional, pool=pool, lease=lease).start(redis=url)
    fuse.reached("at start")
    if point in {"in a pause", "in a stop"}:
        with suppress(asyncio.TimeoutError):
            await orch.wait(count, loop="move", timeout=5)
        request = orch.pause() if point == "in a pause" else orch.stop()
        for _ in range(count % 5):
            await asyncio.sleep(0)
        fuse.left = 0
        fuse.reached(point)
        await request
    while point or (await orch.queues.stats("in")).depth:  # noqa: ASYNC110  in another process
        await asyncio.sleep(0.02)
    await asyncio.sleep(2)
    await orch.stop()


def begin(url, point, count, **options):
    """Fork one life; its process id."""
    pid = os.fork()
    if pid:
        return pid
    # A life that never comes to its point (others took all the work) is killed all the same.
    signal.alarm(4 if point else 60)
    try:
        asyncio.run(live(url, point, count, **options))
    except BaseException:  # noqa: BLE001  nobody else would tell
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def preload():
    """Import now what would else be imported in every life."""
    for module in ("redis.asyncio", "tenacity", "flownb.engine.orchestrator", "flownb.engine.item"):
        import_module(module)
    for module in ("flownb.queues.manager", "flownb.engine.track", "concurrent.futures.thread"):
        import_module(module)


def main(url, kills, slots, seed, transactional):
    preload()
    rng = random.Random(seed)
    lives = [POINTS[i % len(POINTS)] for i in range(kills)]
    rng.shuffle(lives)
    alive, fallen, died = set(), 0, dict.fromkeys(POINTS, 0)
    points = {}
    while lives or fallen < kills:
        while lives and len(alive) < slots:
            point = lives.pop()
            count = rng.randint(1, MOST.get(point, 25))
            pool = rng.choice(["asyncio", "thread"])
            pid = begin(url, point, count, transactional=transactional, pool=pool)
            alive.add(pid)
            points[pid] = point
        pid, status = os.waitpid(-1, 0)
        alive.discard(pid)
        fallen += 1
        died[points[pid]] += os.waitstatus_to_exitcode(status) == -signal.SIGKILL
    last = [
        begin(url, "", 0, transactional=transactional, pool=pool) for pool in ("asyncio", "thread")
    ]
    for pid in last:
        os.waitpid(pid, 0)
    print(json.dumps(died), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5] == "True")
