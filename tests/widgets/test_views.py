"""Do the views of a run fit together, replace each other, and freeze?"""

from __future__ import annotations

import json

import pytest

from flownb.widgets import views
from tests.support.live import live, one, until
from tests.support.widgets import noted


@pytest.mark.wallclock
@live
async def test_the_whole_view_has_every_part_and_sends_one_stream():
    async with one(every=0.01).start() as orch:
        view = orch.view()
        sent = noted(view)
        view.start()
        await until(lambda: len(sent) > 3)
        parts = {key.split("/")[0] for message in sent for key in message.get("state", {})}
        view.close()
    assert {*view._parts} <= parts | {"logs"}
    assert list(view._parts)[:2] == ["dag", "dashboard"]


@pytest.mark.wallclock
@live
async def test_a_view_made_again_in_the_same_cell_takes_the_place_of_the_first(monkeypatch):
    async with one(every=0.01).start() as orch:
        monkeypatch.setattr(views, "_cell", lambda: "cell 1")
        first, other_kind = orch.dag(), orch.dashboard()
        second = orch.dag()
        assert first.comm is None
        assert second.comm is not None
        assert other_kind.comm is not None
        monkeypatch.setattr(views, "_cell", lambda: "cell 2")
        third = orch.dag()
        assert second.comm is not None
        for view in (other_kind, second, third):
            view.close()


@pytest.mark.wallclock
@live
async def test_a_snapshot_is_words_and_pictures_without_a_script(tmp_path):
    async with one(range(20), every=0.01).start() as orch:
        await orch.wait()
        frozen = orch.snapshot()
        await orch.stop()
    assert repr(frozen) == "Orchestrator('live': days completed 20; 0 errors)"
    bundle = frozen._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html"}
    assert "<title>Workflow live</title>" in bundle["text/html"]
    assert "✓ completed" in bundle["text/html"]
    assert "<script" not in bundle["text/html"]
    assert frozen._repr_mimebundle_(include={"text/plain"}) == {"text/plain": repr(frozen)}
    page = frozen.save(tmp_path / "run.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")


@pytest.mark.parametrize("kind", views._PARTS)
@pytest.mark.wallclock
@live
async def test_scene_and_state_of_every_view_are_json(kind):
    async with one(every=0.01).start() as orch:
        view = views.open_view(orch, kind)
        await orch.wait(iterations=5)
        view.refresh()
        json.dumps([view.scene, view.state], allow_nan=False)
        assert view.still()
        view.close()


@pytest.mark.parametrize("control", ["notebook", "thread"])
@pytest.mark.wallclock
@live
async def test_a_view_knows_how_the_run_ended_wherever_its_event_loop_was(control):
    for _ in range(3):
        orch = one(every=0.01).start(control=control)
        view = orch.dag()
        view.start()
        await orch.wait(iterations=2)
        await orch.stop()
        await until(lambda view=view: view.state["dag/loop 0"][1] == "stopped")
        await until(lambda view=view: not view._ticking)
        view.close()
