"""Does the server keep its OpenAPI document, whatever is sent? schemathesis asks."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import httpx
import pytest

from flownb.server import Server, create_app
from flownb.server.security import Caps
from tests.support.served import TOKEN, document, live_graph, tools

pytestmark = pytest.mark.wallclock
EVERY_DAY = ("examples,fuzzing", "5", 150)  # phases, examples for each operation, at least so many
NIGHTLY = ("examples,coverage,fuzzing", "110", 5000)


class Counting:
    """Counts good answers by operation."""

    def __init__(self, app, good):
        self.app, self.good = app, good

    async def __call__(self, scope, receive, send):
        async def told(message):
            if message["type"] == "http.response.start" and message["status"] < 300:
                self.good[scope["method"].lower(), scope["path"]] += 1
            await send(message)

        await self.app(scope, receive, told)


@pytest.fixture
def served(tmp_path):
    """A server with what the examples in its document name, and what it answered well."""
    graph = live_graph(every=0.2, mode="broadcast").add_queue_reader("gone", queue="wet_days")
    orch = graph.start(control="thread")
    graph.remove_node("gone")
    orch.apply().wait(20)  # its group is left, to be forgotten
    caps, good = Caps(rate=None, lifetime=0.1), Counter()
    app = create_app(orch, store=str(tmp_path / "s"), tools=tools, token=TOKEN, caps=caps)
    app.add_middleware(Counting, good=good)
    server = Server(app).start()
    with httpx.Client(
        base_url=server.address, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30
    ) as client:
        for kept in (document(), document("refusing", "refuse")):
            client.post("graphs", json={"document": kept})
        failing = {"graph": "refusing", "state": {"bad": "always"}, "key": "example"}
        assert client.post("runs?wait=10", json=failing).json()["status"] == "failed"
    good.clear()
    yield server, app, good
    server.stop().wait()
    orch.stop(grace=1).wait(20)


@pytest.mark.parametrize(
    ("phases", "examples", "least"),
    [
        pytest.param(*EVERY_DAY, marks=pytest.mark.timeout(600)),
        pytest.param(*NIGHTLY, marks=[pytest.mark.nightly, pytest.mark.timeout(7200)]),
    ],
)
def test_no_request_breaks_a_promise_of_the_document(served, tmp_path, phases, examples, least):
    server, app, good = served
    program = shutil.which("schemathesis", path=str(Path(sys.executable).parent))
    ran = subprocess.run(
        [
            program, "run", f"{server.address}openapi.json", "--checks", "all", "--phases", phases,
            "-H", f"Authorization: Bearer {TOKEN}", "--max-examples", examples, "--no-color",
            "--request-timeout", "30", "--continue-on-failure", "--seed", "1",
        ],
        capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout[-6000:]
    generated = int(re.search(r"([\d,]+) generated", ran.stdout)[1].replace(",", ""))
    assert generated >= least
    assert list(never_good(app, good)) == []


def never_good(app, good):
    for template, ways in app.openapi()["paths"].items():
        pattern = re.sub(r"\\{\w+\\}", "[^/]+", re.escape(template))
        for method in ways:
            if not any(m == method and re.fullmatch(pattern, path) for m, path in good):
                yield method, template
