"""Does the live timeline get every call, once, and send no more than is new?"""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from flownb import Graph
from flownb.notebook.gantt.span_feed import KINDS, UNIT
from flownb.widgets import sending, timeline
from flownb.widgets.sending import Feed
from flownb.widgets.timeline import TimelineView
from tests.support.live import live, one, same, until
from tests.support.widgets import noted

pytestmark = pytest.mark.wallclock


def heard(content):
    """Read a portion as the browser does: (row, iteration, start, end, kind)."""
    numbers = iter(content["s"])
    return [
        (row, i, content["t"] + a * UNIT, content["t"] + (a + d) * UNIT, KINDS[k])
        for row, i, a, d, k in zip(*[numbers] * 5, strict=True)
    ]


class Page:
    """What a browser would know after each state."""

    def __init__(self, part):
        self.part, self.seen, self.calls, self.failed, self.hops = part, 0, [], [], []
        scene = part.scene()
        self.names = {row["id"]: row["node"] for row in scene["rows"]}
        self.seen = scene["upto"]
        self._take(scene["past"])

    def look(self):
        state = self.part.state()
        for key in sorted((k for k in state if k[0] == "c"), key=lambda k: int(k[1:])):
            if int(key[1:]) > self.seen:
                self.seen = int(key[1:])
                self._take(state[key])
        return state

    def _take(self, content):
        self.calls += heard(content)
        self.failed += content.get("f", ())
        self.hops += content.get("h", ())

    def of(self, node, kind="work"):
        return [i for row, i, _, _, k in self.calls if self.names[row] == node and k == kind]


@live
async def test_a_page_hears_of_every_call_once_whenever_it_looks():
    async with one(range(60), every=0.005, fn=lambda _: time.sleep(0.002)).start() as orch:
        part = TimelineView(orch)
        await asyncio.sleep(0.05)
        page = Page(part)
        assert page.of("check") == list(range(len(page.of("check"))))
        while not orch.is_over() and orch.status()["days"].state != "completed":
            page.look()
            await asyncio.sleep(0.03)
        await until(orch.is_over)
        page.look()
        assert page.of("days") == page.of("check") == list(range(60))
        late = Page(part)
        assert late.of("check") == list(range(60))
        spans = [s for s in orch.timeline() if s.node == "check"]
        times = [(a, b) for row, _, a, b, k in late.calls if late.names[row] == "check"]
        assert all(
            abs(s.start - a) < 1e-4 and abs(s.end - b) < 1e-4
            for s, (a, b) in zip(spans, times, strict=True)
        )


@live
async def test_a_call_that_has_not_ended_is_shown_as_open_and_failures_are_marked():
    def check(item):
        if item == 0:
            raise ValueError("no")
        time.sleep(0.4)

    async with one([0, 1], fn=check).start() as orch:
        part = TimelineView(orch)
        page = Page(part)
        await until(lambda: len(page.look()["open"]) == 2, "the call and the wait for it")
        found = {page.names[row]: (i, KINDS[kind]) for row, i, _, kind in part.state()["open"]}
        assert found == {"days": (1, "wait"), "check": (1, "work")}
        assert part.state()["now"][1] is True
        await until(orch.is_over)
        assert page.look()["open"] == []
        assert part.state()["now"][1] is False
        assert [(page.names[row], i) for row, i, _ in page.failed] == [("check", 0)]


@live
async def test_a_push_to_a_full_queue_waits_for_room_and_is_not_at_work():
    graph = Graph("full").add_producer("cam", range(100)).add_queue("shots", maxlen=2)
    graph.add_edge("cam", "shots").add_queue_reader("take", queue="shots")
    graph.add_node("develop", lambda _: time.sleep(0.3)).add_edge("take", "develop")
    async with graph.start() as orch:
        view = orch.view()
        page = Page(view._parts["timeline"])

        def waits():
            view._parts["timeline"]._next = 0.0
            view.refresh()
            rows = view.state["timeline/open"]
            return [KINDS[k] for row, *_, k in rows if page.names[row] == "shots"] == ["room"]

        await until(waits)
        row = next(
            k for k, one in enumerate(view.scene["dashboard"]["loops"]) if one["name"] == "cam"
        )
        await until(lambda: view.refresh() or view.state[f"dashboard/l{row}.room"] == "shots")
        await until(lambda: page.look() and len(page.of("shots", "room")) >= 3)
        assert page.of("shots", "throttled") == []
        late = Page(TimelineView(orch))
        ended = [
            (page.names[r], i)
            for r, i, a, b, k in late.calls
            if k == "work" and b - a > 0.2 and i > 1
        ]
        assert not [i for node, i in ended if node == "shots"]
        waits = sorted(late.of("shots", "room"))
        assert waits == sorted(set(waits)), "a push is drawn twice"
        view.close()


@live
async def test_a_push_that_its_producer_waits_for_is_drawn_as_one_that_does_not():
    graph = Graph("full").add_producer("cam", range(1000)).add_queue("shots", maxlen=2)
    graph.add_node("see", same).add_edge("cam", "see", "shots")  # awaited: its arm blocks
    graph.add_queue_reader("take", queue="shots")
    graph.add_node("develop", lambda _: time.sleep(0.05)).add_edge("take", "develop")
    async with graph.start() as orch:
        view = orch.view()
        page = Page(view._parts["timeline"])

        def waits():
            view._parts["timeline"]._next = 0.0
            view.refresh()
            page.look()
            return len(page.of("shots", "room")) > 12

        await until(waits)
        first = min(i for i in page.of("shots", "room") if i > 3)  # it was seen full before
        works = [(r, i) for r, i, a, b, k in page.calls if k == "work" and b - a > 0.03]
        assert not [i for r, i in works if page.names[r] == "shots" and i > first]
        view.close()


@live
async def test_the_last_calls_of_a_run_are_told_however_soon_they_come(monkeypatch):
    monkeypatch.setattr(timeline, "_EVERY", 1000)
    async with one(every=0.01).start() as orch:
        page = Page(TimelineView(orch))
        assert page.look()["now"][1] is True
        await orch.wait(iterations=3, timeout=30)
    await until(orch.is_over)
    assert page.look()["now"][1] is False
    assert page.of("check") == list(range(orch.metrics()["days"].done))


@live
async def test_a_page_that_asks_for_the_past_gets_a_scene_anew():
    async with one(every=0.01).start() as orch:
        view = orch.live_timeline()
        view.start()
        await orch.wait(iterations=3, timeout=30)
        before = view.scene["timeline"]["upto"]
        view._on_command(None, {"do": "recall_timeline"}, [])
        await until(lambda: view.scene["timeline"]["upto"] > before)
        assert len(view.scene["timeline"]["past"]["s"]) > 10
        view.close()


@live
async def test_bytes_are_bounded_by_what_is_new_however_long_the_history():
    async with one(every=0.002, fn=same).start() as orch:
        await orch.wait(iterations=300, timeout=30)
        view = orch.live_timeline()
        view.refresh()
        sent = noted(view)
        before, begin = orch.status()["days"].iterations, time.monotonic()
        view.start()
        await asyncio.sleep(1.2)
        view.close()
        seconds, items = time.monotonic() - begin, orch.status()["days"].iterations - before
    assert len(sent) <= 10 * seconds + 3
    size = sum(len(json.dumps(m)) for m in sent)
    assert (
        size < 150 * items + 3_000
    )  # two or three spans an item, 25 bytes each, sent twice at most


@live
async def test_a_loop_in_the_fast_lane_sends_blocks():
    sizes = []

    def looked():
        part._next = 0
        sizes.append(len(json.dumps(page.look())))
        return page.of("check", "block")

    async with one(fn=same, node={"keep": 1}).start() as orch:
        await orch.wait(iterations=2_000, timeout=30)
        part = TimelineView(orch)
        page = Page(part)
        page.calls.clear()
        await asyncio.sleep(0.3)
        await until(looked, "a block")
    assert max(sizes) < 30_000


@live
async def test_what_stays_is_the_picture_of_the_last_seconds():
    async with one(every=0.01, fn=same).start() as orch:
        view = orch.live_timeline()
        await orch.wait(iterations=5, timeout=30)
        assert "<svg" in view.still()
        assert "<table" in view.still()
        view.close()


@live
async def test_what_stays_is_small_however_much_happens():
    async with one(every=0.001, fn=same).start() as orch:
        view = orch.live_timeline()
        await orch.wait(iterations=800, timeout=30)
        assert len(orch.timeline()) > 1_000
        assert len(view.still()) < 250_000
        view.close()


def test_portions_stay_for_a_second_and_keep_their_numbers(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(sending.time, "monotonic", lambda: now[0])
    found = Feed()
    found.add("a")
    now[0] = 0.9
    found.add("b")
    assert found.state() == {"c1": "a", "c2": "b"}
    now[0] = 1.5
    assert found.state() == {"c2": "b"}
    assert found.past("x") == {"upto": 2, "past": "x"}
    now[0] = 9
    assert found.state() == {}


def test_many_pages_that_open_at_once_are_answered_together():
    found = Feed()
    for _ in range(5):
        found.recall()
    assert found.version == 1


@live
async def test_a_message_between_loops_is_told_with_both_its_ends():
    graph = one(range(5), every=0.01).add_queue("wet").add_edge("check", "wet")
    graph.add_queue_reader("storms", queue="wet").add_node("rank").add_edge("storms", "rank")
    async with graph.start() as orch:
        part = TimelineView(orch)
        page = Page(part)
        await orch.wait(timeout=30)
        await until(orch.is_over)
        page.look()
        hops = [(page.names[a], i, page.names[b], j) for a, i, b, j, _ in page.hops]
        assert hops == [("wet", i, "storms", i) for i in range(5)]
        late = Page(part)
        assert late.hops == page.hops
