"""Does a bounded wait show how far it is?"""

from __future__ import annotations

import pytest

from tests.support.live import live, one

pytestmark = pytest.mark.wallclock


@live
async def test_a_bar_for_each_loop_ends_where_its_loop_stands(capsys):
    async with one(every=0.002).start() as orch:
        await orch.wait(iterations=20, progress=True)
    written = capsys.readouterr().err
    assert "days: 100%" in written
    assert "20/20" in written


@live
async def test_a_wait_that_runs_out_of_time_closes_its_bar(capsys):
    async with one(every=0.05).start() as orch:
        status = await orch.wait(iterations=1000, timeout=0.3, progress=True)
    assert status.timed_out
    assert "/1000" in capsys.readouterr().err


@live
async def test_without_the_wish_nothing_is_written(capsys):
    async with one(range(3)).start() as orch:
        await orch.wait()
    assert capsys.readouterr().err == ""
