"""On which stores is the server tested? On a file, and by night on PostgreSQL, too."""

from __future__ import annotations

import pytest

from tests.stores.conftest import empty
from tests.support.postgres import postgres_url
from tests.support.served import live_graph, serving, sums

__all__ = ["postgres_url"]


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.nightly)])
def store(request, tmp_path):
    """Where an empty store is."""
    if request.param == "sqlite":
        return str(tmp_path / "runs.sqlite")
    url = request.getfixturevalue("postgres_url")
    empty(url)
    return url


@pytest.fixture
def client(store):
    """A client of a server with the graph "sums" in its store."""
    with serving(graphs=[sums("given")], store=store) as client:
        kept = {"document": sums().to_dict(tools=client.server._app.state.services.tools)}
        assert client.post("graphs", json=kept).status_code == 201
        yield client


@pytest.fixture
def orch():
    """The graph "live", which runs."""
    orch = live_graph().start(control="thread")
    yield orch
    orch.stop(grace=1).wait(20)


@pytest.fixture
def live(orch):
    """A client of a server of that graph."""
    with serving(orch) as client:
        yield client
