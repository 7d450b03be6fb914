"""Does a view send what has changed and nothing else, and do clicks reach what runs?"""

from __future__ import annotations

import asyncio
import gc
import json
import threading
import time
import weakref

import pytest

from flownb.widgets import base, sending
from flownb.widgets.base import Live
from flownb.widgets.sending import Budget
from tests.support.live import live, one, until
from tests.support.widgets import Counter, noted


@pytest.fixture
def part():
    return Counter()


@pytest.fixture
def view(part):
    view = Live([part])
    yield view
    view.close()


def test_a_new_view_knows_the_scene_and_the_whole_state(view):
    assert view.scene["dag"] == {"edits": 0}
    assert view.state == {"dag/a": 0}


def test_only_changed_keys_are_sent(view, part):
    view._whole_at = float("inf")
    part.values["b"] = 1
    view.refresh()
    sent = noted(view)
    view.refresh()
    assert sent == []
    part.values = {"a": 1, "c": 2}
    view.refresh()
    assert sent == [{"patch": {"dag/a": 1, "dag/c": 2, "dag/b": None}}]
    assert view.state == {"dag/a": 1, "dag/c": 2}


def test_all_of_the_state_is_sent_now_and_then_for_pages_that_came_late(view, part):
    sent = noted(view)
    view.refresh()
    part.values["a"] = 5
    view.refresh()
    assert sent == [{"state": {"dag/a": 0}}, {"patch": {"dag/a": 5}}]


def test_the_scene_is_sent_again_after_an_edit_only(view, part):
    scenes = []
    view.observe(lambda change: scenes.append(change["new"]["dag"]), "scene")
    view.refresh()
    part.edits = 1
    view.refresh()
    assert scenes == [{"edits": 1}]


def test_a_page_that_shows_it_gets_the_whole_state(view):
    sent = noted(view)
    view._on_command(view, {"do": "show", "view": "x"}, [])
    assert sent[0] == {"state": {"dag/a": 0}}


def test_a_command_that_fails_is_told_under_the_widget_until_it_is_dismissed(view):
    sent = noted(view)
    view._on_command(view, {"do": "fail"}, [])
    assert {"patch": {"error": "ValueError: this cannot be done"}} in sent
    view._on_command(view, {"do": "dismiss"}, [])
    view.refresh()
    assert "error" not in view.state


@pytest.mark.parametrize("verb", [None, "__class__", 3, ["pause"], "nothing"])
def test_an_unknown_command_is_told_and_does_nothing(view, verb):
    view._on_command(view, {"do": verb}, [])
    assert "knows no command" in view.state["error"]


def test_a_selection_reaches_its_part_and_unknown_parts_are_passed_over(view, part):
    view.selection = {"dag": ["n0"], "other": 1}
    assert part.chosen == [["n0"]]


@pytest.mark.wallclock
@live
async def test_a_view_sends_at_most_ten_messages_a_second_and_none_when_nothing_changes(
    monkeypatch,
):
    monkeypatch.setattr(base, "_WHOLE", 1000)
    part = Counter()
    view = Live([part], home=asyncio.get_running_loop())
    sent, begin = noted(view), time.monotonic()
    view.start()
    while time.monotonic() - begin < 0.5 or len(sent) < 3:
        part.values["a"] += 1
        await asyncio.sleep(0.01)
    assert len(sent) <= 10 * (time.monotonic() - begin) + 2
    await until(lambda: view.state == {"dag/a": part.values["a"], "follows": True})
    quiet = len(sent)
    await asyncio.sleep(0.3)
    view.close()
    assert len(sent) == quiet


@live
async def test_each_part_looks_in_a_turn_of_its_own_at_what_all_noted_in_one(monkeypatch):
    turns, seen = [0], []

    class Slow(Counter):
        def look(self):
            seen.append(("look", self.name, turns[0]))

        def state(self):
            seen.append(("state", self.name, turns[0]))
            return super().state()

    names = ("dag", "dashboard", "logs")
    parts = [type(name, (Slow,), {"name": name})() for name in names]
    home = asyncio.get_running_loop()
    view = Live(parts, home=home)
    seen.clear()

    def turn():
        turns[0] += 1
        if len(seen) < 6:
            home.call_soon(turn)

    turn()
    view.start()
    await until(lambda: len(seen) == 6)
    view.close()
    looked, told = seen[:3], seen[3:]
    assert [kind for kind, *_ in seen] == ["look"] * 3 + ["state"] * 3
    assert len({turn for *_, turn in looked}) == 1
    assert len({turn for *_, turn in (looked[0], *told)}) == 4


def test_a_look_that_a_refresh_overtakes_sends_nothing_older(view, part):
    view._home, view._ticking = asyncio.new_event_loop(), True
    view._pages["x"] = time.monotonic()
    view._tick()  # it has noted, and found nothing yet
    view._step()
    part.values["a"] = 5
    view.refresh()
    sent = noted(view)
    view._step()
    view._home.close()
    view._ticking = False
    assert sent == []
    assert view.state["dag/a"] == 5


@pytest.mark.wallclock
@live
async def test_views_with_much_to_tell_tell_it_less_often(monkeypatch):
    monkeypatch.setattr(sending, "shared", Budget(rate := 200_000))
    parts = [Counter(), Counter()]
    views = [Live([part], home=asyncio.get_running_loop()) for part in parts]
    sent, begin = [noted(view) for view in views], time.monotonic()
    for view in views:
        view.start()
    for i in range(60):
        for part in parts:
            part.values = {f"n{k}": [i, "x" * 50] for k in range(1000)}  # 70 kB
        await asyncio.sleep(0.02)
    for view in views:
        view.close()
    size = sum(len(json.dumps(message)) for each in sent for message in each)
    assert all(sent)
    assert size < rate * (time.monotonic() - begin + 0.25) + 4 * 70_000  # the last two, and a scene


@pytest.mark.wallclock
@live
async def test_a_view_that_nobody_looks_at_stops_and_goes_on_when_it_is_shown_again():
    part = Counter()
    view = Live([part], home=asyncio.get_running_loop())
    view._on_command(view, {"do": "show", "view": "x"}, [])
    await asyncio.sleep(0)
    view._on_command(view, {"do": "hide", "view": "x"}, [])
    await asyncio.sleep(0)
    sent = noted(view)
    part.values["a"] = 7
    await asyncio.sleep(0.25)
    assert sent == []
    view._on_command(view, {"do": "show", "view": "y"}, [])
    await until(lambda: {"state": {"dag/a": 7, "follows": True}} in sent)
    view.close()


@pytest.mark.wallclock
@live
async def test_a_page_that_has_gone_without_a_word_is_sent_nothing_more(monkeypatch):
    monkeypatch.setattr(base, "_AWAY", 0.2)
    monkeypatch.setattr(base, "_DOZE", 0.05)
    part = Counter()
    view = Live([part], home=asyncio.get_running_loop())
    stills = []
    view._still.refresh = lambda *_, **__: stills.append(part.values["a"]) or iter(())
    view._on_command(view, {"do": "show", "view": "reloaded"}, [])
    sent = noted(view)
    await until(lambda: "reloaded" in view._pages)
    await until(lambda: not view._is_watched())
    part.values["a"] = 7
    sent.clear()
    await until(lambda: 7 in stills)  # what stays in the notebook goes on
    assert sent == []

    def told(message):
        view._on_command(view, {"do": "here", "view": "back"}, [])  # it says so again and again
        return message in sent

    await until(lambda: told({"state": {"dag/a": 7, "follows": True}}))
    part.values["a"] = 8
    whole = {"state": {"dag/a": 8, "follows": True}}
    await until(lambda: told({"patch": {"dag/a": 8}}) or told(whole))
    view._on_command(view, {"do": "hide", "view": "back"}, [])
    await until(lambda: not view._ticking)  # the one that was reloaded holds it no longer
    view.close()


@pytest.mark.wallclock
@live
async def test_a_page_that_says_that_it_is_there_is_told_on(monkeypatch):
    monkeypatch.setattr(base, "_AWAY", 0.5)
    part = Counter()
    view = Live([part], home=asyncio.get_running_loop())
    view._on_command(view, {"do": "show", "view": "x"}, [])
    sent = noted(view)

    def told(value):
        view._on_command(view, {"do": "here", "view": "x"}, [])
        return {"dag/a": value} in [next(iter(message.values())) for message in sent]

    for n in range(12):
        await asyncio.sleep(0.1)
        part.values["a"] = n
        told(n)
    await until(lambda: told(11))
    view.close()


@pytest.mark.wallclock
@live
async def test_a_part_that_raises_is_told_and_asked_again(monkeypatch):
    monkeypatch.setattr(base, "_PATIENCE", 0.01)
    part = Counter()
    view = Live([part], home=asyncio.get_running_loop())
    part.values, good = None, part.values
    view.start()
    await until(lambda: "TypeError" in view.state.get("error", ""))
    part.values = good | {"a": 9}
    await until(lambda: view.state.get("dag/a") == 9)
    view.close()


@pytest.mark.wallclock
@live
async def test_a_click_is_shown_at_once_also_after_a_look_that_took_long(monkeypatch):
    looks, step = [0.25], Live._step

    def hiccup(view):
        step(view)
        if looks:
            time.sleep(looks.pop())  # other threads had the processor

    async with one(every=0.01).start() as orch:
        view = orch.dashboard()
        view.start()
        await until(lambda: view.state.get("dashboard/l0.state") == ["running", ""])
        monkeypatch.setattr(Live, "_step", hiccup)
        await until(lambda: not looks)
        view._on_command(view, {"do": "pause"}, [])
        await until(lambda: orch.status()["days"].state == "paused")
        obeyed = time.monotonic()
        await until(lambda: view.state["dashboard/l0.state"][0] == "paused")
        assert time.monotonic() - obeyed < 2.0  # was 5 s; a busy machine may take its time
        view.close()


def test_a_view_rests_half_a_second_at_most_whatever_its_looks_cost(view):
    view._pages["x"] = time.monotonic()
    assert [view._pause_after(took) for took in (0.0, 0.0125, 60.0)] == [0.1, 0.25, 0.5]
    view._look_now()
    assert view._pause_after(60.0) == 0.1


@pytest.mark.wallclock
@live
async def test_clicks_in_a_foreign_thread_reach_the_loops():
    orch = one(every=0.01).start()
    view = orch.dag()
    view.start()
    thread = threading.Thread(
        target=view._on_command, args=(view, {"do": "pause", "loop": "days"}, [])
    )
    thread.start()
    await until(lambda: orch.status()["days"].state == "paused")
    view._on_command(view, {"do": "resume", "loop": "days"}, [])
    await until(lambda: orch.status()["days"].state == "running")
    view._on_command(view, {"do": "stop", "loop": "nonsense"}, [])
    await until(lambda: "no loop 'nonsense'" in view.state.get("error", ""))
    view._on_command(view, {"do": "stop"}, [])
    await until(orch.is_over)
    await until(lambda: not view._ticking)  # a last look, then it rests
    view._on_command(view, {"do": "start", "loop": "nonsense"}, [])
    await until(lambda: "no loop 'nonsense'" in view.state.get("error", ""))
    thread.join()
    thread = threading.Thread(target=view._on_command, args=(view, {"do": "start"}, []))
    thread.start()
    await until(lambda: view.state["dag/loop 0"][1] == "running")  # and it follows again
    await orch.stop()
    thread.join()
    view.close()


@pytest.mark.wallclock
@live
async def test_nothing_is_left_of_a_closed_view():
    orch = one(every=0.01).start()
    view = orch.dag()
    view.start()
    await asyncio.sleep(0.02)
    view.close()
    gone = weakref.ref(view)
    del view
    await orch.stop()
    await until(lambda: gc.collect() >= 0 and gone() is None)  # one may run in another thread


@pytest.mark.wallclock
@live
async def test_a_click_is_shown_while_a_cell_holds_the_event_loop():
    async with one(every=0.01).start() as orch:
        view = orch.view()
        view.start()
        await until(lambda: view.state.get("dashboard/l0.state") == ["running", ""])
        shown, sent = threading.Event(), []

        def send(message, *_):
            sent.append((threading.current_thread().name, message.get("patch", {})))
            if sent[-1][1].get("dashboard/l0.state") == ["paused", ""]:
                shown.set()

        view.send = view._echo._send = send
        click = threading.Thread(target=view._on_command, args=(None, {"do": "pause"}, None))
        click.start()
        assert shown.wait(20), "nothing came while the event loop was held"
        click.join()
        assert orch.status()["days"].state == "paused"
        assert {name for name, patch in sent if "dashboard/l0.state" in patch} == {"flownb-echo"}
        graph = next(p for _, p in sent if p.get("dag/loop 0", ["", ""])[1] == "paused")
        assert graph["dag/loop 0"][0] == "days"
        view.send = view._echo._send = (late := []).append
        await until(lambda: any("state" in message for message in late), "all of the state")
        view.close()
