"""Is what a transactional loop pushes there once, whoever is silent for longer than a lease?

Reader processes on a real server. One is frozen while a message is on its way to it; the
server is away, or takes no writes, for longer than a lease.
"""

from __future__ import annotations

import os
import signal
import time

import pytest
from redis import Redis

from tests.support.owners import moved_once, push, readers
from tests.support.servers import RestartableServer

pytestmark = [pytest.mark.redis, pytest.mark.wallclock, pytest.mark.alone]
PROGRAMS = ["valkey-server", "redis-server"]
nightly = pytest.mark.nightly


@pytest.fixture(params=PROGRAMS)
def durable(request):
    """A server that keeps what it acknowledged."""
    with RestartableServer(program=request.param) as server:
        yield server


def freeze(url, rounds, lease):
    with Redis.from_url(url) as client, readers(url, 3, lease) as processes:
        for n in range(rounds):
            process = processes[n % 3]
            time.sleep(0.1)
            os.kill(process.pid, signal.SIGSTOP)
            push(client, range(3 * n, 3 * n + 3))
            time.sleep(1.4 * lease)
            os.kill(process.pid, signal.SIGCONT)
        assert moved_once(client, 3 * rounds) == (0, 0, 0)


FREEZES = [(4, 1), pytest.param(25, 2, marks=nightly), pytest.param(1, 30, marks=nightly)]


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("rounds", "lease"), FREEZES)
def test_a_reader_that_was_frozen_while_a_message_came_pushes_nothing_twice(durable, rounds, lease):
    freeze(durable.url, rounds, lease)


ROUNDS = [(1, 2), pytest.param(12, 2, marks=nightly), pytest.param(1, 30, marks=nightly)]


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("rounds", "lease"), ROUNDS)
def test_a_server_that_was_away_for_longer_than_a_lease_has_everything_once(durable, rounds, lease):
    for _ in range(rounds):
        with readers(durable.url, 3, lease), Redis.from_url(durable.url) as client:
            push(client, range(400), 4)
            time.sleep(0.25)
            durable.kill()
            time.sleep(lease + 1.5 if lease < 10 else lease + 3)
            durable.start()
            assert moved_once(client, 400) == (0, 0, 0)
            client.flushall()


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("rounds", "lease"), ROUNDS)
def test_a_server_that_was_full_for_longer_than_a_lease_has_everything_once(durable, rounds, lease):
    for _ in range(rounds):
        with readers(durable.url, 3, lease), Redis.from_url(durable.url) as client:
            push(client, range(400), 4)
            time.sleep(0.25)
            client.config_set("maxmemory", 100_000)
            time.sleep(2 * lease if lease < 10 else lease + 3)
            client.config_set("maxmemory", 0)
            assert moved_once(client, 400) == (0, 0, 0)
            client.flushall()
