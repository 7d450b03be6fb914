"""A reader process that moves what is in one queue to another, transactionally, until it is ended.

    python -m tests.support.owners URL LEASE

What stands in a message it sleeps, in milliseconds, behind a comma: "7,4" is number 7.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

from redis import Redis
from redis.exceptions import ConnectionError as Gone

from flownb import Graph

ROOT = Path(__file__).parents[2]
IN, OUT = "flownb:{own}:in", "flownb:{own}:out"


def moving(lease):
    """The graph of one reader."""

    def work(text):
        time.sleep(float(text.partition(",")[2]) / 1000)
        return text

    graph = Graph("own").add_queue_reader(
        "move", queue="in", external=True, visibility_timeout=lease, max_deliveries=999
    )
    graph.add_node("work", work).add_queue("out", external=True).add_edge("move", "work", "out")
    return graph.set_loop("move", transactional=True, max_in_flight=16)


@contextmanager
def readers(url, count, lease):
    """Some reader processes, up when the block begins."""
    command = [sys.executable, "-m", "tests.support.owners", url, str(lease)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    processes = [subprocess.Popen(command, env=env) for _ in range(count)]
    try:
        with Redis.from_url(url) as client:
            until(lambda: client.info("clients")["blocked_clients"] >= count)
        yield processes
    finally:
        for process in processes:
            process.send_signal(signal.SIGCONT)
            process.kill()
        for process in processes:
            process.wait(10)


def push(client, numbers, milliseconds=0):
    """Push numbers, each with how long it takes."""
    pipe = client.pipeline(transaction=False)
    for n in numbers:
        pipe.xadd(IN, {"data": f'"{n},{milliseconds}"'})
    pipe.execute()


def until(true, seconds=60):
    """Wait for something; fails if it does not come."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


def moved_once(client, count, seconds=120):
    """Wait until all is moved; (lost, doubled, pending)."""

    def is_over():
        try:
            return not client.xlen(IN) and not client.xpending(IN, "in")["pending"]
        except Gone:  # it is loading what it has kept
            return False

    until(is_over, seconds)
    time.sleep(0.5)  # for what would come twice
    found = Counter(fields[b"data"].split(b",")[0] for _, fields in client.xrange(OUT))
    doubled = sum(times - 1 for times in found.values())
    return count - len(found), doubled, client.xpending(IN, "in")["pending"]


async def main(url, lease):
    """Read until the end of the process."""
    orch = moving(lease).start(redis=url)
    await orch.wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2])))
