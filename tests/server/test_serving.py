"""Does `serve` return the prompt, replace what it served before, and leave nothing behind?"""

from __future__ import annotations

import asyncio
import threading

import httpx
import pytest

import flownb
from flownb.errors import StoreError
from tests.support.live import live, one, until
from tests.support.served import serving

pytestmark = pytest.mark.wallclock


@live
async def test_a_second_call_takes_the_place_of_the_first_at_the_same_address_and_token():
    async with one(every=0.05).start() as orch:
        first = await flownb.serve(orch)
        second = await flownb.serve(orch)
        assert not first.is_running
        assert second.url == first.url
        async with httpx.AsyncClient() as http:
            told = (await http.get(f"{second.address}health", timeout=20)).json()
        assert told["graphs"] == ["live"]
        assert repr(second) == f"Server({second.address})"
        html = second._repr_mimebundle_()["text/html"]
        assert f'href="{second.url}"' in html
        await second.stop()
        assert repr(second) == f"Server({second.address}, stopped)"
        assert second._repr_mimebundle_() == {"text/plain": repr(second)}
        assert not [t for t in threading.enumerate() if t.name == "flownb server"]


@live
async def test_a_cell_that_computes_does_not_hold_up_the_server():
    async with one(every=0.05).start(control="thread") as orch:
        server = await flownb.serve(orch)
        answers = []

        def ask():
            answers.append(httpx.get(f"{server.address}loops", timeout=20).status_code)

        asking = threading.Thread(target=ask)
        asking.start()
        asking.join(20)  # this holds the event loop of the cell
        assert answers == [200]
        await server.stop()


@live
async def test_what_cannot_be_served_is_told_and_leaves_nothing():
    with pytest.raises(StoreError, match="sqlite"):
        await flownb.serve(store="mongodb://host")
    taken = await flownb.serve(name="a")
    with pytest.raises(flownb.RunError, match="port"):
        await flownb.serve(name="b", port=taken.port)
    await taken.stop()


@live
async def test_a_pause_asked_for_over_http_shows_in_the_notebook_s_view():
    async with one(every=0.05).start() as orch:
        server = await flownb.serve(orch)
        view = orch.dashboard()
        view.start()
        headers = {"Authorization": f"Bearer {server.token}"}
        async with httpx.AsyncClient(headers=headers) as http:
            await http.post(f"{server.address}loops/live/pause?wait=10", timeout=20)
        await until(lambda: "paused" in str(view.state))
        view.close()
        await server.stop()
    await asyncio.sleep(0)


def test_behind_a_proxy_that_takes_the_path_away_it_says_where_it_is():
    with serving(root_path="/hub/flow/") as client:
        assert client.get("openapi.json").json()["servers"] == [{"url": "/hub/flow"}]
        assert client.get("health").status_code == 200
        assert client.get("hub/flow/health").status_code == 200
        page = client.get("")
        assert "Path=/hub/flow/" in page.headers["set-cookie"]
        assert "HttpOnly" in page.headers["set-cookie"]
        wrong = client.put("hub/flow/runs")
        assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET, POST")
