"""Which servers do the queue tests run against? Every kind that a graph may meet.

Fakeredis in this process, fakeredis over TCP, and a real server by its unix socket and by
TCP: one suite, because a queue must not behave differently.
"""

from __future__ import annotations

import pytest

from flownb.queues import open_server
from flownb.queues.servers.fake import LoopbackServer
from tests.support.servers import RestartableServer, real_server_url
from tests.support.standstill import sleeper

__all__ = ["real_server_url", "sleeper"]


def _flush(url: str) -> None:
    from redis import Redis

    with Redis.from_url(url) as client:
        client.flushall()


@pytest.fixture(scope="module")
def real_tcp_url():
    """The address of a real server of our own, by TCP."""
    with RestartableServer(durable=False, tcp=True) as server:
        yield server.url


@pytest.fixture(
    params=[
        "fake",
        "fake by TCP",
        pytest.param("server", marks=pytest.mark.redis),
        pytest.param("server by TCP", marks=[pytest.mark.redis, pytest.mark.nightly]),
    ]
)
def server(request: pytest.FixtureRequest):
    """An empty server of each kind."""
    if request.param == "fake":
        yield open_server()
    elif request.param == "fake by TCP":
        loopback = LoopbackServer()
        yield loopback
        loopback.close()
    else:
        by_tcp = request.param.endswith("TCP")
        url = request.getfixturevalue("real_tcp_url" if by_tcp else "real_server_url")
        _flush(url)
        yield open_server(url)
        _flush(url)
