"""Can the loops and queues of a running graph be read and steered over HTTP?"""

from __future__ import annotations

import time
from urllib.parse import quote

import pytest

from flownb import Graph
from tests.support.served import live_graph, serving

pytestmark = pytest.mark.wallclock


def test_loops_are_listed_read_and_counted(live):
    (loop,) = live.get("loops").json()["loops"]
    assert (loop["graph"], loop["loop"], loop["pool"]) == ("live", "days", "thread")
    assert live.get("loops", params={"state": "error"}).json()["loops"] == []
    assert live.get("loops/live").json()["loops"][0]["loop"] == "days"
    metrics = live.get("loops/live/metrics").json()["loops"]["days"]
    assert metrics["nodes"]["check"]["calls"] >= 0
    assert "rate" in metrics


@pytest.mark.parametrize("loop", [None, "days"])
def test_a_loop_is_paused_stepped_resumed_stopped_and_started(live, loop):
    def ask(verb):
        asked = {"wait": 10} | ({"loop": loop} if loop else {})
        told = live.post(f"loops/live/{verb}", params=asked).json()
        assert told["done"], told
        return told["loops"][0]

    paused = ask("pause")
    assert paused["state"] == "paused"
    assert ask("step")["iterations"] == paused["iterations"] + 1
    assert ask("resume")["state"] == "running"
    assert ask("stop")["state"] == "stopped"
    assert ask("start")["state"] == "running"


def test_what_is_asked_and_not_done_in_time_says_so():
    graph = Graph("slow").add_producer("p").add_node("n", lambda _: time.sleep(1))
    orch = graph.add_edge("p", "n").start(control="thread")
    with serving(orch) as client:
        time.sleep(0.1)
        assert not client.post("loops/slow/pause", params={"wait": 0}).json()["done"]
    orch.stop(grace=3).wait(20)


def test_names_that_are_not_there_say_which_are(live):
    for path in ("loops/lvie", "loops/lvie/metrics", "queues/live/wet", "loops/live/x/dead"):
        told = live.get(path)
        assert told.status_code == 404
        assert "there are" in told.json()["detail"] or "did you mean" in told.json()["detail"]
    told = live.post("loops/live/pause", params={"loop": "dyas"})
    assert told.status_code == 404
    assert 'did you mean "days"' in told.json()["detail"]


def test_a_queue_is_pushed_to_and_counted(live):
    live.post("loops/live/pause", params={"wait": 10})
    before = live.get("queues/live/wet_days").json()["depth"]
    pushed = live.post("queues/live/wet_days/messages", json={"data": {"rain": 3}})
    assert pushed.status_code == 201
    assert pushed.json()["id"]
    after = live.get("queues").json()["queues"][0]
    assert after["depth"] == after["backlog"] == before + 1
    seen = live.get("queues/live/wet_days/messages", params={"count": 1000}).json()["messages"]
    assert (len(seen), seen[-1]["data"]) == (before + 1, {"rain": 3})
    assert live.delete("queues/live/wet_days/messages").json()["dropped"] == before + 1
    refused = live.delete("queues/live/wet_days/readers/gone")
    assert (refused.status_code, "share one backlog" in refused.text) == (409, True)


def test_failures_and_lines_are_told_and_dead_letters_replayed():
    rain = []

    def check(day):
        print(f"day {day}")
        if not rain:
            raise ValueError("dry")
        return day

    graph = Graph("g").add_producer("p", [1, 2], every=0.05).add_node("check", check)
    graph.add_edge("p", "check").set_loop("p", on_error="dead_letter")
    graph.add_queue_reader("r", queue="q", external=True)
    orch = graph.start(control="thread")
    with serving(orch) as client:
        until = time.monotonic() + 20
        while len(client.get("loops/g/p/dead").json()["letters"]) < 2:
            assert time.monotonic() < until
        failed = client.get("loops/g/failures", params={"loop": "p"}).json()["failures"]
        assert [(f["node"], f["item"], f["error"]) for f in failed] == [
            ("check", 1, "ValueError: dry"),
            ("check", 2, "ValueError: dry"),
        ]
        lines = client.get("loops/g/logs", params={"node": "check", "last": 1}).json()
        assert [line["text"] for line in lines] == ["day 2"]
        letters = client.get("loops/g/p/dead").json()["letters"]
        assert [letter["item"] for letter in letters] == [1, 2]
        nothing = client.post("loops/g/p/dead/replay", json={"ids": []})
        assert nothing.json()["replayed"] == 0
        ended = client.post("loops/g/p/dead/replay", json={})
        assert ended.status_code == 409
    orch.stop().wait(20)


def test_a_graph_that_is_started_again_is_served_by_its_name():
    first = live_graph("again").start(control="thread")
    with serving(first) as client:
        second = live_graph("again").start(control="thread")
        until = time.monotonic() + 20
        while client.get("loops/again").json()["loops"][0]["state"] != "running":
            assert time.monotonic() < until
            time.sleep(0.05)
        client.post("loops/again/stop", params={"wait": 10})
        assert second.status()["days"].state == "stopped"
    first.stop().wait(20)


def test_without_a_name_all_that_runs_is_served(orch):
    with serving() as client:
        assert client.get("health").json()["graphs"] == ["live"]
        assert orch.name == "live"


@pytest.mark.parametrize("name", ["a/b", "100%", "a%2Fb", "é b", "a%25"])
def test_whatever_is_in_a_name_it_is_one_part_of_the_path(name):
    graph = (
        Graph(name)
        .add_producer(name, every=0.05)
        .add_queue(f"{name}q")
        .add_edge(name, f"{name}q")
        .add_queue_reader(f"{name}r", queue=f"{name}q")
        .add_node("n", print)
        .add_edge(f"{name}r", "n")
    )
    orch = graph.start(control="thread")
    with serving(orch) as client:
        quoted = quote(name, safe="")
        assert client.get(f"loops/{quoted}").json()["graph"] == name
        assert client.get(f"queues/{quoted}/{quoted}q").json()["queue"] == f"{name}q"
        assert client.get(f"loops/{quoted}/{quoted}r/dead").json()["letters"] == []
        assert name in client.get(f"loops/{quote(name + 'x', safe='')}").json()["detail"]
    orch.stop(grace=1).wait(20)


def test_head_answers_as_get_does_without_the_body(live):
    for path in ("health", "loops/live", "queues/live/nothing", "stream", ""):
        head = live.head(path)
        with live.stream("GET", path) as get:
            assert head.status_code == get.status_code
            assert head.headers["content-type"] == get.headers["content-type"]
        assert head.content == b""
