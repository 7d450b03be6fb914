"""Which servers do the queue tests run against? Fakeredis, and a real one where there is one."""

from __future__ import annotations

import pytest

from flownb.queues import open_server
from tests.servers import real_server_url

__all__ = ["real_server_url"]


def _flush(url: str) -> None:
    from redis import Redis

    with Redis.from_url(url) as client:
        client.flushall()


@pytest.fixture(params=["fake", pytest.param("server", marks=pytest.mark.redis)])
def server(request: pytest.FixtureRequest):
    """An empty server, once inside this process and once a real one."""
    if request.param == "fake":
        yield open_server()
        return
    url = request.getfixturevalue("real_server_url")
    _flush(url)
    yield open_server(url)
    _flush(url)
