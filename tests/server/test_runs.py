"""Are runs that are asked for over HTTP carried out, told, cancelled, resumed, and never lost?"""

from __future__ import annotations

import signal
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from flownb.server.security import Caps
from tests.support.served import (
    TOKEN,
    document,
    nap,
    refuse,
    run_of,
    server_process,
    serving,
    tools,
)

pytestmark = pytest.mark.wallclock


def wait_for(client, run_id, *statuses, patience=30):
    until = time.monotonic() + patience
    while True:
        found = client.get(f"runs/{run_id}", params={"wait": 1}).json()
        if found["status"] in statuses:
            return found
        assert time.monotonic() < until, found
        time.sleep(0.02)


def test_a_run_goes_from_its_post_to_its_state_logs_and_visits(client):
    run = run_of(client, {"value": 10})
    assert (run["status"], run["state"], run["visited"]) == ("completed", {"value": 20}, ["double"])
    again = client.get(f"runs/{run['run_id']}").json()
    assert again == run
    logs = client.get(f"runs/{run['run_id']}/logs").json()
    assert [(s["node"], s["kind"], s["output"]) for s in logs["steps"]] == [
        ("double", "started", None),
        ("double", "done", {"value": 20}),
    ]
    assert [line["text"] for line in logs["lines"]] == ["doubled"]
    assert client.get(f"runs/{run['run_id']}/visited").json()["visited"] == ["double"]


def test_a_graph_given_in_python_runs_as_one_that_is_kept(client):
    assert run_of(client, {"value": 1}, graph="given")["state"] == {"value": 2}


def test_what_nodes_of_a_run_print_does_not_land_in_the_server(client, capfd):
    run_of(client, {"value": 1})
    out, err = capfd.readouterr()
    assert "doubled" not in out + err


def test_the_same_key_begins_one_run(client):
    asked = {"graph": "sums", "state": {"value": 1}, "key": "order-7"}
    first, second = client.post("runs", json=asked), client.post("runs", json=asked)
    assert (first.status_code, second.status_code) == (202, 200)
    assert first.json()["run_id"] == second.json()["run_id"] == "http.order-7"


def test_a_run_that_fails_names_its_node_and_is_resumed_from_there(store):
    calls = []
    from flownb import Graph

    graph = (
        Graph("g")
        .add_node("once", lambda _: calls.append(1) or {"bad": "wet"})
        .add_node("check", refuse)
        .add_edge("once", "check")
    )
    with serving(graphs=[graph], store=store) as client:
        run = run_of(client, {}, graph="g")
        assert run["status"] == "failed"
        assert "bad is wet" in run["error"]
        assert run["nodes"] == {"once": "completed", "check": "failed"}
        graph.add_node("check", lambda _: {"good": True})
        resumed = client.post(f"runs/{run['run_id']}/resume", params={"wait": 10}).json()
        assert (resumed["status"], resumed["attempt"]) == ("completed", 2)
        assert len(calls) == 1
        refused = client.post(f"runs/{run['run_id']}/resume")
        assert (refused.status_code, "nothing to resume" in refused.text) == (409, True)


def test_a_run_is_cancelled_while_it_works_and_while_it_waits(store):
    from flownb import Graph

    graph = Graph("naps").add_node("nap", nap).add_node("again", nap).add_edge("nap", "again")
    with serving(graphs=[graph], store=store, caps=Caps(max_running=1)) as client:
        first = run_of(client, {"naps": 0.5}, graph="naps", wait=0)["run_id"]
        second = run_of(client, {"naps": 0}, graph="naps", wait=0)["run_id"]
        waiting = client.post(f"runs/{second}/cancel").json()
        assert (waiting["status"], waiting["visited"]) == ("cancelled", [])
        working = client.post(f"runs/{first}/cancel", params={"wait": 10}).json()
        assert working["status"] == "cancelled"
        resumed = client.post(f"runs/{second}/resume", params={"wait": 10}).json()
        assert (resumed["status"], resumed["state"]["slept"]) == ("completed", 2)


def test_lists_go_page_by_page_and_are_filtered(client):
    for value in range(5):
        run_of(client, {"value": value})
    run_of(client, {"value": 1}, graph="given")
    seen, cursor = [], None
    while True:
        asked = {"limit": 2, "graph": "sums"} | ({"cursor": cursor} if cursor else {})
        page = client.get("runs", params=asked).json()
        seen += [run["run_id"] for run in page["runs"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == 5
    assert client.get("runs", params={"status": "failed"}).json()["runs"] == []
    assert len(client.get("runs").json()["runs"]) == 6


def test_more_runs_than_may_wait_are_refused_and_say_so(tmp_path):
    from flownb import Graph

    graph = Graph("naps").add_node("nap", nap)
    caps = Caps(max_running=1, max_open_runs=2)
    with serving(graphs=[graph], store=str(tmp_path / "s"), caps=caps) as client:
        for _ in range(2):
            run_of(client, {"naps": 0.5}, graph="naps", wait=0)
        refused = client.post("runs", json={"graph": "naps", "state": {}})
        assert refused.status_code == 429
        assert refused.headers["Retry-After"]


@pytest.mark.parametrize("count", [48, pytest.param(1000, marks=pytest.mark.nightly)])
def test_a_thousand_runs_posted_at_once_all_end(store, count):
    with serving(store=store) as client:
        client.post("graphs", json={"document": document()})
        address = client.server.address

        def post(values):
            with httpx.Client(
                base_url=address, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60
            ) as mine:
                return [run_of(mine, {"value": v}, wait=0)["run_id"] for v in values]

        with ThreadPoolExecutor(8) as pool:
            ids = [
                i for some in pool.map(post, [range(k, count, 8) for k in range(8)]) for i in some
            ]
        until = time.monotonic() + 90
        while client.get("health").json()["open_runs"]:
            assert time.monotonic() < until
            time.sleep(0.2)
        done = client.get("runs", params={"status": "completed", "limit": 1000}).json()["runs"]
        assert {run["run_id"] for run in done} == set(ids)


@pytest.mark.parametrize(
    ("how", "count"),
    [
        (signal.SIGKILL, 12),
        pytest.param(signal.SIGTERM, 60, marks=pytest.mark.nightly),
        pytest.param(signal.SIGKILL, 60, marks=pytest.mark.nightly),
    ],
)
def test_no_run_whose_post_was_answered_is_lost_when_the_server_is_killed(store, how, count):
    headers = {"Authorization": f"Bearer {TOKEN}"}
    answered = []
    with (
        server_process(store) as (process, address),
        httpx.Client(base_url=address, headers=headers, timeout=30) as client,
    ):
        for number in range(count):
            answered.append(run_of(client, {"naps": 0.05}, graph="naps", wait=0)["run_id"])
            if number == count - 1:
                process.send_signal(how)
        process.wait(30)
    with (
        server_process(store) as (_, address),
        httpx.Client(base_url=address, headers=headers, timeout=30) as client,
    ):
        for run_id in answered:
            run = wait_for(client, run_id, "completed")
            assert run["state"]["slept"] == 2


def test_older_words_mean_the_same(client):
    made = client.post("graph/create", json={"document": document("older")})
    assert made.json()["graph_id"] == "older"
    ran = client.post("graph/run", json={"graph_id": "older", "initial_state": {"value": 4}}).json()
    assert (ran["status"], ran["state"], ran["visited_nodes"]) == (
        "completed", {"value": 8}, ["double"],
    )  # fmt: skip
    assert client.get(f"graph/state/{ran['run_id']}").json() == ran
    assert "double" in [tool["name"] for tool in client.get("tools").json()["tools"]]
    assert list(tools) == [tool["name"] for tool in client.get("tools").json()["tools"]]


def test_texts_that_no_encoding_has_are_kept_and_told(store):
    def refuse_oddly(state):
        print("\ud83d \x00 odd")
        raise ValueError("\x00 \udc00 odd")

    from flownb import Graph

    graphs = [
        Graph("odd").add_node("odd", refuse_oddly),
        Graph("keep").add_node("keep", lambda s: s),
    ]
    with serving(graphs=graphs, store=store) as client:
        run = wait_for(client, run_of(client, {}, graph="odd")["run_id"], "failed")
        assert "odd" in run["error"]
        assert "odd" in client.get(f"runs/{run['run_id']}/logs").json()["lines"][0]["text"]
        with client.stream("GET", f"runs/{run['run_id']}/stream") as stream:
            assert "failed" in stream.read().decode()
        odd = {"\x00": "\x00", "\u202e": "\U0001f600", "__proto__": [], "": {}}
        assert run_of(client, odd, graph="keep")["state"] == odd
        assert len(client.get("runs").json()["runs"]) == 2
