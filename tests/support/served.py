"""What do tests of the server share? A graph that runs, an app on a real port, and a client."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from contextlib import contextmanager
from pathlib import Path

import httpx

from flownb import Graph, ToolRegistry
from flownb.server import Server, create_app
from flownb.server.security import Caps

ROOT = Path(__file__).parents[2]
TOKEN = "a-token-for-tests"
QUICK = Caps(rate=None)
tools = ToolRegistry()


@tools.register
def double(state):
    """Twice as much."""
    print("doubled")
    return {"value": state["value"] * 2}


@tools.register
def refuse(state):
    """Fail while "bad" stands in the state."""
    if state.get("bad"):
        raise ValueError(f"bad is {state['bad']}")
    return {"good": True}


@tools.register
def nap(state):
    """Take as long as the state says."""
    time.sleep(state.get("naps", 0.0))
    return {"slept": state.get("slept", 0) + 1}


def document(name="sums", fn="double"):
    return {"flownb": 1, "name": name, "nodes": [{"name": fn, "kind": "blocking", "fn": fn}]}


def sums(name="sums"):
    return Graph(name).add_node("double", double)


def live_graph(name="live", every=0.02, mode="competing"):
    """One loop that pushes to a queue that nobody reads."""
    return (
        Graph(name)
        .add_producer("days", every=every)
        .add_node("check", lambda day: day)
        .add_queue("wet_days", external=True, mode=mode)
        .add_edge("days", "check", "wet_days")
    )


@contextmanager
def serving(*orchestrators, **options):
    """A server, and a client with its token."""
    options = {"tools": tools, "token": TOKEN, "caps": QUICK, **options}
    server = Server(create_app(*orchestrators, **options)).start()
    try:
        with httpx.Client(
            base_url=server.address,
            headers={"Authorization": f"Bearer {TOKEN}"},
            timeout=30,
            limits=httpx.Limits(max_keepalive_connections=0),  # nothing stays open behind a test
        ) as client:
            client.server = server
            yield client
    finally:
        server.stop().wait()


def run_of(client, state, graph="sums", wait=10, **more):
    """Carry out a run and give its answer."""
    given = {"graph": graph, "state": state, **more}
    reply = client.post("runs", params={"wait": wait}, json=given)
    assert reply.status_code in {200, 202}, reply.text
    return reply.json()


PROGRAM = """
    import sys, threading, time
    from flownb import Graph
    from flownb.server import Server, create_app
    from flownb.server.security import Caps
    from tests.support.served import TOKEN, nap, tools
    naps = Graph("naps").add_node("first", nap).add_node("second", nap).add_edge("first", "second")
    app = create_app(graphs=[naps], store=sys.argv[1], tools=tools, token=TOKEN,
                     caps=Caps(rate=None, max_running=8))
    import uvicorn
    from flownb.server.serving import listening
    sock = listening("127.0.0.1", 0)
    print(sock.getsockname()[1], flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="on")).run(sockets=[sock])
"""


@contextmanager
def server_process(store):
    """A server in a process of its own, which may be killed; its address."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), str(store)],
        stdout=subprocess.PIPE, text=True, env=env, cwd=ROOT,
    )  # fmt: skip
    try:
        port = int(started.stdout.readline())
        address = f"http://127.0.0.1:{port}/"
        for _ in range(600):
            try:
                httpx.get(f"{address}health")
                break
            except httpx.TransportError:
                time.sleep(0.05)
        yield started, address
    finally:
        started.kill()
        started.wait()
        started.stdout.close()
