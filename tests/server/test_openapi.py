"""Does the server keep its OpenAPI document, whatever is sent? schemathesis asks."""

from __future__ import annotations

import os

import pytest

from tests.support.served import document, live_graph, serving, tools

schemathesis = pytest.importorskip("schemathesis")
pytestmark = pytest.mark.wallclock
CASES = int(os.environ.get("FLOWNB_OPENAPI_CASES", "500"))


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A server with what the examples in the document name."""
    orch = live_graph(every=0.2).start(control="thread")
    store = str(tmp_path_factory.mktemp("openapi") / "runs.sqlite")
    with serving(orch, graphs=[], store=store, tools=tools) as client:
        client.post("graphs", json={"document": document()})
        client.post("runs", json={"graph": "sums", "state": {"value": 1}, "key": "example"})
        yield client
    orch.stop().wait(20)
