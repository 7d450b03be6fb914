"""Do clients hear what happens, at their own speed, and does no loop hear of them?"""

from __future__ import annotations

import asyncio
import json
import socket
import time
from contextlib import contextmanager

import httpx
import pytest
import websockets.asyncio.client
import websockets.sync.client
from hypothesis import given
from hypothesis import strategies as st

from flownb import Graph
from flownb.server.feed import EventLog, Feed
from flownb.server.security import Caps
from tests.support.live import live as on_event_loop
from tests.support.served import TOKEN, live_graph, nap, run_of, serving

pytestmark = pytest.mark.wallclock


def events(reply, most):
    """Read so many events of an open stream as (id, kind, data)."""
    found, current = [], {}
    for line in reply.iter_lines():
        if line:
            name, _, value = line.partition(": ")
            current[name] = value
        elif "data" in current:
            found.append((current.get("id"), current["event"], json.loads(current["data"])))
            current = {}
            if len(found) == most:
                break
        else:
            current = {}
    return found


def test_a_stream_tells_states_lines_and_metrics(live):
    with live.stream("GET", "stream", params={"graph": "live"}) as reply:
        assert reply.headers["content-type"].startswith("text/event-stream")
        live.post("loops/live/pause", params={"wait": 5})
        kinds = {kind: data for _, kind, data in events(reply, 3)}
    assert {"state", "metrics"} <= set(kinds)
    assert kinds["state"]["state"] in {"pausing", "paused"}
    assert kinds["metrics"]["loops"]["days"]["produced"] > 0


def test_a_loop_that_falls_behind_is_told_of_once():
    graph = Graph("late").add_producer("days", every=0.01)
    graph.add_node("check", lambda _: time.sleep(0.03)).add_edge("days", "check")
    orch = graph.start(control="thread")
    with serving(orch) as client:
        asked = {"kinds": "behind,metrics", "limit": 5}
        with client.stream("GET", "stream", params=asked) as reply:
            found = [data for _, kind, data in events(reply, 5) if kind == "behind"]
    orch.stop().wait(20)
    assert [(one["graph"], one["loop"]) for one in found] == [("late", "days")]
    assert 1 < found[0]["missed"] < found[0]["ticks"]


def test_kinds_and_detail_say_what_is_told(live):
    asked = {"detail": True, "kinds": "settled,span", "limit": 5}
    with live.stream("GET", "stream", params=asked) as reply:
        found = events(reply, 5)
    assert {kind for _, kind, _ in found} <= {"settled", "span"}
    assert {data["graph"] for _, _, data in found} == {"live"}


def test_who_comes_back_with_its_last_id_misses_nothing(live):
    asked = {"detail": True, "kinds": "produced"}
    with live.stream("GET", "stream", params=asked) as reply:
        first = events(reply, 5)
    time.sleep(0.5)
    with live.stream("GET", "stream", params=asked, headers={"Last-Event-ID": first[-1][0]}) as r:
        second = events(r, 30)
    numbers = [data["iteration"] for _, _, data in first + second]
    assert numbers == list(range(numbers[0], numbers[0] + 35))


@pytest.mark.parametrize("last_id", ["nonsense", "00000000-5", "-", "x-99999999999999999999999"])
def test_an_id_of_another_server_is_told_that_something_may_be_missing(live, last_id):
    asked = {"last_event_id": last_id, "limit": 1}
    with live.stream("GET", "stream", params=asked) as reply:
        found = events(reply, 1)
    assert (found[0][1], found[0][2]["count"]) == ("missed", None)


def test_a_run_is_followed_from_its_beginning_to_its_end():
    graph = Graph("naps").add_node("first", nap).add_node("second", nap)
    with serving(graphs=[graph.add_edge("first", "second")]) as client:
        run_id = run_of(client, {"naps": 0.3}, graph="naps", wait=0)["run_id"]
        with client.stream("GET", f"runs/{run_id}/stream") as reply:
            found = events(reply, 100)
        assert [d["node"] for _, kind, d in found if kind == "call"] == ["first", "second"]
        assert found[-1][1] == "status"
        assert found[-1][2]["status"] == "completed"
        url = client.server.address.replace("http", "ws")
        with websockets.sync.client.connect(f"{url}runs/{run_id}/ws?token={TOKEN}") as ws:
            told = [one for message in ws for one in json.loads(message)]
        assert told[-1]["data"]["state"]["slept"] == 2


def test_a_run_of_a_server_before_is_told_from_the_store(tmp_path):
    store = str(tmp_path / "runs.sqlite")
    graph = Graph("naps").add_node("nap", nap)
    with serving(graphs=[graph], store=store) as client:
        run_id = run_of(client, {}, graph="naps")["run_id"]
    with (
        serving(graphs=[graph], store=store) as client,
        client.stream("GET", f"runs/{run_id}/stream") as reply,
    ):
        found = events(reply, 100)
    assert [(kind, data.get("kind")) for _, kind, data in found] == [
        ("step", "started"), ("step", "done"), ("status", None),
    ]  # fmt: skip


def test_a_socket_tells_the_same_as_a_stream(live):
    url = live.server.address.replace("http", "ws")
    with websockets.sync.client.connect(f"{url}ws?detail=true&kinds=settled") as ws:
        told = [one for _ in range(3) for one in json.loads(ws.recv(10))]
    assert {one["kind"] for one in told} == {"settled"}
    last = told[-1]
    with websockets.sync.client.connect(
        f"{url}ws?detail=true&kinds=settled&last_event_id={last['id']}"
    ) as ws:
        following = json.loads(ws.recv(10))[0]
    assert following["data"]["iteration"] == last["data"]["iteration"] + 1


def test_more_clients_than_may_listen_are_refused(orch):
    with serving(orch, caps=Caps(max_streams=1)) as client:
        with client.stream("GET", "stream") as reply:
            assert reply.status_code == 200
            assert client.get("stream").status_code == 429
        until = time.monotonic() + 10
        while client.get("health").json()["streams"]:
            assert time.monotonic() < until
            time.sleep(0.05)


def test_a_server_that_stops_lets_its_listeners_go_at_once(orch):
    with serving(orch) as client, client.stream("GET", "stream") as reply:
        begin = time.monotonic()
        client.server.stop().wait()
        assert time.monotonic() - begin < 4
        assert list(reply.iter_lines()) is not None


@contextmanager
def stalled(client, count):
    """Clients that ask for everything and take nothing."""
    made = []
    for _ in range(count):
        one = socket.socket()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.connect(("127.0.0.1", client.server.port))
        one.sendall(b"GET /stream?detail=true HTTP/1.1\r\nHost: localhost\r\n\r\n")
        made.append(one)
    try:
        yield made
    finally:
        for one in made:
            one.close()


def test_a_client_that_takes_nothing_is_let_go_and_a_slow_one_is_told_what_it_missed():
    orch = live_graph("fast", every=0.001).start(control="thread")
    with serving(orch, caps=Caps(stall=1.0, rate=None)) as client:
        log = client.server._app.state.services.loop_feed("", detail=True).log
        log._size = 200
        with stalled(client, 2):
            until = time.monotonic() + 60
            while log.last < 20_000 or client.get("health").json()["streams"]:
                assert time.monotonic() < until, (log.last, client.get("health").json())
                time.sleep(0.1)
        assert len(log._ring) <= 200
        first = {"last_event_id": f"{log.name}-1", "detail": True, "limit": 1}
        with client.stream("GET", "stream", params=first) as reply:
            (missed,) = events(reply, 1)
        assert missed[1] == "missed"
        assert missed[2]["count"] > 10_000
    orch.stop().wait(20)


@pytest.mark.alone
@pytest.mark.parametrize("listeners", [20, pytest.param(200, marks=pytest.mark.nightly)])
@on_event_loop
async def test_two_hundred_listeners_cost_no_loop_a_tick(listeners):
    orchs = [live_graph(f"g{i}", every=0.05).start(control="thread") for i in range(5)]
    with serving(*orchs) as client:
        missed_before = await ticks_missed(orchs)
        url = client.server.address
        async with httpx.AsyncClient(
            base_url=url, timeout=None, limits=httpx.Limits(max_connections=None)
        ) as http:
            heard = [0] * listeners
            tasks = [asyncio.create_task(listen(http, url, heard, i)) for i in range(listeners)]
            await asyncio.sleep(3)
            missed_with = await ticks_missed(orchs)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        assert min(heard) > 0
        assert missed_with <= missed_before + 2, (missed_before, missed_with)
    for orch in orchs:
        await orch.stop(grace=1)


async def ticks_missed(orchs, seconds=3.0):
    """Ticks that the loops miss while nothing is asked of them."""
    before = [orch.metrics()["days"].overruns for orch in orchs]
    await asyncio.sleep(seconds)
    return sum(orch.metrics()["days"].overruns - n for orch, n in zip(orchs, before, strict=True))


async def listen(http, url, heard, i):
    if i % 2:
        async with http.stream("GET", "stream") as reply:
            async for _ in reply.aiter_raw():
                heard[i] += 1
    else:
        address = url.replace("http", "ws") + "ws"
        async with websockets.asyncio.client.connect(address, compression=None) as ws:
            async for _ in ws:
                heard[i] += 1


# -- the ring, without a server -------------------------------------------------


@given(st.integers(1, 20), st.lists(st.tuples(st.integers(0, 30), st.integers(1, 7)), max_size=30))
def test_whoever_reads_at_whatever_speed_gets_each_record_once_or_is_told_how_many_not(size, steps):
    log, place, got = EventLog(size=size), 0, 0
    number = 0
    for added, taken in steps:
        log.add([("n", {"n": number + i}) for i in range(added)])
        number += added
        missed, records = log.after(place, most=taken)
        assert [r[0] for r in records] == list(
            range(place + missed + 1, place + missed + 1 + len(records))
        )
        if records:
            place = records[-1][0]
            got += missed + len(records)
            assert json.loads(records[0][2]) == {"n": records[0][0] - 1}
        assert len(log._ring) <= size
    assert got == place


@on_event_loop
async def test_a_source_is_read_only_while_somebody_listens_and_a_while_longer():
    reads = []
    feed = Feed(lambda: (reads.append(1) or [("n", 1)], len(reads) >= 3), 0.01)
    assert reads == []
    found = [records async for _, records in feed.follow(f"{feed.log.name}-0", beat=1)]
    assert [r[0] for records in found for r in records] == [1, 2, 3]
    assert feed.log.is_over
