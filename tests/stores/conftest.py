"""Which stores do these tests run against? All four, the servers being real ones."""

from __future__ import annotations

import pytest

from flownb.stores import open_store
from tests.support.postgres import postgres_url
from tests.support.servers import real_server_url

__all__ = ["postgres_url", "real_server_url"]

SERVERS = {"postgres": "postgres_url", "redis": "real_server_url"}


@pytest.fixture(
    params=["memory", "sqlite", pytest.param("redis", marks=pytest.mark.redis), "postgres"]
)
def address(request, tmp_path):
    """Where an empty store is."""
    if request.param in SERVERS:
        url = request.getfixturevalue(SERVERS[request.param])
        empty(url)
        return url
    return "memory://" if request.param == "memory" else str(tmp_path / "runs.sqlite")


@pytest.fixture
def store(address):
    """An empty store."""
    opened = open_store(address)
    yield opened
    opened.close()


def empty(url: str) -> None:
    """Forget everything that is kept there."""
    kept = open_store(url)
    while runs := kept.runs.list():
        for run in runs:
            kept.runs.delete(run.run_id)
    for graph in kept.graphs.list():
        kept.graphs.delete(graph.name)
    for loop in kept.loops.list():
        kept.loops.delete(loop.graph)
    kept.close()
