"""Is anything lost or doubled when consumers are killed, wherever they are at that moment?"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from flownb.queues import lives, open_server
from tests.queues.fire import POINTS
from tests.queues.support import manager

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.redis, pytest.mark.wallclock]


def fill(url, count):
    from flownb.queues import QueueSpec

    async def push():
        queues = manager(open_server(url), QueueSpec("in"), QueueSpec("out"))
        queues._keys = type(queues._keys)("flownb", "fire")
        async with queues:
            for start in range(0, count, 1000):
                await asyncio.gather(*(queues.push("in", n) for n in range(start, start + 1000)))

    asyncio.run(push())


def outcome(url):
    """How often each number is in "out", what is pending in "in", and its dead consumers."""
    from redis import Redis

    with Redis.from_url(url) as client:
        out = Counter(json.loads(fields[b"data"]) for _, fields in client.xrange("flownb:fire:out"))
        consumers = client.xinfo_consumers("flownb:fire:in", "in")
        names = [row["name"].decode() for row in consumers]
        pending = client.xpending("flownb:fire:in", "in")["pending"]
        return out, pending, [name for name in names if lives.is_dead(name)]


def burn(url, *, kills, messages, transactional, seed=0, slots=4):
    """Let `kills` consumers be killed over that many messages; what came of it."""
    from redis import Redis

    with Redis.from_url(url) as client:
        client.flushall()
    fill(url, messages)
    script = [sys.executable, str(ROOT / "tests/queues/fire.py"), url, str(kills), str(slots)]
    done = subprocess.run(
        [*script, str(seed), str(transactional)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    died = json.loads(done.stdout.splitlines()[-1])
    out, pending, dead = outcome(url)  # the last lives ended 2 s after the last message
    assert set(range(messages)) - set(out) == set(), "lost"
    assert pending == 0
    assert len(dead) <= 2
    print(f"{sum(died.values())} of {kills} killed at their point: {died}")
    assert sum(died.values()) >= 0.8 * kills
    assert set(died) == set(POINTS)
    assert all(died.values())
    return sum(count - 1 for count in out.values())


@pytest.mark.timeout(120)
def test_a_hundred_consumers_killed_at_twelve_points_lose_and_double_nothing(real_server_url):
    assert burn(real_server_url, kills=100, messages=4_000, transactional=True) == 0


@pytest.mark.timeout(120)
def test_without_a_transaction_only_doubles_can_happen(real_server_url):
    doubles = burn(real_server_url, kills=24, messages=1_000, transactional=False)
    assert doubles <= 24 * 16  # what one life holds at most


@pytest.mark.nightly
@pytest.mark.timeout(1200)
def test_a_thousand_consumers_killed_lose_and_double_nothing(real_server_url):
    assert burn(real_server_url, kills=1_000, messages=40_000, transactional=True, seed=1) == 0
