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

from flownb import liveness
from flownb.queues import open_server
from tests.support import fire, fire_chain
from tests.support.queues import manager
from tests.support.servers import RestartableServer

ROOT = Path(__file__).parents[3]
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


def outcome(url, queue):
    """How often each number is in a queue, what is pending there, and its dead consumers."""
    from redis import Redis

    key = f"flownb:{{fire}}:{queue}"
    with Redis.from_url(url) as client:
        left = Counter(json.loads(fields[b"data"]) for _, fields in client.xrange(key))
        names = [row["name"].decode() for row in client.xinfo_consumers(key, queue)]
        pending = client.xpending(key, queue)["pending"]
        return left, pending, [name for name in names if liveness.is_dead(name)]


def burn(what, url, folder, *, kills, messages, seed=0, slots=4, **options):
    """Let `kills` consumers be killed over that many messages; how they say that they ended."""
    from redis import Redis

    with Redis.from_url(url) as client:
        client.flushall()
    fill(url, messages)
    said = [f"{name}={value}" for name, value in options.items()]
    done = subprocess.run(
        [sys.executable, "-m", what.__name__, url, folder, *map(str, (kills, slots, seed)), *said],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in (folder / "told").read_text().splitlines()]
    died = Counter(life["point"] for life in told if life["point"])
    print(f"{sum(died.values())} of {kills} killed at their point: {dict(died)}")
    assert sum(died.values()) >= 0.8 * kills
    if kills >= 8 * len(what.POINTS):
        assert set(died) == set(what.POINTS)
    return told


def assert_settled(url, *queues):
    """The last lives ended 2 s after the last message: nobody holds anything any more."""
    for queue in queues:
        _, pending, dead = outcome(url, queue)
        assert pending == 0
        assert len(dead) <= 2


def doubles(url, folder, messages, told):
    """How many messages were worked on twice; none is lost, and doubled only what was held."""
    found, _, _ = outcome(url, "out")
    gathered = folder / "gathered"
    found += Counter(map(int, gathered.read_text().split()) if gathered.exists() else ())
    assert set(range(messages)) - set(found) == set(), "lost"
    twice = sum(found.values()) - messages
    assert twice <= sum(life["held"] for life in told)
    return twice


def move(url, folder, *, kills, messages, transactional, seed=0):
    options = {"kills": kills, "messages": messages, "seed": seed}
    told = burn(fire, url, folder, transactional=transactional, **options)
    assert_settled(url, "in")
    return doubles(url, folder, messages, told)


@pytest.mark.timeout(120)
def test_consumers_killed_at_twelve_points_lose_and_double_nothing(real_server_url, tmp_path):
    assert move(real_server_url, tmp_path, kills=48, messages=2_000, transactional=True) == 0


@pytest.mark.timeout(120)
def test_without_a_transaction_only_doubles_can_happen(real_server_url, tmp_path):
    move(real_server_url, tmp_path, kills=24, messages=1_000, transactional=False)


@pytest.fixture(params=["valkey-server", "redis-server"])
def each_server_url(request):
    """The address of a server of each kind."""
    with RestartableServer(durable=False, program=request.param) as server:
        yield server.url


@pytest.mark.nightly
@pytest.mark.timeout(1200)
def test_a_thousand_consumers_killed_lose_and_double_nothing(each_server_url, tmp_path):
    options = {"kills": 1_000, "messages": 40_000, "seed": 1}
    assert move(each_server_url, tmp_path, transactional=True, **options) == 0


def kill_chains(url, folder, *, kills, messages, seed=0):
    """Let consumers be killed on the fast path of a chain; how many messages went through twice."""
    told = burn(fire_chain, url, folder, kills=kills, messages=messages, seed=seed)
    assert_settled(url, "in", "out")
    killed = [life for life in told if life["point"]]
    in_chain = sum(life["rows"] > 0 for life in killed) / len(killed)
    rows = sum(life["rows"] for life in told)
    twice = doubles(url, folder, messages, told)
    print(f"{in_chain:.0%} were in their chain, which took {rows} rows; {twice} came twice")
    assert in_chain > 0.5
    assert rows > messages / 2  # usually 1.3 times as many; on a busy machine calls are not short
    return twice


@pytest.mark.timeout(120)
def test_consumers_killed_in_their_rows_lose_nothing(real_server_url, tmp_path):
    kill_chains(real_server_url, tmp_path, kills=48, messages=2_000)


@pytest.mark.nightly
@pytest.mark.timeout(1200)
def test_a_thousand_consumers_killed_in_their_rows_lose_nothing(real_server_url, tmp_path):
    kill_chains(real_server_url, tmp_path, kills=1_000, messages=40_000, seed=1)
